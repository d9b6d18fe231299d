//! Stores that fail at any step, and disks that are put back.

use super::*;
use crate::test_util::world::own;
use rand_core::{CryptoRng, Rng};
use std::collections::BTreeSet;
use std::sync::Mutex;
use unjoin_core::Environment;
use unjoin_store::{Record, Write};
use unjoin_test_util::{Draws, Failure, Faulty, copy, holds_bytes};

/// A generator that says these bytes.
fn fixed(said: Vec<u8>) -> impl CryptoRng {
    Draws(move |bytes: &mut [u8]| bytes.copy_from_slice(&said))
}

#[test]
fn a_generator_that_repeats_itself_gives_no_two_factors_alike() {
    let panel = Panel::new(2, 2, &[0, 1, 2]);
    let (request, rng) = (panel.request(1), &mut fixed(vec![3; 32]));
    let all = reviews(&request);
    let of =
        |review: &crate::ReviewEvidence| (review.presentation.review_id(), *review.presentation.escrow());
    let two = ComparedReviews::new(request.reviews[1..].iter().map(of).collect()).unwrap();
    let mut factors = BTreeSet::new();
    for (index, digest, round, reviews) in
        [(1, 1, 1, &all), (2, 1, 1, &all), (1, 2, 1, &all), (1, 1, 2, &all), (1, 1, 1, &two)]
    {
        let secrets = panel.world.secrets(index);
        let factor = BlindingFactor::derive(secrets.share().unwrap(), &[digest; 32], round, reviews, rng);
        factors.insert(factor.expose().to_bytes());
    }
    assert_eq!(factors.len(), 5);
}

#[test]
fn whichever_commit_fails_a_round_gives_one_share_and_its_factor_is_nowhere() {
    let mut struck = BTreeSet::new();
    for (number, failure) in (0..12).flat_map(|number| [(number, Failure::Before), (number, Failure::Lost)]) {
        let world = World::new(1, 1, 2, budgets(9, 9, 9));
        let presented = warrant(&world, &[0, 1]);
        let store = Arc::new(Faulty::in_memory());
        let own = own(&world.secrets(1), &store);
        store.fail(number, failure);
        let noted = Arc::new(Mutex::new(Vec::new()));
        let notes = noted.clone();
        let environment = Environment::new(world.clock.clone(), move || {
            let notes = notes.clone();
            Box::new(Draws(move |bytes: &mut [u8]| {
                SystemRng::new().fill_bytes(bytes);
                notes.lock().unwrap().push(bytes.to_vec());
            }))
        });
        let start = || {
            let (store, policy) = (own.clone(), world.policy.clone());
            Trustee::open(store, world.secrets(1), policy, environment.clone()).unwrap()
        };
        log_round(&world, &presented, 1, [1]);
        let request = request(&world, &presented, 1);
        let (mut committed, mut compared, mut shares) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut trustee = start();
        let mut run = |trustee: &Trustee<Faulty>| -> Result<(), TrusteeError> {
            try_charge(&world, trustee, &presented)?;
            if let RoundAnswer::Append(entry) = trustee.blind(&request, &world.openings)? {
                committed.insert(entry.clone());
                world.log(&[entry]);
            }
            let blinds = [revealed(Ok(trustee.blind(&request, &world.openings)?))];
            // A share may be lost on its way, and is asked for again.
            let mut last = Ok(());
            for _ in 0..3 {
                match trustee.compare(&request, &blinds, &world.openings) {
                    Ok(RoundAnswer::Released(sealed)) => {
                        let share = world.recipient.open_comparison(&sealed, presented.terms()).unwrap();
                        shares.insert(share.to_bytes()[10..74].to_vec());
                        last = Ok(());
                    }
                    Ok(RoundAnswer::Append(entry)) => {
                        compared.insert(entry.clone());
                        world.log(&[entry]);
                    }
                    Ok(other) => panic!("{other:?}"),
                    Err(error) => last = Err(error),
                }
            }
            last
        };
        for attempt in 0..4 {
            match run(&trustee) {
                Ok(()) => break,
                Err(TrusteeError::Store(_)) => {
                    struck.insert((number, failure));
                    if number % 2 == 0 {
                        trustee = start();
                    }
                }
                Err(TrusteeError::Round(SameAuthorError::Used)) => break,
                Err(error) => panic!("{attempt}: {error}"),
            }
        }
        assert_eq!((committed.len(), compared.len(), shares.len()), (1, 1, 1), "{number} {failure:?}");
        let commits = store.commits();
        let writes = commits.iter().flat_map(|commit| &commit.writes);
        let written: Vec<u8> = writes
            .flat_map(|write| match write {
                Write::Put(key, value) => [key.as_slice(), value].concat(),
                Write::Delete(_) => Vec::new(),
            })
            .collect();
        // Neither a factor nor the fresh bytes that it was made of.
        let (secrets, reviews, digest) = (world.secrets(1), reviews(&request), presented.warrant().digest());
        let noted: Vec<Vec<u8>> = noted.lock().unwrap().iter().filter(|b| b.len() == 32).cloned().collect();
        assert!(!noted.is_empty());
        for fresh in noted {
            let rng = &mut fixed(fresh.clone());
            let factor = BlindingFactor::derive(secrets.share().unwrap(), &digest, 1, &reviews, rng);
            let factor = factor.expose().to_bytes();
            assert!(!written.windows(32).any(|window| window == factor || window == fresh));
        }
    }
    // Following, two intents, two verdicts, the blind, the mark of the round: before and after.
    assert!(struck.len() >= 14, "{struck:?}");
}

