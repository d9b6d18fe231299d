//! What is counted of calls and messages: how they were decided, and who dials numbers that
//! reach nobody. In bounded memory, reported, never acted on: a blocked caller could be a framed
//! one, since caller numbers can be forged.

use crate::VirtualNumber;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The one table of the reasons for which calls are refused, each with its count.
macro_rules! refusals {
    ($($(#[$text:meta])+ $reason:ident => $count:ident;)+) => {
        /// Why a call was refused. Never part of an answer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Reason { $($(#[$text])+ $reason,)+ }

        /// How calls and messages were decided since the switchboard was opened, by reason.
        ///
        /// ```
        /// # use unjoin_phone::test_util::{LIFE, START, order, parties, request, switchboard};
        /// use unjoin_phone::Binding;
        /// # let directory = unjoin_test_util::Directory::new();
        /// # let board = switchboard(directory.file("slot-keys"));
        /// # let binding = Binding::merchant(order("merchant 17", "order 4711"), parties(1, 2), START.saturating_add(LIFE));
        /// # let number = board.bind(binding).wait()?.number;
        /// for caller in [1, 2, 3] {
        ///     board.route(&request(caller, number))?; // merchant, customer, stranger
        /// }
        /// let counts = board.counts();
        /// assert_eq!((counts.connected, counts.closed_direction, counts.unknown), (1, 1, 1));
        /// # Ok::<(), unjoin_phone::SwitchboardError>(())
        /// ```
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct RouteCounts {
            /// Put through.
            pub connected: u64,
            $($(#[$text])+ pub $count: u64,)+
        }

        /// The counts, counting.
        #[derive(Default)]
        pub(super) struct RouteCounters {
            connected: AtomicU64,
            $($count: AtomicU64,)+
        }

        impl RouteCounters {
            /// Counts one decision: a refusal for `reason`, or a call put through.
            pub(super) fn count(&self, reason: Option<Reason>) {
                let counter = match reason {
                    None => &self.connected,
                    $(Some(Reason::$reason) => &self.$count,)+
                };
                counter.fetch_add(1, Ordering::Relaxed);
            }

            pub(super) fn counts(&self) -> RouteCounts {
                let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
                RouteCounts { connected: of(&self.connected), $($count: of(&self.$count),)+ }
            }
        }
    };
}

refusals! {
    /// The caller showed no number.
    Withheld => withheld;
    /// The caller's number was not attested well enough.
    BadlyAttested => badly_attested;
    /// This caller reaches nobody over this number: strangers, and numbers that serve nobody.
    Unknown => unknown;
    /// A row was there that does not open or decode: foreign writers, or a damaged store.
    Unreadable => unreadable;
    /// The number was released, replaced or closed, or never finished.
    Ended => ended;
    /// The merchant was cut off.
    CutOff => cut_off;
    /// The number was made before the slot keys were replaced.
    KeysReplaced => keys_replaced;
    /// The number's time was over.
    Expired => expired;
    /// A call over a number for messages, or the other way round.
    WrongChannel => wrong_channel;
    /// This party may not call the other.
    ClosedDirection => closed_direction;
    /// The callee's number is none that may be called, by the present configuration.
    CalleeBarred => callee_barred;
    /// The number carries as many calls as it may, or the leg has had its calls of the hour.
    TooMany => too_many;
}

/// How many counts there are, whatever is dialled: 48 KiB.
const CELLS: usize = 4096;

/// Counts of calls that reach nobody. The place of a number is a keyed hash, so that numbers
/// cannot be chosen to hide behind each other.
pub(super) struct MissCounters {
    key: RandomState,
    cells: Box<[Cell]>,
}

#[derive(Default)]
struct Cell {
    count: AtomicU32,
    last: AtomicU64,
}

impl MissCounters {
    pub(super) fn new() -> Self {
        Self { key: RandomState::new(), cells: (0..CELLS).map(|_| Cell::default()).collect() }
    }

    pub(super) fn count(&self, number: VirtualNumber) {
        let place = self.key.hash_one(number) % CELLS as u64;
        if let Some(cell) = self.cells.get(place as usize) {
            // Wraps after 2^32 misses between two ticks: that tick is long overdue.
            cell.count.fetch_add(1, Ordering::Relaxed);
            cell.last.store(number.as_integer(), Ordering::Relaxed);
        }
    }

    /// Those that were missed at least `least` times since the last call; all counts are zero then.
    pub(super) fn take(&self, least: u32) -> Vec<(VirtualNumber, u32)> {
        let alarm = |cell: &Cell| {
            let misses = cell.count.swap(0, Ordering::Relaxed);
            let number = VirtualNumber::from_integer(cell.last.load(Ordering::Relaxed))?;
            (misses >= least).then_some((number, misses))
        };
        self.cells.iter().filter_map(alarm).collect()
    }
}
