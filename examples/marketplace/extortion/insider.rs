//! A bribed employee, who has the desk's store and can have anything logged: what he does to
//! published reviews is found by whoever audits, and what he logs at publication by the author's
//! device, with its receipt.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    sync::Arc,
};

use unjoin::{
    Clock, DAY,
    audit::{Finding, History, PublishedSet, ReceiptVerdict, audit_reviews, receipt_verdict, removals},
    ledger::{
        ActionEntry, KeyName, Ledger, Log, LogView, NoteKey, PublishedEntry, RemovedEntry, Witness,
        WitnessPolicy, WitnessService,
    },
    review::PublishedReview,
    secret::{SecretBytes, SystemRng},
    store::{
        MemoryStore, Store, Stores,
        identity::{Role, Roster},
    },
    token::{
        ActionKind, AuthorAction, AuthorKey, AuthorStatement, CohortManifest, Review, ReviewId, Scope,
        StaffKey,
    },
    wire::Message,
};
use unjoin_core::signature::Signer;

use super::{
    act::Scene,
    court::{Result, Session},
};

/// What he deletes.
const DELETED: usize = 3;
/// So many reviews he lays hands on.
pub(super) const VICTIMS: usize = DELETED + 4;
/// So long after its boundary an entry may be logged.
const GRACE: u64 = DAY;

/// Plays him, and tells it. The victims are shown; the device of each has a receipt.
pub(super) fn play<S: Store>(
    scene: &Scene<'_, S>,
    session: &Session<'_, S>,
    shown: &[PublishedReview],
    victims: &[&PublishedReview],
) -> Result<String> {
    let insider =
        Insider { scene, session, signer: Signer::from_seed(&SecretBytes::random(&mut SystemRng::new())) };
    let [deleted @ .., withdrawn, edited, removed, moved] = victims else {
        return Err("too few bad reviews".into());
    };
    let mut text = insider.change_what_is_shown(shown, deleted, [*withdrawn, *edited, *removed, *moved])?;
    let [other_key, other_shop, late, kept, ..] = victims else { return Err("too few bad reviews".into()) };
    text += &insider.log_otherwise([*other_key, *other_shop, *late, *kept])?;
    Ok(text)
}

struct Insider<'a, S: Store> {
    scene: &'a Scene<'a, S>,
    session: &'a Session<'a, S>,
    /// His own key, which no review and no colleague has.
    signer: Signer,
}

