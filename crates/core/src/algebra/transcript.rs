//! The one hash of the protocol: SHA-512 over length-framed parts.
//!
//! `frame(x) = le64(len x) || x` and
//! `H(label, x1..xn) = SHA-512(frame("unjoin/v1") || frame(label) || frame(x1) || ...)`.
//! Framing makes the encoding of (label, items) injective, so no two uses collide.

use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar};
use sha2::{Digest, Sha512};
use zeroize::Zeroize;

const DOMAIN: &[u8] = b"unjoin/v1";

/// A hash under way.
#[derive(Clone)]
#[doc(hidden)]
pub struct Transcript(Sha512);

impl Transcript {
    /// Begins `H(label, ..)`; the label may come in parts, which are joined.
    #[doc(hidden)]
    pub fn new(label: &[&str]) -> Self {
        let mut hash = Sha512::new();
        hash.update(frame_length(DOMAIN.len()));
        hash.update(DOMAIN);
        hash.update(frame_length(label.iter().map(|part| part.len()).sum()));
        for part in label {
            hash.update(part);
        }
        Self(hash)
    }

    /// Appends `frame(bytes)`.
    #[doc(hidden)]
    pub fn item(mut self, bytes: &[u8]) -> Self {
        self.0.update(frame_length(bytes.len()));
        self.0.update(bytes);
        self
    }

    /// Appends items that are framed already.
    #[doc(hidden)]
    pub fn framed(mut self, frames: &[u8]) -> Self {
        self.0.update(frames);
        self
    }

    /// `H`: all 64 bytes.
    #[doc(hidden)]
    pub fn finish(self) -> [u8; 64] {
        self.0.finalize().into()
    }

    /// `H32`: the first 32 bytes.
    #[doc(hidden)]
    pub fn finish32(self) -> [u8; 32] {
        let [first, _] = halves(self.finish());
        first
    }

    /// `H2S`: the 64 bytes as a little-endian integer mod l.
    #[doc(hidden)]
    pub fn finish_scalar(self) -> Scalar {
        let mut wide = self.finish();
        let scalar = Scalar::from_bytes_mod_order_wide(&wide);
        wide.zeroize();
        scalar
    }
}

/// `le64(length)`.
pub(crate) fn frame_length(length: usize) -> [u8; 8] {
    (length as u64).to_le_bytes()
}

/// Appends `frame(bytes)` to `out`.
#[doc(hidden)]
pub fn push_frame(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&frame_length(bytes.len()));
    out.extend_from_slice(bytes);
}

fn over(label: &str, items: &[&[u8]]) -> Transcript {
    items.iter().fold(Transcript::new(&[label]), |hash, item| hash.item(item))
}

/// `H32(label, items..)`.
#[doc(hidden)]
pub fn hash32(label: &str, items: &[&[u8]]) -> [u8; 32] {
    over(label, items).finish32()
}

/// `H2S(label, items..)`.
#[doc(hidden)]
pub fn hash_to_scalar(label: &str, items: &[&[u8]]) -> Scalar {
    over(label, items).finish_scalar()
}

/// `H2G(label, items..)`: ristretto255's one-way map of the 64 bytes (RFC 9496, 4.3.4).
#[doc(hidden)]
pub fn hash_to_group(label: &str, items: &[&[u8]]) -> RistrettoPoint {
    RistrettoPoint::from_uniform_bytes(&over(label, items).finish())
}

fn halves(bytes: [u8; 64]) -> [[u8; 32]; 2] {
    let mut halves = [[0; 32]; 2];
    for (half, chunk) in halves.iter_mut().zip(bytes.chunks_exact(32)) {
        half.copy_from_slice(chunk);
    }
    halves
}
