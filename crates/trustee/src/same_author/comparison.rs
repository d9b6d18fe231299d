//! Driving the same-author test over the reviews of a warrant: pure, messages in and out.
//!
//! The holder of the warrant's recipient key runs this; no trustee believes anything that it does.
//! It asks for one round after the other, names members who cheat, and goes on without
//! them.

use super::{Blind, CheckedRound, Pair, Partition, RoundRequest, SameAuthorError};
use crate::warrant::PresentedWarrant;
use crate::{Committee, DecryptionShare, RecipientKey, ReviewEvidence, SealedShare};
use core::fmt;
use rand_core::CryptoRng;
use std::collections::{BTreeMap, BTreeSet};
use unjoin_core::describe_errors;
use unjoin_core::entry::{BlindEntry, Members, RoundEntry, WarrantAction, blind_commitment};
use unjoin_core::token::ReviewId;
use unjoin_core::wire::Message;

/// Which reviews of a warrant have one author, by rounds among trustees who have charged all of
/// them.
///
/// ```
/// # use unjoin_log::{LogView, Log};
/// # use unjoin_trustee::same_author::{Comparison, ComparisonError, ComparisonRound, RoundAnswer};
/// # use unjoin_trustee::{Committee, RecipientKey, ReviewEvidence};
/// # use unjoin_trustee::service::Trustee;
/// # use unjoin_trustee::warrant::PresentedWarrant;
/// # use unjoin_core::secret::SystemRng;
/// # use unjoin_store::MemoryStore;
/// # use unjoin_core::token::ReviewId;
/// # fn example(
/// #     presented: PresentedWarrant, evidence: Vec<ReviewEvidence>, committee: Committee,
/// #     trustees: &[Trustee<MemoryStore>], ledger: &Log<MemoryStore>, recipient: &RecipientKey,
/// #     log: impl Fn(&[Vec<u8>]),
/// # ) -> Result<Vec<Vec<ReviewId>>, Box<dyn std::error::Error>> {
/// let willing = trustees.iter().map(|trustee| trustee.index());
/// let mut comparison = Comparison::new(presented, evidence, committee, willing)?;
/// while let Some(ComparisonRound { request, entry }) = comparison.next_round()? {
///     log(&[unjoin_core::wire::Message::to_bytes(&entry)]);
///     let members = || trustees.iter().filter(|trustee| entry.members.contains(trustee.index()));
///     let mut entries = Vec::new();
///     for member in members() {
///         if let RoundAnswer::Append(entry) = member.blind(&request, ledger)? {
///             entries.push((member.index(), entry));
///         }
///     }
///     log(&comparison.take_entries(&entries)?);
///     let mut blinds = Vec::new();
///     for member in members() {
///         if let RoundAnswer::Reveal(blind) = member.blind(&request, ledger)? {
///             blinds.push((member.index(), blind));
///         }
///     }
///     let blinds = match comparison.take_blinds(&blinds, &mut SystemRng::new()) {
///         Ok(blinds) => blinds,
///         Err(ComparisonError::Culprits(_)) => continue, // the next round goes without them
///         Err(other) => return Err(other.into()),
///     };
///     let mut shares = Vec::new();
///     for member in members() {
///         shares.push((member.index(), member.compare(&request, &blinds, ledger)?));
///     }
///     comparison.take_shares(&shares, recipient, &mut SystemRng::new())?;
/// }
/// Ok(comparison.classes())
/// # }
/// ```
pub struct Comparison {
    presented: PresentedWarrant,
    reviews: BTreeMap<ReviewId, ReviewEvidence>,
    committee: Committee,
    partition: Partition,
    willing: BTreeSet<u16>,
    culprits: BTreeSet<u16>,
    /// The number of the round that was begun last.
    last: u16,
    current: Option<Current>,
}

