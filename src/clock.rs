//! What issuer and desk keep of the time: a row each, replaced in every tick before anything else.

use unjoin_core::{ClockError, ClockGuard, Environment, Timestamp};
use unjoin_store::{Key, Store, StoreError, decide, read, record};

/// The guard of a service's clock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClockRow(ClockGuard);

record!(ClockRow, "clock": 0);

impl ClockRow {
    /// What the row is once `now` was confirmed.
    pub(crate) fn confirmed(row: Option<Self>, now: Timestamp) -> Self {
        Self(row.map_or(ClockGuard::starting(now), |row| row.0).confirmed(now))
    }
}

/// Begins a tick. The answer is the time until which everything is done: the latest that this tick
/// and one before it have said. Of what only one has said nothing is published, closed, erased or
/// pruned, for none of these can be undone.
pub(crate) fn tick<S: Store, E>(
    store: &S,
    key: &Key<ClockRow>,
    environment: &Environment,
) -> Result<Timestamp, E>
where
    E: From<StoreError> + From<ClockError>,
{
    let now = environment.now();
    if environment.is_simulated() {
        return Ok(now);
    }
    decide(store, key.clone(), |row: Option<ClockRow>, change| {
        let guard = match row {
            Some(ClockRow(guard)) => guard.tick(now)?,
            None => ClockGuard::starting(now),
        };
        if row != Some(ClockRow(guard)) {
            change.put(key, &ClockRow(guard));
        }
        Ok(guard.settled())
    })
}

/// The time for what is decided between ticks: the clock's, as far as it may be believed.
pub(crate) fn time<S: Store>(
    store: &S,
    key: &Key<ClockRow>,
    environment: &Environment,
) -> Result<Timestamp, StoreError> {
    let now = environment.now();
    if environment.is_simulated() {
        return Ok(now);
    }
    Ok(read(store, key)?.map_or(now, |ClockRow(guard)| guard.bound(now)))
}
