//! Driving the same-author test over the reviews of a warrant: pure, messages in and out.
//!
//! The holder of the warrant's recipient key runs this; no trustee believes anything that it does.
//! It names members who cheat, and begins again without them.

use super::{AuthorClasses, Blind, CheckedRound, ComparedReviews, RoundRequest, SameAuthorError};
use crate::warrant::PresentedWarrant;
use crate::{Committee, RecipientKey, ReviewEvidence, SealedShare};
use rand_core::CryptoRng;
use std::collections::{BTreeMap, BTreeSet};
use unjoin_core::entry::{BlindEntry, Members, RoundEntry, WarrantAction, blind_commitment};
use unjoin_core::token::{SignError, Trustees};
use unjoin_core::wire::Message;
use unjoin_log::{KeyName, NoteKey};

/// Which reviews of a warrant have one author, by a round among trustees who have charged all of
/// them.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets, officer_of};
/// # use unjoin_core::{secret::SystemRng, wire::Message};
/// use unjoin_trustee::same_author::{Comparison, RoundAnswer, SameAuthorError};
/// # let world = World::new(2, 3, 2, budgets(9, 9, 9));
/// # let (trustees, ledger, recipient, panel) = (world.all_trustees(), &world.openings, &world.recipient, world.panel());
/// # let (presented, log) = (world.compared(&trustees), |entries: &[Vec<u8>]| world.log(entries));
/// # let (evidence, officer) = (world.written.iter().map(|one| one.evidence.clone()).collect(), officer_of(&presented));
/// let willing = trustees.iter().map(|trustee| trustee.index());
/// let mut comparison = Comparison::new(presented, evidence, panel, willing)?;
/// let classes = loop {
///     let round = comparison.next_round()?;
///     log(&[comparison.entry(&round, &officer)?.to_bytes()]);
///     let members = || trustees.iter().filter(|trustee| round.members.contains(trustee.index()));
///     let mut entries = Vec::new();
///     for member in members() {
///         if let RoundAnswer::Append(entry) = member.blind(&round.request, ledger)? {
///             entries.push((member.index(), entry));
///         }
///     }
///     log(&comparison.take_entries(&entries)?);
///     let mut blinds = Vec::new();
///     for member in members() {
///         if let RoundAnswer::Reveal(blind) = member.blind(&round.request, ledger)? {
///             blinds.push((member.index(), blind));
///         }
///     }
///     let blinds = match comparison.take_blinds(&blinds, &mut SystemRng::new()) {
///         Ok(blinds) => blinds,
///         Err(SameAuthorError::Culprits(_)) => continue, // the next round goes without them
///         Err(other) => return Err(other.into()),
///     };
///     let (mut entries, mut shares) = (Vec::new(), Vec::new());
///     for member in members() {
///         if let RoundAnswer::Append(entry) = member.compare(&round.request, &blinds, ledger)? {
///             entries.push(entry);
///         }
///     }
///     log(&entries);
///     for member in members() {
///         if let RoundAnswer::Released(share) = member.compare(&round.request, &blinds, ledger)? {
///             shares.push((member.index(), share));
///         }
///     }
///     break comparison.take_shares(&shares, recipient, &mut SystemRng::new())?;
/// };
/// assert_eq!(classes.authors.len(), 2); // two reviews, by two authors
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Comparison {
    presented: PresentedWarrant,
    evidence: Vec<ReviewEvidence>,
    reviews: ComparedReviews,
    panel: ComparisonPanel,
    willing: BTreeSet<u16>,
    culprits: BTreeSet<u16>,
    /// The number of the round that was begun last.
    last: u16,
    current: Option<Current>,
}

