//! Opening: any t valid shares of one epoch give `y*E1 = sum of lambda_i * D_i`, and the
//! author `U = E2 - y*E1`.

use super::{Committee, DecryptionShare, ShareAction, ShareContext};
use crate::algebra::proof::BatchVerifier;
use crate::algebra::{Element, threshold};
use crate::error::describe_errors;
use curve25519_dalek::ristretto::RistrettoPoint;
use rand_core::CryptoRng;

/// Opens an escrow to the author's wallet key. Anybody can check it, given the parts.
///
/// # Errors
/// [`OpeningError::Culprits`] names every trustee whose share is bad, was given twice or is
/// of no member; nothing is combined then. [`OpeningError::TooFew`] when fewer than t are
/// left to combine, [`OpeningError::Action`] when the context is not an opening.
pub fn combine(
    committee: &Committee,
    context: &ShareContext,
    shares: &[DecryptionShare],
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<Element, OpeningError> {
    if context.action != ShareAction::Open {
        return Err(OpeningError::Action);
    }
    let decrypted = decrypt(committee, context, shares, rng)?;
    Element::from_point(context.escrow.e2.point() - decrypted).ok_or(OpeningError::Nobody)
}

/// `y * E1` from shares that all verify.
pub(super) fn decrypt(
    committee: &Committee,
    context: &ShareContext,
    shares: &[DecryptionShare],
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<RistrettoPoint, OpeningError> {
    let culprits = culprits(committee, context, shares, rng);
    if !culprits.is_empty() {
        return Err(OpeningError::Culprits(culprits));
    }
    let needed = usize::from(committee.threshold());
    let Some(used) = shares.get(..needed) else { return Err(OpeningError::TooFew) };
    let points: Vec<_> = used.iter().map(|share| (share.index(), *share.element().point())).collect();
    Ok(threshold::interpolate(&points, 0))
}

/// Whose shares are bad or repeated, rising. All are checked at once; one by one only if that
/// fails.
fn culprits(
    committee: &Committee,
    context: &ShareContext,
    shares: &[DecryptionShare],
    rng: &mut (impl CryptoRng + ?Sized),
) -> Vec<u16> {
    let mut batch = BatchVerifier::new(&mut *rng, shares.len());
    let all_of_members = shares.iter().all(|share| share.add_to(&mut batch, committee, context).is_ok());
    let all_hold = all_of_members && batch.holds();
    let mut culprits = Vec::new();
    for share in shares {
        let repeated = shares.iter().filter(|other| other.index() == share.index()).count() > 1;
        if repeated || !all_hold && share.verify(committee, context, &mut *rng).is_err() {
            culprits.push(share.index());
        }
    }
    culprits.sort_unstable();
    culprits.dedup();
    culprits
}

/// Why shares do not combine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpeningError {
    /// Fewer than t shares.
    TooFew,
    /// The shares of these trustees are bad, repeated, or of another epoch.
    Culprits(Vec<u16>),
    /// The context allows another action.
    Action,
    /// The shares are good and the escrow opens to nobody: the presentation was never valid.
    Nobody,
}

describe_errors!(OpeningError {
    Self::TooFew => "opening.too_few", Operator, true, "fewer than t shares: ask more trustees";
    Self::Culprits(indices) => "opening.culprits", Operator, false,
        "the shares of trustees {indices:?} are bad, repeated or of another epoch: ask others, and report these";
    Self::Action => "opening.action", Host, false, "the warrant does not allow to open";
    Self::Nobody => "opening.nobody", Operator, false,
        "the escrow opens to nobody: check the issuing key and the accepted proof";
});
