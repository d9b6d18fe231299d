//! A member shows two others two different blinds of its own. Each of the two lets a share go for what it
//! saw, and the two results differ by a multiple of every wallet key that the attacker knows, if the blinds were
//! summed as they are. The attack is played with each defence taken out.

use super::*;
use crate::same_author::{composite, factor};
use crate::service::tests::forked;
use crate::test_util::world::own;
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use unjoin_core::algebra::threshold;
use unjoin_core::secret::SecretScalar;

/// 2 of 3 trustees: 1 and 2 are honest, 3 is the attacker's, who also has the warrant's recipient key, the
/// platform, and an officer.
struct Attack {
    panel: Panel,
    request: RoundRequest,
    /// The attacker's two factors, which it chose, and its blinds with them.
    factors: [Scalar; 2],
    own: [Blind; 2],
}

impl Attack {
    fn new() -> Self {
        let panel = Panel::new(2, 3, &[0, 1, 0]);
        panel.log_round(1, [1, 2, 3]);
        let request = panel.request(1);
        let (digest, reviews, rng) = (panel.digest(), reviews(&request), &mut SystemRng::new());
        let factors = [5u64, 11].map(Scalar::from);
        let own = factors.map(|z| {
            let z = BlindingFactor::from_scalar(SecretScalar::new(z)).unwrap();
            Blind::new(3, 1, &z, &digest, &reviews, rng).unwrap()
        });
        Self { panel, request, factors, own }
    }

    fn entries(&self) -> Vec<Vec<u8>> {
        let ledger = &self.panel.world.openings;
        unjoin_log::LogView::entries(ledger, 0, ledger.size().unwrap()).unwrap()
    }

    /// `W` of each review in a view, from an honest member's `D` and the attacker's own.
    fn results(
        &self,
        blinds: &[Blind],
        weights: &[Scalar],
        honest: u16,
        d: &[Element],
    ) -> Vec<RistrettoPoint> {
        let secrets = self.panel.world.secrets(3);
        let y = secrets.share().unwrap().secret().expose();
        let sum = |at: usize, part: usize| composite(weights, blinds.iter().map(|b| b.blinded()[at][part]));
        let result = |(at, d): (usize, &Element)| {
            let own = sum(at, 0) * y;
            sum(at, 1) - threshold::interpolate(&[(honest, *d.point()), (3, own)], 0)
        };
        d.iter().enumerate().map(result).collect()
    }

    /// What the attacker makes of two views: the wallet keys, if plain sums stand behind the results.
    fn unmasked(&self, one: &[RistrettoPoint], other: &[RistrettoPoint]) -> Vec<[u8; 32]> {
        let [z, other_z] = self.factors;
        let known = (z - other_z).invert();
        one.iter().zip(other).map(|(one, other)| ((one - other) * known).compress().to_bytes()).collect()
    }

    fn authors(&self) -> Vec<[u8; 32]> {
        let author = |id: ReviewId| {
            let mut written = self.panel.world.written.iter();
            *written.find(|w| w.evidence.presentation.review_id() == id).unwrap().author.as_bytes()
        };
        self.request.reviews.iter().map(|review| author(review.presentation.review_id())).collect()
    }
}

#[test]
fn in_one_ledger_a_member_is_bound_to_the_first_blind_that_it_signed() {
    let attack = Attack::new();
    let (panel, request) = (&attack.panel, &attack.request);
    panel.commit(request, &[1, 2]);
    let [first, second] = &attack.own;
    panel.world.log(&[entry(request, 3, first), entry(request, 3, second)]);
    let honest = panel.reveal(request, &[1, 2]);
    // One view is answered; the other by nobody, whoever is asked first.
    let views = [first, second].map(|own| [honest.clone(), vec![own.clone()]].concat());
    assert_eq!(refusal(panel.compare(2, request, &views[1])), SameAuthorError::Uncommitted(vec![3]));
    panel.share(1, request, &views[0]);
    assert_eq!(refusal(panel.compare(2, request, &views[1])), SameAuthorError::Uncommitted(vec![3]));
    panel.share(2, request, &views[0]);
}

