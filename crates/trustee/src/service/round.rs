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
use super::rows::Part;
use super::{Trustee, TrusteeError};
use crate::same_author::{
    Blind, BlindingFactor, CheckedRound, Pair, RoundAnswer, RoundRequest, SameAuthorError, without_round,
};
use crate::warrant::{LoggedRound, PresentedWarrant};
use crate::{DecryptionShare, SealedShare};
use unjoin_core::entry::{BlindEntry, WarrantAction, blind_commitment};
use unjoin_core::wire::Message;
use unjoin_log::LogView;
use unjoin_store::{Key, Store, StoreError, decide, read};

impl<S: Store> Trustee<S> {
    /// Takes part in a round that the ledger has fixed: first commits to a blind, and reveals it
    /// once the ledger holds every member's commitment. The blind is kept, its factor z is not.
    ///
    /// # Errors
    /// The warrant, its entry and the evidence of both reviews are checked as by
    /// [`answer`](Self::answer). [`TrusteeError::ChargeAsOpening`] also when a review was opened
    /// after it was charged. [`TrusteeError::Round`]: its [`SameAuthorError`] says what would do.
    pub fn blind(&self, request: &RoundRequest, ledger: &dyn LogView) -> Result<RoundAnswer, TrusteeError> {
        let (pair, logged) = self.check_round(request, ledger)?;
        let (presented, number) = (&request.presented, request.round);
        let digest = presented.warrant().digest();
        let committed = logged.commitment_of(self.index());
        let key = self.rows.round(&presented.commitment(), number);
        let part = match read(&*self.store, &key)? {
            Some(part) => part,
            None if committed.is_some() => return Err(SameAuthorError::Foreign.into()),
            None => {
                let rng = &mut *self.environment.rng();
                // Dropped, and erased, before anybody can learn of the blind.
                let factor = BlindingFactor::random(rng);
                let blind = Blind::new(self.index(), number, &factor, &digest, &pair, rng);
                drop(factor);
                self.keep_blind(&key, blind?)?
            }
        };
        let Part::Blinded(blind) = part else { return Err(SameAuthorError::Used.into()) };
        if blind.verify(number, &digest, &pair, &mut *self.environment.rng()).is_err() {
            return Err(SameAuthorError::OtherPair.into());
        }
        let entry = BlindEntry {
            commitment: presented.commitment(),
            round: number,
            trustee: self.index(),
            blind: blind_commitment(&digest, &blind.to_bytes()),
        };
        match (committed, logged.missing()) {
            (None, _) => Ok(RoundAnswer::Append(entry.to_bytes())),
            (Some(other), _) if other != entry.blind => Err(SameAuthorError::Foreign.into()),
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
    /// As [`blind`](Self::blind). [`SameAuthorError::Uncommitted`] and [`SameAuthorError::Culprits`] name the
    /// members whose blinds are bad.
    pub fn compare(
        &self,
        request: &RoundRequest,
        blinds: &[Blind],
        ledger: &dyn LogView,
    ) -> Result<SealedShare, TrusteeError> {
        let (pair, logged) = self.check_round(request, ledger)?;
        let (presented, number) = (&request.presented, request.round);
        let digest = presented.warrant().digest();
        let missing = logged.missing();
        if !missing.is_empty() {
            return Err(SameAuthorError::Awaiting(missing).into());
        }
        let is_bound = |blind: &&Blind| {
            let bound = blind_commitment(&digest, &blind.to_bytes());
            logged.commitment_of(blind.index()).is_none_or(|commitment| commitment == bound)
        };
        let uncommitted: Vec<u16> =
            blinds.iter().filter(|blind| !is_bound(blind)).map(Blind::index).collect();
        if !uncommitted.is_empty() {
            return Err(SameAuthorError::Uncommitted(uncommitted).into());
        }
        let rng = &mut *self.environment.rng();
        let members: Vec<u16> = logged.members().indices().collect();
        let committee = &self.committee;
        let round = CheckedRound::new(committee, &digest, number, &pair, &members, blinds, rng);
        let round = round?;
        let own = blinds.iter().find(|blind| blind.index() == self.index());
        let own = own.ok_or(SameAuthorError::Foreign)?;
        let round_id = round.context().subject;
        let share = DecryptionShare::answer(&self.share, committee, round.context(), rng);
        let share = share.map_err(|_| TrusteeError::Share)?;
        self.mark_used(&self.rows.round(&presented.commitment(), number), own, round_id)?;
        let sealed = SealedShare::seal(&share, presented.terms(), presented.commitment(), round_id, rng);
        sealed.map_err(|_| TrusteeError::Seal)
    }

    /// Follows the ledger; then whether the warrant compares these two reviews, a round is needed
    /// for them, all reviews of the warrant are charged, and the ledger has the round, with this
    /// trustee as one of t members or more.
    fn check_round(
        &self,
        request: &RoundRequest,
        ledger: &dyn LogView,
    ) -> Result<(Pair, LoggedRound), TrusteeError> {
        let presented = &request.presented;
        let following = self.follow_for(presented, ledger)?;
        if presented.terms().action() != WarrantAction::SameAuthor {
            return Err(SameAuthorError::Action.into());
        }
        let a = self.check_review(presented, &request.a)?;
        let b = self.check_review(presented, &request.b)?;
        let pair = Pair::new((*a.review_id(), *a.escrow()), (*b.review_id(), *b.escrow()));
        let pair = pair?;
        if without_round(&pair)?.is_some() {
            return Err(SameAuthorError::NoRound.into());
        }
        self.check_charged(&following, presented)?;
        let round = following.register.round(&presented.commitment(), request.round);
        let round = round.ok_or(SameAuthorError::NotLogged)?;
        let members = round.members();
        let known = members.indices().all(|index| index <= self.committee.trustees());
        if !known || members.count() < self.committee.threshold() {
            return Err(SameAuthorError::LoggedMembers.into());
        }
        if !members.contains(self.index()) {
            return Err(SameAuthorError::NotMember.into());
        }
        Ok((pair, round.clone()))
    }

    /// Whether the warrant's entry is as the warrant says, and every review of it is charged by
    /// this trustee within budget, as an opening if one of them was opened by now.
    fn check_charged(&self, following: &Following, presented: &PresentedWarrant) -> Result<(), TrusteeError> {
        let (logged, cooling_off) = self.check_logged(following, presented)?;
        if cooling_off.is_some() {
            return Err(SameAuthorError::NotCharged.into());
        }
        self.check_unopened(&following.register, logged, presented)?;
        let key = |review| self.rows.intent(&presented.tag(review));
        let keys: Vec<_> = presented.terms().reviews().iter().map(key).collect();
        for intent in read(&*self.store, &keys)? {
            let verdict = intent.and_then(|intent| intent.verdict).ok_or(SameAuthorError::NotCharged)?;
            verdict.map_err(TrusteeError::Void)?;
        }
        Ok(())
    }

    /// Keeps a blind for a round, unless there is a part already.
    fn keep_blind(&self, key: &Key<Part>, blind: Blind) -> Result<Part, StoreError> {
        decide(&*self.store, key.clone(), |part, change| {
            let part = part.unwrap_or_else(|| {
                let part = Part::Blinded(blind.clone());
                change.put(key, &part);
                part
            });
            Ok(part)
        })
    }

    /// Marks a round as used for this id, in place of the trustee's blind; `own` is the blind that
    /// goes for it among those of the round.
    fn mark_used(&self, key: &Key<Part>, own: &Blind, round_id: [u8; 32]) -> Result<(), TrusteeError> {
        decide(&*self.store, key.clone(), |part, change| match part {
            Some(Part::Used(used)) if used == round_id => Ok(()),
            Some(Part::Used(_)) => Err(SameAuthorError::Used.into()),
            Some(Part::Blinded(kept)) if kept == *own => {
                change.put(key, &Part::Used(round_id));
                Ok(())
            }
            Some(Part::Blinded(_)) | None => Err(SameAuthorError::Foreign.into()),
        })
    }
}

#[cfg(test)]
mod tests;
