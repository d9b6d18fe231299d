//! What a table certainly does not hold: a Bloom filter over its keys, in memory.
//!
//! It spares the look-up of a key that is not there, and errs on one side only: a key of the table is never
//! denied. How often it errs, once in some 120 absent keys, follows from its size.
//! Whoever picks keys on purpose so that it errs gains a look-up, which is what every key cost without it.
//! So its hash has no secret, and the filter is a function of the keys alone.

/// Bits for each key.
const BITS: usize = 10;
/// Places that each key marks: the best number is 0.69 times [`BITS`].
const PLACES: u64 = 7;

const WORD: usize = u64::BITS as usize;

#[derive(Default)]
pub(super) struct Filter {
    words: Vec<u64>,
}

impl Filter {
    /// Of the keys that have these [hashes](hash).
    pub(super) fn of(hashes: &[u64]) -> Self {
        let mut words = vec![0; words_for(hashes.len())];
        for hash in hashes {
            for (word, bit) in places(*hash, words.len()) {
                if let Some(word) = words.get_mut(word) {
                    *word |= bit;
                }
            }
        }
        Self { words }
    }

    /// `None` if `bytes` is not the filter of so many keys.
    pub(super) fn from_bytes(bytes: &[u8], keys: u64) -> Option<Self> {
        let (words, rest) = bytes.as_chunks();
        let is_whole =
            rest.is_empty() && usize::try_from(keys).is_ok_and(|keys| words.len() == words_for(keys));
        is_whole.then(|| Self { words: words.iter().map(|word| u64::from_le_bytes(*word)).collect() })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// `false`: the table certainly does not hold the key.
    pub(super) fn may_hold(&self, key: &[u8]) -> bool {
        let mut places = places(hash(key), self.words.len());
        places.all(|(word, bit)| self.words.get(word).is_some_and(|word| word & bit != 0))
    }
}

fn words_for(keys: usize) -> usize {
    keys.saturating_mul(BITS).div_ceil(WORD)
}

/// A word's number and one bit of it, so many times: steps of one length from the hash, both taken from it.
fn places(hash: u64, words: usize) -> impl Iterator<Item = (usize, u64)> {
    let bits = (words as u128).saturating_mul(WORD as u128);
    let step = fold(hash, 0x9e37_79b9_7f4a_7c15) | 1;
    (0..PLACES).map(move |number| {
        let at = hash.wrapping_add(number.wrapping_mul(step));
        // Below `bits`, and even.
        let place = (u128::from(at).wrapping_mul(bits) >> 64) as usize;
        (place / WORD, 1 << (place % WORD))
    })
}

/// Eight bytes at a time, each multiplied in with both halves of the product; once more at the end, so that
/// keys which differ by little in their last bytes lie apart.
pub(super) fn hash(key: &[u8]) -> u64 {
    let words = key.chunks(8).fold(fold(key.len() as u64, 0xa076_1d64_78bd_642f), |hash, chunk| {
        let word = chunk.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        fold(hash ^ word, 0xe703_7ed1_a0b4_28db)
    });
    fold(words, 0x5899_65cc_7537_4cc3)
}

fn fold(value: u64, factor: u64) -> u64 {
    let product = u128::from(value ^ 0x8ebc_6af0_9c88_c6e3).wrapping_mul(u128::from(factor));
    (product as u64) ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it panics")]

    use super::*;
    use proptest::prelude::*;

    fn of(keys: &[Vec<u8>]) -> Filter {
        Filter::of(&keys.iter().map(|key| hash(key)).collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn no_key_of_the_table_is_ever_denied(
            keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..200),
        ) {
            let filter = of(&keys);
            prop_assert!(keys.iter().all(|key| filter.may_hold(key)));
            let read = Filter::from_bytes(&filter.to_bytes(), keys.len() as u64).unwrap();
            prop_assert!(keys.iter().all(|key| read.may_hold(key)));
        }
    }

    #[test]
    fn it_errs_once_in_a_hundred_absent_keys() {
        // As the service's rows: one long beginning, and what differs at the end; and mere numbers.
        for beginning in [&[7; 57][..], &[]] {
            let key = |number: u32| [beginning, &number.to_le_bytes()].concat();
            let filter = of(&(0..50_000).map(key).collect::<Vec<_>>());
            let wrong = (50_000..150_000).filter(|number| filter.may_hold(&key(*number))).count();
            assert!((600..1_000).contains(&wrong), "{wrong} of 100,000");
        }
        assert!(!Filter::default().may_hold(b"anything"), "an empty table holds nothing");
    }

    #[test]
    fn the_filter_of_another_number_of_keys_is_refused() {
        let bytes = of(&[b"one".to_vec(), b"two".to_vec()]).to_bytes();
        assert!(Filter::from_bytes(&bytes, 2).is_some());
        assert!(Filter::from_bytes(&bytes, 7).is_none());
        assert!(Filter::from_bytes(&bytes, u64::MAX).is_none());
        assert!(Filter::from_bytes(&bytes[1..], 2).is_none());
        assert!(Filter::from_bytes(&[], 2).is_none());
    }
}
