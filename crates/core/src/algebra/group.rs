//! ristretto255 (RFC 9496) with the encodings that the wire allows, and the generators.

use super::transcript::hash_to_group;
#[cfg(feature = "tables")]
use curve25519_dalek::ristretto::RistrettoBasepointTable;
use curve25519_dalek::{
    constants::RISTRETTO_BASEPOINT_POINT,
    ristretto::{CompressedRistretto, RistrettoPoint},
    scalar::Scalar,
    traits::IsIdentity,
};
use std::sync::LazyLock;

/// A group element other than the identity, with its canonical 32-byte encoding (RFC 9496,
/// section 4.3). Public data: compared in variable time.
///
/// The encoding is kept beside the point, so that hashing never compresses again.
///
/// ```
/// # use unjoin_core::{secret::SystemRng, token::IssuerKey};
/// use unjoin_core::algebra::Element;
/// let key = IssuerKey::generate(&mut SystemRng::new());
/// let element = key.public().element();
/// assert_eq!(Element::from_bytes(element.as_bytes()).as_ref(), Some(element));
/// // One encoding for one element, and none for the identity.
/// assert!(Element::from_bytes(&[0; 32]).is_none() && Element::from_bytes(&[0xff; 32]).is_none());
/// ```
#[derive(Clone, Copy, Eq)]
pub struct Element {
    point: RistrettoPoint,
    bytes: [u8; 32],
}

impl Element {
    /// Decodes the canonical encoding; `None` for any other string and for the identity.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        // The library decodes 32 zero bytes as the identity, which no message may hold.
        if bytes == &[0; 32] {
            return None;
        }
        let point = CompressedRistretto(*bytes).decompress()?;
        Some(Self { point, bytes: *bytes })
    }

    /// The canonical encoding, 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// `None` for the identity.
    #[doc(hidden)]
    pub fn from_point(point: RistrettoPoint) -> Option<Self> {
        Self::unless_identity(point, point.compress().to_bytes())
    }

    /// The one place that looks whether an element is the identity, whose encoding is zero.
    fn unless_identity(point: RistrettoPoint, bytes: [u8; 32]) -> Option<Self> {
        (bytes != [0; 32]).then_some(Self { point, bytes })
    }

    /// The doubles of `halves`, encoded together: one field inversion for all of them, where
    /// each encoding by itself takes an inverse square root. Callers halve the scalars that
    /// they multiply by. `None` if one is the identity.
    pub(crate) fn from_halves<const N: usize>(halves: &[RistrettoPoint; N]) -> Option<[Self; N]> {
        let encoded = RistrettoPoint::double_and_compress_batch(halves);
        let element = |(half, encoded): (&RistrettoPoint, &CompressedRistretto)| {
            Self::unless_identity(half + half, encoded.to_bytes())
        };
        let elements: Option<Vec<Self>> = halves.iter().zip(&encoded).map(element).collect();
        elements?.try_into().ok()
    }

    #[doc(hidden)]
    pub fn point(&self) -> &RistrettoPoint {
        &self.point
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

// It may be somebody's key.
crate::opaque!(Element);

/// Decodes a canonical little-endian scalar; zero is allowed.
#[doc(hidden)]
pub fn decode_scalar(bytes: [u8; 32]) -> Option<Scalar> {
    Scalar::from_canonical_bytes(bytes).into()
}

/// The fixed bases: the group's base point and five independent generators
/// `H2G("generator", name)`, of which nobody knows a discrete logarithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub enum Generator {
    /// The base point: keys, and the escrow's ephemeral part.
    G,
    /// The constant in every token.
    G0,
    /// The author's wallet key.
    Gu,
    /// The serial.
    Gs,
    /// The blinding of a request.
    Gb,
    /// The scope.
    Gm,
}

impl Generator {
    pub(crate) const ALL: [Self; 6] = [Self::G, Self::G0, Self::Gu, Self::Gs, Self::Gb, Self::Gm];

    #[doc(hidden)]
    pub fn point(self) -> &'static RistrettoPoint {
        &self.base().point
    }

    /// `scalar` times this generator, in constant time.
    #[doc(hidden)]
    #[allow(clippy::should_implement_trait, reason = "its factor is borrowed")]
    pub fn mul(self, scalar: &Scalar) -> RistrettoPoint {
        #[cfg(feature = "tables")]
        return &self.base().table * scalar;
        #[cfg(not(feature = "tables"))]
        return self.point() * scalar;
    }

    fn base(self) -> &'static Base {
        match self {
            Self::G => &FIXED.g,
            Self::G0 => &FIXED.g0,
            Self::Gu => &FIXED.gu,
            Self::Gs => &FIXED.gs,
            Self::Gb => &FIXED.gb,
            Self::Gm => &FIXED.gm,
        }
    }
}

/// A fixed base, and for services a table of its multiples: 30 kB each, which a device loads for nothing.
struct Base {
    point: RistrettoPoint,
    #[cfg(feature = "tables")]
    table: RistrettoBasepointTable,
}

impl Base {
    fn new(point: RistrettoPoint) -> Self {
        Self {
            point,
            #[cfg(feature = "tables")]
            table: RistrettoBasepointTable::create(&point),
        }
    }
}

struct FixedBases {
    g: Base,
    g0: Base,
    gu: Base,
    gs: Base,
    gb: Base,
    gm: Base,
}

static FIXED: LazyLock<FixedBases> = LazyLock::new(|| {
    let base = |name: &str| {
        let point = hash_to_group("generator", &[name.as_bytes()]);
        debug_assert!(!point.is_identity());
        Base::new(point)
    };
    let g = Base::new(RISTRETTO_BASEPOINT_POINT);
    FixedBases { g, g0: base("0"), gu: base("u"), gs: base("s"), gb: base("b"), gm: base("m") }
});

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_table_multiplies_as_the_point_does(bytes in any::<[u8; 32]>()) {
            let scalar = Scalar::from_bytes_mod_order(bytes);
            for generator in Generator::ALL {
                prop_assert_eq!(generator.mul(&scalar), generator.point() * scalar);
            }
        }

        #[test]
        fn decoding_then_encoding_gives_the_same_bytes(bytes in any::<[u8; 32]>()) {
            if let Some(element) = Element::from_bytes(&bytes) {
                prop_assert_eq!(element.as_bytes(), &bytes);
                prop_assert_eq!(element.point().compress().to_bytes(), bytes);
            }
        }
    }

    #[test]
    fn halves_encoded_together_are_their_doubles() {
        let halves = Generator::ALL.map(|generator| *generator.point());
        for (element, half) in Element::from_halves(&halves).unwrap().iter().zip(halves) {
            assert_eq!(*element, Element::from_point(half + half).unwrap());
            assert_eq!(*element.point(), half + half);
        }
        assert!(Element::from_halves(&[halves[0], RistrettoPoint::default()]).is_none());
    }

    #[test]
    fn the_identity_is_no_element() {
        assert!(Element::from_bytes(&[0; 32]).is_none());
        assert!(Element::from_point(RistrettoPoint::default()).is_none());
    }
}
