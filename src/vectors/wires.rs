//! Decoding: what decodes encodes to the same bytes, and nothing else decodes.

use super::negative::KINDS;
use super::*;
use core::fmt::Debug;
use curve25519_dalek::ristretto::RistrettoPoint;
use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};
use unjoin_core::Timestamp;
use unjoin_core::entry::{BindingEntry, EditedEntry, PublishedEntry, RemovedEntry, WithdrawnEntry};
use unjoin_core::token::{
    Accepted, AuthorProof, CohortManifest, Enrolment, Grant, IssuerPublicKey, Offer, OrderHandle,
    PlatformKey, Presentation, Receipt, Review, ReviewError, ReviewId, SignedManifest, TokenRequest,
};
use unjoin_core::wire::{DecodeError, Rule, VERSION};
use unjoin_test_util::hex;
use unjoin_trustee::DecryptionShare;
use unjoin_trustee::same_author::Blind;

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
    check_vectors::<AuthorProof>("author");
    check_vectors::<DecryptionShare>("share");
    check_vectors::<Blind>("blind");
    check_vectors::<Accepted>("accepted");
}

#[test]
fn no_bit_of_a_message_can_be_changed() {
    let mut kinds = 0;
    for kind in KINDS.iter().filter(|kind| (kind.valid)()[0].get("wire").is_some()) {
        let mut case = (kind.valid)().swap_remove(0);
        assert_eq!((kind.check)(&case), Ok(()));
        let wire = bytes(&case["wire"]);
        for bit in 0..wire.len() * 8 {
            let other = flipped(&wire, bit);
            case["wire"] = hex(&other).into();
            assert!((kind.check)(&case).is_err(), "{} with bit {bit} flipped", kind.name);
        }
        kinds += 1;
    }
    assert_eq!(kinds, 8);
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
            closed_at: Timestamp::from_unix_seconds(closed),
            numbers_dead_at: Timestamp::from_unix_seconds(dead),
            first_publication: Timestamp::from_unix_seconds(first_publication),
            window_end: Timestamp::from_unix_seconds(first_publication + 1 + window),
        }
    })
}

