use super::*;
use proptest::prelude::*;
use std::collections::HashSet;
use unjoin_core::secret::{SystemRng, hmac_sha256};

fn number(digits: u64) -> PhoneNumber {
    PhoneNumber::from_integer(digits).unwrap()
}

fn x(digits: u64) -> VirtualNumber {
    VirtualNumber::from_integer(digits).unwrap()
}

proptest! {
    /// A binding made at any time, for any life, ends in one of the slots of that time; the last of
    /// them begins no later than the longest life from then.
    #[test]
    fn every_end_lies_in_a_slot_that_has_a_key(
        following in 1u64..8, seconds in 900u64..50_000, now in 0u64..1 << 40, life in 0.0..=1.0f64,
    ) {
        let max_life = following * seconds;
        let config = SlotConfig::new(max_life, following as u8 + 1, 30).unwrap();
        let now = Timestamp::from_unix_seconds(now);
        let end = now.saturating_add((life * max_life as f64) as u64);
        let reached: Vec<_> = config.reached(now).collect();
        prop_assert!(reached.contains(&config.slot_of(end)));
        prop_assert_eq!(reached.len() as u64, following + 1);
        let last = *reached.last().unwrap();
        prop_assert!(config.start_of(last) <= now.saturating_add(max_life));
        prop_assert!(config.end_of(last) > now.saturating_add(max_life));
        for slot in reached {
            prop_assert!(config.slot_of(config.start_of(slot)) == slot && config.slot_of(config.end_of(slot)) > slot);
            prop_assert_eq!(config.dead_at(slot), config.end_of(slot).saturating_add(30));
        }
    }

    #[test]
    fn a_sealed_value_opens_for_its_row_and_key_only(text: Vec<u8>, index: [u8; 32], flip: usize) {
        let rng = &mut SystemRng::new();
        let (key, other) = (SlotKey::random(rng), SlotKey::random(rng));
        let sealed = key.seal(&index, &text, rng);
        prop_assert_eq!(sealed.len(), text.len() + 28);
        prop_assert_eq!(&**key.open(&index, &sealed).unwrap(), &text);
        prop_assert!(other.open(&index, &sealed).is_none());
        let mut row = index;
        row[flip % 32] ^= 1;
        prop_assert!(key.open(&row, &sealed).is_none());
        let mut changed = sealed.clone();
        let length = changed.len();
        changed[flip % length] ^= 1;
        prop_assert!(key.open(&index, &changed).is_none());
        prop_assert!(key.open(&index, &sealed[..flip % length]).is_none());
    }
}

#[test]
fn a_row_that_is_written_again_gets_another_nonce() {
    let rng = &mut SystemRng::new();
    let key = SlotKey::random(rng);
    let nonces: HashSet<_> = (0..1_000).map(|_| key.seal(&[1; 32], b"same", rng)[..12].to_vec()).collect();
    assert_eq!(nonces.len(), 1_000);
}

fn name_of(key: &SlotKey, party: &PhoneNumber, number: VirtualNumber) -> [u8; 32] {
    let [name] = key.names([party], number);
    name
}

/// HMAC-SHA-256 by another hand: RFC 2104 over the hash alone.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    let pad = |with: u8| -> Vec<u8> { (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ with).collect() };
    let inner = Sha256::digest([&pad(0x36), message].concat());
    Sha256::digest([&pad(0x5c), inner.as_slice()].concat()).into()
}

#[test]
fn a_rows_name_is_the_hmac_of_both_numbers_in_fixed_places() {
    let key = SlotKey::new(SecretBytes::new([9; 32]));
    let indexing = hmac(&[9; 32], b"unjoin/phone/slot/index/1");
    let message = [8_613_800_138_000u64.to_le_bytes(), 86_700_123_456_789_012u64.to_le_bytes()].concat();
    let of = |party, dialled| name_of(&key, &number(party), x(dialled));
    let name = of(8_613_800_138_000, 86_700_123_456_789_012);
    assert_eq!(name, hmac(&indexing, &message));
    assert_ne!(name, of(8_613_800_138_001, 86_700_123_456_789_012));
    assert_ne!(name, of(8_613_800_138_000, 86_700_123_456_789_013));
    assert_ne!(of(8_613_800_138_000, 8_613_800_138_001), of(8_613_800_138_001, 8_613_800_138_000));
    let other = SlotKey::new(SecretBytes::new([8; 32]));
    assert_ne!(name, name_of(&other, &number(8_613_800_138_000), x(86_700_123_456_789_012)));
}

