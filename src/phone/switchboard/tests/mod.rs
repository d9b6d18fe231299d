//! The switchboard against its rules.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What routing asks of the keys: how many index names, how many openings, of how many bytes.
#[derive(Default)]
pub(super) struct Work {
    indices: AtomicUsize,
    opens: AtomicUsize,
    opened_bytes: AtomicUsize,
}

impl Work {
    pub(super) fn count_index(&self) {
        self.indices.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn count_open(&self, length: usize) {
        self.opens.fetch_add(1, Ordering::SeqCst);
        self.opened_bytes.fetch_add(length, Ordering::SeqCst);
    }
}
