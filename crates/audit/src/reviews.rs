//! What is shown, held against what was logged.

use super::{History, StaffKeys, kind, recoveries};
use std::collections::{BTreeMap, BTreeSet};
use unjoin_core::Name;
use unjoin_core::entry::{
    ActionEntry, HeldWithdrawalEntry, PublishedEntry, RecoveredEntry, RecoveredStore, RemovedEntry,
    StaffKeyEntry, StoreMarkEntry,
};
use unjoin_core::token::{
    ActionKind, AuthorAction, AuthorKey, CohortManifest, Digest, PlatformPublicKey, ReviewId, Scope,
};
use unjoin_core::wire::Message;

/// The reviews that a platform shows, read between the two checkpoints: of each id the merchant
/// under whom it is shown and the digest.
///
/// ```
/// use unjoin_audit::PublishedSet;
/// use unjoin_core::{Name, token::{Review, ReviewId}};
/// let (id, review) = (ReviewId([1; 32]), Review::new(1, "The lamp came broken.", vec![])?);
/// // Of what the merchant's page shows.
/// let shown = PublishedSet::from([(id, (Name::new("lamps")?, review.digest()))]);
/// assert!(shown.contains_key(&id));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type PublishedSet = BTreeMap<ReviewId, (Name, Digest)>;

/// Something that the ledger and what is shown do not agree on.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// # use unjoin_core::DAY;
/// use unjoin_audit::{Finding, PublishedSet, audit_reviews};
/// # let shop = Shop::open();
/// # let accepted = shop.accepted();
/// # let (history, platform) = (shop.ledger(&accepted).history(), shop.platform_key.public());
/// # let (review_id, merchant, logged) = (accepted.state.review_id, shop.offer().scope.merchant().clone(), accepted.review.digest());
/// // Somebody has put other words into the author's mouth.
/// let shown = PublishedSet::from([(review_id, (merchant, [9; 32]))]);
/// let found = audit_reviews(&history, &shown, &platform, DAY);
/// assert_eq!(found, [Finding::Altered { review_id, logged, shown: [9; 32] }]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Finding {
    /// A published review is not shown, and neither its author's withdrawal nor a removal was logged.
    Dropped {
        /// Which.
        review_id: ReviewId,
    },
    /// A published review is not shown since an older copy of the reviews' store was put back. Its
    /// words come back when its author's device sends them again.
    Lost {
        /// Which.
        review_id: ReviewId,
        /// The index of the recovery's entry.
        recovery: u64,
    },
    /// A review is shown in words that its author did not sign.
    Altered {
        /// Which.
        review_id: ReviewId,
        /// The digest that was logged last.
        logged: Digest,
        /// The digest of what is shown.
        shown: Digest,
    },
    /// A review is shown under another merchant.
    Moved {
        /// Which.
        review_id: ReviewId,
        /// The merchant that it was published for.
        logged: Name,
        /// The merchant under whom it is shown.
        shown: Name,
    },
    /// A review is shown that was never published, or was withdrawn or removed.
    Unlogged {
        /// Which.
        review_id: ReviewId,
    },
    /// The author's actions are not numbered without gap, or one does not continue the one before.
    Gap {
        /// Which.
        review_id: ReviewId,
        /// The first number that is missing or does not fit.
        sequence: u64,
    },
    /// An action that the review's author key did not sign. Or a removal, or a recovery, by a key that is
    /// none of the staff's. Or a staff key that the platform did not sign.
    Unsigned {
        /// The entry's index.
        index: u64,
    },
    /// A review was published without a manifest before it, or at no boundary of its manifest.
    WithoutManifest {
        /// The entry's index.
        index: u64,
    },
    /// An entry that the older checkpoint should have covered: that was cosigned later than the
    /// entry's boundary and the grace.
    Late {
        /// The entry's index.
        index: u64,
    },
    /// An entry that is none of this ledger's, or contradicts one before it. That is a second publication
    /// of a review, a second action with one number, an era that has begun before.
    Entry {
        /// Its index.
        index: u64,
    },
}

