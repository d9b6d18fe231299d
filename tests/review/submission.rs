//! One review per token, and nothing changed by what is refused.

use crate::world::{
    Author, World, day, fresh_ring, keys, manifest, open, review, scope, scope_under, submit_one, submitted,
};
use std::sync::Arc;
use std::thread;
use unjoin::review::{DeskError, Submission};
use unjoin::store::{Bucket, Commit, MemoryStore, Store};
use unjoin::token::{KeyRing, Receipt, Scope};
use unjoin::wire::Message;
use unjoin::{ManualClock, Pending, Timestamp};
use unjoin_test_util::Directory;
use unjoin_test_util::{Call, Failure, Faulty, dump};

#[test]
fn every_refusal_leaves_the_store_as_it_was() {
    let world = World::in_memory();
    let (scope_a, good) = (scope("a", 1), review(1, "broken"));
    let submission = |author: &Author| author.submission(&good);
    let author = Author::new(&scope_a);
    world.refuses("desk.no_manifest", || world.submit(submission(&author)));
    world.desk.admit(&manifest(&scope_a, 2, 5)).unwrap();
    world.submit(submission(&author)).unwrap();

    let other = fresh_ring();
    let stranger = Author::under(&other, &scope_under(&other, "a", 1));
    world.refuses("desk.unknown_key", || world.submit(submission(&stranger)));

    let wrong = Author::under(&with_other_escrow(), &scope_a);
    world.refuses("desk.wrong_escrow", || world.submit(submission(&wrong)));

    world.refuses("desk.spent", || world.submit(author.submission(&review(5, "wonderful"))));

    let mut swapped = submission(&Author::new(&scope_a));
    swapped.review = review(5, "not what was signed");
    world.refuses("desk.refused", || world.submit(swapped));

    let gone = Author::new(&scope_a);
    let receipt = world.submit(submission(&gone)).unwrap();
    world.act(&gone, &gone.withdrawal(&submitted(&receipt)), None).unwrap();
    let _ = world.tick_at(2);
    world.refuses("desk.withdrawn", || world.submit(submission(&gone)));

    world.go_to(5);
    let late = Author::new(&scope_a);
    world.refuses("desk.window_over", || world.submit(submission(&late)));
    // What was accepted in time is answered all the same.
    assert!(world.submit(submission(&author)).is_ok());

    let fresh = fresh_ring();
    let pair = keys().ring.newest();
    let rotated = keys().ring.with(
        unjoin::token::IssuerKey::from_secret_bytes(&fresh.newest().issuer_key.to_secret_bytes()).unwrap(),
        fresh.newest().escrow_key,
    );
    let rotated = rotated.and_then(|ring| ring.retire(pair.issuer_key.public().id()));
    world.desk.set_keys(rotated.unwrap()).unwrap();
    let early = Author::new(&scope("a", 2));
    world.refuses("desk.no_manifest", || world.submit(submission(&early)));
    // A retired key goes on verifying where there is a manifest.
    world.desk.admit(&manifest(early.scope(), 6, 7)).unwrap();
    assert!(world.submit(submission(&early)).is_ok());
}

/// The platform's issuing key with other trustees.
fn with_other_escrow() -> KeyRing {
    let secret = keys().ring.newest().issuer_key.to_secret_bytes();
    let issuer_key = unjoin::token::IssuerKey::from_secret_bytes(&secret).unwrap();
    KeyRing::new(issuer_key, fresh_ring().newest().escrow_key)
}

#[test]
fn an_identical_retry_gets_the_same_receipt_while_held_and_afterwards() {
    let mut world = World::in_memory();
    let (scope, good) = (scope("a", 1), review(2, "late"));
    world.desk.admit(&manifest(&scope, 2, 5)).unwrap();
    let author = Author::new(&scope);
    let first = author.submission(&good);
    let receipt = world.submit(first.clone()).unwrap();
    receipt.verify(&keys().platform.public()).unwrap();
    let terms = receipt.terms();
    assert_eq!((terms.publish_by, terms.era), (day(2), 1));
    assert_eq!(terms.presentation_hash, first.presentation.hash());
    assert_eq!(&terms.author_key, first.presentation.author_key());

    let before = dump(&*world.store);
    world.restart();
    // A fresh presentation each time: "identical" is the review's digest.
    assert_eq!(world.submit(author.submission(&good)).unwrap().to_bytes(), receipt.to_bytes());
    assert_eq!(dump(&*world.store), before, "the first stored presentation stays");
    for number in [2, 5, 20] {
        let _ = world.tick_at(number);
        assert_eq!(world.submit(author.submission(&good)).unwrap().to_bytes(), receipt.to_bytes());
    }
}

