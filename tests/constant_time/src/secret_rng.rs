//! Randomness that only its user knows.

use crate::memcheck::mark_secret;
use rand_core::Rng;
use unjoin::secret::SystemRng;
use unjoin_test_util::Draws;

pub type SecretRng = Draws<fn(&mut [u8])>;

/// A generator of which every byte is secret: keys, and the fresh part of every nonce.
pub fn secret_rng() -> SecretRng {
    Draws(|bytes| {
        SystemRng::new().fill_bytes(bytes);
        mark_secret(bytes);
    })
}
