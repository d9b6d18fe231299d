//! Writes seeds of `decode` and `serde`: messages out of the vectors, and of each kind that these have none of;
//! the same in every run. Seeds that no longer decode are removed, and every kind must have one.
//!
//! ```console
//! cargo run --release --manifest-path fuzz/Cargo.toml --example seeds
//! ```

use base64ct::{Base64UrlUnpadded, Encoding};
use curve25519_dalek::constants::RISTRETTO_BASEPOINT_COMPRESSED;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use unjoin::ledger::{
    ActionEntry, BindingEntry, BlindEntry, ComparedEntry, CosignedEntry, DoorKeyEntry, HeldWithdrawalEntry,
    InclusionProof, KeyName, Members, NoteKey, PublishedEntry, RecoveredEntry, RecoveredStore, RemovedEntry,
    RoundEntry, ShareReleasedEntry, StaffKeyEntry, StoreMarkEntry, WarrantAction,
};
use unjoin::opening::ceremony::{CeremonyMessage, CeremonyPlan, Step};
use unjoin::opening::warrant::{PresentedWarrant, Warrant, WarrantTerms};
use unjoin::opening::{ReviewEvidence, SignedCommittee, TrusteeSecrets};
use unjoin::secret::SecretBytes;
use unjoin::token::{
    Accepted, ActionReceipt, AuthorAction, CohortManifest, DoorAnswer, DoorMessage, DoorQuestion,
    OrderHandle, PublicationDates, Receipt, ReceiptTerms, ReviewStanding, ReviewState, StaffKey,
    StateQuestion, TrusteeKey, Trustees,
};
use unjoin::wire::Message;
use unjoin::{PassphraseCost, Timestamp};
use unjoin_fuzz::pool::{AUTHORS, KEYS, name, review};
use unjoin_fuzz::{for_every_kind, kinds::stretched};
use unjoin_test_util::Seeded;
use unjoin_wallet::AuthorRequest;

/// How many messages of a kind are taken from the vectors.
const OF_A_KIND: usize = 3;
/// The longest seed: what `fuzz/run` lets these targets read.
const LONGEST: usize = 6_144;

/// A checkpoint with one line of a signature, as [`CosignedEntry`] carries it. Nobody signed it.
const CHECKPOINT: &str = concat!(
    "reviews.shop.example/log\n2\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n",
    "\u{2014} reviews.shop.example/log AAAAAAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB\n",
);

fn main() -> std::io::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (ceremony, committee) = ceremony();
    let mut seeds = vectors(&here.join("../tests/vectors"))?;
    seeds.extend(messages(&committee).into_iter().chain(ceremony));
    for directory in ["seeds/decode", "seeds/serde"] {
        let directory = here.join(directory);
        for (name, bytes) in &seeds {
            fs::write(directory.join(name), bytes)?;
        }
        for file in fs::read_dir(&directory)? {
            let path = file?.path();
            let is_kind = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("kind-"));
            if is_kind && !decodes(&stretched(&fs::read(&path)?)) {
                fs::remove_file(path)?;
            }
        }
    }
    documents(&here.join("seeds/serde"))?;
    let seeds: Vec<Vec<u8>> = fs::read_dir(here.join("seeds/decode"))?
        .map(|file| Ok(stretched(&fs::read(file?.path())?)))
        .collect::<std::io::Result<_>>()?;
    macro_rules! seeded {
        ($kind:ty) => {
            assert!(seeds.iter().any(|seed| <$kind>::from_bytes(seed).is_ok()), "{}", <$kind>::NAME);
        };
    }
    for_every_kind!(seeded);
    Ok(())
}

fn decodes(bytes: &[u8]) -> bool {
    let mut some = false;
    macro_rules! any {
        ($kind:ty) => {
            some |= <$kind>::from_bytes(bytes).is_ok();
        };
    }
    for_every_kind!(any);
    some
}

/// As a file: what is padded with zeros without them, since the targets put them there.
fn seed(kind: u8, number: &str, mut bytes: Vec<u8>) -> (String, Vec<u8>) {
    if [DoorMessage::KIND, DoorAnswer::KIND].contains(&kind) {
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(used);
    }
    (format!("kind-{kind:02}-{number}"), bytes)
}

