//! What authors do: recognised by their escrow, at boundaries to come.

use crate::world::{Author, World, day, fresh_ring, keys, manifest, merchant, review, scope, submit_one};
use std::collections::BTreeSet;
use unjoin::ledger::{EditedEntry, Ledger, WithdrawnEntry, entry_id, waiting_entries};
use unjoin::review::ActionReceipt;
use unjoin::store::{Bucket, MemoryStore};
use unjoin::token::{AuthorProof, Review, Scope};
use unjoin::wire::Message;
use unjoin_test_util::{dump, holds_bytes};
use unjoin_wallet::{AuthorRequest, ReviewState};

/// A world in which one review of merchant "a" is published, and its cohort goes on to day 50.
fn published() -> (World<MemoryStore>, Scope, Author, ReviewState) {
    let (world, scope) = (World::in_memory(), scope("a", 1));
    world.desk.admit(&manifest(&scope, 1, 50)).unwrap();
    let (author, state) = submit_one(&world, &scope, "bad");
    let _ = world.tick_at(1);
    (world, scope, author, state)
}

fn is_logged(world: &World<MemoryStore>, scope: &Scope, entry: Vec<u8>) -> bool {
    let bucket = Bucket::of(scope.merchant().as_bytes());
    waiting_entries(&*world.store, bucket, Ledger::Reviews, 1000).unwrap().contains(&entry)
}

fn edit(author: &Author, state: ReviewState, new: &Review) -> AuthorProof {
    author.proof(state, AuthorRequest::Edit(new))
}

#[test]
fn a_held_review_is_withdrawn_at_once_and_its_content_is_gone() {
    let (world, scope) = (World::in_memory(), scope("a", 1));
    let (author, state) = submit_one(&world, &scope, "words that nobody should keep");
    let (other, _) = submit_one(&world, &scope, "another");
    let new = review(5, "x");
    let proof = edit(&author, state, &new);
    world.refuses("desk.held", || world.desk.act(&scope, &proof, Some(new)));
    let claim = AuthorRequest::Claim { audience: &merchant("press"), challenge: &[9; 32] };
    let claim = author.proof(state, claim);
    world.desk.verify_claim(&scope, &claim, &merchant("press"), &[9; 32]).unwrap();
    // The other review is held too, but has another digest.
    let foreign = other.proof(state, AuthorRequest::Withdraw);
    world.refuses("desk.refused", || world.desk.act(&scope, &foreign, None));

    let proof = author.proof(state, AuthorRequest::Withdraw);
    let answer = world.desk.act(&scope, &proof, None).unwrap();
    assert_eq!(answer, ActionReceipt { review_id: author.id(), sequence: 1, takes_effect_at: None });
    assert!(!holds_bytes(&*world.store, b"words that nobody"));
    assert_eq!(world.desk.act(&scope, &proof, None).unwrap(), answer, "a retry");
    world.refuses("desk.withdrawn", || {
        world.desk.act(&scope, &author.proof(state, AuthorRequest::Withdraw), None)
    });
    world.refuses("desk.withdrawn", || world.desk.verify_claim(&scope, &claim, &merchant("press"), &[9; 32]));

    // The ledger hears of it at the boundary at which it would have been published.
    let proof_hash = entry_id(&proof.to_bytes());
    let entry = WithdrawnEntry { review_id: author.id(), sequence: 1, proof_hash, boundary: day(2) };
    world.desk.admit(&manifest(&scope, 2, 5)).unwrap();
    assert!(!is_logged(&world, &scope, entry.to_bytes()));
    let report = world.tick_at(2);
    assert!(is_logged(&world, &scope, entry.to_bytes()));
    assert_eq!(report.batches[0].reviews.len(), 1);
    assert_eq!(world.listing("a")[0].review_id, other.id());
    assert_eq!(world.desk.act(&scope, &proof, None).unwrap(), answer);
}

