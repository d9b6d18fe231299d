//! The platform's removals: at once in the listing, at a boundary in the histogram, for ever in
//! the ledger.

use crate::world::{ORIGIN, World, day, keys, manifest, review, scope, submit_one};
use unjoin::ledger::{Ledger, RemovedEntry, waiting_entries};
use unjoin::secret::SystemRng;
use unjoin::store::Bucket;
use unjoin::token::StaffKey;
use unjoin::wire::Message;
use unjoin_test_util::dump;

#[test]
fn a_removed_review_is_gone_at_once_and_counted_until_the_boundary() {
    let (world, scope) = (World::in_memory(), scope("a", 1));
    world.desk.admit(&manifest(&scope, 1, 4)).unwrap();
    let (author, state) = submit_one(&world, &scope, "defamatory");
    let _ = submit_one(&world, &scope, "other");
    let id = author.id();
    world.refuses("desk.not_published", || world.remove(&scope, &id, "order 12/34"));
    let _ = world.tick_at(1);
    let sign =
        |key: &StaffKey, origin, digest| RemovedEntry::sign(key, origin, id, digest, "order 12/34").unwrap();
    let (staff, listed) = (&keys().staff, review(1, "defamatory").digest());
    let stranger = StaffKey::generate(&mut SystemRng::new());
    for removed in [sign(&stranger, ORIGIN, listed), sign(staff, "other.example/reviews", listed)] {
        world.refuses("desk.unknown_staff", || world.desk.remove(&scope, &removed, ORIGIN));
    }
    world
        .refuses("desk.digest_mismatch", || world.desk.remove(&scope, &sign(staff, ORIGIN, [9; 32]), ORIGIN));
    let unknown = unjoin::token::ReviewId([1; 32]);
    world.refuses("desk.unknown_review", || world.remove(&scope, &unknown, "g"));

    // An edit that waits is dropped with the review.
    let new = review(5, "bribed");
    let edit = author.edit(&state, &new);
    world.act(&author, &edit, Some(&new)).unwrap();
    world.remove(&scope, &id, "order 12/34").unwrap();
    let after = dump(&*world.store);
    world.desk.remove(&scope, &sign(staff, ORIGIN, [9; 32]), ORIGIN).unwrap();
    assert_eq!(dump(&*world.store), after, "again changes nothing");
    assert_eq!(world.listing("a").len(), 1);
    assert_eq!(world.counts("a"), [2, 0, 0, 0, 0], "histograms change at boundaries only");
    let entry = sign(staff, ORIGIN, listed);
    let bucket = Bucket::of(scope.merchant().as_bytes());
    let logged = waiting_entries(&*world.store, bucket, Ledger::Reviews, 100).unwrap();
    assert!(logged.contains(&entry.to_bytes()));
    let withdrawal = author.withdrawal(&state.after(&edit));
    world.refuses("desk.not_published", || world.act(&author, &withdrawal, None));

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