/// The first messages of each kind among the positive vectors.
fn vectors(directory: &Path) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut files: Vec<_> =
        fs::read_dir(directory)?.map(|file| Ok(file?.path())).collect::<std::io::Result<_>>()?;
    files.sort();
    let mut found: BTreeMap<u8, Vec<Vec<u8>>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|ending| ending == "json")) {
        if !file.ends_with("negative.json") {
            collect(&serde_json::from_slice(&fs::read(file)?)?, &mut found);
        }
    }
    let of_a_kind = |(kind, messages): (u8, Vec<Vec<u8>>)| {
        let numbered = messages.into_iter().enumerate();
        numbered.map(move |(number, bytes)| seed(kind, &number.to_string(), bytes))
    };
    Ok(found.into_iter().flat_map(of_a_kind).collect())
}

fn collect(value: &serde_json::Value, found: &mut BTreeMap<u8, Vec<Vec<u8>>>) {
    match value {
        serde_json::Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        serde_json::Value::Object(fields) => fields.values().for_each(|value| collect(value, found)),
        serde_json::Value::String(text) => {
            let Ok(bytes) = base16(text) else { return };
            let [1, kind, ..] = bytes[..] else { return };
            let known = found.entry(kind).or_default();
            if known.len() < OF_A_KIND && bytes.len() <= LONGEST && !known.contains(&bytes) && decodes(&bytes)
            {
                known.push(bytes);
            }
        }
        _ => {}
    }
}

fn base16(text: &str) -> Result<Vec<u8>, std::num::ParseIntError> {
    let digits: Vec<&str> =
        text.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap_or("-")).collect();
    digits.into_iter().map(|pair| u8::from_str_radix(pair, 16)).collect()
}

/// A review and a binding as serde's two forms have them, and the text within alone.
fn documents(directory: &Path) -> std::io::Result<()> {
    let review = review(2).to_bytes();
    let bytes = binding().to_bytes();
    let text = Base64UrlUnpadded::encode_string(&bytes);
    fs::write(directory.join("document-12"), format!("\"{}\"", Base64UrlUnpadded::encode_string(&review)))?;
    fs::write(directory.join("document-24"), format!("\"{text}\""))?;
    fs::write(directory.join("text-24"), text)?;
    fs::write(directory.join("postcard-24"), postcard::to_allocvec(bytes.as_slice()).expect("bytes"))
}

fn binding() -> BindingEntry {
    let wallet_key = AUTHORS[0].wallet.wallet_key(&name("issuer")).expect("a key");
    BindingEntry::new(&name("ann"), &wallet_key, &[6; 32])
}

/// What `entry` is under a checkpoint that nobody signed.
fn cosigned(entry: Vec<u8>) -> CosignedEntry {
    let proof = InclusionProof::from_parts(1, 2, vec![[7; 32]]).expect("a path of one");
    CosignedEntry::new(entry, proof, CHECKPOINT.into()).expect("a note")
}

