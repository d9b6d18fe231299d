//! A pool of virtual numbers for demonstrations.

use std::error::Error;
use unjoin::DAY;
use unjoin::phone::{NumberRange, PoolConfig, VirtualNumber};

/// The longest life of a number, in seconds: an hour and a half.
pub(crate) const MAX_LIFE: u64 = 90 * 60;

/// 40,000 numbers in four slices, one drawn from on each day: nobody sees a number again for
/// nearly two days, a recovery of the keys included.
pub(crate) fn config(first_number: &str) -> Result<PoolConfig, Box<dyn Error + Send + Sync>> {
    Ok(PoolConfig {
        epoch_seconds: DAY,
        max_life: MAX_LIFE,
        quarantine: 2 * DAY - MAX_LIFE,
        spare_recoveries: 1,
        largest_hub: 10_000,
        slices: NumberRange::new(VirtualNumber::new(first_number)?, 40_000)?.slices(4),
        withdrawn: Vec::new(),
        resting: Vec::new(),
    })
}
