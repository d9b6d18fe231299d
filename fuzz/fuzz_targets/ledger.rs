//! The ledgers' texts print as they were read, and proofs hold exactly when a naive tree says so.

#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use unjoin::ledger::tile::{TileId, TileProver, decode_bundle, decode_tile, encode_bundle, tiles_since};
use unjoin::ledger::tree::Hash;
use unjoin::ledger::{
    AddCheckpoint, Checkpoint, ConsistencyProof, InclusionProof, KeyName, Note, NoteKey, NotePublicKey,
    SignatureLine, SignedCheckpoint, Witness, WitnessPolicy, WitnessPublicKey, WitnessService,
};
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::MemoryStore;
use unjoin::{Environment, ManualClock, Timestamp};

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    match choice % 6 {
        0 => texts(rest),
        1 => bundles(rest),
        2 => drop(inclusion(&mut Unstructured::new(rest))),
        3 => drop(consistency(&mut Unstructured::new(rest))),
        4 => drop(tiles(&mut Unstructured::new(rest))),
        _ => drop(quorum(&mut Unstructured::new(rest))),
    }
});

/// Whatever is read is printed the same: there is one form of each.
fn texts(bytes: &[u8]) {
    if let Ok(note) = Note::parse(bytes) {
        assert_eq!(note.to_bytes(), bytes);
        assert!(note.lines().len() <= Note::MAX_LINES && bytes.len() <= Note::MAX_LEN);
        if let Ok(checkpoint) = Checkpoint::parse_text(note.text()) {
            assert_eq!(checkpoint.to_text(), note.text());
        }
        assert_ne!(note.is_signed_by(log().public()), Ok(true), "an input has no signature of ours");
    }
    if let Ok(request) = AddCheckpoint::parse(bytes) {
        assert_eq!(request.to_bytes(), bytes);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(checkpoint) = Checkpoint::parse_text(text) {
        assert_eq!(checkpoint.to_text(), text);
    }
    if let Ok(key) = text.parse::<NotePublicKey>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(key) = text.parse::<WitnessPublicKey>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(line) = text.parse::<SignatureLine>() {
        assert_eq!(line.to_string(), text);
    }
}

fn bundles(bytes: &[u8]) {
    if let Some(entries) = decode_bundle(bytes) {
        assert!(entries.len() <= 256);
        assert_eq!(encode_bundle(entries.iter().map(Vec::as_slice)), bytes);
    }
    if let Some(hashes) = decode_tile(bytes) {
        assert_eq!(hashes.as_flattened(), bytes);
    }
}

fn leaf(index: u64) -> Hash {
    Sha256::new_with_prefix([0]).chain_update(index.to_le_bytes()).finalize().into()
}

/// The tree head of leaves `from .. to`, as RFC 6962 defines it.
fn naive(from: u64, to: u64) -> Hash {
    match to - from {
        0 => Sha256::digest([]).into(),
        1 => leaf(from),
        width => {
            let left = (1..).map(|bits| 1 << bits).find(|power| *power >= width).unwrap() / 2;
            let (left, right) = (naive(from, from + left), naive(from + left, to));
            Sha256::new_with_prefix([1]).chain_update(left).chain_update(right).finalize().into()
        }
    }
}

/// RFC 6962, section 2.1.1.
fn naive_path(index: u64, from: u64, to: u64) -> Vec<Hash> {
    if to - from == 1 {
        return Vec::new();
    }
    let left = (1..).map(|bits| 1 << bits).find(|power| *power >= to - from).unwrap() / 2;
    let middle = from + left;
    let (mut path, other) = if index < middle {
        (naive_path(index, from, middle), naive(middle, to))
    } else {
        (naive_path(index, middle, to), naive(from, middle))
    };
    path.push(other);
    path
}

/// RFC 6962, section 2.1.2.
fn naive_proof(old: u64, from: u64, to: u64, whole: bool) -> Vec<Hash> {
    if old == to {
        return if whole { Vec::new() } else { vec![naive(from, to)] };
    }
    let left = (1..).map(|bits| 1 << bits).find(|power| *power >= to - from).unwrap() / 2;
    let middle = from + left;
    let (mut path, other) = if old <= middle {
        (naive_proof(old, from, middle, whole), naive(middle, to))
    } else {
        (naive_proof(old, middle, to, false), naive(from, middle))
    };
    path.push(other);
    path
}

/// Changes the hashes as the input says; whether they are others now.
fn disturb(path: &mut Vec<Hash>, input: &mut Unstructured<'_>) -> arbitrary::Result<bool> {
    let before = path.clone();
    for _ in 0..input.int_in_range(0..=2)? {
        match input.int_in_range(0..=3)? {
            0 if !path.is_empty() => drop(path.remove(input.choose_index(path.len())?)),
            1 => path.push(Arbitrary::arbitrary(input)?),
            2 if !path.is_empty() => {
                let at = input.choose_index(path.len())?;
                path[at][input.int_in_range(0..=31)?] ^= u8::arbitrary(input)?;
            }
            3 if path.len() > 1 => {
                let (a, b) = (input.choose_index(path.len())?, input.choose_index(path.len())?);
                path.swap(a, b);
            }
            _ => {}
        }
    }
    Ok(*path != before)
}

fn inclusion(input: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let size = input.int_in_range(1..=140)?;
    let index = input.int_in_range(0..=size - 1)?;
    let mut path = naive_path(index, 0, size);
    let disturbed = disturb(&mut path, input)?;
    let (claimed_size, claimed_index) = (input.int_in_range(1..=140)?, input.int_in_range(0..=139)?);
    let claims = if input.arbitrary()? { (claimed_index, claimed_size) } else { (index, size) };
    let Some(proof) = InclusionProof::from_parts(claims.0, claims.1, path.clone()) else { return Ok(()) };
    assert_eq!(path.len(), naive_path(claims.0, 0, claims.1).len());
    // Against the root of the size that it claims: a checkpoint says which root that is.
    let holds = proof.verify(&index.to_le_bytes(), &naive(0, claims.1)).is_ok();
    let is_it = path == naive_path(claims.0, 0, claims.1) && claims.0 == index;
    assert_eq!(holds, is_it);
    assert!(!disturbed || claims != (index, size) || !holds);
    Ok(())
}

fn consistency(input: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let size = input.int_in_range(1..=140)?;
    let old = input.int_in_range(1..=size)?;
    let mut path = naive_proof(old, 0, size, true);
    disturb(&mut path, input)?;
    let claims: (u64, u64) = if input.arbitrary()? {
        (input.int_in_range(0..=140)?, input.int_in_range(0..=140)?)
    } else {
        (old, size)
    };
    let Some(proof) = ConsistencyProof::from_parts(claims.0, claims.1, path.clone()) else { return Ok(()) };
    let right = if claims.0 == 0 { Vec::new() } else { naive_proof(claims.0, 0, claims.1, true) };
    let holds = proof.verify(&naive(0, claims.0), &naive(0, claims.1)).is_ok();
    assert_eq!(holds, path == right);
    if claims.0 > 0 && claims.0 < claims.1 {
        // Nor from another history's root.
        assert!(proof.verify(&naive(1, 1 + claims.0), &naive(0, claims.1)).is_err());
    }
    Ok(())
}

fn tiles(input: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let size = input.int_in_range(1..=700u64)?;
    let index = input.int_in_range(0..=size - 1)?;
    let fetch = |id: TileId| {
        let width = 1 << (8 * u32::from(id.level.unwrap()));
        let hashes = (0..u64::from(id.width)).map(|at| id.index * 256 + at);
        Ok::<_, std::convert::Infallible>(hashes.map(|at| naive(at * width, (at + 1) * width)).collect())
    };
    let mut prover = TileProver::new(size, fetch);
    assert_eq!(prover.root().unwrap(), naive(0, size));
    assert_eq!(prover.inclusion(index).unwrap().unwrap().path(), naive_path(index, 0, size));
    let proof = if index == 0 { Vec::new() } else { naive_proof(index, 0, size, true) };
    assert_eq!(prover.consistency(index).unwrap().unwrap().path(), proof);
    // Every entry is in one bundle, each from the first on which it is wider.
    let older = input.int_in_range(0..=size)?;
    let new: u64 =
        tiles_since(older, size).filter(|id| id.level.is_none()).map(|id| u64::from(id.width)).sum();
    assert_eq!(new, if older == size { 0 } else { size - older / 256 * 256 });
    Ok(())
}

fn log() -> NoteKey {
    NoteKey::from_secret_bytes(KeyName::new("log").unwrap(), &SecretBytes::new([1; 32]))
}

/// A witness that was never asked, at this time.
fn fresh(number: u8, seconds: u64) -> WitnessService<MemoryStore> {
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(seconds)));
    let environment = Environment::new(clock, || Box::new(SystemRng::new()));
    let logs = vec![log().public().clone()];
    let name = KeyName::new(format!("witness/{number}")).unwrap();
    let (store, seed) = (Arc::new(MemoryStore::new()), SecretBytes::new([100 + number; 32]));
    WitnessService::create_with_key_that_may_have_signed(store, name, seed, logs, environment).unwrap()
}

