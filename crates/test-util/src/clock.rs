//! Clocks that are wrong, and what may be believed of them.

use unjoin_core::{CLOCK_LIMIT, Timestamp};

/// What a clock shows at `time` that is wrong by so many seconds.
pub fn shifted(time: Timestamp, seconds: i64) -> Timestamp {
    match seconds < 0 {
        true => time.saturating_sub(seconds.unsigned_abs()),
        false => time.saturating_add(seconds.unsigned_abs()),
    }
}

/// What may happen to a service whose clock is now and then wrong.
#[derive(Clone, Debug)]
pub enum ClockEvent<T> {
    /// Time goes on by so many seconds.
    Pass(u64),
    /// The clock is wrong by so many seconds until the next event of this kind.
    Skew(i64),
    Tick,
    /// Somebody who has looked at another clock confirms the right time.
    Confirm,
    /// Something that the service is asked.
    Ask(T),
}

/// Why a tick's time is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leap {
    Ahead,
    Behind,
}

/// The times that a service should believe, from what every tick said: each at least the one before.
pub struct Believed(Vec<Timestamp>);

impl Believed {
    /// After two ticks.
    pub fn new(earlier: Timestamp, latest: Timestamp) -> Self {
        Self(vec![earlier, latest])
    }

    pub fn latest(&self) -> Timestamp {
        self.0[self.0.len() - 1]
    }

    /// Until when two ticks have said that it is: so far what cannot be undone is done.
    pub fn settled(&self) -> Timestamp {
        self.0[self.0.len() - 2]
    }

    pub fn tick(&mut self, now: Timestamp) -> Result<(), Leap> {
        let latest = self.latest();
        if now > latest.saturating_add(CLOCK_LIMIT) {
            return Err(Leap::Ahead);
        }
        if now < latest.saturating_sub(CLOCK_LIMIT) {
            return Err(Leap::Behind);
        }
        if now >= latest {
            self.0.push(now);
        }
        Ok(())
    }

    pub fn confirm(&mut self, now: Timestamp) {
        self.0 = vec![self.settled().min(now), now];
    }
}
