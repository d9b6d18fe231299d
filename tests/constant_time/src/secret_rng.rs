//! Randomness that only its user knows.

use crate::memcheck::mark_secret;
use rand_core::{TryCryptoRng, TryRng};
use std::convert::Infallible;
use unjoin::secret::SystemRng;

/// A generator of which every byte is secret: keys, and the fresh part of every nonce.
pub struct SecretRng(SystemRng);

impl SecretRng {
    pub fn new() -> Self {
        Self(SystemRng::new())
    }
}

impl TryRng for SecretRng {
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
        self.0.try_fill_bytes(bytes)?;
        mark_secret(bytes);
        Ok(())
    }
}

impl TryCryptoRng for SecretRng {}
