//! An older copy of the desk's store is put back beside a ledger that has gone on.

mod any_history;
mod crash;

use crate::world::{
    Author, Keys, OPENING_WINDOW_DAYS, ORIGIN, RETRY_WINDOW_DAYS, World, day, keys, manifest, open, review,
    scope, submitted,
};
use std::sync::Arc;
use unjoin::audit::{
    Finding, History, PublishedSet, ReceiptVerdict, action_verdict, audit_reviews, receipt_verdict,
};
use unjoin::ledger::{KeyName, Ledger, Log, LogView, NoteKey, Witness, WitnessPolicy, WitnessService};
use unjoin::review::{DeskConfig, DeskRecovery, ReviewDesk, Submission};
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::identity::Role;
use unjoin::store::{MemoryStore, Store};
use unjoin::token::{Receipt, Review, ReviewStanding, ReviewState, Scope};
use unjoin::wire::Message;
use unjoin::{Clock, DAY, Environment, Grid, ManualClock, QueueConfig, Recovery, RecoveryError};
use unjoin_test_util::{copy, fresh, holds_bytes};

/// The reviews ledger of a world, with one witness.
struct Public {
    log: Log<MemoryStore>,
    witness: Arc<dyn Witness>,
    policy: WitnessPolicy,
    clock: Arc<ManualClock>,
}

impl Public {
    /// With the cohorts' manifests, which the issuer logs.
    fn new(clock: &Arc<ManualClock>, manifests: &[(Scope, u64, u64)]) -> Self {
        let key = NoteKey::from_secret_bytes(KeyName::new(ORIGIN).unwrap(), &SecretBytes::new([1; 32]));
        let name = KeyName::new("witness").unwrap();
        let environment = environment(clock);
        let log_key = key.public().clone();
        let witness =
            WitnessService::create(Arc::new(MemoryStore::new()), name, vec![log_key], environment).unwrap();
        let keys = vec![witness.public_key().clone()];
        let policy = WitnessPolicy::new(key.public().clone(), keys, 1, 0, 60).unwrap();
        let log = Log::open(fresh(Role::Ledgers), Ledger::Reviews, key, Some(policy.clone())).unwrap();
        for (scope, first, end) in manifests {
            let signed = manifest(scope, *first, *end);
            log.append(&[signed.verify(&keys_public()).unwrap().to_bytes()]).unwrap();
        }
        Self { log, witness: Arc::new(witness), policy, clock: Arc::clone(clock) }
    }

    /// Takes in what waits in the outbox, and publishes.
    fn publish(&self, store: &impl Store) {
        self.log.sequence(&[store]).unwrap();
        assert!(self.log.publish(&[Arc::clone(&self.witness)]).unwrap().published);
    }

    fn history(&self, older: Option<&[u8]>) -> History {
        History::read(&self.log, &self.policy, older, self.clock.now()).unwrap()
    }

    fn checkpoint(&self) -> Vec<u8> {
        self.log.checkpoint().unwrap().unwrap()
    }

    fn verdict(&self, author: &Author, receipt: &Receipt) -> ReceiptVerdict {
        receipt_verdict(&self.history(None), receipt, author.scope(), &keys_public(), DAY).unwrap()
    }
}

fn keys_public() -> unjoin::token::PlatformPublicKey {
    keys().platform.public()
}

fn environment(clock: &Arc<ManualClock>) -> Environment {
    Environment::new(clock.clone(), || Box::new(SystemRng::new()))
}

fn config() -> DeskConfig {
    DeskConfig {
        opening_window: OPENING_WINDOW_DAYS * DAY,
        retry_window: RETRY_WINDOW_DAYS * DAY,
        queue: QueueConfig::default(),
    }
}

fn recover<S: Store>(
    store: &S,
    public: &Public,
    clock: &Arc<ManualClock>,
) -> Result<DeskRecovery, RecoveryError> {
    let recovery =
        Recovery { key: &keys().staff, grounds: "the volume was lost", last_mark: 3, after_era: 1 };
    let history = public.history(None);
    let environment = environment(clock);
    ReviewDesk::recover(store, Grid::Daily, &config(), &history, &keys_public(), &recovery, &environment)
}

/// A desk of merchant "a" with one cohort of the boundaries 2 and 5, and its ledger.
fn begun() -> (World<MemoryStore>, Public, Scope) {
    let (world, scope) = (World::in_memory(), scope("a", 1));
    let public = Public::new(&world.clock, &[(scope.clone(), 2, 5)]);
    world.desk.admit(&manifest(&scope, 2, 5)).unwrap();
    public.publish(&*world.store);
    (world, public, scope)
}