#[test]
fn changes_take_effect_at_each_of_the_next_three_boundaries_and_never_else() {
    const AUTHORS: usize = 40;
    let (world, scope) = (World::in_memory(), scope("a", 1));
    world.desk.admit(&manifest(&scope, 1, 50)).unwrap();
    let authors: Vec<_> = (0..AUTHORS).map(|_| submit_one(&world, &scope, "bad")).collect();
    let _ = world.tick_at(1);
    let new = review(5, "better");
    let mut expected = Vec::new();
    for (number, (author, state)) in authors.iter().enumerate() {
        let answer = if number % 2 == 0 {
            world.desk.act(&scope, &edit(author, *state, &new), Some(new.clone()))
        } else {
            world.desk.act(&scope, &author.proof(*state, AuthorRequest::Withdraw), None)
        };
        expected.push(answer.unwrap().takes_effect_at.unwrap());
    }
    assert_eq!(BTreeSet::from_iter(&expected), BTreeSet::from([&day(2), &day(3), &day(4)]));
    for number in 1..6 {
        world.clock.set(day(number + 1).saturating_sub(1));
        let _ = world.desk.tick().unwrap();
        let listing = world.listing("a");
        let mut counts = [0; 5];
        for (at, (author, _)) in authors.iter().enumerate() {
            let shown = listing.iter().find(|shown| shown.review_id == author.id());
            let happened = expected[at] <= day(number);
            assert_eq!(shown.is_none(), happened && at % 2 == 1);
            assert_eq!(shown.is_some_and(|shown| shown.edited), happened && at % 2 == 0);
            shown.into_iter().for_each(|shown| counts[usize::from(shown.review.stars()) - 1] += 1);
        }
        assert_eq!(world.counts("a"), counts);
    }
}

#[test]
fn an_edit_is_logged_when_it_takes_effect_and_continues_what_was_accepted() {
    let (world, scope, author, state) = published();
    let (second, third) = (review(3, "second"), review(4, "third"));
    let first_edit = edit(&author, state, &second);
    world.refuses("desk.digest_mismatch", || world.desk.act(&scope, &first_edit, Some(third.clone())));
    world.refuses("desk.digest_mismatch", || world.desk.act(&scope, &first_edit, None));
    let answer = world.desk.act(&scope, &first_edit, Some(second.clone())).unwrap();
    assert_eq!(world.desk.act(&scope, &first_edit, Some(second.clone())).unwrap(), answer);
    // Proved anew, the same statement is the same action.
    let again = edit(&author, state, &second);
    assert_ne!(again, first_edit);
    let before = dump(&*world.store);
    assert_eq!(world.desk.act(&scope, &again, Some(second.clone())).unwrap(), answer);
    assert_eq!(dump(&*world.store), before);
    // It must continue the accepted edit, although that still waits.
    let stale = edit(&author, state, &third);
    world.refuses("desk.refused", || world.desk.act(&scope, &stale, Some(third.clone())));
    let _ = world.tick_at(5);
    assert_eq!(world.listing("a")[0].review, second);
    assert_eq!(world.counts("a"), [0, 0, 1, 0, 0]);
    let entry = EditedEntry {
        review_id: author.id(),
        sequence: 1,
        review_digest: second.digest(),
        proof_hash: entry_id(&first_edit.to_bytes()),
        boundary: answer.takes_effect_at.unwrap(),
    };
    assert!(is_logged(&world, &scope, entry.to_bytes()));
    let state = state.after(&first_edit);
    world.desk.act(&scope, &edit(&author, state, &third), Some(third.clone())).unwrap();
    let _ = world.tick_at(9);
    assert_eq!(world.listing("a")[0].review, third);
    // The first submission is still answered with its receipt.
    let first = review(1, "bad");
    assert_eq!(world.submit(author.submission(&first)).unwrap().review_digest(), &first.digest());
}

