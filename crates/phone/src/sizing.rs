//! How many virtual numbers it takes.
//!
//! Two things ask for numbers. A slice must hold what the largest hub binds in one epoch, and
//! there are as many slices as the quarantine has epochs. And a number can carry a limited
//! number of live bindings. For most platforms the first decides, not the volume.
//!
//! The formulas are held against a simulation of a million bindings in the example `pool_size`.

use super::pool::PoolError;
use unjoin_core::DAY;

const HOUR: u64 = 3_600;

/// What a pool has to serve.
///
/// ```
/// use unjoin_core::DAY;
/// use unjoin_phone::Demand;
/// let demand = Demand {
///     orders_per_day: 2_000, peak_share: 0.12, bindings_per_order: 2, largest_hub_per_day: 100,
///     life: 3_600, max_life: 2 * DAY, epoch_seconds: DAY, quarantine: 7 * DAY, spare_recoveries: 1,
///     pairs_per_number: 100, live_per_customer: 2,
/// };
/// // A slice a day, until the quarantine of the longest life is over.
/// assert!(demand.size()?.slices >= 9);
/// # Ok::<(), unjoin_phone::PoolError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Demand {
    /// Orders a day.
    pub orders_per_day: u64,
    /// The share of a day's orders in its busiest hour: 1/24 to 1.
    pub peak_share: f64,
    /// Bindings of an order: one for each pair that can call one another.
    pub bindings_per_order: u32,
    /// What the largest hub binds in a day.
    pub largest_hub_per_day: u64,
    /// How long a binding lives, in seconds.
    pub life: u64,
    /// How long it may live at most, in seconds.
    pub max_life: u64,
    /// The length of an epoch, in seconds.
    pub epoch_seconds: u64,
    /// For how many seconds after its binding has ended a hub must not see a number again.
    pub quarantine: u64,
    /// How many recoveries of slot keys within G epochs must not cut into the quarantine.
    pub spare_recoveries: u32,
    /// How many live bindings a number may carry: 1 to 100,000.
    pub pairs_per_number: u32,
    /// How many live bindings a customer has at a time.
    pub live_per_customer: u32,
}

/// The pool that a [`Demand`] asks for.
///
/// ```
/// # use unjoin_core::DAY;
/// # let demand = unjoin_phone::Demand {
/// #     orders_per_day: 2_000, peak_share: 0.12, bindings_per_order: 2, largest_hub_per_day: 100,
/// #     life: 3_600, max_life: 2 * DAY, epoch_seconds: DAY, quarantine: 7 * DAY, spare_recoveries: 1,
/// #     pairs_per_number: 100, live_per_customer: 2,
/// # };
/// let size = demand.size()?;
/// assert_eq!(size.pool, size.slices * size.slice);
/// assert!(size.slice >= size.largest_hub && size.quarantine >= 7 * DAY);
/// # Ok::<(), unjoin_phone::PoolError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoolSize {
    /// Bindings alive at a time in the busiest hour.
    pub live_bindings: u64,
    /// G: the slices.
    pub slices: u64,
    /// Numbers in a slice.
    pub slice: u64,
    /// Numbers in the pool: all slices.
    pub pool: u64,
    /// What the largest hub binds in an epoch: the least a slice must hold.
    pub largest_hub: u64,
    /// The quarantine there really is, in seconds, after the spare recoveries.
    pub quarantine: u64,
    /// Live bindings that no number exceeds, 99 times in 100.
    pub busiest_number: u64,
    /// The chance that a customer who dials the number of an ended binding reaches another
    /// business, with which they have a live binding: their other live bindings over the pool.
    pub stale_dial: f64,
}

