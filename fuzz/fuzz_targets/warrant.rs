//! A warrant's text prints as it was read, and trustees answer exactly the warrants that the
//! rules, written down a second time, allow.

#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use unjoin::ledger::{KeyName, NoteKey, WarrantAction};
use unjoin::opening::RecipientKey;
use unjoin::opening::warrant::{
    PresentedWarrant, Requester, Warrant, WarrantError, WarrantPolicy, WarrantTerms,
};
use unjoin::secret::SecretBytes;
use unjoin::token::ReviewId;
use unjoin::wire::Message;
use unjoin::{Name, Timestamp};

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    match choice % 3 {
        0 => texts(rest),
        1 => drop(lines(&mut Unstructured::new(rest))),
        _ => drop(verdicts(&mut Unstructured::new(rest))),
    }
});

static OFFICERS: LazyLock<Vec<NoteKey>> = LazyLock::new(|| {
    let officer = |seed: u8| {
        let name = KeyName::new(format!("officer/{seed}")).unwrap();
        NoteKey::from_secret_bytes(name, &SecretBytes::new([seed + 1; 32]))
    };
    (0..6).map(officer).collect()
});

static RECIPIENT: LazyLock<[u8; 32]> =
    LazyLock::new(|| *RecipientKey::from_secret_bytes(SecretBytes::new([9; 32])).public());

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// There is one text for one meaning.
fn texts(bytes: &[u8]) {
    if let Ok(text) = core::str::from_utf8(bytes)
        && let Ok(terms) = WarrantTerms::parse(text)
    {
        assert_eq!(terms.text(), text);
        assert!(terms.reviews().is_sorted_by(|a, b| a < b) && terms.not_before() <= terms.not_after());
    }
    if let Ok(warrant) = Warrant::parse(bytes) {
        assert_eq!(warrant.to_bytes(), bytes);
        let presented = PresentedWarrant::with_blind(warrant, [1; 32]);
        assert_eq!(PresentedWarrant::from_bytes(&presented.to_bytes()).as_ref(), Ok(&presented));
        for officer in OFFICERS.iter() {
            let signed = presented.warrant().note().is_signed_by(officer.public());
            assert_ne!(signed, Ok(true), "an input has no signature of ours");
        }
    }
}

/// A good text with one line exchanged for another: what is read is printed the same, and two
/// texts that differ never have one meaning.
fn lines(input: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let terms = terms(input)?;
    let text = terms.text();
    assert_eq!(WarrantTerms::parse(&text).as_ref(), Ok(&terms));
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = input.choose_index(lines.len())?;
    match input.int_in_range(0..=4)? {
        0 => drop(lines.remove(at)),
        1 => lines.insert(at, input.arbitrary::<&str>()?.to_owned()),
        2 => lines[at] = input.arbitrary::<&str>()?.to_owned(),
        3 => lines[at].push_str(input.arbitrary::<&str>()?),
        _ => {
            let other = input.choose_index(lines.len())?;
            lines.swap(at, other);
        }
    }
    let changed = lines.join("\n") + if input.ratio(1, 8)? { "" } else { "\n" };
    if let Ok(read) = WarrantTerms::parse(&changed) {
        assert_eq!(read.text(), changed);
        assert_eq!(read == terms, changed == text);
        assert_eq!(read.digest() == terms.digest(), changed == text);
    }
    Ok(())
}

fn terms(input: &mut Unstructured<'_>) -> arbitrary::Result<WarrantTerms> {
    let requester = *input.choose(&["court", "press", "mayor"])?;
    let action = *input.choose(&[WarrantAction::Open, WarrantAction::SameAuthor])?;
    let grounds = input.int_in_range(0..=4)?;
    let first = input.int_in_range(0..=100u64)?;
    let last = first + input.int_in_range(0..=100u64)?;
    let seconds = Timestamp::from_unix_seconds;
    let count = input.int_in_range(2..=6u8)?;
    let reviews = (0..count).map(|number| ReviewId([number; 32])).collect();
    let valid = seconds(first)..=seconds(last);
    Ok(WarrantTerms::new("case", name(requester), action, grounds, valid, *RECIPIENT, reviews).unwrap())
}

/// The court has the officers 0 to 2, the press 3 and 4; the last belongs to nobody.
fn verdicts(input: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let public = |range: core::ops::Range<usize>| {
        OFFICERS[range].iter().map(|key| key.public().clone()).collect::<Vec<_>>()
    };
    let needed = input.int_in_range(1..=3)?;
    let court = Requester {
        name: name("court"),
        keys: public(0..3),
        needed,
        actions: vec![WarrantAction::Open, WarrantAction::SameAuthor],
        grounds: vec![1, 2],
    };
    let press = Requester {
        name: name("press"),
        keys: public(3..5),
        needed: 1,
        actions: vec![WarrantAction::SameAuthor],
        grounds: vec![3],
    };
    let policy = WarrantPolicy::new(vec![court, press]).unwrap();
    let terms = terms(input)?;
    let mut warrant = Warrant::draft(terms.clone()).unwrap();
    let mut signed = [false; 6];
    for _ in 0..input.int_in_range(0..=8)? {
        let officer = input.choose_index(OFFICERS.len())?;
        warrant.sign(&OFFICERS[officer]).unwrap();
        signed[officer] = true;
    }
    let now = input.int_in_range(0..=210u64)?;
    let found = policy.check(&warrant, Timestamp::from_unix_seconds(now));
    let count = |range: core::ops::Range<usize>| signed[range].iter().filter(|signed| **signed).count();
    let (have, need, action, grounds) = match terms.requester().as_bytes() {
        b"court" => (count(0..3), needed, true, [1, 2].contains(&terms.grounds())),
        b"press" => (count(3..5), 1, terms.action() == WarrantAction::SameAuthor, terms.grounds() == 3),
        _ => {
            assert_eq!(found, Err(WarrantError::Requester));
            return Ok(());
        }
    };
    let (first, last) = (terms.not_before().as_unix_seconds(), terms.not_after().as_unix_seconds());
    let expected = match () {
        () if have < need => Err(WarrantError::TooFewSignatures { signed: have, needed: need }),
        () if !action => Err(WarrantError::Action),
        () if !grounds => Err(WarrantError::Grounds),
        () if now < first => Err(WarrantError::NotYetValid { not_before: terms.not_before() }),
        () if now > last => Err(WarrantError::NoLongerValid { not_after: terms.not_after() }),
        () => Ok(()),
    };
    assert_eq!(found, expected);
    // One byte of the note changed: whatever it is, it does not allow more.
    let mut bytes = warrant.to_bytes();
    if signed.iter().any(|signed| *signed) && expected.is_ok() {
        let at = input.choose_index(bytes.len())?;
        bytes[at] ^= u8::arbitrary(input)?.max(1);
        if let Ok(changed) = Warrant::parse(&bytes)
            && policy.check(&changed, Timestamp::from_unix_seconds(now)).is_ok()
        {
            assert_eq!(changed.terms(), &terms, "nobody signed that");
        }
    }
    Ok(())
}
