//! Decoding: what decodes encodes to the same bytes, and nothing else decodes.

use super::negative::KINDS;
use super::*;
use core::fmt::Debug;
use curve25519_dalek::ristretto::RistrettoPoint;
use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};
use unjoin_core::Timestamp;
use unjoin_core::entry::{
    ActionEntry, BindingEntry, DoorKeyEntry, HeldWithdrawalEntry, PublishedEntry, RecoveredEntry,
    RecoveredStore, RemovedEntry, StaffKeyEntry, StoreMarkEntry,
};
use unjoin_core::signature::Signer;
use unjoin_core::token::{
    Accepted, ActionKind, ActionReceipt, AuthorAction, AuthorKey, AuthorStatement, CohortManifest,
    DoorAnswer, DoorMessage, DoorQuestion, Enrolment, Grant, IssuerPublicKey, Offer, OrderHandle,
    PlatformKey, Presentation, PublicationDates, Receipt, ReceiptTerms, Review, ReviewError, ReviewId,
    ReviewStanding, ReviewState, SignedManifest, StaffKey, StateQuestion, TokenRequest,
};
use unjoin_core::wire::{DecodeError, Rule, VERSION};
use unjoin_test_util::hex;
use unjoin_trustee::DecryptionShare;
use unjoin_trustee::same_author::{Blind, ComparisonShare};

/// What every message keeps to: it comes back from its bytes and from both kinds of serde
/// format, and no shorter, longer or relabelled string is one.
fn keeps_the_rules<M>(bytes: &[u8]) -> M
where
    M: Message + Serialize + DeserializeOwned + PartialEq + Debug,
{
    let message = M::from_bytes(bytes).unwrap();
    assert_eq!(message.to_bytes(), bytes);
    assert_eq!(bytes[..2], [VERSION, M::KIND]);

    for length in 0..bytes.len() {
        assert!(M::from_bytes(&bytes[..length]).is_err(), "{} of {length} bytes", M::NAME);
    }
    let longer = M::from_bytes(&[bytes, &[0]].concat());
    assert_eq!(longer, Err(DecodeError { message: M::NAME, field: "end", rule: Rule::Trailing }));
    for bit in 0..16 {
        let rule = if bit < 8 { Rule::Version } else { Rule::Kind };
        assert_eq!(M::from_bytes(&flipped(bytes, bit)).unwrap_err().rule, rule);
    }
    serde_formats::carry(&message, bytes);
    message
}

/// Whatever a message with a flipped bit decodes to, it encodes to the bytes it came from.
fn every_flipped_bit_is_kept_or_refused<M: Message>(bytes: &[u8]) {
    for bit in 0..bytes.len() * 8 {
        let other = flipped(bytes, bit);
        if let Ok(message) = M::from_bytes(&other) {
            assert_eq!(message.to_bytes(), other, "{} with bit {bit} flipped", M::NAME);
        }
    }
}

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut other = bytes.to_vec();
    other[bit / 8] ^= 1 << (bit % 8);
    other
}

fn valid_wires(kind: &str) -> Vec<Value> {
    let kind = KINDS.iter().find(|known| known.name == kind).unwrap();
    (kind.valid)()
}

fn check_vectors<M>(kind: &str)
where
    M: Message + Serialize + DeserializeOwned + PartialEq + Debug,
{
    let valid = valid_wires(kind);
    for case in &valid {
        keeps_the_rules::<M>(&bytes(&case["wire"]));
    }
    every_flipped_bit_is_kept_or_refused::<M>(&bytes(&valid[0]["wire"]));
}

#[test]
fn the_messages_of_the_vectors_decode_strictly() {
    check_vectors::<Enrolment>("enrolment");
    check_vectors::<TokenRequest>("request");
    check_vectors::<Grant>("grant");
    check_vectors::<Presentation>("presentation");
    check_vectors::<AuthorAction>("author");
    check_vectors::<DoorMessage>("door");
    check_vectors::<DecryptionShare>("share");
    check_vectors::<Blind>("blind");
    check_vectors::<ComparisonShare>("comparison_share");
    check_vectors::<Accepted>("accepted");
}