impl<S: Store> Insider<'_, S> {
    fn change_what_is_shown(
        &self,
        shown: &[PublishedReview],
        deleted: &[&PublishedReview],
        [withdrawn, edited, removed, moved]: [&PublishedReview; 4],
    ) -> Result<String> {
        let set: PublishedSet = shown.iter().map(|review| (review.review_id, shown_as(review))).collect();
        let log = self.session.reviews();
        let older = log.checkpoint()?;
        self.session.pass(DAY)?;
        if !self.audit(older.as_deref(), &set)?.is_empty() {
            return Err("the audit finds faults where there are none".into());
        }

        let mut false_set = set.clone();
        let (older, first) = (log.checkpoint()?, log.size()?);
        for review in deleted.iter().chain([&withdrawn, &removed]) {
            false_set.remove(&review.review_id);
        }
        let praise = Review::new(5, "", Vec::new())?.digest();
        false_set.insert(edited.review_id, (edited.scope.merchant().clone(), praise));
        let other =
            shown.iter().map(|review| review.scope.merchant()).find(|shop| *shop != moved.scope.merchant());
        let other = other.ok_or("there is only one shop")?.clone();
        false_set.insert(moved.review_id, (other.clone(), moved.review.digest()));
        log.append(&[
            self.action(withdrawn, ActionKind::Withdraw, [0; 32])?,
            self.action(edited, ActionKind::Edit, praise)?,
            self.removal_by_the_colleague(removed)?,
        ])?;
        self.session.pass(DAY)?;

        let mut expected: Vec<Finding> =
            (first..first + 3).map(|index| Finding::Unsigned { index }).collect();
        let gone = deleted.iter().chain([&withdrawn, &removed]);
        expected.extend(gone.map(|review| Finding::Dropped { review_id: review.review_id }));
        expected.extend([
            Finding::Altered { review_id: edited.review_id, logged: edited.review.digest(), shown: praise },
            Finding::Moved {
                review_id: moved.review_id,
                logged: moved.scope.merchant().clone(),
                shown: other,
            },
        ]);
        let mut found = self.audit(older.as_deref(), &false_set)?;
        found.sort();
        expected.sort();
        if found != expected
            || !removals(&self.history(older.as_deref())?, self.scene.platform.public_key()).is_empty()
        {
            return Err("the audit does not name what the employee did".into());
        }
        let mut text = String::new();
        writeln!(
            text,
            "   The audit of {} reviews found no fault before; now it names what they did, and nothing else:\n   \
             - deletes {}: each dropped, without withdrawal or removal\n   \
             - logs a withdrawal of one, and deletes it: not signed by its author; dropped\n   \
             - logs an edit of one, to five stars: not signed by its author; altered\n   \
             - removes one in a colleague's name: not signed by the colleague; dropped\n   \
             - shows one under another shop: moved",
            shown.len(),
            deleted.len(),
        )?;
        Ok(text)
    }

    /// What he could have had logged at publication instead: in a ledger beside the true one, as
    /// that one cannot be written again.
    fn log_otherwise(&self, victims: [&PublishedReview; 4]) -> Result<String> {
        let (manifests, published) = self.logged()?;
        let [other_key, other_shop, late, kept] = victims.map(|review| published.get(&review.review_id));
        let not_logged = "a shown review is not logged";
        let (other_key, other_shop) = (other_key.ok_or(not_logged)?, other_shop.ok_or(not_logged)?);
        let (late, kept) = (late.ok_or(not_logged)?, kept.ok_or(not_logged)?);
        let elsewhere =
            published.values().find(|entry| entry.scope.merchant() != other_shop.scope.merchant());
        let elsewhere = elsewhere.ok_or("there is only one shop")?;
        let author_key = AuthorKey(*self.signer.verifier().as_bytes());
        let of_his_key = PublishedEntry { author_key, ..other_key.clone() };
        let (scope, boundary) = (elsewhere.scope.clone(), elsewhere.boundary);
        let of_his_shop = PublishedEntry { scope, boundary, ..other_shop.clone() };

        let at_publication = [&of_his_key, &of_his_shop, kept];
        let mut entries: Vec<Vec<u8>> = Vec::new();
        for scope in at_publication.iter().map(|entry| &entry.scope).chain([&late.scope]) {
            entries.push(manifests.get(scope).ok_or("a cohort without a manifest")?.to_bytes());
        }
        entries.sort();
        entries.dedup();
        entries.extend(at_publication.iter().map(|entry| entry.to_bytes()));
        let ledger = OtherLedger::open(self.scene, self.session)?;
        ledger.publish(&entries)?;
        let older = ledger.log.checkpoint()?;
        // The date says that it was on time; the checkpoint before it says that it was not.
        ledger.publish(&[late.to_bytes()])?;
        let now = self.scene.clock.now();
        let history = History::read(&ledger.log, &ledger.policy, older.as_deref(), now)?;
        let all = at_publication.into_iter().chain([late]);
        let set = all
            .map(|entry| (entry.review_id, (entry.scope.merchant().clone(), entry.review_digest)))
            .collect();
        let platform = self.scene.platform.public_key();
        if audit_reviews(&history, &set, platform, GRACE) != [Finding::Late { index: entries.len() as u64 }] {
            return Err("the audit does not name the late entry alone".into());
        }
        let mut verdicts = Vec::new();
        for review in victims {
            let receipt = self.scene.receipts.get(&review.review_id).ok_or("a device without its receipt")?;
            verdicts.push(receipt_verdict(&history, receipt, &review.scope, platform, GRACE)?);
        }
        let [kept, unkept] = [ReceiptVerdict::Kept, ReceiptVerdict::Unkept];
        if verdicts != [unkept, unkept, unkept, kept] {
            return Err("a device misjudges its receipt".into());
        }
        let mut text = String::new();
        writeln!(
            text,
            "   What he could have had logged at publication the author's device finds, with its receipt:\n   \
             - one with a key of his own, to act for its author later: unkept\n   \
             - one in another shop's cohort: unkept\n   \
             - one held back, and logged later under the old date: unkept; and late, says the audit"
        )?;
        Ok(text)
    }

    /// The manifests and published entries of the true ledger.
    fn logged(&self) -> Result<(HashMap<Scope, CohortManifest>, BTreeMap<ReviewId, PublishedEntry>)> {
        let (mut manifests, mut published) = (HashMap::new(), BTreeMap::new());
        for entry in self.history(None)?.entries() {
            if let Ok(manifest) = CohortManifest::from_bytes(entry) {
                manifests.insert(manifest.scope.clone(), manifest);
            } else if let Ok(entry) = PublishedEntry::from_bytes(entry) {
                published.insert(entry.review_id, entry);
            }
        }
        Ok((manifests, published))
    }

    /// What a reader finds who looks between two checkpoints.
    fn audit(&self, older: Option<&[u8]>, shown: &PublishedSet) -> Result<Vec<Finding>> {
        Ok(audit_reviews(&self.history(older)?, shown, self.scene.platform.public_key(), GRACE))
    }

    fn history(&self, older: Option<&[u8]>) -> Result<History> {
        let (log, policy) = (self.session.reviews(), &self.session.policy.reviews);
        Ok(History::read(log, policy, older, self.scene.clock.now())?)
    }

    /// The entry of an action on somebody's review that he signs himself.
    fn action(&self, review: &PublishedReview, kind: ActionKind, new_digest: [u8; 32]) -> Result<Vec<u8>> {
        let (review_id, previous_digest) = (review.review_id, review.review.digest());
        let statement = AuthorStatement { kind, review_id, sequence: 1, previous_digest, new_digest };
        let action = AuthorAction::sign(&self.signer, statement).ok_or("no action")?;
        Ok(ActionEntry { action, boundary: self.scene.clock.now() }.to_bytes())
    }

    /// A removal that he signs himself, and that names the colleague's key.
    fn removal_by_the_colleague(&self, review: &PublishedReview) -> Result<Vec<u8>> {
        let (own, origin) =
            (StaffKey::generate(&mut SystemRng::new()), self.session.policy.reviews.log().name());
        let digest = review.review.digest();
        let removal =
            RemovedEntry::sign(&own, origin.as_str(), review.review_id, digest, "an order of a court")?;
        let mut removal = removal.to_bytes();
        let from = removal.len() - 64 - 32;
        removal
            .get_mut(from..from + 32)
            .ok_or("a short removal")?
            .copy_from_slice(self.scene.colleague.as_bytes());
        Ok(removal)
    }
}

