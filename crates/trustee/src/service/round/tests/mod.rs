//! Rounds among real trustees, ledgers and witnesses; and those who would have more of them than
//! whether two authors are one.

mod attacks;
mod charges;
mod failures;

use super::*;
use crate::same_author::{Comparison, ComparisonError, ComparisonRound};
use crate::service::{OpeningAnswer, OpeningRequest};
use crate::test_util::world::{World, budgets};
use crate::{Committee, ShareContext};
use std::collections::BTreeMap;
use std::sync::Arc;
use unjoin_core::algebra::Element;
use unjoin_core::entry::WarrantAction;
use unjoin_core::entry::{Members, RoundEntry};
use unjoin_core::secret::SystemRng;
use unjoin_core::token::{Digest, ReviewId};
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
        let mut world = World::new(threshold, count, 1, budgets(32, 32, 32));
        let wallets: Vec<Wallet> = (0..9).map(|_| Wallet::generate(&mut SystemRng::new())).collect();
        world.written.clear();
        world.write(&authors.iter().map(|author| &wallets[*author]).collect::<Vec<_>>());
        let stores: Vec<_> = (0..count).map(|_| Arc::new(MemoryStore::new())).collect();
        let trustees = (1..).zip(&stores).map(|(index, store)| world.trustee(index, store)).collect();
        let presented = warrant(&world, &(0..authors.len()).collect::<Vec<_>>(), WarrantAction::SameAuthor);
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

    fn request(&self, one: usize, other: usize, round: u16) -> RoundRequest {
        request(&self.world, &self.presented, one, other, round)
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
    ) -> Result<SealedShare, TrusteeError> {
        self.trustee(index).compare(request, blinds, &self.world.openings)
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
        let factor = BlindingFactor::random(rng);
        let digest = request.presented.warrant().digest();
        let blind = Blind::new(index, request.round, &factor, &digest, &pair(request), rng).unwrap();
        let entry = entry(request, index, &blind);
        (blind, entry)
    }

    /// The decrypted share that a trustee gave.
    fn element(&self, sealed: &SealedShare) -> Element {
        *self.world.recipient.open(sealed, self.presented.terms()).unwrap().element()
    }

    fn comparison(&self) -> Comparison {
        let evidence = self.world.written.iter().map(|written| written.evidence.clone()).collect();
        let everybody = 1..=self.world.trustees.count();
        Comparison::new(self.presented.clone(), evidence, self.committee(), everybody).unwrap()
    }
}

