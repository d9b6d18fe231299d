//! What is shown, held against what was logged.

use super::{History, kind};
use std::collections::{BTreeMap, BTreeSet};
use unjoin_core::entry::{EditedEntry, PublishedEntry, RemovedEntry, WithdrawnEntry};
use unjoin_core::token::{CohortManifest, Digest, ReviewId};
use unjoin_core::wire::Message;

/// The reviews that a platform shows: id and digest of each, read between the two checkpoints.
pub type PublishedSet = BTreeMap<ReviewId, Digest>;

/// Something that the ledger and what is shown do not agree on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Finding {
    /// A published review is not shown, and no withdrawal or removal was logged.
    Dropped {
        /// Which.
        review_id: ReviewId,
    },
    /// A review is shown in words that were not logged.
    Altered {
        /// Which.
        review_id: ReviewId,
        /// The digest that was logged last.
        logged: Digest,
        /// The digest of what is shown.
        shown: Digest,
    },
    /// A review is shown that was never published, or was withdrawn or removed.
    Unlogged {
        /// Which.
        review_id: ReviewId,
    },
    /// An entry that is none of this ledger's, or contradicts one before it: a second
    /// publication of a review, a second edit with the number of the last.
    Entry {
        /// Its index.
        index: u64,
    },
}

/// Names every review that is shown as the ledger never had it from the older checkpoint to the
/// newer, by id, and every entry that does not fit. Nothing else is named: a change that was
/// logged between the two may or may not be shown yet.
pub fn audit_reviews(history: &History, shown: &PublishedSet) -> Vec<Finding> {
    let mut records: BTreeMap<ReviewId, Record> = BTreeMap::new();
    let mut findings = Vec::new();
    let (older, newer) = history.split();
    let mut indices = 0u64..;
    for (entry, index) in older.iter().zip(indices.by_ref()) {
        if take(&mut records, entry).is_none() {
            findings.push(Finding::Entry { index });
        }
    }
    // What each review that changes between the checkpoints was before, and after each change.
    let mut passed: BTreeMap<ReviewId, Vec<Option<Digest>>> = BTreeMap::new();
    for (entry, index) in newer.iter().zip(indices) {
        let subject = entry.get(2..).and_then(|body| body.first_chunk());
        let before = subject.and_then(|id| records.get(&ReviewId(*id))?.shown());
        match take(&mut records, entry) {
            None => findings.push(Finding::Entry { index }),
            Some(None) => {}
            Some(Some(id)) => {
                let states = passed.entry(id).or_insert_with(|| vec![before]);
                states.push(records.get(&id).and_then(Record::shown));
            }
        }
    }
    let ids: BTreeSet<&ReviewId> = records.keys().chain(shown.keys()).collect();
    for id in ids {
        let (logged, shown) = (records.get(id).and_then(Record::shown), shown.get(id).copied());
        let was_so = passed.get(id).is_some_and(|states| states.contains(&shown));
        match (logged, shown) {
            _ if logged == shown || was_so => {}
            (Some(logged), Some(shown)) => findings.push(Finding::Altered { review_id: *id, logged, shown }),
            (None, Some(_)) => findings.push(Finding::Unlogged { review_id: *id }),
            (_, None) => findings.push(Finding::Dropped { review_id: *id }),
        }
    }
    findings
}

/// What the entries so far say of a review. It does not depend on their order: within a group
/// that is the order of their hashes, and a late tick publishes and edits in one group.
#[derive(Default)]
struct Record {
    published: Option<Digest>,
    /// The edit with the highest sequence number.
    edited: Option<(u64, Digest)>,
    /// Withdrawn or removed: for good.
    ended: bool,
}

impl Record {
    /// The digest of what is to be shown; `None` for nothing.
    fn shown(&self) -> Option<Digest> {
        let published = self.published.filter(|_| !self.ended)?;
        Some(self.edited.map_or(published, |(_, edited)| edited))
    }
}

/// Takes an entry: `None` if it does not fit; the review that it is about, if there is one.
fn take(records: &mut BTreeMap<ReviewId, Record>, entry: &[u8]) -> Option<Option<ReviewId>> {
    match kind(entry)? {
        // Manifests are about cohorts.
        CohortManifest::KIND => CohortManifest::from_bytes(entry).ok().map(|_| None),
        PublishedEntry::KIND => {
            let PublishedEntry { review_id, review_digest, .. } = PublishedEntry::from_bytes(entry).ok()?;
            let record = records.entry(review_id).or_default();
            let first = record.published.is_none();
            record.published.get_or_insert(review_digest);
            first.then_some(Some(review_id))
        }
        EditedEntry::KIND => {
            let EditedEntry { review_id, sequence, review_digest, .. } =
                EditedEntry::from_bytes(entry).ok()?;
            let record = records.entry(review_id).or_default();
            match record.edited {
                Some((last, _)) if last == sequence => return None,
                Some((last, _)) if last > sequence => {}
                _ => record.edited = Some((sequence, review_digest)),
            }
            Some(Some(review_id))
        }
        WithdrawnEntry::KIND => {
            let WithdrawnEntry { review_id, .. } = WithdrawnEntry::from_bytes(entry).ok()?;
            records.entry(review_id).or_default().ended = true;
            Some(Some(review_id))
        }
        RemovedEntry::KIND => {
            let RemovedEntry { review_id, .. } = RemovedEntry::from_bytes(entry).ok()?;
            records.entry(review_id).or_default().ended = true;
            Some(Some(review_id))
        }
        _ => None,
    }
}