/// Who may be asked, and in which ledger.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// use unjoin_trustee::same_author::{Comparison, ComparisonPanel, SameAuthorError};
/// # let world = World::new(2, 3, 2, budgets(9, 9, 9));
/// # let trustees = world.all_trustees();
/// # let presented = world.compared(&trustees);
/// # let evidence = world.written.iter().map(|written| written.evidence.clone()).collect();
/// # let ComparisonPanel { committee, trustees, origin } = world.panel();
/// let panel = ComparisonPanel { committee, trustees, origin };
/// // Two of three must take part.
/// let refused = Comparison::new(presented, evidence, panel, [3]);
/// assert_eq!(refused.map(|_| ()), Err(SameAuthorError::TooFew));
/// ```
#[derive(Clone, Debug)]
pub struct ComparisonPanel {
    /// The newest committee.
    pub committee: Committee,
    /// The trustees' long-term keys.
    pub trustees: Trustees,
    /// The openings ledger's origin.
    pub origin: KeyName,
}

/// A round that was begun and not answered.
struct Current {
    members: Members,
    /// What the members are bound to.
    commitments: BTreeMap<u16, [u8; 32]>,
    /// Once all blinds are good.
    checked: Option<CheckedRound>,
}

/// A round to be run.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// # let world = World::new(2, 3, 2, budgets(9, 9, 9));
/// # let trustees = world.all_trustees();
/// # let mut comparison = world.comparison(&world.compared(&trustees), &trustees);
/// assert_eq!(comparison.next_round()?.members.count(), 3);
/// // Trustee 2 does not answer: the next round has another number, and goes without them.
/// comparison.give_up(&[2]);
/// let round = comparison.next_round()?;
/// assert_eq!((round.request.round, round.members.indices().collect::<Vec<_>>()), (2, vec![1, 3]));
/// # Ok::<(), unjoin_trustee::same_author::SameAuthorError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ComparisonRound {
    /// What each member is asked.
    pub request: RoundRequest,
    /// Who takes part.
    pub members: Members,
}

impl Comparison {
    /// Begins with the evidence of all reviews of a warrant, in any order, and the present panel.
    /// `willing` are the indices of the trustees who have charged all of them, or will with the first round.
    ///
    /// The evidence is not verified here: each trustee does.
    ///
    /// # Errors
    /// [`SameAuthorError::Action`], [`SameAuthorError::Reviews`], [`SameAuthorError::TooFew`].
    pub fn new(
        presented: PresentedWarrant,
        mut evidence: Vec<ReviewEvidence>,
        panel: ComparisonPanel,
        willing: impl IntoIterator<Item = u16>,
    ) -> Result<Self, SameAuthorError> {
        if presented.terms().action() != WarrantAction::SameAuthor {
            return Err(SameAuthorError::Action);
        }
        evidence.sort_by_key(|review| review.presentation.review_id());
        let reviews = compared(&presented, &evidence)?;
        let known = |index: &u16| panel.committee.verification_share(*index).is_some();
        let willing: BTreeSet<u16> = willing.into_iter().filter(known).collect();
        let culprits = BTreeSet::new();
        let comparison =
            Self { presented, evidence, reviews, panel, willing, culprits, last: 0, current: None };
        comparison.members().map(|_| comparison)
    }

    /// Goes on after rounds up to this number, which an earlier run under this warrant has used.
    #[must_use]
    pub fn after(mut self, round: u16) -> Self {
        self.last = self.last.max(round);
        self
    }

    /// The round to be run now: the same one until it was [given up](Self::give_up).
    ///
    /// # Errors
    /// [`SameAuthorError::TooFew`] when fewer than t trustees are left;
    /// [`SameAuthorError::Rounds`] when the warrant's rounds are used up.
    pub fn next_round(&mut self) -> Result<ComparisonRound, SameAuthorError> {
        let members = match &self.current {
            Some(current) => current.members,
            None => {
                let members = self.members()?;
                self.last = self.last.checked_add(1).ok_or(SameAuthorError::Rounds)?;
                self.current = Some(Current { members, commitments: BTreeMap::new(), checked: None });
                members
            }
        };
        let (presented, reviews) = (self.presented.clone(), self.evidence.clone());
        Ok(ComparisonRound { request: RoundRequest { presented, reviews, round: self.last }, members })
    }

