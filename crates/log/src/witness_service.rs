//! A witness with a store and a clock: in a process of its own, or in a test.
//!
//! It keeps one checkpoint of each log. That one is the precondition under which the next one takes its
//! place, durably, before the cosignature leaves. So after any crash it never cosigns two roots for one
//! size, nor a size smaller than one that it has cosigned.
//!
//! Its key lies in the same store. So the key is where its memory is, or it is nowhere: a witness that has
//! lost its memory has nothing to sign with.

use super::checkpoint::{Checkpoint, SignedCheckpoint};
use super::note::{KeyName, Note, NoteError, NotePublicKey, SignatureLine, WitnessKey, WitnessPublicKey};
use super::proof::ConsistencyProof;
use super::rows::{self, StoredNote, WitnessSeed};
use super::tree::{Hash, empty_root};
use super::witness::{AddCheckpoint, Witness, WitnessError};
use std::sync::Arc;
use unjoin_core::secret::SecretBytes;
use unjoin_core::{Environment, Timestamp};
use unjoin_store::identity::{self, Role};
use unjoin_store::{Bucket, Store, StoreError, decide, read};

/// Cosigns the checkpoints of some logs, each after its predecessor. Its store holds its key and the last
/// checkpoint of each log that it cosigned. It must never be restored from a backup: see the manual.
///
/// ```
/// use unjoin_core::{Environment, secret::SystemRng};
/// use unjoin_log::{KeyName, NoteKey, Witness, WitnessService};
/// use unjoin_store::MemoryStore;
/// use std::sync::Arc;
///
/// let log = NoteKey::generate(KeyName::new("shop.example/reviews")?, &mut SystemRng::new());
/// let (store, logs) = (Arc::new(MemoryStore::new()), vec![log.public().clone()]);
/// let name = KeyName::new("witness.example/w1")?;
/// // Once: the key is drawn, and lies in the store.
/// let witness = WitnessService::create(Arc::clone(&store), name, logs.clone(), Environment::system())?;
/// let key = witness.public_key().clone();
/// // At every start.
/// let witness = WitnessService::open(store, logs.clone(), Environment::system())?;
/// assert_eq!(*witness.public_key(), key);
/// // An empty store is a lost one, and never a new witness.
/// let lost = WitnessService::open(Arc::new(MemoryStore::new()), logs, Environment::system());
/// assert_eq!(lost.unwrap_err().code(), "witness.missing");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct WitnessService<S: Store> {
    store: Arc<S>,
    key: WitnessKey,
    logs: Vec<NotePublicKey>,
    environment: Environment,
}

impl<S: Store> WitnessService<S> {
    /// Makes a witness of these logs, with a key that is drawn here and never leaves the store.
    ///
    /// # Errors
    /// [`WitnessError::Exists`], [`WitnessError::Foreign`], [`WitnessError::State`].
    pub fn create(
        store: Arc<S>,
        name: KeyName,
        logs: Vec<NotePublicKey>,
        environment: Environment,
    ) -> Result<Self, WitnessError> {
        let seed = SecretBytes::random(&mut *environment.rng());
        Self::create_with_key_that_may_have_signed(store, name, seed, logs, environment)
    }

    /// As [`create`](Self::create), with a key from elsewhere. **If this key ever cosigned a checkpoint of one of
    /// these logs, this witness may cosign a fork of it**. Nobody knows but its old store. Destroy the seed
    /// afterwards.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_with_key_that_may_have_signed(
        store: Arc<S>,
        name: KeyName,
        seed: SecretBytes<32>,
        logs: Vec<NotePublicKey>,
        environment: Environment,
    ) -> Result<Self, WitnessError> {
        is_witness(&*store)?;
        for bucket in Bucket::all() {
            if !store.scan(bucket, rows::WITNESSED, None, 1)?.is_empty() {
                return Err(WitnessError::Exists);
            }
        }
        // Whose it is comes first: a store with a key that does not say so is no witness's.
        identity::make_alone(&*store, Role::Witness, &mut *environment.rng())?;
        let (row, key) = (rows::witness_key(), WitnessSeed { seed, name });
        decide(&*store, row.clone(), |there, change| {
            if there.is_some() {
                return Err(WitnessError::Exists);
            }
            change.put(&row, &key);
            Ok(())
        })?;
        Self::open(store, logs, environment)
    }

    /// The witness that lives in this store, of these logs.
    ///
    /// # Errors
    /// [`WitnessError::Missing`], [`WitnessError::Foreign`], [`WitnessError::Corrupt`], [`WitnessError::State`].
    pub fn open(
        store: Arc<S>,
        logs: Vec<NotePublicKey>,
        environment: Environment,
    ) -> Result<Self, WitnessError> {
        if !is_witness(&*store)? {
            return Err(WitnessError::Missing);
        }
        let WitnessSeed { seed, name } = read(&*store, &rows::witness_key())?.ok_or(WitnessError::Missing)?;
        Ok(Self { key: WitnessKey::from_secret_bytes(name, &seed), store, logs, environment })
    }

    /// What a stored checkpoint says, if this witness cosigned it: then it is its own memory.
    fn remembered(&self, origin: &str, note: &[u8]) -> Result<(u64, Hash), WitnessError> {
        let note = Note::parse(note).map_err(|_| WitnessError::Corrupt)?;
        let last = Checkpoint::parse_text(note.text()).map_err(|_| WitnessError::Corrupt)?;
        let is_own = matches!(note.cosigned_at(self.key.public()), Ok(Some(_))) && last.origin == origin;
        if is_own { Ok((last.size, last.root)) } else { Err(WitnessError::Corrupt) }
    }

    /// The keys of a log: one whose key was exchanged has several.
    fn keys_of(&self, origin: &str) -> impl Iterator<Item = &NotePublicKey> {
        self.logs.iter().filter(move |log| log.name().as_str() == origin)
    }
}