impl Demand {
    /// The pool that it takes.
    ///
    /// ```
    /// use unjoin_phone::Demand;
    /// let demand = Demand {
    ///     orders_per_day: 100_000_000, peak_share: 0.12, bindings_per_order: 3, largest_hub_per_day: 100_000,
    ///     life: 90 * 60, max_life: 90 * 60, epoch_seconds: 86_400, quarantine: 7 * 86_400, spare_recoveries: 1,
    ///     pairs_per_number: 100, live_per_customer: 2,
    /// };
    /// let size = demand.size()?;
    /// assert_eq!((size.live_bindings, size.slices), (54_000_000, 10));
    /// assert_eq!(size.pool, size.slices * size.slice);
    /// # Ok::<(), unjoin_phone::PoolError>(())
    /// ```
    ///
    /// # Errors
    /// [`PoolError::Config`] when a field is zero that cannot be, a share is none, or the sizes
    /// are beyond 10^15.
    pub fn size(&self) -> Result<PoolSize, PoolError> {
        let rule = |holds: bool, rule| if holds { Ok(()) } else { Err(PoolError::Config(rule)) };
        rule((1.0 / 24.0..=1.0).contains(&self.peak_share), "a share of the busiest hour from 1/24 to 1")?;
        let counted = [
            u64::from(self.bindings_per_order),
            self.largest_hub_per_day,
            self.life,
            self.epoch_seconds,
            u64::from(self.pairs_per_number),
        ];
        rule(
            !counted.contains(&0),
            "an order's bindings, a largest hub, a life, an epoch and pairs above zero",
        )?;
        rule(self.pairs_per_number <= MOST_PAIRS, "100,000 pairs on a number or fewer")?;
        rule(self.life <= self.max_life, "a life no longer than the longest life")?;
        let (live, slices, hub) = (self.live_bindings(), self.slices(), self.largest_hub());
        rule(live.max(slices.saturating_mul(hub)) <= LARGEST, "a demand below 10^15")?;
        let slice = self.slice(live, slices, hub).ok_or(PoolError::Config("more pairs on a number"))?;
        let pool = slices.saturating_mul(slice);
        let epochs = slices.saturating_sub(1).saturating_sub(u64::from(self.spare_recoveries));
        Ok(PoolSize {
            live_bindings: live,
            slices,
            slice,
            pool,
            largest_hub: hub,
            quarantine: epochs.saturating_mul(self.epoch_seconds).saturating_sub(self.max_life),
            busiest_number: busiest(live, slices, hub, slice),
            stale_dial: f64::from(self.live_per_customer) / pool as f64,
        })
    }

    /// `orders a day * share of the busiest hour * bindings of an order * life in hours`.
    pub fn live_bindings(&self) -> u64 {
        let an_hour = self.orders_per_day as f64 * self.peak_share * f64::from(self.bindings_per_order);
        (an_hour * self.life as f64 / HOUR as f64).round() as u64
    }

    /// G: `1 + spare recoveries + (quarantine + longest life) / epoch`, rounded up.
    pub fn slices(&self) -> u64 {
        let rest = self.quarantine.max(1).saturating_add(self.max_life).div_ceil(self.epoch_seconds.max(1));
        rest.saturating_add(1).saturating_add(u64::from(self.spare_recoveries))
    }

    /// What the largest hub binds in an epoch: whole days, or the busiest hours of one.
    pub fn largest_hub(&self) -> u64 {
        if self.epoch_seconds >= DAY {
            return self.largest_hub_per_day.saturating_mul(self.epoch_seconds.div_ceil(DAY));
        }
        let share = (self.peak_share * self.epoch_seconds as f64 / HOUR as f64).clamp(self.peak_share, 1.0);
        (self.largest_hub_per_day as f64 * share).ceil() as u64
    }

    /// The smallest slice that holds the largest hub and loads no number too much.
    fn slice(&self, live: u64, slices: u64, hub: u64) -> Option<u64> {
        let pairs = u64::from(self.pairs_per_number);
        let holds = |slice: u64| {
            mean_of_fullest(live, slices, hub, slice) <= pairs as f64
                && busiest(live, slices, hub, slice) <= pairs
        };
        let (mut least, mut enough) = (hub.saturating_sub(1), hub);
        while !holds(enough) {
            least = enough;
            enough = enough.saturating_mul(2);
            if enough > LARGEST {
                return None;
            }
        }
        while enough.saturating_sub(least) > 1 {
            let middle = least.midpoint(enough);
            if holds(middle) { enough = middle } else { least = middle }
        }
        Some(enough)
    }
}

/// More than any telephone network carries over one number.
const MOST_PAIRS: u32 = 100_000;

/// Beyond all telephone numbers there are.
const LARGEST: u64 = 1_000_000_000_000_000;

/// How many live bindings no number of any slice exceeds, 99 times in 100. Within a slice each hub
/// loads a number once at most, so a number's load varies no more than a Poisson variable of the
/// same mean.
fn busiest(live: u64, slices: u64, hub: u64, slice: u64) -> u64 {
    let mean = mean_of_fullest(live, slices, hub, slice);
    let numbers = slices as f64 * slice as f64;
    // Starts at the mean, where about half the numbers are above.
    let mut pairs = mean.floor() as u64;
    while numbers * above(mean, pairs) > 0.01 {
        pairs += 1 + (mean.sqrt() / 64.0) as u64;
    }
    pairs
}

/// How many live bindings a number of the fullest slice has. Hubs fall into slices at random: the fullest has its
/// share and four deviations more, where the variance is at most `share * largest hub`, that of
/// as many hubs of the largest size as there can be.
fn mean_of_fullest(live: u64, slices: u64, hub: u64, slice: u64) -> f64 {
    let share = live as f64 / slices as f64;
    let fullest = share + 4.0 * (share * hub.min(live) as f64).sqrt();
    fullest.min(live as f64) / slice as f64
}