#[test]
fn a_disk_that_was_put_back_gives_no_second_share() {
    let panel = Panel::new(2, 2, &[0, 1]);
    panel.log_round(1, [1, 2]);
    let request = panel.request(1);
    let [before, late] = [0; 2].map(|_| Arc::new(copy(&panel.stores[0])));
    appended(panel.ask(1, &request));
    let between = Arc::new(copy(&panel.stores[0]));
    panel.commit(&request, &[1, 2]);
    let blinds = panel.reveal(&request, &[1, 2]);
    let first = panel.share(1, &request, &blinds);

    // Back to before the blind: the ledger's commitment is not known.
    let back = panel.world.trustee(1, &before);
    assert_eq!(refusal(back.blind(&request, &panel.world.openings)), SameAuthorError::Foreign);
    assert_eq!(refusal(back.compare(&request, &blinds, &panel.world.openings)), SameAuthorError::Foreign);
    // Back to before the share: it is the same share again, and no other.
    let back = panel.world.trustee(1, &between);
    let mut others = blinds.clone();
    others[1] = panel.corrupt(2, &request).0;
    assert_eq!(
        refusal(back.compare(&request, &others, &panel.world.openings)),
        SameAuthorError::Uncommitted(vec![2])
    );
    let again = released(&panel.world, &back, &request, &blinds);
    assert_eq!((panel.elements(&again), again.subject()), (panel.elements(&first), first.subject()));
    // Another round is a new one, with a fresh factor.
    panel.log_round(2, [1, 2]);
    let second = panel.request(2);
    let back = panel.world.trustee(1, &late);
    let entry = appended(back.blind(&second, &panel.world.openings));
    assert_ne!(entry, appended(panel.ask(1, &second)));
}

#[test]
fn the_rows_of_a_round_name_no_review_and_keep_no_blind_after_it() {
    let panel = Panel::new(1, 1, &[0, 1]);
    panel.log_round(1, [1]);
    let request = panel.request(1);
    let holds = |secret: &[u8]| holds_bytes(&panel.stores[0], secret);
    let (digest, blind) = (panel.digest(), *panel.presented.blind());
    let ids = [panel.world.id(0), panel.world.id(1)];
    let names_nothing = || {
        let hidden: [&[u8]; 4] = [ids[0].as_bytes(), ids[1].as_bytes(), &digest, &blind];
        assert!(hidden.iter().all(|secret| !holds(secret)));
    };
    panel.commit(&request, &[1]);
    names_nothing();
    let own = panel.reveal(&request, &[1]).remove(0);
    assert!(holds(&own.to_bytes()));
    panel.share(1, &request, std::slice::from_ref(&own));
    names_nothing();
    assert!(!holds(&own.to_bytes()[8..40]));
}

#[test]
fn rows_of_rounds_are_read_strictly() {
    let panel = Panel::new(1, 1, &[0, 1]);
    let (blind, _) = panel.corrupt(1, &panel.request(1));
    for part in [Part::Blinded(blind), Part::Used([7; 32])] {
        let value = part.to_value();
        assert_eq!(Part::from_value(&value).unwrap().to_value(), value);
        for length in 0..value.len() {
            assert!(Part::from_value(&value[..length]).is_err());
        }
        assert!(Part::from_value(&[value.as_slice(), &[0]].concat()).is_err());
        assert!(Part::from_value(&[&[2], &value[1..]].concat()).is_err());
        assert!(Part::from_value(&[&[1, 3], &value[2..]].concat()).is_err());
    }
}
