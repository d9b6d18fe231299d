//! A witness: cosigns a log's checkpoints as long as each goes on from the one before
//! (C2SP tlog-witness, tlog-cosignature).
//!
//! It keeps one checkpoint of each log. That one is replaced, durably and by comparing first,
//! before the cosignature leaves; so after any crash it never cosigns two roots for one
//! size, nor a size smaller than one that it has cosigned.

use super::checkpoint::{SignedCheckpoint, parse_size};
use super::note::{Note, NoteError, NotePublicKey, SignatureLine, WitnessKey, WitnessPublicKey};
use super::proof::ConsistencyProof;
use super::tree::{Hash, empty_root};
use base64ct::{Base64, Encoding};
use unjoin_core::{Timestamp, describe_errors};

/// Cosigns checkpoints when asked: in this process, or behind HTTP.
///
/// [`Log::publish`](super::Log::publish) asks each witness in a thread of its own. It waits at most 30
/// seconds for a quorum, and then at most 2 for the others; who has not answered by then is
/// [`WitnessError::Silent`], its late answer is dropped, and it is not asked again before it has
/// answered. So one that hangs costs one thread, and holds nothing up; give a client timeouts all
/// the same, or it is not asked until the process ends.
pub trait Witness: Send + Sync + 'static {
    /// Its key, which policies name.
    fn public_key(&self) -> &WitnessPublicKey;

    /// Its cosignature on the checkpoint, after it has checked it against the last one that it
    /// cosigned.
    ///
    /// # Errors
    /// [`WitnessError::Conflict`] when the old size is not the last one that it cosigned: ask
    /// again from that one. The others are final or a passing failure, as they say.
    fn add_checkpoint(&self, request: &AddCheckpoint) -> Result<SignatureLine, WitnessError>;
}

/// What a witness is sent: a checkpoint, and the proof that it goes on from the last one that
/// the witness cosigned. The body of `POST <prefix>/add-checkpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size that the proof begins at.
    pub old_size: u64,
    /// The consistency proof's hashes, the lowest first: at most 63.
    pub path: Vec<Hash>,
    /// The checkpoint.
    pub checkpoint: Note,
}

impl AddCheckpoint {
    /// The longest request, in bytes.
    pub const MAX_LEN: usize = Note::MAX_LEN + 64 * 46;

