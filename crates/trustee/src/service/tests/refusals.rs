//! Every condition, refused with its own error and nothing written.

use super::*;
use crate::test_util::world::{
    CONSUMERS, COURT, FRESHNESS, GROUNDS, OPENINGS, START, log_key, officers, own,
};
use crate::warrant::{Excess, Warrant, WarrantError, WarrantTerms};
use unjoin_core::entry::WarrantEntry;
use unjoin_core::wire::Message;
use unjoin_core::{Clock, DAY};
use unjoin_log::tile::{TILE_WIDTH, TileId};
use unjoin_log::{LogView, NoteKey, PolicyError, ViewError};
use unjoin_store::identity::{Role, Roster};
use unjoin_store::{Bucket, Row, StoreError, Stores};

/// A trustee that has followed the ledger, and its store as it is then.
struct Asked<'a> {
    world: &'a World,
    trustee: Trustee<MemoryStore>,
    store: Arc<MemoryStore>,
    before: Vec<(Bucket, Row)>,
}

impl<'a> Asked<'a> {
    fn new(world: &'a World) -> Self {
        let store = Arc::new(MemoryStore::new());
        let trustee = world.trustee(1, &store);
        trustee.follow(&world.openings).unwrap();
        Self { world, trustee, before: dump(&store), store }
    }

    fn refuses(&self, presented: &PresentedWarrant, review: usize) -> TrusteeError {
        self.refuses_request(&self.world.request(presented, review))
    }

    fn refuses_request(&self, request: &OpeningRequest) -> TrusteeError {
        let refused = self.trustee.answer(request, &self.world.openings).unwrap_err();
        assert!(dump(&self.store) == self.before, "a refusal changed something: {refused}");
        refused
    }
}

/// A ledger as somebody shows it.
struct Shown {
    checkpoint: Option<Vec<u8>>,
    entries: Vec<Vec<u8>>,
}

impl LogView for Shown {
    fn checkpoint(&self) -> Result<Option<Vec<u8>>, ViewError> {
        Ok(self.checkpoint.clone())
    }

    fn tile(&self, _: TileId) -> Result<Option<Vec<u8>>, ViewError> {
        Ok(None)
    }

    fn entries(&self, from: u64, to: u64) -> Result<Vec<Vec<u8>>, ViewError> {
        assert!(to - from <= TILE_WIDTH, "an entry may have 64 KiB");
        let end = self.entries.len().min(to as usize);
        Ok(self.entries.get(from as usize..end).unwrap_or_default().to_vec())
    }
}

fn shown(world: &World) -> Shown {
    let size = world.openings.size().unwrap();
    Shown {
        checkpoint: world.openings.checkpoint().unwrap(),
        entries: world.openings.entries(0, size).unwrap(),
    }
}

#[test]
fn a_trustee_without_a_share_or_a_window_is_not_opened() {
    let world = World::new(1, 1, 0, budgets(1, 1, 1));
    let open = |secrets, policy| {
        let store = own(&secrets, &Arc::new(MemoryStore::new()));
        Trustee::open(store, secrets, policy, world.environment()).map(|_| ())
    };
    let bare = TrusteeSecrets::generate(&mut SystemRng::new());
    assert!(matches!(open(bare, world.policy.clone()), Err(TrusteeError::NoShare)));
    let mut policy = world.policy.clone();
    policy.budgets.window = 0;
    assert!(matches!(open(world.secrets(1), policy), Err(TrusteeError::Window)));
}

