//! Rounds among real trustees, ledgers and witnesses; and those who would have more of them than
//! whether two authors are one.

mod attacks;
mod charges;
mod failures;
mod two_views;

use super::*;
use crate::Committee;
use crate::same_author::{AuthorClasses, Comparison, ComparisonContext, ComparisonPanel, ComparisonRound};
use crate::service::{OpeningAnswer, OpeningRequest};
use crate::test_util::world::{OPENINGS, World, budgets, officer_of, stolen_key};
use std::collections::BTreeMap;
use std::sync::Arc;
use unjoin_core::algebra::Element;
use unjoin_core::entry::{Members, RoundEntry};
use unjoin_core::secret::SystemRng;
use unjoin_core::token::{Digest, ReviewId};
use unjoin_log::KeyName;
use unjoin_store::MemoryStore;
use unjoin_wallet::Wallet;

/// Trustees who have charged every review of a warrant that compares authors.
struct Panel {
    world: World,
    stores: Vec<Arc<MemoryStore>>,
    trustees: Vec<Trustee<MemoryStore>>,
    presented: PresentedWarrant,
}

impl Panel {
    /// Reviews by these authors, and t of n trustees who have charged all of them.
    fn new(threshold: u16, count: u16, authors: &[usize]) -> Self {
        let most = authors.len().max(32) as u32;
        let mut world = World::new(threshold, count, 1, budgets(most, most, most));
        let known = authors.iter().max().map_or(0, |last| last + 1);
        let wallets: Vec<Wallet> = (0..known).map(|_| Wallet::generate(&mut SystemRng::new())).collect();
        world.written.clear();
        world.write(&authors.iter().map(|author| &wallets[*author]).collect::<Vec<_>>());
        let stores: Vec<_> = (0..count).map(|_| Arc::new(MemoryStore::new())).collect();
        let trustees = (1..).zip(&stores).map(|(index, store)| world.trustee(index, store)).collect();
        let presented = warrant(&world, &(0..authors.len()).collect::<Vec<_>>());
        let panel = Self { world, stores, trustees, presented };
        panel.trustees.iter().for_each(|trustee| charge(&panel.world, trustee, &panel.presented));
        panel
    }

    fn trustee(&self, index: u16) -> &Trustee<MemoryStore> {
        &self.trustees[usize::from(index) - 1]
    }

    fn digest(&self) -> Digest {
        self.presented.warrant().digest()
    }

    fn committee(&self) -> Committee {
        self.world.secrets(1).committee().unwrap().committee().clone()
    }

    fn request(&self, round: u16) -> RoundRequest {
        request(&self.world, &self.presented, round)
    }

    fn log_round(&self, round: u16, members: impl IntoIterator<Item = u16>) {
        log_round(&self.world, &self.presented, round, members);
    }

    fn ask(&self, index: u16, request: &RoundRequest) -> Result<RoundAnswer, TrusteeError> {
        self.trustee(index).blind(request, &self.world.openings)
    }

    fn compare(
        &self,
        index: u16,
        request: &RoundRequest,
        blinds: &[Blind],
    ) -> Result<RoundAnswer, TrusteeError> {
        self.trustee(index).compare(request, blinds, &self.world.openings)
    }

    /// A member's share: its entry is logged first.
    fn share(&self, index: u16, request: &RoundRequest, blinds: &[Blind]) -> SealedShare {
        released(&self.world, self.trustee(index), request, blinds)
    }

    /// These members commit to their blinds.
    fn commit(&self, request: &RoundRequest, members: &[u16]) {
        let entries: Vec<_> = members.iter().map(|index| appended(self.ask(*index, request))).collect();
        self.world.log(&entries);
    }

    /// These members reveal their blinds.
    fn reveal(&self, request: &RoundRequest, members: &[u16]) -> Vec<Blind> {
        members.iter().map(|index| revealed(self.ask(*index, request))).collect()
    }

    /// A blind of somebody who has trustee `index` in hand, and its entry.
    fn corrupt(&self, index: u16, request: &RoundRequest) -> (Blind, Vec<u8>) {
        let rng = &mut SystemRng::new();
        let (secrets, reviews) = (self.world.secrets(index), reviews(request));
        let (share, digest) = (secrets.share().unwrap(), request.presented.warrant().digest());
        let factor = BlindingFactor::derive(share, &digest, request.round, &reviews, rng);
        let blind = Blind::new(index, request.round, &factor, &digest, &reviews, rng).unwrap();
        let entry = entry(request, index, &blind);
        (blind, entry)
    }