/// A round that was begun and not answered.
struct Current {
    pair: Pair,
    number: u16,
    members: Members,
    /// What the members are bound to.
    commitments: BTreeMap<u16, [u8; 32]>,
    /// Once all blinds are good.
    checked: Option<CheckedRound>,
}

/// A round to be run.
#[derive(Clone, Debug)]
pub struct ComparisonRound {
    /// What each member is asked.
    pub request: RoundRequest,
    /// The entry that fixes the round's members: log it first.
    pub entry: RoundEntry,
}

impl Comparison {
    /// Begins with the evidence of all reviews of a warrant, in any order, the present committee,
    /// and the indices of the trustees who have charged all of them.
    ///
    /// The evidence is not verified here: each trustee does.
    ///
    /// # Errors
    /// [`ComparisonError::Warrant`]; [`ComparisonError::TooFew`];
    /// [`ComparisonError::Test`] when a pair cannot be compared, as for [`Partition::new`].
    pub fn new(
        presented: PresentedWarrant,
        evidence: Vec<ReviewEvidence>,
        committee: Committee,
        willing: impl IntoIterator<Item = u16>,
    ) -> Result<Self, ComparisonError> {
        let reviews: BTreeMap<ReviewId, ReviewEvidence> =
            evidence.into_iter().map(|review| (review.presentation.review_id(), review)).collect();
        let terms = presented.terms();
        let all = reviews.keys().eq(terms.reviews());
        if !all || terms.action() != WarrantAction::SameAuthor {
            return Err(ComparisonError::Warrant);
        }
        let escrows = reviews.iter().map(|(id, review)| (*id, *review.presentation.escrow()));
        let partition = Partition::new(escrows.collect())?;
        let known = |index: &u16| committee.verification_share(*index).is_some();
        let willing: BTreeSet<u16> = willing.into_iter().filter(known).collect();
        let comparison = Self {
            presented,
            reviews,
            committee,
            partition,
            willing,
            culprits: BTreeSet::new(),
            last: 0,
            current: None,
        };
        comparison.members().map(|_| comparison)
    }

    /// Goes on after rounds up to this number, which an earlier run under this warrant has used.
    #[must_use]
    pub fn after(mut self, round: u16) -> Self {
        self.last = self.last.max(round);
        self
    }

    /// The round to be run now; `None` when the classes are known. The same one until its shares
    /// were taken, or it was [given up](Self::give_up).
    ///
    /// # Errors
    /// [`ComparisonError::TooFew`] when fewer than t trustees are left;
    /// [`ComparisonError::Rounds`] when the warrant's rounds are used up.
    pub fn next_round(&mut self) -> Result<Option<ComparisonRound>, ComparisonError> {
        if self.current.is_none() {
            let Some(pair) = self.partition.next_pair() else { return Ok(None) };
            let members = self.members()?;
            self.last = self.last.checked_add(1).ok_or(ComparisonError::Rounds)?;
            self.current = Some(Current {
                pair,
                number: self.last,
                members,
                commitments: BTreeMap::new(),
                checked: None,
            });
        }
        let Some(Current { pair, number, members, .. }) = &self.current else { return Ok(None) };
        let (a, b) = pair.review_ids();
        let (Some(a), Some(b)) = (self.reviews.get(&a), self.reviews.get(&b)) else { return Ok(None) };
        let presented = self.presented.clone();
        let entry = RoundEntry { commitment: presented.commitment(), round: *number, members: *members };
        let request = RoundRequest { presented, a: a.clone(), b: b.clone(), round: *number };
        Ok(Some(ComparisonRound { request, entry }))
    }

