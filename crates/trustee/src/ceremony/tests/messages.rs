//! The bytes of a ceremony: one encoding of each message, and no bit that may change.

use super::super::message::Content;
use super::super::rounds::Ground;
use super::{World, together};
use crate::ceremony::{CeremonyMessage, CeremonyPlan, observe};
use crate::sealing::SEALED_SHARE;
use crate::{SealedTrusteeSecrets, SignedCommittee, TrusteeSecrets};
use proptest::prelude::*;
use std::sync::LazyLock;
use unjoin_core::secret::SystemRng;
use unjoin_core::token::{EscrowKeyCertificate, TrusteeKey, Trustees};
use unjoin_core::wire::{Message, Rule};
use unjoin_core::{PassphraseCost, PassphraseError};
use unjoin_log::{KeyName, LogView, NoteKey};

/// A key ceremony and a refresh, with all that was said.
struct Record {
    plans: [CeremonyPlan; 2],
    signed: [SignedCommittee; 2],
    messages: [Vec<CeremonyMessage>; 2],
    /// In the middle of a second refresh.
    secrets: TrusteeSecrets,
}

static RECORD: LazyLock<Record> = LazyLock::new(|| {
    let first = World::new(2, 3).finish();
    let (plan, signed, messages) = (first.plan.clone(), first.signed().clone(), together(&first.mailboxes));
    let second = first.refresh(vec![1, 3]).finish();
    let plans = [plan, second.plan.clone()];
    let signed = [signed, second.signed().clone()];
    let messages = [messages, together(&second.mailboxes)];
    let third = second.refresh(vec![1, 3]).run(|_, _| vec![]);
    Record { plans, signed, messages, secrets: third.secrets.into_iter().next().unwrap() }
});

fn assert_one_encoding<M: Message + PartialEq + std::fmt::Debug>(message: &M) {
    let bytes = message.to_bytes();
    assert_eq!(&M::from_bytes(&bytes).unwrap(), message);
    for end in 0..bytes.len() {
        assert!(M::from_bytes(&bytes[..end]).is_err(), "{} cut at {end}", M::NAME);
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(M::from_bytes(&longer).unwrap_err().rule, Rule::Trailing);
    for (at, wrong, rule) in [(0, 2, Rule::Version), (1, 1, Rule::Kind)] {
        let mut changed = bytes.clone();
        changed[at] = wrong;
        assert_eq!(M::from_bytes(&changed).unwrap_err().rule, rule);
    }
    for at in 2..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        if let Ok(other) = M::from_bytes(&changed) {
            assert_eq!(other.to_bytes(), changed, "{} at {at}", M::NAME);
        }
    }
}

#[test]
fn decoding_then_encoding_gives_the_same_bytes() {
    let record = &*RECORD;
    record.plans.iter().for_each(assert_one_encoding);
    record.signed.iter().for_each(assert_one_encoding);
    assert_one_encoding(&record.signed[0].certificate().unwrap());
    record.messages.iter().flatten().for_each(assert_one_encoding);
}

#[test]
fn no_bit_of_what_a_member_said_can_be_changed() {
    let Record { plans, messages, signed, .. } = &*RECORD;
    for (plan, messages, before) in
        [(&plans[0], &messages[0], None), (&plans[1], &messages[1], Some(signed[0].committee()))]
    {
        for message in messages {
            let bytes = message.to_bytes();
            for at in 2..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << (at % 8);
                let Ok(changed) = CeremonyMessage::from_bytes(&changed) else { continue };
                assert!(!changed.is_authentic(plan.trustees()), "{message:?} at {at}");
            }
        }
        // What is not authentic is as if it were not there.
        let strangers: Vec<CeremonyMessage> = messages
            .iter()
            .map(|message| {
                let mut bytes = message.to_bytes();
                *bytes.last_mut().unwrap() ^= 1;
                CeremonyMessage::from_bytes(&bytes).unwrap()
            })
            .chain(messages.iter().cloned())
            .collect();
        let seen = observe(plan, before, &strangers, &mut SystemRng::new()).unwrap();
        assert_eq!(seen.unwrap().committee().epoch(), plan.epoch());
        assert!(Ground::new(plan, before, &strangers).is_ok());
    }
}