/// Whether the store says that it is a witness's. Nothing is read from, or written into, what is another
/// service's, or not the witness's only one.
fn is_witness<S: Store>(store: &S) -> Result<bool, WitnessError> {
    match identity::of(store)? {
        Some(identity) if identity.own.role != Role::Witness || identity.is_copy => {
            Err(WitnessError::Foreign)
        }
        identity => Ok(identity.is_some()),
    }
}

impl<S: Store> Witness for WitnessService<S> {
    fn public_key(&self) -> &WitnessPublicKey {
        self.key.public()
    }

    /// With its cosignature: what it serves to monitors, too.
    fn last(&self, origin: &str) -> Result<Option<Vec<u8>>, WitnessError> {
        Ok(read(&*self.store, &rows::witnessed(origin))?.map(|StoredNote(note)| note))
    }

    /// Refuses in the order of the specification.
    fn add_checkpoint(&self, request: &AddCheckpoint) -> Result<SignatureLine, WitnessError> {
        let note = &request.checkpoint;
        let origin = note.text().split('\n').next().unwrap_or_default();
        let mut keys = self.keys_of(origin).peekable();
        keys.peek().ok_or(WitnessError::UnknownLog)?;
        let log = keys.find(|log| note.is_signed_by(log) == Ok(true)).ok_or(WitnessError::Unsigned)?;
        let mut checkpoint = SignedCheckpoint::of_note(note.clone(), log).map_err(|error| match error {
            NoteError::EmptyRoot => WitnessError::Inconsistent,
            _ => WitnessError::Malformed,
        })?;
        // Only the log's own line and this witness's are kept: others' are not its to store.
        checkpoint.keep_lines_of(log);
        if request.old_size > checkpoint.size() {
            return Err(WitnessError::Malformed);
        }
        let row = rows::witnessed(origin);
        decide(&*self.store, row.clone(), |last, change| {
            let (size, root) = match last {
                None => (0, empty_root()),
                Some(StoredNote(note)) => self.remembered(origin, &note)?,
            };
            if request.old_size != size {
                return Err(WitnessError::Conflict { size });
            }
            let proof = ConsistencyProof::from_parts(size, checkpoint.size(), request.path.clone());
            if proof.is_none_or(|proof| proof.verify(&root, checkpoint.root()).is_err()) {
                return Err(WitnessError::Inconsistent);
            }
            let now = self.environment.now();
            // A cosignature with the time zero would say nothing of when: the specification forbids it.
            if now == Timestamp::ZERO {
                return Err(WitnessError::Clock);
            }
            let (line, mut next) = (checkpoint.cosign(&self.key, now), checkpoint.clone());
            next.add_cosignature(line.clone(), self.key.public()).map_err(|_| WitnessError::Malformed)?;
            change.put(&row, &StoredNote(next.to_bytes()));
            Ok(line)
        })
    }
}

unjoin_core::opaque!(WitnessService<S: Store> |service| key = service.public_key());

