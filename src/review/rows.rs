//! What the review service stores: the keys of its rows, its schedule, and what the values say.
//! The rows of a spent token are in `spent`.
//!
//! Every key begins with the namespace `r` and a letter; everything of a merchant lies in the
//! merchant's bucket. `scope` and `merchant` are in their canonical bytes, which are
//! prefix-free.
//!
//! ```text
//! r c scope                         a cohort: its manifest, and which boundaries are sealed
//! r b                               (one bucket) when the last ticks were
//! r d time (be64) task scope [id]   what is due at a boundary
//! r e scope id                      what was sent with a token: what trustees open; while it is held, the review too
//! r k key                           a key of the staff's, which may sign removals
//! r l merchant id                   a published review
//! r m                               this bucket changed since the store was last rewritten
//! r o scope                         how many published reviews of a cohort have how many stars
//! r p                               (one bucket) the boundary after which it was rewritten
//! r r scope id                      a token that is spent
//! r s merchant                      how many published reviews of a merchant have how many stars
//! r v                               (one bucket) the last recovery
//! r w scope id                      what happens to a review at a boundary
//! r x id                            a review that the ledger knows to be withdrawn, of a cohort that it does not tell
//! ```
//!
//! No row of a review holds a time but boundaries, and no order of arrival.

use super::histogram::HistogramRow;
use super::reading::PublishedReview;
use super::spent::{SentRow, SpentRow, WaitingRow};
use crate::clock::ClockRow;
use crate::recovery::RecoveryRow;
use unjoin_core::entry::HeldWithdrawalEntry;
use unjoin_core::token::{CohortManifest, PublicationDates, Review, ReviewId, Scope};
use unjoin_core::wire::{DecodeError, Reader, Rule, Writer};
use unjoin_core::{Name, Timestamp};
use unjoin_store::{
    Bucket, Key, MessageRow, Pages, Present, Reads, Record, RowKey, Store, StoreError, record,
};

const NAMESPACE: u8 = b'r';

/// At most this many rows are read, or changed in one commit, at a time; a cohort is published
/// whole.
pub(super) const CHUNK: usize = 256;

// --- keys -------------------------------------------------------------------------------

fn key(letter: u8, rest: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::new();
    out.u8(NAMESPACE);
    out.u8(letter);
    rest(&mut out);
    out.finish()
}

/// Where everything of a merchant lies.
fn bucket(merchant: &Name) -> Bucket {
    Bucket::of(merchant.as_bytes())
}

fn of_scope<R>(letter: u8, scope: &Scope, id: Option<&ReviewId>) -> Key<R> {
    let key = key(letter, |out| {
        scope.encode(out);
        id.into_iter().for_each(|id| out.raw(id.as_bytes()));
    });
    Key::new(bucket(scope.merchant()), key)
}

fn of_merchant<R>(letter: u8, merchant: &Name, id: Option<&ReviewId>) -> Key<R> {
    let key = key(letter, |out| {
        merchant.encode(out);
        id.into_iter().for_each(|id| out.raw(id.as_bytes()));
    });
    Key::new(bucket(merchant), key)
}

pub(super) fn cohort(scope: &Scope) -> Key<CohortRow> {
    of_scope(b'c', scope, None)
}

pub(super) fn spent(scope: &Scope, id: &ReviewId) -> Key<SpentRow> {
    of_scope(b'r', scope, Some(id))
}

pub(super) fn sent(scope: &Scope, id: &ReviewId) -> Key<SentRow> {
    of_scope(b'e', scope, Some(id))
}

pub(super) fn waiting(scope: &Scope, id: &ReviewId) -> Key<WaitingRow> {
    of_scope(b'w', scope, Some(id))
}

/// What was sent with a token, by where its row is.
pub(super) fn sent_with(spent: &Key<SpentRow>) -> Key<SentRow> {
    beside(b'e', spent)
}

/// What waits with a token's review, by where its row is.
pub(super) fn waiting_with(spent: &Key<SpentRow>) -> Key<WaitingRow> {
    beside(b'w', spent)
}

/// The row of another letter for the same review.
fn beside<R>(letter: u8, spent: &Key<SpentRow>) -> Key<R> {
    let mut key = spent.bytes().to_vec();
    key.iter_mut().skip(1).take(1).for_each(|was| *was = letter);
    Key::new(spent.bucket(), key)
}

/// All spent tokens of a cohort, in the order of their reviews' ids.
pub(super) fn spent_of<'a, S: Store>(store: &'a S, scope: &Scope) -> Pages<'a, S, SpentRow> {
    pages(store, &of_scope(b'r', scope, None), CHUNK)
}

