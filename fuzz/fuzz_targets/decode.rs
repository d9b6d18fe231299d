//! Whatever decodes encodes to the very same bytes, has the kind that its header says, and is
//! of one kind only. Nothing panics. Decoding allocates at most four times the input and 8 KiB
//! (where a committee is checked, twelve times), whatever lengths the input claims.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use unjoin::opening::{Opening, SignedCommittee};
use unjoin::wire::Message;
use unjoin_fuzz::{allocation, for_every_kind, kinds::stretched, mutate};

/// The kinds that hold committees.
const COMMITTEES: [u8; 2] = [SignedCommittee::KIND, Opening::KIND];

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate::message(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    let bytes = stretched(data);
    let mut accepted = 0;
    macro_rules! decode {
        ($kind:ty) => {
            let before = allocation::total();
            let decoded = <$kind>::from_bytes(&bytes);
            // An element takes six times its bytes, and a committee's check five more.
            let times = if COMMITTEES.contains(&<$kind>::KIND) { 12 } else { 4 };
            assert!(allocation::total() - before <= times * bytes.len() + 8192);
            match decoded {
                Ok(message) => {
                    assert_eq!(message.to_bytes(), bytes);
                    assert_eq!(bytes[..2], [1, <$kind>::KIND]);
                    accepted += 1;
                    // A message's own beginning is no message, nor is it with a byte behind it.
                    assert!(<$kind>::from_bytes(&bytes[..bytes.len() - 1]).is_err());
                    assert!(<$kind>::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
                    let _ = format!("{message:?}");
                }
                Err(refused) => drop(refused.to_string()),
            }
        };
    }
    for_every_kind!(decode);
    assert!(accepted <= 1);
});