/// The chance that a Poisson variable of this mean exceeds `count`, which is not below the mean.
fn above(mean: f64, count: u64) -> f64 {
    if mean <= 0.0 {
        return 0.0;
    }
    let mut at = count as f64 + 1.0;
    let mut term = (at * mean.ln() - mean - ln_factorial(at)).exp();
    let mut sum = 0.0;
    while term > sum * 1e-12 {
        sum += term;
        at += 1.0;
        term *= mean / at;
    }
    sum
}

/// ln(n!) by Stirling's series, after the first few factors.
fn ln_factorial(n: f64) -> f64 {
    let (mut n, mut below) = (n, 0.0);
    while n < 16.0 {
        n += 1.0;
        below += n.ln();
    }
    let series = 1.0 / (12.0 * n) - 1.0 / (360.0 * n * n * n);
    n * n.ln() - n + 0.5 * (core::f64::consts::TAU * n).ln() + series - below
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand() -> Demand {
        Demand {
            orders_per_day: 100_000_000,
            peak_share: 0.12,
            bindings_per_order: 3,
            largest_hub_per_day: 100_000,
            life: 90 * 60,
            max_life: 90 * 60,
            epoch_seconds: DAY,
            quarantine: 7 * DAY,
            spare_recoveries: 1,
            pairs_per_number: 100,
            live_per_customer: 2,
        }
    }

    #[test]
    fn the_quarantine_and_the_largest_hub_are_held() {
        for epoch_seconds in [HOUR, 5 * HOUR, 6 * HOUR, DAY, 3 * DAY, 5 * DAY] {
            for spare_recoveries in 0..3 {
                let size = Demand { epoch_seconds, spare_recoveries, ..demand() }.size().unwrap();
                assert!(size.quarantine >= 7 * DAY && size.quarantine < 7 * DAY + epoch_seconds);
                assert!(size.slice >= size.largest_hub && size.busiest_number <= 100);
            }
        }
    }

    #[test]
    fn a_slice_is_no_larger_than_it_must_be() {
        let size = Demand { pairs_per_number: 40, ..demand() }.size().unwrap();
        assert!(size.slice > size.largest_hub);
        assert!(busiest(size.live_bindings, size.slices, size.largest_hub, size.slice - 1) > 40);
        let roomy = Demand { pairs_per_number: 10_000, ..demand() }.size().unwrap();
        assert_eq!(roomy.slice, roomy.largest_hub);
    }

    #[test]
    fn a_short_epoch_holds_the_busiest_hours_and_a_long_one_whole_days() {
        let pool = |epoch_seconds| {
            Demand { epoch_seconds, orders_per_day: 100_000, ..demand() }.size().unwrap().pool
        };
        assert!(pool(2 * DAY) > pool(DAY) && pool(6 * HOUR) > pool(DAY));
        assert_eq!(Demand { epoch_seconds: 6 * HOUR, ..demand() }.largest_hub(), 72_000);
        assert_eq!(Demand { epoch_seconds: 60, ..demand() }.largest_hub(), 12_000);
        assert_eq!(Demand { epoch_seconds: DAY + 1, ..demand() }.largest_hub(), 200_000);
    }

    #[test]
    fn the_tail_is_that_of_the_poisson_distribution() {
        // 1 - e^-1 (1 + 1 + 1/2) and 1 - sum of e^-10 10^k / k! up to 20, from tables.
        assert!((above(1.0, 2) - 0.080_301_397).abs() < 1e-8);
        assert!((above(10.0, 20) - 0.001_588_261).abs() < 1e-8);
        assert!(above(1e6, 1_010_000) < 1e-20 && above(0.0, 0) == 0.0);
        assert!((ln_factorial(20.0) - 42.335_616_460_753_49).abs() < 1e-9);
        assert!((ln_factorial(3.0) - 6f64.ln()).abs() < 1e-9);
    }

    #[test]
    fn a_demand_that_is_none_is_refused() {
        let refused = |change: fn(&mut Demand)| {
            let mut demand = demand();
            change(&mut demand);
            matches!(demand.size(), Err(PoolError::Config(_)))
        };
        assert!(!refused(|demand| demand.orders_per_day = 0));
        assert!(refused(|demand| demand.peak_share = 0.01) && refused(|demand| demand.peak_share = f64::NAN));
        assert!(refused(|demand| demand.bindings_per_order = 0) && refused(|demand| demand.life = 0));
        assert!(
            refused(|demand| demand.largest_hub_per_day = 0) && refused(|demand| demand.epoch_seconds = 0)
        );
        assert!(refused(|demand| demand.pairs_per_number = 0));
        assert!(refused(|demand| demand.pairs_per_number = 100_001));
        assert!(refused(|demand| demand.life = demand.max_life + 1));
        assert!(refused(|demand| demand.orders_per_day = u64::MAX));
        assert!(refused(|demand| demand.largest_hub_per_day = u64::MAX));
    }
}
