//! What is sealed opens once, for whom it was sealed, and nothing else opens at all.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails where it panics")]

mod bundles;
mod keys;
mod vector;

use crate::{ANSWER_LENGTH, DoorError, Gateway, GatewayKey, KeyConfig, request_length, seal};
use proptest::prelude::*;
use unjoin_core::secret::{SecretBytes, SystemRng};
use unjoin_core::token::{DoorAnswer, DoorMessage, DoorQuestion};
use unjoin_core::wire::Message;
use unjoin_core::{Timestamp, WEEK};

const HOST: &str = "desk.example";
const NOW: Timestamp = Timestamp::from_unix_seconds(1_514_764_800);
const END: Timestamp = NOW.saturating_add(2 * WEEK);

fn key(id: u8) -> GatewayKey {
    GatewayKey::from_secret_bytes(id, SecretBytes::new([id; 32]))
}

fn gateway() -> (Gateway, KeyConfig) {
    let mut gateway = Gateway::new(HOST, 1000).unwrap();
    gateway.serve(key(7), NOW..END);
    (gateway, *key(7).config())
}

fn question(piece: u16) -> DoorMessage {
    DoorMessage::new(DoorQuestion::Bundle { boundary: NOW, shard: 3, piece }).unwrap()
}

#[test]
fn a_question_and_its_answer_pass_in_one_length_each() {
    let ((gateway, config), rng) = (gateway(), &mut SystemRng::new());
    for answer in
        [DoorAnswer::accepted(vec![9; DoorAnswer::MAX_BODY]), DoorAnswer::refused(400, "desk.spent")]
    {
        let (request, waiting) = seal(&config, HOST, &question(1), rng).unwrap();
        assert_eq!(request.len(), request_length(HOST).unwrap());
        let (message, reply) = gateway.open(&request, NOW).unwrap();
        assert_eq!(message, question(1).to_bytes());
        let sealed = reply.seal(&answer, rng);
        assert_eq!(sealed.len(), ANSWER_LENGTH);
        assert_eq!(waiting.open(&sealed), Ok(answer));
    }
}

#[test]
fn a_question_opens_once_while_its_key_lives_and_never_after() {
    let ((mut gateway, config), rng) = (gateway(), &mut SystemRng::new());
    let (request, _) = seal(&config, HOST, &question(1), rng).unwrap();
    let last = END.saturating_sub(1);
    assert!(gateway.open(&request, NOW).is_ok());
    for _ in 0..2 {
        assert_eq!(gateway.open(&request, last).unwrap_err(), DoorError::Replayed);
    }
    // The same key again forgets nothing.
    gateway.serve(key(7), NOW..END);
    assert_eq!(gateway.open(&request, last).unwrap_err(), DoorError::Replayed);
    let (request, _) = seal(&config, HOST, &question(1), rng).unwrap();
    assert_eq!(gateway.open(&request, END).unwrap_err(), DoorError::UnknownKey);
    gateway.forget_ended(END);
    assert_eq!(gateway.open(&request, NOW).unwrap_err(), DoorError::UnknownKey);
    assert!(gateway.configs(NOW).is_empty());
}

#[test]
fn of_two_keys_both_open_and_the_newer_one_is_shown_first() {
    let ((mut gateway, config), rng) = (gateway(), &mut SystemRng::new());
    gateway.serve(key(8), NOW.saturating_add(WEEK)..END.saturating_add(WEEK));
    assert_eq!(gateway.configs(NOW), [config]);
    let later = NOW.saturating_add(WEEK);
    assert_eq!(gateway.configs(later), [*key(8).config(), config]);
    for config in gateway.configs(later) {
        let (request, _) = seal(&config, HOST, &question(1), rng).unwrap();
        assert!(gateway.open(&request, later).is_ok());
    }
}

/// A filter that is full forgets what is oldest, and goes on.
#[test]
fn a_full_filter_remembers_the_younger_half() {
    let (mut gateway, rng) = (Gateway::new(HOST, 8).unwrap(), &mut SystemRng::new());
    gateway.serve(key(7), NOW..END);
    let requests: Vec<_> =
        (0..12).map(|at| seal(key(7).config(), HOST, &question(at), rng).unwrap().0).collect();
    for request in &requests {
        assert!(gateway.open(request, NOW).is_ok());
    }
    for request in &requests[8..] {
        assert_eq!(gateway.open(request, NOW).unwrap_err(), DoorError::Replayed);
    }
    assert!(gateway.open(&requests[0], NOW).is_ok());
}