#[test]
fn a_later_action_replaces_a_waiting_one_and_never_overtakes_it() {
    for _ in 0..12 {
        let (world, scope, author, state) = published();
        let second = review(3, "second");
        let first_edit = edit(&author, state, &second);
        let waits = world.desk.act(&scope, &first_edit, Some(second)).unwrap().takes_effect_at;
        let withdrawal = author.proof(state.after(&first_edit), AuthorRequest::Withdraw);
        let answer = world.desk.act(&scope, &withdrawal, None).unwrap();
        assert!(waits <= answer.takes_effect_at && answer.takes_effect_at <= Some(day(4)));
        assert_eq!(answer.sequence, 2);
        for number in 2..6 {
            let report = world.tick_at(number);
            assert_eq!(report.edits, 0, "it was replaced");
            assert_eq!(report.withdrawals, usize::from(Some(day(number)) == answer.takes_effect_at));
        }
        assert_eq!(world.listing("a"), []);
        assert_eq!(world.counts("a"), [0; 5]);
    }
}

#[test]
fn after_a_withdrawal_nothing_is_accepted_but_the_escrow_stays() {
    let (world, scope, author, state) = published();
    let proof = author.proof(state, AuthorRequest::Withdraw);
    let answer = world.desk.act(&scope, &proof, None).unwrap();
    let new = review(5, "no, wait");
    let refused = || {
        let late = edit(&author, state, &new);
        world.refuses("desk.withdrawn", || world.desk.act(&scope, &late, Some(new.clone())));
        assert_eq!(world.desk.act(&scope, &proof, None).unwrap(), answer);
    };
    refused();
    let _ = world.tick_at(4);
    refused();
    let first = review(1, "bad");
    world.refuses("desk.withdrawn", || world.submit(author.submission(&first)));
    world.refuses("desk.withdrawn", || world.desk.remove(&scope, &author.id(), "staff", "spam"));
    // Whoever sells a withdrawal can still be opened.
    assert!(world.desk.evidence(&scope, &author.id()).unwrap().is_some());
}

#[test]
fn nobody_else_acts_and_no_refusal_changes_anything() {
    let (world, scope, author, state) = published();
    let (other, _) = submit_one(&world, &scope, "held");
    let stranger = Author::new(&scope);
    let unknown = stranger.proof(state, AuthorRequest::Withdraw);
    world.refuses("desk.unknown_review", || world.desk.act(&scope, &unknown, None));
    // Another author's proof, put under this review's id.
    let mut bytes = other.proof(state, AuthorRequest::Withdraw).to_bytes();
    bytes[3..35].copy_from_slice(author.id().as_bytes());
    let moved = AuthorProof::from_bytes(&bytes).unwrap();
    world.refuses("desk.refused", || world.desk.act(&scope, &moved, None));
    let later = ReviewState { last_sequence: 1, ..state };
    world.refuses("desk.refused", || {
        world.desk.act(&scope, &author.proof(later, AuthorRequest::Withdraw), None)
    });
    let other_digest = ReviewState { digest_in_force: [3; 32], ..state };
    world.refuses("desk.refused", || {
        world.desk.act(&scope, &author.proof(other_digest, AuthorRequest::Withdraw), None)
    });
    let audience = merchant("press");
    let claim = author.proof(state, AuthorRequest::Claim { audience: &audience, challenge: &[1; 32] });
    world.refuses("desk.claim_is_no_action", || world.desk.act(&scope, &claim, None));
    world.refuses("desk.refused", || world.desk.verify_claim(&scope, &claim, &audience, &[2; 32]));
    let before = dump(&*world.store);
    world.desk.verify_claim(&scope, &claim, &audience, &[1; 32]).unwrap();
    world.desk.verify_claim(&scope, &claim, &audience, &[1; 32]).unwrap();
    assert_eq!(dump(&*world.store), before, "a claim uses nothing up");
}

