//! The nonces that enrolments are made over: one for each account, used once, forgotten soon.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::{Name, Timestamp};

/// In seconds.
const LIFE: u64 = 300;
/// So many accounts may be about to enrol at the same time.
const MOST: usize = 100_000;

/// In this process' memory: where several instances run, they belong with the sessions.
#[derive(Default)]
pub(crate) struct Nonces(Mutex<HashMap<Name, ([u8; 32], Timestamp)>>);

impl Nonces {
    /// A fresh nonce for the account, in place of the one before; `None` when too many are out.
    pub(crate) fn give(&self, account: Name, now: Timestamp) -> Option<[u8; 32]> {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if given.len() >= MOST {
            given.retain(|_, (_, until)| now < *until);
        }
        if given.len() >= MOST && !given.contains_key(&account) {
            return None;
        }
        let nonce = *SecretBytes::<32>::random(&mut SystemRng::new()).expose();
        given.insert(account, (nonce, now.saturating_add(LIFE)));
        Some(nonce)
    }

    /// Whether this is the account's nonce. It is used up if it is, and stays if it is not.
    pub(crate) fn take(&self, account: &Name, nonce: &[u8; 32], now: Timestamp) -> bool {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = given.get(account).is_some_and(|(given, until)| given == nonce && now < *until);
        if holds {
            given.remove(account);
        }
        holds
    }
}