/// What was sent in a cohort, as far as it was not erased.
pub(super) fn sent_of<'a, S: Store>(store: &'a S, scope: &Scope) -> Pages<'a, S, SentRow> {
    pages(store, &of_scope(b'e', scope, None), CHUNK)
}

/// All spent tokens of a bucket.
pub(super) fn spent_in<S: Store>(store: &S, bucket: Bucket) -> Pages<'_, S, SpentRow> {
    Pages::new(store, bucket, key(b'r', |_| ()), CHUNK)
}

/// The cohort and the review of a spent token's key.
pub(super) fn review_of(spent: &Key<SpentRow>) -> Result<(Scope, ReviewId), StoreError> {
    let mut from = Reader::new(spent.bytes(), "spent token's key");
    let decoded = (|| {
        let _namespace_and_letter: [u8; 2] = from.array("namespace")?;
        let scope = Scope::decode(&mut from)?;
        let id = ReviewId(from.array("review id")?);
        from.end()?;
        Ok::<_, DecodeError>((scope, id))
    })();
    decoded.map_err(|_| StoreError::Corrupt("spent token's key"))
}

/// In a bucket of the id: the ledger does not tell the merchant.
pub(super) fn withdrawn(id: &ReviewId) -> Key<MessageRow<HeldWithdrawalEntry>> {
    Key::new(Bucket::of(id.as_bytes()), key(b'x', |out| out.raw(id.as_bytes())))
}

fn pages<'a, S: Store, R: Record>(store: &'a S, prefix: &Key<R>, page: usize) -> Pages<'a, S, R> {
    Pages::new(store, prefix.bucket(), prefix.bytes().to_vec(), page)
}

/// In one bucket: there are few.
pub(super) fn staff(staff_key: &[u8; 32]) -> Key<Present> {
    Key::new(bucket_of_few(), key(b'k', |out| out.raw(staff_key)))
}

fn bucket_of_few() -> Bucket {
    Bucket::of(b"")
}

pub(super) fn listed(merchant: &Name, id: &ReviewId) -> Key<ListedRow> {
    of_merchant(b'l', merchant, Some(id))
}

/// The published reviews of a merchant, in the order of their ids.
pub(super) fn listing_of<'a, S: Store>(
    store: &'a S,
    merchant: &Name,
    page: usize,
) -> Pages<'a, S, ListedRow> {
    pages(store, &of_merchant(b'l', merchant, None), page)
}

pub(super) fn histogram(merchant: &Name) -> Key<HistogramRow> {
    of_merchant(b's', merchant, None)
}

pub(super) fn cohort_histogram(scope: &Scope) -> Key<HistogramRow> {
    of_scope(b'o', scope, None)
}

/// All cohorts' histograms.
pub(super) fn cohort_histograms<S: Store>(store: &S) -> Pages<'_, S, HistogramRow> {
    Pages::of_all(store, key(b'o', |_| ()), CHUNK)
}

/// The cohort of its histogram's key.
pub(super) fn histogram_of(key: &Key<HistogramRow>) -> Result<Scope, StoreError> {
    let mut from = Reader::new(key.bytes(), "histogram's key");
    let decoded = (|| {
        let _namespace_and_letter: [u8; 2] = from.array("namespace")?;
        let scope = Scope::decode(&mut from)?;
        from.end()?;
        Ok::<_, DecodeError>(scope)
    })();
    decoded.map_err(|_| StoreError::Corrupt("histogram's key"))
}

pub(super) fn mark(bucket: Bucket) -> Key<MarkRow> {
    Key::new(bucket, key(b'm', |_| ()))
}

/// One row of the whole store.
pub(super) fn clock() -> Key<ClockRow> {
    Key::new(bucket_of_few(), key(b'b', |_| ()))
}

/// One row of the whole store.
pub(super) fn recovery() -> Key<RecoveryRow> {
    Key::new(bucket_of_few(), key(b'v', |_| ()))
}

/// One row of the whole store.
pub(super) fn rewritten() -> Key<RewrittenRow> {
    Key::new(bucket_of_few(), key(b'p', |_| ()))
}

/// The review id that a key of a review or a listing ends with.
pub(super) fn id_of<R>(key: &Key<R>) -> Result<ReviewId, StoreError> {
    key.bytes().last_chunk().copied().map(ReviewId).ok_or(StoreError::Corrupt("review key"))
}

/// A row that not every answer rests on: those that do not need it are given even if it does
/// not decode.
#[derive(Clone)]
pub(super) struct IfNeeded<R>(pub(super) Key<R>);

impl<R: Record> Reads for IfNeeded<R> {
    type Rows = Result<Option<R>, StoreError>;

    fn append_to(&self, keys: &mut Vec<RowKey>) {
        self.0.append_to(keys);
    }