/// Names every review that is shown as the ledger never had it from the older checkpoint to the newer,
/// by id. Names every entry that does not fit. Nothing else is named: a change that was logged between
/// the two may or may not be shown yet.
///
/// `platform` is the key that signs the staff's. `grace` is how many seconds after its boundary an
/// entry must be logged: a day where nothing else was agreed.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// # use unjoin_core::DAY;
/// use unjoin_audit::{Finding, PublishedSet, audit_reviews};
/// # let shop = Shop::open();
/// # let accepted = shop.accepted();
/// # let (history, platform) = (shop.ledger(&accepted).history(), shop.platform_key.public());
/// # let (review_id, merchant, digest) = (accepted.state.review_id, shop.offer().scope.merchant().clone(), accepted.review.digest());
/// let shown = PublishedSet::from([(review_id, (merchant, digest))]);
/// assert!(audit_reviews(&history, &shown, &platform, DAY).is_empty());
/// // It is gone, and nobody has signed for it.
/// let found = audit_reviews(&history, &PublishedSet::new(), &platform, DAY);
/// assert_eq!(found, [Finding::Dropped { review_id }]);
/// ```
pub fn audit_reviews(
    history: &History,
    shown: &PublishedSet,
    platform: &PlatformPublicKey,
    grace: u64,
) -> Vec<Finding> {
    let (older, newer) = history.split();
    let mut audit = Audit {
        origin: &history.newer().0.checkpoint().origin,
        platform,
        staff: StaffKeys::of(history, platform),
        recoveries: recoveries(history, platform),
        author_keys: author_keys(history.entries()),
        manifests: BTreeMap::new(),
        records: BTreeMap::new(),
        findings: Vec::new(),
    };
    let covered = older.len() as u64;
    for (entry, index) in older.iter().zip(0..) {
        audit.take(entry, index);
    }
    // What each review that changes between the checkpoints was before, and after each change.
    let mut passed: BTreeMap<ReviewId, Vec<Option<Digest>>> = BTreeMap::new();
    for (entry, index) in newer.iter().zip(covered..) {
        if boundary(entry).is_some_and(|due| due.saturating_add(grace) < history.older_time()) {
            audit.findings.push(Finding::Late { index });
        }
        let subject = subject(entry);
        let before = subject.and_then(|id| audit.records.get(&id)?.shown());
        audit.take(entry, index);
        if let Some(id) = subject {
            let states = passed.entry(id).or_insert_with(|| vec![before]);
            states.push(audit.records.get(&id).and_then(Record::shown));
        }
    }
    let Audit { records, recoveries, mut findings, .. } = audit;
    let put_back = recoveries.iter().filter(|(_, (_, entry))| entry.store() == RecoveredStore::Reviews);
    let put_back = put_back.map(|(index, _)| *index).max();
    let ids: BTreeSet<&ReviewId> = records.keys().chain(shown.keys()).collect();
    for id in ids {
        let (record, shown) = (records.get(id), shown.get(id));
        let review_id = *id;
        if let Some(sequence) = record.and_then(Record::gap) {
            findings.push(Finding::Gap { review_id, sequence });
        }
        let merchant = record.and_then(|record| Some(record.published.as_ref()?.scope.merchant()));
        if let (Some(logged), Some((shown, _))) = (merchant, shown)
            && logged != shown
        {
            findings.push(Finding::Moved { review_id, logged: logged.clone(), shown: shown.clone() });
        }
        let (logged, shown) = (record.and_then(Record::shown), shown.map(|(_, digest)| *digest));
        let was_so = passed.get(id).is_some_and(|states| states.contains(&shown));
        match (logged, shown) {
            _ if logged == shown || was_so => {}
            (Some(logged), Some(shown)) => findings.push(Finding::Altered { review_id, logged, shown }),
            (None, Some(_)) => findings.push(Finding::Unlogged { review_id }),
            (_, None) => {
                let lost = put_back.filter(|at| record.is_some_and(|record| record.last < *at));
                findings.push(match lost {
                    Some(recovery) => Finding::Lost { review_id, recovery },
                    None => Finding::Dropped { review_id },
                });
            }
        }
    }
    findings
}

