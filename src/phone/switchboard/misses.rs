//! Who dials numbers that reach nobody: counted in bounded memory, reported, never acted on.
//! A blocked caller could be a framed one, since caller numbers can be forged.

use crate::phone::VirtualNumber;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Numbers that were dialled in vain conspicuously often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissAlarm {
    /// The one that was dialled last among those counted together.
    pub number: VirtualNumber,
    /// How often since the tick before, other numbers that share its place in the table
    /// included.
    pub misses: u32,
}

/// So many counts, whatever is dialled: 48 KiB.
const CELLS: usize = 4096;

/// Counts of misses. The place of a number is a keyed hash, so that nobody can choose numbers
/// that hide behind each other.
pub(super) struct Misses {
    key: RandomState,
    cells: Box<[Cell]>,
}

#[derive(Default)]
struct Cell {
    count: AtomicU32,
    last: AtomicU64,
}

impl Misses {
    pub(super) fn new() -> Self {
        Self { key: RandomState::new(), cells: (0..CELLS).map(|_| Cell::default()).collect() }
    }

    pub(super) fn count(&self, number: VirtualNumber) {
        let place = self.key.hash_one(number) % CELLS as u64;
        if let Some(cell) = self.cells.get(place as usize) {
            // Wraps after 2^32 misses between two ticks: nobody waits for that tick any more.
            cell.count.fetch_add(1, Ordering::Relaxed);
            cell.last.store(number.as_integer(), Ordering::Relaxed);
        }
    }

    /// Those that were missed at least `least` times since the last call; all counts begin anew.
    pub(super) fn take(&self, least: u32) -> Vec<MissAlarm> {
        let alarm = |cell: &Cell| {
            let misses = cell.count.swap(0, Ordering::Relaxed);
            let number = VirtualNumber::from_integer(cell.last.load(Ordering::Relaxed))?;
            (misses >= least).then_some(MissAlarm { number, misses })
        };
        self.cells.iter().filter_map(alarm).collect()
    }
}