/// RFC 8439, 2.8.2, by its own nonce.
#[test]
fn a_value_is_sealed_as_the_rfc_says() {
    let key = SecretBytes::new(std::array::from_fn(|at| 0x80 + at as u8));
    let associated = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
    let text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the \
        future, sunscreen would be it.";
    let mut sealed = vec![7, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47];
    let expected = "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a\
        9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d265\
        86cec64b61161ae10b594f09e26a7e902ecbd0600691";
    sealed.extend(
        (0..expected.len()).step_by(2).map(|at| u8::from_str_radix(&expected[at..at + 2], 16).unwrap()),
    );
    assert_eq!(**open(&key, &associated, &sealed).unwrap(), *text);
    struct Nonce<'a>(&'a [u8]);
    impl rand_core::TryRng for Nonce<'_> {
        type Error = std::convert::Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            unreachable!("a nonce is bytes")
        }
        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            unreachable!("a nonce is bytes")
        }
        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
            bytes.copy_from_slice(self.0);
            Ok(())
        }
    }
    impl rand_core::TryCryptoRng for Nonce<'_> {}
    assert_eq!(seal(&key, &associated, text, &mut Nonce(&sealed[..12])), sealed);
}

/// What stands below this frame after `work`, as another thread reads it.
#[cfg(target_os = "linux")]
fn stack_after(work: impl FnOnce() + Send) -> Vec<u8> {
    use std::io::{Read, Seek, SeekFrom};
    use std::sync::mpsc::channel;
    const DEPTH: u64 = 64 * 1024;
    let ((here, at), (done, read)) = (channel(), channel::<()>());
    std::thread::scope(|threads| {
        threads.spawn(move || {
            let mark = 0u8;
            work();
            here.send(&raw const mark as u64).unwrap();
            let _ = read.recv();
        });
        let mut memory = std::fs::File::open("/proc/self/mem").unwrap();
        memory.seek(SeekFrom::Start(at.recv().unwrap() - DEPTH)).unwrap();
        let mut stack = vec![0; DEPTH as usize];
        memory.read_exact(&mut stack).unwrap();
        drop(done);
        stack
    })
}