#[test]
fn another_plan_has_another_digest() {
    let plan = &RECORD.plans[0];
    let again = CeremonyPlan::key_generation(2, plan.trustees().clone(), &mut SystemRng::new()).unwrap();
    assert_ne!(plan.digest(), again.digest());
    assert_eq!(CeremonyPlan::from_bytes(&plan.to_bytes()).unwrap().digest(), plan.digest());
}

#[test]
fn plans_that_no_ceremony_can_follow_are_no_messages() {
    let bytes = RECORD.plans[1].to_bytes();
    // Epoch, t, n, three keys, members, previous, nonce.
    let (t, n, keys, members) = (6, 8, 10, 10 + 3 * 32);
    let rule = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut changed = bytes.clone();
        change(&mut changed);
        CeremonyPlan::from_bytes(&changed).map_err(|refused| refused.rule)
    };
    assert!(rule(&|_| ()).is_ok());
    assert_eq!(rule(&|b| b[2..6].fill(0)).err(), Some(Rule::Value));
    for threshold in [0, 1, 3, 4] {
        assert_eq!(rule(&|b| b[t] = threshold).err(), Some(Rule::Value), "{threshold}");
    }
    assert_eq!(rule(&|b| b[n] = 65).err(), Some(Rule::Value));
    assert_eq!(rule(&|b| b.copy_within(keys..keys + 32, keys + 32)).err(), Some(Rule::Value));
    assert_eq!(rule(&|b| b[keys..keys + 32].fill(0)).err(), Some(Rule::Value));
    for set in [0, 1, 0b1001, 0b1101] {
        assert_eq!(rule(&|b| b[members] = set).err(), Some(Rule::Value), "{set:b}");
    }
    assert_eq!(rule(&|b| b[members + 7] = 0x80).err(), Some(Rule::Value));
    // A new key is everybody's, and follows nothing.
    assert_eq!(rule(&|b| b[2] = 1).err(), Some(Rule::Value));
    let first = RECORD.plans[0].to_bytes();
    let mut follows = first.clone();
    follows[members + 8] = 1;
    assert_eq!(CeremonyPlan::from_bytes(&follows).unwrap_err().rule, Rule::Value);
}

#[test]
fn a_committee_stands_by_its_own_trustees_signatures_only() {
    let Record { plans, signed, .. } = &*RECORD;
    let (trustees, first) = (plans[0].trustees(), &signed[0]);
    first.verify_first(trustees).unwrap();
    signed[1].verify_successor(trustees, first.committee()).unwrap();
    assert!(first.verify_successor(trustees, first.committee()).is_err());
    assert!(signed[1].verify_successor(trustees, signed[1].committee()).is_err());
    let mut keys = trustees.keys().to_vec();
    keys.swap(0, 1);
    let swapped = Trustees::new(keys.clone()).unwrap();
    keys.pop();
    let fewer = Trustees::new(keys).unwrap();
    for others in [swapped, fewer] {
        assert!(first.verify_first(&others).is_err());
        assert!(signed[1].verify_successor(&others, first.committee()).is_err());
        assert!(first.certificate().unwrap().verify(&others).is_err());
    }
    // A committee of the first epoch without all signatures is not the ceremony's.
    let mut bytes = first.to_bytes();
    let count = bytes.len() - 3 * 66 - 2;
    bytes[count] = 2;
    bytes.truncate(count + 2 + 2 * 66);
    let partly = SignedCommittee::from_bytes(&bytes).unwrap();
    assert!(partly.verify_first(trustees).is_err() && partly.certificate().is_none());
    bytes[count] = 1;
    bytes.truncate(count + 2 + 66);
    assert_eq!(SignedCommittee::from_bytes(&bytes).unwrap_err().rule, Rule::Length);
    // One signer twice.
    let mut bytes = first.to_bytes();
    bytes[count + 2 + 66] = 1;
    assert_eq!(SignedCommittee::from_bytes(&bytes).unwrap_err().rule, Rule::Value);
    // Shares that are no sharing of Y.
    let mut bytes = first.to_bytes();
    bytes.copy_within(10 + 32..10 + 64, 10 + 64);
    assert_eq!(SignedCommittee::from_bytes(&bytes).unwrap_err().rule, Rule::Value);
}

