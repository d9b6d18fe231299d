//! What authors do: recognised by the signature of their key, on Mondays to come.

use crate::world::{Author, World, day, keys, manifest, open, review, scope, submit_one};
use std::collections::BTreeSet;
use std::sync::Arc;
use unjoin::ledger::{ActionEntry, HeldWithdrawalEntry, Ledger, waiting_entries};
use unjoin::store::{Bucket, MemoryStore};
use unjoin::token::{ActionReceipt, AuthorAction, Review, ReviewStanding, ReviewState, Scope};
use unjoin::wire::Message;
use unjoin::{Clock, ManualClock};
use unjoin_test_util::{Call, Faulty, dump, holds_bytes};

/// A world in which one review of merchant "a" is published, and its cohort goes on to day 50.
fn published() -> (World<MemoryStore>, Scope, Author, ReviewState) {
    let (world, scope) = (World::in_memory(), scope("a", 1));
    world.desk.admit(&manifest(&scope, 1, 50)).unwrap();
    let (author, state) = submit_one(&world, &scope, "bad");
    let _ = world.tick_at(1);
    (world, scope, author, state)
}

fn logged(world: &World<MemoryStore>, scope: &Scope) -> Vec<Vec<u8>> {
    let bucket = Bucket::of(scope.merchant().as_bytes());
    waiting_entries(&*world.store, bucket, Ledger::Reviews, 1000).unwrap()
}

#[test]
fn a_held_review_is_withdrawn_at_once_and_its_content_is_gone() {
    let (world, scope) = (World::in_memory(), scope("a", 1));
    world.desk.admit(&manifest(&scope, 2, 5)).unwrap();
    let words = "words that nobody should keep";
    let (author, state) = submit_one(&world, &scope, words);
    let (other, _) = submit_one(&world, &scope, "another");
    let new = review(5, "x");
    let early = author.edit(&state, &new);
    world.refuses("desk.held", || world.act(&author, &early, Some(&new)));
    let presented = world.submit(author.submission(&review(1, words))).unwrap();

    let action = author.withdrawal(&state);
    let receipt = world.act(&author, &action, None).unwrap();
    receipt.verify(&keys().platform.public()).unwrap();
    assert_eq!((receipt.sequence(), receipt.boundary()), (1, day(2)));
    assert!(!holds_bytes(&*world.store, b"words that nobody"));
    assert_eq!(world.act(&author, &action, None).unwrap(), receipt, "a retry");

    // The ledger hears of it at the boundary at which it would have been published.
    let entry = HeldWithdrawalEntry {
        action: action.clone(),
        author_key: presented.terms().author_key,
        presentation_hash: presented.terms().presentation_hash,
        boundary: day(2),
    };
    assert!(!logged(&world, &scope).contains(&entry.to_bytes()));
    let report = world.tick_at(2);
    assert!(logged(&world, &scope).contains(&entry.to_bytes()));
    assert_eq!(report.batches[0].reviews.len(), 1);
    assert_eq!(world.listing("a")[0].review_id, other.id());
    assert_eq!(world.act(&author, &action, None).unwrap(), receipt);
}