#[test]
fn another_request_than_the_one_there_is_comes_out_as_no_bytes() {
    use crate::{http, ohttp};
    use hpke::aead::ChaCha20Poly1305;
    let ((gateway, config), rng) = (gateway(), &mut SystemRng::new());
    let whole = http::Authority::new(HOST).unwrap().request(&question(1).to_bytes());
    let mut bare = whole.clone();
    // A response; another method; another path; trailers.
    for (at, value) in [(0, 1), (2, b'G'), (25, b'f'), (whole.len() - 1, 1)] {
        let mut other = whole.clone();
        other[at] = value;
        assert_ne!(other, whole);
        let (request, _) = ohttp::seal::<ChaCha20Poly1305>(config.id, &config.public, &other, rng).unwrap();
        let (message, reply) = gateway.open(&request, NOW).unwrap();
        assert!(message.is_empty());
        assert_eq!(reply.seal(&DoorAnswer::refused(400, "desk.malformed"), rng).len(), ANSWER_LENGTH);
    }
    bare.pop();
    let (request, _) = ohttp::seal::<ChaCha20Poly1305>(config.id, &config.public, &bare, rng).unwrap();
    assert_eq!(gateway.open(&request, NOW).unwrap_err(), DoorError::Length);
}

/// Every byte of a question, and of an answer, cannot be another one.
#[test]
fn no_byte_can_be_changed() {
    let ((gateway, config), rng) = (gateway(), &mut SystemRng::new());
    let (request, _) = seal(&config, HOST, &question(1), rng).unwrap();
    for at in 0..request.len() {
        let mut changed = request.clone();
        changed[at] ^= 1 << (at % 8);
        let error = gateway.open(&changed, NOW).unwrap_err();
        assert_eq!(error, if at < 7 { DoorError::UnknownKey } else { DoorError::Sealed }, "byte {at}");
    }
    // The answer to another question, the same one or not.
    let (_, reply) = gateway.open(&request, NOW).unwrap();
    let (_, waiting) = seal(&config, HOST, &question(1), rng).unwrap();
    assert_eq!(waiting.open(&reply.seal(&DoorAnswer::accepted(vec![1]), rng)), Err(DoorError::Sealed));

    let (request, waiting) = seal(&config, HOST, &question(1), rng).unwrap();
    let answer = gateway.open(&request, NOW).unwrap().1.seal(&DoorAnswer::accepted(vec![1]), rng);
    for at in 0..answer.len() {
        let mut changed = answer.clone();
        changed[at] ^= 1 << (at % 8);
        assert_eq!(
            waiting.0.open::<hpke::aead::ChaCha20Poly1305>(&changed),
            Err(DoorError::Sealed),
            "byte {at}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes, there is an error and no panic.
    #[test]
    fn no_bytes_make_either_side_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..400), length in prop::sample::select(vec![0usize, 1, 2]),
    ) {
        let ((gateway, config), rng) = (gateway(), &mut SystemRng::new());
        let mut whole = bytes.clone();
        let lengths = [bytes.len(), request_length(HOST).unwrap(), ANSWER_LENGTH];
        whole.resize(lengths[length], 7);
        prop_assert!(gateway.open(&whole, NOW).is_err());
        let (_, waiting) = seal(&config, HOST, &question(1), rng).unwrap();
        prop_assert!(waiting.open(&whole).is_err());
        if let Ok(configs) = KeyConfig::from_list(&bytes) {
            prop_assert!(configs.len() <= bytes.len());
        }
        let _ = crate::BundlePiece::from_bytes(&bytes);
    }

    #[test]
    fn a_list_of_configurations_is_read_back(ids in prop::collection::vec(any::<u8>(), 0..4), cut in 1..40usize) {
        let configs: Vec<_> = ids.iter().map(|id| *key(*id).config()).collect();
        let list = KeyConfig::to_list(&configs);
        prop_assert_eq!(KeyConfig::from_list(&list), Ok(configs));
        if let Some(kept) = list.len().checked_sub(cut) {
            prop_assert_eq!(KeyConfig::from_list(&list[..kept]), Err(DoorError::Config));
        }
    }
}

#[test]
fn nothing_is_sealed_to_what_is_no_key() {
    let rng = &mut SystemRng::new();
    // Of small order: every shared secret would be zero.
    for public in [[0; 32], {
        let mut one = [0; 32];
        one[0] = 1;
        one
    }] {
        let none = KeyConfig { id: 1, public };
        assert_eq!(seal(&none, HOST, &question(1), rng).unwrap_err(), DoorError::Config);
    }
    for host in ["", "Desk.example", "desk example", &"d".repeat(64)] {
        assert_eq!(seal(key(7).config(), host, &question(1), rng).unwrap_err(), DoorError::Authority);
    }
}

#[test]
fn secrets_are_not_printed() {
    let ((gateway, config), rng) = (gateway(), &mut SystemRng::new());
    let (request, waiting) = seal(&config, HOST, &question(1), rng).unwrap();
    let (_, reply) = gateway.open(&request, NOW).unwrap();
    let printed = format!("{gateway:?} {waiting:?} {reply:?} {:?}", key(7));
    assert_eq!(printed, "Gateway(..) Waiting(..) Reply(..) GatewayKey(..)");
}