#[test]
fn an_epochs_committee_is_an_entry_of_the_openings_ledger() {
    let key = NoteKey::generate(KeyName::new("shop.example/openings").unwrap(), &mut SystemRng::new());
    let log = crate::test_util::fresh_log(key, None);
    let entries = RECORD.signed.each_ref().map(Message::to_bytes);
    assert_eq!(log.append(&entries).unwrap(), [0, 1]);
    let read = log.entries(0, 2).unwrap();
    let [first, second] = [&read[0], &read[1]].map(|entry| SignedCommittee::from_bytes(entry).unwrap());
    let trustees = RECORD.plans[0].trustees();
    first.verify_first(trustees).unwrap();
    second.verify_successor(trustees, first.committee()).unwrap();
}

#[test]
fn no_bit_of_a_certificate_can_be_changed() {
    let trustees = RECORD.plans[0].trustees();
    let certificate = RECORD.signed[0].certificate().unwrap();
    assert_eq!(certificate.threshold(), RECORD.plans[0].threshold());
    let bytes = certificate.to_bytes();
    for at in 2..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            let verified =
                EscrowKeyCertificate::from_bytes(&changed).is_ok_and(|c| c.verify(trustees).is_ok());
            assert!(!verified, "{at}.{bit}");
        }
    }
}

#[test]
fn sealed_secrets_open_with_their_passphrase_unchanged_only() {
    let rng = &mut SystemRng::new();
    let secrets = &RECORD.secrets;
    assert!(secrets.share().is_some() && secrets.plan().is_some());
    let sealed = secrets.seal(b"horse", PassphraseCost::LEAST, rng).unwrap();
    assert_one_encoding_of_the_header(&sealed);
    let opened = SealedTrusteeSecrets::from_bytes(&sealed.to_bytes()).unwrap().open(b"horse").unwrap();
    assert_eq!(opened.public(), secrets.public());
    assert_eq!(opened.committee(), secrets.committee());
    assert_eq!(opened.trustees(), secrets.trustees());
    assert_eq!(opened.plan(), secrets.plan());
    assert_eq!(secrets.seal(b"", PassphraseCost::LEAST, rng).err(), Some(PassphraseError::Empty));
    assert_eq!(sealed.open(b"").err(), Some(PassphraseError::Open));
    assert_eq!(sealed.open(b"horse ").err(), Some(PassphraseError::Open));
    let bytes = sealed.to_bytes();
    for at in [20, 40, 58, 62, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let opened = SealedTrusteeSecrets::from_bytes(&changed).map(|sealed| sealed.open(b"horse").is_ok());
        assert!(!opened.unwrap_or(false), "{at}");
    }
    assert_ne!(secrets.seal(b"horse", PassphraseCost::LEAST, rng).unwrap().to_bytes(), bytes);
}

fn assert_one_encoding_of_the_header(sealed: &SealedTrusteeSecrets) {
    let bytes = sealed.to_bytes();
    assert!(SealedTrusteeSecrets::from_bytes(&bytes[..bytes.len() - 1]).is_err());
    assert_eq!(&SealedTrusteeSecrets::from_bytes(&bytes).unwrap(), sealed);
    for at in 2..64 {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        if let Ok(other) = SealedTrusteeSecrets::from_bytes(&changed) {
            assert_eq!(other.to_bytes(), changed);
        }
    }
}

