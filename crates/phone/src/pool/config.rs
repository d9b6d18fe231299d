//! What a pool consists of: ranges of numbers, in slices, and the rules that hold of them.

use super::PoolError;
use crate::{Demand, VirtualNumber};
use core::fmt;
use unjoin_core::Timestamp;

/// Consecutive virtual numbers of the same length.
///
/// ```
/// use unjoin_phone::{NumberRange, VirtualNumber};
/// let range = NumberRange::new(VirtualNumber::new("+86700000000000000")?, 80_000)?;
/// assert_eq!((range.first().to_e164().as_str(), range.count()), ("+86700000000000000", 80_000));
/// // The last would have a digit more.
/// assert!(NumberRange::new(VirtualNumber::new("+99999999")?, 2).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NumberRange {
    first: VirtualNumber,
    count: u64,
}

impl NumberRange {
    /// `count` numbers from `first` on.
    ///
    /// # Errors
    /// [`PoolError::Config`] when there are none, or when the last has more digits than the first.
    pub fn new(first: VirtualNumber, count: u64) -> Result<Self, PoolError> {
        let last = count.checked_sub(1).and_then(|more| first.as_integer().checked_add(more));
        match last {
            Some(last) if last.ilog10() == first.as_integer().ilog10() => Ok(Self { first, count }),
            _ => Err(PoolError::Config("ranges of at least one number, all of the same length")),
        }
    }

    /// The range cut into so many slices of a pool, all in service: of the same size, but that the
    /// first ones have one number more when it does not divide evenly.
    ///
    /// ```
    /// use unjoin_phone::{NumberRange, VirtualNumber};
    /// let slices = NumberRange::new(VirtualNumber::new("+86700000000000000")?, 80_000)?.slices(8);
    /// assert_eq!(slices.len(), 8);
    /// assert_eq!(slices[7][0].numbers.first(), VirtualNumber::new("+86700000000070000")?);
    /// assert_eq!(slices[7][0].numbers.count(), 10_000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn slices(&self, count: u64) -> Vec<Vec<PoolRange>> {
        let [size, more] =
            [self.count.checked_div(count), self.count.checked_rem(count)].map(Option::unwrap_or_default);
        let start_of = |slice: u64| slice.saturating_mul(size).saturating_add(slice.min(more));
        let slice = |slice: u64| {
            let (start, end) = (start_of(slice), start_of(slice.saturating_add(1)));
            let first = VirtualNumber::from_integer(self.start().saturating_add(start))?;
            Some(PoolRange::in_service(Self::new(first, end.saturating_sub(start)).ok()?))
        };
        (0..count).map(|number| Vec::from_iter(slice(number))).collect()
    }

    /// The first number.
    pub fn first(&self) -> VirtualNumber {
        self.first
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn start(&self) -> u64 {
        self.first.as_integer()
    }

    /// The first integer behind it.
    pub(super) fn end(&self) -> u64 {
        self.start().saturating_add(self.count)
    }
}

/// Prints the count alone: virtual numbers beside anything else say whom they serve.
impl fmt::Debug for NumberRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NumberRange({} numbers)", self.count)
    }
}

/// A range in a slice, and the epochs in which it is drawn from. It is routed as long as it is
/// listed.
///
/// ```
/// use unjoin_phone::{NumberRange, PoolRange, VirtualNumber};
/// let numbers = NumberRange::new(VirtualNumber::new("+86700000000000000")?, 10_000)?;
/// let mut range = PoolRange::in_service(numbers);
/// assert_eq!((range.drawn_from, range.drawn_until), (0, None));
/// range.drawn_until = Some(20_000); // drained from this epoch on, and routed as long as it is listed
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolRange {
    /// The numbers.
    pub numbers: NumberRange,
    /// The first epoch in which they are drawn: 0 in a new pool, a coming one in a pool that is
    /// in use.
    pub drawn_from: u64,
    /// The first epoch in which they are drawn no more; `None` while they stay in service.
    pub drawn_until: Option<u64>,
}

impl PoolRange {
    /// Numbers that are in service from the first epoch on.
    pub fn in_service(numbers: NumberRange) -> Self {
        Self { numbers, drawn_from: 0, drawn_until: None }
    }

    pub(super) fn is_drawn_in(&self, epoch: u64) -> bool {
        self.drawn_from <= epoch && self.drawn_until.is_none_or(|until| epoch < until)
    }
}

/// What a pool consists of. The same in every process that binds.
///
/// ```
/// use unjoin_core::{DAY, secret::SecretBytes};
/// use unjoin_phone::{NumberRange, Pool, PoolConfig, VirtualNumber};
/// let config = PoolConfig {
///     epoch_seconds: DAY,
///     max_life: 4 * 3600,
///     quarantine: 5 * DAY,
///     spare_recoveries: 1,
///     largest_hub: 8_000,
///     slices: NumberRange::new(VirtualNumber::new("+86700000000000000")?, 80_000)?.slices(8),
///     withdrawn: vec![],
///     resting: vec![],
/// };
/// assert!(Pool::new(config.clone(), &SecretBytes::new([7; 32])).is_ok());
/// // Too few slices: a business would see a number again within the five days.
/// assert!(Pool::new(PoolConfig { quarantine: 30 * DAY, ..config }, &SecretBytes::new([7; 32])).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// The length of an epoch, in seconds. An epoch's number is its Unix time divided by that.
    pub epoch_seconds: u64,
    /// The longest life of a binding, in seconds: that of the slots.
    pub max_life: u64,
    /// For how many seconds after its binding has ended a hub must not see a number again.
    pub quarantine: u64,
    /// How many times slot keys may be recovered within G epochs without cutting into the
    /// quarantine. Each shifts every hub by a slice, and so takes one epoch off.
    pub spare_recoveries: u32,
    /// The most numbers that one hub needs in one epoch: every slice must have as many.
    pub largest_hub: u64,
    /// The G slices, each of one range or more. A number stays in its slice while it is in
    /// service.
    pub slices: Vec<Vec<PoolRange>>,
    /// Numbers that are skipped at once, wherever they stand: out of order, taken away by the
    /// carrier. They keep their place in the order until their range is drained.
    pub withdrawn: Vec<NumberRange>,
    /// Numbers of an earlier division of the pool, drawn no more, routed until they are taken
    /// off this list; with each range the time from which none of it was drawn.
    pub resting: Vec<(NumberRange, Timestamp)>,
}

