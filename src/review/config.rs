use crate::queue::QueueConfig;
use crate::time::Grid;

/// How a review desk is set up.
///
/// ```
/// use unjoin::{DAY, Grid, QueueConfig, review::DeskConfig};
/// let config =
///     DeskConfig { grid: Grid::Weekly, opening_window: 180 * DAY, queue: QueueConfig::default() };
/// assert_eq!(config, DeskConfig::default());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeskConfig {
    /// The boundaries at which everything visible changes; the issuer's must be the same.
    pub grid: Grid,
    /// How long after a cohort's window has ended its escrows are kept for the trustees, in
    /// seconds.
    pub opening_window: u64,
    /// The bounds of the queue that submissions go through.
    pub queue: QueueConfig,
}

impl Default for DeskConfig {
    /// Weekly boundaries, 180 days, and the queue's default.
    fn default() -> Self {
        Self { grid: Grid::Weekly, opening_window: 180 * crate::time::DAY, queue: QueueConfig::default() }
    }
}
