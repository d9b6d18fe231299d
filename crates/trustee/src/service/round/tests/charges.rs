//! What a round presupposes: that every review of its warrant is charged, as what it is.

use super::*;
use crate::service::tests::settle;

/// A round of trustee 1 alone, up to its blind.
fn blinded(
    world: &World,
    trustee: &Trustee<MemoryStore>,
    presented: &PresentedWarrant,
    round: u16,
) -> (RoundRequest, [Blind; 1]) {
    log_round(world, presented, round, [1]);
    let request = request(world, presented, round);
    world.log(&[appended(trustee.blind(&request, &world.openings))]);
    let blind = revealed(trustee.blind(&request, &world.openings));
    (request, [blind])
}

#[test]
fn no_round_before_every_review_is_charged() {
    let world = World::new(1, 1, 3, budgets(9, 9, 9));
    let trustee = world.trustee(1, &Arc::new(MemoryStore::new()));
    let presented = warrant(&world, &[0, 1, 2]);
    log_round(&world, &presented, 1, [1]);
    let request = request(&world, &presented, 1);
    for review in 0..3 {
        assert_eq!(refusal(trustee.blind(&request, &world.openings)), SameAuthorError::NotCharged);
        assert_eq!(refusal(trustee.compare(&request, &[], &world.openings)), SameAuthorError::NotCharged);
        // The round's entry may stand before the charges, and under the same checkpoint.
        assert!(settle(&world, &trustee, &presented, review).unwrap() == OpeningAnswer::Charged);
    }
    appended(trustee.blind(&request, &world.openings));
}

#[test]
fn a_warrant_that_opens_starts_no_round() {
    let world = World::new(1, 1, 2, budgets(9, 9, 9));
    let trustee = world.trustee(1, &Arc::new(MemoryStore::new()));
    let presented = world.warrant(&[0, 1]);
    log_round(&world, &presented, 1, [1]);
    let request = request(&world, &presented, 1);
    assert_eq!(refusal(trustee.blind(&request, &world.openings)), SameAuthorError::Action);
}

/// A warrant for the first two of so many reviews, charged where all budgets are this large.
fn charged(reviews: usize, budget: u32) -> (World, Trustee<MemoryStore>, PresentedWarrant) {
    let world = World::new(1, 1, reviews, budgets(budget, budget, budget));
    let trustee = world.trustee(1, &Arc::new(MemoryStore::new()));
    let presented = warrant(&world, &[0, 1]);
    charge(&world, &trustee, &presented);
    (world, trustee, presented)
}

#[test]
fn a_set_that_contains_an_opened_review_is_charged_as_openings() {
    let (world, trustee, before) = charged(4, 9);
    let (earlier, blinds) = blinded(&world, &trustee, &before, 1);

    let opening = world.warrant(&[0]);
    assert!(matches!(settle(&world, &trustee, &opening, 0), Ok(OpeningAnswer::Released(_))));
    // Charged as a comparison before it was opened: the round is not run any more.
    let refused = trustee.blind(&earlier, &world.openings).unwrap_err();
    assert_eq!(refused.code(), "trustee.charge_as_opening");
    let refused = trustee.compare(&earlier, &blinds, &world.openings).unwrap_err();
    assert_eq!(refused.code(), "trustee.charge_as_opening");

    let cheap = warrant(&world, &[0, 1]);
    let refused = try_charge(&world, &trustee, &cheap).unwrap_err();
    assert_eq!(refused.code(), "trustee.charge_as_opening");

    let dear = dear_warrant(&world, &[0, 1]);
    charge(&world, &trustee, &dear);
    let (round, blinds) = blinded(&world, &trustee, &dear, 1);
    released(&world, &trustee, &round, &blinds);

    // What was compared with it may be known by now: the next in the chain is charged so too.
    let chain = warrant(&world, &[1, 2]);
    let refused = try_charge(&world, &trustee, &chain).unwrap_err();
    assert_eq!(refused.code(), "trustee.charge_as_opening");
    charge(&world, &trustee, &warrant(&world, &[2, 3]));
}

#[test]
fn a_disclosed_opening_by_others_is_known_too() {
    let world = World::new(2, 3, 2, budgets(9, 9, 9));
    let stores = [1, 2, 3].map(|_| Arc::new(MemoryStore::new()));
    let trustee = |index: u16| world.trustee(index, &stores[usize::from(index) - 1]);
    let opening = world.warrant(&[0]);
    for index in [2, 3] {
        assert!(matches!(settle(&world, &trustee(index), &opening, 0), Ok(OpeningAnswer::Released(_))));
    }
    let first = warrant(&world, &[0, 1]);
    // Trustee 1 took no part, and learns of it when the warrant is disclosed.
    charge(&world, &trustee(1), &first);
    log_round(&world, &first, 1, [1, 2]);
    let request = request(&world, &first, 1);
    appended(trustee(1).blind(&request, &world.openings));
    world.log(&[opening.disclosure().to_bytes()]);
    let refused = trustee(1).blind(&request, &world.openings).unwrap_err();
    assert_eq!(refused.code(), "trustee.charge_as_opening");
}

#[test]
fn rounds_are_free_once_the_reviews_are_charged() {
    // The limit for comparisons is two reviews.
    let (world, trustee, presented) = charged(3, 1);
    for round in 1..=4 {
        let (request, blinds) = blinded(&world, &trustee, &presented, round);
        released(&world, &trustee, &request, &blinds);
    }
    let more = warrant(&world, &[1, 2]);
    assert_eq!(try_charge(&world, &trustee, &more).unwrap_err().code(), "trustee.budget");
}
