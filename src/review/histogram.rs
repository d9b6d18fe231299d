//! How many published reviews have how many stars: of a merchant, for its page; of each cohort, for the rating,
//! which the order side weighs.

use super::rows;
use crate::rating::StarSums;
use std::collections::{BTreeMap, BTreeSet};
use unjoin_core::serialize_as_object;
use unjoin_core::token::Scope;
use unjoin_core::{Name, fields};
use unjoin_store::{Change, Key, Record, RowKey, StoreError, record};

/// How many of some published reviews have how many stars. It flatters, since what is missing is the bad: the
/// [rating](crate::rating) says what all customers think.
///
/// ```
/// use unjoin::review::Histogram;
/// // Two reviews of one star, six of five.
/// let histogram = Histogram { counts: [2, 0, 0, 0, 6] };
/// assert_eq!((histogram.total(), histogram.mean()), (8, Some(4.0)));
/// assert_eq!(Histogram::default().mean(), None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// The number of reviews with one star, two stars, and so on.
    pub counts: [u64; 5],
}

// `mean` is none without reviews.
serialize_as_object!(Histogram | all | counts = all.counts, mean = all.mean());

impl Histogram {
    /// The number of reviews.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The mean number of stars; `None` without reviews.
    pub fn mean(&self) -> Option<f64> {
        let stars: u64 = (1..).zip(self.counts).map(|(stars, count)| stars * count).sum();
        (self.total() > 0).then(|| stars as f64 / self.total() as f64)
    }

    /// Their sums.
    pub fn sums(&self) -> StarSums {
        let of = |value: fn(u64) -> u64| {
            (1..).zip(self.counts).map(|(stars, count)| count.saturating_mul(value(stars))).sum()
        };
        StarSums {
            count: self.total(),
            sum: of(|stars| stars),
            squares: of(|stars| stars * stars),
            bad: of(|stars| u64::from(stars <= 2)),
        }
    }

    fn change(&mut self, stars: u8, by: impl Fn(u64) -> Option<u64>) -> Result<(), StoreError> {
        let count = usize::from(stars).checked_sub(1).and_then(|at| self.counts.get_mut(at));
        let count = count.ok_or(StoreError::Corrupt(HistogramRow::NAME))?;
        *count = by(*count).ok_or(StoreError::Corrupt(HistogramRow::NAME))?;
        Ok(())
    }
}

/// An absent row counts nothing.
#[derive(Default)]
pub(super) struct HistogramRow(pub(super) Histogram);

fields!(Histogram: counts as "count");
record!(HistogramRow, "histogram": 0);

/// The histograms that one decision changes: those of some cohorts, and of their merchants.
pub(super) struct Histograms(BTreeMap<RowKey, Counted>);

struct Counted {
    before: Histogram,
    after: Histogram,
}

impl Histograms {
    /// Where they are.
    pub(super) fn keys(scopes: &BTreeSet<&Scope>) -> Vec<Key<HistogramRow>> {
        let merchants: BTreeSet<&Name> = scopes.iter().map(|scope| scope.merchant()).collect();
        let of_merchants = merchants.into_iter().map(rows::histogram);
        of_merchants.chain(scopes.iter().map(|scope| rows::cohort_histogram(scope))).collect()
    }

    /// What was read there.
    pub(super) fn new(keys: &[Key<HistogramRow>], rows: Vec<Option<HistogramRow>>) -> Self {
        let counted = |row: Option<HistogramRow>| {
            let HistogramRow(before) = row.unwrap_or_default();
            Counted { before, after: before }
        };
        Self(keys.iter().map(|key| key.at().clone()).zip(rows.into_iter().map(counted)).collect())
    }

    /// Reviews of a cohort are listed, which have these stars.
    pub(super) fn count(&mut self, scope: &Scope, stars: &[u8]) -> Result<(), StoreError> {
        self.change(scope, stars, |count| count.checked_add(1))
    }

    /// A review is listed no more.
    pub(super) fn uncount(&mut self, scope: &Scope, stars: u8) -> Result<(), StoreError> {
        self.change(scope, &[stars], |count| count.checked_sub(1))
    }

    fn change(&mut self, scope: &Scope, stars: &[u8], by: fn(u64) -> Option<u64>) -> Result<(), StoreError> {
        for key in [rows::histogram(scope.merchant()), rows::cohort_histogram(scope)] {
            let counted = self.0.get_mut(key.at()).ok_or(StoreError::Corrupt(HistogramRow::NAME))?;
            stars.iter().try_for_each(|stars| counted.after.change(*stars, by))?;
        }
        Ok(())
    }

    /// Writes those that are others now.
    pub(super) fn write(self, change: &mut Change) {
        for (RowKey { bucket, key }, Counted { before, after }) in self.0 {
            let key = Key::new(bucket, key);
            if after != before && after.total() == 0 {
                change.delete(&key);
            } else if after != before {
                change.put(&key, &HistogramRow(after));
            }
        }
    }
}
