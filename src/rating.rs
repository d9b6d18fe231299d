//! The rating of a shop: what all of its customers think, estimated from the reviews that have appeared.
//!
//! The published reviews flatter: orders that went wrong are few at most shops, their cohorts fill
//! slowly, and their reviews are missing. But they are missing *by class*, and the shop's own record
//! says how many orders each class had. So the reviews of each class speak for the orders of that class
//! (post-stratification). Where a shop has few of them, those of the other shops help. Sources: Fay and
//! Herriot, "Estimates of income for small places", 1979. Prasad and Rao, "The estimation of the mean
//! squared error of small-area estimators", 1990.
//!
//! It is a pure function of counts and sums. It sees no order and no review, and gives what the published reviews
//! and the shares of the classes give already.
//!
//! # The estimate
//!
//! In class c, stars of shop s scatter around the shop's own mean with variance σ². The shops' means scatter around
//! the market's mean μ with variance τ². All three come from the published reviews of all shops, by the method of
//! moments. With n published reviews of mean y the shop's mean is taken to be
//!
//! ```text
//! m = μ + B·(y − μ),    B = n·τ² / (n·τ² + σ²),
//! V = (1 − B)·τ² + (1 − B)²·var(μ).
//! ```
//!
//! A published review counts as it is. An order without one counts as m of its class. Two orders whose
//! classes are the market's are added to the shop's N. So a shop with few orders is not taken for a
//! shop without bad ones:
//!
//! ```text
//! rating = (Σ of all published stars + Σ over classes of u·m) / (N + 2),    u = orders + 2·(market's share) − n,
//! variance = Σ over classes of (u²·V + u·σ²) / (N + 2)².
//! ```
//!
//! The interval is 1.645 standard deviations to each side: it holds what all customers would say in nine of ten
//! cases. The share of reviews of one or two stars is estimated in the same way.
//!
//! # Where there is little to go by
//!
//! Total ignorance is a uniform distribution over the scale. From one to five stars that is a mean of 3 and a variance of 4/3
//! between shops; for one review, a variance of 2. (For the share: 1/2, 1/12, 1/4.)
//!
//! | nothing published | the rating is that of ignorance, and so is its interval |
//! |---|---|
//! | a class nobody has published | its orders count as ignorance says: the other classes tell nothing of it |
//! | a class that one shop alone has published | μ is that shop's mean, τ² that of ignorance |
//! | all reviews of a class alike | σ² holds one review's worth of ignorance, so it is never zero |
//! | a shop without orders | the market's rating, weighed by the market's classes |
//! | more reviews than orders of a class | there were as many orders as reviews |
//!
//! A shop may treat its late customers worse than others do, and have no published late review. Then it
//! gets the market's mean of late orders, and the interval says how uncertain that is.
//!
//! ```
//! use unjoin::rating::{ClassRecord, Market, StarSums};
//!
//! let record = |class, orders, stars: &[u8]| {
//!     ClassRecord { class, orders, published: stars.iter().copied().collect() }
//! };
//! // Class 0 is on time, class 1 late. Late orders rate badly, where they are published.
//! let large = [record(0, 60, &[5; 50]), record(1, 20, &[1; 10])];
//! let other = [record(0, 60, &[5; 40]), record(1, 20, &[1, 1, 2, 1, 1, 3, 1, 1, 2, 1])];
//! let small = [record(0, 12, &[5; 10]), record(1, 6, &[])];
//! let market = Market::new([&large[..], &other, &small]);
//! let rating = market.rating(&small);
//! // Its published average is 5.0, but a third of its orders were late.
//! assert!(rating.stars.value < 4.1 && rating.stars.low < rating.stars.value);
//! ```

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use unjoin_core::serialize_as_object;

/// Sums over published reviews: what the review service tells of a scope.
///
/// ```
/// use unjoin::rating::StarSums;
/// let today: StarSums = [5, 4, 1].into_iter().collect();
/// let all = today.merged(StarSums::default().with(5));
/// assert_eq!((all.count, all.sum, all.squares, all.bad), (4, 15, 67, 1));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StarSums {
    /// How many reviews.
    pub count: u64,
    /// The sum of their stars.
    pub sum: u64,
    /// The sum of the squares of their stars.
    pub squares: u64,
    /// How many of them have one or two stars.
    pub bad: u64,
}

impl StarSums {
    /// The sums with one more review of this many stars.
    #[must_use]
    pub fn with(self, stars: u8) -> Self {
        let stars = u64::from(stars);
        self.merged(Self { count: 1, sum: stars, squares: stars * stars, bad: u64::from(stars <= 2) })
    }

    /// The sums over the reviews of both.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            sum: self.sum.saturating_add(other.sum),
            squares: self.squares.saturating_add(other.squares),
            bad: self.bad.saturating_add(other.bad),
        }
    }
}

impl FromIterator<u8> for StarSums {
    fn from_iter<I: IntoIterator<Item = u8>>(stars: I) -> Self {
        stars.into_iter().fold(Self::default(), Self::with)
    }
}

