//! The manual says what is there: the wire manual's table of kinds, and the tests behind the
//! threat model's claims.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helper fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use unjoin::Name;
use unjoin::Timestamp;
use unjoin::ledger::{
    ActionEntry, BindingEntry, BlindEntry, ComparedEntry, CosignedEntry, DisclosedEntry, DoorKeyEntry,
    HeldWithdrawalEntry, InclusionProof, PublishedEntry, RecoveredEntry, RecoveredStore, RemovedEntry,
    RoundEntry, ShareReleasedEntry, StaffKeyEntry, StoreMarkEntry, WarrantEntry, tree,
};
use unjoin::opening::ceremony::CeremonyPlan;
use unjoin::opening::same_author::{Blind, ComparisonShare};
use unjoin::opening::{Committee, DecryptionShare, SealedShare, SignedCommittee, insecure_test_dealer};
use unjoin::secret::SystemRng;
use unjoin::token::{
    Accepted, ActionReceipt, AuthorAction, AuthorKey, CohortManifest, DoorAnswer, DoorMessage, DoorQuestion,
    Enrolment, EscrowKeyCertificate, Grant, IssuerKey, Offer, OrderHandle, PlatformKey, Presentation,
    PublicationDates, Receipt, ReceiptTerms, Review, ReviewId, ReviewStanding, ReviewState, Scope,
    SignedManifest, StaffKey, StateQuestion, TokenRequest, TrusteeKey, Trustees,
};
use unjoin::wire::Message;
use unjoin_door::BundlePiece;

/// kind -> (type, bytes), as the manual's table has it; free kinds are left out.
fn manual() -> BTreeMap<u8, (String, String)> {
    let text = include_str!("../src/manual/wire.md");
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let table = text.lines().skip_while(|line| !line.starts_with("## Table of kinds")).skip(1);
    let rows = table.take_while(|line| !line.starts_with("## ")).map(cells);
    rows.filter(|row| row.len() == 6)
        .filter_map(|row| {
            Some((row[1].parse().ok()?, (row[2].strip_prefix('`')?.to_owned(), row[3].clone())))
        })
        .map(|(kind, (name, bytes))| (kind, (name.trim_end_matches('`').to_owned(), bytes)))
        .collect()
}

/// The row for a message, given the shortest and the longest of its kind, and the length of the
/// merchant's name in both.
fn row<M: Message>(shortest: &[u8], longest: &[u8], merchant: usize) -> (u8, (String, String)) {
    assert!(M::from_bytes(shortest).is_ok() && M::from_bytes(longest).is_ok());
    let name = std::any::type_name::<M>().rsplit("::").next().unwrap().to_owned();
    let grouped = |length: usize| match length {
        0..1000 => length.to_string(),
        _ => format!("{},{:03}", length / 1000, length % 1000),
    };
    let bytes = match (shortest.len(), longest.len(), merchant) {
        (least, most, 0) if least == most => grouped(least),
        (least, most, 0) => format!("{} to {}", grouped(least), grouped(most)),
        (least, most, merchant) if least == most => format!("{} + m", grouped(least - merchant)),
        (least, most, merchant) => {
            format!("{} to {} + m", grouped(least - merchant), grouped(most - merchant))
        }
    };
    (M::KIND, (name, bytes))
}

fn fixed<M: Message>(message: &M) -> (u8, (String, String)) {
    row::<M>(&message.to_bytes(), &message.to_bytes(), 0)
}

/// A message of this kind out of the vectors, with its merchant's name's length.
fn vector(text: &str, kind: u8) -> (Vec<u8>, usize) {
    fn find(value: &serde_json::Value, kind: u8) -> Option<Vec<u8>> {
        let bytes = |hex: &str| -> Vec<u8> {
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
        };
        match value {
            serde_json::Value::Object(fields) => {
                fields.iter().find_map(|(name, field)| match field.as_str() {
                    Some(hex) if name == "wire" => Some(bytes(hex)).filter(|wire| wire[1] == kind),
                    _ => find(field, kind),
                })
            }
            serde_json::Value::Array(items) => items.iter().find_map(|item| find(item, kind)),
            _ => None,
        }
    }
    let wire = find(&serde_json::from_str(text).unwrap(), kind).unwrap();
    let merchant = match kind {
        2 => TokenRequest::from_bytes(&wire).unwrap().scope().merchant().as_bytes().len(),
        4 => Presentation::from_bytes(&wire).unwrap().scope().merchant().as_bytes().len(),
        _ => 0,
    };
    (wire, merchant)
}