#[test]
fn even_in_a_forked_ledger_two_views_of_a_round_tell_no_wallet_key() {
    let attack = Attack::new();
    let (panel, request) = (&attack.panel, &attack.request);
    // The first defence is gone: witnesses forget, and each honest member is shown a ledger of its own.
    let commitments = [1, 2].map(|index| appended(panel.ask(index, request)));
    let before = attack.entries();
    let ledgers = [0, 1].map(|view| {
        let own = entry(request, 3, &attack.own[view]);
        [before.as_slice(), &commitments, &[own]].concat()
    });
    let blind = |index: u16, ledger: &[Vec<u8>]| {
        revealed(panel.trustee(index).blind(request, &forked(&panel.world, ledger)))
    };
    let honest = [blind(1, &ledgers[0]), blind(2, &ledgers[1])];
    let views = [0, 1].map(|view| [honest.as_slice(), &[attack.own[view].clone()]].concat());
    // The attacker has one share of each view.
    let shares = [1, 2].map(|index: u16| {
        let (trustee, at) = (panel.trustee(index), usize::from(index) - 1);
        let entry = appended(trustee.compare(request, &views[at], &forked(&panel.world, &ledgers[at])));
        let ledger = forked(&panel.world, &[ledgers[at].as_slice(), &[entry]].concat());
        match trustee.compare(request, &views[at], &ledger).unwrap() {
            RoundAnswer::Released(share) => share,
            other => panic!("{other:?}"),
        }
    });
    let results = [0, 1].map(|view| {
        let weights = [1, 2, 3].map(|index| factor(shares[view].subject(), index));
        attack.results(&views[view], &weights, view as u16 + 1, &panel.elements(&shares[view]))
    });
    // The second defence stands: each view says who wrote what, and the two together no more.
    for result in &results {
        let (a, b) = (attack.authors(), result);
        assert_eq!([a[0] == a[1], a[0] == a[2], a[1] == a[2]], [b[0] == b[1], b[0] == b[2], b[1] == b[2]]);
    }
    let unmasked = attack.unmasked(&results[0], &results[1]);
    assert!(unmasked.iter().zip(attack.authors()).all(|(found, author)| *found != author));

    // With plain sums in the place of weighed ones the very same views give every wallet key away.
    let plain = [Scalar::ONE; 3];
    let results = [0, 1].map(|view| {
        let index = view as u16 + 1;
        let secrets = panel.world.secrets(index);
        let y = secrets.share().unwrap().secret().expose();
        let sum = |at: usize| composite(&plain, views[view].iter().map(|blind| blind.blinded()[at][0]));
        let d: Vec<_> =
            (0..request.reviews.len()).map(|at| Element::from_point(sum(at) * y).unwrap()).collect();
        attack.results(&views[view], &plain, index, &d)
    });
    assert_eq!(attack.unmasked(&results[0], &results[1]), attack.authors());
}

#[test]
fn a_member_of_another_epoch_takes_no_part() {
    let attack = Attack::new();
    let (panel, request) = (&attack.panel, &attack.request);
    appended(panel.ask(1, request));
    // A refresh is logged, and then a round: it is of the new committee.
    let refreshed = panel.world.refreshed();
    panel.world.log(&[refreshed[0].committee().unwrap().to_bytes()]);
    panel.log_round(2, [1, 2, 3]);
    let second = RoundRequest { round: 2, ..request.clone() };
    assert_eq!(refusal(panel.ask(1, &second)), SameAuthorError::Epoch);
    appended(panel.ask(2, request));
    let policy = panel.world.policy.clone();
    let secrets = refreshed.into_iter().next().unwrap();
    let store = own(&secrets, &panel.stores[0]);
    let new = Trustee::open(store, secrets, policy, panel.world.environment()).unwrap();
    assert_eq!(refusal(new.blind(request, &panel.world.openings)), SameAuthorError::Epoch);
    appended(new.blind(&second, &panel.world.openings));
}