/// What is known of one shop in one class.
///
/// ```
/// use unjoin::rating::{ClassRecord, StarSums};
/// let on_time = ClassRecord { class: 0, orders: 60, published: [5, 5, 4].into_iter().collect() };
/// assert_eq!(on_time.published, StarSums { count: 3, sum: 14, squares: 66, bad: 0 });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassRecord {
    /// The outcome class.
    pub class: u8,
    /// The shop's orders of that class so far, reviewed or not.
    pub orders: u64,
    /// Its published reviews of that class.
    pub published: StarSums,
}

/// An estimate and its 90 % interval.
///
/// ```
/// use unjoin::rating::Market;
/// // Nothing is known of anybody: the estimate says so by its interval.
/// let stars = Market::default().rating(&[]).stars;
/// assert!(stars.low < stars.value && stars.value < stars.high);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end of the interval.
    pub high: f64,
}

/// What all customers of a shop think, as far as it can be known.
///
/// ```
/// use unjoin::rating::{ClassRecord, Market};
/// let shop = [ClassRecord { class: 0, orders: 60, published: [1, 2, 5, 5].into_iter().collect() }];
/// let rating = Market::new([&shop[..]]).rating(&shop);
/// // From 1 to 5, and from 0 to 1.
/// assert!((1.0..=5.0).contains(&rating.stars.value) && (0.0..=1.0).contains(&rating.bad_share.value));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rating {
    /// The mean of the stars, from 1 to 5.
    pub stars: Estimate,
    /// The share of one and two stars, from 0 to 1.
    pub bad_share: Estimate,
}

serialize_as_object!(Estimate | it | value = it.value, low = it.low, high = it.high);

serialize_as_object!(Rating | it | stars = it.stars, bad_share = it.bad_share);

/// What the published reviews of all shops tell of each class.
///
/// ```
/// use unjoin::rating::{ClassRecord, Market};
/// let record = |class, orders, stars: &[u8]| ClassRecord { class, orders, published: stars.iter().copied().collect() };
/// let (good, bad) = ([record(0, 60, &[5; 50])], [record(0, 60, &[1; 50])]);
/// let market = Market::new([&good[..], &bad]);
/// assert!(market.rating(&good).stars.value > market.rating(&bad).stars.value);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Market {
    classes: BTreeMap<u8, Class>,
    orders: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Class {
    orders: f64,
    stars: Spread,
    bad: Spread,
}

impl Market {
    /// Learns from the records of all shops, the rated ones included. A shop's records may come in any order, and
    /// several of one class are added up. The same shops in the same order give the same rating to the last bit.
    pub fn new<'a>(shops: impl IntoIterator<Item = &'a [ClassRecord]>) -> Self {
        let mut records: BTreeMap<u8, Vec<ClassRecord>> = BTreeMap::new();
        for shop in shops {
            for (class, record) in by_class(shop) {
                records.entry(class).or_default().push(record);
            }
        }
        let class = |records: &Vec<ClassRecord>| Class {
            orders: records.iter().map(|record| record.orders as f64).sum(),
            stars: Spread::learn(records.iter().map(Sample::of_stars), STARS),
            bad: Spread::learn(records.iter().map(Sample::of_bad), BAD_SHARE),
        };
        let classes: BTreeMap<u8, Class> =
            records.iter().map(|(&number, records)| (number, class(records))).collect();
        Self { orders: classes.values().map(|class| class.orders).sum(), classes }
    }

    /// The rating of a shop.
    #[must_use]
    pub fn rating(&self, shop: &[ClassRecord]) -> Rating {
        let mut records = by_class(shop);
        for &class in self.classes.keys() {
            records.entry(class).or_insert(ClassRecord { class, ..ClassRecord::default() });
        }
        Rating {
            stars: self.estimate(&records, STARS, Sample::of_stars, |class| class.stars),
            bad_share: self.estimate(&records, BAD_SHARE, Sample::of_bad, |class| class.bad),
        }
    }

    fn estimate(
        &self,
        records: &BTreeMap<u8, ClassRecord>,
        scale: Scale,
        sample: fn(&ClassRecord) -> Sample,
        spread: fn(&Class) -> Spread,
    ) -> Estimate {
        let (mut orders, mut sum, mut variance) = (0.0, 0.0, 0.0);
        for (class, record) in records {
            let class = self.classes.get(class);
            let added = match class {
                Some(class) if self.orders > 0.0 => ADDED_ORDERS * class.orders / self.orders,
                _ => 0.0,
            };
            let sample = sample(record);
            let spread = class.map_or(scale.ignorance(), spread);
            let (mean, uncertainty) = spread.shop(sample);
            let unseen = record.orders as f64 + added - sample.count;
            orders += record.orders as f64 + added;
            sum += sample.sum + unseen * mean;
            variance += unseen * (unseen * uncertainty + spread.within);
        }
        if orders == 0.0 {
            // Neither the shop nor the market has an order.
            let Spread { mean, between, .. } = scale.ignorance();
            (orders, sum, variance) = (1.0, mean, between);
        }
        scale.estimate(sum / orders, variance.sqrt() / orders)
    }
}