/// With the shortest note that there is, or one of the greatest length.
fn cosigned_entry(size: u64, hashes: usize, entry: usize) -> Vec<u8> {
    let proof = InclusionProof::from_parts(0, size, vec![[1; 32]; hashes]).unwrap();
    let length = if entry == 1 { 0 } else { CosignedEntry::MAX_CHECKPOINT };
    let line = "\u{2014} k AAAAAAA=\n";
    let text = "x".repeat(length.saturating_sub(line.len() + 2)) + "\n";
    let note = format!("{text}\n{line}").into_bytes();
    CosignedEntry::new(vec![1; entry], proof, note).unwrap().to_bytes()
}

/// The shortest proof, and the longest that any tree can have.
fn inclusion_proofs() -> (u8, (String, String)) {
    let proof = |size, hashes| InclusionProof::from_parts(0, size, vec![[1; 32]; hashes]).unwrap().to_bytes();
    row::<InclusionProof>(&proof(1, 0), &proof(tree::MAX_SIZE, InclusionProof::MAX_HASHES), 0)
}

fn of_vectors<M: Message>(text: &str) -> (u8, (String, String)) {
    let (wire, merchant) = vector(text, M::KIND);
    row::<M>(&wire, &wire, merchant)
}

/// A plan, a committee and a certificate among so many trustees. The signatures hold nowhere,
/// which is nobody's concern here.
fn ceremony(trustees: u16) -> [Vec<u8>; 3] {
    let rng = &mut SystemRng::new();
    let keys = (0..trustees).map(|_| TrusteeKey::generate(rng).public()).collect();
    let plan = CeremonyPlan::key_generation(1, Trustees::new(keys).unwrap(), rng).unwrap();
    let (committee, _) = insecure_test_dealer(1, trustees, rng).unwrap();
    let (t, n) = (1u16.to_le_bytes(), trustees.to_le_bytes());
    let y = committee.key().element().as_bytes();
    let shares: Vec<u8> =
        committee.verification_shares().iter().flat_map(|share| *share.as_bytes()).collect();
    let signatures = (1..=trustees).flat_map(|index| [&index.to_le_bytes()[..], &[7; 64]].concat()).collect();
    let signatures: Vec<u8> = signatures;
    let epoch = 1u32.to_le_bytes();
    let signed = [&[1, 34], &epoch[..], &t, &n, y, &shares, &[5; 32], &n, &signatures].concat();
    let certificate = [&[1, 35], &t[..], &n, y, &[5; 64], &[7; 64].repeat(trustees.into())].concat();
    [plan.to_bytes(), signed, certificate]
}