#[test]
fn a_file_of_secrets_is_replaced_whole() {
    let rng = &mut SystemRng::new();
    let directory = std::env::temp_dir().join(format!("unjoin-trustee-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("trustee.sealed");
    let old = std::env::temp_dir().join(format!("unjoin-trustee-{}-old", std::process::id()));
    for replaces in [false, true] {
        if replaces {
            std::fs::hard_link(&path, &old).unwrap();
        }
        let sealed = RECORD.secrets.seal(b"horse", PassphraseCost::LEAST, rng).unwrap();
        sealed.replace_file(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), sealed.to_bytes());
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
        // What a crash left beside it is no obstacle.
        std::fs::write(directory.join("trustee.sealed.new"), b"left").unwrap();
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
            assert_eq!(mode & 0o777, 0o600);
        }
    }
    // Whoever held the old file open finds nothing in it any more.
    let erased = std::fs::read(&old).unwrap();
    assert!(!erased.is_empty() && erased.iter().all(|byte| *byte == 0));
    std::fs::remove_file(old).unwrap();
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn serde_carries_every_message_and_prints_no_share() {
    let Record { plans, signed, messages, secrets } = &*RECORD;
    fn carried<M>(message: &M)
    where
        M: Message + serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let text = serde_json::to_string(message).unwrap();
        assert_eq!(&serde_json::from_str::<M>(&text).unwrap(), message);
    }
    plans.iter().for_each(carried);
    signed.iter().for_each(carried);
    carried(&signed[0].certificate().unwrap());
    messages.iter().flatten().for_each(carried);
    carried(&secrets.seal(b"horse", PassphraseCost::LEAST, &mut SystemRng::new()).unwrap());
    let verdict = messages[0].iter().find(|message| matches!(message.content, Content::Verdict { .. }));
    assert!(format!("{:?}", verdict.unwrap()).starts_with("CeremonyMessage(Verdict of trustee"));
}

#[test]
fn a_message_has_room_for_sixty_four_trustees_and_no_more() {
    let key = TrusteeKey::generate(&mut SystemRng::new());
    let length = |heard: usize, sealed: usize| {
        let content =
            Content::Shares { heard: vec![[1; 32]; heard], sealed: vec![[2; SEALED_SHARE]; sealed] };
        let bytes = CeremonyMessage::sign(&key, [3; 32], 64, content).to_bytes();
        CeremonyMessage::from_bytes(&bytes).map(|_| bytes.len()).map_err(|refused| refused.rule)
    };
    // The manual's figures.
    assert_eq!(length(64, 63), Ok(7_193));
    assert_eq!(length(1, 0), Ok(137));
    let shortest = Content::Verdict { heard: vec![[1; 32]], complaint: None };
    assert_eq!(CeremonyMessage::sign(&key, [3; 32], 1, shortest).to_bytes().len(), 136);
    for (heard, sealed) in [(0, 0), (65, 63), (64, 64)] {
        assert_eq!(length(heard, sealed), Err(Rule::Length));
    }
    let content = || Content::Join { nonce: [1; 32], recipient: [2; 32] };
    for index in [0, 65] {
        let bytes = CeremonyMessage::sign(&key, [3; 32], index, content()).to_bytes();
        assert_eq!(CeremonyMessage::from_bytes(&bytes).unwrap_err().rule, Rule::Value);
    }
    let mut unknown = CeremonyMessage::sign(&key, [3; 32], 1, content()).to_bytes();
    unknown[36] = 5;
    assert_eq!(CeremonyMessage::from_bytes(&unknown).unwrap_err().rule, Rule::Value);
}

#[test]
fn a_plan_has_room_for_sixty_four_trustees_and_no_more() {
    let rng = &mut SystemRng::new();
    let keys = (0..64).map(|_| TrusteeKey::generate(rng).public()).collect();
    let plan = CeremonyPlan::key_generation(64, Trustees::new(keys).unwrap(), rng).unwrap();
    let mut bytes = plan.to_bytes();
    // The manual's figure.
    assert_eq!(bytes.len(), 2_130);
    assert!(CeremonyPlan::from_bytes(&bytes).unwrap() == plan);
    bytes[8] = 65;
    assert_eq!(CeremonyPlan::from_bytes(&bytes).unwrap_err().rule, Rule::Value);
}

proptest! {
    #[test]
    fn no_bytes_make_decoding_panic(kind in 32u8..=36, mut bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        bytes.splice(0..0, [1, kind]);
        let _ = CeremonyPlan::from_bytes(&bytes);
        let _ = CeremonyMessage::from_bytes(&bytes);
        let _ = SignedCommittee::from_bytes(&bytes);
        let _ = EscrowKeyCertificate::from_bytes(&bytes);
        let _ = SealedTrusteeSecrets::from_bytes(&bytes);
    }
}