/// Of each kind that the vectors have none of: what somebody of the fuzzer's own platform says, or, where that takes
/// more than one party, the bytes as the wire's manual has them.
fn messages(committee: &SignedCommittee) -> Vec<(String, Vec<u8>)> {
    let (author, boundary) = (&AUTHORS[0], Timestamp::from_unix_seconds(2_600 * 604_800));
    let (token, presentation) = (&author.token, author.present(&review(0), 1));
    let (review_id, review_digest) = (presentation.review_id(), review(0).digest());
    let (author_key, presentation_hash) = (*presentation.author_key(), presentation.hash());
    let state = ReviewState {
        review_id,
        last_sequence: 0,
        digest_in_force: review_digest,
        standing: ReviewStanding::Held,
        published_at: boundary,
    };
    let act = |request| -> AuthorAction {
        author.wallet.act(token, &state, request, boundary, &mut Seeded(1)).expect("signs").action
    };
    let (withdrawal, edited) = (act(AuthorRequest::Withdraw), review(2));
    let question: StateQuestion = author.wallet.ask_state(token, boundary, &mut Seeded(2)).expect("signs");
    let manifest = CohortManifest {
        scope: token.scope().clone(),
        escrow_id: *token.escrow_key().id(),
        at_least: 20,
        publications: PublicationDates::new(&[
            boundary.saturating_add(604_800),
            boundary.saturating_add(2 * 604_800),
        ])
        .expect("rising"),
    };
    let terms = ReceiptTerms {
        review_id,
        review_digest,
        presentation_hash,
        author_key,
        publish_by: boundary,
        era: 1,
    };
    let published = PublishedEntry {
        scope: token.scope().clone(),
        boundary,
        review_id,
        review_digest,
        presentation_hash,
        author_key,
    };
    let held = HeldWithdrawalEntry { action: withdrawal.clone(), author_key, presentation_hash, boundary };
    let (staff, trustee) = (StaffKey::generate(&mut Seeded(3)), TrusteeKey::generate(&mut Seeded(4)));
    let removed = RemovedEntry::sign(&staff, ORIGIN, review_id, review_digest, "spam").expect("grounds");
    let officer = KeyName::new("court/1").expect("a name");
    let officer = NoteKey::from_secret_bytes(officer, &SecretBytes::new([5; 32]));
    let warrant = warrant(&officer, boundary, review_id);
    let (origin, commitment) = (KeyName::new(ORIGIN).expect("a name"), warrant.commitment());
    let release = ShareReleasedEntry::sign(&trustee, ORIGIN, 2, 1, commitment, warrant.tag(&review_id));
    let release = release.expect("in range").to_bytes();
    let members = Members::new([1, 2, 4]).expect("three");
    let accepted = Accepted::prove(&author.keys().issuer_key, &presentation, &review_digest, &mut Seeded(5));
    let evidence =
        ReviewEvidence { presentation, accepted, review_digest, published: cosigned(published.to_bytes()) };
    let handle = OrderHandle([1; 16]);
    let door = |question| DoorMessage::new(question).expect("fits").to_bytes();
    let receipt = Receipt::sign(&KEYS.platform, terms).unwrap().to_bytes();
    let opening = opening(
        &warrant,
        warrant.entry(&origin, &officer).unwrap().to_bytes(),
        &evidence,
        committee,
        &release,
    );

    let index = |index: u16| index.to_le_bytes().to_vec();
    let number = |number: u64| number.to_le_bytes().to_vec();
    let digests = |count: u8| (1..=count).flat_map(|byte| [byte; 32]).collect::<Vec<u8>>();
    let plain = |kind: u8, body: Vec<Vec<u8>>| [vec![1, kind], body.concat()].concat();
    let made = [
        KEYS.offer(0, token.scope(), handle).to_bytes(),
        manifest.clone().sign(&KEYS.platform).unwrap().to_bytes(),
        manifest.to_bytes(),
        edited.to_bytes(),
        receipt.clone(),
        published.to_bytes(),
        ActionEntry { action: act(AuthorRequest::Edit(&edited)), boundary }.to_bytes(),
        held.to_bytes(),
        removed.to_bytes(),
        StaffKeyEntry::sign(&KEYS.platform, ORIGIN, &staff.public(), name("staff 3")).unwrap().to_bytes(),
        RecoveredEntry::sign(&staff, ORIGIN, RecoveredStore::Reviews, 2, 7, "the volume was lost")
            .expect("grounds")
            .to_bytes(),
        StoreMarkEntry::new(&[1; 32], 7, &[2; 16]).to_bytes(),
        DoorKeyEntry::sign(
            &KEYS.platform,
            ORIGIN,
            7,
            [1; 32],
            3,
            boundary..boundary.saturating_add(1_209_600),
        )
        .expect("it holds for a while")
        .to_bytes(),
        plain(57, vec![digests(1), index(1), index(2), index(300), vec![9; 300]]),
        plain(20, vec![number(5), number(13), digests(4)]),
        cosigned(published.to_bytes()).to_bytes(),
        door(DoorQuestion::State { scope: token.scope().clone(), question: question.clone() }),
        binding().to_bytes(),
        warrant.entry(&origin, &officer).unwrap().to_bytes(),
        release,
        RoundEntry::sign(officer.signer(), ORIGIN, commitment, 1, members).expect("a round").to_bytes(),
        BlindEntry::sign(&trustee, ORIGIN, commitment, 1, 2, [1; 32]).expect("in range").to_bytes(),
        plain(30, vec![digests(2)]),
        DoorAnswer::accepted(receipt).to_bytes(),
        ComparedEntry::sign(&trustee, ORIGIN, commitment, 1, 2, [1; 32]).expect("in range").to_bytes(),
        warrant.to_bytes(),
        evidence.to_bytes(),
        // 136 bytes, sealed.
        plain(44, vec![index(1), digests(2), index(136 + SEALING), vec![9; usize::from(136 + SEALING)]]),
        opening,
        ActionReceipt::sign(&KEYS.platform, &withdrawal, boundary, 1).unwrap().to_bytes(),
        question.to_bytes(),
        state.to_bytes(),
    ];
    let mut seeds: Vec<_> = made.into_iter().map(|bytes| seed(bytes[1], "9", bytes)).collect();
    let bundle = DoorQuestion::Bundle { boundary, shard: 3, piece: 1 };
    seeds.push(seed(DoorMessage::KIND, "8", door(bundle)));
    seeds.push(seed(DoorAnswer::KIND, "8", DoorAnswer::refused(404, "desk.unknown_review").to_bytes()));
    seeds
}

