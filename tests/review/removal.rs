//! The platform's removals: at once in the listing, at a boundary in the rating, for ever in
//! the ledger.

use crate::world::{World, day, manifest, review, scope, submit_one};
use unjoin::ledger::{Ledger, RemovedEntry, waiting_entries};
use unjoin::store::Bucket;
use unjoin::wire::Message;
use unjoin_test_util::dump;
use unjoin_wallet::AuthorRequest;

#[test]
fn a_removed_review_is_gone_at_once_and_counted_until_the_boundary() {
    let (world, scope) = (World::in_memory(), scope("a", 1));
    world.desk.admit(&manifest(&scope, 1, 4)).unwrap();
    let (author, state) = submit_one(&world, &scope, "defamatory");
    let _ = submit_one(&world, &scope, "other");
    let id = author.id();
    world.refuses("desk.not_published", || world.desk.remove(&scope, &id, "court 7", "order 12/34"));
    let _ = world.tick_at(1);
    let long = "x".repeat(481);
    for (who, grounds) in [("", "g"), (&long[..65], "g"), ("w", ""), ("w", &long[..])] {
        world.refuses("desk.removal_text", || world.desk.remove(&scope, &id, who, grounds));
    }
    let unknown = unjoin::token::ReviewId([1; 32]);
    world.refuses("desk.unknown_review", || world.desk.remove(&scope, &unknown, "w", "g"));

    // An edit that waits is dropped with the review.
    let new = review(5, "bribed");
    let edit = author.proof(state, AuthorRequest::Edit(&new));
    world.desk.act(&scope, &edit, Some(new)).unwrap();
    world.desk.remove(&scope, &id, "court 7", "order 12/34").unwrap();
    let after = dump(&*world.store);
    world.desk.remove(&scope, &id, "somebody else", "later").unwrap();
    assert_eq!(dump(&*world.store), after, "again changes nothing");
    assert_eq!(world.listing("a").len(), 1);
    assert_eq!(world.counts("a"), [2, 0, 0, 0, 0], "ratings change at boundaries only");
    let entry = RemovedEntry {
        review_id: id,
        review_digest: review(1, "defamatory").digest(),
        who: b"court 7".to_vec(),
        grounds: "order 12/34".to_owned(),
    };
    let bucket = Bucket::of(scope.merchant().as_bytes());
    let logged = waiting_entries(&*world.store, bucket, Ledger::Reviews, 100).unwrap();
    assert!(logged.contains(&entry.to_bytes()));
    let withdrawal = author.proof(state.after(&edit), AuthorRequest::Withdraw);
    world.refuses("desk.not_published", || world.desk.act(&scope, &withdrawal, None));

    world.clock.set(day(2).saturating_sub(1));
    let _ = world.desk.tick().unwrap();
    assert_eq!(world.counts("a"), [2, 0, 0, 0, 0]);
    for number in 2..6 {
        let report = world.tick_at(number);
        assert_eq!((report.edits, world.counts("a")), (0, [1, 0, 0, 0, 0]));
    }
    assert!(world.desk.evidence(&scope, &id).unwrap().is_some(), "trustees can still open it");
    assert!(world.submit(author.submission(&review(1, "defamatory"))).is_ok(), "a retry has its receipt");
    world.refuses("desk.spent", || world.submit(author.submission(&review(1, "worse"))));
}
