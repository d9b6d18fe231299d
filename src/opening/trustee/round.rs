//! A trustee's part in the same-author test: one round for each pair that is compared.
//!
//! ```text
//! round's entry logged  --blind-->   Append(entry)    the blind is on this trustee's disk, its factor nowhere
//! all commitments logged --blind-->  Reveal(blind)
//! all blinds            --compare--> share            once for the round, with this trustee's own blind in it
//! ```
//!
//! The share decrypts what the blinds sum to. That this trustee's own factor is in it, chosen
//! freshly, seen by nobody before all members were bound to theirs, is what keeps a round from
//! decrypting anything that somebody else chose.

use super::following::Following;
use super::rows::{Part, Verdict};
use super::{RoundError, Trustee, TrusteeError, rows::Intent};
use crate::ledger::{BlindEntry, LedgerView, WarrantAction, blind_commitment};
use crate::opening::{
    Blind, BlindingFactor, DecryptionShare, Pair, PresentedWarrant, ReviewEvidence, SameAuthorRound,
    SealedShare, without_round,
};
use crate::store::decide::{Decision, Step, run_one};
use crate::store::{Commit, RowKey, Store, StoreError};
use crate::wire::Message;

/// One round of a warrant that compares authors: which two of its reviews.
#[derive(Clone, Debug)]
pub struct RoundRequest {
    /// The warrant with its blind.
    pub presented: PresentedWarrant,
    /// The review with the smaller id.
    pub a: ReviewEvidence,
    /// The other one.
    pub b: ReviewEvidence,
    /// The round's number, from 1, as its entry in the ledger says.
    pub round: u16,
}

/// What a member of a round answers before all blinds are known. Asked again it goes on from
/// where it was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time, and not for long")]
#[must_use = "an entry that is not logged compares nothing"]
pub enum RoundAnswer {
    /// This entry must stand in the openings ledger, under a published checkpoint: append it,
    /// and ask again then. Always the same bytes.
    Append(Vec<u8>),
    /// The entry is there; those of these members are not. Ask again when they are.
    Awaiting(Vec<u16>),
    /// The blind, now that all members are bound to theirs.
    Reveal(Blind),
}

/// What the ledger says of a round: its members, and what each is bound to.
struct LoggedRound {
    members: Vec<(u16, Option<[u8; 32]>)>,
}

impl LoggedRound {
    fn indices(&self) -> Vec<u16> {
        self.members.iter().map(|(index, _)| *index).collect()
    }

    fn commitment_of(&self, trustee: u16) -> Option<[u8; 32]> {
        self.members.iter().find(|(index, _)| *index == trustee)?.1
    }

    /// Those that the ledger holds no commitment of.
    fn missing(&self) -> Vec<u16> {
        let missing = self.members.iter().filter(|(_, commitment)| commitment.is_none());
        missing.map(|(index, _)| *index).collect()
    }
}

impl<S: Store> Trustee<S> {
    /// Takes part in a round that the ledger has fixed: first commits to a blind, and reveals it
    /// once the ledger holds every member's commitment. The blind is kept, its factor z is not.
    ///
    /// # Errors
    /// The warrant, its entry and the evidence of both reviews are checked as by
    /// [`answer`](Self::answer). [`TrusteeError::ChargeAsOpening`] also when a review was opened
    /// after it was charged. [`TrusteeError::Round`]: its [`RoundError`] says what would do.
    pub fn blind(
        &self,
        request: &RoundRequest,
        ledger: &dyn LedgerView,
    ) -> Result<RoundAnswer, TrusteeError> {
        let pair = self.check_round(request, ledger)?;
        let (presented, number) = (&request.presented, request.round);
        let digest = presented.warrant().digest();
        let logged = self.logged_round(request)?;
        let committed = logged.commitment_of(self.index());
        let row = self.rows.round(&presented.commitment(), number);
        let part = self.store.read(core::slice::from_ref(&row))?.pop().flatten();
        let part = match part.as_deref().map(Part::read).transpose()? {
            Some(part) => part,
            None if committed.is_some() => return Err(RoundError::Foreign.into()),
            None => {
                let rng = &mut *self.environment.rng();
                // Dropped, and erased, before anybody can learn of the blind.
                let factor = BlindingFactor::random(rng);
                let blind = Blind::new(self.index(), number, &factor, &digest, &pair, rng);
                drop(factor);
                run_one(&*self.store, Begin { row, blind: blind.map_err(RoundError::from)? })?
            }
        };
        let Part::Blinded(blind) = part else { return Err(RoundError::Used.into()) };
        if blind.verify(number, &digest, &pair, &mut *self.environment.rng()).is_err() {
            return Err(RoundError::OtherPair.into());
        }
        let entry = BlindEntry {
            commitment: presented.commitment(),
            round: number,
            trustee: self.index(),
            blind: blind_commitment(&digest, &blind.to_bytes()),
        };
        match (committed, logged.missing()) {
            (None, _) => Ok(RoundAnswer::Append(entry.to_bytes())),
            (Some(other), _) if other != entry.blind => Err(RoundError::Foreign.into()),
            (Some(_), missing) if !missing.is_empty() => Ok(RoundAnswer::Awaiting(missing)),
            (Some(_), _) => Ok(RoundAnswer::Reveal(blind)),
        }
    }