/// A ledger of the same name, beside the true one.
struct OtherLedger {
    log: Log<MemoryStore>,
    witness: Arc<dyn Witness>,
    policy: WitnessPolicy,
}

impl OtherLedger {
    fn open<S: Store>(scene: &Scene<'_, S>, session: &Session<'_, S>) -> Result<Self> {
        let rng = &mut SystemRng::new();
        let key = NoteKey::generate(session.policy.reviews.log().name().clone(), rng);
        let (store, name) = (Arc::new(MemoryStore::new()), KeyName::new("another-witness.example")?);
        let (logs, environment) = (vec![key.public().clone()], scene.environment.clone());
        let witness = Arc::new(WitnessService::create(store, name, logs, environment)?);
        let policy = WitnessPolicy::new(key.public().clone(), vec![witness.public_key().clone()], 1, 0, DAY)?;
        let stores = [(Role::Ledgers, Arc::new(MemoryStore::new()))];
        let stores = Stores::create(&Roster::alone(Role::Ledgers, rng), stores, rng)?;
        let log = Log::open(stores.own(Role::Ledgers)?, Ledger::Reviews, key, Some(policy.clone()))?;
        Ok(Self { log, witness, policy })
    }

    fn publish(&self, entries: &[Vec<u8>]) -> Result<()> {
        self.log.append(entries)?;
        if self.log.publish(std::slice::from_ref(&self.witness))?.published {
            Ok(())
        } else {
            Err("a ledger found no quorum".into())
        }
    }
}

fn shown_as(review: &PublishedReview) -> (unjoin::Name, [u8; 32]) {
    (review.scope.merchant().clone(), review.review.digest())
}
