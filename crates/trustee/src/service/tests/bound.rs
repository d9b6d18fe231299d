//! Who holds what, and how much that opens: the whole service against the bound.

use super::*;
use crate::OpeningError;
use crate::warrant::{Claim, Excess, OpeningsRegister, RegisterTrust};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use unjoin_core::entry::ShareReleasedEntry;
use unjoin_core::token::Trustees;
use unjoin_core::wire::Message;
use unjoin_core::{Clock, DAY};
use unjoin_log::LogView;

const TRUSTEES: u16 = 3;
const REVIEWS: usize = 6;

/// What somebody with all warrant keys, the platform and the ledger does to the trustees.
#[derive(Clone, Debug)]
enum Move {
    Ask {
        trustee: u16,
        review: usize,
    },
    /// One of the entries that he holds back is logged.
    Log(prop::sample::Index),
    Pass(u64),
    Restart(u16),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        8 => (1..=TRUSTEES, 0..REVIEWS).prop_map(|(trustee, review)| Move::Ask { trustee, review }),
        5 => any::<prop::sample::Index>().prop_map(Move::Log),
        2 => (1u64..4 * DAY).prop_map(Move::Pass),
        1 => (1..=TRUSTEES).prop_map(Move::Restart),
    ];
    prop::collection::vec(one, 20..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn leaked_warrant_keys_open_no_more_than_the_budget_in_any_window(
        moves in moves(), all in 1u32..4, own in 1u32..3,
    ) {
        let world = World::new(2, TRUSTEES, REVIEWS, budgets(all, own, 99));
        let stores: Vec<_> = (0..TRUSTEES).map(|_| Arc::new(MemoryStore::new())).collect();
        let mut trustees = world.all_trustees();
        for (index, store) in (1..).zip(&stores) {
            trustees[usize::from(index) - 1] = world.trustee(index, store);
        }
        // Each review under a warrant of its own, and the first two under a second one too.
        let warrants: Vec<_> = (0..REVIEWS).map(|review| world.warrant(&[review])).collect();
        let second = world.warrant(&[0, 1]);
        let (mut held_back, mut released) = (Vec::new(), BTreeSet::new());
        let mut ask = |trustees: &[Trustee<MemoryStore>], trustee: u16, review: usize, held_back: &mut Vec<Vec<u8>>| {
            for presented in [Some(&warrants[review]), (review < 2).then_some(&second)].into_iter().flatten() {
                let request = world.request(presented, review);
                match trustees[usize::from(trustee) - 1].answer(&request, &world.openings) {
                    Ok(OpeningAnswer::Append(entry)) if !held_back.contains(&entry) => held_back.push(entry),
                    Ok(OpeningAnswer::Append(_)) => {}
                    Ok(OpeningAnswer::Released(_)) => {
 released.insert((trustee, presented.tag(&world.id(review))));
},
                    Ok(other) => panic!("{other:?}"),
                    Err(TrusteeError::Budget(_) | TrusteeError::Void(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        };
        for next in moves {
            match next {
                Move::Ask { trustee, review } => ask(&trustees, trustee, review, &mut held_back),
                Move::Log(which) if !held_back.is_empty() => {
                    world.log(&[held_back.swap_remove(which.index(held_back.len()))]);
                }
                Move::Log(_) => {}
                Move::Pass(seconds) => {
                    world.pass(seconds);
                    world.publish();
                }
                Move::Restart(index) => {
                    trustees[usize::from(index) - 1] = world.trustee(index, &stores[usize::from(index) - 1]);
                }
            }
        }
        // What is held back longest is logged in the end, and everybody asked once more.
        world.log(&held_back);
        for (trustee, review) in (1..=TRUSTEES).flat_map(|trustee| (0..REVIEWS).map(move |review| (trustee, review))) {
            ask(&trustees, trustee, review, &mut Vec::new());
        }
        let times = times(&world);
        for trustee in [None, Some(1), Some(2), Some(3)] {
            let limit = if trustee.is_some() { own } else { all };
            let of = |(by, tag): &&(u16, [u8; 32])| {
                trustee.is_none_or(|trustee| trustee == *by) && times.contains_key(&(*by, *tag))
            };
            for from in released.iter().filter(of).map(|release| times[release]) {
                let window = from..from + 7 * DAY;
                let tags: BTreeSet<_> = released
                    .iter()
                    .filter(of)
                    .filter(|release| window.contains(&times[release]))
                    .map(|(_, tag)| tag)
                    .collect();
                prop_assert!(tags.len() <= limit as usize, "{} of {}", tags.len(), limit);
            }
        }
    }
}

/// When each release was in the published ledger for the first time, in seconds.
fn times(world: &World) -> BTreeMap<(u16, [u8; 32]), u64> {
    let entries = world.openings.entries(0, world.openings.size().unwrap()).unwrap();
    let releases = (0..).zip(&entries).filter_map(|(index, entry)| {
        let entry = ShareReleasedEntry::from_bytes(entry).ok()?;
        Some(((entry.trustee(), *entry.tag()), world.published_at(index)?.as_unix_seconds()))
    });
    releases.collect()
}

#[test]
fn threads_that_ask_at_once_get_no_more_than_the_budget() {
    let world = World::new(2, TRUSTEES, REVIEWS, budgets(3, 2, 99));
    let presented = world.warrant(&[0, 1, 2, 3, 4, 5]);
    let trustees = world.all_trustees();
    let (entries, released) = (Mutex::new(Vec::new()), Mutex::new(BTreeSet::new()));
    for _ in 0..2 {
        std::thread::scope(|scope| {
            for (trustee, review) in trustees.iter().flat_map(|t| (0..REVIEWS).map(move |review| (t, review)))
            {
                let (world, presented, entries, released) = (&world, &presented, &entries, &released);
                scope.spawn(move || {
                    match trustee.answer(&world.request(presented, review), &world.openings) {
                        Ok(OpeningAnswer::Append(entry)) => {
                            entries.lock().unwrap().push((trustee.index(), entry))
                        }
                        Ok(OpeningAnswer::Released(_)) => {
                            released.lock().unwrap().insert((trustee.index(), review));
                        }
                        Ok(other) => panic!("{other:?}"),
                        Err(TrusteeError::Budget(_) | TrusteeError::Void(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                });
            }
        });
        let entries: Vec<_> = entries.lock().unwrap().drain(..).collect();
        for index in 1..=TRUSTEES {
            // What is under way is counted: no trustee wastes an entry on its own limit.
            assert!(entries.iter().filter(|(trustee, _)| *trustee == index).count() <= 2);
        }
        world.log(&entries.into_iter().map(|(_, entry)| entry).collect::<Vec<_>>());
    }
    let released = released.into_inner().unwrap();
    let reviews: BTreeSet<usize> = released.iter().map(|(_, review)| *review).collect();
    assert!((1..=3).contains(&reviews.len()), "{released:?}");
}

#[test]
fn all_keys_of_the_platform_and_fewer_than_t_trustees_open_nothing() {
    let world = World::new(3, 5, 1, budgets(9, 9, 9));
    let presented = world.sign(world.terms(WarrantAction::Open, &[0]));
    let rng = &mut SystemRng::new();
    let secrets: Vec<_> = (1..=2).map(|index| world.secrets(index)).collect();
    let committee = secrets[0].committee().unwrap().committee();
    let evidence = &world.written[0].evidence;
    let verified =
        evidence.verify(&world.policy.issuers, committee.key(), &world.policy.reviews, rng).unwrap();
    let context = verified.share_context(presented.terms());
    let mut shares: Vec<_> = secrets
        .iter()
        .map(|secrets| DecryptionShare::answer(secrets.share().unwrap(), committee, &context, rng).unwrap())
        .collect();
    assert_eq!(combine(committee, &context, &shares, rng), Err(OpeningError::TooFew));
    // A third one of somebody who is none of the other trustees.
    let stranger = World::new(3, 5, 0, budgets(9, 9, 9)).secrets(3);
    let other = stranger.committee().unwrap().committee();
    shares.push(DecryptionShare::answer(stranger.share().unwrap(), other, &context, rng).unwrap());
    assert_eq!(combine(committee, &context, &shares, rng), Err(OpeningError::Culprits(vec![3])));
}

/// What the manual says under "At most B": lists count apart, and so two of them may open up to the sum.
#[test]
fn a_budget_is_of_one_list_of_trustees_in_its_order() {
    let world = World::new(1, 2, 2, budgets(1, 1, 2));
    let presented = world.warrant(&[0, 1]);
    let trustee = world.trustee(1, &Arc::new(MemoryStore::new()));
    assert!(matches!(settle(&world, &trustee, &presented, 0), Ok(OpeningAnswer::Released(_))));
    let entries = world.openings.entries(0, world.openings.size().unwrap()).unwrap();
    let room = |order: [u16; 2]| {
        let trustees = Trustees::new(order.map(|index| world.secrets(index).public()).to_vec()).unwrap();
        let (requesters, origin) = (world.policy.warrants.clone(), log_key(OPENINGS).public().name().clone());
        let mut register = OpeningsRegister::new(RegisterTrust { trustees, requesters, origin });
        let releases = register.extend(&entries).len();
        register.mark(entries.len() as u64, world.clock.now());
        let (commitment, tag) = (presented.commitment(), presented.tag(&world.id(1)));
        let claim = Claim { trustee: 2, commitment, tag, since: world.clock.now() };
        (releases, register.judge(&world.policy.budgets, &claim, u64::MAX))
    };
    assert_eq!(room([1, 2]), (1, Err(Excess::All(1))));
    assert_eq!(room([2, 1]), (0, Ok(())));
}
