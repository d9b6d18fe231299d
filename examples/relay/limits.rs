//! How many questions a network may ask in a minute, without a list of who did.
//!
//! An address is never kept: what is counted is a keyed hash of its network, in memory, for the minute. The key is drawn
//! anew every hour and the old one erased, so that no dump of this process says more than how many networks asked in
//! its last minute, and no two dumps of different hours say whether they were the same.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};
use unjoin::secret::{SecretBytes, SystemRng};

const WINDOW: Duration = Duration::from_secs(60);
const KEY_LIFE: Duration = Duration::from_secs(3600);
/// So many networks are counted at once: 8 MB. Beyond that a network that is new in this minute is refused, so that nobody
/// buys themselves room by using many.
const NETWORKS: usize = 1 << 18;

pub(crate) struct Limits {
    per_minute: u32,
    key: SecretBytes<32>,
    key_since: Instant,
    asked: HashMap<u64, u32>,
    since: Instant,
}

impl Limits {
    pub(crate) fn new(per_minute: u32, now: Instant) -> Self {
        let key = SecretBytes::random(&mut SystemRng::new());
        Self { per_minute, key, key_since: now, asked: HashMap::new(), since: now }
    }

    /// Whether this address' network may ask once more.
    pub(crate) fn takes(&mut self, address: IpAddr, now: Instant) -> bool {
        self.forget(now);
        let mark = self.mark(address);
        if self.asked.len() >= NETWORKS && !self.asked.contains_key(&mark) {
            return false;
        }
        let asked = self.asked.entry(mark).or_default();
        *asked = asked.saturating_add(1);
        *asked <= self.per_minute
    }

    /// Forgets the last minute once it is over, and the key once its hour is. Called by a clock, too: nobody may
    /// ask for a while.
    pub(crate) fn forget(&mut self, now: Instant) {
        let is_new_key = now.duration_since(self.key_since) >= KEY_LIFE;
        if is_new_key {
            self.key = SecretBytes::random(&mut SystemRng::new());
            self.key_since = now;
        }
        if is_new_key || now.duration_since(self.since) >= WINDOW {
            // The memory is given back, and does not tell how many there were.
            self.asked = HashMap::new();
            self.since = now;
        }
    }

    fn mark(&self, address: IpAddr) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = keyed_hash(&self.key, &network(address));
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

/// Which network an address is of, with the address's family.
fn network(address: IpAddr) -> [u8; 7] {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            [4, a, b, c, 0, 0, 0]
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, ..] = address.octets();
            [6, a, b, c, d, e, f]
        }
    }
}

fn keyed_hash(key: &SecretBytes<32>, of: &[u8]) -> [u8; 32] {
    use hmac::{Hmac, KeyInit, Mac};
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<sha2::Sha256>::new_from_slice(key.expose()) else { return [0; 32] };
    mac.update(of);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it panics")]

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_has_its_number_of_questions_a_minute_whatever_its_hosts() {
        let now = Instant::now();
        let mut limits = Limits::new(2, now);
        let hosts = ["192.0.2.1", "192.0.2.200", "::ffff:192.0.2.9"].map(address);
        let taken = hosts.map(|host| limits.takes(host, now));
        assert_eq!(taken, [true, true, false]);
        assert!(limits.takes(address("192.0.3.1"), now));
        let hosts = ["2001:db8:1::1", "2001:db8:1:ffff::2", "2001:db8:1::3"].map(address);
        assert_eq!(hosts.map(|host| limits.takes(host, now)), [true, true, false]);
        assert!(limits.takes(address("2001:db8:2::1"), now));
        assert!(limits.takes(address("192.0.2.1"), now + WINDOW));
    }

    #[test]
    fn what_is_kept_is_forgotten_after_a_minute_and_cannot_be_compared_after_an_hour() {
        let now = Instant::now();
        let mut limits = Limits::new(2, now);
        assert!(limits.takes(address("192.0.2.1"), now));
        let before: Vec<u64> = limits.asked.keys().copied().collect();
        limits.forget(now + WINDOW);
        assert!(limits.asked.is_empty());
        assert!(limits.takes(address("192.0.2.1"), now + WINDOW));
        assert_eq!(limits.asked.keys().copied().collect::<Vec<_>>(), before, "one key for an hour");
        assert!(limits.takes(address("192.0.2.1"), now + KEY_LIFE));
        assert_ne!(limits.asked.keys().copied().collect::<Vec<_>>(), before, "and another for the next");
    }

    #[test]
    fn nobody_gains_room_by_many_networks() {
        let now = Instant::now();
        let mut limits = Limits::new(1, now);
        let known = address("192.0.2.1");
        assert!(limits.takes(known, now));
        limits.asked.extend((0..NETWORKS as u64).map(|mark| (mark, 1)));
        assert!(!limits.takes(address("198.51.100.1"), now));
        assert!(!limits.takes(known, now));
    }
}