#[test]
fn no_bit_of_a_message_can_be_changed() {
    let mut kinds = 0;
    for kind in &KINDS {
        if (kind.valid)()[0].get("wire").is_none() {
            continue;
        }
        let mut case = (kind.valid)().swap_remove(0);
        assert_eq!(checks::check(kind.name, &case), Ok(()));
        let wire = bytes(&case["wire"]);
        // Of the zeros at the end of a door message, one bit in each 13.
        let used = wire.iter().rposition(|byte| *byte != 0).unwrap() * 8 + 8;
        for bit in (0..used).chain((used..wire.len() * 8).step_by(13)) {
            let other = flipped(&wire, bit);
            case["wire"] = hex(&other).into();
            assert!(checks::check(kind.name, &case).is_err(), "{} with bit {bit} flipped", kind.name);
        }
        kinds += 1;
    }
    assert_eq!(kinds, 10);
}

fn any_name() -> impl Strategy<Value = Name> {
    prop::collection::vec(any::<u8>(), 1..=Name::MAX_LEN).prop_map(|bytes| Name::new(bytes).unwrap())
}

fn any_element() -> impl Strategy<Value = Element> {
    any::<[[u8; 32]; 2]>().prop_map(|halves| {
        let wide = halves.concat().try_into().unwrap();
        Element::from_point(RistrettoPoint::from_uniform_bytes(&wide)).unwrap()
    })
}

fn any_offer() -> impl Strategy<Value = Offer> {
    (any::<[u8; 16]>(), any_name(), any::<u64>(), any_element(), any_element()).prop_map(
        |(handle, merchant, cohort, x, y)| {
            let issuer_key = IssuerPublicKey::new(x);
            let scope = Scope::new(*issuer_key.id(), merchant, cohort);
            let escrow_key = unjoin_core::algebra::EscrowKey::new(y);
            Offer { handle: OrderHandle(handle), scope, issuer_key, escrow_key }
        },
    )
}

fn any_manifest() -> impl Strategy<Value = CohortManifest> {
    (any_offer(), 1u32.., any::<[u32; 4]>()).prop_map(|(offer, at_least, times)| {
        let [closed, dead, gap, window] = times.map(u64::from);
        let first_publication = closed.max(dead) + 1 + gap;
        CohortManifest {
            scope: offer.scope,
            escrow_id: *offer.escrow_key.id(),
            at_least,
            publications: PublicationDates::new(&[
                Timestamp::from_unix_seconds(first_publication),
                Timestamp::from_unix_seconds(first_publication + 1 + window),
            ])
            .unwrap(),
        }
    })
}

fn any_review() -> impl Strategy<Value = Review> {
    let attachments = prop::collection::vec(any::<[u8; 32]>(), 0..=Review::MAX_ATTACHMENTS);
    (1u8..=5, any::<String>(), attachments)
        .prop_map(|(stars, text, attachments)| Review::new(stars, text, attachments).unwrap())
}

fn signed_action(
    kind: ActionKind,
    id: [u8; 32],
    sequence: u64,
    digest: [u8; 32],
    seed: [u8; 32],
) -> AuthorAction {
    let new_digest = if kind == ActionKind::Withdraw { [0; 32] } else { [7; 32] };
    let said =
        AuthorStatement { kind, review_id: ReviewId(id), sequence, previous_digest: digest, new_digest };
    AuthorAction::sign(&Signer::from_seed(&SecretBytes::new(seed)), said).unwrap()
}

fn any_action(id: [u8; 32], sequence: u64, digest: [u8; 32], seed: [u8; 32]) -> AuthorAction {
    let kind = if sequence.is_multiple_of(2) { ActionKind::Withdraw } else { ActionKind::Edit };
    signed_action(kind, id, sequence.max(1), digest, seed)
}

