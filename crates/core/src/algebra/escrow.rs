//! The escrow of a review's author: ElGamal of the wallet key `U` under the trustees' key
//! `Y`, `E1 = k*G`, `E2 = U + k*Y`. Hidden under DDH from anyone with fewer than t shares.

use crate::algebra::group::Element;
use {
    crate::algebra::group::Generator,
    curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar},
};

/// The trustees' public key `Y` with its escrow id, `H32("escrow-key", Y)`, which names the
/// key ceremony and survives every refresh of the shares.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// use unjoin_core::algebra::EscrowKey;
/// # let shop = Shop::open();
/// # let key = shop.escrow_key;
/// // Its id stands in every manifest and presentation under it.
/// assert_eq!(EscrowKey::new(*key.element()).id(), key.id());
/// assert_eq!(shop.manifest().escrow_id, *key.id());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EscrowKey {
    element: Element,
    id: [u8; 32],
}

crate::shapes::key_with_id!(EscrowKey, "escrow-key");

/// `(E1, E2)`: opens to the author's wallet key, given t trustees. Never published, and
/// erased after the opening window.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// # let shop = Shop::open();
/// # let (one, again) = (shop.accepted(), shop.accepted());
/// // Presented again, a token shows the same escrow: nobody gets a second one to compare it with.
/// assert_eq!(one.sent.presentation.escrow(), again.sent.presentation.escrow());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Escrow {
    /// `k * G`.
    pub e1: Element,
    /// `U + k * Y`.
    pub e2: Element,
}

impl Escrow {
    /// Encrypts the wallet key `author` with randomness `k`, in constant time; `None` in the
    /// negligible case that a part is the identity.
    #[doc(hidden)]
    pub fn seal(key: &EscrowKey, author: &RistrettoPoint, k: &Scalar) -> Option<Self> {
        Some(Self { e1: Element::from_point(Generator::G.mul(k))?, e2: Self::hide(key, author, k)? })
    }

    /// `E2 = U + k * Y`, in constant time; `None` in the negligible case that it is the
    /// identity.
    pub(crate) fn hide(key: &EscrowKey, author: &RistrettoPoint, k: &Scalar) -> Option<Element> {
        Element::from_point(author + key.element().point() * k)
    }
}