impl PoolConfig {
    /// A new pool for this demand: consecutive numbers from `first` on, in as many slices of one range each as
    /// [`Demand::size`] says.
    ///
    /// ```
    /// use unjoin_core::secret::SecretBytes;
    /// use unjoin_phone::{Demand, Pool, PoolConfig, VirtualNumber};
    /// let demand = Demand {
    ///     orders_per_day: 2_000, peak_share: 0.12, bindings_per_order: 2, largest_hub_per_day: 100,
    ///     life: 3_600, max_life: 2 * 86_400, epoch_seconds: 86_400, quarantine: 7 * 86_400, spare_recoveries: 1,
    ///     pairs_per_number: 100, live_per_customer: 2,
    /// };
    /// let config = PoolConfig::for_demand(&demand, VirtualNumber::new("+86700000000000000")?)?;
    /// assert_eq!(config.slices.len() as u64, demand.size()?.slices);
    /// Pool::new(config, &SecretBytes::new([7; 32]))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PoolError::Config`] as [`Demand::size`], and when there are not so many numbers of this length from `first` on.
    pub fn for_demand(demand: &Demand, first: VirtualNumber) -> Result<Self, PoolError> {
        let size = demand.size()?;
        let numbers = NumberRange::new(first, size.pool)?;
        Ok(Self {
            epoch_seconds: demand.epoch_seconds,
            max_life: demand.max_life,
            quarantine: demand.quarantine,
            spare_recoveries: demand.spare_recoveries,
            largest_hub: size.largest_hub,
            slices: numbers.slices(size.slices),
            withdrawn: Vec::new(),
            resting: Vec::new(),
        })
    }

    /// For how many seconds after its binding has ended no hub sees a number again, when slot
    /// keys were recovered `recoveries` times within G epochs:
    /// `(G - 1 - recoveries) epochs - the longest life`.
    pub fn quarantine_after(&self, recoveries: u32) -> u64 {
        let epochs = (self.slices.len() as u64).saturating_sub(1).saturating_sub(u64::from(recoveries));
        epochs.saturating_mul(self.epoch_seconds).saturating_sub(self.max_life)
    }

    pub(super) fn check(&self) -> Result<(), PoolError> {
        let rule = |holds: bool, rule| if holds { Ok(()) } else { Err(PoolError::Config(rule)) };
        rule(self.epoch_seconds > 0, "epochs of at least one second")?;
        rule(
            self.quarantine_after(self.spare_recoveries) >= self.quarantine.max(1),
            "a quarantine of at most (slices - 1 - spare recoveries) epochs less the longest life: more slices or longer epochs",
        )?;
        for slice in &self.slices {
            rule(
                slice.iter().any(|range| range.drawn_until.is_none()),
                "slices that each keep a range in service",
            )?;
            rule(
                slice.iter().all(|range| range.drawn_until.is_none_or(|until| until > range.drawn_from)),
                "ranges that are drawn from before they are drawn no more",
            )?;
        }
        let mut spans: Vec<Span> = self.listed().map(|range| (range.start(), range.end())).collect();
        spans.sort_unstable();
        let apart = spans.iter().zip(spans.iter().skip(1)).all(|((_, end), (start, _))| end <= start);
        rule(apart, "every number in one range only")
    }

    pub(super) fn listed(&self) -> impl Iterator<Item = &NumberRange> {
        let in_slices = self.slices.iter().flatten().map(|range| &range.numbers);
        in_slices.chain(self.resting.iter().map(|(numbers, _)| numbers))
    }
}

/// Integers from the first up to, not including, the second.
pub(super) type Span = (u64, u64);

/// Sorted, neighbours and overlaps joined.
pub(super) fn joined<'a>(ranges: impl Iterator<Item = &'a NumberRange>) -> Vec<Span> {
    let mut spans: Vec<Span> = ranges.map(|range| (range.start(), range.end())).collect();
    spans.sort_unstable();
    let mut joined: Vec<Span> = Vec::new();
    for (start, end) in spans {
        match joined.last_mut() {
            Some((_, last)) if *last >= start => *last = end.max(*last),
            _ => joined.push((start, end)),
        }
    }
    joined
}

pub(super) fn within(spans: &[Span], number: u64) -> bool {
    let behind = spans.partition_point(|(start, _)| *start <= number);
    behind.checked_sub(1).and_then(|at| spans.get(at)).is_some_and(|(_, end)| number < *end)
}

/// How many numbers of `span` are in `spans`.
pub(super) fn overlap(spans: &[Span], (start, end): Span) -> u64 {
    let common = spans.iter().map(|(from, to)| end.min(*to).saturating_sub(start.max(*from)));
    common.fold(0, u64::saturating_add)
}