/// With a review that was submitted.
fn with_ann() -> (World<MemoryStore>, Public, Author, Review, ReviewState) {
    let (world, public, scope) = begun();
    let (ann, words) = (Author::new(&scope), review(2, "cold soup"));
    let state = submitted(&world.submit(ann.submission(&words)).unwrap());
    (world, public, ann, words, state)
}

/// What the world had is lost; the copy is put back, recovered and opened.
fn put_back(
    lost: World<MemoryStore>,
    copy: MemoryStore,
    public: &Public,
) -> (World<MemoryStore>, DeskRecovery) {
    let (store, clock) = (Arc::new(copy), Arc::clone(&lost.clock));
    drop(lost);
    public.publish(&*store);
    let report = recover(&*store, public, &clock).unwrap();
    let desk = open(Arc::clone(&store), Arc::clone(&clock));
    public.publish(&*store);
    (World { store, clock, desk }, report)
}

/// All that is shown, as an auditor reads it.
fn shown<S: Store>(world: &World<S>) -> PublishedSet {
    let reviews = ["a", "b"].map(|name| world.listing(name)).into_iter().flatten();
    reviews.map(|shown| (shown.review_id, (shown.scope.merchant().clone(), shown.review.digest()))).collect()
}

fn state_of(world: &World<MemoryStore>, author: &Author) -> ReviewState {
    world.desk.state(author.scope(), &author.question(world.clock.now())).unwrap()
}

#[test]
fn a_review_that_was_published_since_the_copy_is_listed_again_with_its_words_alone() {
    let (world, public, scope) = begun();
    let (ann, words) = (Author::new(&scope), review(2, "cold soup"));
    let older = copy(&*world.store);
    let sent = ann.submission(&words);
    let receipt = world.submit(sent.clone()).unwrap();
    let _ = world.tick_at(2);
    public.publish(&*world.store);
    world.go_to(3);
    let (world, report) = put_back(world, older, &public);
    assert_eq!(report, DeskRecovery { era: 2, unlisted: 1, ..DeskRecovery::default() });
    assert_eq!((world.listing("a").len(), state_of(&world, &ann).standing), (0, ReviewStanding::Published));

    // A changed wallet shows another review under the token.
    world.refuses("desk.spent", || world.submit(ann.submission(&review(5, "splendid"))));
    let again = world.submit(sent.clone()).unwrap();
    assert_eq!((again.terms().era, receipt.terms().era), (2, 1));
    assert_eq!(again.terms().publish_by, day(2));
    assert_eq!((world.listing("a").len(), world.counts("a")), (0, [0; 5]), "at a boundary only");
    let report = world.tick_at(4);
    assert_eq!((report.batches.len(), report.edits), (0, 0));
    let listed = world.listing("a");
    assert_eq!((&listed[0].review, listed[0].published_at, listed[0].edited), (&words, day(2), false));
    assert_eq!(world.counts("a"), [0, 1, 0, 0, 0]);
    let evidence = world.desk.evidence(&scope, &ann.id()).unwrap().unwrap();
    assert_eq!(evidence.presentation, sent.presentation, "the one that the ledger names");
    assert_eq!(world.submit(sent).unwrap(), again);
    public.publish(&*world.store);
    for receipt in [receipt, again] {
        assert_eq!(public.verdict(&ann, &receipt), ReceiptVerdict::Kept);
    }
    assert_eq!(audit_reviews(&public.history(None), &shown(&world), &keys_public(), DAY), []);
}

/// The trustees would refuse any other presentation than the one that the ledger names.
#[test]
fn another_presentation_of_a_lost_review_brings_its_words_and_no_evidence() {
    let (world, public, scope) = begun();
    let (ann, words) = (Author::new(&scope), review(2, "cold soup"));
    let older = copy(&*world.store);
    world.submit(ann.submission(&words)).unwrap();
    let _ = world.tick_at(2);
    public.publish(&*world.store);
    let (world, _) = put_back(world, older, &public);
    world.submit(ann.submission(&words)).unwrap();
    let _ = world.tick_at(3);
    assert_eq!(world.listing("a")[0].review, words);
    assert_eq!(world.desk.evidence(&scope, &ann.id()).unwrap(), None);
}