#[test]
fn the_table_of_kinds_is_the_codes() {
    let rng = &mut SystemRng::new();
    let (committee, _) = insecure_test_dealer(2, 3, rng).unwrap();
    let (issuer_key, platform_key) = (IssuerKey::generate(rng), PlatformKey::generate(rng));
    let scope = Scope::new(*issuer_key.public().id(), Name::new("lamp shop").unwrap(), 7);
    let merchant = scope.merchant().as_bytes().len();
    let time = Timestamp::from_unix_seconds;
    let (handle, review_id) = (OrderHandle([1; 16]), ReviewId([2; 32]));
    let offer = Offer {
        handle,
        scope: scope.clone(),
        issuer_key: *issuer_key.public(),
        escrow_key: *committee.key(),
    };
    let manifest = CohortManifest {
        scope: scope.clone(),
        escrow_id: *committee.key().id(),
        at_least: 10,
        publications: PublicationDates::new(&[time(2), time(3)]).unwrap(),
    };
    let short = Review::new(1, "", vec![]).unwrap();
    let long = Review::new(5, "x".repeat(Review::MAX_TEXT), vec![[3; 32]; Review::MAX_ATTACHMENTS]).unwrap();
    let staff_key = StaffKey::generate(rng);
    let removed = |grounds: usize| {
        let grounds = "g".repeat(grounds);
        RemovedEntry::sign(&staff_key, "reviews", review_id, [4; 32], &grounds).unwrap().to_bytes()
    };
    let recovered = |grounds: usize| {
        let (store, grounds) = (RecoveredStore::Reviews, "g".repeat(grounds));
        RecoveredEntry::sign(&staff_key, "reviews", store, 2, 7, &grounds).unwrap().to_bytes()
    };
    let staff = |who: usize| {
        let who = Name::new(vec![b'w'; who]).unwrap();
        StaffKeyEntry::sign(&platform_key, "reviews", &staff_key.public(), who).unwrap().to_bytes()
    };
    let terms = ReceiptTerms {
        review_id,
        review_digest: [4; 32],
        presentation_hash: [5; 32],
        author_key: AuthorKey([6; 32]),
        publish_by: time(2),
        era: 1,
    };
    let withdrawal = [&[1, 5, 1][..], &[2; 32], &1u64.to_le_bytes(), &[4; 32], &[0; 32], &[7; 64]].concat();
    let action = AuthorAction::from_bytes(&withdrawal).unwrap();
    let question = [&[1, 51][..], &[2; 32], &0u64.to_le_bytes(), &[4; 32], &[7; 64]].concat();
    let question = StateQuestion::from_bytes(&question).unwrap();
    let asked = DoorQuestion::State { scope: scope.clone(), question: question.clone() };
    let published = PublishedEntry {
        scope: scope.clone(),
        boundary: time(2),
        review_id,
        review_digest: [4; 32],
        presentation_hash: [5; 32],
        author_key: AuthorKey([6; 32]),
    }
    .to_bytes();

    let trustee_key = TrusteeKey::generate(rng);
    let warrant = |requester: usize, tags: u8| {
        let (length, count) = ((requester as u16).to_le_bytes(), u16::from(tags).to_le_bytes());
        let tags: Vec<u8> = (0..tags).flat_map(|tag| [tag; 32]).collect();
        [&[1, 25][..], &[6; 32], &length, &vec![b'r'; requester], &[2], &count, &tags, &[7; 64]].concat()
    };
    let element = committee.key().element().as_bytes();
    let blind = |count: u16| {
        let elements = element.repeat(usize::from(2 * count + 3));
        [&[1, 7, 1, 0, 1, 0][..], &count.to_le_bytes(), &elements, &[0; 32]].concat()
    };
    let comparison = |count: u16| {
        let elements = element.repeat(usize::from(count + 2));
        [&[1, 15, 1, 0, 1, 0, 0, 0][..], &count.to_le_bytes(), &elements, &[0; 32]].concat()
    };
    let piece = |length: usize| {
        [&[1, 57][..], &[7; 32], &[0, 0, 1, 0], &(length as u16).to_le_bytes(), &vec![7; length]].concat()
    };
    let sealed = |length: u16| {
        [&[1, 44, 1, 0][..], &[7; 64], &length.to_le_bytes(), &vec![7; usize::from(length)]].concat()
    };

    let offer = offer.to_bytes();
    let manifests = [vec![time(1)], vec![time(1), time(2), time(3), time(4)]].map(|dates| {
        let manifest =
            CohortManifest { publications: PublicationDates::new(&dates).unwrap(), ..manifest.clone() };
        (manifest.to_bytes(), manifest.sign(&platform_key).unwrap().to_bytes())
    });
    let [(plain, signed), (plain_of_four, signed_of_four)] = manifests;
    let (one, all) = (ceremony(1), ceremony(Committee::MAX_TRUSTEES as u16));
    let code = [
        of_vectors::<Enrolment>(include_str!("vectors/enrolments.json")),
        of_vectors::<TokenRequest>(include_str!("vectors/requests.json")),
        of_vectors::<Grant>(include_str!("vectors/grants.json")),
        of_vectors::<Presentation>(include_str!("vectors/same_author.json")),
        fixed(&action),
        of_vectors::<DecryptionShare>(include_str!("vectors/openings.json")),
        row::<Blind>(&blind(2), &blind(64), 0),
        of_vectors::<Accepted>(include_str!("vectors/accepted.json")),
        row::<Offer>(&offer, &offer, merchant),
        row::<CohortManifest>(&plain, &plain_of_four, merchant),
        row::<SignedManifest>(&signed, &signed_of_four, merchant),
        row::<Review>(&short.to_bytes(), &long.to_bytes(), 0),
        fixed(&Receipt::sign(&platform_key, terms).unwrap()),
        row::<ComparisonShare>(&comparison(2), &comparison(64), 0),
        row::<PublishedEntry>(&published, &published, merchant),
        fixed(&ActionEntry { action: action.clone(), boundary: time(2) }),
        fixed(&HeldWithdrawalEntry {
            action: action.clone(),
            author_key: AuthorKey([6; 32]),
            presentation_hash: [5; 32],
            boundary: time(2),
        }),
        row::<RemovedEntry>(&removed(1), &removed(RemovedEntry::MAX_GROUNDS), 0),
        fixed(&DoorMessage::new(asked).unwrap()),
        fixed(&DoorAnswer::accepted(vec![])),
        fixed(&DoorKeyEntry::sign(&platform_key, "log", 1, [2; 32], 0, time(1)..time(2)).unwrap()),
        row::<BundlePiece>(&piece(1), &piece(BundlePiece::MAX_BYTES), 0),
        fixed(&BindingEntry { wallet_key_hash: [5; 32], commitment: [6; 32] }),
        row::<CeremonyPlan>(&one[0], &all[0], 0),
        row::<SignedCommittee>(&one[1], &all[1], 0),
        row::<EscrowKeyCertificate>(&one[2], &all[2], 0),
        inclusion_proofs(),
        row::<CosignedEntry>(
            &cosigned_entry(1, 0, 1),
            &cosigned_entry(tree::MAX_SIZE, 62, CosignedEntry::MAX_ENTRY),
            0,
        ),
        row::<WarrantEntry>(
            &warrant(1, 1),
            &warrant(WarrantEntry::MAX_REQUESTER, WarrantEntry::MAX_TAGS as u8),
            0,
        ),
        fixed(&ShareReleasedEntry::sign(&trustee_key, "openings", 1, 1, [6; 32], [7; 32]).unwrap()),
        fixed(
            &RoundEntry::from_bytes(&[&[1, 27][..], &[6; 32], &[1, 0], &[1; 8], &[7; 64]].concat()).unwrap(),
        ),
        fixed(&BlindEntry::sign(&trustee_key, "openings", [6; 32], 1, 1, [7; 32]).unwrap()),
        fixed(&ComparedEntry::sign(&trustee_key, "openings", [6; 32], 1, 1, [7; 32]).unwrap()),
        fixed(&DisclosedEntry { warrant_digest: [6; 32], blind: [7; 32] }),
        row::<SealedShare>(&sealed(184), &sealed(2_202), 0),
        fixed(&ActionReceipt::sign(&platform_key, &action, time(2), 1).unwrap()),
        fixed(&question),
        fixed(&ReviewState {
            review_id,
            last_sequence: 0,
            digest_in_force: [4; 32],
            standing: ReviewStanding::Held,
            published_at: time(2),
        }),
        row::<StaffKeyEntry>(&staff(1), &staff(64), 0),
        row::<RecoveredEntry>(&recovered(1), &recovered(RecoveredEntry::MAX_GROUNDS), 0),
        fixed(&StoreMarkEntry::new(&[5; 32], 7, &[6; 16])),
    ];
    let mut manual = manual();
    // Their lengths are the crate's own tests' concern.
    let of_others = [
        (14, "SealedBackup"),
        (33, "CeremonyMessage"),
        (36, "SealedTrusteeSecrets"),
        (42, "PresentedWarrant"),
        (43, "ReviewEvidence"),
        (45, "Opening"),
    ];
    for (kind, name) in of_others {
        assert_eq!(manual.remove(&kind).unwrap().0, name);
    }
    assert_eq!(manual, BTreeMap::from(code));
}