    /// Releases this trustee's one share of a round, given the blinds of all its members: each
    /// is the one that was committed to and holds, this trustee's own is among them, and they do
    /// not cancel. The round is marked as used before the share leaves; asked again with the
    /// same blinds it is the same share, sealed anew.
    ///
    /// # Errors
    /// As [`blind`](Self::blind). [`RoundError::Uncommitted`] and, in [`RoundError::Test`],
    /// `Culprits` name the members whose blinds are bad.
    pub fn compare(
        &self,
        request: &RoundRequest,
        blinds: &[Blind],
        ledger: &dyn LedgerView,
    ) -> Result<SealedShare, TrusteeError> {
        let pair = self.check_round(request, ledger)?;
        let (presented, number) = (&request.presented, request.round);
        let digest = presented.warrant().digest();
        let logged = self.logged_round(request)?;
        let missing = logged.missing();
        if !missing.is_empty() {
            return Err(RoundError::Awaiting(missing).into());
        }
        let is_bound = |blind: &&Blind| {
            let bound = blind_commitment(&digest, &blind.to_bytes());
            logged.commitment_of(blind.index()).is_none_or(|commitment| commitment == bound)
        };
        let uncommitted: Vec<u16> =
            blinds.iter().filter(|blind| !is_bound(blind)).map(Blind::index).collect();
        if !uncommitted.is_empty() {
            return Err(RoundError::Uncommitted(uncommitted).into());
        }
        let (share, committee, _) = self.holding()?;
        let rng = &mut *self.environment.rng();
        let members = logged.indices();
        let round = SameAuthorRound::new(committee, &digest, number, &pair, &members, blinds, rng);
        let round = round.map_err(RoundError::from)?;
        let own = blinds.iter().find(|blind| blind.index() == self.index());
        let own = own.ok_or(RoundError::Foreign)?;
        let round_id = round.context().subject;
        let share = DecryptionShare::answer(share, committee, round.context(), rng)
            .map_err(|_| TrusteeError::Share)?;
        let row = self.rows.round(&presented.commitment(), number);
        run_one(&*self.store, Use { row, own, round_id })??;
        Ok(SealedShare::seal(&share, presented.terms(), presented.commitment(), round_id, rng)?)
    }

    /// Follows the ledger; then whether the warrant compares these two reviews, and a round is
    /// needed for them.
    fn check_round(&self, request: &RoundRequest, ledger: &dyn LedgerView) -> Result<Pair, TrusteeError> {
        let presented = &request.presented;
        self.check_warrant(presented, ledger)?;
        if presented.terms().action() != WarrantAction::SameAuthor {
            return Err(RoundError::Action.into());
        }
        let a = self.check_review(presented, &request.a)?;
        let b = self.check_review(presented, &request.b)?;
        let pair = Pair::new((*a.review_id(), *a.escrow()), (*b.review_id(), *b.escrow()));
        let pair = pair.map_err(RoundError::from)?;
        match without_round(&pair).map_err(RoundError::from)? {
            None => Ok(pair),
            Some(_) => Err(RoundError::Test(crate::opening::SameAuthorError::NoRound).into()),
        }
    }

