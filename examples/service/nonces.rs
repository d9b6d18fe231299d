//! The nonces that enrolments are made over, kept nowhere: every process with the key takes what
//! any other has given.
//!
//! `le64(the second at which it ends) || 24 bytes of HMAC-SHA-256(key, label, those 8 bytes, the
//! account)`. A nonce shows that the proof over it was made within the last minutes, for this
//! account: nobody can know it before it is given.
//!
//! That it was used need not be remembered. The proof over it is for one wallet key; taken again
//! it can only make that key the account's live one, which it is already, unless the account has
//! enrolled another since. That takes a day at least (`re_enrolment_interval`), and by then no
//! nonce from before holds. A key that was disowned in between is nobody's for ever. So a retry
//! after a lost answer is told what the first try was.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use unjoin::secret::SecretBytes;
use unjoin::{DAY, Name, Timestamp};
use zeroize::Zeroizing;

/// In seconds.
const LIFE: u64 = 300;
const _: () = assert!(LIFE < DAY, "a nonce has ended before another wallet can be enrolled");

/// The key, filled up with zeros to HMAC's block, as HMAC does itself.
pub(crate) struct Nonces(SecretBytes<64>);

impl Nonces {
    pub(crate) fn new(key: &SecretBytes<32>) -> Self {
        let mut block = Zeroizing::new([0; 64]);
        block.iter_mut().zip(key.expose()).for_each(|(to, from)| *to = *from);
        Self(SecretBytes::new(*block))
    }

    /// A nonce for the account.
    pub(crate) fn give(&self, account: &Name, now: Timestamp) -> [u8; 32] {
        let end = now.saturating_add(LIFE).as_unix_seconds().to_le_bytes();
        let tag = self.mac(account, &end).finalize().into_bytes();
        let mut nonce = [0; 32];
        nonce.iter_mut().zip(end.into_iter().chain(tag)).for_each(|(to, from)| *to = from);
        nonce
    }

    /// Whether this account was given it, and it has not ended.
    pub(crate) fn holds(&self, account: &Name, nonce: &[u8; 32], now: Timestamp) -> bool {
        let Some((end, tag)) = nonce.split_first_chunk::<8>() else { return false };
        let until = Timestamp::from_unix_seconds(u64::from_le_bytes(*end));
        self.mac(account, end).verify_truncated_left(tag).is_ok() && now < until
    }

    fn mac(&self, account: &Name, end: &[u8; 8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new(self.0.expose().into());
        mac.update(b"unjoin/service/nonce/1");
        mac.update(end);
        mac.update(account.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it panics")]

    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    proptest! {
        #[test]
        fn a_nonce_holds_for_its_account_until_its_end_and_whole(
            at in 0..4_000_000_000u64, later in 0..2 * LIFE, byte in 0..32usize, bit in 0..8u8,
        ) {
            let nonces = Nonces::new(&SecretBytes::new([7; 32]));
            let (now, then) = (Timestamp::from_unix_seconds(at), Timestamp::from_unix_seconds(at + later));
            let nonce = nonces.give(&name("ann"), now);
            // Another process with the same key.
            let elsewhere = Nonces::new(&SecretBytes::new([7; 32]));
            prop_assert_eq!(elsewhere.holds(&name("ann"), &nonce, then), later < LIFE);
            prop_assert!(!elsewhere.holds(&name("ben"), &nonce, now));
            prop_assert!(!Nonces::new(&SecretBytes::new([8; 32])).holds(&name("ann"), &nonce, now));
            let mut changed = nonce;
            changed[byte] ^= 1 << bit;
            prop_assert!(!nonces.holds(&name("ann"), &changed, now));
        }
    }
}