#[test]
fn a_token_signs_one_review_under_many_threads_desks_and_restarts() {
    const THREADS: usize = 6;
    let directory = Directory::new();
    let path = directory.file("desk.redb");
    let authors: Vec<Author> = (0..4).map(|_| Author::new(&scope("a", 1))).collect();
    let mut winners: Vec<Option<Receipt>> = authors.iter().map(|_| None).collect();
    for _restart in 0..3 {
        let store = Arc::new(unjoin_test_util::redb(&path).unwrap());
        let clock = Arc::new(ManualClock::new(day(0)));
        let desks = [open(Arc::clone(&store), Arc::clone(&clock)), open(store, clock)];
        desks[0].admit(&manifest(&scope("a", 1), 2, 5)).unwrap();
        let receipts: Vec<(usize, Receipt)> = thread::scope(|threads| {
            let submit = |thread: usize| {
                let (desk, authors) = (&desks[thread % 2], &authors);
                threads.spawn(move || {
                    let wanted = review(1 + thread as u8 % 5, &format!("I am thread {thread}"));
                    let all = authors.iter().map(|author| author.submission(&wanted)).collect();
                    let pending = desk.submit_all(all);
                    let answers = pending.into_iter().enumerate().map(|(at, p)| (at, p.wait()));
                    let accepted = answers.filter_map(|(at, answer)| match answer {
                        Ok(receipt) => Some((at, receipt)),
                        Err(DeskError::Spent) => None,
                        Err(other) => panic!("{other}"),
                    });
                    accepted.collect::<Vec<_>>()
                })
            };
            let running: Vec<_> = (0..THREADS).map(submit).collect();
            running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        for (at, receipt) in receipts {
            assert_eq!(*winners[at].get_or_insert(receipt.clone()), receipt);
        }
        assert!(winners.iter().all(Option::is_some));
    }
}

/// Two wordings under each token, each from several threads on two desks, again and again, while
/// the first boundary passes and both desks tick.
#[test]
fn a_token_gets_one_receipt_while_its_boundary_passes() {
    const THREADS: usize = 4;
    for _round in 0..4 {
        let scope = scope("a", 1);
        let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(ManualClock::new(day(1))));
        let desks = [(); 2].map(|()| open(Arc::clone(&store), Arc::clone(&clock)));
        desks[0].admit(&manifest(&scope, 2, 5)).unwrap();
        let authors: Vec<Author> = (0..3).map(|_| Author::new(&scope)).collect();
        let receipts: Vec<(usize, Receipt)> = thread::scope(|threads| {
            let submit = |thread: usize| {
                let (desks, authors) = (&desks, &authors);
                threads.spawn(move || {
                    let wanted = review(1 + thread as u8 % 2, "worn");
                    let mut accepted = Vec::new();
                    for attempt in 0..6 {
                        let at = (thread + attempt) % authors.len();
                        let pending = desks[attempt % 2].submit(authors[at].submission(&wanted));
                        match pending.wait() {
                            Ok(receipt) => accepted.push((at, receipt)),
                            Err(refused) => assert!(matches!(refused, DeskError::Spent), "{refused}"),
                        }
                    }
                    accepted
                })
            };
            let running: Vec<_> = (0..THREADS).map(submit).collect();
            for seconds in 0..20 {
                clock.set(Timestamp::from_unix_seconds(day(2).as_unix_seconds() - 5 + seconds));
                for desk in &desks {
                    assert!(desk.tick().unwrap().failed.is_empty());
                }
            }
            running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        clock.set(day(5));
        let _ = desks[0].tick().unwrap();
        let listing = desks[1].published(scope.merchant(), None, 1000).unwrap();
        assert_eq!(listing.len(), authors.len());
        for (at, author) in authors.iter().enumerate() {
            let mut own = receipts.iter().filter(|(of, _)| *of == at).map(|(_, receipt)| receipt);
            let first = own.next().unwrap();
            assert!(own.all(|receipt| receipt == first), "two receipts under one token");
            let shown = listing.iter().find(|shown| shown.review_id == author.id()).unwrap();
            assert_eq!(shown.review.digest(), first.terms().review_digest);
            assert_eq!(shown.published_at, first.terms().publish_by);
        }
    }
}

#[test]
fn a_lost_answer_is_found_again() {
    let (scope, good) = (scope("a", 1), review(3, "so so"));
    for failure in [Failure::Before, Failure::Lost] {
        let world = World::on(Faulty::in_memory());
        world.desk.admit(&manifest(&scope, 2, 5)).unwrap();
        let author = Author::new(&scope);
        let submission = author.submission(&good);
        world.store.fail(0, failure);
        let lost = world.submit(submission.clone()).unwrap_err();
        assert!(lost.is_retryable() && world.store.failed());
        let receipt = world.submit(submission.clone()).unwrap();
        let again = world.submit(submission).unwrap();
        assert_eq!(receipt.to_bytes(), again.to_bytes());
        assert_eq!(world.submit(author.submission(&review(1, "x"))).unwrap_err().code(), "desk.spent");
    }
}

#[test]
fn bad_members_fail_none_of_their_neighbours() {
    let world = World::in_memory();
    let (scope, good) = (scope("a", 1), review(4, "nice"));
    world.desk.admit(&manifest(&scope, 2, 5)).unwrap();
    let mut submissions = Vec::new();
    for number in 0..12 {
        let mut submission = Author::new(&scope).submission(&good);
        if number % 3 == 1 {
            submission.review = review(1, "swapped");
        }
        submissions.push(submission);
    }
    let pending = world.desk.submit_all(submissions);
    for (number, answer) in pending.into_iter().enumerate() {
        let answer = answer.wait();
        assert_eq!(answer.is_ok(), number % 3 != 1, "{number}: {answer:?}");
    }
}

/// Submissions race with the clock, with the tick and with the admission, on two desks whose
/// clocks disagree.
#[test]
fn a_receipt_keeps_its_word_whatever_races_with_it() {
    let store = Arc::new(MemoryStore::new());
    let scope = scope("a", 1);
    let ahead = Arc::new(ManualClock::new(day(1)));
    let behind = Arc::new(ManualClock::new(day(1)));
    let desks = [open(Arc::clone(&store), Arc::clone(&ahead)), open(Arc::clone(&store), Arc::clone(&behind))];
    let authors: Vec<Author> = (0..120).map(|_| Author::new(&scope)).collect();
    let submissions: Vec<_> = authors.iter().map(|author| author.submission(&review(3, "x"))).collect();
    let receipts: Vec<Receipt> = thread::scope(|threads| {
        let half = |desk: usize| {
            let (desks, submissions) = (&desks, &submissions);
            threads.spawn(move || {
                let own = submissions.iter().skip(desk).step_by(2);
                let answers = own.map(|s| desks[desk].submit(s.clone()).wait());
                answers.filter_map(Result::ok).collect::<Vec<_>>()
            })
        };
        let running = [half(0), half(1)];
        desks[0].admit(&manifest(&scope, 2, 3)).unwrap();
        for seconds in 0..40 {
            let now = Timestamp::from_unix_seconds(day(2).as_unix_seconds() - 10 + seconds);
            ahead.set(now);
            behind.set(now.saturating_sub(15));
            let _ = desks[0].tick().unwrap();
            thread::yield_now();
        }
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    ahead.set(day(3));
    let _ = desks[0].tick().unwrap();
    let listing = desks[0].published(scope.merchant(), None, 1000).unwrap();
    assert_eq!(listing.len(), receipts.len());
    for receipt in receipts {
        let shown = listing.iter().find(|shown| shown.review_id == receipt.terms().review_id).unwrap();
        assert_eq!(shown.published_at, receipt.terms().publish_by);
    }
}

#[test]
fn a_desk_whose_clock_is_slow_adds_nothing_to_a_sealed_boundary() {
    let store = Arc::new(MemoryStore::new());
    let clocks = [day(2), day(1)].map(|now| Arc::new(ManualClock::new(now)));
    let [ahead, behind] = clocks.map(|clock| open(Arc::clone(&store), clock));
    let scope = scope("a", 1);
    ahead.admit(&manifest(&scope, 2, 3)).unwrap();
    let _ = ahead.tick().unwrap();
    let submission = Author::new(&scope).submission(&review(3, "x"));
    let receipt = behind.submit(submission).wait().unwrap();
    assert_eq!(receipt.terms().publish_by, day(3));
}

#[test]
fn a_boundary_that_is_sealed_while_a_review_is_decided_does_not_get_it() {
    let rows = Arc::new(MemoryStore::new());
    let scope = scope("a", 1);
    let other = open(Arc::clone(&rows), Arc::new(ManualClock::new(day(2))));
    other.admit(&manifest(&scope, 2, 3)).unwrap();
    let store = Arc::new(Faulty::new(rows));
    let desk = open(Arc::clone(&store), Arc::new(ManualClock::new(day(1))));
    let seal = move || assert!(other.tick().unwrap().batches.is_empty());
    let opening = store.count(Call::Commit);
    store.before(Call::Commit, 0, seal);
    let submission = Author::new(&scope).submission(&review(3, "x"));
    let receipt = desk.submit(submission).wait().unwrap();
    assert_eq!(store.count(Call::Commit) - opening, 2, "the first is in conflict with the seal");
    assert_eq!(receipt.terms().publish_by, day(3));
}

#[test]
fn nothing_is_accepted_after_the_window_even_if_all_else_is_erased() {
    let (world, scope) = World::with_cohort(2, 5);
    let (author, _) = submit_one(&world, &scope, "first");
    for number in [2, 5, 9, 400] {
        let _ = world.tick_at(number);
    }
    world.refuses("desk.window_over", || world.submit(Author::new(&scope).submission(&review(1, "x"))));
    world.refuses("desk.spent", || world.submit(author.submission(&review(1, "again"))));
}

#[test]
fn a_damaged_row_stops_what_rests_on_it_and_nothing_beside_it() {
    let (world, good) = (World::in_memory(), review(4, "good"));
    let scopes = [scope("a", 1), scope("a", 2)];
    let [first, second] = scopes.each_ref().map(|scope| {
        world.desk.admit(&manifest(scope, 2, 5)).unwrap();
        submit_one(&world, scope, "held before").0
    });
    // All at once, so that they share a batch.
    let asked = |submissions: Vec<Submission>| {
        let answers = world.desk.submit_all(submissions).into_iter().map(Pending::wait);
        answers.map(|answer| answer.map_or_else(|error| error.code(), |_| "accepted")).collect::<Vec<_>>()
    };
    let damage = |letters: &[u8], scope: &Scope| {
        let key = [letters, &scope.to_bytes()].concat();
        let bucket = Bucket::of(scope.merchant().as_bytes());
        let found = world.store.scan(bucket, &key, None, usize::MAX).unwrap();
        let commits = found.into_iter().map(|row| Commit::new(bucket).put(row.key, vec![1, 9]));
        world.store.commit(&commits.collect::<Vec<_>>()).unwrap().len()
    };
    let held = || [&first, &second].map(|author| author.submission(&review(1, "held before")));

    // What was accepted rests on its own row, what is new on the cohort's.
    assert_eq!(damage(b"rc", &scopes[0]), 1);
    let new = scopes.each_ref().map(|scope| Author::new(scope).submission(&good));
    let answers = asked(held().into_iter().chain(new).collect());
    assert_eq!(answers, ["accepted", "accepted", "desk.store_unusable", "accepted"]);

    assert_eq!(damage(b"rr", &scopes[0]), 1);
    assert_eq!(asked(held().into()), ["desk.store_unusable", "accepted"]);

    // Its cohort waits for the operator; the other one of the merchant is published.
    world.go_to(2);
    let report = world.desk.tick().unwrap();
    assert!(report.failed.iter().all(|error| error.code() == "desk.store_unusable"));
    assert_eq!((report.failed.len(), report.batches.len()), (1, 1));
    assert_eq!(report.batches[0].reviews.len(), 2);
}