/// The author key of each review: that of its first entry that names one.
pub(crate) fn author_keys(entries: &[Vec<u8>]) -> BTreeMap<ReviewId, AuthorKey> {
    let mut keys = BTreeMap::new();
    for entry in entries {
        let named = match kind(entry) {
            Some(PublishedEntry::KIND) => {
                PublishedEntry::from_bytes(entry).ok().map(|entry| (entry.review_id, entry.author_key))
            }
            Some(HeldWithdrawalEntry::KIND) => HeldWithdrawalEntry::from_bytes(entry)
                .ok()
                .map(|entry| (entry.action.statement().review_id, entry.author_key)),
            _ => None,
        };
        if let Some((id, key)) = named {
            keys.entry(id).or_insert(key);
        }
    }
    keys
}

/// The boundary of an entry that has to be logged soon after it.
fn boundary(entry: &[u8]) -> Option<unjoin_core::Timestamp> {
    match kind(entry)? {
        PublishedEntry::KIND => PublishedEntry::from_bytes(entry).ok().map(|entry| entry.boundary),
        ActionEntry::KIND => ActionEntry::from_bytes(entry).ok().map(|entry| entry.boundary),
        HeldWithdrawalEntry::KIND => HeldWithdrawalEntry::from_bytes(entry).ok().map(|entry| entry.boundary),
        _ => None,
    }
}

/// The review that an entry is about.
fn subject(entry: &[u8]) -> Option<ReviewId> {
    match kind(entry)? {
        PublishedEntry::KIND => PublishedEntry::from_bytes(entry).ok().map(|entry| entry.review_id),
        ActionEntry::KIND => {
            ActionEntry::from_bytes(entry).ok().map(|entry| entry.action.statement().review_id)
        }
        RemovedEntry::KIND => RemovedEntry::from_bytes(entry).ok().map(|entry| *entry.review_id()),
        _ => None,
    }
}

/// The entries so far, folded.
struct Audit<'a> {
    origin: &'a str,
    platform: &'a PlatformPublicKey,
    staff: StaffKeys,
    recoveries: BTreeMap<u64, (Name, RecoveredEntry)>,
    author_keys: BTreeMap<ReviewId, AuthorKey>,
    manifests: BTreeMap<Scope, CohortManifest>,
    records: BTreeMap<ReviewId, Record>,
    findings: Vec<Finding>,
}

/// What the entries so far say of a review. It does not depend on their order. Within a group
/// that is the order of their hashes, and a late tick publishes and edits in one group.
#[derive(Default)]
struct Record {
    published: Option<PublishedEntry>,
    /// The actions that the author signed, by their numbers.
    actions: BTreeMap<u64, AuthorAction>,
    withdrawn_while_held: bool,
    removed: bool,
    /// The index of the last entry that is about it.
    last: u64,
}

impl Record {
    /// The digest of what is to be shown; `None` for nothing.
    fn shown(&self) -> Option<Digest> {
        let published = self.published.as_ref().filter(|_| !self.removed)?;
        let mut digest = published.review_digest;
        for (sequence, action) in (1..).zip(self.actions.values()) {
            let said = action.statement();
            if !said.continues(sequence - 1, &digest) {
                break;
            }
            if said.kind == ActionKind::Withdraw {
                return None;
            }
            digest = said.new_digest;
        }
        Some(digest)
    }

    /// The first action that is missing or does not continue the one before.
    fn gap(&self) -> Option<u64> {
        let mut digest = self.published.as_ref()?.review_digest;
        for (sequence, action) in (1..).zip(self.actions.values()) {
            let said = action.statement();
            if !said.continues(sequence - 1, &digest) {
                return Some(sequence);
            }
            digest = said.new_digest;
        }
        None
    }
}