    /// The decrypted shares that a trustee gave.
    fn elements(&self, sealed: &SealedShare) -> Vec<Element> {
        let terms = self.presented.terms();
        self.world.recipient.open_comparison(sealed, terms).unwrap().elements().to_vec()
    }

    fn comparison(&self) -> Comparison {
        let evidence = self.world.written.iter().map(|written| written.evidence.clone()).collect();
        let everybody = 1..=self.world.trustees.count();
        Comparison::new(self.presented.clone(), evidence, panel_of(&self.world), everybody).unwrap()
    }
}

fn panel_of(world: &World) -> ComparisonPanel {
    ComparisonPanel {
        committee: world.secrets(1).committee().unwrap().committee().clone(),
        trustees: world.trustees.clone(),
        origin: KeyName::new(OPENINGS).unwrap(),
    }
}

/// A warrant that compares these reviews.
fn warrant(world: &World, reviews: &[usize]) -> PresentedWarrant {
    let presented = world.sign(world.terms(WarrantAction::SameAuthor, reviews));
    world.log(&[world.entry(&presented)]);
    presented
}

/// The same, charged as openings.
fn dear_warrant(world: &World, reviews: &[usize]) -> PresentedWarrant {
    let presented = world.sign(world.terms(WarrantAction::SameAuthor, reviews));
    world.log(&[world.entry_as_opening(&presented)]);
    presented
}

/// Has all reviews of a warrant charged.
fn charge<S: Store>(world: &World, trustee: &Trustee<S>, presented: &PresentedWarrant) {
    assert!(
        try_charge(world, trustee, presented).unwrap().iter().all(|answer| *answer == OpeningAnswer::Charged)
    );
}

fn try_charge<S: Store>(
    world: &World,
    trustee: &Trustee<S>,
    presented: &PresentedWarrant,
) -> Result<Vec<OpeningAnswer>, TrusteeError> {
    let reviews = world.written.iter().map(|written| &written.evidence);
    let named = reviews.filter(|evidence| presented.terms().names(&evidence.presentation.review_id()));
    let requests =
        named.map(|review| OpeningRequest { presented: presented.clone(), review: review.clone() });
    let requests: Vec<_> = requests.collect();
    let ask = |request| trustee.answer(request, &world.openings);
    let mut entries = Vec::new();
    for request in &requests {
        if let OpeningAnswer::Append(entry) = ask(request)? {
            entries.push(entry);
        }
    }
    world.log(&entries);
    requests.iter().map(ask).collect()
}

fn request(world: &World, presented: &PresentedWarrant, round: u16) -> RoundRequest {
    let mut reviews: Vec<_> = world.written.iter().map(|written| written.evidence.clone()).collect();
    reviews.retain(|evidence| presented.terms().names(&evidence.presentation.review_id()));
    reviews.sort_by_key(|evidence| evidence.presentation.review_id());
    RoundRequest { presented: presented.clone(), reviews, round }
}

fn round_entry(presented: &PresentedWarrant, round: u16, members: impl IntoIterator<Item = u16>) -> Vec<u8> {
    let (members, officer) = (Members::new(members).unwrap(), officer_of(presented));
    let entry = RoundEntry::sign(officer.signer(), OPENINGS, presented.commitment(), round, members);
    entry.unwrap().to_bytes()
}

fn log_round(
    world: &World,
    presented: &PresentedWarrant,
    round: u16,
    members: impl IntoIterator<Item = u16>,
) {
    world.log(&[round_entry(presented, round, members)]);
}

fn reviews(request: &RoundRequest) -> ComparedReviews {
    compared(&request.presented, &request.reviews).unwrap()
}

/// The commitment of somebody who has the trustee's long-term key.
fn entry(request: &RoundRequest, trustee: u16, blind: &Blind) -> Vec<u8> {
    let bound = blind_commitment(&request.presented.warrant().digest(), &blind.to_bytes());
    let commitment = request.presented.commitment();
    let entry = BlindEntry::sign(&stolen_key(trustee), OPENINGS, commitment, request.round, trustee, bound);
    entry.unwrap().to_bytes()
}

fn released<S: Store>(
    world: &World,
    trustee: &Trustee<S>,
    request: &RoundRequest,
    blinds: &[Blind],
) -> SealedShare {
    if let RoundAnswer::Append(entry) = trustee.compare(request, blinds, &world.openings).unwrap() {
        world.log(&[entry]);
    }
    match trustee.compare(request, blinds, &world.openings).unwrap() {
        RoundAnswer::Released(share) => share,
        other => panic!("{other:?}"),
    }
}

fn appended(answer: Result<RoundAnswer, TrusteeError>) -> Vec<u8> {
    match answer.unwrap() {
        RoundAnswer::Append(entry) => entry,
        other => panic!("{other:?}"),
    }
}

