//! Trustees among real ledgers and witnesses, all in memory.

mod bound;
mod failures;
mod refusals;

use super::*;
use crate::test_util::world::{OPENINGS, World, budgets, log_key, witness};
use crate::warrant::PresentedWarrant;
use crate::{DecryptionShare, SealedShare, combine};
use unjoin_core::entry::WarrantAction;
use unjoin_core::secret::SystemRng;
use unjoin_log::{Log, Witness};
use unjoin_store::MemoryStore;
use unjoin_test_util::dump;

/// Asks for a review until it is decided, logging what is to be logged.
pub(super) fn settle<S: Store>(
    world: &World,
    trustee: &Trustee<S>,
    presented: &PresentedWarrant,
    review: usize,
) -> Result<OpeningAnswer, TrusteeError> {
    let request = world.request(presented, review);
    match trustee.answer(&request, &world.openings)? {
        OpeningAnswer::Append(entry) => {
            world.log(&[entry]);
            trustee.answer(&request, &world.openings)
        }
        answer => Ok(answer),
    }
}

/// A released share, opened by the warrant's recipient.
pub(super) fn share(world: &World, presented: &PresentedWarrant, answer: OpeningAnswer) -> DecryptionShare {
    let OpeningAnswer::Released(sealed) = answer else { panic!("{answer:?}") };
    open(world, presented, &sealed)
}

pub(super) fn open(world: &World, presented: &PresentedWarrant, sealed: &SealedShare) -> DecryptionShare {
    world.recipient.open(sealed, presented.terms()).unwrap()
}

/// Another history under the ledger's key, cosigned by witnesses who have forgotten the first.
pub(super) fn forked(world: &World, entries: &[Vec<u8>]) -> Log<MemoryStore> {
    let key = log_key(OPENINGS);
    let logs = vec![key.public().clone()];
    let policy = world.policy.openings.clone();
    let log = crate::test_util::fresh_log(key, Some(&policy));
    log.append(entries).unwrap();
    let environment = world.environment();
    let witnesses: Vec<_> =
        (1..=4).map(|number| witness(number, &logs, &environment) as Arc<dyn Witness>).collect();
    assert!(log.publish(&witnesses).unwrap().published);
    log
}

pub(super) fn code(answer: Result<OpeningAnswer, TrusteeError>) -> &'static str {
    answer.map_or_else(|error| error.code(), |answer| panic!("{answer:?}"))
}

#[test]
fn any_t_trustees_open_a_review_to_its_author_and_fewer_do_not() {
    let world = World::new(2, 3, 2, budgets(10, 10, 10));
    let presented = world.warrant(&[0, 1]);
    let trustees = world.all_trustees();
    for review in [0, 1] {
        let answers = trustees.iter().map(|trustee| settle(&world, trustee, &presented, review).unwrap());
        let shares: Vec<_> = answers.map(|answer| share(&world, &presented, answer)).collect();
        let secrets = world.secrets(1);
        let committee = secrets.committee().unwrap().committee();
        let rng = &mut SystemRng::new();
        let evidence = &world.written[review].evidence;
        let verified =
            evidence.verify(&world.policy.issuers, committee.key(), &world.policy.reviews, rng).unwrap();
        let context = verified.share_context(presented.terms());
        for pair in [[0, 1], [1, 2], [2, 0]] {
            let two = pair.map(|at: usize| shares[at].clone());
            assert_eq!(combine(committee, &context, &two, rng), Ok(world.written[review].author));
            assert!(combine(committee, &context, &two[..1], rng).is_err());
        }
    }
}

#[test]
fn asked_again_a_trustee_gives_the_same_entry_and_the_same_share() {
    let world = World::new(2, 3, 1, budgets(1, 1, 1));
    let presented = world.warrant(&[0]);
    let store = Arc::new(MemoryStore::new());
    let request = world.request(&presented, 0);
    let ask = || world.trustee(1, &store).answer(&request, &world.openings).unwrap();
    let OpeningAnswer::Append(entry) = ask() else { panic!("an entry comes first") };
    assert_eq!(ask(), OpeningAnswer::Append(entry.clone()));
    world.log(&[entry]);
    let first = share(&world, &presented, ask());
    let written = dump(&store);
    for _ in 0..3 {
        world.publish();
        assert_eq!(share(&world, &presented, ask()).element(), first.element());
    }
    assert!(dump(&store) == written);
}

#[test]
fn a_warrant_that_compares_charges_each_review_and_releases_nothing() {
    let world = World::new(2, 3, 2, budgets(1, 1, 1));
    let presented = world.sign(world.terms(WarrantAction::SameAuthor, &[0, 1]));
    world.log(&[world.entry(&presented)]);
    for trustee in world.all_trustees() {
        for review in [0, 1] {
            assert_eq!(settle(&world, &trustee, &presented, review).unwrap(), OpeningAnswer::Charged);
            assert_eq!(settle(&world, &trustee, &presented, review).unwrap(), OpeningAnswer::Charged);
        }
    }
}