impl Audit<'_> {
    fn take(&mut self, entry: &[u8], index: u64) {
        let judged = self.judge(entry, index);
        if let Some(record) = subject(entry).and_then(|id| self.records.get_mut(&id)) {
            record.last = index;
        }
        match judged {
            Ok(()) => {}
            Err(Fault::Entry) => self.findings.push(Finding::Entry { index }),
            Err(Fault::Unsigned) => self.findings.push(Finding::Unsigned { index }),
            Err(Fault::WithoutManifest) => self.findings.push(Finding::WithoutManifest { index }),
        }
    }

    fn judge(&mut self, entry: &[u8], index: u64) -> Result<(), Fault> {
        match kind(entry).ok_or(Fault::Entry)? {
            CohortManifest::KIND => {
                let manifest = CohortManifest::from_bytes(entry).map_err(|_| Fault::Entry)?;
                self.manifests.entry(manifest.scope.clone()).or_insert(manifest);
                Ok(())
            }
            PublishedEntry::KIND => {
                self.published(PublishedEntry::from_bytes(entry).map_err(|_| Fault::Entry)?)
            }
            ActionEntry::KIND => {
                let ActionEntry { action, .. } = ActionEntry::from_bytes(entry).map_err(|_| Fault::Entry)?;
                let said = *action.statement();
                self.is_signed(&action)?;
                let actions = &mut self.records.entry(said.review_id).or_default().actions;
                // The same action again, in another entry, contradicts as much as another.
                unless(actions.insert(said.sequence, action).is_some(), Fault::Entry)
            }
            HeldWithdrawalEntry::KIND => {
                let entry = HeldWithdrawalEntry::from_bytes(entry).map_err(|_| Fault::Entry)?;
                self.is_signed(&entry.action)?;
                let record = self.records.entry(entry.action.statement().review_id).or_default();
                let contradicts = record.published.is_some() || record.withdrawn_while_held;
                record.withdrawn_while_held = true;
                unless(contradicts, Fault::Entry)
            }
            RemovedEntry::KIND => {
                let removed = RemovedEntry::from_bytes(entry).map_err(|_| Fault::Entry)?;
                if self.staff.signed(&removed, self.origin).is_none() {
                    return Err(Fault::Unsigned);
                }
                self.records.entry(*removed.review_id()).or_default().removed = true;
                Ok(())
            }
            StaffKeyEntry::KIND => {
                let entry = StaffKeyEntry::from_bytes(entry).map_err(|_| Fault::Entry)?;
                entry.verify(self.platform, self.origin).map_err(|_| Fault::Unsigned)
            }
            RecoveredEntry::KIND => {
                let entry = RecoveredEntry::from_bytes(entry).map_err(|_| Fault::Entry)?;
                if self.staff.recovered(&entry, self.origin).is_none() {
                    return Err(Fault::Unsigned);
                }
                unless(!self.recoveries.contains_key(&index), Fault::Entry)
            }
            StoreMarkEntry::KIND => StoreMarkEntry::from_bytes(entry).map(drop).map_err(|_| Fault::Entry),
            _ => Err(Fault::Entry),
        }
    }

    fn published(&mut self, published: PublishedEntry) -> Result<(), Fault> {
        let dated = self
            .manifests
            .get(&published.scope)
            .is_some_and(|manifest| manifest.publications.as_slice().contains(&published.boundary));
        let record = self.records.entry(published.review_id).or_default();
        if record.published.is_some() || record.withdrawn_while_held {
            return Err(Fault::Entry);
        }
        record.published = Some(published);
        unless(!dated, Fault::WithoutManifest)
    }

    /// Whether the review's author key signed the action.
    fn is_signed(&self, action: &AuthorAction) -> Result<(), Fault> {
        let id = &action.statement().review_id;
        let key = self.author_keys.get(id).ok_or(Fault::Unsigned)?;
        action.verify(key, id).map_err(|_| Fault::Unsigned)
    }
}

enum Fault {
    Entry,
    Unsigned,
    WithoutManifest,
}

fn unless(fault: bool, what: Fault) -> Result<(), Fault> {
    if fault { Err(what) } else { Ok(()) }
}