/// An empty store would have every budget again.
#[test]
fn a_store_that_is_not_this_trustees_is_no_unused_budget() {
    let world = World::new(1, 2, 0, budgets(1, 1, 1));
    let (rng, engine) = (&mut SystemRng::new(), || Arc::new(MemoryStore::new()));
    let opens = |roster: &Roster, role, engine: &Arc<MemoryStore>, rng: &mut SystemRng| {
        let stores = Stores::open(roster, [(role, Arc::clone(engine))], rng);
        stores.and_then(|stores| stores.own(role)).map_err(TrusteeError::from).and_then(|store| {
            Trustee::open(store, world.secrets(1), world.policy.clone(), world.environment()).map(drop)
        })
    };
    let (first, second) = (world.secrets(1).roster(), world.secrets(2).roster());
    let refused = |opened: Result<(), TrusteeError>| match opened {
        Err(TrusteeError::Store(error)) => error,
        other => panic!("{other:?}"),
    };
    // Lost: an empty volume is nobody's.
    let empty = opens(&first, Role::Trustee, &engine(), rng);
    assert!(matches!(refused(empty), StoreError::Nobodys(Role::Trustee)));
    // Swapped with the other trustee's, whichever secrets it was opened with.
    let others = engine();
    own(&world.secrets(2), &others);
    assert!(matches!(
        refused(opens(&first, Role::Trustee, &others, rng)),
        StoreError::Foreign(Role::Trustee)
    ));
    assert!(matches!(
        refused(opens(&second, Role::Trustee, &others, rng)),
        StoreError::Foreign(Role::Trustee)
    ));
    // For something else.
    let (ledgers, roster) = (engine(), Roster::of_key(Role::Ledgers, world.secrets(1).public().as_bytes()));
    Stores::create(&roster, [(Role::Ledgers, Arc::clone(&ledgers))], rng).unwrap();
    let swapped = refused(opens(&roster, Role::Ledgers, &ledgers, rng));
    assert!(matches!(swapped, StoreError::Swapped { expected: Role::Trustee, found: Role::Ledgers }));
    // Its own, whenever it is opened.
    let engine = engine();
    own(&world.secrets(1), &engine);
    opens(&first, Role::Trustee, &engine, rng).unwrap();
}

#[test]
fn a_warrant_with_too_few_signatures_is_refused() {
    let world = World::new(1, 1, 1, budgets(1, 1, 1));
    let mut warrant = Warrant::draft(world.terms(WarrantAction::Open, &[0])).unwrap();
    warrant.sign(&officers(COURT)[0]).unwrap();
    let presented = PresentedWarrant::with_blind(warrant, [1; 32]);
    world.log(&[world.entry(&presented)]);
    let refused = Asked::new(&world).refuses(&presented, 0);
    assert!(matches!(
        refused,
        TrusteeError::Warrant(WarrantError::TooFewSignatures { signed: 1, needed: 2 })
    ));
}

#[test]
fn a_warrant_is_answered_within_its_times_by_the_witnesses_clocks() {
    let world = World::new(1, 1, 1, budgets(1, 1, 1));
    let presented = world.warrant(&[0]);
    let request = world.request(&presented, 0);
    let (first, last) = (presented.terms().not_before(), presented.terms().not_after());
    for (time, valid) in [(first, true), (last, true), (last.saturating_add(1), false)] {
        world.clock.set(time.saturating_sub(1));
        world.publish();
        // The trustee's own clock is a little ahead.
        world.clock.set(time.saturating_add(FRESHNESS / 2));
        let asked = Asked::new(&world);
        if valid {
            assert!(matches!(asked.trustee.answer(&request, &world.openings), Ok(OpeningAnswer::Append(_))));
        } else {
            let refused = asked.refuses_request(&request);
            assert!(matches!(refused, TrusteeError::Warrant(WarrantError::NoLongerValid { .. })));
        }
    }
    let early = World::new(1, 1, 1, budgets(1, 1, 1));
    let presented = early.warrant(&[0]);
    early.clock.set(START.saturating_sub(100));
    early.publish();
    let refused = Asked::new(&early).refuses(&presented, 0);
    assert!(matches!(refused, TrusteeError::Warrant(WarrantError::NotYetValid { .. })));
}

#[test]
fn a_review_that_the_warrant_does_not_name_is_refused() {
    let world = World::new(1, 1, 2, budgets(9, 9, 9));
    let presented = world.warrant(&[0]);
    assert!(matches!(Asked::new(&world).refuses(&presented, 1), TrusteeError::NotNamed));
}

