//! Whole cohorts, at the boundaries of their manifests, once.

use crate::world::{
    Author, World, day, fresh_ring, keys, manifest, merchant, open, review, rotate_away, scope, submit_one,
    submitted,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use unjoin::ManualClock;
use unjoin::ledger::{HeldWithdrawalEntry, Ledger, PublishedEntry, waiting_entries};
use unjoin::review::{DeskError, PublishedReview};
use unjoin::secret::SystemRng;
use unjoin::store::{BUCKETS, Bucket, Commit, MemoryStore, Outcome, Store};
use unjoin::token::{CohortManifest, PlatformKey, PublicationDates, ReviewState};
use unjoin::wire::Message;
use unjoin_test_util::{Call, Failure, Faulty, copy, dump, holds_bytes};

fn entries<S: Store>(store: &S) -> BTreeSet<Vec<u8>> {
    let of = |bucket| waiting_entries(store, bucket, Ledger::Reviews, usize::MAX).unwrap();
    Bucket::all().flat_map(of).collect()
}

#[test]
fn a_cohort_is_published_after_its_manifest_at_its_boundaries_only() {
    let (world, scope) = World::with_cohort(5, 8);
    let _ = submit_one(&world, &scope, "soon");
    let _ = submit_one(&world, &scope, "in time");
    assert!(world.tick_at(4).batches.is_empty());
    world.clock.set(day(5).saturating_sub(1));
    assert!(world.desk.tick().unwrap().batches.is_empty());
    // The tick is late: what arrives after the boundary belongs to the next one.
    world.go_to(5);
    let _ = submit_one(&world, &scope, "after the first");
    let report = world.desk.tick().unwrap();
    let [batch] = &report.batches[..] else { panic!("one batch") };
    assert_eq!((batch.boundary, batch.reviews.len(), batch.at_least), (day(5), 2, 2));
    assert!(report.rewritten);
    for number in [5, 6, 7] {
        assert!(world.tick_at(number).batches.is_empty());
        assert_eq!(world.listing("a").len(), 2);
    }
    let report = world.tick_at(8);
    assert_eq!(report.batches.iter().map(|batch| batch.reviews.len()).collect::<Vec<_>>(), [1]);
    assert!(world.listing("a").iter().all(|shown| [day(5), day(8)].contains(&shown.published_at)));
    assert_eq!(world.counts("a"), [3, 0, 0, 0, 0]);
    assert!(world.tick_at(30).batches.is_empty());
}

#[test]
fn each_of_four_boundaries_takes_what_came_before_it() {
    let (world, scope) = (World::in_memory(), scope("a", 1));
    let signed = manifest(&scope, 1, 2);
    let publications = PublicationDates::starting(day(3)).unwrap();
    let manifest = signed.verify(&keys().platform.public()).unwrap().clone();
    world.desk.admit(&CohortManifest { publications, ..manifest }.sign(&keys().platform).unwrap()).unwrap();
    for (number, boundary) in [3, 10, 31, 59].into_iter().enumerate() {
        world.go_to(boundary - 1);
        let (_, state) = submit_one(&world, &scope, "words");
        assert_eq!(state.published_at, day(boundary));
        assert!(world.desk.tick().unwrap().batches.is_empty());
        let report = world.tick_at(boundary);
        assert_eq!((report.batches[0].boundary, report.batches[0].reviews.len()), (day(boundary), 1));
        assert_eq!(world.listing("a").len(), number + 1);
    }
    world.refuses("desk.window_over", || world.submit(Author::new(&scope).submission(&review(1, "x"))));
}

#[test]
fn a_very_late_tick_publishes_both_boundaries_under_their_own_dates() {
    let (world, scope) = World::with_cohort(2, 5);
    let _ = submit_one(&world, &scope, "first");
    world.go_to(3);
    let _ = submit_one(&world, &scope, "second");
    let boundaries: Vec<_> = world.tick_at(40).batches.iter().map(|batch| batch.boundary).collect();
    assert_eq!(boundaries, [day(2), day(5)]);
}

#[test]
fn a_manifest_is_admitted_once_and_only_if_it_is_the_platforms() {
    let world = World::in_memory();
    let scope = scope("a", 1);
    let good = manifest(&scope, 2, 5);
    world.desk.admit(&good).unwrap();
    let before = dump(&*world.store);
    world.desk.admit(&good).unwrap();
    assert_eq!(dump(&*world.store), before);
    world.refuses("desk.manifest_conflict", || world.desk.admit(&manifest(&scope, 2, 6)));

    let refuses = |code, change: &dyn Fn(&mut CohortManifest)| {
        let signed = manifest(&crate::world::scope("a", 2), 2, 5);
        let mut manifest = signed.verify(&keys().platform.public()).unwrap().clone();
        change(&mut manifest);
        world.refuses(code, || world.desk.admit(&manifest.sign(&keys().platform).unwrap()));
    };
    refuses("desk.wrong_escrow", &|manifest| manifest.escrow_id = [1; 32]);
    for dates in [[day(2), day(5).saturating_add(1)], [day(2).saturating_add(1), day(5)]] {
        refuses("desk.off_grid", &|manifest| manifest.publications = PublicationDates::new(&dates).unwrap());
    }
    refuses("desk.manifest_refused", &|manifest| manifest.at_least = 0);
    refuses("desk.unknown_key", &|manifest| {
        manifest.scope = crate::world::scope_under(&fresh_ring(), "a", 2);
    });
    let forger = PlatformKey::generate(&mut SystemRng::new());
    let forged = good.verify(&keys().platform.public()).unwrap().clone().sign(&forger).unwrap();
    world.refuses("desk.manifest_refused", || world.desk.admit(&forged));
}

#[test]
fn a_batch_and_the_listing_do_not_tell_the_order_of_arrival() {
    const COHORTS: u64 = 60;
    let world = World::in_memory();
    let mut first = Vec::new();
    for number in 0..COHORTS {
        let scope = scope("a", number);
        world.desk.admit(&manifest(&scope, 2, 5)).unwrap();
        let arrived: Vec<_> = (0..3).map(|_| submit_one(&world, &scope, "same").0.id()).collect();
        first.push((scope, arrived[0]));
    }
    let report = world.tick_at(2);
    let mut places = [0; 3];
    for (scope, first) in first {
        let batch = report.batches.iter().find(|batch| batch.scope == scope).unwrap();
        places[batch.reviews.iter().position(|shown| shown.review_id == first).unwrap()] += 1;
    }
    // One place stays empty with a probability of 10^-10.
    assert!(places.iter().all(|count| *count > 0), "{places:?}");
    let listed = world.listing("a");
    assert!(listed.is_sorted_by_key(|shown| shown.review_id));
    assert_eq!(listed.len() as u64, 3 * COHORTS);
}

#[test]
fn the_ledger_and_the_trustees_get_what_was_published() {
    let world = World::in_memory();
    let (scope, good) = (scope("a", 1), review(4, "fine"));
    let author = Author::new(&scope);
    let submission = author.submission(&good);
    world.desk.admit(&manifest(&scope, 2, 5)).unwrap();
    world.submit(submission.clone()).unwrap();
    let id = author.id();
    assert_eq!(world.desk.evidence(&scope, &id).unwrap(), None, "nothing to open before publication");
    let _ = world.tick_at(2);
    let entry = PublishedEntry {
        scope: scope.clone(),
        boundary: day(2),
        review_id: id,
        review_digest: good.digest(),
        presentation_hash: submission.presentation.hash(),
        author_key: *submission.presentation.author_key(),
    };
    let published = |entry: &Vec<u8>| entry[1] == PublishedEntry::KIND;
    assert_eq!(entries(&*world.store).into_iter().filter(published).collect::<Vec<_>>(), [entry.to_bytes()]);
    let evidence = world.desk.evidence(&scope, &id).unwrap().unwrap();
    assert_eq!(evidence.presentation, submission.presentation);
    let pair = keys().ring.newest();
    let (key, escrow_key) = (pair.issuer_key.public(), &pair.escrow_key);
    let rng = &mut SystemRng::new();
    evidence.accepted.verify(key, escrow_key, &evidence.presentation, &evidence.review_digest, rng).unwrap();

    // Until the opening window ends, and no longer.
    let _ = world.tick_at(8);
    assert!(world.desk.evidence(&scope, &id).unwrap().is_some());
    let report = world.tick_at(9);
    assert_eq!((report.erased_cohorts, report.rewritten), (1, true));
    assert_eq!(world.desk.evidence(&scope, &id).unwrap(), None);
    assert!(!holds_bytes(&*world.store, &submission.presentation.to_bytes()));
    assert_eq!(world.listing("a").len(), 1, "the review stays");
}

/// Publication makes no proof: what can be proved is proved on demand, with the issuing key, as long as the
/// escrow is there. Whoever has a copy of the store does not see that it was.
#[test]
fn a_published_review_is_proved_when_it_is_asked_for_as_long_as_the_key_is_there() {
    let (world, scope) = World::with_cohort(2, 5);
    let (author, _) = submit_one(&world, &scope, "cold soup");
    let _ = world.tick_at(2);
    let before = dump(&*world.store);
    let ask = || world.desk.evidence(&scope, &author.id());
    let [one, again] = [ask(), ask()].map(|kept| kept.unwrap().unwrap());
    assert_eq!(dump(&*world.store), before, "that it was asked for left something");
    assert_ne!(one.accepted, again.accepted, "each proof is a fresh one");
    let pair = keys().ring.newest();
    let (key, escrow_key) = (pair.issuer_key.public(), &pair.escrow_key);
    for kept in [&one, &again] {
        let rng = &mut SystemRng::new();
        kept.accepted.verify(key, escrow_key, &kept.presentation, &kept.review_digest, rng).unwrap();
    }
    assert_eq!((&one.presentation, one.entry()), (&again.presentation, again.entry()));

    let both = rotate_away(&world.desk);
    world.refuses("desk.unknown_key", ask);
    world.desk.set_keys(both).unwrap();
    assert_eq!(ask().unwrap().unwrap().presentation, one.presentation);
    // With its escrow it goes for good.
    let _ = world.tick_at(9);
    assert_eq!(ask().unwrap(), None);
}

#[test]
fn a_missing_key_holds_up_its_own_cohorts_only() {
    let world = World::in_memory();
    let (scope_a, scope_b) = (scope("a", 1), scope("b", 1));
    for scope in [&scope_a, &scope_b] {
        world.desk.admit(&manifest(scope, 2, 5)).unwrap();
    }
    let _ = submit_one(&world, &scope_a, "x");
    let both = rotate_away(&world.desk);
    world.go_to(9);
    let report = world.desk.tick().unwrap();
    assert!(report.batches.is_empty());
    assert!(matches!(report.failed[..], [DeskError::UnknownKey, ..]));
    assert_eq!(world.listing("a"), []);
    assert!(report.erased_cohorts < 2, "what is held is not erased");
    world.desk.set_keys(both).unwrap();
    let report = world.tick_at(9);
    assert_eq!(report.batches.len(), 1);
    assert_eq!(report.batches[0].boundary, day(2));
    assert_eq!(report.batches[0].reviews.len(), 1);
    assert!(report.erased_cohorts > 0);
}

/// A store in which everything is due at once: publications of two merchants, an edit, a
/// withdrawal, a removal, one taken back while it was held, and an erasure.
fn everything_is_due() -> World<unjoin::store::MemoryStore> {
    let world = World::in_memory();
    let old = scope("a", 1);
    world.desk.admit(&manifest(&old, 1, 2)).unwrap();
    let authors: Vec<(Author, ReviewState)> =
        ["one", "two", "three", "four"].map(|text| submit_one(&world, &old, text)).into();
    let _ = world.tick_at(1);
    let new = review(5, "changed my mind");
    let [(editor, edited), (leaver, left), (removed, _), _] = &authors[..] else { panic!("four") };
    world.act(editor, &editor.edit(edited, &new), Some(&new)).unwrap();
    world.act(leaver, &leaver.withdrawal(left), None).unwrap();
    world.remove(&old, &removed.id(), "defamation").unwrap();
    for (name, cohort) in [("a", 2), ("b", 3)] {
        let scope = scope(name, cohort);
        world.desk.admit(&manifest(&scope, 3, 5)).unwrap();
        let [(author, state), ..] = ["five", "six", "seven"].map(|text| submit_one(&world, &scope, text));
        world.act(&author, &author.withdrawal(&state), None).unwrap();
    }
    world
}

#[test]
fn a_tick_may_be_interrupted_at_any_write_and_publishes_once() {
    let start = everything_is_due();
    let outcome = |world: &World<Faulty<_>>| {
        let shown: Vec<PublishedReview> =
            ["a", "b"].into_iter().flat_map(|name| world.listing(name)).collect();
        (shown, world.counts("a"), world.counts("b"), entries(&*world.store))
    };
    let smooth = World::on(Faulty::new(copy(&*start.store)));
    let opening = smooth.store.writes();
    let report = smooth.tick_at(30);
    assert_eq!((report.batches.len(), report.edits, report.withdrawals), (2, 1, 1));
    assert_eq!(report.erased_cohorts, 3);
    let expected = outcome(&smooth);
    assert_eq!((expected.1, expected.2), ([3, 0, 0, 0, 1], [2, 0, 0, 0, 0]));
    let rows: BTreeSet<_> = dump(&*smooth.store).into_iter().map(|(bucket, row)| (bucket, row.key)).collect();
    let writes = smooth.store.writes() - opening;
    assert!(writes > 10);

    for failure in [Failure::Before, Failure::Lost] {
        for count in 0..writes {
            let mut world = World::on(Faulty::new(copy(&*start.store)));
            world.store.fail(count, failure);
            world.go_to(30);
            let failed = world.desk.tick().unwrap_err();
            assert!(failed.is_retryable());
            world.restart();
            let before = world.store.count(Call::Rewrite);
            let report = world.tick_at(30);
            let last_was_lost = failure == Failure::Lost && count == writes - 1;
            assert!(report.rewritten || last_was_lost, "{count}: the rewrite was forgotten");
            assert!(world.store.count(Call::Rewrite) > before || last_was_lost);
            assert_eq!(outcome(&world), expected, "{failure:?} of write {count}");
            let found: BTreeSet<_> =
                dump(&*world.store).into_iter().map(|(bucket, row)| (bucket, row.key)).collect();
            assert_eq!(found, rows);
            assert!(!world.desk.tick().unwrap().rewritten, "nothing is left to do");
        }
    }
}

#[test]
fn desks_that_tick_together_publish_once() {
    let start = everything_is_due();
    let store = Arc::new(copy(&*start.store));
    let clock = Arc::new(unjoin::ManualClock::new(day(30)));
    let desks: Vec<_> = (0..4).map(|_| crate::world::open(Arc::clone(&store), Arc::clone(&clock))).collect();
    let reports: Vec<_> = std::thread::scope(|threads| {
        let running: Vec<_> = desks.iter().map(|desk| threads.spawn(|| desk.tick().unwrap())).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(reports.iter().map(|report| report.batches.len()).sum::<usize>(), 2);
    assert_eq!(reports.iter().map(|report| report.edits).sum::<usize>(), 1);
    assert_eq!(desks[0].histogram(&merchant("a")).unwrap().counts, [3, 0, 0, 0, 1]);
}

#[test]
fn a_publication_reads_each_row_once_and_rests_on_the_tokens_rows_alone() {
    let (world, scope) = (World::on(Faulty::in_memory()), scope("a", 1));
    world.desk.admit(&manifest(&scope, 2, 5)).unwrap();
    for _ in 0..3 {
        let _ = submit_one(&world, &scope, "x");
    }
    let (reads, commits) = (world.store.reads().len(), world.store.commits().len());
    assert_eq!(world.tick_at(2).batches[0].reviews.len(), 3);
    let read = world.store.reads()[reads..].concat();
    let begins = |key: &[u8], with: &[u8]| usize::from(key.starts_with(with));
    let count = |with| read.iter().map(|at| begins(&at.key, with)).sum::<usize>();
    assert_eq!([b"rr", b"re", b"rw"].map(|with| count(with)), [3, 3, 0]);
    let commits = &world.store.commits()[commits..];
    let lists = |commit: &&Commit| commit.writes.iter().any(|write| write.key().starts_with(b"rl"));
    let published = commits.iter().find(lists).unwrap();
    let rests_on = |with| published.preconditions.iter().map(|on| begins(on.key(), with)).sum::<usize>();
    assert_eq!([b"rr", b"re"].map(|with| rests_on(with)), [3, 0]);
}

/// Before any call that the publishing tick makes of its store.
#[test]
fn what_is_taken_back_while_its_cohort_is_published_is_in_no_batch() {
    let schedules = usize::from(BUCKETS);
    let moments = [(Call::Read, 0..8), (Call::Commit, 0..6), (Call::Scan, schedules..schedules + 2)];
    let (mut before, mut afterwards) = (0, 0);
    for (call, after) in moments.into_iter().flat_map(|(call, after)| after.map(move |after| (call, after))) {
        let (rows, scope) = (Arc::new(MemoryStore::new()), scope("a", 1));
        let other = open(Arc::clone(&rows), Arc::new(ManualClock::new(day(1))));
        other.admit(&manifest(&scope, 2, 5)).unwrap();
        let submit = || {
            let author = Author::new(&scope);
            let receipt = other.submit(author.submission(&review(3, "x"))).wait().unwrap();
            (author, submitted(&receipt))
        };
        let [(author, state), ..] = [submit(), submit(), submit()];
        let (action, id, of) = (author.withdrawal(&state), author.id(), scope.clone());
        let store = Arc::new(Faulty::new(Arc::clone(&rows)));
        let desk = open(Arc::clone(&store), Arc::new(ManualClock::new(day(2))));
        let (tell, told) = std::sync::mpsc::channel();
        store.before(call, after, move || {
            let was_held = other.published(of.merchant(), None, 9).unwrap().is_empty();
            other.act(&of, &action, &[]).unwrap();
            tell.send(was_held).unwrap();
        });
        let report = desk.tick().unwrap();
        assert!(report.failed.is_empty(), "{:?}", report.failed);
        let Ok(was_held) = told.try_recv() else { continue };
        *if was_held { &mut before } else { &mut afterwards } += 1;
        let [batch] = &report.batches[..] else { panic!("one batch") };
        let listed: BTreeSet<_> = batch.reviews.iter().map(|shown| shown.review_id).collect();
        assert_eq!((listed.len(), listed.contains(&id)), (3 - usize::from(was_held), !was_held));
        let listing = desk.published(scope.merchant(), None, 9).unwrap();
        assert_eq!(listing.iter().map(|shown| shown.review_id).collect::<BTreeSet<_>>(), listed);
        assert_eq!(desk.histogram(scope.merchant()).unwrap().counts, [0, 0, listed.len() as u64, 0, 0]);
        assert_eq!(desk.evidence(&scope, &id).unwrap().is_some(), !was_held);
        let logged = entries(&*rows);
        let of_kind = |kind| logged.iter().filter(|entry| entry[1] == kind).count();
        let logged = (of_kind(PublishedEntry::KIND), of_kind(HeldWithdrawalEntry::KIND));
        assert_eq!(logged, (listed.len(), usize::from(was_held)));
    }
    assert!(before >= 5 && afterwards >= 1, "{before} before the publication, {afterwards} afterwards");
}

#[test]
fn what_changes_during_a_rewrite_is_rewritten_by_the_next_tick() {
    let (rows, scope) = (Arc::new(MemoryStore::new()), scope("a", 1));
    let store = Arc::new(Faulty::new(Arc::clone(&rows)));
    let desk = open(Arc::clone(&store), Arc::new(ManualClock::new(day(2))));
    desk.admit(&manifest(&scope, 2, 5)).unwrap();
    desk.submit(Author::new(&scope).submission(&review(3, "x"))).wait().unwrap();
    // Another desk's publication, of which only the mark matters.
    let mark = Commit::new(Bucket::of(b"a")).put(b"rm".to_vec(), vec![7; 16]);
    let change = move || assert!(rows.commit(&[mark]).unwrap() == [Outcome::Committed]);
    store.before(Call::Rewrite, 0, change);
    let rewritten: Vec<bool> = (0..3).map(|_| desk.tick().unwrap().rewritten).collect();
    assert_eq!(rewritten, [true, true, false]);
}
