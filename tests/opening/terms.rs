//! The text of a warrant has one form for one meaning.

use crate::world::{START, at, name, present};
use proptest::prelude::*;
use unjoin::ledger::WarrantAction;
use unjoin::opening::RecipientKey;
use unjoin::opening::warrant::{PresentedWarrant, Warrant, WarrantError, WarrantTerms};
use unjoin::secret::SecretBytes;
use unjoin::token::ReviewId;
use unjoin::wire::Message;
use unjoin_test_util::hex;

fn recipient(seed: u8) -> [u8; 32] {
    *RecipientKey::from_secret_bytes(SecretBytes::new([seed; 32])).public()
}

fn terms() -> WarrantTerms {
    let reviews = vec![ReviewId([2; 32]), ReviewId([1; 32])];
    let (court, valid) = (name("court"), at(0)..=at(1_000));
    WarrantTerms::new("Az. 41 Js 12/26", court, WarrantAction::Open, 3, valid, recipient(7), reviews).unwrap()
}

#[test]
fn the_text_is_as_the_manual_has_it() {
    let expected = format!(
        "unjoin/v1 warrant\ncase Az. 41 Js 12/26\nrequester 636f757274\naction open\ngrounds 3\n\
         not-before {START}\nnot-after {}\nrecipient {}\nreview {}\nreview {}\n",
        START + 1_000,
        hex(&recipient(7)),
        "01".repeat(32),
        "02".repeat(32),
    );
    assert_eq!(terms().text(), expected);
    assert_eq!(WarrantTerms::parse(&expected), Ok(terms()));
}

#[test]
fn a_text_in_another_form_is_refused() {
    let text = terms().text();
    let (case, recipient) = (WarrantError::Case, WarrantError::Recipient);
    let (reviews, validity) = (WarrantError::Reviews, WarrantError::Validity);
    let line = WarrantError::Line;
    let key = hex(&self::recipient(7));
    let one = format!("review {}\n", "01".repeat(32));
    let two = format!("review {}\n", "02".repeat(32));
    let many: String = (0..=64u8).map(|n| format!("review {}\n", format!("{n:02x}").repeat(32))).collect();
    let cases = [
        // Numbers.
        ("grounds 3", "grounds 03", line("grounds")),
        ("grounds 3", "grounds +3", line("grounds")),
        ("grounds 3", "grounds 65536", line("grounds")),
        ("grounds 3", "grounds ", line("grounds")),
        ("grounds 3", "grounds  3", line("grounds")),
        ("grounds 3", "grounds 3 ", line("grounds")),
        ("not-before 17", "not-before 017", line("not-before")),
        ("not-before 17", "not-before -17", line("not-before")),
        ("not-after 17", "not-after 99999999999999999917", line("not-after")),
        ("not-after 17", "not-after 1", validity),
        // Hexadecimal digits.
        ("636f757274", "636F757274", line("requester")),
        ("636f757274", "636f75727", line("requester")),
        ("636f757274", "", line("requester")),
        ("636f757274", "0x636f757274", line("requester")),
        ("636f757274", &"61".repeat(65), line("requester")),
        (&key, &key.to_uppercase(), line("recipient")),
        (&key, &key[2..], line("recipient")),
        (&key, &"00".repeat(32), recipient),
        (&one, &format!("review {}\n", "0A".repeat(32)), line("review")),
        (&one, &format!("review {}\n", "01".repeat(33)), line("review")),
        // Reviews: none, one twice, out of order, too many.
        (&format!("{one}{two}"), "", reviews),
        (&two, &one, reviews),
        (&format!("{one}{two}"), &format!("{two}{one}"), reviews),
        (&format!("{one}{two}"), &many, reviews),
        // Lines: missing, twice, in another order, others' endings.
        ("action open\n", "", line("action")),
        ("action open\n", "action open\naction open\n", line("grounds")),
        ("action open\ngrounds 3\n", "grounds 3\naction open\n", line("action")),
        ("action open", "action Open", line("action")),
        ("action open", "action open ", line("action")),
        ("action open", "action\topen", line("action")),
        ("action open", "action same author", line("action")),
        ("unjoin/v1 warrant\n", "unjoin/v1 warrant \n", line("header")),
        ("unjoin/v1 warrant\n", "unjoin/v2 warrant\n", line("header")),
        ("unjoin/v1 warrant\n", "", line("header")),
        ("unjoin/v1 warrant\n", "\nunjoin/v1 warrant\n", line("header")),
        (&two, &two[..two.len() - 1], line("end")),
        (&two, &format!("{two}\n"), line("review")),
        (&two, &format!("{two}note more\n"), line("review")),
        // The case.
        ("Az. 41 Js 12/26", "", case),
        ("Az. 41 Js 12/26", " Az.", case),
        ("Az. 41 Js 12/26", "Az. ", case),
        ("Az. 41 Js 12/26", "Az.\t41", case),
        ("Az. 41 Js 12/26", "Az.\u{202e}41", case),
        ("Az. 41 Js 12/26", "Az.\u{200b}41", case),
        ("Az. 41 Js 12/26", "Az.\u{a0}41", case),
        ("Az. 41 Js 12/26", "Az.\u{2028}41", case),
        ("Az. 41 Js 12/26", &"x".repeat(129), case),
    ];
    for (from, to, refusal) in cases {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from:?}");
        assert_eq!(WarrantTerms::parse(&changed), Err(refusal), "{from:?} -> {to:?}");
    }
    assert!(WarrantTerms::parse(&text.replace('\n', "\r\n")).is_err());
    assert_eq!(WarrantTerms::parse(""), Err(line("end")));
    // Two are needed to compare; one is enough to open.
    assert!(WarrantTerms::parse(&text.replace("action open", "action same-author")).is_ok());
    let single = text.replace(&two, "");
    assert!(WarrantTerms::parse(&single).is_ok());
    assert_eq!(WarrantTerms::parse(&single.replace("action open", "action same-author")), Err(reviews));
}

