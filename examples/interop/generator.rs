//! Randomness that can be repeated: SHA-512 of a seed and a counter.

use rand_core::{Rng, TryCryptoRng, TryRng};
use sha2::{Digest, Sha512};
use std::convert::Infallible;
use unjoin::secret::SystemRng;

pub(crate) struct Generator {
    seed: [u8; 32],
    counter: u64,
}

impl Generator {
    pub(crate) fn seeded(number: u64) -> Self {
        let mut seed = [0; 32];
        seed.iter_mut().zip(number.to_le_bytes()).for_each(|(to, from)| *to = from);
        Self { seed, counter: 0 }
    }

    pub(crate) fn fresh() -> Self {
        Self { seed: SystemRng::new().array(), counter: 0 }
    }
}

/// What lines are made of.
pub(crate) trait Draw {
    fn array<const N: usize>(&mut self) -> [u8; N];
    fn below(&mut self, bound: usize) -> usize;
}

impl<R: Rng> Draw for R {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill_bytes(&mut bytes);
        bytes
    }

    /// Nearly uniform, which is enough to choose what to corrupt.
    fn below(&mut self, bound: usize) -> usize {
        (u32::from_le_bytes(self.array()) as usize) % bound
    }
}

impl TryRng for Generator {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(64) {
            let block = Sha512::new().chain_update(self.seed).chain_update(self.counter.to_le_bytes());
            chunk.iter_mut().zip(block.finalize()).for_each(|(to, from)| *to = from);
            self.counter += 1;
        }
        Ok(())
    }
}

impl TryCryptoRng for Generator {}