fn any_review() -> impl Strategy<Value = Review> {
    let attachments = prop::collection::vec(any::<[u8; 32]>(), 0..=Review::MAX_ATTACHMENTS);
    (1u8..=5, any::<String>(), attachments)
        .prop_map(|(stars, text, attachments)| Review::new(stars, text, attachments).unwrap())
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
        let signed = manifest.clone().sign(&key).to_bytes();
        let read = keeps_the_rules::<SignedManifest>(&signed);
        prop_assert_eq!(read.verify(&key.public()), Ok(&manifest));
        for bit in (16..signed.len() * 8).step_by(7) {
            let verifies = |other: SignedManifest| other.verify(&key.public()).is_ok();
            prop_assert!(!SignedManifest::from_bytes(&flipped(&signed, bit)).is_ok_and(verifies));
        }
    }

    #[test]
    fn reviews_and_receipts_decode_strictly(
        review in any_review(), id in any::<[u8; 32]>(), time in any::<u64>(), seed in any::<[u8; 32]>(),
    ) {
        prop_assert_eq!(&keeps_the_rules::<Review>(&review.to_bytes()), &review);
        let key = PlatformKey::from_secret_bytes(&SecretBytes::new(seed));
        let boundary = Some(Timestamp::from_unix_seconds(time));
        let receipt = Receipt::sign(&key, ReviewId(id), review.digest(), boundary);
        prop_assert_eq!((receipt.review_id(), *receipt.review_digest()), (ReviewId(id), review.digest()));
        // No boundary is written as the first second of all.
        prop_assert_eq!(receipt.publish_by(), boundary.filter(|boundary| *boundary != Timestamp::ZERO));
        let receipt = receipt.to_bytes();
        prop_assert!(keeps_the_rules::<Receipt>(&receipt).verify(&key.public()).is_ok());
        for bit in (16..receipt.len() * 8).step_by(7) {
            let other = Receipt::from_bytes(&flipped(&receipt, bit)).unwrap();
            prop_assert!(other.verify(&key.public()).is_err());
        }
    }

    #[test]
    fn ledger_entries_decode_strictly(
        [review_id, review_digest, hash] in any::<[[u8; 32]; 3]>(), sequence in any::<u64>(),
        time in any::<u64>(), who in any_name(), grounds in ".{1,100}",
    ) {
        let (boundary, review_id) = (Timestamp::from_unix_seconds(time), ReviewId(review_id));
        let published = PublishedEntry { review_id, review_digest, presentation_hash: hash, boundary };
        prop_assert_eq!(&keeps_the_rules::<PublishedEntry>(&published.to_bytes()), &published);
        let edited = EditedEntry { review_id, sequence, review_digest, proof_hash: hash, boundary };
        prop_assert_eq!(&keeps_the_rules::<EditedEntry>(&edited.to_bytes()), &edited);
        let withdrawn = WithdrawnEntry { review_id, sequence, proof_hash: hash, boundary };
        prop_assert_eq!(&keeps_the_rules::<WithdrawnEntry>(&withdrawn.to_bytes()), &withdrawn);
        let removed = RemovedEntry { review_id, review_digest, who: who.as_bytes().to_vec(), grounds };
        prop_assert_eq!(&keeps_the_rules::<RemovedEntry>(&removed.to_bytes()), &removed);
        let binding = BindingEntry { commitment: hash };
        prop_assert_eq!(&keeps_the_rules::<BindingEntry>(&binding.to_bytes()), &binding);
    }

    #[test]
    fn no_string_of_bytes_makes_a_decoder_panic(kind in 0u8..32, body in prop::collection::vec(any::<u8>(), 0..700)) {
        let bytes = [&[VERSION, kind][..], &body].concat();
        fn decode<M: Message>(bytes: &[u8]) {
            if let Ok(message) = M::from_bytes(bytes) {
                assert_eq!(message.to_bytes(), bytes);
            }
        }
        for decode in [
            decode::<Enrolment>, decode::<TokenRequest>, decode::<Grant>, decode::<Presentation>,
            decode::<AuthorProof>, decode::<DecryptionShare>, decode::<Blind>, decode::<Accepted>,
            decode::<Offer>, decode::<CohortManifest>, decode::<SignedManifest>, decode::<Review>,
            decode::<Receipt>, decode::<PublishedEntry>, decode::<EditedEntry>,
            decode::<WithdrawnEntry>, decode::<RemovedEntry>, decode::<BindingEntry>,
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
    let removed = RemovedEntry {
        review_id: ReviewId([1; 32]),
        review_digest: [2; 32],
        who: vec![3],
        grounds: "court".into(),
    };
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
    let rule = |who: usize, grounds: Vec<u8>| {
        let mut bytes = vec![VERSION, RemovedEntry::KIND];
        bytes.extend([0; 64]);
        for field in [vec![b'w'; who], grounds] {
            bytes.extend((field.len() as u16).to_le_bytes());
            bytes.extend(field);
        }
        RemovedEntry::from_bytes(&bytes).map_err(|refused| refused.rule).map(|entry| entry.to_bytes().len())
    };
    let most = RemovedEntry::MAX_GROUNDS;
    assert_eq!(rule(RemovedEntry::MAX_WHO, vec![b'g'; most]), Ok(614));
    assert_eq!(rule(RemovedEntry::MAX_WHO + 1, vec![b'g'; most]), Err(Rule::Length));
    assert_eq!(rule(1, vec![b'g'; most + 1]), Err(Rule::Length));
    assert_eq!((rule(0, vec![b'g'])), Err(Rule::Length));
    assert_eq!((rule(1, vec![])), Err(Rule::Length));
    assert_eq!((rule(1, vec![0xff])), Err(Rule::Value));
}

#[test]
fn a_manifest_out_of_order_or_of_nobody_does_not_decode() {
    let at = Timestamp::from_unix_seconds;
    let good = CohortManifest {
        scope: Scope::new([1; 32], Name::new("merchant").unwrap(), 7),
        escrow_id: [2; 32],
        at_least: 1,
        closed_at: at(10),
        numbers_dead_at: at(10),
        first_publication: at(11),
        window_end: at(12),
    };
    assert_eq!(CohortManifest::from_bytes(&good.to_bytes()), Ok(good.clone()));
    for bad in [
        CohortManifest { at_least: 0, ..good.clone() },
        CohortManifest { closed_at: at(11), ..good.clone() },
        CohortManifest { numbers_dead_at: at(11), ..good.clone() },
        CohortManifest { window_end: at(11), ..good.clone() },
    ] {
        assert_eq!(CohortManifest::from_bytes(&bad.to_bytes()).unwrap_err().rule, Rule::Value);
        let signed = bad.sign(&PlatformKey::from_secret_bytes(&SecretBytes::new([3; 32])));
        assert_eq!(SignedManifest::from_bytes(&signed.to_bytes()).unwrap_err().rule, Rule::Value);
    }
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