#[test]
fn nothing_is_accepted_after_the_escrow_was_erased() {
    let (world, scope) = (World::in_memory(), scope("a", 1));
    world.desk.admit(&manifest(&scope, 1, 2)).unwrap();
    let (author, state) = submit_one(&world, &scope, "bad");
    let new = review(2, "less bad");
    let last = edit(&author, state, &new);
    let _ = world.tick_at(5);
    // Accepted in time, it takes effect although the escrow is erased meanwhile.
    let answer = world.desk.act(&scope, &last, Some(new.clone())).unwrap();
    let _ = world.tick_at(9);
    assert_eq!(world.listing("a")[0].review, new);
    assert_eq!(world.desk.act(&scope, &last, Some(new)).unwrap(), answer, "a retry needs no escrow");
    let late = author.proof(state.after(&last), AuthorRequest::Withdraw);
    world.refuses("desk.escrow_erased", || world.desk.act(&scope, &late, None));
    let audience = merchant("press");
    let claim = AuthorRequest::Claim { audience: &audience, challenge: &[1; 32] };
    let claim = author.proof(state.after(&last), claim);
    world.refuses("desk.escrow_erased", || world.desk.verify_claim(&scope, &claim, &audience, &[1; 32]));
}

#[test]
fn a_claim_of_an_unknown_or_withdrawn_review_or_key_is_refused() {
    let (world, scope, author, state) = published();
    let audience = merchant("press");
    let request = AuthorRequest::Claim { audience: &audience, challenge: &[1; 32] };
    let verify = |proof: &AuthorProof| world.desk.verify_claim(&scope, proof, &audience, &[1; 32]);
    let stranger = Author::new(&scope).proof(state, request);
    world.refuses("desk.unknown_review", || verify(&stranger));
    let edit_proof = edit(&author, state, &review(2, "less bad"));
    world.refuses("desk.refused", || verify(&edit_proof));

    let claim = author.proof(state, request);
    verify(&claim).unwrap();
    let withdrawal = author.proof(state, AuthorRequest::Withdraw);
    // A desk whose ring lost the key recognises nobody, and says so.
    world.desk.set_keys(fresh_ring());
    world.refuses("desk.unknown_key", || verify(&claim));
    world.refuses("desk.unknown_key", || world.desk.act(&scope, &withdrawal, None));
    world.desk.set_keys(keys().ring.clone());
    world.desk.act(&scope, &withdrawal, None).unwrap();
    world.refuses("desk.withdrawn", || verify(&claim));
}

#[test]
fn a_withdrawal_brings_no_review() {
    let (world, scope, author, state) = published();
    let proof = author.proof(state, AuthorRequest::Withdraw);
    world.refuses("desk.digest_mismatch", || world.desk.act(&scope, &proof, Some(review(5, "x"))));
}

#[test]
fn no_change_is_dated_before_what_it_changes_whatever_the_clock_says() {
    let (world, scope, author, state) = published();
    let (first, second) = (review(5, "better"), review(4, "well"));
    // Published on day 1, and acted on by an instance that still has day 0.
    world.clock.set(day(0));
    let on_day_0 = world.desk.act(&scope, &edit(&author, state, &first), Some(first.clone())).unwrap();
    let dated = on_day_0.takes_effect_at.unwrap();
    assert!(dated >= day(1));
    // Edited by one that has day 20, and applied; then by one that has day 2.
    world.go_to(20);
    let state = ReviewState { last_sequence: 1, digest_in_force: first.digest() };
    let on_day_20 = world.desk.act(&scope, &edit(&author, state, &second), Some(second.clone())).unwrap();
    let _ = world.tick_at(24);
    assert_eq!(world.listing("a")[0].review, second);
    world.go_to(2);
    let state = ReviewState { last_sequence: 2, digest_in_force: second.digest() };
    let on_day_2 = world.desk.act(&scope, &edit(&author, state, &first), Some(first.clone())).unwrap();
    assert_eq!(on_day_2.takes_effect_at, on_day_20.takes_effect_at);
    let _ = world.tick_at(24);
    assert_eq!(world.listing("a")[0].review, first);
}