/// No bit behind version and kind can be changed without the signature failing.
fn every_bit_is_signed<M: Message>(message: &M, verifies: impl Fn(&M) -> bool) {
    let bytes = message.to_bytes();
    assert!(verifies(message));
    for bit in (16..bytes.len() * 8).step_by(7) {
        assert!(!M::from_bytes(&flipped(&bytes, bit)).is_ok_and(|other| verifies(&other)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn offers_and_manifests_decode_strictly(
        offer in any_offer(), manifest in any_manifest(), seed in any::<[u8; 32]>(),
    ) {
        prop_assert_eq!(&keeps_the_rules::<Offer>(&offer.to_bytes()), &offer);
        prop_assert_eq!(&keeps_the_rules::<CohortManifest>(&manifest.to_bytes()), &manifest);
        let key = PlatformKey::from_secret_bytes(&SecretBytes::new(seed));
        let signed = manifest.clone().sign(&key).unwrap();
        let read = keeps_the_rules::<SignedManifest>(&signed.to_bytes());
        prop_assert_eq!(read.verify(&key.public()), Ok(&manifest));
        every_bit_is_signed(&signed, |signed| signed.verify(&key.public()).is_ok());
    }

    #[test]
    fn reviews_and_receipts_decode_strictly(
        review in any_review(), [id, hash] in any::<[[u8; 32]; 2]>(), time in any::<u64>(), seed in any::<[u8; 32]>(),
    ) {
        prop_assert_eq!(&keeps_the_rules::<Review>(&review.to_bytes()), &review);
        let key = PlatformKey::from_secret_bytes(&SecretBytes::new(seed));
        let boundary = Timestamp::from_unix_seconds(time);
        let terms = ReceiptTerms {
            review_id: ReviewId(id),
            review_digest: review.digest(),
            presentation_hash: hash,
            author_key: AuthorKey(seed),
            publish_by: boundary,
            era: time as u32,
        };
        let receipt = Receipt::sign(&key, terms.clone()).unwrap();
        let read = keeps_the_rules::<Receipt>(&receipt.to_bytes());
        prop_assert_eq!(read.terms(), &terms);
        every_bit_is_signed(&receipt, |receipt| receipt.verify(&key.public()).is_ok());

        let action = any_action(id, time, hash, seed);
        let receipt = ActionReceipt::sign(&key, &action, boundary, time as u32).unwrap();
        let read = keeps_the_rules::<ActionReceipt>(&receipt.to_bytes());
        prop_assert_eq!((read.review_id(), read.sequence()), (&ReviewId(id), action.statement().sequence));
        prop_assert_eq!((read.action_hash(), read.boundary(), read.era()), (&action.hash(), boundary, time as u32));
        every_bit_is_signed(&receipt, |receipt| receipt.verify(&key.public()).is_ok());
    }

    #[test]
    fn questions_and_answers_of_the_door_decode_strictly(
        [id, fresh, seed] in any::<[[u8; 32]; 3]>(), time in any::<u64>(), standing in 0usize..4,
        offer in any_offer(), status in any::<u16>(), body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let (review_id, date) = (ReviewId(id), Timestamp::from_unix_seconds(time));
        let signer = Signer::from_seed(&SecretBytes::new(seed));
        let author_key = AuthorKey(*signer.verifier().as_bytes());
        let question = StateQuestion::sign(&signer, review_id, date, fresh);
        let read = keeps_the_rules::<StateQuestion>(&question.to_bytes());
        prop_assert_eq!((read.review_id(), read.date()), (&review_id, date));
        every_bit_is_signed(&question, |question| question.verify(&author_key).is_ok());

        let asked = DoorMessage::new(DoorQuestion::State { scope: offer.scope, question }).unwrap();
        prop_assert_eq!(DoorMessage::from_bytes(&asked.to_bytes()), Ok(asked));
        let asked = DoorQuestion::Bundle { boundary: date, shard: status, piece: status.rotate_left(3) };
        let asked = DoorMessage::new(asked).unwrap();
        let wire = asked.to_bytes();
        prop_assert_eq!(DoorMessage::from_bytes(&wire), Ok(asked));
        prop_assert!(DoorMessage::from_bytes(&[&wire[..3], &[13, 0], &wire[5..]].concat()).is_err());
        let standings = [ReviewStanding::Held, ReviewStanding::Published, ReviewStanding::Withdrawn, ReviewStanding::Removed];
        let state = ReviewState {
            review_id, last_sequence: time, digest_in_force: fresh, standing: standings[standing], published_at: date,
        };
        prop_assert_eq!(&keeps_the_rules::<ReviewState>(&state.to_bytes()), &state);

        let answer = DoorAnswer::accepted(body.clone());
        prop_assert_eq!((answer.status(), answer.body()), (200, &body[..]));
        let refused = DoorAnswer::refused(status, "review.spent");
        prop_assert_eq!((refused.status(), refused.body()), (status, &b"review.spent"[..]));
        prop_assert_eq!(DoorAnswer::from_bytes(&refused.to_bytes()), Ok(refused));
        let wire = answer.to_bytes();
        prop_assert_eq!(wire.len(), DoorAnswer::LENGTH);
        prop_assert_eq!(DoorAnswer::from_bytes(&wire), Ok(answer));
        prop_assert!(DoorAnswer::from_bytes(&wire[1..]).is_err());
        prop_assert!(DoorAnswer::from_bytes(&[&wire[..], &[0]].concat()).is_err());
        prop_assert!(DoorAnswer::from_bytes(&flipped(&wire, wire.len() * 8 - 1 - status as usize % 8_000)).is_err());
    }

    #[test]
    fn ledger_entries_decode_strictly(
        [id, review_digest, hash, seed] in any::<[[u8; 32]; 4]>(), sequence in any::<u64>(),
        time in any::<u64>(), offer in any_offer(), who in any_name(), grounds in ".{1,100}",
    ) {
        let (boundary, review_id) = (Timestamp::from_unix_seconds(time), ReviewId(id));
        let author_key = AuthorKey(seed);
        let published = PublishedEntry {
            scope: offer.scope, boundary, review_id, review_digest, presentation_hash: hash, author_key,
        };
        prop_assert_eq!(&keeps_the_rules::<PublishedEntry>(&published.to_bytes()), &published);
        let action = any_action(id, sequence, review_digest, seed);
        let acted = ActionEntry { action, boundary };
        prop_assert_eq!(&keeps_the_rules::<ActionEntry>(&acted.to_bytes()), &acted);
        let action = signed_action(ActionKind::Withdraw, id, 1, review_digest, seed);
        let withdrawn = HeldWithdrawalEntry { action, author_key, presentation_hash: hash, boundary };
        prop_assert_eq!(&keeps_the_rules::<HeldWithdrawalEntry>(&withdrawn.to_bytes()), &withdrawn);
        for (kind, sequence) in [(ActionKind::Withdraw, 2), (ActionKind::Edit, 1)] {
            let action = signed_action(kind, id, sequence, review_digest, seed);
            let other = HeldWithdrawalEntry { action, ..withdrawn.clone() }.to_bytes();
            prop_assert_eq!(HeldWithdrawalEntry::from_bytes(&other).unwrap_err().rule, Rule::Value);
        }

        let staff = StaffKey::from_secret_bytes(&SecretBytes::new(seed));
        let removed = RemovedEntry::sign(&staff, "shop.example/reviews", review_id, review_digest, &grounds).unwrap();
        prop_assert_eq!(&keeps_the_rules::<RemovedEntry>(&removed.to_bytes()), &removed);
        every_bit_is_signed(&removed, |entry| entry.verify("shop.example/reviews").is_ok());
        prop_assert!(removed.verify("shop.example/openings").is_err());
        let mark = StoreMarkEntry::new(&seed, sequence, &[time as u8; 16]);
        prop_assert_eq!(keeps_the_rules::<StoreMarkEntry>(&mark.to_bytes()), mark);
        prop_assert!(mark.is_of(&seed, &[time as u8; 16]) && !mark.is_of(&seed, &[!(time as u8); 16]));
        let era = (time as u32).max(2);
        for store in [RecoveredStore::Orders, RecoveredStore::Reviews] {
            let entry =
                RecoveredEntry::sign(&staff, "shop.example/reviews", store, era, sequence, &grounds).unwrap();
            let read = keeps_the_rules::<RecoveredEntry>(&entry.to_bytes());
            prop_assert_eq!((read.store(), read.era(), read.last_mark()), (store, era, sequence));
            prop_assert_eq!((read.grounds(), *read.claimed_key()), (&grounds[..], *staff.public().as_bytes()));
            every_bit_is_signed(&entry, |entry| entry.verify("shop.example/reviews").is_ok());
            prop_assert!(entry.verify("shop.example/openings").is_err());
        }
        let platform = PlatformKey::from_secret_bytes(&SecretBytes::new(hash));
        let entry = StaffKeyEntry::sign(&platform, "shop.example/reviews", &staff.public(), who.clone()).unwrap();
        let read = keeps_the_rules::<StaffKeyEntry>(&entry.to_bytes());
        let staff_key = staff.public();
        prop_assert_eq!((read.staff_key(), read.who()), (staff_key.as_bytes(), &who));
        every_bit_is_signed(&entry, |entry| entry.verify(&platform.public(), "shop.example/reviews").is_ok());
        prop_assert!(entry.verify(&platform.public(), "shop.example/openings").is_err());
        let binding = BindingEntry { wallet_key_hash: hash, commitment: hash };
        prop_assert_eq!(&keeps_the_rules::<BindingEntry>(&binding.to_bytes()), &binding);
    }

    #[test]
    fn no_string_of_bytes_makes_a_decoder_panic(kind in 0u8..56, body in prop::collection::vec(any::<u8>(), 0..700)) {
        let bytes = [&[VERSION, kind][..], &body].concat();
        fn decode<M: Message>(bytes: &[u8]) {
            if let Ok(message) = M::from_bytes(bytes) {
                assert_eq!(message.to_bytes(), bytes);
            }
        }
        for decode in [
            decode::<Enrolment>, decode::<TokenRequest>, decode::<Grant>, decode::<Presentation>,
            decode::<AuthorAction>, decode::<DecryptionShare>, decode::<Blind>, decode::<ComparisonShare>, decode::<Accepted>,
            decode::<Offer>, decode::<CohortManifest>, decode::<SignedManifest>, decode::<Review>,
            decode::<Receipt>, decode::<ActionReceipt>, decode::<StateQuestion>, decode::<ReviewState>,
            decode::<DoorMessage>, decode::<DoorAnswer>, decode::<PublishedEntry>, decode::<ActionEntry>,
            decode::<HeldWithdrawalEntry>, decode::<RemovedEntry>, decode::<StaffKeyEntry>, decode::<BindingEntry>,
            decode::<RecoveredEntry>, decode::<StoreMarkEntry>, decode::<DoorKeyEntry>,
        ] {
            decode(&bytes);
        }
    }
}

#[test]
fn flipped_bits_of_the_other_messages_are_kept_or_refused() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    fn sample<T: Debug>(strategy: impl Strategy<Value = T>) -> T {
        strategy.new_tree(&mut TestRunner::deterministic()).unwrap().current()
    }
    every_flipped_bit_is_kept_or_refused::<Offer>(&sample(any_offer()).to_bytes());
    every_flipped_bit_is_kept_or_refused::<CohortManifest>(&sample(any_manifest()).to_bytes());
    every_flipped_bit_is_kept_or_refused::<Review>(&sample(any_review()).to_bytes());
    let staff = StaffKey::from_secret_bytes(&SecretBytes::new([3; 32]));
    let removed = RemovedEntry::sign(&staff, "origin", ReviewId([1; 32]), [2; 32], "court").unwrap();
    let withdrawn = HeldWithdrawalEntry {
        action: signed_action(ActionKind::Withdraw, [1; 32], 1, [2; 32], [3; 32]),
        author_key: AuthorKey::NOBODY,
        presentation_hash: [4; 32],
        boundary: Timestamp::ZERO,
    };
    every_flipped_bit_is_kept_or_refused::<HeldWithdrawalEntry>(&withdrawn.to_bytes());
    every_flipped_bit_is_kept_or_refused::<RemovedEntry>(&removed.to_bytes());
}

#[test]
fn names_have_1_to_64_bytes_on_the_wire_too() {
    let wire = |merchant: &[u8]| {
        let length = (merchant.len() as u16).to_le_bytes();
        [&[7; 32][..], &length, merchant, &[0; 8]].concat()
    };
    for length in [0, 1, 64, 65, 300] {
        let (name, bytes) = (vec![9; length], wire(&vec![9; length]));
        let decoded = Scope::decode(&mut Reader::new(&bytes, "scope"));
        match Name::new(&name) {
            Ok(name) => {
                assert_eq!(decoded.unwrap(), Scope::new([7; 32], name, 0));
                assert!((1..=64).contains(&length));
            }
            Err(refused) => {
                assert_eq!((refused.length, decoded.unwrap_err().rule), (length, Rule::Length));
            }
        }
    }
}

#[test]
fn a_review_keeps_its_limits() {
    let made = |stars, text: usize, attachments: usize| {
        Review::new(stars, "é".repeat(text / 2), vec![[1; 32]; attachments])
    };
    let largest = made(5, Review::MAX_TEXT, Review::MAX_ATTACHMENTS).unwrap();
    assert_eq!(largest.to_bytes().len(), 4_614);
    assert_eq!((largest.stars(), largest.text().len()), (5, Review::MAX_TEXT));
    assert_eq!(largest.attachments(), [[1; 32]; Review::MAX_ATTACHMENTS]);
    keeps_the_rules::<Review>(&made(1, 0, 0).unwrap().to_bytes());
    assert_eq!(Review::from_bytes(&largest.to_bytes()), Ok(largest));
    assert_eq!(made(0, 0, 0), Err(ReviewError::Stars));
    assert_eq!(made(6, 0, 0), Err(ReviewError::Stars));
    assert_eq!(made(1, Review::MAX_TEXT + 2, 0), Err(ReviewError::Text));
    assert_eq!(made(1, 0, Review::MAX_ATTACHMENTS + 1), Err(ReviewError::Attachments));

    // The same limits where the bytes come from somebody else.
    let wire = |stars: u8, text: &[u8], count: u8| {
        let length = (text.len() as u16).to_le_bytes();
        let attachments = vec![1; 32 * usize::from(count)];
        [&[VERSION, Review::KIND, stars][..], &length, text, &[count], &attachments].concat()
    };
    let rule = |bytes: Vec<u8>| Review::from_bytes(&bytes).map_err(|refused| refused.rule).map(|_| ());
    assert_eq!(rule(wire(1, b"text", 16)), Ok(()));
    assert_eq!(rule(wire(0, b"text", 0)), Err(Rule::Value));
    assert_eq!(rule(wire(6, b"text", 0)), Err(Rule::Value));
    assert_eq!(rule(wire(1, &[0xff], 0)), Err(Rule::Value));
    assert_eq!(rule(wire(1, &vec![b'a'; Review::MAX_TEXT + 1], 0)), Err(Rule::Length));
    assert_eq!(rule(wire(1, b"text", 17)), Err(Rule::Length));
}

#[test]
fn a_removal_keeps_its_limits() {
    let rule = |grounds: Vec<u8>| {
        let mut bytes = vec![VERSION, RemovedEntry::KIND];
        bytes.extend([0; 64]);
        bytes.extend((grounds.len() as u16).to_le_bytes());
        bytes.extend(grounds);
        bytes.extend([0; 96]);
        RemovedEntry::from_bytes(&bytes).map_err(|refused| refused.rule).map(|entry| entry.to_bytes().len())
    };
    let most = RemovedEntry::MAX_GROUNDS;
    assert_eq!(rule(vec![b'g'; most]), Ok(644));
    assert_eq!(rule(vec![b'g'; most + 1]), Err(Rule::Length));
    assert_eq!(rule(vec![]), Err(Rule::Length));
    assert_eq!(rule(vec![0xff]), Err(Rule::Value));
    let key = StaffKey::generate(&mut system());
    let signs = |length| RemovedEntry::sign(&key, "origin", ReviewId([1; 32]), [2; 32], &"g".repeat(length));
    assert!(signs(1).is_ok() && signs(most).is_ok());
    assert!(signs(0).is_err() && signs(most + 1).is_err());
}

#[test]
fn a_recovery_keeps_its_limits() {
    let rule = |store: u8, era: u32, grounds: usize| {
        let mut bytes = vec![VERSION, RecoveredEntry::KIND, store];
        bytes.extend(era.to_le_bytes());
        bytes.extend([0; 8]);
        bytes.extend((grounds as u16).to_le_bytes());
        bytes.extend(vec![b'g'; grounds]);
        bytes.extend([0; 96]);
        RecoveredEntry::from_bytes(&bytes).map_err(|refused| refused.rule).map(|entry| entry.to_bytes().len())
    };
    let most = RecoveredEntry::MAX_GROUNDS;
    assert_eq!((rule(1, 2, 1), rule(2, u32::MAX, most)), (Ok(114), Ok(593)));
    assert_eq!((rule(0, 2, 1), rule(3, 2, 1)), (Err(Rule::Value), Err(Rule::Value)));
    assert_eq!((rule(1, 0, 1), rule(1, 1, 1)), (Err(Rule::Value), Err(Rule::Value)));
    assert_eq!((rule(1, 2, 0), rule(1, 2, most + 1)), (Err(Rule::Length), Err(Rule::Length)));
    let key = StaffKey::generate(&mut system());
    let signs = |era, length| {
        RecoveredEntry::sign(&key, "origin", RecoveredStore::Orders, era, 0, &"g".repeat(length)).is_ok()
    };
    assert!(signs(2, 1) && signs(2, most));
    assert!(!signs(1, 1) && !signs(2, 0) && !signs(2, most + 1));
}

#[test]
fn an_offer_whose_scope_is_another_keys_does_not_decode() {
    let file = load("scopes.json");
    let [own, other] = [0, 1].map(|key: usize| IssuerPublicKey::new(element(&file["issuer_keys"][key]["X"])));
    let scope = Scope::new(*other.id(), Name::new("merchant").unwrap(), 7);
    let escrow_key = unjoin_core::algebra::EscrowKey::new(*own.element());
    let offer = Offer { handle: OrderHandle([1; 16]), scope, issuer_key: own, escrow_key };
    assert_eq!(Offer::from_bytes(&offer.to_bytes()).unwrap_err().rule, Rule::Value);
    let offer = Offer { issuer_key: other, ..offer };
    assert_eq!(Offer::from_bytes(&offer.to_bytes()), Ok(offer));
}

/// serde: text formats carry base64url without padding of exactly the bytes, binary formats
/// the bytes, and nothing else is read.
mod serde_formats {
    use super::*;
    use serde::de::value::{Error, SeqDeserializer, StrDeserializer};
    use serde::de::{Deserialize, Deserializer, Visitor};
    use serde::ser::{Impossible, Serializer};

    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    /// RFC 4648, section 5, without padding; apart from the library that the crate uses.
    fn base64url(bytes: &[u8]) -> String {
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let mut group = [0; 4];
            group[1..=chunk.len()].copy_from_slice(chunk);
            let bits = u32::from_be_bytes(group);
            for digit in 0..=chunk.len() {
                text.push(ALPHABET[(bits >> (18 - 6 * digit)) as usize & 63] as char);
            }
        }
        text
    }

    pub(super) fn carry<M>(message: &M, bytes: &[u8])
    where
        M: Message + Serialize + DeserializeOwned + PartialEq + Debug,
    {
        let text = base64url(bytes);
        assert_eq!(serde_json::to_string(message).unwrap(), format!("\"{text}\""));
        let read = |text: String| serde_json::from_value::<M>(Value::String(text)).ok();
        assert_eq!(read(text.clone()).as_ref(), Some(message));
        // Padding, white space, and the last digit's unused bits set.
        assert_eq!(read(format!("{text}=")), None);
        assert_eq!(read(format!("{text}==")), None);
        assert_eq!(read(format!("{text}\n")), None);
        assert_eq!(read(format!(" {text}")), None);
        if !bytes.len().is_multiple_of(3) {
            let last = ALPHABET.iter().position(|digit| text.ends_with(*digit as char)).unwrap();
            let changed = format!("{}{}", &text[..text.len() - 1], ALPHABET[last + 1] as char);
            assert_eq!(read(changed), None);
        }
        // The other alphabet, where the text has one of its two digits.
        let other = text.replace('-', "+").replace('_', "/");
        assert_eq!(read(other.clone()).is_some(), other == text);
        // A list of numbers is no text.
        assert!(serde_json::from_value::<M>(Value::from(bytes.to_vec())).is_err());

        assert_eq!(message.serialize(Binary).as_deref(), Ok(bytes));
        assert_eq!(M::deserialize(BinaryInput::Bytes(bytes)).as_ref(), Ok(message));
        assert_eq!(M::deserialize(BinaryInput::List(bytes)).as_ref(), Ok(message));
        assert!(M::deserialize(BinaryInput::Text(&text)).is_err());
        inside_of_others(message, bytes);
    }

    #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged<M> {
        Posted { message: M },
    }
    #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
    #[serde(untagged)]
    enum Untagged<M> {
        Posted { message: M },
    }
    #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
    struct Flattened<M> {
        id: u32,
        #[serde(flatten)]
        inner: Inner<M>,
    }
    #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
    struct Inner<M> {
        message: M,
    }

    /// A host's own types hold messages, in a readable and in a binary format. For some of them serde buffers, and
    /// forgets which kind the format was.
    fn inside_of_others<M>(message: &M, bytes: &[u8])
    where
        M: Message + Serialize + DeserializeOwned + PartialEq + Debug,
    {
        fn there_and_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
            let text = serde_json::to_string(value).unwrap();
            assert_eq!(serde_json::from_str::<T>(&text).unwrap(), *value);
            let mut cbor = Vec::new();
            ciborium::into_writer(value, &mut cbor).unwrap();
            assert_eq!(ciborium::from_reader::<T, _>(cbor.as_slice()).unwrap(), *value);
        }
        let copy = || M::from_bytes(bytes).unwrap();
        assert_eq!(&copy(), message);
        there_and_back(&Inner { message: copy() });
        there_and_back(&Tagged::Posted { message: copy() });
        there_and_back(&Untagged::Posted { message: copy() });
        there_and_back(&Flattened { id: 7, inner: Inner { message: copy() } });

        use ciborium::Value::{Bytes, Map, Text};
        let longer = Map(vec![
            (Text("kind".to_owned()), Text("Posted".to_owned())),
            (Text("message".to_owned()), Bytes([bytes, &[0]].concat())),
        ]);
        let mut cbor = Vec::new();
        ciborium::into_writer(&longer, &mut cbor).unwrap();
        assert!(ciborium::from_reader::<Tagged<M>, _>(cbor.as_slice()).is_err());
    }

    #[test]
    fn input_longer_than_any_message_is_refused_before_decoding() {
        let long = vec![0; Enrolment::MAX_LEN + 1];
        for input in [BinaryInput::Bytes(&long), BinaryInput::List(&long)] {
            let refused = Enrolment::deserialize(input).unwrap_err().to_string();
            assert!(refused.contains("invalid length"), "{refused}");
        }
        let text = base64url(&long) + "AAAA";
        let text: StrDeserializer<'_, Error> = serde::de::IntoDeserializer::into_deserializer(&text[..]);
        let refused = Enrolment::deserialize(text).unwrap_err().to_string();
        assert!(refused.contains("invalid length"), "{refused}");
    }

    /// A binary format that holds one string of bytes.
    struct Binary;

    macro_rules! bytes_only {
        ($($method:ident($($argument:ty),*) -> $ok:ty;)+) => {$(
            fn $method(self, $(_: $argument),*) -> Result<$ok, Error> {
                Err(serde::ser::Error::custom("not bytes"))
            }
        )+};
    }

    type Never = Impossible<Vec<u8>, Error>;

    impl Serializer for Binary {
        type Ok = Vec<u8>;
        type Error = Error;
        type SerializeSeq = Never;
        type SerializeTuple = Never;
        type SerializeTupleStruct = Never;
        type SerializeTupleVariant = Never;
        type SerializeMap = Never;
        type SerializeStruct = Never;
        type SerializeStructVariant = Never;

        fn is_human_readable(&self) -> bool {
            false
        }

        fn serialize_bytes(self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
            Ok(bytes.to_vec())
        }

        fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<Vec<u8>, Error> {
            value.serialize(self)
        }

        fn serialize_newtype_struct<T: ?Sized + Serialize>(
            self,
            _: &'static str,
            value: &T,
        ) -> Result<Vec<u8>, Error> {
            value.serialize(self)
        }

        fn serialize_newtype_variant<T: ?Sized + Serialize>(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            value: &T,
        ) -> Result<Vec<u8>, Error> {
            value.serialize(self)
        }

        bytes_only! {
            serialize_bool(bool) -> Vec<u8>;
            serialize_i8(i8) -> Vec<u8>;
            serialize_i16(i16) -> Vec<u8>;
            serialize_i32(i32) -> Vec<u8>;
            serialize_i64(i64) -> Vec<u8>;
            serialize_u8(u8) -> Vec<u8>;
            serialize_u16(u16) -> Vec<u8>;
            serialize_u32(u32) -> Vec<u8>;
            serialize_u64(u64) -> Vec<u8>;
            serialize_f32(f32) -> Vec<u8>;
            serialize_f64(f64) -> Vec<u8>;
            serialize_char(char) -> Vec<u8>;
            serialize_str(&str) -> Vec<u8>;
            serialize_none() -> Vec<u8>;
            serialize_unit() -> Vec<u8>;
            serialize_unit_struct(&'static str) -> Vec<u8>;
            serialize_unit_variant(&'static str, u32, &'static str) -> Vec<u8>;
            serialize_seq(Option<usize>) -> Never;
            serialize_tuple(usize) -> Never;
            serialize_tuple_struct(&'static str, usize) -> Never;
            serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Never;
            serialize_map(Option<usize>) -> Never;
            serialize_struct(&'static str, usize) -> Never;
            serialize_struct_variant(&'static str, u32, &'static str, usize) -> Never;
        }
    }

    /// What a binary format may hand over: bytes, a list of numbers, or text.
    enum BinaryInput<'a> {
        Bytes(&'a [u8]),
        List(&'a [u8]),
        Text(&'a str),
    }

    impl<'de> Deserializer<'de> for BinaryInput<'_> {
        type Error = Error;

        fn is_human_readable(&self) -> bool {
            false
        }

        fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self {
                Self::Bytes(bytes) => visitor.visit_bytes(bytes),
                Self::List(bytes) => visitor.visit_seq(SeqDeserializer::new(bytes.iter().copied())),
                Self::Text(text) => visitor.visit_str(text),
            }
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
        }
    }
}
