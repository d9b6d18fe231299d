//! What a service takes from outside: the time and randomness.

use crate::secret::SystemRng;
use crate::time::{Clock, SystemClock, Timestamp};
use rand_core::CryptoRng;
use std::sync::Arc;

type MakeGenerator = dyn Fn() -> Box<dyn CryptoRng + Send> + Send + Sync;

/// A clock and a source of random generators, shared by the services of one process.
///
/// ```
/// use unjoin_core::{Environment, ManualClock, Timestamp};
/// use unjoin_core::secret::SystemRng;
/// use std::sync::Arc;
/// let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_500_000_000)));
/// let replay = Environment::new(clock.clone(), || Box::new(SystemRng::new()));
/// assert_eq!(replay.now().as_unix_seconds(), 1_500_000_000);
/// ```
#[derive(Clone)]
pub struct Environment {
    clock: Arc<dyn Clock>,
    generator: Arc<MakeGenerator>,
}

impl Environment {
    /// The machine's clock and the operating system's generator.
    pub fn system() -> Self {
        Self::new(Arc::new(SystemClock), || Box::new(SystemRng::new()))
    }

    /// A clock, and a function that makes a generator for each use.
    pub fn new(
        clock: Arc<dyn Clock>,
        generator: impl Fn() -> Box<dyn CryptoRng + Send> + Send + Sync + 'static,
    ) -> Self {
        Self { clock, generator: Arc::new(generator) }
    }

    /// The present time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    #[doc(hidden)]
    pub fn is_simulated(&self) -> bool {
        self.clock.is_simulated()
    }

    #[doc(hidden)]
    pub fn rng(&self) -> Box<dyn CryptoRng + Send> {
        (self.generator)()
    }
}

impl Default for Environment {
    fn default() -> Self {
        Self::system()
    }
}

crate::opaque!(Environment);
