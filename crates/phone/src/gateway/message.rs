//! What holds for text messages on every path.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

/// Words that ask whoever has the number to be silent. They are for the number's holder, the host, and not for the other party,
/// whom they would tell that this party wants to hear no more.
const OPT_OUT: [&str; 14] = [
    "STOP",
    "STOPALL",
    "STOP ALL",
    "UNSUBSCRIBE",
    "OPTOUT",
    "OPT OUT",
    "OPT-OUT",
    "REVOKE",
    "QUIT",
    "CANCEL",
    "END",
    "ARRET",
    "TD",
    "退订",
];

/// Whether a text is one for the other party: not empty, and no word of an opt-out (`STOP`, say).
///
/// ```
/// use unjoin_phone::gateway::may_pass;
/// assert!(may_pass("I stop at the gate.") && !may_pass(" Stop. ") && !may_pass(""));
/// ```
pub fn may_pass(text: &str) -> bool {
    let word = text.trim_matches(|letter: char| letter.is_whitespace() || ".!\"'。！".contains(letter));
    let asks = |opt_out: &&str| word.len() == opt_out.len() && word.eq_ignore_ascii_case(opt_out);
    !word.is_empty() && !OPT_OUT.iter().any(asks)
}

/// Which messages were passed on, so that none is passed on twice: whoever brings messages brings one again when the answer was lost.
///
/// It holds a keyed hash of each id and no id, of the last [`Once::REMEMBERED`] at least, in memory: about 4 MiB. One that is asked
/// about again later, or at another process, passes again.
///
/// ```
/// let once = unjoin_phone::gateway::Once::new();
/// assert!(once.is_first("SM1") && !once.is_first("SM1"));
/// ```
pub struct Once {
    key: RandomState,
    /// The present ids and those before: when the first are full, the second go.
    seen: Mutex<[HashSet<u64>; 2]>,
}

impl Once {
    /// So many of the latest ids are remembered at least.
    pub const REMEMBERED: usize = 100_000;

    /// Nothing was passed on yet.
    pub fn new() -> Self {
        Self { key: RandomState::new(), seen: Mutex::default() }
    }

    /// Whether this id has not been asked about before. It has from now on: ask when all else allows the message.
    pub fn is_first(&self, id: &str) -> bool {
        let hash = self.key.hash_one(id);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let [present, before] = &mut *seen;
        if before.contains(&hash) || !present.insert(hash) {
            return false;
        }
        if present.len() >= Self::REMEMBERED {
            *before = std::mem::take(present);
        }
        true
    }
}

impl Default for Once {
    fn default() -> Self {
        Self::new()
    }
}

// Nothing of what it has seen.
unjoin_core::opaque!(Once);
