//! The plan: who makes which key, agreed before anybody begins.

use super::CeremonyError;
use crate::Committee;
use rand_core::CryptoRng;
use unjoin_core::algebra::transcript::hash32;
use unjoin_core::serde_as_bytes;
use unjoin_core::token::{TrusteePublicKey, Trustees, threshold_and_trustees};
use unjoin_core::wire::{DecodeError, Message, Reader, Rule, Writer};

/// Kind 32, 82 + 32 n bytes: the plan of one ceremony. Every trustee compares its
/// [`digest`](Self::digest) with the others' by voice or on paper before joining.
///
/// A plan is used once: its 32 random bytes make it different from every other.
///
/// ```
/// use unjoin_core::{secret::SystemRng, token::Trustees};
/// use unjoin_trustee::{TrusteeSecrets, ceremony::CeremonyPlan};
/// let rng = &mut SystemRng::new();
/// let keys = (0..5).map(|_| TrusteeSecrets::generate(rng).public()).collect();
/// let plan = CeremonyPlan::key_generation(3, Trustees::new(keys)?, rng)?;
/// assert_eq!((plan.threshold(), plan.members(), plan.is_refresh()), (3, &[1, 2, 3, 4, 5][..], false));
/// // Read out to each other before anybody joins.
/// assert_eq!(plan.digest().len(), 32);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CeremonyPlan {
    epoch: u32,
    threshold: u16,
    trustees: Trustees,
    /// Those who take part, rising.
    members: Vec<u16>,
    /// The digest of the committee that is refreshed; zero for a new key.
    previous: [u8; 32],
    nonce: [u8; 32],
}

impl CeremonyPlan {
    /// The plan of a key ceremony among all of these trustees, any `threshold` of whom will
    /// open.
    ///
    /// # Errors
    /// [`CeremonyError::Threshold`] unless 1 <= threshold <= n.
    pub fn key_generation(
        threshold: u16,
        trustees: Trustees,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Self, CeremonyError> {
        if threshold == 0 || threshold > trustees.count() {
            return Err(CeremonyError::Threshold);
        }
        let members = (1..=trustees.count()).collect();
        let mut plan = Self { epoch: 1, threshold, trustees, members, previous: [0; 32], nonce: [0; 32] };
        rng.fill_bytes(&mut plan.nonce);
        Ok(plan)
    }

    /// The plan of a refresh of `committee` among `members` (rising indices, at least t). The
    /// key, t and n stay, the shares are new, the epoch is the next one.
    ///
    /// Who is left out gets no new share and can answer no more, until the trustees make a new
    /// key. Leave out only who is gone or was named a culprit.
    ///
    /// # Errors
    /// [`CeremonyError::Threshold`] for t = 1, where each share is the key and nothing is left to
    /// refresh; [`CeremonyError::Members`] unless the members are at least t rising indices of as
    /// many trustees as the committee has.
    pub fn refresh(
        committee: &Committee,
        trustees: Trustees,
        members: Vec<u16>,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Self, CeremonyError> {
        let epoch = committee.epoch().checked_add(1).ok_or(CeremonyError::Threshold)?;
        let (threshold, previous) = (committee.threshold(), committee.digest());
        if threshold == 1 {
            return Err(CeremonyError::Threshold);
        }
        let rising = members.is_sorted_by(|a, b| a < b);
        let known = members.iter().all(|index| trustees.key(*index).is_some());
        if !rising || !known || members.len() < threshold.into() || trustees.count() != committee.trustees() {
            return Err(CeremonyError::Members);
        }
        let mut plan = Self { epoch, threshold, trustees, members, previous, nonce: [0; 32] };
        rng.fill_bytes(&mut plan.nonce);
        Ok(plan)
    }

    /// H32("ceremony-plan", the whole message): what every join names.
    pub fn digest(&self) -> [u8; 32] {
        hash32("ceremony-plan", &[&self.to_bytes()])
    }

    /// The epoch that the ceremony makes: 1 for a new key.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Whether shares are refreshed; otherwise a new key is made.
    pub fn is_refresh(&self) -> bool {
        self.epoch > 1
    }

    unjoin_core::getters! {
        /// t.
        pub threshold -> u16;
        /// All n trustees.
        pub trustees -> &Trustees;
        /// The indices of those who take part, rising.
        pub members -> &[u16];
    }

    /// Whether this is the committee that the plan refreshes; a new key has none before it.
    pub(crate) fn follows(&self, previous: Option<&Committee>) -> bool {
        match previous {
            None => !self.is_refresh(),
            Some(committee) => {
                self.is_refresh()
                    && committee.digest() == self.previous
                    && committee.epoch().checked_add(1) == Some(self.epoch)
                    && committee.threshold() == self.threshold
                    && committee.trustees() == self.trustees.count()
            }
        }
    }

    /// How many coefficients each member commits to: all t of a new key's polynomial, and all
    /// but the constant one, which is zero, in a refresh.
    pub(super) fn commitments(&self) -> usize {
        usize::from(self.threshold).saturating_sub(usize::from(self.is_refresh()))
    }
}

impl Message for CeremonyPlan {
    const KIND: u8 = 32;
    const NAME: &'static str = "ceremony plan";

    fn encode_body(&self, out: &mut Writer) {
        out.le32(self.epoch);
        out.le16(self.threshold);
        out.le16(self.trustees.count());
        self.trustees.keys().iter().for_each(|key| out.raw(key.as_bytes()));
        out.le64(self.members.iter().fold(0, |set, index| set | bit(*index)));
        out.raw(&self.previous);
        out.raw(&self.nonce);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let epoch = from.le32("share epoch")?;
        let (threshold, count) = threshold_and_trustees(from)?;
        // A refresh of a key that each trustee holds whole would change nothing.
        if epoch == 0 || (epoch > 1 && threshold == 1) {
            return Err(from.refuse(Rule::Value));
        }
        // A key takes six times its bytes: no room is made for keys that are not there.
        if !from.has_left(usize::from(count).saturating_mul(32)) {
            return Err(from.refuse(Rule::Truncated));
        }
        let mut keys = Vec::with_capacity(count.into());
        for _ in 0..count {
            let bytes = from.array("trustee key")?;
            keys.push(TrusteePublicKey::from_bytes(&bytes).ok_or(from.refuse(Rule::Value))?);
        }
        let trustees = Trustees::new(keys).map_err(|_| from.refuse(Rule::Value))?;
        let set = from.le64("members")?;
        let members: Vec<u16> = (1..=count).filter(|index| set & bit(*index) != 0).collect();
        let all = members.len() == usize::from(count);
        let beyond = members.iter().fold(set, |rest, index| rest & !bit(*index)) != 0;
        if beyond || members.len() < threshold.into() || (epoch == 1 && !all) {
            return Err(from.refuse(Rule::Value));
        }
        let (previous, nonce) = (from.array("previous committee")?, from.array("nonce")?);
        if epoch == 1 && previous != [0; 32] {
            return Err(from.refuse(Rule::Value));
        }
        Ok(Self { epoch, threshold, trustees, members, previous, nonce })
    }
}

/// The place of a trustee in the set of members: indices run from 1 to 64.
fn bit(index: u16) -> u64 {
    1 << (u32::from(index).saturating_sub(1) & 63)
}

serde_as_bytes!(CeremonyPlan);
