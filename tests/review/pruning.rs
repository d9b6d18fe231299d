//! What remains when nobody can ask about a cohort any more.

use crate::world::{
    Author, OPENING_WINDOW_DAYS, RETRY_WINDOW_DAYS, World, manifest, review, scope, submit_one,
};
use unjoin::store::{MemoryStore, Store};
use unjoin::token::ReviewState;
use unjoin_test_util::{Failure, Faulty, copy, dump};

/// The window's end of every cohort here.
const END: u64 = 5;
const PRUNED: u64 = END + OPENING_WINDOW_DAYS + RETRY_WINDOW_DAYS;

/// One of each: published, edited, withdrawn, removed, taken back while it was held.
fn a_cohort_of_every_fate() -> (World<MemoryStore>, Vec<(Author, ReviewState)>) {
    let world = World::in_memory();
    let scope = scope("a", 1);
    world.desk.admit(&manifest(&scope, 2, END)).unwrap();
    let authors: Vec<_> =
        ["one", "two", "three", "four", "five"].map(|text| submit_one(&world, &scope, text)).into();
    let withdraw = |at: usize| {
        let (author, state) = &authors[at];
        world.act(author, &author.withdrawal(state), None).unwrap();
    };
    withdraw(4);
    let _ = world.tick_at(2);
    let new = review(5, "changed my mind");
    let (author, state) = &authors[1];
    world.act(author, &author.edit(state, &new), Some(&new)).unwrap();
    withdraw(2);
    world.remove(&scope, &authors[3].0.id(), "defamation").unwrap();
    // Until the last Monday that a change may have waited for.
    for number in 3..=21 {
        let _ = world.tick_at(number);
    }
    (world, authors)
}

/// The rows of spent tokens, and all bytes of the store.
fn size<S: Store>(store: &S) -> (usize, usize) {
    let rows = dump(store);
    let bytes = rows.iter().map(|(_, row)| row.key.len() + row.value.len()).sum();
    (rows.iter().filter(|(_, row)| row.key.starts_with(b"rr")).count(), bytes)
}

#[test]
fn spent_tokens_are_pruned_after_their_windows_and_published_reviews_stay() {
    let (world, authors) = a_cohort_of_every_fate();
    let (listing, counts) = (world.listing("a"), world.counts("a"));
    assert_eq!((listing.len(), counts), (2, [1, 0, 0, 0, 1]));
    let before = world.tick_at(PRUNED - 1);
    assert_eq!((before.pruned_cohorts, size(&*world.store).0), (0, authors.len()));
    let (_, kept) = size(&*world.store);
    let report = world.tick_at(PRUNED);
    assert_eq!((report.pruned_cohorts, report.rewritten), (1, true));
    let (spent, left) = size(&*world.store);
    assert_eq!(spent, 2, "those whose reviews are listed");
    assert!(left < kept);
    assert_eq!((world.listing("a"), world.counts("a")), (listing, counts));
    assert_eq!(world.tick_at(PRUNED + 1).pruned_cohorts, 0);
}

#[test]
fn a_token_of_a_pruned_cohort_is_refused() {
    let (world, authors) = a_cohort_of_every_fate();
    let _ = world.tick_at(PRUNED);
    let scope = scope("a", 1);
    // Withdrawn, removed or taken back: the cohort's row says that the window is over.
    for (author, _) in &authors[2..] {
        world.refuses("desk.window_over", || world.submit(author.submission(&review(1, "again"))));
    }
    for (author, _) in &authors[..2] {
        world.refuses("desk.spent", || world.submit(author.submission(&review(1, "again"))));
    }
    world.refuses("desk.window_over", || world.submit(Author::new(&scope).submission(&review(1, "x"))));
    let (author, state) = &authors[2];
    let late = author.withdrawal(state);
    world.refuses("desk.refused", || world.act(author, &late, None));
    assert_eq!(world.desk.evidence(&scope, &authors[0].0.id()).unwrap(), None);
}

/// As long as it is listed a review can be removed or withdrawn; its row goes when the retries
/// are over, although its cohort was pruned long ago.
#[test]
fn what_ends_after_its_cohort_was_pruned_is_pruned_as_well() {
    let (world, authors) = a_cohort_of_every_fate();
    let _ = world.tick_at(PRUNED);
    let scope = scope("a", 1);
    let id = authors[0].0.id();
    world.remove(&scope, &id, "defamation").unwrap();
    assert_eq!((world.listing("a").len(), world.counts("a")), (1, [1, 0, 0, 0, 1]));
    let _ = world.tick_at(PRUNED + 1);
    assert_eq!(world.counts("a"), [0, 0, 0, 0, 1]);
    world.remove(&scope, &id, "defamation").unwrap();
    let withdrawn = authors[2].0.id();
    world.refuses("desk.unknown_review", || world.remove(&scope, &withdrawn, "x"));

    let (author, first) = &authors[1];
    let edited = first.clone().after(&author.edit(first, &review(5, "changed my mind")));
    let withdrawal = author.withdrawal(&edited);
    let receipt = world.act(author, &withdrawal, None).unwrap();
    let _ = world.tick_at(PRUNED + 21);
    assert_eq!(world.act(author, &withdrawal, None).unwrap(), receipt, "a retry");
    let _ = world.tick_at(PRUNED + 21 + RETRY_WINDOW_DAYS);
    assert_eq!((size(&*world.store).0, world.listing("a").len()), (0, 0));
}

#[test]
fn pruning_may_be_interrupted_at_any_write() {
    let (start, _) = a_cohort_of_every_fate();
    let outcome = |world: &World<Faulty<MemoryStore>>| {
        let mut rows = dump(&*world.store);
        rows.retain(|(_, row)| !row.key.starts_with(b"rm"));
        rows.into_iter().map(|(bucket, row)| (bucket, row.key, row.value)).collect::<Vec<_>>()
    };
    let smooth = World::on(Faulty::new(copy(&*start.store)));
    let opening = smooth.store.writes();
    assert_eq!(smooth.tick_at(PRUNED).pruned_cohorts, 1);
    let (expected, writes) = (outcome(&smooth), smooth.store.writes() - opening);
    assert!(writes >= 3);
    for failure in [Failure::Before, Failure::Lost] {
        for at in 0..writes {
            let world = World::on(Faulty::new(copy(&*start.store)));
            world.go_to(PRUNED);
            world.store.fail(at, failure);
            assert!(world.desk.tick().is_err(), "{failure:?} {at}");
            assert!(world.store.failed());
            let _ = world.tick_at(PRUNED);
            assert_eq!(outcome(&world), expected, "{failure:?} {at}");
        }
    }
}