fn revealed(answer: Result<RoundAnswer, TrusteeError>) -> Blind {
    match answer.unwrap() {
        RoundAnswer::Reveal(blind) => blind,
        other => panic!("{other:?}"),
    }
}

fn refusal<T: core::fmt::Debug>(answer: Result<T, TrusteeError>) -> SameAuthorError {
    match answer.unwrap_err() {
        TrusteeError::Round(error) => error,
        other => panic!("{other:?}"),
    }
}

/// What a member does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    /// Reveals another blind than it committed to.
    Exchanges,
    /// Commits to a blind that does not hold, and reveals it.
    Forges,
    /// Gives a share of something else.
    MisShares,
    /// Hands over a commitment in another member's name.
    Impersonates,
}

/// Runs rounds until the classes are known, with these members keeping no rule.
fn drive(panel: &Panel, comparison: &mut Comparison, manners: &BTreeMap<u16, Manner>) -> AuthorClasses {
    let rng = &mut SystemRng::new();
    loop {
        let round = comparison.next_round().unwrap();
        panel.world.log(&[comparison.entry(&round, &officer_of(&panel.presented)).unwrap().to_bytes()]);
        let ComparisonRound { request, members } = round;
        let other = panel.request(request.round + 1);
        let forged: BTreeMap<u16, Blind> =
            members.indices().map(|index| (index, panel.corrupt(index, &other).0)).collect();
        let committed = members.indices().map(|index| match manners.get(&index) {
            Some(Manner::Forges) => (index, entry(&request, index, &forged[&index])),
            Some(Manner::Impersonates) => (index, panel.corrupt(index % 5 + 1, &request).1),
            _ => (index, appended(panel.ask(index, &request))),
        });
        match comparison.take_entries(&committed.collect::<Vec<_>>()) {
            Ok(entries) => panel.world.log(&entries),
            Err(SameAuthorError::Culprits(_)) => continue,
            Err(other) => panic!("{other}"),
        }
        let reveal = |index| match manners.get(&index) {
            Some(Manner::Forges) => (index, forged[&index].clone()),
            Some(Manner::Exchanges) => (index, panel.corrupt(index, &request).0),
            _ => (index, revealed(panel.ask(index, &request))),
        };
        let blinds: Vec<_> = members.indices().map(reveal).collect();
        let blinds = match comparison.take_blinds(&blinds, rng) {
            Ok(blinds) => blinds,
            Err(SameAuthorError::Culprits(_)) => continue,
            Err(other) => panic!("{other}"),
        };
        let shares = members.indices().map(|index| {
            if manners.get(&index) != Some(&Manner::MisShares) {
                return (index, panel.share(index, &request, &blinds));
            }
            // Of the escrows that it would rather open.
            let (secrets, terms) = (panel.world.secrets(index), request.presented.terms());
            let sums = request.reviews.iter().map(|review| review.presentation.escrow().e1).collect();
            let context = ComparisonContext { warrant_digest: terms.digest(), round_id: [7; 32], sums };
            let share = secrets.share().unwrap();
            let rng = &mut SystemRng::new();
            let share = ComparisonShare::answer(share, &panel.committee(), &context, rng).unwrap();
            let commitment = request.presented.commitment();
            (index, SealedShare::seal_comparison(&share, terms, commitment, [7; 32], rng).unwrap())
        });
        let shares: Vec<_> = shares.collect();
        return comparison.take_shares(&shares, &panel.world.recipient, rng).unwrap();
    }
}

/// The reviews by author, as they were written.
fn truth(panel: &Panel) -> AuthorClasses {
    let mut by_author: BTreeMap<[u8; 32], Vec<ReviewId>> = BTreeMap::new();
    for written in &panel.world.written {
        let ids = by_author.entry(*written.author.as_bytes()).or_default();
        ids.push(written.evidence.presentation.review_id());
        ids.sort_unstable();
    }
    let mut authors: Vec<_> = by_author.into_values().collect();
    authors.sort_unstable();
    AuthorClasses { authors, nobody: vec![] }
}