    /// The round as the ledger has it: all reviews of the warrant are charged, and this trustee
    /// is one of t members or more.
    fn logged_round(&self, request: &RoundRequest) -> Result<LoggedRound, TrusteeError> {
        let (_, committee, _) = self.holding()?;
        let following = self.lock();
        following.check()?;
        self.check_charged(&following, &request.presented)?;
        let (register, commitment) = (&following.register, request.presented.commitment());
        let members = register.round(&commitment, request.round).ok_or(RoundError::NotLogged)?;
        let known = members.indices().all(|index| index <= committee.trustees());
        if !known || members.count() < committee.threshold() {
            return Err(RoundError::Members.into());
        }
        if !members.contains(self.index()) {
            return Err(RoundError::NotMember.into());
        }
        let bound = |index| (index, register.blind(&commitment, request.round, index).copied());
        Ok(LoggedRound { members: members.indices().map(bound).collect() })
    }

    /// Whether the warrant's entry is as the warrant says, and every review of it is charged by
    /// this trustee within budget, as an opening if one of them was opened by now.
    fn check_charged(&self, following: &Following, presented: &PresentedWarrant) -> Result<(), TrusteeError> {
        if self.check_logged(following, presented)?.is_some() {
            return Err(RoundError::NotCharged.into());
        }
        let logged = following.register.warrant(&presented.commitment()).ok_or(TrusteeError::NotLogged)?;
        self.check_unopened(following, logged, presented)?;
        let row = |review| self.rows.intent(&presented.tag(review));
        let rows: Vec<RowKey> = presented.terms().reviews().iter().map(row).collect();
        for intent in self.store.read(&rows)? {
            let intent = intent.as_deref().map(Intent::read).transpose()?;
            match intent.map(|intent| intent.verdict) {
                Some(Verdict::Held) => {}
                Some(Verdict::Void(excess)) => return Err(TrusteeError::Void(excess)),
                _ => return Err(RoundError::NotCharged.into()),
            }
        }
        Ok(())
    }
}

/// Keeps a blind for a round, unless there is a part already.
struct Begin {
    row: RowKey,
    blind: Blind,
}

impl Decision for Begin {
    type Answer = Part;

    fn keys(&self) -> Vec<RowKey> {
        vec![self.row.clone()]
    }

    fn decide(&mut self, stored: &[Option<Vec<u8>>]) -> Result<Step<Part>, StoreError> {
        let [stored] = stored else { return Err(StoreError::Corrupt("read")) };
        if let Some(stored) = stored {
            return Ok(Step::Answer(Part::read(stored)?));
        }
        let part = Part::Blinded(self.blind.clone());
        let RowKey { bucket, key } = self.row.clone();
        let commit = Commit::new(bucket).expect(&key, None).put(key, part.value());
        Ok(Step::Commit(commit, part))
    }
}

/// Marks a round as used for this id, in place of the trustee's blind.
struct Use<'a> {
    row: RowKey,
    /// The blind that goes for this trustee's own.
    own: &'a Blind,
    round_id: [u8; 32],
}

impl Decision for Use<'_> {
    type Answer = Result<(), RoundError>;

    fn keys(&self) -> Vec<RowKey> {
        vec![self.row.clone()]
    }

    fn decide(&mut self, stored: &[Option<Vec<u8>>]) -> Result<Step<Self::Answer>, StoreError> {
        let [stored] = stored else { return Err(StoreError::Corrupt("read")) };
        let Some(value) = stored else { return Ok(Step::Answer(Err(RoundError::Foreign))) };
        match Part::read(value)? {
            Part::Used(used) if used == self.round_id => Ok(Step::Answer(Ok(()))),
            Part::Used(_) => Ok(Step::Answer(Err(RoundError::Used))),
            Part::Blinded(own) if own != *self.own => Ok(Step::Answer(Err(RoundError::Foreign))),
            Part::Blinded(_) => {
                let RowKey { bucket, key } = self.row.clone();
                let commit = Commit::new(bucket).expect(&key, Some(value));
                Ok(Step::Commit(commit.put(key, Part::Used(self.round_id).value()), Ok(())))
            }
        }
    }
}

#[cfg(test)]
mod tests;