/// A warrant for these reviews whose entry says that it is charged so.
fn warrant(world: &World, reviews: &[usize], charged: WarrantAction) -> PresentedWarrant {
    let presented = world.sign(world.terms(WarrantAction::SameAuthor, reviews));
    world.log(&[unjoin_core::entry::WarrantEntry { action: charged, ..presented.entry() }.to_bytes()]);
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

fn request(
    world: &World,
    presented: &PresentedWarrant,
    one: usize,
    other: usize,
    round: u16,
) -> RoundRequest {
    let (a, b) = if world.id(one) < world.id(other) { (one, other) } else { (other, one) };
    let [a, b] = [a, b].map(|at| world.written[at].evidence.clone());
    RoundRequest { presented: presented.clone(), a, b, round }
}

fn log_round(
    world: &World,
    presented: &PresentedWarrant,
    round: u16,
    members: impl IntoIterator<Item = u16>,
) {
    let members = Members::new(members).unwrap();
    world.log(&[RoundEntry { commitment: presented.commitment(), round, members }.to_bytes()]);
}

fn pair(request: &RoundRequest) -> Pair {
    let [a, b] = [&request.a, &request.b].map(|review| {
        let presentation = &review.presentation;
        (presentation.review_id(), *presentation.escrow())
    });
    Pair::new(a, b).unwrap()
}

fn entry(request: &RoundRequest, trustee: u16, blind: &Blind) -> Vec<u8> {
    let bound = blind_commitment(&request.presented.warrant().digest(), &blind.to_bytes());
    let commitment = request.presented.commitment();
    BlindEntry { commitment, round: request.round, trustee, blind: bound }.to_bytes()
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
    /// Logs a commitment in another member's name.
    Impersonates,
}

/// Runs rounds until the classes are known, with these members keeping no rule.
fn drive(panel: &Panel, comparison: &mut Comparison, manners: &BTreeMap<u16, Manner>) -> Vec<Vec<ReviewId>> {
    let rng = &mut SystemRng::new();
    let is = |index: u16, manner| manners.get(&index) == Some(&manner);
    while let Some(ComparisonRound { request, entry: round }) = comparison.next_round().unwrap() {
        panel.world.log(&[round.to_bytes()]);
        let members: Vec<u16> = round.members.indices().collect();
        let other = panel.request(0, 1, request.round + 1);
        let forged: BTreeMap<u16, Blind> =
            members.iter().map(|index| (*index, panel.corrupt(*index, &other).0)).collect();
        let committed = members.iter().map(|index| match manners.get(index) {
            Some(Manner::Forges) => (*index, entry(&request, *index, &forged[index])),
            Some(Manner::Impersonates) => (*index, panel.corrupt(index % 5 + 1, &request).1),
            _ => (*index, appended(panel.ask(*index, &request))),
        });
        match comparison.take_entries(&committed.collect::<Vec<_>>()) {
            Ok(entries) => panel.world.log(&entries),
            Err(ComparisonError::Culprits(_)) => continue,
            Err(other) => panic!("{other}"),
        }
        let reveal = |index: &u16| match manners.get(index) {
            Some(Manner::Forges) => (*index, forged[index].clone()),
            Some(Manner::Exchanges) => (*index, panel.corrupt(*index, &request).0),
            _ => (*index, revealed(panel.ask(*index, &request))),
        };
        let blinds = match comparison.take_blinds(&members.iter().map(reveal).collect::<Vec<_>>(), rng) {
            Ok(blinds) => blinds,
            Err(ComparisonError::Culprits(_)) => continue,
            Err(other) => panic!("{other}"),
        };
        let shares = members.iter().map(|index| {
            if is(*index, Manner::MisShares) {
                // Of the escrow that it would rather open.
                let (secrets, terms) = (panel.world.secrets(*index), request.presented.terms());
                let escrow = *request.a.presentation.escrow();
                let action = WarrantAction::SameAuthor;
                let context =
                    ShareContext { warrant_digest: terms.digest(), action, subject: [7; 32], escrow };
                let share = secrets.share().unwrap();
                let share = DecryptionShare::answer(share, &panel.committee(), &context, rng).unwrap();
                let commitment = request.presented.commitment();
                (*index, SealedShare::seal(&share, terms, commitment, [7; 32], rng).unwrap())
            } else {
                (*index, panel.compare(*index, &request, &blinds).unwrap())
            }
        });
        let shares: Vec<_> = shares.collect();
        comparison.take_shares(&shares, &panel.world.recipient, &mut SystemRng::new()).unwrap();
    }
    comparison.classes()
}

/// The reviews by author, as they were written.
fn truth(panel: &Panel) -> Vec<Vec<ReviewId>> {
    let mut by_author: BTreeMap<[u8; 32], Vec<ReviewId>> = BTreeMap::new();
    for written in &panel.world.written {
        let ids = by_author.entry(*written.author.as_bytes()).or_default();
        ids.push(written.evidence.presentation.review_id());
        ids.sort_unstable();
    }
    let mut classes: Vec<_> = by_author.into_values().collect();
    classes.sort_unstable();
    classes
}

#[test]
fn two_reviews_have_one_author_or_two() {
    for authors in [[0, 0], [0, 1]] {
        let panel = Panel::new(3, 5, &authors);
        let mut comparison = panel.comparison();
        assert_eq!(drive(&panel, &mut comparison, &BTreeMap::new()), truth(&panel));
        assert_eq!((comparison.rounds(), comparison.culprits()), (1, vec![]));
    }
}

#[test]
fn the_classes_of_ten_reviews_are_their_authors() {
    let panel = Panel::new(3, 5, &[0, 1, 0, 2, 0, 1, 1, 0, 2, 0]);
    let mut comparison = panel.comparison();
    assert_eq!(drive(&panel, &mut comparison, &BTreeMap::new()), truth(&panel));
    assert!((9..=30).contains(&comparison.rounds()));
}

#[test]
fn a_cheating_trustee_is_named_and_the_next_round_goes_without_it() {
    for manner in [Manner::Exchanges, Manner::Forges, Manner::MisShares, Manner::Impersonates] {
        let panel = Panel::new(3, 5, &[0, 1, 0]);
        let mut comparison = panel.comparison();
        let classes = drive(&panel, &mut comparison, &[(2, manner), (5, manner)].into());
        assert_eq!(classes, truth(&panel), "{manner:?}");
        assert_eq!(comparison.culprits(), [2, 5], "{manner:?}");
    }
}

#[test]
fn too_few_are_left_when_all_others_cheat() {
    let panel = Panel::new(3, 4, &[0, 1]);
    let mut comparison = panel.comparison();
    let round = comparison.next_round().unwrap().unwrap();
    assert_eq!(comparison.next_round().unwrap().unwrap().entry, round.entry);
    // Nobody revealed anything.
    let silent = comparison.take_blinds(&[], &mut SystemRng::new());
    assert_eq!(silent, Err(ComparisonError::Culprits(vec![1, 2, 3, 4])));
    assert_eq!(comparison.next_round().unwrap_err(), ComparisonError::TooFew);
    assert_eq!(comparison.take_blinds(&[], &mut SystemRng::new()), Err(ComparisonError::NoRound));
}

#[test]
fn a_round_that_was_given_up_is_followed_by_another_number() {
    let panel = Panel::new(2, 3, &[0, 1]);
    let mut comparison = panel.comparison().after(6);
    assert_eq!(comparison.next_round().unwrap().unwrap().entry.round, 7);
    comparison.give_up(&[2]);
    let next = comparison.next_round().unwrap().unwrap();
    assert_eq!((next.entry.round, next.entry.members), (8, Members::new([1, 3]).unwrap()));
    assert!(comparison.culprits().is_empty());
}

#[test]
fn a_comparison_is_of_exactly_what_its_warrant_names() {
    let panel = Panel::new(2, 2, &[0, 1, 2]);
    let evidence = |at: usize| panel.world.written[at].evidence.clone();
    let begin = |presented: &PresentedWarrant, reviews: &[usize]| {
        let evidence = reviews.iter().map(|at| evidence(*at)).collect();
        Comparison::new(presented.clone(), evidence, panel.committee(), 1..=2).unwrap_err()
    };
    assert_eq!(begin(&panel.presented, &[0, 1]), ComparisonError::Warrant);
    assert_eq!(begin(&panel.world.warrant(&[0, 1]), &[0, 1]), ComparisonError::Warrant);
    let all = (0..3).map(evidence).collect();
    let alone = Comparison::new(panel.presented.clone(), all, panel.committee(), [1, 9]);
    assert_eq!(alone.unwrap_err(), ComparisonError::TooFew);
}
