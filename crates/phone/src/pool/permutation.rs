//! A keyed permutation of the first `size` integers.
//!
//! A Feistel network over pairs (Black and Rogaway, "Ciphers with arbitrary finite domains",
//! the generalized-Feistel construction). Ten rounds as in NIST SP 800-38G's FF1, with
//! HMAC-SHA-256 as the round function. The pairs are a little more than `size`; what falls outside is
//! permuted again until it falls inside ("cycle walking"), which keeps it a permutation.

use unjoin_core::secret::{MacKey, SecretBytes};

/// Even, so that both halves are back in their places at the end.
const ROUNDS: u8 = 10;

pub(super) struct Permutation {
    key: MacKey,
    size: u64,
    /// Pairs are one number below `left` and one below `right`; `left * right >= size`.
    left: u64,
    right: u64,
}

impl Permutation {
    /// `size` is at most 2^62.
    pub(super) fn new(key: &SecretBytes<32>, size: u64) -> Self {
        let root = size.isqrt().max(1);
        let left = if root.saturating_mul(root) < size { root.saturating_add(1) } else { root };
        Self { key: MacKey::new(key.expose()), size, left, right: size.div_ceil(left).max(1) }
    }

    /// Where `at`, which is below the size, goes.
    pub(super) fn apply(&self, at: u64) -> u64 {
        let mut to = self.once(at);
        // `once` is a permutation of the pairs, so the walk from an inside point comes back
        // inside; it leaves at all with a chance below 1 / sqrt(size).
        while to >= self.size && to != at {
            to = self.once(to);
        }
        to
    }

    fn once(&self, at: u64) -> u64 {
        let (mut left, mut right) = (at / self.right, at % self.right);
        let (mut modulus, mut other) = (self.left, self.right);
        for round in 0..ROUNDS {
            let [a, b, c, d, e, f, g, h, ..] = self.key.mac(&[&[round], &right.to_le_bytes()]);
            let mixed = u64::from_le_bytes([a, b, c, d, e, f, g, h]) % modulus;
            (left, right) = (right, (left + mixed) % modulus);
            (modulus, other) = (other, modulus);
        }
        left * self.right + right
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_size_is_permuted(size in 1u64..3000, key: [u8; 32]) {
            let order = Permutation::new(&SecretBytes::new(key), size);
            let mut seen = vec![false; size as usize];
            for at in 0..size {
                let to = order.apply(at);
                prop_assert!(to < size && !std::mem::replace(&mut seen[to as usize], true));
            }
        }
    }

    #[test]
    fn another_key_is_another_order() {
        let order = |key| {
            let order = Permutation::new(&SecretBytes::new([key; 32]), 1000);
            (0..1000).map(|at| order.apply(at)).collect::<Vec<_>>()
        };
        let (one, other) = (order(1), order(2));
        let same = one.iter().zip(&other).filter(|(a, b)| a == b).count();
        assert!(same < 20, "{same} of 1000 stand where they stood");
    }
}
