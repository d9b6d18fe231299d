//! A trustee's part in the same-author test: one round for all reviews of a warrant.
//!
//! ```text
//! round's entry and charges logged --blind--> Append(commitment)  the blind is on this trustee's disk, its factor nowhere
//! all commitments logged  --blind-->   Reveal(blind)
//! all blinds              --compare--> Append(round id)   once for the round, with this trustee's own blind in it
//! its entry logged        --compare--> Released(share)
//! ```
//!
//! The share decrypts what the weighed blinds sum to. That this trustee's own factor is in it, chosen
//! freshly, seen by nobody before all members were bound to theirs, is what keeps a round from
//! decrypting anything that somebody else chose.

use super::following::Following;
use super::rows::Part;
use super::{Trustee, TrusteeError};
use crate::SealedShare;
use crate::same_author::{
    Blind, BlindingFactor, CheckedRound, ComparedReviews, ComparisonShare, RoundAnswer, RoundRequest,
    SameAuthorError, compared,
};
use crate::warrant::{LoggedRound, PresentedWarrant};
use unjoin_core::entry::{BlindEntry, ComparedEntry, WarrantAction, blind_commitment};
use unjoin_core::wire::Message;
use unjoin_log::LogView;
use unjoin_store::{Key, Store, StoreError, decide, read};

impl<S: Store> Trustee<S> {
    /// Takes part in a round that the ledger has fixed: first commits to a blind, and reveals it
    /// once the ledger holds every member's commitment. The blind is kept, its factor z is not.
    ///
    /// # Errors
    /// The warrant, its entry and the evidence of all its reviews are checked as by
    /// [`answer`](Self::answer). [`TrusteeError::ChargeAsOpening`] also when a review was opened
    /// after it was charged. [`TrusteeError::Round`]: its [`SameAuthorError`] says what would do.
    pub fn blind(&self, request: &RoundRequest, ledger: &dyn LogView) -> Result<RoundAnswer, TrusteeError> {
        let (reviews, logged) = self.check_round(request, ledger)?;
        let (presented, number) = (&request.presented, request.round);
        let (commitment, digest) = (presented.commitment(), presented.warrant().digest());
        let committed = logged.commitment_of(self.index());
        let key = self.rows.round(&commitment, number);
        let part = match read(&*self.store, &key)? {
            Some(part) => part,
            None if committed.is_some() => return Err(SameAuthorError::Foreign.into()),
            None => {
                let rng = &mut *self.environment.rng();
                // Dropped, and erased, before anybody can learn of the blind.
                let factor = BlindingFactor::derive(&self.share, &digest, number, &reviews, rng);
                let blind = Blind::new(self.index(), number, &factor, &digest, &reviews, rng);
                drop(factor);
                self.keep_blind(&key, blind.map_err(|_| TrusteeError::Share)?)?
            }
        };
        let Part::Blinded(blind) = part else { return Err(SameAuthorError::Used.into()) };
        let bound = blind_commitment(&digest, &blind.to_bytes());
        match (committed, logged.missing()) {
            (None, _) => {
                let (key, origin) = (&self.identity, self.origin());
                let entry = BlindEntry::sign(key, origin, commitment, number, self.index(), bound);
                Ok(RoundAnswer::Append(entry.ok_or(SameAuthorError::NotLogged)?.to_bytes()))
            }
            (Some(other), _) if other != bound => Err(SameAuthorError::Foreign.into()),
            (Some(_), missing) if !missing.is_empty() => Ok(RoundAnswer::Awaiting(missing)),
            (Some(_), _) => Ok(RoundAnswer::Reveal(blind)),
        }
    }

    /// Releases this trustee's one share of a round, given the blinds of all its members. Each is the
    /// one that was committed to, and holds. This trustee's own is among them, and they do not cancel.
    /// The round is marked as used before anything leaves, and the share leaves once the ledger holds
    /// for which blinds it does. Asked again with the same blinds it is the same share, sealed again.
    ///
    /// # Errors
    /// As [`blind`](Self::blind). [`SameAuthorError::Uncommitted`] and [`SameAuthorError::Culprits`] name the
    /// members whose blinds are bad.
    pub fn compare(
        &self,
        request: &RoundRequest,
        blinds: &[Blind],
        ledger: &dyn LogView,
    ) -> Result<RoundAnswer, TrusteeError> {
        let (reviews, logged) = self.check_round(request, ledger)?;
        let (presented, number) = (&request.presented, request.round);
        let (commitment, digest) = (presented.commitment(), presented.warrant().digest());
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
        let (committee, members) = (&self.committee, logged.members());
        let round = CheckedRound::new(committee, &digest, number, &reviews, members, blinds, rng)?;
        let own = blinds.iter().find(|blind| blind.index() == self.index());
        let own = own.ok_or(SameAuthorError::Foreign)?;
        let round_id = round.context().round_id;
        let share = ComparisonShare::answer(&self.share, committee, round.context(), rng);
        let share = share.map_err(|_| TrusteeError::Share)?;
        self.mark_used(&self.rows.round(&commitment, number), own, round_id)?;
        match logged.round_id_of(self.index()) {
            None => {
                let (key, origin) = (&self.identity, self.origin());
                let entry = ComparedEntry::sign(key, origin, commitment, number, self.index(), round_id);
                Ok(RoundAnswer::Append(entry.ok_or(SameAuthorError::NotLogged)?.to_bytes()))
            }
            // The ledger remembers what a disk that was put back does not.
            Some(other) if other != round_id => Err(SameAuthorError::Used.into()),
            Some(_) => {
                let terms = presented.terms();
                let sealed = SealedShare::seal_comparison(&share, terms, commitment, round_id, rng);
                sealed.map(RoundAnswer::Released).map_err(|_| TrusteeError::Seal)
            }
        }
    }

    /// Follows the ledger; then whether the warrant compares exactly these reviews, all are charged,
    /// and the ledger has the round, of this trustee's committee, with this trustee as one of t members or
    /// more.
    fn check_round(
        &self,
        request: &RoundRequest,
        ledger: &dyn LogView,
    ) -> Result<(ComparedReviews, LoggedRound), TrusteeError> {
        let presented = &request.presented;
        let following = self.follow_for(presented, ledger)?;
        if presented.terms().action() != WarrantAction::SameAuthor {
            return Err(SameAuthorError::Action.into());
        }
        let reviews = compared(presented, &request.reviews)?;
        for review in &request.reviews {
            self.check_review(presented, review)?;
        }
        self.check_charged(&following, presented)?;
        let register = &following.register;
        let round = register.round(&presented.commitment(), request.round);
        let round = round.ok_or(SameAuthorError::NotLogged)?;
        let newest = register.committee_before(self.committee.key().id(), round.index());
        let newest = newest.filter(|newest| newest.committee() == &self.committee);
        let newest = newest.ok_or(SameAuthorError::Epoch)?;
        let members = round.members();
        let known = members.indices().all(|index| newest.signers().any(|signer| signer == index));
        if !known || members.count() < self.committee.threshold() {
            return Err(SameAuthorError::Members.into());
        }
        if !members.contains(self.index()) {
            return Err(SameAuthorError::NotMember.into());
        }
        Ok((reviews, round.clone()))
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

    /// Marks a round as used for this id, in place of the trustee's blind. `own` is the blind that
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