#[test]
fn changes_take_effect_on_each_of_the_next_three_mondays_and_never_else() {
    const AUTHORS: usize = 40;
    let (world, scope) = (World::in_memory(), scope("a", 1));
    world.desk.admit(&manifest(&scope, 1, 50)).unwrap();
    let authors: Vec<_> = (0..AUTHORS).map(|_| submit_one(&world, &scope, "bad")).collect();
    let _ = world.tick_at(1);
    let new = review(5, "better");
    let mut expected = Vec::new();
    for (number, (author, state)) in authors.iter().enumerate() {
        let answer = if number % 2 == 0 {
            world.act(author, &author.edit(state, &new), Some(&new))
        } else {
            world.act(author, &author.withdrawal(state), None)
        };
        expected.push(answer.unwrap().boundary());
    }
    assert_eq!(BTreeSet::from_iter(&expected), BTreeSet::from([&day(7), &day(14), &day(21)]));
    for number in 1..23 {
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
    let first_edit = author.edit(&state, &second);
    world.refuses("desk.digest_mismatch", || world.act(&author, &first_edit, Some(&third)));
    world.refuses("desk.digest_mismatch", || world.act(&author, &first_edit, None));
    let withdrawal = author.withdrawal(&state);
    world.refuses("desk.digest_mismatch", || world.act(&author, &withdrawal, Some(&third)));
    let answer = world.act(&author, &first_edit, Some(&second)).unwrap();
    let before = dump(&*world.store);
    assert_eq!(world.act(&author, &first_edit, Some(&second)).unwrap(), answer);
    assert_eq!(dump(&*world.store), before, "a retry is the same bytes, and changes nothing");
    // It must continue the accepted edit, although that still waits.
    let stale = author.edit(&state, &third);
    world.refuses("desk.out_of_sequence", || world.act(&author, &stale, Some(&third)));
    let _ = world.tick_at(21);
    assert_eq!(world.listing("a")[0].review, second);
    assert_eq!(world.counts("a"), [0, 0, 1, 0, 0]);
    let entry = ActionEntry { action: first_edit.clone(), boundary: answer.boundary() };
    assert!(logged(&world, &scope).contains(&entry.to_bytes()));
    let state = state.after(&first_edit);
    world.act(&author, &author.edit(&state, &third), Some(&third)).unwrap();
    let _ = world.tick_at(42);
    assert_eq!(world.listing("a")[0].review, third);
    // The first submission is still answered with its receipt.
    let first = review(1, "bad");
    let receipt = world.submit(author.submission(&first)).unwrap();
    assert_eq!(receipt.terms().review_digest, first.digest());
}

#[test]
fn a_later_action_replaces_a_waiting_one_never_overtakes_it_and_both_are_logged() {
    for _ in 0..12 {
        let (world, scope, author, state) = published();
        let second = review(3, "second");
        let first_edit = author.edit(&state, &second);
        let waits = world.act(&author, &first_edit, Some(&second)).unwrap().boundary();
        let withdrawal = author.withdrawal(&state.clone().after(&first_edit));
        let answer = world.act(&author, &withdrawal, None).unwrap();
        assert!(waits <= answer.boundary() && answer.boundary() <= day(21));
        assert_eq!(answer.sequence(), 2);
        for number in 2..22 {
            let report = world.tick_at(number);
            assert_eq!(report.edits, 0, "it was replaced");
            assert_eq!(report.withdrawals, usize::from(day(number) == answer.boundary()));
        }
        assert_eq!(world.listing("a"), []);
        assert_eq!(world.counts("a"), [0; 5]);
        // The chain has no hole: the overtaken action stands at the boundary of the one that overtook it.
        for action in [first_edit, withdrawal] {
            let entry = ActionEntry { action, boundary: answer.boundary() };
            assert!(logged(&world, &scope).contains(&entry.to_bytes()));
        }
    }
}

/// What an author who was pressed does: the withdrawal is void, and stays in the ledger.
#[test]
fn an_edit_to_the_digest_in_force_voids_what_waits() {
    let (world, _, author, state) = published();
    let (second, new) = (review(3, "second"), review(1, "bad"));
    let edit = author.edit(&state, &second);
    world.act(&author, &edit, Some(&second)).unwrap();
    let null = author.edit(&state.after(&edit), &new);
    world.act(&author, &null, Some(&new)).unwrap();
    let _ = world.tick_at(21);
    assert_eq!(world.listing("a")[0].review, new);
}

#[test]
fn after_a_withdrawal_nothing_is_accepted_but_the_escrow_stays() {
    let (world, scope, author, state) = published();
    let action = author.withdrawal(&state);
    let answer = world.act(&author, &action, None).unwrap();
    let new = review(5, "no, wait");
    let late = author.edit(&state, &new);
    let refused = || {
        world.refuses("desk.withdrawn", || world.act(&author, &late, Some(&new)));
        assert_eq!(world.act(&author, &action, None).unwrap(), answer);
    };
    refused();
    let _ = world.tick_at(21);
    refused();
    let first = review(1, "bad");
    world.refuses("desk.withdrawn", || world.submit(author.submission(&first)));
    world.refuses("desk.withdrawn", || world.remove(&scope, &author.id(), "spam"));
    // Whoever sells a withdrawal can still be opened.
    assert!(world.desk.evidence(&scope, &author.id()).unwrap().is_some());
}

#[test]
fn a_review_has_sixteen_actions_and_the_last_is_a_withdrawal() {
    let (world, _, author, mut state) = published();
    for number in 1..16 {
        let new = review(2, &format!("wording {number}"));
        let edit = author.edit(&state, &new);
        world.act(&author, &edit, Some(&new)).unwrap();
        state = state.after(&edit);
    }
    let new = review(2, "one too many");
    let edit = author.edit(&state, &new);
    world.refuses("desk.too_many_actions", || world.act(&author, &edit, Some(&new)));
    assert_eq!(world.act(&author, &author.withdrawal(&state), None).unwrap().sequence(), 16);
}

/// Everything that somebody else can send about a review: garbage, another author's signature,
/// other numbers and digests, and an over-long text.
fn outsiders(state: &ReviewState, other: &Author, scope: &Scope) -> Vec<(AuthorAction, Vec<u8>)> {
    let new = review(5, "x");
    let stranger = Author::new(scope);
    let mut sent = Vec::new();
    for (signer, kind) in [(other, 1), (&stranger, 2)] {
        let own = ReviewState { review_id: signer.id(), ..state.clone() };
        let signed = if kind == 1 { signer.withdrawal(&own) } else { signer.edit(&own, &new) };
        for (sequence, digest) in [(1, state.digest_in_force), (2, state.digest_in_force), (1, [3; 32])] {
            // Put under this review's id, with these claims.
            let mut bytes = signed.to_bytes();
            bytes[3..35].copy_from_slice(state.review_id.as_bytes());
            bytes[35..43].copy_from_slice(&u64::to_le_bytes(sequence));
            bytes[43..75].copy_from_slice(&digest);
            let action = AuthorAction::from_bytes(&bytes).unwrap();
            for text in [vec![], new.to_bytes(), vec![9; 5000]] {
                sent.push((action.clone(), text));
            }
        }
    }
    sent
}

/// What an outsider hears, and what it costs, says nothing: neither while the author's withdrawal
/// or edit waits, nor when it has happened, nor for a review that never was.
#[test]
fn an_outsider_hears_one_refusal_before_and_after_an_author_gives_in() {
    let store = Arc::new(Faulty::in_memory());
    let clock = Arc::new(ManualClock::new(day(0).saturating_add(1)));
    let desk = open(Arc::clone(&store), Arc::clone(&clock));
    let scope = scope("a", 1);
    desk.admit(&manifest(&scope, 1, 50)).unwrap();
    let accepted = |text: &str| {
        let author = Author::new(&scope);
        let receipt = desk.submit(author.submission(&review(1, text))).wait().unwrap();
        (author, crate::world::submitted(&receipt))
    };
    let (held, held_state) = accepted("held");
    let (listed, listed_state) = accepted("listed");
    let other = Author::new(&scope);
    let hear = |state: &ReviewState| {
        let mut heard = BTreeSet::new();
        for (action, text) in outsiders(state, &other, &scope) {
            let (reads, commits) = (store.count(Call::Read), store.count(Call::Commit));
            let error = desk.act(&scope, &action, &text).unwrap_err();
            let cost = (store.count(Call::Read) - reads, store.count(Call::Commit) - commits);
            heard.insert((error.code(), cost));
        }
        let foreign = other.question(clock.now());
        heard.insert((desk.state(&scope, &foreign).unwrap_err().code(), (1, 0)));
        heard
    };
    let one = BTreeSet::from([("desk.refused", (1, 0))]);
    let never = ReviewState { review_id: unjoin::token::ReviewId([5; 32]), ..held_state.clone() };
    assert_eq!(hear(&never), one);
    assert_eq!(hear(&held_state), one);
    desk.act(&scope, &held.withdrawal(&held_state), &[]).unwrap();
    assert_eq!(hear(&held_state), one, "withdrawn while held");
    clock.set(day(1).saturating_add(1));
    let _ = desk.tick().unwrap();
    assert_eq!(hear(&listed_state), one, "published");
    let new = review(3, "softer");
    let edit = listed.edit(&listed_state, &new);
    desk.act(&scope, &edit, &new.to_bytes()).unwrap();
    assert_eq!(hear(&listed_state), one, "an edit waits");
    desk.act(&scope, &listed.withdrawal(&listed_state.clone().after(&edit)), &[]).unwrap();
    assert_eq!(hear(&listed_state), one, "a withdrawal waits");
}

/// Everybody can copy an edit out of the ledger, and ask with it.
#[test]
fn a_logged_edit_that_is_sent_again_does_not_tell_who_gave_in() {
    let (new, newer) = (review(3, "softer"), review(5, "wonderful"));
    for withdraws in [true, false] {
        let (world, _, author, state) = published();
        let edit = author.edit(&state, &new);
        let receipt = world.act(&author, &edit, Some(&new)).unwrap();
        assert_eq!(world.act(&author, &edit, Some(&new)).unwrap(), receipt, "nobody else has it yet");
        // Past the last Monday at which it may have taken effect.
        for number in 2..24 {
            let _ = world.tick_at(number);
        }
        let copied =
            || [None, Some(&new)].map(|text| world.act(&author, &edit, text).map_err(|error| error.code()));
        let before = copied();
        assert_eq!(before, [Err("desk.out_of_sequence"), Err("desk.out_of_sequence")]);
        let state = state.after(&edit);
        if withdraws {
            world.act(&author, &author.withdrawal(&state), None).unwrap();
        } else {
            world.act(&author, &author.edit(&state, &newer), Some(&newer)).unwrap();
        }
        assert_eq!(copied(), before);
    }
}

/// With the scope and the serial out of a dump: garbage at the door for submissions, too, is
/// answered alike until the boundary at which everybody learns it.
#[test]
fn the_submission_door_does_not_tell_who_gave_in() {
    let (world, scope) = (World::in_memory(), scope("a", 1));
    world.desk.admit(&manifest(&scope, 2, 5)).unwrap();
    let (author, state) = submit_one(&world, &scope, "held");
    let ask = || {
        let other = world.submit(author.submission(&review(5, "garbage"))).map_err(|error| error.code());
        let again = world.submit(author.submission(&review(1, "held"))).map_err(|error| error.code());
        let removed = world.remove(&scope, &author.id(), "curious").map_err(|error| error.code());
        (other, again, removed)
    };
    let before = ask();
    assert_eq!((before.0.clone(), before.2), (Err("desk.spent"), Err("desk.not_published")));
    world.act(&author, &author.withdrawal(&state), None).unwrap();
    assert_eq!(ask(), before);
    let _ = world.tick_at(2);
    assert_eq!(ask().0, Err("desk.withdrawn"), "now it is public");
}

#[test]
fn an_author_can_act_as_long_as_the_review_is_listed() {
    let (world, scope) = (World::in_memory(), scope("a", 1));
    world.desk.admit(&manifest(&scope, 1, 2)).unwrap();
    let (author, state) = submit_one(&world, &scope, "bad");
    for number in [1, 9, 2_000] {
        let _ = world.tick_at(number);
    }
    assert_eq!(world.desk.evidence(&scope, &author.id()).unwrap(), None, "the escrow is erased");
    let new = review(2, "less bad");
    let edit = author.edit(&state, &new);
    world.act(&author, &edit, Some(&new)).unwrap();
    let _ = world.tick_at(2_021);
    assert_eq!(world.listing("a")[0].review, new);
    world.act(&author, &author.withdrawal(&state.after(&edit)), None).unwrap();
    let _ = world.tick_at(2_042);
    assert_eq!(world.listing("a"), []);
}

#[test]
fn an_author_needs_no_issuing_key() {
    let (world, _, author, state) = published();
    crate::world::rotate_away(&world.desk);
    world.act(&author, &author.withdrawal(&state), None).unwrap();
}

#[test]
fn a_restored_device_asks_where_its_review_stands_on_one_day() {
    let (world, scope, author, state) = published();
    let now = day(1).saturating_add(5_000);
    let question = author.question(now);
    let answered = world.desk.state(&scope, &question).unwrap();
    assert_eq!(answered, ReviewState { standing: ReviewStanding::Published, ..state.clone() });
    let edit = author.edit(&answered, &review(4, "well"));
    world.act(&author, &edit, Some(&review(4, "well"))).unwrap();
    let later = world.desk.state(&scope, &question).unwrap();
    assert_eq!((later.last_sequence, later.digest_in_force), (1, review(4, "well").digest()));
    // A withdrawal that waits is said to its author, who may have signed it before the loss.
    world.act(&author, &author.withdrawal(&later), None).unwrap();
    assert_eq!(world.desk.state(&scope, &question).unwrap().standing, ReviewStanding::Withdrawn);
    for number in [0, 2] {
        world.go_to(number);
        world.refuses("desk.refused", || world.desk.state(&scope, &question));
    }
}

#[test]
fn no_change_is_dated_before_what_it_changes_whatever_the_clock_says() {
    let (world, _, author, state) = published();
    let (first, second) = (review(5, "better"), review(4, "well"));
    let act = |state: &ReviewState, new: &Review| -> (AuthorAction, ActionReceipt) {
        let edit = author.edit(state, new);
        let receipt = world.act(&author, &edit, Some(new)).unwrap();
        (edit, receipt)
    };
    // Published on day 1, and acted on by an instance that still has day 0.
    world.clock.set(day(0));
    let (edit, on_day_0) = act(&state, &first);
    assert!(on_day_0.boundary() >= day(1));
    // Edited by one that has day 20, and applied; then by one that has day 2.
    world.go_to(20);
    let state = state.after(&edit);
    let (edit, on_day_20) = act(&state, &second);
    let _ = world.tick_at(35);
    assert_eq!(world.listing("a")[0].review, second);
    world.go_to(2);
    let (_, on_day_2) = act(&state.after(&edit), &first);
    assert_eq!(on_day_2.boundary(), on_day_20.boundary());
    let _ = world.tick_at(35);
    assert_eq!(world.listing("a")[0].review, first);
}