/// However many pairs there are: 780 for forty authors.
#[test]
fn sixty_four_reviews_by_forty_authors_take_one_round_and_three_checkpoints() {
    let authors: Vec<usize> = (0..64).map(|review| review % 40).collect();
    let panel = Panel::new(2, 3, &authors);
    let (mut comparison, rng) = (panel.comparison(), &mut SystemRng::new());
    let before = panel.world.checkpoints();
    let ComparisonRound { request, members } = comparison.next_round().unwrap();
    panel.log_round(request.round, members.indices());
    let entries: Vec<_> =
        members.indices().map(|index| (index, appended(panel.ask(index, &request)))).collect();
    panel.world.log(&comparison.take_entries(&entries).unwrap());
    let blinds: Vec<_> =
        members.indices().map(|index| (index, revealed(panel.ask(index, &request)))).collect();
    let blinds = comparison.take_blinds(&blinds, rng).unwrap();
    let compare = |index| panel.compare(index, &request, &blinds);
    panel.world.log(&members.indices().map(|index| appended(compare(index))).collect::<Vec<_>>());
    let share = |index| match compare(index) {
        Ok(RoundAnswer::Released(share)) => (index, share),
        other => panic!("{other:?}"),
    };
    let shares: Vec<_> = members.indices().map(share).collect();
    let classes = comparison.take_shares(&shares, &panel.world.recipient, rng).unwrap();
    assert_eq!(classes, truth(&panel));
    assert_eq!((classes.authors.len(), comparison.rounds()), (40, 1));
    assert_eq!(panel.world.checkpoints() - before, 3);
}

#[test]
fn one_round_tells_the_classes_of_all_reviews_of_a_warrant() {
    for authors in [&[0, 0][..], &[0, 1], &[0, 1, 0, 2, 0, 1, 1, 0, 2, 0]] {
        let panel = Panel::new(3, 5, authors);
        let mut comparison = panel.comparison();
        assert_eq!(drive(&panel, &mut comparison, &BTreeMap::new()), truth(&panel));
        assert_eq!((comparison.rounds(), comparison.culprits()), (1, vec![]));
    }
}

#[test]
fn a_cheating_trustee_is_named_and_costs_at_most_one_round() {
    for manner in [Manner::Exchanges, Manner::Forges, Manner::MisShares, Manner::Impersonates] {
        let panel = Panel::new(3, 5, &[0, 1, 0]);
        let mut comparison = panel.comparison();
        let classes = drive(&panel, &mut comparison, &[(2, manner), (5, manner)].into());
        assert_eq!(classes, truth(&panel), "{manner:?}");
        assert_eq!(comparison.culprits(), [2, 5], "{manner:?}");
        assert_eq!(comparison.rounds(), if manner == Manner::MisShares { 1 } else { 2 });
    }
}

#[test]
fn too_few_are_left_when_all_others_cheat() {
    let panel = Panel::new(3, 4, &[0, 1]);
    let mut comparison = panel.comparison();
    let round = comparison.next_round().unwrap();
    let again = comparison.next_round().unwrap();
    assert_eq!((again.members, again.request.round), (round.members, round.request.round));
    // Nobody revealed anything.
    let silent = comparison.take_blinds(&[], &mut SystemRng::new());
    assert_eq!(silent, Err(SameAuthorError::Culprits(vec![1, 2, 3, 4])));
    assert_eq!(comparison.next_round().unwrap_err(), SameAuthorError::TooFew);
    assert_eq!(comparison.take_blinds(&[], &mut SystemRng::new()), Err(SameAuthorError::NoRound));
}

#[test]
fn a_round_that_was_given_up_is_followed_by_another_number() {
    let panel = Panel::new(2, 3, &[0, 1]);
    let mut comparison = panel.comparison().after(6);
    assert_eq!(comparison.next_round().unwrap().request.round, 7);
    comparison.give_up(&[2]);
    let next = comparison.next_round().unwrap();
    assert_eq!((next.request.round, next.members), (8, Members::new([1, 3]).unwrap()));
    assert!(comparison.culprits().is_empty());
}

#[test]
fn a_comparison_is_of_exactly_what_its_warrant_names() {
    let panel = Panel::new(2, 2, &[0, 1, 2]);
    let evidence = |at: usize| panel.world.written[at].evidence.clone();
    let begin = |presented: &PresentedWarrant, reviews: &[usize], willing: [u16; 2]| {
        let evidence = reviews.iter().map(|at| evidence(*at)).collect();
        Comparison::new(presented.clone(), evidence, panel_of(&panel.world), willing).unwrap_err()
    };
    assert_eq!(begin(&panel.presented, &[0, 1], [1, 2]), SameAuthorError::Reviews);
    assert_eq!(begin(&panel.presented, &[0, 1, 1], [1, 2]), SameAuthorError::Reviews);
    assert_eq!(begin(&panel.world.warrant(&[0, 1]), &[0, 1], [1, 2]), SameAuthorError::Action);
    assert_eq!(begin(&panel.presented, &[0, 1, 2], [1, 9]), SameAuthorError::TooFew);
}
