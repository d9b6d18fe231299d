//! The committee: who holds the trustees' key now, and how many must answer.

use crate::algebra::transcript::Transcript;
use crate::algebra::{Element, EscrowKey, threshold};
use crate::error::describe_errors;
use crate::secret::SecretScalar;
use crate::token::Trustees;

/// One trustee's share `y_i` of the escrow key, in one share epoch.
#[derive(Debug)]
pub struct TrusteeShare {
    index: u16,
    epoch: u32,
    secret: SecretScalar,
}

impl TrusteeShare {
    pub(crate) fn new(index: u16, epoch: u32, secret: SecretScalar) -> Self {
        Self { index, epoch, secret }
    }

    /// The trustee's index, from 1.
    pub fn index(&self) -> u16 {
        self.index
    }

    /// The share epoch: 1 at the ceremony, one more at each refresh.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    pub(crate) fn secret(&self) -> &SecretScalar {
        &self.secret
    }
}

/// The public side of a t-of-n sharing of the escrow key: the verification shares
/// `Y_1 .. Y_n` of one epoch. A value of this type is consistent: the shares lie on one
/// polynomial of degree exactly t - 1 with `Y` at zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committee {
    threshold: u16,
    epoch: u32,
    key: EscrowKey,
    verification_shares: Vec<Element>,
}

impl Committee {
    /// The most trustees there can be.
    pub const MAX_TRUSTEES: usize = Trustees::MAX;

    /// Checks and takes a committee; `epoch` counts from 1.
    ///
    /// # Errors
    /// [`CommitteeError::Size`] unless 1 <= t <= n <= 64 and the epoch is not 0;
    /// [`CommitteeError::Inconsistent`] when the shares are not a t-of-n sharing of the key.
    pub fn new(
        threshold: u16,
        epoch: u32,
        key: EscrowKey,
        verification_shares: Vec<Element>,
    ) -> Result<Self, CommitteeError> {
        let (t, n) = (usize::from(threshold), verification_shares.len());
        if t == 0 || t > n || n > Self::MAX_TRUSTEES || epoch == 0 {
            return Err(CommitteeError::Size);
        }
        if !threshold::is_sharing_of(key.element(), t, &verification_shares) {
            return Err(CommitteeError::Inconsistent);
        }
        Ok(Self { threshold, epoch, key, verification_shares })
    }

    /// t: how many shares open an escrow.
    pub fn threshold(&self) -> u16 {
        self.threshold
    }

    /// The share epoch.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// `Y`.
    pub fn key(&self) -> &EscrowKey {
        &self.key
    }

    /// `Y_1 .. Y_n`.
    pub fn verification_shares(&self) -> &[Element] {
        &self.verification_shares
    }

    /// n: how many trustees there are.
    pub fn trustees(&self) -> u16 {
        self.verification_shares.len() as u16
    }

    /// H32("committee", le32 epoch, le16 t, Y, Y_1, .. Y_n): what trustees sign of it.
    pub fn digest(&self) -> [u8; 32] {
        let start = Transcript::new(&["committee"])
            .item(&self.epoch.to_le_bytes())
            .item(&self.threshold.to_le_bytes())
            .item(self.key.element().as_bytes());
        self.verification_shares.iter().fold(start, |hash, share| hash.item(share.as_bytes())).finish32()
    }

    /// `Y_index`; `None` unless 1 <= index <= n.
    pub fn verification_share(&self, index: u16) -> Option<&Element> {
        self.verification_shares.get(usize::from(index).checked_sub(1)?)
    }
}

/// Why some shares are no committee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitteeError {
    /// t, n or the epoch is out of range.
    Size,
    /// The verification shares are not a sharing of the key with this threshold.
    Inconsistent,
}

describe_errors!(CommitteeError {
    Self::Size => "committee.size", Operator, false,
        "a committee needs 1 <= t <= n <= 64 and an epoch from 1";
    Self::Inconsistent => "committee.inconsistent", Operator, false,
        "the verification shares do not belong to this key and threshold: take the logged committee entry";
});
