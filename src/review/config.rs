use unjoin_core::DAY;
use unjoin_store::queue::QueueConfig;

/// How a review desk is set up, apart from its grid.
///
/// ```
/// use unjoin::{DAY, review::DeskConfig};
/// let config = DeskConfig { opening_window: 360 * DAY, ..DeskConfig::default() };
/// assert_eq!(config.retry_window, 30 * DAY);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeskConfig {
    /// How long after a cohort's window has ended its escrows are kept for the trustees, in
    /// seconds.
    pub opening_window: u64,
    /// How long after that the rows of spent tokens are kept, in seconds, so that a device that
    /// asks again gets the same answer. Then they are pruned: the window refuses the tokens, and
    /// what is published stays.
    pub retry_window: u64,
    /// The bounds of the queue that submissions go through.
    pub queue: QueueConfig,
}

impl Default for DeskConfig {
    /// 180 days, 30 days, and the queue's default.
    fn default() -> Self {
        Self { opening_window: 180 * DAY, retry_window: 30 * DAY, queue: QueueConfig::default() }
    }
}