/// The copy holds words whose author took them back, and was told so. Another's are still meant.
#[test]
fn nothing_that_was_held_is_published_until_the_very_same_review_is_sent_again() {
    let (world, public, scope) = begun();
    let (ann, words) = (Author::new(&scope), review(1, "words that nobody should see"));
    let state = submitted(&world.submit(ann.submission(&words)).unwrap());
    let (ben, said) = (Author::new(&scope), review(2, "still meant"));
    let sent = ben.submission(&said);
    let first = world.submit(sent.clone()).unwrap();
    let older = copy(&*world.store);
    let action = ann.withdrawal(&state);
    let promised = world.act(&ann, &action, None).unwrap();
    let (world, report) = put_back(world, older, &public);
    assert_eq!((report.held, report.unlisted), (2, 0));
    assert!(!holds_bytes(&*world.store, b"words that nobody"));

    // A changed wallet shows another review.
    world.refuses("desk.spent", || world.submit(ann.submission(&review(5, "bought"))));
    world.refuses("desk.spent", || world.submit(ben.submission(&review(5, "bought"))));
    let again = world.submit(sent).unwrap();
    assert_eq!((again.terms().era, again.terms().publish_by), (2, first.terms().publish_by));
    // The withdrawal, repeated, is accepted as if nothing had been.
    assert_eq!(state_of(&world, &ann).last_sequence, 0);
    let repeated = world.act(&ann, &action, None).unwrap();
    assert_eq!((repeated.era(), repeated.boundary(), promised.boundary()), (2, day(2), day(2)));
    let other = review(5, "x");
    world.refuses("desk.withdrawn", || world.act(&ann, &ann.edit(&state, &other), Some(&other)));
    let report = world.tick_at(2);
    assert_eq!(report.batches[0].reviews.len(), 1);
    assert_eq!(world.listing("a")[0].review, said);
    world.refuses("desk.withdrawn", || world.submit(ann.submission(&words)));
    public.publish(&*world.store);
    assert_eq!(audit_reviews(&public.history(None), &shown(&world), &keys_public(), DAY), []);
    assert_eq!(public.verdict(&ben, &again), ReceiptVerdict::Kept);
    let verdict =
        |receipt| action_verdict(&public.history(None), receipt, &action, &keys_public(), DAY).unwrap();
    assert_eq!((verdict(&promised), verdict(&repeated)), (ReceiptVerdict::Kept, ReceiptVerdict::Kept));
}

/// Whoever sends nothing again is not published, and their receipt says lost. Later is too late.
#[test]
fn what_is_not_sent_again_is_lost_with_the_era() {
    let (world, public, scope) = begun();
    let (ann, words) = (Author::new(&scope), review(2, "cold soup"));
    let receipt = world.submit(ann.submission(&words)).unwrap();
    let older = copy(&*world.store);
    let (world, _) = put_back(world, older, &public);
    let action = ann.withdrawal(&submitted(&receipt));
    let recovery = public.history(None).newer().0.size() - 1;
    let _ = (world.tick_at(2), world.tick_at(4));
    public.publish(&*world.store);
    assert_eq!((world.listing("a").len(), state_of(&world, &ann).standing), (0, ReviewStanding::Held));
    assert_eq!(public.verdict(&ann, &receipt), ReceiptVerdict::Lost { recovery });
    // The second boundary is open.
    let later = world.submit(ann.submission(&words)).unwrap();
    assert_eq!((later.terms().publish_by, later.terms().era), (day(5), 2));
    let (world, _) = {
        let older = copy(&*world.store);
        put_back(world, older, &public)
    };
    let _ = world.tick_at(6);
    world.refuses("desk.window_over", || world.submit(ann.submission(&words)));
    world.refuses("desk.window_over", || world.act(&ann, &action, None));
    assert_eq!(world.listing("a").len(), 0);
}

