//! What the host says of its merchants: what the past of one was that comes, and that another closed.

use super::cohorts::{PAGE, end};
use super::rate::{PERIODS, RateRow};
use super::rows::{CohortRow, cohorts_prefixes, rate_key};
use super::{Core, Decision, IssuerError};
use unjoin_core::{Name, Timestamp};
use unjoin_store::{Store, decide};

/// What is known of a merchant's class before its first order is granted. Without it cohorts wait for 30
/// days and 300 order-days until 60 days have been counted.
///
/// ```
/// use unjoin::{Name, issuer::PastOrders};
/// // Three periods of 60 days, the latest first; the least counts, so a busy season helps nobody.
/// let past = PastOrders { merchant: Name::new("lamps")?, class: 0, counts: vec![6_200, 9_800, 6_000] };
/// assert_eq!(past.counts.iter().min(), Some(&6_000));
/// # Ok::<(), unjoin::NameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PastOrders {
    /// The merchant.
    pub merchant: Name,
    /// The outcome class.
    pub class: u8,
    /// How many distinct customers of standing a period of 60 days had, the latest first: at most
    /// three. The least of them counts, so round down; a number too high lets cohorts seal too soon.
    pub counts: Vec<u32>,
}

impl<S: Store> Core<S> {
    pub(super) fn introduce(&self, past: &[PastOrders]) -> Vec<Result<(), IssuerError>> {
        let now = self.now();
        let decision = |PastOrders { merchant, class, counts }: &PastOrders| {
            self.config.k(*class).ok_or(IssuerError::UnknownClass)?;
            if counts.len() > PERIODS {
                return Err(IssuerError::TooManyCounts);
            }
            let since = self.config.grid.at_or_before(now.clone()?).unwrap_or(Timestamp::ZERO);
            let (key, stated) = (rate_key(merchant, *class), RateRow::starting(since, counts.clone()));
            Ok(Decision::new(key.clone(), move |row: Option<RateRow>, change| match row {
                Some(row) if row.current == 0 && row.past == stated.past => Ok(()),
                Some(row) if row.current > 0 || !row.past.is_empty() => Err(IssuerError::MerchantKnown),
                // Nothing is known yet, though a cohort may be open.
                _ => {
                    change.put(&key, &stated);
                    Ok(())
                }
            }))
        };
        self.decide(past.iter().map(decision))
    }

    /// The cohorts of a closed shop are ended: nobody will join them.
    pub(super) fn close_merchant(&self, merchant: &Name) -> Result<usize, IssuerError> {
        let mut ended = 0;
        for prefix in cohorts_prefixes(merchant) {
            let mut pages = self.pages(prefix, PAGE);
            while let Some(page) = pages.next()? {
                for found in page {
                    let key = found.key.clone();
                    ended += decide(&*self.store, key.clone(), |row: Option<CohortRow>, change| {
                        let Some(cohort) = row else { return Ok::<_, IssuerError>(0) };
                        end(&key, merchant, cohort.cohort, Timestamp::ZERO, change);
                        Ok(1)
                    })?;
                }
            }
        }
        Ok(ended)
    }
}
