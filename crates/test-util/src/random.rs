//! Generators that can be repeated, or do as they are told: fit for tests, and for nothing else.

use core::convert::Infallible;
use rand_core::{TryCryptoRng, TryRng};
use std::collections::HashMap;

/// A generator made of a function that fills bytes: stuck, scripted, noting what it gave.
pub struct Draws<F>(pub F);

unjoin_core::filling_generator!(Draws<F: FnMut(&mut [u8])> |draws, bytes| (draws.0)(bytes));

/// SplitMix64: the same bytes for the same seed. It claims to be cryptographic only because the
/// crates ask for that.
#[derive(Clone, Debug)]
pub struct Seeded(pub u64);

impl Seeded {
    /// A number below `bound`, near enough to uniform for a test.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        finalized(self.0)
    }
}

/// A number that looks random and is determined by `seed`.
pub fn mix(seed: u64) -> u64 {
    finalized(seed.wrapping_mul(STEP))
}

/// A permutation of `0..count`, determined by `seed`.
pub fn shuffled(count: u64, seed: u64) -> Vec<u64> {
    let mut order: Vec<u64> = (0..count).collect();
    order.sort_by_key(|i| mix(seed ^ (i << 20)));
    order
}

/// Spearman's rank correlation of two orders of the same numbers.
pub fn rank_correlation(one: &[u64], other: &[u64]) -> f64 {
    assert_eq!(one.len(), other.len());
    let rank: HashMap<_, _> = other.iter().zip(0u32..).map(|(i, rank)| (*i, f64::from(rank))).collect();
    let squares: f64 = one.iter().zip(0u32..).map(|(i, r)| (rank[i] - f64::from(r)).powi(2)).sum();
    let n = one.len() as f64;
    1.0 - 6.0 * squares / (n * (n * n - 1.0))
}

/// SplitMix64's step and its finalizer.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

fn finalized(state: u64) -> u64 {
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl TryRng for Seeded {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.draw() as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.draw())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.draw().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}