/// Withdrawn in the gap, while held: the ledger has the withdrawal, and tells no cohort.
#[test]
fn a_review_that_the_ledger_knows_to_be_withdrawn_never_comes_back() {
    for copied_held in [false, true] {
        let (world, public, scope) = begun();
        let (ann, words) = (Author::new(&scope), review(1, "taken back"));
        let before = copy(&*world.store);
        let sent = ann.submission(&words);
        let state = submitted(&world.submit(sent.clone()).unwrap());
        let older = if copied_held { copy(&*world.store) } else { before };
        let action = ann.withdrawal(&state);
        let receipt = world.act(&ann, &action, None).unwrap();
        let _ = world.tick_at(2);
        public.publish(&*world.store);
        let (world, report) = put_back(world, older, &public);
        assert_eq!((report.unlisted, report.held), (0, usize::from(copied_held)));
        // The same review, another one, and the action of before.
        world.refuses("desk.withdrawn", || world.submit(sent.clone()));
        world.refuses("desk.withdrawn", || world.submit(ann.submission(&review(5, "bought"))));
        let again = world.act(&ann, &action, None).unwrap();
        assert_eq!((again.boundary(), again.era()), (receipt.boundary(), 2));
        let next = state.after(&action);
        assert_eq!(state_of(&world, &ann), ReviewState { published_at: day(2), ..next.clone() });
        let stranger = Author::new(&scope);
        world.refuses("desk.refused", || {
            world.act(&stranger, &stranger.withdrawal(&next_of(&stranger)), None)
        });
        let _ = (world.tick_at(5), world.tick_at(6));
        assert_eq!(world.listing("a").len(), 0);
        public.publish(&*world.store);
        assert_eq!(audit_reviews(&public.history(None), &shown(&world), &keys_public(), DAY), []);
    }
}

/// Where a review of this author would stand.
fn next_of(author: &Author) -> ReviewState {
    ReviewState {
        review_id: author.id(),
        last_sequence: 0,
        digest_in_force: review(1, "x").digest(),
        standing: ReviewStanding::Held,
        published_at: day(2),
    }
}

/// The copy lists a review that was edited, withdrawn or removed since.
#[test]
fn a_listed_review_is_brought_to_what_the_ledger_says() {
    let (world, public, scope) = begun();
    let authors: Vec<(Author, Submission)> = (0..4)
        .map(|number| {
            let author = Author::new(&scope);
            let sent = author.submission(&review(number + 1, "first words"));
            (author, sent)
        })
        .collect();
    let states: Vec<ReviewState> =
        authors.iter().map(|(_, sent)| submitted(&world.submit(sent.clone()).unwrap())).collect();
    let _ = world.tick_at(2);
    public.publish(&*world.store);
    let older = copy(&*world.store);
    let [edited, withdrawn, removed, kept] = [0, 1, 2, 3].map(|at: usize| &authors[at]);
    let new = review(5, "second words");
    let edit = edited.0.edit(&states[0], &new);
    world.act(&edited.0, &edit, Some(&new)).unwrap();
    let withdrawal = withdrawn.0.withdrawal(&states[1]);
    world.act(&withdrawn.0, &withdrawal, None).unwrap();
    world.remove(&scope, &removed.0.id(), "an order of the court").unwrap();
    let _ = world.tick_at(21);
    public.publish(&*world.store);

    let (world, report) = put_back(world, older, &public);
    assert_eq!((report.unlisted, report.changes), (1, 0));
    let ids: Vec<_> = world.listing("a").iter().map(|shown| shown.review_id).collect();
    assert_eq!((ids, world.counts("a")), (vec![kept.0.id()], [0, 0, 0, 1, 0]));
    for ((author, sent), code) in [(withdrawn, "desk.withdrawn"), (removed, "")] {
        match code {
            "" => drop(world.submit(sent.clone()).unwrap()),
            code => world.refuses(code, || world.submit(sent.clone())),
        }
        let other = review(5, "bought");
        let code = if code.is_empty() { "desk.spent" } else { code };
        world.refuses(code, || world.submit(author.submission(&other)));
    }
    // The first words of an edited review are not in force: they bring nothing back.
    world.submit(edited.1.clone()).unwrap();
    let _ = world.tick_at(22);
    assert_eq!(world.listing("a").len(), 1);
    // What the ledger shows is answered as anybody's copy of it; what continues it is new.
    world.refuses("desk.out_of_sequence", || world.act(&edited.0, &edit, Some(&new)));
    let state = state_of(&world, &edited.0);
    assert_eq!((state.last_sequence, state.digest_in_force), (1, new.digest()));
    let null_edit = edited.0.edit(&state, &new);
    world.act(&edited.0, &null_edit, Some(&new)).unwrap();
    let _ = world.tick_at(43);
    assert_eq!(world.listing("a").len(), 2);
    assert_eq!(world.counts("a"), [0, 0, 0, 1, 1]);
    world.remove(&scope, &edited.0.id(), "the staff's key is in the ledger").unwrap();
    public.publish(&*world.store);
    assert_eq!(audit_reviews(&public.history(None), &shown(&world), &keys_public(), DAY), []);
}

