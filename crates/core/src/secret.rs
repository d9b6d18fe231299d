//! Secrets, typed so that they cannot slip out.
//!
//! Both types zeroize on drop, compare in constant time, print nothing of themselves, and
//! are neither `Copy`, `Clone` nor serializable. Sealed exports are the only way out.

use core::fmt;
use curve25519_dalek::scalar::Scalar;
use hmac::{Hmac, KeyInit, Mac};
use rand_core::CryptoRng;
use sha2::Sha256;

/// `N` secret bytes.
///
/// ```
/// use unjoin_core::secret::{SecretBytes, SystemRng};
/// let seed = SecretBytes::<32>::random(&mut SystemRng::new());
/// assert_eq!(format!("{seed:?}"), "SecretBytes<32>(..)");
/// let copy = SecretBytes::new(*seed.expose());
/// assert_eq!(copy.expose(), seed.expose());
/// ```
pub struct SecretBytes<const N: usize>([u8; N]);

impl<const N: usize> SecretBytes<N> {
    /// Takes `bytes` over; the caller erases its own copy.
    pub fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// Fresh bytes from `rng`.
    pub fn random(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut bytes = Self([0; N]);
        rng.fill_bytes(&mut bytes.0);
        bytes
    }

    /// The bytes themselves: for key derivation and sealing only.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

crate::erased_secret!(SecretBytes<const N: usize>);

impl<const N: usize> fmt::Debug for SecretBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes<{N}>(..)")
    }
}

/// A secret scalar: a key, a witness, a nonce or a randomizer.
#[doc(hidden)]
pub struct SecretScalar(Scalar);

impl SecretScalar {
    /// Takes `scalar` over.
    pub fn new(scalar: Scalar) -> Self {
        Self(scalar)
    }

    /// The scalar itself: for constant-time operations only.
    pub fn expose(&self) -> &Scalar {
        &self.0
    }
}

crate::erased_secret!(SecretScalar);

crate::opaque!(SecretScalar);

/// A key of HMAC-SHA-256 (RFC 2104), kept as the two hash states that it begins with: two of four
/// compressions are saved at each use.
///
/// The states are as secret as the key, and erased on drop.
#[doc(hidden)]
pub struct MacKey(Option<Hmac<Sha256>>);

impl MacKey {
    /// Prepares `key`; the caller erases its own copy.
    pub fn new(key: &[u8; 32]) -> Self {
        // HMAC takes keys of any length: there is no error.
        Self(Hmac::new_from_slice(key).ok())
    }

    /// The code of `parts`, one after the other: their lengths must be fixed, or framed by the caller.
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let Some(mut mac) = self.0.clone() else { return [0; 32] };
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }
}

crate::opaque!(MacKey);

/// HMAC-SHA-256 (RFC 2104) of `parts` under a key that is used once: see [`MacKey`].
#[doc(hidden)]
pub fn hmac_sha256(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    MacKey::new(key).mac(parts)
}

/// A number below `bound`, which is not 0, without bias: numbers above the largest multiple
/// of `bound` are drawn again.
#[doc(hidden)]
pub fn below(bound: u64, rng: &mut (impl CryptoRng + ?Sized)) -> u64 {
    let excess = (u64::MAX % bound).wrapping_add(1) % bound;
    loop {
        let drawn = rng.next_u64();
        if drawn <= u64::MAX - excess {
            return drawn % bound;
        }
    }
}

#[cfg(any(feature = "generator", feature = "system"))]
pub use system::SystemRng;

#[cfg(any(feature = "generator", feature = "system"))]
mod system {
    /// The operating system's generator.
    ///
    /// # Panics
    /// When the operating system refuses randomness: there is no safe way to go on.
    ///
    /// ```
    /// use unjoin_core::secret::{SecretBytes, SystemRng};
    /// let rng = &mut SystemRng::new();
    /// let (one, other) = (SecretBytes::<32>::random(rng), SecretBytes::<32>::random(rng));
    /// assert_ne!(one.expose(), other.expose());
    /// ```
    #[derive(Clone, Debug)]
    pub struct SystemRng(());

    impl SystemRng {
        /// The generator; the operating system is asked at each use.
        pub fn new() -> Self {
            Self(())
        }
    }

    impl Default for SystemRng {
        fn default() -> Self {
            Self::new()
        }
    }

    crate::filling_generator!(
        SystemRng | _generator,
        bytes | {
            #[allow(clippy::expect_used)]
            fill(bytes).expect("the operating system refused randomness")
        }
    );

    /// Services ask through ring, whose cipher they link.
    #[cfg(feature = "system")]
    fn fill(bytes: &mut [u8]) -> Result<(), ring::error::Unspecified> {
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), bytes)
    }

    /// Devices link no C.
    #[cfg(not(feature = "system"))]
    fn fill(bytes: &mut [u8]) -> Result<(), getrandom::Error> {
        getrandom::fill(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use subtle::ConstantTimeEq;

    #[test]
    fn no_secret_prints_itself() {
        let bytes = SecretBytes::new([0xa7; 32]);
        let scalar = SecretScalar::new(Scalar::from(0xa7a7u64));
        assert_eq!(format!("{bytes:?} {scalar:?}"), "SecretBytes<32>(..) SecretScalar(..)");
    }

    #[test]
    fn a_prepared_key_gives_the_same_codes_at_each_use() {
        // RFC 4231's second case, whose key of 4 bytes HMAC fills up with zeros.
        let mut jefe = [0; 32];
        jefe[..4].copy_from_slice(b"Jefe");
        let key = MacKey::new(&jefe);
        let expected = [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e];
        for parts in [&[&b"what do ya want for nothing?"[..]][..], &[b"what do ya ", b"want for nothing?"]] {
            assert_eq!(key.mac(parts)[..8], expected);
            assert_eq!(key.mac(parts), hmac_sha256(&jefe, parts));
        }
        assert_eq!(format!("{key:?}"), "MacKey(..)");
    }

    #[test]
    fn equality_looks_at_every_byte() {
        for i in 0..32 {
            let mut other = [1; 32];
            other[i] = 2;
            assert!(!bool::from(SecretBytes::new([1; 32]).ct_eq(&SecretBytes::new(other))));
        }
        assert!(bool::from(SecretBytes::new([1; 32]).ct_eq(&SecretBytes::new([1; 32]))));
    }
}