    fn decode(&self, values: &mut core::slice::Iter<'_, Option<Vec<u8>>>) -> Result<Self::Rows, StoreError> {
        Ok(self.0.decode(values))
    }
}

// --- what is due ------------------------------------------------------------------------

/// What is to be done at a boundary. In the order in which one boundary does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Publish what a cohort holds for this boundary.
    Publish,
    /// Apply what waits with a review.
    Apply(ReviewId),
    /// Erase a cohort's escrows.
    Erase,
    /// Prune a cohort's spent tokens.
    Prune,
}

/// A row of the schedule, which says it all by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) time: Timestamp,
    pub(super) task: Task,
    pub(super) scope: Scope,
}

/// What is due by then: bucket by bucket, each in the order of its times.
pub(super) fn due_by<S: Store>(store: &S, time: Timestamp) -> Pages<'_, S, Present> {
    let after = time.saturating_add(1).as_unix_seconds().to_be_bytes();
    Pages::of_all(store, key(b'd', |_| ()), CHUNK).before(key(b'd', |out| out.raw(&after)))
}

impl Due {
    pub(super) fn key(&self) -> Key<Present> {
        let key = key(b'd', |out| {
            out.raw(&self.time.as_unix_seconds().to_be_bytes());
            out.u8(match self.task {
                Task::Publish => 1,
                Task::Apply(_) => 2,
                Task::Erase => 3,
                Task::Prune => 4,
            });
            self.scope.encode(out);
            if let Task::Apply(id) = self.task {
                out.raw(id.as_bytes());
            }
        });
        Key::new(bucket(self.scope.merchant()), key)
    }

    pub(super) fn from_key(key: &[u8]) -> Result<Self, StoreError> {
        let mut from = Reader::new(key, "schedule key");
        let decoded = (|| {
            let _namespace_and_letter: [u8; 2] = from.array("namespace")?;
            let time = Timestamp::from_unix_seconds(u64::from_be_bytes(from.array("time")?));
            let task = from.u8("task")?;
            let scope = Scope::decode(&mut from)?;
            let task = match task {
                1 => Task::Publish,
                2 => Task::Apply(ReviewId(from.array("review id")?)),
                3 => Task::Erase,
                4 => Task::Prune,
                _ => return Err(from.refuse(Rule::Value)),
            };
            from.end()?;
            Ok::<_, DecodeError>(Self { time, task, scope })
        })();
        decoded.map_err(|_| StoreError::Corrupt("schedule key"))
    }
}

// --- cohorts ----------------------------------------------------------------------------

/// All boundaries are sealed, and the rows of spent tokens gone that are not in the listing.
pub(super) const PRUNED: u8 = PublicationDates::MAX as u8 + 1;

/// A sealed cohort. It stays when everything else of the cohort is gone, and refuses its tokens.
pub(super) struct CohortRow {
    pub(super) manifest: CohortManifest,
    /// How many of its boundaries are sealed: nothing is accepted for them any more.
    /// [`PRUNED`] once they are pruned, too.
    pub(super) sealed: u8,
}

impl CohortRow {
    /// The boundary at which a review that is accepted now is published; `None` once the
    /// window is over. A sealed boundary is past, whatever this machine's clock says.
    pub(super) fn publication_after(&self, now: Timestamp) -> Option<Timestamp> {
        self.not_sealed().iter().copied().find(|boundary| now < *boundary)
    }

    /// The boundaries that are not sealed.
    pub(super) fn not_sealed(&self) -> &[Timestamp] {
        self.manifest.publications.as_slice().get(self.sealed.into()..).unwrap_or_default()
    }
}

record!(CohortRow, "cohort": sealed, manifest whole; if |row| row.sealed <= PRUNED);

// --- what is published ------------------------------------------------------------------

/// A published review, as the listing shows it; its id is in the key.
pub(super) struct ListedRow {
    pub(super) scope: Scope,
    pub(super) published_at: Timestamp,
    pub(super) edited: bool,
    pub(super) review: Review,
}

impl ListedRow {
    pub(super) fn into_published(self, review_id: ReviewId) -> PublishedReview {
        let Self { scope, published_at, edited, review } = self;
        PublishedReview { review_id, scope, review, published_at, edited }
    }
}

record!(ListedRow, "listed review": scope, published_at, edited, review whole);

// --- rewriting --------------------------------------------------------------------------

/// This bucket changed since the store was last rewritten. The bytes are fresh each time, so that a
/// rewrite can tell whether something changed while it ran. They say nothing else, and have no format.
#[derive(PartialEq, Eq)]
pub(super) struct MarkRow(pub(super) Vec<u8>);

record!(MarkRow, "rewrite mark": bare);

/// The boundary after which the store was last rewritten.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct RewrittenRow(pub(super) Timestamp);

record!(RewrittenRow, "last rewrite": 0);