impl From<StoreError> for WitnessError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt(_) => Self::Corrupt,
            StoreError::Contended => Self::Busy,
            error => Self::State(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::note::NoteKey;
    use super::super::tree::{Frontier, leaf_hash, root_of};
    use super::*;
    use base64ct::{Base64, Encoding};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use unjoin_core::ManualClock;
    use unjoin_core::secret::SystemRng;
    use unjoin_store::MemoryStore;
    use unjoin_test_util::{Call, Faulty, dump};

    fn name(text: &str) -> KeyName {
        KeyName::new(text).unwrap()
    }

    fn log(name_: &str) -> NoteKey {
        NoteKey::from_secret_bytes(name(name_), &SecretBytes::new([1; 32]))
    }

    fn environment(now: Timestamp) -> Environment {
        Environment::new(Arc::new(ManualClock::new(now)), || Box::new(SystemRng::new()))
    }

    /// Made at the first call, and opened at every further one.
    fn witness_at<S: Store>(store: &Arc<S>, logs: &[&NoteKey], now: Timestamp) -> WitnessService<S> {
        let logs: Vec<_> = logs.iter().map(|log| log.public().clone()).collect();
        match WitnessService::open(Arc::clone(store), logs.clone(), environment(now)) {
            Err(WitnessError::Missing) => {
                WitnessService::create(Arc::clone(store), name("witness"), logs, environment(now)).unwrap()
            }
            opened => opened.unwrap(),
        }
    }

    fn witness<S: Store>(store: &Arc<S>) -> WitnessService<S> {
        witness_at(store, &[&log("log")], NOW)
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
            let store = Arc::new(MemoryStore::new());
            let mut cosigned: BTreeMap<u64, Hash> = BTreeMap::new();
            for (history, old, size) in asked {
                let request = request(history, old, size);
                // A fresh one each time: it has no memory but its store.
                let answer = witness(&store).add_checkpoint(&request);
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
    }

    #[test]
    fn every_refusal_has_the_protocols_status() {
        let store = Arc::new(MemoryStore::new());
        let witness = witness(&store);
        let ask = |request: &AddCheckpoint| witness.add_checkpoint(request);
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
        let in_1970 = witness_at(&store, &[&log("log")], Timestamp::ZERO);
        assert_eq!(status(&in_1970.add_checkpoint(&request(0, 5, 9))), 500);
        assert_eq!(status(&ask(&request(0, 5, 9))), 200);
        let last =
            SignedCheckpoint::parse(&witness.last("log").unwrap().unwrap(), log("log").public()).unwrap();
        assert_eq!((last.size(), last.cosigned_at(witness.public_key())), (9, Ok(Some(NOW))));
    }

    /// The log goes on under another key: the witness knows both, and its own last checkpoint, which
    /// the first one signed.
    #[test]
    fn a_log_may_have_several_keys() {
        let store = Arc::new(MemoryStore::new());
        witness(&store).add_checkpoint(&request(0, 0, 5)).unwrap();
        let next = NoteKey::from_secret_bytes(name("log"), &SecretBytes::new([9; 32]));
        let witness = witness_at(&store, &[&log("log"), &next], NOW);
        let of_next = |mut request: AddCheckpoint| {
            let size = request.checkpoint.text().split('\n').nth(1).unwrap().parse().unwrap();
            let signed = SignedCheckpoint::sign(size, root_of(&leaves(0, size)), &next).unwrap();
            request.checkpoint = signed.note().clone();
            request
        };
        assert_eq!(status(&witness.add_checkpoint(&of_next(request(0, 5, 9)))), 200);
        assert_eq!(status(&witness.add_checkpoint(&request(0, 9, 11))), 200);
    }

    #[test]
    fn what_came_in_between_is_not_overwritten() {
        let store = Arc::new(Faulty::in_memory());
        witness(&store).add_checkpoint(&request(0, 0, 3)).unwrap();
        // Between what the decision reads and what it writes.
        let other = witness(&store);
        store.before(Call::Commit, 0, move || drop(other.add_checkpoint(&request(0, 3, 7)).unwrap()));
        let late = witness(&store).add_checkpoint(&request(0, 3, 5));
        assert!(matches!(late, Err(WitnessError::Conflict { size: 7 })));
        let last = witness(&store).last("log").unwrap().unwrap();
        assert_eq!(SignedCheckpoint::parse(&last, log("log").public()).unwrap().size(), 7);
    }

    #[test]
    fn a_witness_is_created_once_and_opened_where_its_key_is() {
        let logs = || vec![log("log").public().clone()];
        let store = Arc::new(MemoryStore::new());
        let open =
            |store: &Arc<MemoryStore>| WitnessService::open(Arc::clone(store), logs(), environment(NOW));
        let create = |store: &Arc<MemoryStore>| {
            WitnessService::create(Arc::clone(store), name("witness"), logs(), environment(NOW))
        };
        assert!(matches!(open(&store), Err(WitnessError::Missing)));
        let key = create(&store).unwrap().public_key().clone();
        let before = dump(&*store);
        assert!(matches!(create(&store), Err(WitnessError::Exists)));
        assert_eq!(dump(&*store), before);
        assert_eq!((open(&store).unwrap().public_key(), key.name().as_str()), (&key, "witness"));
        // A key of its own each time.
        assert_ne!(*create(&Arc::new(MemoryStore::new())).unwrap().public_key(), key);
        // What has cosigned and has no key is what is left of a witness, and no place for another.
        open(&store).unwrap().add_checkpoint(&request(0, 0, 5)).unwrap();
        let row = rows::witness_key();
        let gone = unjoin_store::Commit::new(row.bucket()).delete(row.bytes().to_vec());
        store.commit(&[gone]).unwrap();
        assert!(matches!(open(&store), Err(WitnessError::Missing)));
        assert!(matches!(create(&store), Err(WitnessError::Exists)));
    }

    #[test]
    fn a_store_that_does_not_say_that_it_is_a_witnesss_is_none() {
        use unjoin_store::identity::Roster;
        let logs = || vec![log("log").public().clone()];
        let open = |store: &Arc<MemoryStore>| {
            WitnessService::open(Arc::clone(store), logs(), environment(NOW)).map(drop)
        };
        let store = Arc::new(MemoryStore::new());
        witness(&store).add_checkpoint(&request(0, 0, 5)).unwrap();
        let seed = read(&*store, &rows::witness_key()).unwrap().unwrap();
        // Its rows, put into a store that is nobody's, or another service's.
        let put = |into: &MemoryStore| {
            let row = rows::witness_key();
            let put = |_: Option<WitnessSeed>, change: &mut unjoin_store::Change| {
                change.put(&row, &seed);
                Ok::<_, StoreError>(())
            };
            decide(into, row.clone(), put).unwrap();
        };
        let nobodys = Arc::new(MemoryStore::new());
        put(&nobodys);
        assert!(matches!(open(&nobodys), Err(WitnessError::Missing)));
        let orders = Arc::new(MemoryStore::new());
        let rng = &mut SystemRng::new();
        let roster = Roster::generate(rng);
        drop(unjoin_store::Stores::create(&roster, [(Role::Orders, Arc::clone(&orders))], rng).unwrap());
        let created =
            WitnessService::create(Arc::clone(&orders), name("witness"), logs(), environment(NOW)).map(drop);
        assert!(matches!(created, Err(WitnessError::Foreign)));
        put(&orders);
        assert!(matches!(open(&orders), Err(WitnessError::Foreign)));
        open(&store).unwrap();
    }

    #[test]
    fn a_creation_that_was_interrupted_is_begun_again_or_had_ended() {
        use unjoin_test_util::Failure;
        let logs = || vec![log("log").public().clone()];
        for (after, failure) in [0, 1].into_iter().flat_map(|after| Failure::ALL.map(|how| (after, how))) {
            let store = Arc::new(Faulty::in_memory());
            let create = || {
                WitnessService::create(Arc::clone(&store), name("witness"), logs(), environment(NOW))
                    .map(drop)
            };
            store.fail(after, failure);
            assert!(create().is_err() && store.failed());
            let ended = (after, failure) == (1, Failure::Lost);
            match create() {
                Ok(()) => assert!(!ended),
                Err(error) => assert!(ended && matches!(error, WitnessError::Exists), "{error}"),
            }
            WitnessService::open(Arc::clone(&store), logs(), environment(NOW)).unwrap();
        }
    }

    #[test]
    fn rows_that_another_witness_cosigned_are_no_memory() {
        let [one, two] = [0, 0].map(|_| Arc::new(MemoryStore::new()));
        witness(&one).add_checkpoint(&request(0, 0, 5)).unwrap();
        witness(&two).add_checkpoint(&request(1, 0, 7)).unwrap();
        let theirs = read(&*two, &rows::witnessed("log")).unwrap().unwrap();
        let foreign = |_: Option<StoredNote>, change: &mut unjoin_store::Change| {
            change.put(&rows::witnessed("log"), &theirs);
            Ok::<_, StoreError>(())
        };
        decide(&*one, rows::witnessed("log"), foreign).unwrap();
        for request in [request(1, 7, 9), request(0, 5, 9), request(0, 0, 9)] {
            assert!(matches!(witness(&one).add_checkpoint(&request), Err(WitnessError::Corrupt)));
        }
    }

    /// The answer is lost, whatever became of the commit; then the fork is asked for.
    #[test]
    fn a_crash_between_storing_and_answering_leaves_no_way_to_a_second_root() {
        for failure in unjoin_test_util::Failure::ALL {
            let store = Arc::new(Faulty::in_memory());
            witness(&store).add_checkpoint(&request(0, 0, 3)).unwrap();
            store.fail(0, failure);
            assert!(witness(&store).add_checkpoint(&request(0, 3, 5)).is_err());
            let signed = matches!(
                witness(&store).add_checkpoint(&request(1, 3, 5)),
                Err(WitnessError::Conflict { size: 5 })
            );
            assert_eq!(signed, failure == unjoin_test_util::Failure::Lost, "{failure:?}");
            let from = if signed { 5 } else { 3 };
            assert!(matches!(
                witness(&store).add_checkpoint(&request(1, from, 5)),
                Err(WitnessError::Inconsistent)
            ));
            witness(&store).add_checkpoint(&request(0, from, 5)).unwrap();
        }
    }
}
