//! The algebraic MAC behind a token: `A = (x + e)^-1 * B` with
//! `B = G_0 + m*G_m + C`, a weak Boneh-Boyen tag over a blinded commitment
//! (Barki, Brunet, Desmoulins, Traoré, SAC 2016; Orrù, ePrint 2024/1552).

use crate::algebra::{
    group::{Element, Generator},
    transcript::push_frame,
};
use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha512;
use zeroize::Zeroize;

/// `e = HMAC-SHA-512(PRF key, frame("grant") || frame(scope) || frame(C)) mod l`: the same
/// request always gets the same tag, and no tag says when it was made.
#[doc(hidden)]
pub fn exponent(prf_key: &[u8; 32], scope: &[u8], commitment: &Element) -> Scalar {
    let mut message = Vec::with_capacity(192);
    push_frame(&mut message, b"grant");
    push_frame(&mut message, scope);
    push_frame(&mut message, commitment.as_bytes());
    // HMAC takes keys of any length; the fallback can not be reached.
    let Ok(mut mac) = Hmac::<Sha512>::new_from_slice(prf_key) else { return Scalar::ZERO };
    mac.update(&message);
    let mut wide: [u8; 64] = mac.finalize().into_bytes().into();
    let e = Scalar::from_bytes_mod_order_wide(&wide);
    wide.zeroize();
    e
}

/// `B = G_0 + m*G_m + C`: all public.
#[doc(hidden)]
pub fn base(scope_scalar: &Scalar, commitment: &Element) -> RistrettoPoint {
    Generator::G0.point() + Generator::Gm.mul(scope_scalar) + commitment.point()
}

/// `A = (x + e)^-1 * B` in constant time; `None` if `x + e = 0` or `A` is the identity.
#[doc(hidden)]
pub fn tag(x: &Scalar, e: &Scalar, base: &RistrettoPoint) -> Option<Element> {
    let mut sum = x + e;
    if sum == Scalar::ZERO {
        return None;
    }
    let mut inverse = sum.invert();
    let tag = Element::from_point(base * inverse);
    sum.zeroize();
    inverse.zeroize();
    tag
}
