//! What the host decides about a switchboard.

use super::SwitchboardError;
use crate::{Attestation, Callees};
use unjoin_core::DAY;
use unjoin_store::queue::QueueConfig;

/// How a [`Switchboard`](super::Switchboard) works: fixed while it is open, free to change at a
/// restart. The longest life is the slot keys'.
///
/// ```
/// use unjoin_phone::{Attestation, SwitchboardConfig};
/// let mut config = SwitchboardConfig::new(4 * 3600);
/// config.longest_call = 15 * 60;
/// config.least_attestation = Attestation::Partial;
/// assert_eq!((config.calls_at_once, config.calls_per_hour), (4, 60));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchboardConfig {
    /// How long after it was made a number may end at the latest, all extensions included, in
    /// seconds: at most the life that the pool's quarantine is reckoned with
    /// ([`PoolConfig::max_life`](crate::PoolConfig::max_life)).
    pub max_total_life: u64,
    /// How long a call may last at most, in seconds; it ends with its number if that is sooner.
    pub longest_call: u64,
    /// How well a caller's number must be attested: [`Attestation::Gateway`] or better. On a
    /// trusted trunk a caller whom nobody attests passes too.
    pub least_attestation: Attestation,
    /// Who may be a party: called through the host's lines, at its cost. Asked when a number is made, and for every call.
    pub callees: Callees,
    /// How many calls one number may carry at the same time. A gateway that does not say when calls end
    /// ([`Switchboard::call_told`](super::Switchboard::call_told)) is taken to have each for two minutes.
    pub calls_at_once: usize,
    /// How many calls and messages a leg's own parties may put through in an hour, together. A stranger's attempts
    /// count nowhere: whoever forges a caller would block that caller.
    pub calls_per_hour: u32,
    /// After how many seconds from its last number's death the record of an order that was never closed is
    /// shortened. What is left tells whether it may be bound again: at most 54 bytes, for ever. (A closed order has
    /// 46.)
    pub retention: u64,
    /// This many misses on a number between two ticks raise an alarm.
    pub alarm_after: u32,
    /// The bounds of the queue of bindings and replacements.
    pub queue: QueueConfig,
}

impl SwitchboardConfig {
    /// The defaults: a total life of `max_total_life` seconds, calls of an hour at most, full attestation, and
    /// subscribers of the countries that are known. Four calls at once on a number, and 60 an hour. 30 days of
    /// retention, an alarm after 20 misses, and the queue's default but for batches of 512.
    pub fn new(max_total_life: u64) -> Self {
        Self {
            max_total_life,
            longest_call: 3600,
            least_attestation: Attestation::Full,
            callees: Callees::known(),
            calls_at_once: 4,
            calls_per_hour: 60,
            retention: 30 * DAY,
            alarm_after: 20,
            queue: QueueConfig { max_batch: 512, ..QueueConfig::default() },
        }
    }

    pub(super) fn check(&self, pool_life: u64) -> Result<(), SwitchboardError> {
        let rule = |holds: bool, rule| if holds { Ok(()) } else { Err(SwitchboardError::Config(rule)) };
        rule(self.max_total_life > 0, "a total life of one second or more")?;
        rule(
            self.max_total_life <= pool_life,
            "a total life no longer than the life that the pool's quarantine is reckoned with",
        )?;
        rule(self.longest_call > 0, "calls of one second or more")?;
        rule(
            self.least_attestation > Attestation::None,
            "an attestation: callers whom nobody attests pass on trusted trunks only",
        )?;
        rule(
            self.calls_at_once > 0 && self.calls_per_hour > 0,
            "one call at once, and one an hour, or more",
        )?;
        rule(self.alarm_after > 0, "an alarm after one miss or more")
    }
}
