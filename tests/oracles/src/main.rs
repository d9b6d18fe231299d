//! Reads what `examples/ledger_files.rs` writes with the crates `signed_note` and `tlog_tiles`:
//! notes, checkpoints, a cosignature, tiles, bundles of entries, and proofs.
//!
//! Both are Rust ports of the Go code that the formats come from. They know no cosignatures, so
//! that one type of signature is verified here, after the words of C2SP tlog-cosignature.

use base64ct::{Base64, Encoding};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};
use signed_note::{Note, StandardVerifier, Verifier, VerifierList};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use tlog_tiles::{
    Checkpoint, Error, Hash, HashReader, Tile, TileHashReader, TileReader, check_record, check_tree,
    record_hash, stored_hash_index, tree_hash,
};

/// A witness's key: name, id and key of `<name>+<id>+<base64 of 4 and key>`.
struct Cosigner {
    name: String,
    id: u32,
    key: VerifyingKey,
}

impl Cosigner {
    fn parse(vkey: &str) -> Self {
        let mut parts = vkey.splitn(3, '+');
        let (name, id, encoded) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let typed = Base64::decode_vec(encoded).unwrap();
        assert_eq!(typed[0], 4, "a cosigner's key has type 4");
        let hash = Sha256::digest([name.as_bytes(), b"\n", &typed].concat());
        let id = u32::from_str_radix(id, 16).unwrap();
        assert_eq!(hash[..4], id.to_be_bytes(), "the key id is not that of the name and key");
        let key = VerifyingKey::from_bytes(typed[1..].try_into().unwrap()).unwrap();
        Self { name: name.to_owned(), id, key }
    }
}

impl Verifier for Cosigner {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn verify(&self, text: &[u8], timed: &[u8]) -> bool {
        let (time, signature) = timed.split_at(8);
        let time = u64::from_be_bytes(time.try_into().unwrap());
        let message = [format!("cosignature/v1\ntime {time}\n").as_bytes(), text].concat();
        self.key.verify_strict(&message, &Signature::from_slice(signature).unwrap()).is_ok()
    }
}

/// The tiles in a directory, by the paths of C2SP tlog-tiles.
struct Directory(PathBuf);

impl TileReader for Directory {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        // The crate's paths have the height too, as Go's checksum database has.
        let read = |tile: &Tile| fs::read(self.0.join(tile.path().replacen("tile/8/", "tile/", 1))).unwrap();
        Ok(tiles.iter().map(read).collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

fn checkpoint(path: &Path, log: &str, witness: &str) -> Checkpoint {
    let note = Note::from_bytes(&fs::read(path).unwrap()).unwrap();
    let known: Vec<Box<dyn Verifier>> =
        vec![Box::new(StandardVerifier::new(log).unwrap()), Box::new(Cosigner::parse(witness))];
    let (verified, unverified) = note.verify(&VerifierList::new(known)).unwrap();
    assert_eq!((verified.len(), unverified.len()), (2, 0), "the ledger's signature and the witness's");
    assert_eq!(note.to_bytes(), fs::read(path).unwrap());
    Checkpoint::from_bytes(note.text()).unwrap()
}

fn hash(text: &str) -> Hash {
    let byte = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap();
    Hash(std::array::from_fn(byte))
}

fn proofs(path: &Path) -> usize {
    let text = fs::read_to_string(path).unwrap();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        let path: Vec<Hash> = words[5..].iter().map(|word| hash(word)).collect();
        let verdict = match words[0] {
            "inclusion" => check_record(&path, number(1), hash(words[2]), number(3), hash(words[4])),
            "consistency" => check_tree(&path, number(3), hash(words[4]), number(1), hash(words[2])),
            other => panic!("not a proof: {other}"),
        };
        verdict.unwrap_or_else(|error| panic!("{line}: {error:?}"));
    }
    text.lines().count()
}

/// Every entry, out of the bundles, against the leaves that the tiles prove.
fn entries(directory: &Path, reader: &TileHashReader<'_>, size: u64) {
    for index in 0..size.div_ceil(256) {
        let width = (size - index * 256).min(256);
        let tile = Tile::new(8, 0, index, width as u32, false).path();
        let path = directory.join(tile.replacen("tile/8/0/", "tile/entries/", 1));
        let (bytes, mut at) = (fs::read(path).unwrap(), 0);
        let leaves: Vec<u64> = (0..width).map(|leaf| stored_hash_index(0, index * 256 + leaf)).collect();
        for leaf in reader.read_hashes(&leaves).unwrap() {
            let length = usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
            assert!(record_hash(&bytes[at + 2..at + 2 + length]) == leaf, "an entry is not its leaf");
            at += 2 + length;
        }
        assert_eq!(at, bytes.len());
    }
}

fn main() {
    let directory = PathBuf::from(env::args().nth(1).expect("usage: unjoin-oracles DIRECTORY"));
    let keys = fs::read_to_string(directory.join("keys")).unwrap();
    let key = |name: &str| keys.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    let (log, witness) = (key("log "), key("witness "));
    let older = checkpoint(&directory.join("older"), &log, &witness);
    let ledger = directory.join("ledger");
    let newer = checkpoint(&ledger.join("checkpoint"), &log, &witness);

    let tiles = Directory(ledger.clone());
    // It checks the tiles against the checkpoint's root before it answers.
    let reader = TileHashReader::new(newer.size(), *newer.hash(), &tiles);
    assert!(tree_hash(newer.size(), &reader).unwrap() == *newer.hash());
    let proof = tlog_tiles::prove_tree(newer.size(), older.size(), &reader).unwrap();
    check_tree(&proof, newer.size(), *newer.hash(), older.size(), *older.hash()).unwrap();
    entries(&ledger, &reader, newer.size());
    let proofs = proofs(&directory.join("proofs"));
    println!("two checkpoints, {} entries and {proofs} proofs hold", newer.size());
}