#[test]
fn evidence_of_another_text_is_refused() {
    let world = World::new(1, 1, 1, budgets(1, 1, 1));
    let presented = world.warrant(&[0]);
    let mut request = world.request(&presented, 0);
    request.review.review_digest[0] ^= 1;
    assert!(matches!(Asked::new(&world).refuses_request(&request), TrusteeError::Evidence(_)));
}

#[test]
fn a_warrant_that_is_not_in_the_published_ledger_opens_nothing() {
    let world = World::new(1, 1, 1, budgets(1, 1, 1));
    world.log(&[b"something else".to_vec()]);
    let presented = world.sign(world.terms(WarrantAction::Open, &[0]));
    let asked = Asked::new(&world);
    assert!(matches!(asked.refuses(&presented, 0), TrusteeError::NotLogged));
    // Durable, and under no published checkpoint.
    world.openings.append(&[world.entry(&presented)]).unwrap();
    assert!(matches!(asked.refuses(&presented, 0), TrusteeError::NotLogged));
    world.publish();
    assert!(matches!(settle(&world, &asked.trustee, &presented, 0), Ok(OpeningAnswer::Released(_))));
}

/// An entry of this warrant that one of its officers signed, and that says something else.
fn announced(
    presented: &PresentedWarrant,
    requester: &str,
    action: WarrantAction,
    tags: Vec<[u8; 32]>,
) -> Vec<u8> {
    let [officer, _] = officers(requester);
    let (commitment, requester) = (presented.commitment(), requester.as_bytes().to_vec());
    WarrantEntry::sign(officer.signer(), OPENINGS, commitment, requester, action, tags).unwrap().to_bytes()
}

