use super::*;
use proptest::prelude::*;
use std::collections::HashSet;
use unjoin_core::secret::SystemRng;

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
    let name = key.index(&number(8_613_800_138_000), x(86_700_123_456_789_012));
    assert_eq!(name, hmac(&indexing, &message));
    assert_ne!(name, key.index(&number(8_613_800_138_001), x(86_700_123_456_789_012)));
    assert_ne!(name, key.index(&number(8_613_800_138_000), x(86_700_123_456_789_013)));
    assert_ne!(
        key.index(&number(8_613_800_138_000), x(8_613_800_138_001)),
        key.index(&number(8_613_800_138_001), x(8_613_800_138_000)),
    );
    assert_ne!(
        name,
        SlotKey::new(SecretBytes::new([8; 32])).index(&number(8_613_800_138_000), x(86_700_123_456_789_012))
    );
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