/// Orders whose classes are the market's, added to those of each shop.
const ADDED_ORDERS: f64 = 2.0;
/// The standard normal distribution has nine tenths within this many standard deviations.
const NINE_TENTHS: f64 = 1.644_853_626_951_472_2;

/// One record a class, with at least as many orders as reviews.
fn by_class(shop: &[ClassRecord]) -> BTreeMap<u8, ClassRecord> {
    let mut records: BTreeMap<u8, ClassRecord> = BTreeMap::new();
    for record in shop {
        let whole = records
            .entry(record.class)
            .or_insert(ClassRecord { class: record.class, ..ClassRecord::default() });
        whole.orders = whole.orders.saturating_add(record.orders);
        whole.published = whole.published.merged(record.published);
    }
    for record in records.values_mut() {
        record.orders = record.orders.max(record.published.count);
    }
    records
}

/// The published reviews of a shop and class, of whatever is averaged.
#[derive(Clone, Copy)]
struct Sample {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Sample {
    fn of_stars(record: &ClassRecord) -> Self {
        let StarSums { count, sum, squares, .. } = record.published;
        Self { count: count as f64, sum: sum as f64, squares: squares as f64 }
    }

    /// A review counts one if it is bad, and so does its square.
    fn of_bad(record: &ClassRecord) -> Self {
        let StarSums { count, bad, .. } = record.published;
        Self { count: count as f64, sum: bad as f64, squares: bad as f64 }
    }
}

/// The range of what is averaged.
#[derive(Clone, Copy)]
struct Scale {
    low: f64,
    high: f64,
    /// The variance of one review of which nothing is known.
    one_review: f64,
}

const STARS: Scale = Scale { low: 1.0, high: 5.0, one_review: 2.0 };
const BAD_SHARE: Scale = Scale { low: 0.0, high: 1.0, one_review: 0.25 };

impl Scale {
    /// A uniform distribution over the scale.
    fn ignorance(self) -> Spread {
        let width = self.high - self.low;
        Spread {
            mean: (self.low + self.high) / 2.0,
            mean_variance: 0.0,
            between: width * width / 12.0,
            within: self.one_review,
        }
    }

    fn estimate(self, value: f64, deviation: f64) -> Estimate {
        let within = |value: f64| value.clamp(self.low, self.high);
        Estimate {
            value: within(value),
            low: within(value - NINE_TENTHS * deviation),
            high: within(value + NINE_TENTHS * deviation),
        }
    }
}

/// A class over all shops.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    /// μ: the mean of the shops' means.
    mean: f64,
    /// How uncertain μ is.
    mean_variance: f64,
    /// τ²: the variance between shops.
    between: f64,
    /// σ²: the variance of the reviews of one shop.
    within: f64,
}

impl Spread {
    /// By the method of moments: what the reviews scatter around their shops' means gives σ². What these means
    /// scatter more than σ² explains gives τ².
    fn learn(samples: impl Iterator<Item = Sample>, scale: Scale) -> Self {
        let samples: Vec<Sample> = samples.filter(|sample| sample.count > 0.0).collect();
        let ignorance = scale.ignorance();
        if samples.is_empty() {
            return ignorance;
        }
        let total = |value: fn(&Sample) -> f64| samples.iter().map(value).sum::<f64>();
        let (shops, count) = (samples.len() as f64, total(|sample| sample.count));
        // Integers below 2^53, so that reviews that are all alike differ by exactly nothing.
        let inside = total(|sample| (sample.squares * sample.count - sample.sum * sample.sum) / sample.count);
        let within = (inside.max(0.0) + scale.one_review) / (count - shops + 1.0);
        let grand_mean = total(|sample| sample.sum) / count;
        let apart = |sample: &Sample| sample.sum / sample.count - grand_mean;
        let between_shops: f64 =
            samples.iter().map(|sample| sample.count * apart(sample) * apart(sample)).sum();
        let effective = count - total(|sample| sample.count * sample.count) / count;
        let between = if shops >= 2.0 && effective > 0.0 {
            ((between_shops - (shops - 1.0) * within) / effective).max(0.0)
        } else {
            ignorance.between
        };
        let weight = |sample: &Sample| 1.0 / (between + within / sample.count);
        let weights: f64 = samples.iter().map(weight).sum();
        let weighted: f64 = samples.iter().map(|sample| weight(sample) * sample.sum / sample.count).sum();
        Self { mean: weighted / weights, mean_variance: 1.0 / weights, between, within }
    }

    /// A shop's mean and how uncertain it is.
    fn shop(self, sample: Sample) -> (f64, f64) {
        let own = sample.count * self.between / (sample.count * self.between + self.within);
        let mean = if sample.count > 0.0 { sample.sum / sample.count } else { self.mean };
        let rest = 1.0 - own;
        (self.mean + own * (mean - self.mean), rest * self.between + rest * rest * self.mean_variance)
    }
}