#[test]
fn a_warrants_entry_says_what_the_warrant_says() {
    let world = World::new(1, 1, 2, budgets(9, 9, 9));
    let (open, compare) = (WarrantAction::Open, WarrantAction::SameAuthor);
    let logged_as = |of, requester, action, change: &dyn Fn(&mut Vec<[u8; 32]>)| {
        let presented = world.sign(world.terms(of, &[0, 1]));
        let mut tags = presented.tags();
        change(&mut tags);
        world.log(&[announced(&presented, requester, action, tags)]);
        let differs = |error| matches!(error, TrusteeError::EntryDiffers);
        Asked::new(&world).trustee.answer(&world.request(&presented, 0), &world.openings).map_err(differs)
    };
    type Change<'a> = &'a dyn Fn(&mut Vec<[u8; 32]>);
    let changes: [Change<'_>; 3] =
        [&|tags| tags.truncate(1), &|tags| tags.push([9; 32]), &|tags| tags[0] = [9; 32]];
    for change in changes {
        assert_eq!(logged_as(open, COURT, open, change), Err(true));
        assert_eq!(logged_as(compare, COURT, compare, change), Err(true));
    }
    assert_eq!(logged_as(open, CONSUMERS, open, &|_| ()), Err(true));
    assert_eq!(logged_as(open, COURT, compare, &|_| ()), Err(true));
    // A comparison may be charged as what costs more.
    assert!(matches!(logged_as(compare, COURT, open, &|_| ()), Ok(OpeningAnswer::Append(_))));
    assert!(matches!(logged_as(compare, COURT, compare, &|_| ()), Ok(OpeningAnswer::Append(_))));
}

#[test]
fn of_two_entries_of_a_warrant_the_first_counts_that_an_officer_signed() {
    let world = World::new(1, 1, 1, budgets(9, 9, 9));
    let presented = world.sign(world.terms(WarrantAction::Open, &[0]));
    // Neither who appends without an officer's key, nor another requester in this one's name.
    let junk = |seed: &NoteKey, origin: &str| {
        let (commitment, requester) = (presented.commitment(), COURT.as_bytes().to_vec());
        let (action, tags) = (WarrantAction::Open, vec![[9; 32]]);
        WarrantEntry::sign(seed.signer(), origin, commitment, requester, action, tags).unwrap().to_bytes()
    };
    let [officer, _] = officers(COURT);
    world.log(&[junk(&officers(CONSUMERS)[0], OPENINGS), junk(&officer, "another ledger")]);
    let asked = Asked::new(&world);
    assert!(matches!(asked.refuses(&presented, 0), TrusteeError::NotLogged));
    world.log(&[world.entry(&presented), junk(&officer, OPENINGS)]);
    assert!(matches!(settle(&world, &asked.trustee, &presented, 0), Ok(OpeningAnswer::Released(_))));

    let other = world.sign(world.terms(WarrantAction::Open, &[0]));
    let wrong = announced(&other, COURT, WarrantAction::Open, vec![[9; 32]]);
    world.log(&[wrong, world.entry(&other)]);
    let refused = asked.trustee.answer(&world.request(&other, 0), &world.openings);
    assert!(matches!(refused, Err(TrusteeError::EntryDiffers)));
}

#[test]
fn before_its_committee_is_logged_a_trustee_releases_nothing() {
    let mut world = World::new(1, 1, 1, budgets(9, 9, 9));
    let committee = world.secrets(1).committee().unwrap().to_bytes();
    world.begin_without_committee();
    let presented = world.warrant(&[0]);
    let asked = Asked::new(&world);
    let refused = asked.refuses(&presented, 0);
    assert!(matches!(refused, TrusteeError::Budget(Excess::Committee)), "{refused}");
    world.log(&[committee]);
    assert!(matches!(settle(&world, &asked.trustee, &presented, 0), Ok(OpeningAnswer::Released(_))));
}

#[test]
fn a_warrant_cools_off_from_its_entrys_time() {
    let mut policy = budgets(1, 1, 1);
    policy.cooling_off = 3 * DAY;
    let world = World::new(1, 1, 1, policy);
    let presented = world.warrant(&[0]);
    let logged = world.clock.now();
    let asked = Asked::new(&world);
    let until = logged.saturating_add(3 * DAY);
    let wait = || asked.trustee.answer(&world.request(&presented, 0), &world.openings).unwrap();
    assert_eq!(wait(), OpeningAnswer::Wait { until });
    world.clock.set(until.saturating_sub(2));
    world.publish();
    assert_eq!(wait(), OpeningAnswer::Wait { until });
    assert!(dump(&asked.store) == asked.before);
    world.publish();
    assert!(matches!(wait(), OpeningAnswer::Append(_)));
}

#[test]
fn a_budget_without_room_refuses_before_anything_is_written() {
    let cases = [
        (budgets(1, 9, 9), Excess::All(1)),
        (budgets(9, 1, 9), Excess::Own(1)),
        (budgets(9, 9, 1), Excess::Requester(1)),
    ];
    for (limits, excess) in cases {
        let world = World::new(1, 1, 2, limits);
        let presented = world.warrant(&[0, 1]);
        let mut asked = Asked::new(&world);
        assert!(matches!(settle(&world, &asked.trustee, &presented, 0), Ok(OpeningAnswer::Released(_))));
        asked.before = dump(&asked.store);
        let refused = asked.refuses(&presented, 1);
        assert!(matches!(refused, TrusteeError::Budget(found) if found == excess), "{refused}");
        // A whole window later there is room.
        world.pass(limits.window);
        world.publish();
        assert!(matches!(settle(&world, &asked.trustee, &presented, 1), Ok(OpeningAnswer::Released(_))));
    }
}

#[test]
fn a_comparison_with_a_review_that_was_opened_is_charged_as_an_opening() {
    let world = World::new(1, 2, 3, budgets(9, 9, 9));
    let trustees = world.all_trustees();
    let opened = world.warrant(&[0]);
    assert!(matches!(settle(&world, &trustees[0], &opened, 0), Ok(OpeningAnswer::Released(_))));
    let compared = |reviews: &[usize], action| {
        let presented = world.sign(world.terms(WarrantAction::SameAuthor, reviews));
        world.log(&[match action {
            WarrantAction::Open => world.entry_as_opening(&presented),
            WarrantAction::SameAuthor => world.entry(&presented),
        }]);
        presented
    };
    let harmless = compared(&[1, 2], WarrantAction::SameAuthor);
    assert_eq!(settle(&world, &trustees[0], &harmless, 1).unwrap(), OpeningAnswer::Charged);
    let cheap = compared(&[0, 1], WarrantAction::SameAuthor);
    // Whichever of its reviews is asked for. Who did not open it learns of it by the disclosure.
    for review in [0, 1] {
        assert_eq!(code(settle(&world, &trustees[0], &cheap, review)), "trustee.charge_as_opening");
    }
    let request = world.request(&cheap, 1);
    assert!(matches!(trustees[1].answer(&request, &world.openings), Ok(OpeningAnswer::Append(_))));
    world.log(&[opened.disclosure().to_bytes()]);
    let again = compared(&[0, 2], WarrantAction::SameAuthor);
    assert_eq!(code(settle(&world, &trustees[1], &again, 2)), "trustee.charge_as_opening");
    let dear = compared(&[0, 1], WarrantAction::Open);
    for trustee in &trustees {
        assert_eq!(settle(&world, trustee, &dear, 1).unwrap(), OpeningAnswer::Charged);
    }
}

#[test]
fn a_checkpoint_that_no_quorum_has_cosigned_lately_is_refused() {
    let world = World::new(1, 1, 1, budgets(1, 1, 1));
    let trustee = world.trustee(1, &Arc::new(MemoryStore::new()));
    let refused = |view: &Shown| trustee.follow(view).unwrap_err();
    let mut view = Shown { checkpoint: None, entries: vec![] };
    assert!(matches!(refused(&view), TrusteeError::Unpublished));
    world.log(&[b"entry".to_vec()]);
    view = shown(&world);
    let whole = String::from_utf8(view.checkpoint.clone().unwrap()).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    // The ledger's signature and two of four cosignatures, where three are needed.
    view.checkpoint = Some(format!("{}\n", lines[..lines.len() - 2].join("\n")).into_bytes());
    assert!(matches!(refused(&view), TrusteeError::Checkpoint(PolicyError::NoQuorum)));
    view.checkpoint = Some(whole.into_bytes());
    world.pass(FRESHNESS + 1);
    assert!(matches!(refused(&view), TrusteeError::Checkpoint(PolicyError::Stale)));
    world.publish();
    trustee.follow(&shown(&world)).unwrap();
}

#[test]
fn a_trustee_reads_no_more_than_one_bundle_at_a_time() {
    let world = World::new(1, 1, 0, budgets(1, 1, 1));
    world.log(&(0..600u16).map(|number| number.to_le_bytes().to_vec()).collect::<Vec<_>>());
    let trustee = world.trustee(1, &Arc::new(MemoryStore::new()));
    assert_eq!(trustee.follow(&shown(&world)).unwrap().size, 601);
}

#[test]
fn an_older_checkpoint_of_the_same_size_revives_no_warrant() {
    let world = World::new(1, 1, 1, budgets(1, 1, 1));
    let base = world.terms(WarrantAction::Open, &[0]);
    let valid = START..=START.saturating_add(100);
    let (name, recipient, reviews) = (base.requester().clone(), *base.recipient(), base.reviews().to_vec());
    let terms = WarrantTerms::new("case 2", name, WarrantAction::Open, GROUNDS, valid, recipient, reviews);
    let presented = world.sign(terms.unwrap());
    world.log(&[world.entry(&presented)]);
    let (old, asked) = (shown(&world), Asked::new(&world));
    world.pass(FRESHNESS / 2);
    world.publish();
    let request = world.request(&presented, 0);
    let is_over = |ledger: &dyn LogView| {
        let refused = asked.trustee.answer(&request, ledger).unwrap_err();
        assert!(matches!(refused, TrusteeError::Warrant(WarrantError::NoLongerValid { .. })), "{refused}");
    };
    is_over(&world.openings);
    is_over(&old);
    // Nor once a bad copy has had the trustee read the ledger anew.
    world.log(&[b"more".to_vec()]);
    let mut bad = shown(&world);
    bad.entries[2] = b"another".to_vec();
    assert_eq!(code(asked.trustee.answer(&request, &bad)), "trustee.view");
    is_over(&old);
}

#[test]
fn a_ledger_that_is_cut_off_or_forked_is_refused_by_what_the_trustee_has_kept() {
    let world = World::new(1, 1, 1, budgets(1, 1, 1));
    world.log(&(0..5u8).map(|number| vec![number]).collect::<Vec<_>>());
    let entries = shown(&world).entries;
    let asked = Asked::new(&world);
    let refuses = |entries: &[Vec<u8>]| {
        let log = forked(&world, entries);
        // Who begins anew with the same store finds the same.
        let again = world.trustee(1, &asked.store).follow(&log).unwrap_err().code();
        assert_eq!(asked.trustee.follow(&log).unwrap_err().code(), again);
        assert!(dump(&asked.store) == asked.before);
        again
    };
    assert_eq!(refuses(&entries[..4]), "trustee.behind");
    let mut other = entries.clone();
    other[0] = b"other".to_vec();
    assert_eq!(refuses(&other), "trustee.forked");
    other.push(b"more".to_vec());
    assert_eq!(refuses(&other), "trustee.forked");
    assert_eq!(asked.trustee.follow(&world.openings).unwrap().size, 6);
}

#[test]
fn a_bad_copy_of_the_ledger_accuses_nobody_and_a_good_one_is_followed_after_it() {
    let world = World::new(1, 1, 1, budgets(1, 1, 1));
    world.log(&(0..5u8).map(|number| vec![number]).collect::<Vec<_>>());
    let asked = Asked::new(&world);
    world.log(&[b"sixth".to_vec()]);
    let spoilt = |at: usize| {
        let mut view = shown(&world);
        view.entries[at] = b"another".to_vec();
        view
    };
    let is_bad = |trustee: &Trustee<MemoryStore>, view: &Shown| {
        assert!(matches!(trustee.follow(view), Err(TrusteeError::View(ViewError::Malformed))));
        assert!(dump(&asked.store) == asked.before);
    };
    is_bad(&asked.trustee, &spoilt(6));
    // Who begins anew with the same store reads what is under the last checkpoint, too.
    let again = world.trustee(1, &asked.store);
    is_bad(&again, &spoilt(0));
    is_bad(&again, &spoilt(6));
    let mut view = shown(&world);
    view.entries.pop();
    assert!(matches!(again.follow(&view), Err(TrusteeError::View(ViewError::Missing))));
    assert_eq!(again.follow(&world.openings).unwrap().size, 7);
    assert_eq!(asked.trustee.follow(&world.openings).unwrap().size, 7);
    // A trustee that has seen nothing has nothing to accuse with.
    let fresh = world.trustee(1, &Arc::new(MemoryStore::new()));
    assert!(matches!(fresh.follow(&spoilt(3)), Err(TrusteeError::View(ViewError::Malformed))));
    assert_eq!(fresh.follow(&world.openings).unwrap().size, 7);
}

#[test]
fn witnesses_who_remember_cosign_no_second_history() {
    let world = World::new(1, 1, 1, budgets(1, 1, 1));
    world.log(&[b"one".to_vec(), b"two".to_vec()]);
    let fresh = world.trustee(1, &Arc::new(MemoryStore::new()));
    let key = log_key(OPENINGS);
    let log = crate::test_util::fresh_log(key, None);
    log.append(&[b"other".to_vec(), b"history".to_vec(), b"longer".to_vec()]).unwrap();
    assert_eq!(log.publish(&world.witnesses).unwrap().refusals.len(), 4);
    // Even a trustee that has seen nothing yet does not believe it.
    assert!(matches!(fresh.follow(&log), Err(TrusteeError::Checkpoint(PolicyError::NoQuorum))));
}