/// Whichever witnesses cosign, whenever: believed is what a quorum says, at its median.
fn quorum(input: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let (w, f, q) = (input.int_in_range(1..=5)?, input.int_in_range(0..=2)?, input.int_in_range(0..=6)?);
    let keys: Vec<_> = (0..w as u8).map(|number| fresh(number, 1).public_key().clone()).collect();
    let freshness = input.int_in_range(0..=100)?;
    let policy = WitnessPolicy::new(log().public().clone(), keys, q, f, freshness);
    let sound = q <= w && 2 * q > w + f && q > 2 * f;
    assert_eq!(policy.is_ok(), sound);
    let Ok(policy) = policy else { return Ok(()) };
    let mut checkpoint = SignedCheckpoint::sign(3, [7; 32], &log()).unwrap();
    let mut times = Vec::new();
    // Some of the policy's, and strangers.
    for number in 0..7u8 {
        if !bool::arbitrary(input)? {
            continue;
        }
        let seconds = 1_000 + input.int_in_range(0..=300u64)?;
        let witness = fresh(number, seconds);
        let request = AddCheckpoint { old_size: 0, path: vec![], checkpoint: checkpoint.note().clone() };
        let line = witness.add_checkpoint(&request).unwrap();
        checkpoint.add_cosignature(line, witness.public_key()).unwrap();
        if usize::from(number) < w {
            times.push(seconds);
        }
    }
    let now = 1_000 + input.int_in_range(0..=300u64)?;
    let median = |mut times: Vec<u64>| {
        times.sort_unstable();
        (times.len() >= q).then(|| times[(times.len() - 1) / 2])
    };
    let read =
        policy.read(&checkpoint.to_bytes()).ok().map(|(_, quorum)| quorum.median_time.as_unix_seconds());
    assert_eq!(read, median(times.clone()));
    times.retain(|time| time.abs_diff(now) <= freshness);
    let fresh = policy.read_fresh(&checkpoint.to_bytes(), Timestamp::from_unix_seconds(now));
    assert_eq!(fresh.ok().map(|(_, quorum)| quorum.median_time.as_unix_seconds()), median(times));
    Ok(())
}