/// How often `stack` holds half of a key, as it is, as HMAC pads it, or as the state after its pad.
#[cfg(target_os = "linux")]
fn found(stack: &[u8], keys: &[&[u8; 32]]) -> usize {
    use sha2::block_api::compress256;
    const START: [u32; 8] =
        [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
    let mut parts = HashSet::new();
    for key in keys {
        for with in [0x36, 0x5c] {
            let mut state = START;
            compress256(&mut state, &[std::array::from_fn(|at| key.get(at).copied().unwrap_or(0) ^ with)]);
            parts.insert(state[..4].iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>());
            parts.insert(state[4..].iter().flat_map(|word| word.to_le_bytes()).collect());
        }
        for with in [0, 0x36, 0x5c] {
            parts.extend(key.chunks(16).map(|half| half.iter().map(|byte| byte ^ with).collect()));
        }
    }
    stack.windows(16).filter(|window| parts.contains(*window)).count()
}

#[test]
#[cfg(target_os = "linux")]
fn nothing_of_a_key_is_left_on_the_stack() {
    let rng = &mut SystemRng::new();
    let key = Box::new(SlotKey::random(rng));
    let (party, number) = (number(8_613_800_138_000), x(86_700_123_456_789_012));
    let index = Box::new(name_of(&key, &party, number));
    let derived = |label: &[u8]| Box::new(hmac(key.expose(), label));
    let (indexing, sealing) = (derived(b"unjoin/phone/slot/index/1"), derived(b"unjoin/phone/slot/seal/1"));
    let row = Box::new(hmac(&*sealing, &*index));
    let sealed = key.seal(&index, &[1; 60], rng);
    let keys = [key.expose(), &*indexing, &*sealing, &row];
    let left = |work: &(dyn Fn() + Sync)| found(&stack_after(work), &keys);
    assert_eq!(left(&|| _ = black_box(name_of(&key, &party, number))), 0);
    assert_eq!(left(&|| drop(black_box(key.seal(&index, &[1; 60], &mut SystemRng::new())))), 0);
    assert_eq!(left(&|| assert!(key.open(&index, &sealed).is_some())), 0);
    assert_eq!(left(&|| assert!(key.open(&index, &sealed[1..]).is_none())), 0);
    // This would find what is not overwritten.
    let row = Box::new(SecretBytes::new(*row));
    assert_ne!(left(&|| drop(black_box(seal(&row, &*index, &[1; 60], &mut SystemRng::new())))), 0);
    assert_ne!(left(&|| _ = black_box(key.indexing.mac(&[&*index]))), 0);
    assert_ne!(left(&|| _ = black_box(hmac_sha256(&indexing, &[&*index]))), 0);
}

#[test]
fn slots_that_break_a_rule_are_refused() {
    let refused = |max_life, slots, skew| {
        matches!(SlotConfig::new(max_life, slots, skew), Err(SlotKeyError::Config(_)))
    };
    assert!(!refused(2_700, 4, 30) && !refused(900, 2, 0) && !refused(SlotConfig::MAX_LIFE, 25, 900));
    assert!(refused(2_700, 1, 30) && refused(2_700, 0, 30) && refused(90_000, 33, 30));
    assert!(refused(2_697, 4, 30), "a slot shorter than a quarter of an hour");
    assert!(refused(2_701, 4, 30), "not a multiple of three");
    assert!(refused(SlotConfig::MAX_LIFE + 24, 25, 30));
    assert!(refused(2_700, 4, 901) && !refused(2_700, 4, 900));
}

#[test]
fn a_key_encryption_key_is_read_from_hexadecimal_base64url_and_bytes() {
    let secret: [u8; 32] = std::array::from_fn(|at| (at * 37 + 11) as u8);
    let sealed = LocalKey::new(SecretBytes::new(secret)).seal(b"text").unwrap();
    let lower: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let base64 = {
        use base64ct::{Base64UrlUnpadded, Encoding};
        Base64UrlUnpadded::encode_string(&secret)
    };
    let path = std::env::temp_dir().join(format!("unjoin-key-encryption-{}", std::process::id()));
    let read = |content: &[u8]| {
        std::fs::write(&path, content).unwrap();
        LocalKey::from_file(&path).and_then(|key| key.open(&sealed))
    };
    for content in [&secret[..], lower.as_bytes(), lower.to_uppercase().as_bytes(), base64.as_bytes()] {
        assert_eq!(**read(content).unwrap(), *b"text");
    }
    assert!(
        read(format!("{lower}\n").as_bytes()).is_ok() && read(format!("{base64}\r\n").as_bytes()).is_ok()
    );
    for wrong in [&b""[..], &secret[1..], &lower.as_bytes()[1..], &[b'g'; 64], &[b'!'; 43], &[0xff; 64]] {
        assert!(matches!(read(wrong), Err(SlotKeyError::NotAKey)));
    }
    for at in 0..64 {
        for digit in [b'/', b':', b'@', b'G', b'`', b'g', 0] {
            let mut wrong = lower.clone().into_bytes();
            wrong[at] = digit;
            assert!(read(&wrong).is_err());
        }
    }
    assert!(matches!(read(&[1; 32]), Err(SlotKeyError::EncryptionRefused)));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(LocalKey::from_file(&path), Err(SlotKeyError::KeyUnreadable(_))));
    let nothing = LocalKey::from_environment("UNJOIN_NO_SUCH_VARIABLE");
    assert!(matches!(nothing, Err(SlotKeyError::NotAKey)));
}