    /// The entry that fixes a round's members, signed by one of the requester's officers: log it first, with
    /// the first round's charges.
    ///
    /// # Errors
    /// [`SignError`], from a key that the requester's key management holds.
    pub fn entry(&self, round: &ComparisonRound, officer: &NoteKey) -> Result<RoundEntry, SignError> {
        let (origin, commitment) = (self.panel.origin.as_str(), self.presented.commitment());
        RoundEntry::sign(officer.signer(), origin, commitment, round.request.round, round.members)
    }

    /// Takes the entries by which members commit to their blinds, each with the index of whom it
    /// came from, and returns them, to be logged. Some may come later.
    ///
    /// # Errors
    /// [`SameAuthorError::Culprits`] names every member whose entry is for something else or is not signed: the
    /// round is given up, and the next one goes without them. [`SameAuthorError::NoRound`] when
    /// none was begun.
    pub fn take_entries(&mut self, entries: &[(u16, Vec<u8>)]) -> Result<Vec<Vec<u8>>, SameAuthorError> {
        let current = self.current.as_mut().ok_or(SameAuthorError::NoRound)?;
        let (commitment, round, panel) = (self.presented.commitment(), self.last, &self.panel);
        let is_own = |entry: &BlindEntry, from: u16| {
            let key = panel.trustees.key(from);
            (entry.commitment(), entry.round(), entry.trustee()) == (&commitment, round, from)
                && key.is_some_and(|key| entry.verify(key.verifier(), panel.origin.as_str()).is_ok())
        };
        let (mut good, mut culprits) = (Vec::new(), Vec::new());
        for (from, entry) in entries.iter().filter(|(from, _)| current.members.contains(*from)) {
            let own = BlindEntry::from_bytes(entry).ok().filter(|entry| is_own(entry, *from));
            match own.map(|own| current.commitments.entry(*from).or_insert(*own.blind()) == own.blind()) {
                Some(true) => good.push(entry.clone()),
                _ => culprits.push(*from),
            }
        }
        if culprits.is_empty() { Ok(good) } else { Err(self.blame(culprits)) }
    }