    /// The request's body.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut body = format!("old {}\n", self.old_size);
        for hash in &self.path {
            body.push_str(&Base64::encode_string(hash));
            body.push('\n');
        }
        format!("{body}\n{}", self.checkpoint).into_bytes()
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`WitnessError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, WitnessError> {
        if bytes.len() > Self::MAX_LEN {
            return Err(WitnessError::Malformed);
        }
        let body = core::str::from_utf8(bytes).map_err(|_| WitnessError::Malformed)?;
        let (head, note) = body.split_once("\n\n").ok_or(WitnessError::Malformed)?;
        let mut lines = head.split('\n');
        let old_size = lines.next().and_then(|line| parse_size(line.strip_prefix("old ")?));
        let old_size = old_size.ok_or(WitnessError::Malformed)?;
        let path: Option<Vec<Hash>> =
            lines.map(|line| Base64::decode_vec(line).ok()?.try_into().ok()).collect();
        let path = path.filter(|path| path.len() <= ConsistencyProof::MAX_HASHES);
        let checkpoint = Note::parse(note.as_bytes()).map_err(|_| WitnessError::Malformed)?;
        Ok(Self { old_size, path: path.ok_or(WitnessError::Malformed)?, checkpoint })
    }
}

/// The last checkpoint that a witness cosigned, of each log.
pub trait WitnessState {
    /// The stored note of this origin.
    ///
    /// # Errors
    /// The engine's, as [`WitnessError::State`].
    fn last(&self, origin: &str) -> Result<Option<Vec<u8>>, WitnessError>;

    /// Replaces it, durably, if it is still `last`; `false` if it is another by now.
    ///
    /// # Errors
    /// The engine's, as [`WitnessError::State`]. It may have been replaced then.
    fn replace(&self, origin: &str, last: Option<&[u8]>, next: Vec<u8>) -> Result<bool, WitnessError>;
}

/// The witness's decisions, over any state.
#[derive(Debug)]
pub struct Cosigner<S> {
    key: WitnessKey,
    logs: Vec<NotePublicKey>,
    state: S,
}

impl<S: WitnessState> Cosigner<S> {
    /// A witness of these logs.
    pub fn new(key: WitnessKey, logs: Vec<NotePublicKey>, state: S) -> Self {
        Self { key, logs, state }
    }

    /// Its key.
    pub fn public_key(&self) -> &WitnessPublicKey {
        self.key.public()
    }

    /// The last checkpoint of this origin that it cosigned, with its cosignature.
    ///
    /// # Errors
    /// [`WitnessError::State`].
    pub fn last(&self, origin: &str) -> Result<Option<Vec<u8>>, WitnessError> {
        self.state.last(origin)
    }

    /// Checks a checkpoint against the last one, remembers it, and cosigns it at `now`.
    ///
    /// # Errors
    /// As the specification orders its answers; nothing is remembered or signed then.
    pub fn add_checkpoint(
        &self,
        request: &AddCheckpoint,
        now: Timestamp,
    ) -> Result<SignatureLine, WitnessError> {
        let note = &request.checkpoint;
        let origin = note.text().split('\n').next().unwrap_or_default();
        // A log whose key was exchanged has several; one of them must have signed.
        let mut keys = self.logs.iter().filter(|log| log.name().as_str() == origin).peekable();
        keys.peek().ok_or(WitnessError::UnknownLog)?;
        let log = keys.find(|log| note.is_signed_by(log) == Ok(true)).ok_or(WitnessError::Unsigned)?;
        let mut checkpoint = SignedCheckpoint::of_note(note.clone(), log).map_err(|error| match error {
            NoteError::EmptyRoot => WitnessError::Inconsistent,
            _ => WitnessError::Malformed,
        })?;
        if request.old_size > checkpoint.size() {
            return Err(WitnessError::Malformed);
        }
        let stored = self.state.last(origin)?;
        let (size, root) = match &stored {
            None => (0, empty_root()),
            Some(note) => {
                let of_origin = self.logs.iter().filter(|log| log.name().as_str() == origin);
                let last = of_origin.map(|log| SignedCheckpoint::parse(note, log)).find_map(Result::ok);
                let last = last.ok_or(WitnessError::Corrupt)?;
                (last.size(), *last.root())
            }
        };
        if request.old_size != size {
            return Err(WitnessError::Conflict { size });
        }
        let proof = ConsistencyProof::from_parts(size, checkpoint.size(), request.path.clone());
        let consistent = proof.is_some_and(|proof| proof.verify(&root, checkpoint.root()).is_ok());
        if !consistent {
            return Err(WitnessError::Inconsistent);
        }
        // A cosignature with the time zero would say nothing of when: the specification forbids it.
        if now == Timestamp::ZERO {
            return Err(WitnessError::Clock);
        }
        let line = checkpoint.cosign(&self.key, now);
        // Only the log's own line and this one are kept: others' are not the witness's to store.
        checkpoint.keep_lines_of(log);
        checkpoint.add_cosignature(line.clone(), self.key.public()).map_err(|_| WitnessError::Malformed)?;
        if !self.state.replace(origin, stored.as_deref(), checkpoint.to_bytes())? {
            return Err(WitnessError::Busy);
        }
        Ok(line)
    }
}

/// Why a witness does not cosign.
#[derive(Debug)]
#[non_exhaustive]
pub enum WitnessError {
    /// Not a request, or its old size is beyond the checkpoint's. HTTP 400.
    Malformed,
    /// No log that this witness knows. HTTP 404.
    UnknownLog,
    /// Not signed by the log. HTTP 403.
    Unsigned,
    /// The witness's last checkpoint has another size: prove consistency from that. HTTP 409.
    Conflict {
        /// The size of the last checkpoint that it cosigned.
        size: u64,
    },
    /// The checkpoint does not go on from the last one: a fork, or a wrong proof. HTTP 422.
    Inconsistent,
    /// Another request of the same log came in between. HTTP 503.
    Busy,
    /// It has not answered in time, now or when it was asked before. No witness answers this itself.
    Silent,
    /// Its clock stands at 1970 or before. HTTP 500.
    Clock,
    /// What the witness remembers does not decode. HTTP 500.
    Corrupt,
    /// Its memory, or the way to it, failed. HTTP 500.
    State(Box<dyn core::error::Error + Send + Sync>),
}

impl WitnessError {
    /// The status that the witness protocol answers with.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::UnknownLog => 404,
            Self::Unsigned => 403,
            Self::Conflict { .. } => 409,
            Self::Inconsistent => 422,
            Self::Busy | Self::Silent => 503,
            Self::Clock | Self::Corrupt | Self::State(_) => 500,
        }
    }
}

describe_errors!(WitnessError {
    Self::Malformed => "witness.malformed", Host, false, "not a request to add a checkpoint";
    Self::UnknownLog => "witness.unknown_log", Operator, false,
        "the witness does not know this log: give it the log's verification key";
    Self::Unsigned => "witness.unsigned", Operator, false,
        "the checkpoint is not signed by the log's key that the witness knows";
    Self::Conflict { size } => "witness.conflict", Host, true,
        "the witness's last checkpoint has size {size}: prove consistency from there";
    Self::Inconsistent => "witness.inconsistent", Operator, false,
        "the checkpoint does not go on from the witness's last one: the log was rolled back or forked, \
         stop and compare";
    Self::Busy => "witness.busy", Host, true, "another checkpoint of this log came in between: try again";
    Self::Silent => "witness.silent", Operator, true,
        "the witness has not answered in time, and is asked again once it has: see to its connection";
    Self::Clock => "witness.clock", Operator, true, "the witness's clock stands at 1970: set it";
    Self::Corrupt => "witness.corrupt", Operator, false,
        "what the witness stored does not decode: restore it, never begin anew under the same key";
    Self::State(source) => "witness.state", Operator, true, "the witness's memory failed: {source}";
});

#[cfg(test)]
mod tests {
    use super::super::note::{KeyName, NoteKey};
    use super::super::tree::{Frontier, leaf_hash, root_of};
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use unjoin_core::secret::SecretBytes;

    #[derive(Default)]
    struct Memory(Mutex<BTreeMap<String, Vec<u8>>>);

    impl WitnessState for &Memory {
        fn last(&self, origin: &str) -> Result<Option<Vec<u8>>, WitnessError> {
            Ok(self.0.lock().unwrap().get(origin).cloned())
        }

        fn replace(&self, origin: &str, last: Option<&[u8]>, next: Vec<u8>) -> Result<bool, WitnessError> {
            let mut rows = self.0.lock().unwrap();
            let same = rows.get(origin).map(Vec::as_slice) == last;
            if same {
                rows.insert(origin.to_owned(), next);
            }
            Ok(same)
        }
    }

    fn name(text: &str) -> KeyName {
        KeyName::new(text).unwrap()
    }

    fn log(name_: &str) -> NoteKey {
        NoteKey::from_secret_bytes(name(name_), &SecretBytes::new([1; 32]))
    }

    fn cosigner(memory: &Memory) -> Cosigner<&Memory> {
        let key = WitnessKey::from_secret_bytes(name("witness"), &SecretBytes::new([2; 32]));
        Cosigner::new(key, vec![log("log").public().clone()], memory)
    }

    fn leaves(history: u8, size: u64) -> Vec<Hash> {
        (0..size).map(|at| leaf_hash(&[history, at as u8])).collect()
    }

    fn request(history: u8, old: u64, size: u64) -> AddCheckpoint {
        let leaves = leaves(history, size);
        let node = |level: u32, index: u64| {
            let range = (index << level) as usize..((index + 1) << level) as usize;
            Ok::<_, core::convert::Infallible>(root_of(&leaves[range]))
        };
        let proof = ConsistencyProof::make(old.min(size), size, node).unwrap().unwrap();
        let signed = SignedCheckpoint::sign(size, root_of(&leaves), &log("log")).unwrap();
        AddCheckpoint { old_size: old, path: proof.path().to_vec(), checkpoint: signed.note().clone() }
    }

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);

    fn status(answer: &Result<SignatureLine, WitnessError>) -> u16 {
        answer.as_ref().map_or_else(WitnessError::status, |_| 200)
    }

    proptest! {
        #[test]
        fn a_witness_never_cosigns_two_roots_for_a_size_nor_goes_back(
            asked in prop::collection::vec((0u8..2, 0u64..12, 0u64..12), 1..40)
        ) {
            let memory = Memory::default();
            let mut cosigned: BTreeMap<u64, Hash> = BTreeMap::new();
            for (history, old, size) in asked {
                let request = request(history, old, size);
                // A fresh one each time: it has no memory but its state.
                let witness = cosigner(&memory);
                let answer = witness.add_checkpoint(&request, NOW);
                let largest = cosigned.keys().last().copied().unwrap_or(0);
                if answer.is_ok() {
                    prop_assert!(size >= largest && old == largest);
                    let root = root_of(&leaves(history, size));
                    prop_assert_eq!(*cosigned.entry(size).or_insert(root), root);
                } else if old != largest && old <= size {
                    let conflict = matches!(answer, Err(WitnessError::Conflict { size }) if size == largest);
                    prop_assert!(conflict);
                }
            }
            // All that it cosigned is one history.
            let mut histories = [0, 1].into_iter();
            prop_assert!(histories.any(|h| cosigned.iter().all(|(size, root)| root_of(&leaves(h, *size)) == *root)));
        }

        #[test]
        fn a_request_reads_as_it_was_written(old in 0u64..20, size in 0u64..20, bytes: Vec<u8>) {
            let request = request(0, old, size);
            prop_assert_eq!(AddCheckpoint::parse(&request.to_bytes()).unwrap(), request);
            if let Ok(request) = AddCheckpoint::parse(&bytes) {
                prop_assert_eq!(request.to_bytes(), bytes);
            }
        }
    }

    #[test]
    fn every_refusal_has_the_protocols_status() {
        let memory = Memory::default();
        let witness = cosigner(&memory);
        let ask = |request: &AddCheckpoint| witness.add_checkpoint(request, NOW);
        assert_eq!(status(&ask(&request(0, 0, 5))), 200);
        assert_eq!(status(&ask(&request(0, 5, 5))), 200);
        assert_eq!(status(&ask(&request(0, 0, 9))), 409);
        assert_eq!(status(&ask(&request(0, 5, 4))), 400);
        assert_eq!(status(&ask(&request(0, 4, 4))), 409);
        assert_eq!(status(&ask(&request(1, 5, 5))), 422);
        assert_eq!(status(&ask(&request(1, 5, 9))), 422);
        let mut short = request(0, 5, 9);
        short.path.pop();
        assert_eq!(status(&ask(&short)), 422);
        let signed = |key: &NoteKey| SignedCheckpoint::sign(9, Frontier::default().root(), key).unwrap();
        let note =
            |key: &NoteKey| AddCheckpoint { checkpoint: signed(key).note().clone(), ..request(0, 5, 9) };
        assert_eq!(status(&ask(&note(&log("other")))), 404);
        let thief = NoteKey::from_secret_bytes(name("log"), &SecretBytes::new([9; 32]));
        assert_eq!(status(&ask(&note(&thief))), 403);
        // An empty tree has one root: any other is no history, whoever signed it.
        let mut empty = Note::new(format!("log\n0\n{}\n", Base64::encode_string(&[9; 32]))).unwrap();
        let of = |note: &Note| AddCheckpoint { old_size: 0, path: vec![], checkpoint: note.clone() };
        empty.sign(&thief).unwrap();
        assert_eq!(status(&ask(&of(&empty))), 403);
        empty.sign(&log("log")).unwrap();
        assert_eq!(status(&ask(&of(&empty))), 422);
        let without_time = witness.add_checkpoint(&request(0, 5, 9), Timestamp::ZERO);
        assert_eq!(status(&without_time), 500);
        assert_eq!(status(&ask(&request(0, 5, 9))), 200);
        let last =
            SignedCheckpoint::parse(&witness.last("log").unwrap().unwrap(), log("log").public()).unwrap();
        assert_eq!((last.size(), last.cosigned_at(witness.public_key())), (9, Ok(Some(NOW))));
    }

    /// The log goes on under another key: the witness knows both, and its own last checkpoint, which
    /// the first one signed.
    #[test]
    fn a_log_may_have_several_keys() {
        let memory = Memory::default();
        cosigner(&memory).add_checkpoint(&request(0, 0, 5), NOW).unwrap();
        let next = NoteKey::from_secret_bytes(name("log"), &SecretBytes::new([9; 32]));
        let key = WitnessKey::from_secret_bytes(name("witness"), &SecretBytes::new([2; 32]));
        let witness =
            Cosigner::new(key, [&log("log"), &next].map(|key| key.public().clone()).to_vec(), &memory);
        let of_next = |mut request: AddCheckpoint| {
            let size = request.checkpoint.text().split('\n').nth(1).unwrap().parse().unwrap();
            let signed = SignedCheckpoint::sign(size, root_of(&leaves(0, size)), &next).unwrap();
            request.checkpoint = signed.note().clone();
            request
        };
        assert_eq!(status(&witness.add_checkpoint(&of_next(request(0, 5, 9)), NOW)), 200);
        assert_eq!(status(&witness.add_checkpoint(&request(0, 9, 11), NOW)), 200);
    }

    #[test]
    fn what_came_in_between_is_not_overwritten() {
        struct Late<'a>(&'a Memory);
        impl WitnessState for Late<'_> {
            fn last(&self, origin: &str) -> Result<Option<Vec<u8>>, WitnessError> {
                let last = self.0.last(origin)?;
                cosigner(self.0).add_checkpoint(&request(0, 3, 7), NOW).map(|_| last)
            }
            fn replace(
                &self,
                origin: &str,
                last: Option<&[u8]>,
                next: Vec<u8>,
            ) -> Result<bool, WitnessError> {
                self.0.replace(origin, last, next)
            }
        }
        let memory = Memory::default();
        cosigner(&memory).add_checkpoint(&request(0, 0, 3), NOW).unwrap();
        let key = WitnessKey::from_secret_bytes(name("witness"), &SecretBytes::new([2; 32]));
        let late = Cosigner::new(key, vec![log("log").public().clone()], Late(&memory));
        assert_eq!(status(&late.add_checkpoint(&request(0, 3, 5), NOW)), 503);
        let last = cosigner(&memory).last("log").unwrap().unwrap();
        assert_eq!(SignedCheckpoint::parse(&last, log("log").public()).unwrap().size(), 7);
    }
}