/// An edit waits in the copy, and was cancelled since. Devices repeat both, unchanged.
#[test]
fn changes_that_wait_in_the_copy_go_and_are_repeated_unchanged() {
    let (world, public, ann, words, state) = with_ann();
    let _ = world.tick_at(2);
    let new = review(5, "under pressure");
    let edit = ann.edit(&state, &new);
    let waits = world.act(&ann, &edit, Some(&new)).unwrap();
    let older = copy(&*world.store);
    let cancel = ann.edit(&state.clone().after(&edit), &words);
    world.act(&ann, &cancel, Some(&words)).unwrap();
    let (world, report) = put_back(world, older, &public);
    assert_eq!((report.changes, report.unlisted, report.held), (1, 0, 0));
    let _ = world.tick_at(21);
    assert_eq!(world.listing("a")[0].review, words, "not under pressure");
    world.refuses("desk.out_of_sequence", || world.act(&ann, &cancel, Some(&words)));
    let again = world.act(&ann, &edit, Some(&new)).unwrap();
    assert!(again.era() == 2 && again.boundary() > waits.boundary());
    world.act(&ann, &cancel, Some(&words)).unwrap();
    let _ = world.tick_at(42);
    public.publish(&*world.store);
    assert_eq!(world.listing("a")[0].review, words);
    assert_eq!(audit_reviews(&public.history(None), &shown(&world), &keys_public(), DAY), []);
}

/// Its author withdrew; the boundary came and went, and the ledger never heard of it.
#[test]
fn a_withdrawal_of_a_sealed_boundary_is_logged_at_the_next_one() {
    let (world, public, ann, words, state) = with_ann();
    let action = ann.withdrawal(&state);
    world.act(&ann, &action, None).unwrap();
    let older = copy(&*world.store);
    let _ = world.tick_at(3);
    let (world, _) = put_back(world, older, &public);
    let checkpoint = public.checkpoint();
    let other = review(5, "x");
    world.refuses("desk.withdrawn", || world.act(&ann, &ann.edit(&state, &other), Some(&other)));
    let _ = world.tick_at(5);
    public.publish(&*world.store);
    let history = public.history(Some(&checkpoint));
    assert_eq!(audit_reviews(&history, &shown(&world), &keys_public(), DAY), []);
    assert_eq!(history.entries().last().unwrap()[1], 18, "a withdrawal while held");
    world.refuses("desk.withdrawn", || world.submit(ann.submission(&words)));
}

#[test]
fn a_recovery_is_signed_by_a_key_of_the_ledgers() {
    let (world, public, _) = begun();
    let Keys { staff, .. } = keys();
    let stranger = unjoin::token::StaffKey::generate(&mut SystemRng::new());
    let tries = |key, grounds: &str| {
        let recovery = Recovery { key, grounds, last_mark: 0, after_era: 1 };
        let (history, environment) = (public.history(None), environment(&world.clock));
        let store = copy(&*world.store);
        let before = unjoin_test_util::dump(&store);
        let platform = keys_public();
        let done =
            ReviewDesk::recover(&store, Grid::Daily, &config(), &history, &platform, &recovery, &environment);
        assert_eq!(unjoin_test_util::dump(&store) == before, done.is_err());
        done.map(|report| report.era).map_err(|error| error.code())
    };
    assert_eq!(tries(&stranger, "why"), Err("recovery.unknown_staff"));
    assert_eq!(tries(staff, ""), Err("recovery.grounds"));
    assert_eq!(tries(staff, &"g".repeat(481)), Err("recovery.grounds"));
    assert_eq!(tries(staff, "why"), Ok(2));
}

/// Two copies of one time are put back one after the other: the second goes on from what the first left in the
/// ledger, and its era is a new one.
#[test]
fn an_era_that_stands_in_the_ledger_is_not_begun_again() {
    let (world, public, scope) = begun();
    let older = [(); 2].map(|()| copy(&*world.store));
    let [first, second] = older;
    let (world, report) = put_back(world, first, &public);
    assert_eq!(report.era, 2);
    let (ann, words) = (Author::new(&scope), review(2, "of era 2"));
    let receipt = world.submit(ann.submission(&words)).unwrap();
    let (world, report) = put_back(world, second, &public);
    assert_eq!(report.era, 3);
    let _ = world.tick_at(4);
    public.publish(&*world.store);
    assert!(matches!(public.verdict(&ann, &receipt), ReceiptVerdict::Lost { .. }));
    assert!(!matches!(
        audit_reviews(&public.history(None), &shown(&world), &keys_public(), DAY)[..],
        [Finding::Entry { .. }, ..]
    ));
}
