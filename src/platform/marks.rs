//! The stores' marks, by the clock alone: never because of what anybody asked.

use super::{Platform, PlatformError};
use std::sync::atomic::Ordering;
use unjoin_core::Timestamp;
use unjoin_core::entry::Ledger;
use unjoin_core::wire::Message;
use unjoin_log::outbox;
use unjoin_store::{Bucket, Key, Store, StoreError, decide, record};

/// The boundary at which a mark was logged last.
#[derive(Clone, Copy, PartialEq, Eq)]
struct LoggedAt(Timestamp);

record!(LoggedAt, "boundary of the last mark": 0);

impl<S: Store> Platform<S> {
    /// The stores' marks go on: before a copy of the stores is made, and after.
    ///
    /// # Errors
    /// [`Stores::advance`](unjoin_store::Stores::advance)'s.
    pub fn advance_marks(&self) -> Result<(), PlatformError> {
        Ok(self.stores.advance(&mut *self.environment.rng())?)
    }

    /// Copies all its stores while it serves: [`Stores::copy_to`](unjoin_store::Stores::copy_to).
    ///
    /// # Errors
    /// That call's.
    #[cfg(feature = "redb")]
    pub fn copy_to(
        &self,
        path_of: impl Fn(unjoin_store::identity::Role) -> std::path::PathBuf,
    ) -> Result<(), PlatformError> {
        Ok(self.stores.copy_to(path_of, &mut *self.environment.rng())?)
    }

    /// Hourly, and into the ledger at each boundary.
    pub(super) fn keep_in_step(&self) -> Result<(), PlatformError> {
        let now = self.environment.now();
        let hour = hour_of(now);
        if self.marked.load(Ordering::Acquire) == hour {
            self.stores.check()?;
        } else {
            self.advance_marks()?;
            self.marked.store(hour, Ordering::Release);
        }
        self.log_mark(now)
    }

    /// At each boundary the reviews ledger grows by a mark. So its witnesses have seen a larger one
    /// than any older copy holds, even if nothing else was logged meanwhile.
    fn log_mark(&self, now: Timestamp) -> Result<(), PlatformError> {
        let (Some(boundary), Some(mark)) = (self.grid.at_or_before(now), self.stores.mark()) else {
            return Ok(());
        };
        let logged = Key::<LoggedAt>::new(Bucket::of(b"store mark"), b"il".to_vec());
        let noted = decide(&*self.orders, logged.clone(), |last, change| {
            // Other than, and not after: a clock that once stood far ahead holds up no later mark.
            if last != Some(LoggedAt(boundary)) {
                change.put(&logged, &LoggedAt(boundary));
                outbox::put(change, Ledger::Reviews, mark.to_bytes());
            }
            Ok::<_, StoreError>(())
        });
        Ok(noted?)
    }
}

pub(super) fn hour_of(now: Timestamp) -> u64 {
    now.as_unix_seconds() / 3600
}