    /// Takes the entries by which members commit to their blinds, each with the index of whom it
    /// came from, and returns them, to be logged. Some may come later.
    ///
    /// # Errors
    /// [`ComparisonError::Culprits`] names every member whose entry is for something else: the
    /// round is given up, and the next one goes without them. [`ComparisonError::NoRound`] when
    /// none was begun.
    pub fn take_entries(&mut self, entries: &[(u16, Vec<u8>)]) -> Result<Vec<Vec<u8>>, ComparisonError> {
        let current = self.current.as_mut().ok_or(ComparisonError::NoRound)?;
        let place = (self.presented.commitment(), current.number);
        let (mut good, mut culprits) = (Vec::new(), Vec::new());
        for (from, entry) in entries.iter().filter(|(from, _)| current.members.contains(*from)) {
            let read = BlindEntry::from_bytes(entry).ok();
            let own = read.filter(|read| ((read.commitment, read.round), read.trustee) == (place, *from));
            match own.map(|read| *current.commitments.entry(*from).or_insert(read.blind) == read.blind) {
                Some(true) => good.push(entry.clone()),
                _ => culprits.push(*from),
            }
        }
        if culprits.is_empty() { Ok(good) } else { Err(self.blame(culprits)) }
    }

    /// Takes what the members revealed, each blind with the index of whom it came from, and
    /// returns the blinds for the members, whose shares are asked for with them.
    ///
    /// # Errors
    /// [`ComparisonError::Culprits`] names every member whose blind does not hold, is not the one
    /// it committed to, or is not there: the round is given up, and the next one goes without
    /// them. [`ComparisonError::Cancelled`] when the blinds cancel: the round is given up.
    /// [`ComparisonError::NoRound`] when none was begun.
    pub fn take_blinds(
        &mut self,
        blinds: &[(u16, Blind)],
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Vec<Blind>, ComparisonError> {
        let current = self.current.as_mut().ok_or(ComparisonError::NoRound)?;
        let digest = self.presented.warrant().digest();
        let members: Vec<u16> = current.members.indices().collect();
        let (mut good, mut culprits) = (Vec::new(), Vec::new());
        for index in &members {
            let committed = current.commitments.get(index);
            let is_good = |blind: &&Blind, rng: &mut _| {
                blind.index() == *index
                    && committed == Some(&blind_commitment(&digest, &blind.to_bytes()))
                    && blind.verify(current.number, &digest, &current.pair, rng).is_ok()
            };
            let revealed = blinds.iter().find(|(from, _)| from == index).map(|(_, blind)| blind);
            match revealed.filter(|blind| is_good(blind, &mut *rng)) {
                Some(blind) => good.push(blind.clone()),
                None => culprits.push(*index),
            }
        }
        if !culprits.is_empty() {
            return Err(self.blame(culprits));
        }
        let (committee, number, pair) = (&self.committee, current.number, &current.pair);
        match CheckedRound::new(committee, &digest, number, pair, &members, &good, rng) {
            Ok(checked) => current.checked = Some(checked),
            Err(SameAuthorError::SumIsIdentity) => {
                self.give_up(&[]);
                return Err(ComparisonError::Cancelled);
            }
            Err(other) => return Err(other.into()),
        }
        Ok(good)
    }

    /// Takes the members' shares, with the index of whom each came from, and with them the
    /// answer: whether the round's two reviews have one author. t good ones are enough; whose
    /// share is bad is among the [culprits](Self::culprits), and not asked again.
    ///
    /// # Errors
    /// [`ComparisonError::Culprits`] when fewer than t shares are good and some are bad: the
    /// round is given up. [`ComparisonError::TooFew`] when fewer than t came: ask for more.
    /// [`ComparisonError::NoRound`] when the round's blinds were not taken.
    pub fn take_shares(
        &mut self,
        shares: &[(u16, SealedShare)],
        recipient: &RecipientKey,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<bool, ComparisonError> {
        let current = self.current.as_ref().ok_or(ComparisonError::NoRound)?;
        let checked = current.checked.as_ref().ok_or(ComparisonError::NoRound)?;
        let (terms, context) = (self.presented.terms(), checked.context());
        let (mut good, mut culprits) = (BTreeMap::new(), Vec::new());
        for (from, sealed) in shares.iter().filter(|(from, _)| current.members.contains(*from)) {
            let holds = |share: &DecryptionShare, rng: &mut _| {
                share.index() == *from && share.verify(&self.committee, context, rng).is_ok()
            };
            let opened = recipient.open(sealed, terms).ok();
            match opened.filter(|share| holds(share, &mut *rng)) {
                Some(share) => {
                    good.insert(*from, share);
                }
                None => culprits.push(*from),
            }
        }
        culprits.retain(|index| !good.contains_key(index));
        if good.len() < usize::from(self.committee.threshold()) {
            return Err(if culprits.is_empty() { ComparisonError::TooFew } else { self.blame(culprits) });
        }
        let good: Vec<DecryptionShare> = good.into_values().collect();
        let answer = checked.answer(&self.committee, &good, rng);
        let answer = answer.map_err(|_| ComparisonError::TooFew)?;
        self.exclude(&culprits);
        self.culprits.extend(culprits);
        self.partition.take(answer);
        self.current = None;
        Ok(answer)
    }

    /// Gives the present round up: the next one has another number, and goes without these
    /// members, who do not answer, say. Their names are not noted.
    pub fn give_up(&mut self, without: &[u16]) {
        self.exclude(without);
        self.current = None;
    }

    /// The reviews by author: once no round is left, and before that as far as it is known.
    pub fn classes(&self) -> Vec<Vec<ReviewId>> {
        self.partition.classes()
    }

    /// Pairs whose escrows show without a round that two wallets shared their randomness.
    pub fn collusions(&self) -> &[(ReviewId, ReviewId)] {
        self.partition.collusions()
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

    fn members(&self) -> Result<Members, ComparisonError> {
        let members = Members::new(self.willing.iter().copied());
        let enough = members.filter(|members| members.count() >= self.committee.threshold());
        enough.ok_or(ComparisonError::TooFew)
    }

    fn blame(&mut self, culprits: Vec<u16>) -> ComparisonError {
        self.culprits.extend(&culprits);
        self.give_up(&culprits);
        ComparisonError::Culprits(culprits)
    }

    fn exclude(&mut self, indices: &[u16]) {
        self.willing.retain(|index| !indices.contains(index));
    }
}

/// Prints no review.
impl fmt::Debug for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Comparison")
            .field("reviews", &self.reviews.len())
            .field("rounds", &self.last)
            .field("culprits", &self.culprits)
            .finish_non_exhaustive()
    }
}

/// Why a comparison cannot be begun, or a round of it has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ComparisonError {
    /// The warrant does not compare exactly the reviews of the evidence.
    Warrant,
    /// Fewer than t trustees, or shares of them.
    TooFew,
    /// These members sent something bad, or nothing.
    Culprits(Vec<u16>),
    /// The blinds cancel.
    Cancelled,
    /// No round was begun, or its blinds are not there.
    NoRound,
    /// All 65,535 rounds of the warrant were begun.
    Rounds,
    /// The pair is refused.
    Test(SameAuthorError),
}

describe_errors!(ComparisonError {
    Self::Warrant => "comparison.warrant", Host, false,
        "the warrant does not compare exactly these reviews: give the evidence of all that it names";
    Self::TooFew => "comparison.too_few", Operator, true,
        "fewer than t trustees or shares: ask more of them";
    Self::Culprits(indices) => "comparison.culprits", Operator, true,
        "trustees {indices:?} sent something bad, or nothing: report them; the next round goes without them";
    Self::Cancelled => "comparison.cancelled", Operator, true,
        "the blinds cancel each other, which their members agreed on: report it and run the next round";
    Self::NoRound => "comparison.no_round", Host, false,
        "ask for the next round, and take its blinds before its shares";
    Self::Rounds => "comparison.rounds", Host, false,
        "all rounds of the warrant were begun: log it anew under a new blind";
    Self::Test(error) => "comparison.test", Host, false, "{error}";
});

impl From<SameAuthorError> for ComparisonError {
    fn from(error: SameAuthorError) -> Self {
        Self::Test(error)
    }
}
