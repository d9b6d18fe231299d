//! A dealer for tests and demonstrations.

use crate::ceremony::CeremonyError;
use crate::{Committee, TrusteeShare};
use curve25519_dalek::scalar::Scalar;
use rand_core::CryptoRng;
use unjoin_core::algebra::{Element, EscrowKey, Generator, threshold};
use unjoin_core::secret::SecretScalar;
use zeroize::Zeroize;

/// **Insecure**: shares a fresh escrow key among `trustees`, any `threshold` of whom open.
///
/// Its caller has seen the whole key and can open every review. It exists for tests,
/// examples and simulations; on a platform no dealer may ever hold the key.
///
/// # Errors
/// [`CeremonyError::Size`] unless 1 <= threshold <= trustees <= 64.
///
/// ```
/// use unjoin_trustee::insecure_test_dealer;
/// use unjoin_core::secret::SystemRng;
/// let (committee, shares) = insecure_test_dealer(3, 5, &mut SystemRng::new())?;
/// assert_eq!((committee.threshold(), shares.len()), (3, 5));
/// # Ok::<(), unjoin_trustee::ceremony::CeremonyError>(())
/// ```
pub fn insecure_test_dealer(
    threshold: u16,
    trustees: u16,
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<(Committee, Vec<TrusteeShare>), CeremonyError> {
    if threshold == 0 || threshold > trustees || usize::from(trustees) > Committee::MAX_TRUSTEES {
        return Err(CeremonyError::Size);
    }
    let mut coefficients: Vec<Scalar> = (0..threshold).map(|_| random_scalar(rng)).collect();
    // Made where they stay: a vector that is moved from keeps copies of what it held.
    let deal =
        |index| TrusteeShare::new(index, 1, SecretScalar::new(threshold::evaluate(&coefficients, index)));
    let shares: Vec<TrusteeShare> = (1..=trustees).map(deal).collect();
    let public = |scalar: &Scalar| Element::from_point(Generator::G.mul(scalar));
    let key = coefficients.first().and_then(public);
    let verification: Option<Vec<Element>> =
        shares.iter().map(|share| public(share.secret().expose())).collect();
    coefficients.zeroize();
    let (Some(key), Some(verification)) = (key, verification) else {
        return Err(CeremonyError::Inconsistent);
    };
    let committee = Committee::new(threshold, 1, EscrowKey::new(key), verification)?;
    Ok((committee, shares))
}

fn random_scalar(rng: &mut (impl CryptoRng + ?Sized)) -> Scalar {
    let mut wide = [0; 64];
    rng.fill_bytes(&mut wide);
    let scalar = Scalar::from_bytes_mod_order_wide(&wide);
    wide.zeroize();
    scalar
}