/// The name of both ledgers.
const ORIGIN: &str = "shop.example/log";
/// What sealing adds: the sender's key and a tag.
const SEALING: u16 = 32 + 16;

fn warrant(officer: &NoteKey, from: Timestamp, review: unjoin::token::ReviewId) -> PresentedWarrant {
    let valid = from..=from.saturating_add(604_800);
    let terms =
        WarrantTerms::new("case 1", name("court"), WarrantAction::Open, 7, valid, [8; 32], vec![review]);
    let mut warrant = Warrant::draft(terms.expect("terms")).expect("a note");
    warrant.sign(officer).expect("signs");
    PresentedWarrant::with_blind(warrant, [6; 32])
}

/// With one share, and with the account.
fn opening(
    warrant: &PresentedWarrant,
    logged: Vec<u8>,
    evidence: &ReviewEvidence,
    committee: &SignedCommittee,
    release: &[u8],
) -> Vec<u8> {
    let part = |bytes: Vec<u8>| [&(bytes.len() as u16).to_le_bytes(), &bytes[..]].concat();
    let element = RISTRETTO_BASEPOINT_COMPRESSED.to_bytes().to_vec();
    let one = vec![1, 0];
    let share = [one.clone(), 1u32.to_le_bytes().to_vec(), element.repeat(3), vec![0; 32]].concat();
    [
        vec![1, 45],
        part(warrant.to_bytes()),
        part(cosigned(logged).to_bytes()),
        part(evidence.to_bytes()),
        one.clone(),
        part(committee.to_bytes()),
        one,
        share,
        part(cosigned(release.to_vec()).to_bytes()),
        vec![1],
        part(b"ann".to_vec()),
        vec![6; 32],
        part(cosigned(binding().to_bytes()).to_bytes()),
    ]
    .concat()
}

/// Plan, messages and results of a ceremony of 2 of 3, and a committee of 64.
fn ceremony() -> (Vec<(String, Vec<u8>)>, SignedCommittee) {
    let rng = &mut Seeded(33);
    let mut secrets: Vec<_> = (0..3).map(|_| TrusteeSecrets::generate(rng)).collect();
    let keys = Trustees::new(secrets.iter().map(TrusteeSecrets::public).collect()).expect("three keys");
    let plan = CeremonyPlan::key_generation(2, keys, rng).expect("2 of 3");
    let mut messages: Vec<CeremonyMessage> = Vec::new();
    for trustee in &mut secrets {
        trustee.join(plan.clone(), plan.threshold(), rng).expect("idle");
    }
    let mut finished = 0;
    while finished < secrets.len() {
        finished = 0;
        for trustee in &mut secrets {
            match trustee.next(&messages, rng).expect("everybody is honest") {
                Step::Publish(message) => messages.push(message),
                Step::Finished(_) => finished += 1,
                _ => {}
            }
        }
    }
    let signed = secrets[0].committee().expect("finished").clone();
    let certificate = signed.certificate().expect("of a key's ceremony");
    // The smallest sealed part, its bytes left out: the target puts zeros there.
    let sealed = secrets[0].seal(b"passphrase", PassphraseCost::default(), rng).expect("sealed").to_bytes();
    let mut seeds = vec![
        ("kind-32-0".to_owned(), plan.to_bytes()),
        ("kind-34-0".to_owned(), signed.to_bytes()),
        ("kind-34-1".to_owned(), largest_committee(&signed.to_bytes())),
        ("kind-35-0".to_owned(), certificate.to_bytes()),
        ("kind-36-0".to_owned(), sealed[..74].to_vec()),
    ];
    let rounds = messages.iter().step_by(3).enumerate();
    seeds.extend(rounds.map(|(round, message)| (format!("kind-33-{round}"), message.to_bytes())));
    (seeds, signed)
}

/// 64 trustees any of whom opens alone: the most that one message makes a reader keep.
fn largest_committee(signed: &[u8]) -> Vec<u8> {
    let (epoch, key) = (&signed[2..6], &signed[10..42]);
    let mut bytes = [&[1, 34], epoch, &[1, 0, 64, 0], key].concat();
    (0..64).for_each(|_| bytes.extend(key));
    bytes.extend([5; 32]);
    bytes.extend([1, 0, 1, 0]);
    bytes.extend([6; 64]);
    bytes
}
