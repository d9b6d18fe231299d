//! What remains when nobody can ask about a cohort any more.

use crate::world::{
    Author, OPENING_WINDOW_DAYS, RETRY_WINDOW_DAYS, World, manifest, review, scope, submit_one,
};
use unjoin::store::{MemoryStore, Store};
use unjoin_test_util::{Failure, Faulty, copy, dump};
use unjoin_wallet::{AuthorRequest, ReviewState};

/// The window's end of every cohort here.
const END: u64 = 5;
const PRUNED: u64 = END + OPENING_WINDOW_DAYS + RETRY_WINDOW_DAYS;

/// One of each: published, edited, withdrawn, removed, taken back while it was held.
fn a_cohort_of_every_fate() -> (World<MemoryStore>, Vec<(Author, ReviewState)>) {
    let world = World::in_memory();
    let scope = scope("a", 1);
    let authors: Vec<_> =
        ["one", "two", "three", "four", "five"].map(|text| submit_one(&world, &scope, text)).into();
    world.desk.admit(&manifest(&scope, 2, END)).unwrap();
    let act = |at: usize, request: AuthorRequest<'_>, edited| {
        let (author, state) = &authors[at];
        world.desk.act(&scope, &author.proof(*state, request), edited).unwrap();
    };
    act(4, AuthorRequest::Withdraw, None);
    let _ = world.tick_at(2);
    let new = review(5, "changed my mind");
    act(1, AuthorRequest::Edit(&new), Some(new.clone()));
    act(2, AuthorRequest::Withdraw, None);
    world.desk.remove(&scope, &authors[3].0.id(), "court 7", "defamation").unwrap();
    for number in 3..=END + OPENING_WINDOW_DAYS {
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
    assert_eq!(spent, 0);
    assert!(left < kept);
    assert_eq!((world.listing("a"), world.counts("a")), (listing, counts));
    assert_eq!(world.tick_at(PRUNED + 1).pruned_cohorts, 0);
}

#[test]
fn a_token_of_a_pruned_cohort_is_refused_by_its_window() {
    let (world, authors) = a_cohort_of_every_fate();
    let _ = world.tick_at(PRUNED);
    let scope = scope("a", 1);
    // Spent or not, published or taken back: the cohort's row says that the window is over.
    for (author, _) in &authors {
        world.refuses("desk.window_over", || world.submit(author.submission(&review(1, "again"))));
    }
    world.refuses("desk.window_over", || world.submit(Author::new(&scope).submission(&review(1, "x"))));
    let (author, state) = &authors[0];
    let late = author.proof(*state, AuthorRequest::Withdraw);
    world.refuses("desk.escrow_erased", || world.desk.act(&scope, &late, None));
    let foreign = crate::world::scope("a", 2);
    world.refuses("desk.unknown_review", || world.desk.act(&foreign, &late, None));
    assert_eq!(world.desk.evidence(&scope, &author.id()).unwrap(), None);
}

#[test]
fn a_review_can_be_removed_after_its_token_was_pruned() {
    let (world, authors) = a_cohort_of_every_fate();
    let _ = world.tick_at(PRUNED);
    let (scope, id) = (scope("a", 1), authors[0].0.id());
    let remove = |id| world.desk.remove(&scope, id, "court 7", "defamation");
    remove(&id).unwrap();
    assert_eq!((world.listing("a").len(), world.counts("a")), (1, [1, 0, 0, 0, 1]));
    let _ = world.tick_at(PRUNED + 1);
    assert_eq!(world.counts("a"), [0, 0, 0, 0, 1]);
    remove(&id).unwrap();
    let withdrawn = authors[2].0.id();
    world.refuses("desk.unknown_review", || remove(&withdrawn));
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
    assert_eq!(smooth.tick_at(PRUNED).pruned_cohorts, 1);
    let (expected, writes) = (outcome(&smooth), smooth.store.writes());
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
