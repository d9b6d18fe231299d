//! Shares of a ceremony on their way, sealed as [`sealing`](crate::opening::sealing) does it.
//!
//! Every member has a key of its own for each ceremony, derived from its secret seed and the
//! plan. So a recorded ceremony cannot be opened with any long-term key, and a complaint can
//! reveal the key's secret: nothing but this session's shares was ever sealed to it, and a
//! session with a complaint makes no key.

use crate::algebra::decode_scalar;
use crate::opening::sealing;
use crate::secret::SecretScalar;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

pub(in crate::opening) use crate::opening::sealing::RecipientSecret;
pub(super) use crate::opening::sealing::is_usable;

/// A sealed scalar.
pub(super) const SEALED_SHARE: usize = sealing::OVERHEAD + 32;

const LABEL: &str = "ceremony-share";

/// Opens a share; `None` if it was not sealed to this key for this session and these two
/// members, or is no scalar. Everybody who has the secret comes to the same result.
pub(super) fn open(
    secret: &RecipientSecret,
    session: &[u8; 32],
    from: u16,
    to: u16,
    sealed: &[u8; SEALED_SHARE],
) -> Option<SecretScalar> {
    let plain = secret.open(&sealing::info(LABEL, session), &members(from, to), sealed)?;
    let bytes = Zeroizing::new(<[u8; 32]>::try_from(plain.as_slice()).ok()?);
    decode_scalar(*bytes).map(SecretScalar::new)
}

/// Seals a share to a member's key; `None` when the key is unusable.
pub(super) fn seal(
    share: &SecretScalar,
    recipient: &[u8; 32],
    session: &[u8; 32],
    from: u16,
    to: u16,
    rng: &mut impl CryptoRng,
) -> Option<[u8; SEALED_SHARE]> {
    let info = sealing::info(LABEL, session);
    let sealed = sealing::seal(recipient, &info, &members(from, to), share.expose().as_bytes(), rng)?;
    sealed.try_into().ok()
}

fn members(from: u16, to: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (from.to_le_bytes(), to.to_le_bytes());
    [a, b, c, d]
}