    /// Takes what the members revealed, each blind with the index of whom it came from. Returns the
    /// blinds for the members, whose entries and shares are asked for with them.
    ///
    /// # Errors
    /// [`SameAuthorError::Culprits`] names every member whose blind does not hold, is not the one
    /// it committed to, or is not there. The round is given up, and the next one goes without
    /// them. [`SameAuthorError::Cancelled`] when the blinds cancel: the round is given up.
    /// [`SameAuthorError::NoRound`] when none was begun.
    pub fn take_blinds(
        &mut self,
        blinds: &[(u16, Blind)],
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Vec<Blind>, SameAuthorError> {
        let current = self.current.as_mut().ok_or(SameAuthorError::NoRound)?;
        let digest = self.presented.warrant().digest();
        let (mut good, mut culprits) = (Vec::new(), Vec::new());
        for index in current.members.indices() {
            let committed = current.commitments.get(&index);
            let is_good = |blind: &&Blind| {
                blind.index() == index && committed == Some(&blind_commitment(&digest, &blind.to_bytes()))
            };
            let revealed = blinds.iter().find(|(from, _)| *from == index).map(|(_, blind)| blind);
            match revealed.filter(is_good) {
                Some(blind) => good.push(blind.clone()),
                None => culprits.push(index),
            }
        }
        if !culprits.is_empty() {
            return Err(self.blame(culprits));
        }
        let (committee, members) = (&self.panel.committee, current.members);
        match CheckedRound::new(committee, &digest, self.last, &self.reviews, members, &good, rng) {
            Ok(checked) => current.checked = Some(checked),
            Err(SameAuthorError::Culprits(culprits)) => return Err(self.blame(culprits)),
            Err(other) => {
                self.give_up(&[]);
                return Err(other);
            }
        }
        Ok(good)
    }

    /// Takes the members' shares, with the index of whom each came from, and with them the
    /// answer. t good ones are enough; whose share is bad is among the [culprits](Self::culprits).
    ///
    /// # Errors
    /// [`SameAuthorError::Culprits`] when fewer than t shares are good and some are bad: the
    /// round is given up. [`SameAuthorError::TooFew`] when fewer than t came: ask for more.
    /// [`SameAuthorError::NoRound`] when the round's blinds were not taken.
    pub fn take_shares(
        &mut self,
        shares: &[(u16, SealedShare)],
        recipient: &RecipientKey,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<AuthorClasses, SameAuthorError> {
        let current = self.current.as_ref().ok_or(SameAuthorError::NoRound)?;
        let checked = current.checked.as_ref().ok_or(SameAuthorError::NoRound)?;
        let (committee, terms) = (&self.panel.committee, self.presented.terms());
        let (mut good, mut culprits) = (BTreeMap::new(), Vec::new());
        for (from, sealed) in shares.iter().filter(|(from, _)| current.members.contains(*from)) {
            let opened = recipient.open_comparison(sealed, terms).ok();
            let own = opened.filter(|share| {
                share.index() == *from && share.verify(committee, checked.context(), rng).is_ok()
            });
            match own {
                Some(share) => {
                    good.insert(*from, share);
                }
                None => culprits.push(*from),
            }
        }
        culprits.retain(|index| !good.contains_key(index));
        if good.len() < usize::from(committee.threshold()) {
            return Err(if culprits.is_empty() { SameAuthorError::TooFew } else { self.blame(culprits) });
        }
        let good: Vec<_> = good.into_values().collect();
        let classes = checked.classes(committee, &good, rng)?;
        self.culprits.extend(culprits);
        Ok(classes)
    }

    /// Gives the present round up: the next one has another number, and goes without these
    /// members, who do not answer, say. Their names are not noted.
    pub fn give_up(&mut self, without: &[u16]) {
        self.willing.retain(|index| !without.contains(index));
        self.current = None;
    }

    /// Trustees who sent something bad. Blinds are not signed: that it was they, only the caller knows, by the way
    /// on which it came.
    pub fn culprits(&self) -> Vec<u16> {
        self.culprits.iter().copied().collect()
    }

    /// How many rounds were begun, those before [`after`](Self::after) included.
    pub fn rounds(&self) -> u16 {
        self.last
    }

    fn members(&self) -> Result<Members, SameAuthorError> {
        let members = Members::new(self.willing.iter().copied());
        let enough = members.filter(|members| members.count() >= self.panel.committee.threshold());
        enough.ok_or(SameAuthorError::TooFew)
    }

    fn blame(&mut self, culprits: Vec<u16>) -> SameAuthorError {
        self.culprits.extend(&culprits);
        self.give_up(&culprits);
        SameAuthorError::Culprits(culprits)
    }
}

/// What is compared under a warrant: the reviews of this evidence, which must be exactly its own, rising.
pub(crate) fn compared(
    presented: &PresentedWarrant,
    evidence: &[ReviewEvidence],
) -> Result<ComparedReviews, SameAuthorError> {
    let of = |review: &ReviewEvidence| (review.presentation.review_id(), *review.presentation.escrow());
    let reviews = ComparedReviews::new(evidence.iter().map(of).collect())?;
    if reviews.ids().eq(presented.terms().reviews()) { Ok(reviews) } else { Err(SameAuthorError::Reviews) }
}

// Prints no review.
unjoin_core::opaque!(
    Comparison | all | reviews = all.evidence.len(),
    rounds = all.last,
    culprits = all.culprits
);