/// The file with this path, or nothing.
fn source(path: &str) -> String {
    std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_default()
}

/// The tests that a chapter names between two marks as `path::name`, of which none is missing.
fn tests_named(chapter: &str, mark: &str) -> usize {
    let table = chapter.split(&format!("<!-- {mark}:begin -->")).nth(1).unwrap();
    let table = table.split(&format!("<!-- {mark}:end -->")).next().unwrap();
    let code = table.split('`').skip(1).step_by(2);
    let named: Vec<_> = code.filter_map(|code| code.split_once("::")).collect();
    let is_test = |source: &str, test: &str| {
        let marks = source.match_indices("#[test]").chain(source.match_indices("#[tokio::test"));
        marks.map(|(at, _)| source.get(at..).unwrap_or_default()).any(|rest| {
            let mut lines = rest.lines().map(|line| line.trim_start().trim_start_matches("async "));
            lines
                .find(|line| line.starts_with("fn "))
                .is_some_and(|line| line.starts_with(&format!("fn {test}(")))
        })
    };
    let missing: Vec<_> = named.iter().filter(|(path, test)| !is_test(&source(path), test)).collect();
    assert!(missing.is_empty(), "the manual names tests that are not there: {missing:#?}");
    named.len()
}

#[test]
fn every_test_that_a_claim_names_exists() {
    let threats = include_str!("../src/manual/threats.md");
    let named = tests_named(threats, "claims");
    assert!(named > 20, "the table of claims was not found");
    // Cases of the check on a SIP path are functions, named with spaces.
    let check = source("tests/sip/check.py");
    let cases: Vec<&str> = threats
        .split("`tests/sip/check.py`, case \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let is_case = |case: &&str| check.contains(&format!("    {},\n", case.replace(' ', "_")));
    assert!(cases.len() > 1 && cases.iter().all(is_case), "cases that are not there: {cases:?}");
}

/// Of the tables that say what shows a claim. A model's variants stand under its name.
#[test]
fn every_model_that_a_claim_names_exists_and_none_is_left_out() {
    let chapter = include_str!("../src/manual/proofs.md");
    assert!(tests_named(chapter, "proofs") > 15, "the table of proofs was not found");
    let named = |chapter: &str| -> BTreeSet<String> {
        let code = chapter.split('`').filter(|code| code.starts_with("formal/") && code.ends_with(".pv"));
        code.map(str::to_owned).collect()
    };
    let models: BTreeSet<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/formal"))
        .unwrap()
        .map(|file| format!("formal/{}", file.unwrap().file_name().into_string().unwrap()))
        .filter(|path| path.ends_with(".pv"))
        .collect();
    assert_eq!(named(chapter), models);
    assert!(named(include_str!("../src/manual/threats.md")).is_subset(&models));
    for model in &models {
        let text = source(model);
        assert!(
            text.lines().any(|line| line.starts_with("   -  ")),
            "{model} does not say what must be shown"
        );
        assert!(text.contains("(* in "), "{model} has no variant without one of its rules");
    }
    for row in chapter.lines().filter(|row| row.starts_with("| ") && row.contains("variant `")) {
        let (model, rest) = row.split_once("`formal/").unwrap().1.split_once('`').unwrap();
        let variant = rest.split("variant `").nth(1).unwrap().split('`').next().unwrap();
        assert!(source(&format!("formal/{model}")).contains(&format!("(* in {variant}: ")), "{row}");
    }
}

#[test]
fn every_refusal_has_a_place_and_a_test_that_exist() {
    let chapter = include_str!("../src/manual/refusals.md");
    assert!(tests_named(chapter, "refusals") > 80, "the tables of refusals were not found");
    let tables = chapter.split("<!-- refusals:end -->").next().unwrap();
    for row in tables.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| rule ")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, _, places, test, _] = cells[..] else { panic!("not three columns: {row}") };
        assert!(test.starts_with('`') && test.contains("::"), "no test: {row}");
        for place in places.split('`').filter(|place| place.ends_with(".rs")) {
            assert!(!source(place).is_empty(), "no such file: {row}");
        }
        assert!(places.contains(".rs"), "no place: {row}");
    }
}

#[test]
fn the_embedding_in_the_readme_is_the_example() {
    let read = |path: &str| {
        std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
    };
    let (readme, example) = (read("README.md"), read("examples/embed.rs"));
    let block = readme.split("<!-- embed -->").nth(1).unwrap().split("<!-- /embed -->").next().unwrap();
    let mut rest = example.lines().map(str::trim);
    let mut lines = 0;
    for line in block.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("```")) {
        assert!(rest.any(|other| other == line), "not in the example, or in another order: {line}");
        lines += 1;
    }
    assert!((15..=25).contains(&lines), "the embedding has {lines} lines");
}