#[test]
fn a_key_that_nothing_can_be_sealed_to_is_no_recipient() {
    let small = |bytes: [u8; 32]| {
        let reviews = vec![ReviewId([1; 32])];
        let valid = at(0)..=at(0);
        WarrantTerms::new("case", name("court"), WarrantAction::Open, 1, valid, bytes, reviews)
    };
    let order_8 = |hex: &str| -> [u8; 32] {
        let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
        std::array::from_fn(byte)
    };
    let first = order_8("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800");
    let second = order_8("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157");
    let mut one = [0; 32];
    one[0] = 1;
    // p - 1, p, p + 1: small order, or another encoding of zero and one.
    let around = |lowest: u8| {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (lowest, 0x7f);
        bytes
    };
    for bad in
        [[0; 32], one, first, second, around(0xec), around(0xed), around(0xee), around(0xff), [0xff; 32]]
    {
        assert_eq!(small(bad), Err(WarrantError::Recipient));
    }
    // Another encoding of a good key: HPKE binds the bytes, so what is sealed to it never opens.
    let mut masked = recipient(7);
    masked[31] |= 0x80;
    assert_eq!(small(masked), Err(WarrantError::Recipient));
    assert!(small(recipient(7)).is_ok());
}

#[test]
fn the_longest_warrant_with_all_signatures_fits() {
    let reviews = (0..64).map(|n| ReviewId([n; 32])).collect();
    let end = unjoin::Timestamp::from_unix_seconds(u64::MAX);
    let (court, valid) = (name(&"n".repeat(64)), end..=end);
    let action = WarrantAction::SameAuthor;
    let terms =
        WarrantTerms::new("x".repeat(128), court, action, u16::MAX, valid, recipient(1), reviews).unwrap();
    assert_eq!(terms.text().len(), 5_070);
    let mut warrant = Warrant::draft(terms).unwrap();
    for officer in 0..unjoin::opening::warrant::Requester::MAX_KEYS as u8 {
        warrant.sign(&crate::world::key(&"k".repeat(255), officer + 1)).unwrap();
    }
    let bytes = warrant.to_bytes();
    assert!(bytes.len() <= Warrant::MAX_LEN);
    assert_eq!(Warrant::parse(&bytes), Ok(warrant));
}

#[test]
fn debug_shows_neither_case_nor_reviews_nor_blind() {
    let presented = PresentedWarrant::with_blind(present(terms()).warrant().clone(), [0xb1; 32]);
    let shown = format!("{presented:?} {:?} {:?}", presented.warrant(), presented.terms());
    for hidden in ["Az.", "Js", "177", "1, 1, 1", "2, 2, 2", "b1b1", "0101", "officer"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}

proptest! {
    #[test]
    fn what_is_printed_is_read_the_same(
        case in "[!-~]([ -~äß漢]{0,40}[!-~])?",
        requester in proptest::collection::vec(any::<u8>(), 1..=64),
        open: bool,
        grounds: u16,
        times: (u64, u64),
        seed: u8,
        reviews in proptest::collection::btree_set(any::<[u8; 32]>(), 2..=64),
    ) {
        let action = if open { WarrantAction::Open } else { WarrantAction::SameAuthor };
        let (first, last) = (times.0.min(times.1), times.0.max(times.1));
        let seconds = unjoin::Timestamp::from_unix_seconds;
        let valid = seconds(first)..=seconds(last);
        let reviews: Vec<_> = reviews.into_iter().rev().map(ReviewId).collect();
        let requester = unjoin::Name::new(requester).unwrap();
        let terms =
            WarrantTerms::new(case, requester, action, grounds, valid, recipient(seed), reviews).unwrap();
        let read = WarrantTerms::parse(&terms.text()).unwrap();
        prop_assert_eq!(read.text(), terms.text());
        prop_assert_eq!(&read, &terms);
        let presented = present(terms);
        prop_assert_eq!(PresentedWarrant::from_bytes(&presented.to_bytes()).unwrap(), presented);
    }

    #[test]
    fn what_is_read_is_printed_the_same(at: usize, with in "[0-9a-f \n+\u{a0}]{0,3}", cut in 0usize..4) {
        let text = terms().text();
        let from = at % text.len();
        let to = (from + cut).min(text.len());
        let changed = format!("{}{with}{}", &text[..from], &text[to..]);
        if let Ok(read) = WarrantTerms::parse(&changed) {
            prop_assert_eq!(read.text(), changed);
        }
    }
}
