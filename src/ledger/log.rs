//! A ledger in a store: append, sign, have cosigned, publish, read.
//!
//! ```text
//! outbox rows --append--> entries, tiles, head --sign--> signed --witnesses--> published
//!  (services)   durable                         durable           quorum        (readers)
//! ```
//!
//! Each arrow ends in a durable commit before the next begins, and each may be repeated.

use super::append::GROUP;
use super::checkpoint::SignedCheckpoint;
use super::note::{KeyName, NoteError, NoteKey, NotePublicKey, SignatureLine};
use super::policy::{PolicyError, WitnessPolicy};
use super::tile::{MAX_ENTRY, TILE_WIDTH, TileId, encode_bundle};
use super::tree::Frontier;
use super::view::{LedgerView, ViewError};
use super::witness::{AddCheckpoint, Witness, WitnessError};
use super::{Ledger, entry_id, outbox, rows};
use crate::error::describe_errors;
use crate::store::decide::{Decision, Step, run_one};
use crate::store::{Commit, RowKey, Store, StoreError};
use core::fmt;
use std::sync::Arc;

/// One ledger, in one store.
///
/// ```
/// use unjoin::ledger::{KeyName, Ledger, LedgerView, Log, NoteKey, SignedCheckpoint};
/// use unjoin::{secret::SystemRng, store::MemoryStore};
/// use std::sync::Arc;
///
/// let name = KeyName::new("shop.example/reviews")?;
/// let key = NoteKey::generate(name, &mut SystemRng::new());
/// let log = Log::open(Arc::new(MemoryStore::new()), Ledger::Reviews, key, None)?;
/// assert_eq!(log.append(&[b"one".to_vec(), b"two".to_vec(), b"one".to_vec()])?, [0, 1, 0]);
/// log.publish(&[])?;
/// let checkpoint = SignedCheckpoint::parse(&log.checkpoint()?.unwrap(), log.public_key())?;
/// log.inclusion(1, checkpoint.size())?.verify(b"two", checkpoint.root())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Log<S: Store> {
    pub(super) store: Arc<S>,
    pub(super) ledger: Ledger,
    key: NoteKey,
    policy: Option<WitnessPolicy>,
}

impl<S: Store> Log<S> {
    /// The longest entry, in bytes.
    pub const MAX_ENTRY: usize = MAX_ENTRY;

    /// Opens a ledger; its key's name is its origin. With a policy a checkpoint is published
    /// once a quorum has cosigned it, without one as soon as it is signed: then nothing keeps
    /// the platform from showing two histories.
    ///
    /// # Errors
    /// [`LogError::Policy`] when the policy is of another ledger.
    pub fn open(
        store: Arc<S>,
        ledger: Ledger,
        key: NoteKey,
        policy: Option<WitnessPolicy>,
    ) -> Result<Self, LogError> {
        if policy.as_ref().is_some_and(|policy| policy.log() != key.public()) {
            return Err(LogError::Policy);
        }
        Ok(Self { store, ledger, key, policy })
    }

    /// Verifies its checkpoints.
    pub fn public_key(&self) -> &NotePublicKey {
        self.key.public()
    }

    /// How many entries are durable.
    ///
    /// # Errors
    /// [`LogError::Store`].
    pub fn size(&self) -> Result<u64, LogError> {
        Ok(self.head()?.size())
    }

    /// Appends entries, up to 4,096 of them in one commit, and returns when all are durable:
    /// where each stands, in order. One that the ledger has already is not appended again.
    ///
    /// # Errors
    /// [`LogError::EntryTooLong`], nothing was appended; [`LogError::Store`], some may have been:
    /// ask again.
    pub fn append(&self, entries: &[Vec<u8>]) -> Result<Vec<u64>, LogError> {
        if entries.iter().any(|entry| entry.len() > MAX_ENTRY) {
            return Err(LogError::EntryTooLong);
        }
        let mut indices = Vec::with_capacity(entries.len());
        for group in entries.chunks(GROUP) {
            indices.extend(self.append_group(group)?);
        }
        Ok(indices)
    }

    /// Moves everything that waits in the outboxes of these stores into the ledger, and returns
    /// how many entries that were. Within a group entries stand in the order of their ids,
    /// which are hashes, whichever store or bucket they come from: the order of arrival is told
    /// by nothing but which calls fell into which group.
    ///
    /// # Errors
    /// The stores'. What was appended stays; what is still in an outbox is found to be there
    /// already when it comes again.
    pub fn sequence(&self, sources: &[&dyn Store]) -> Result<u64, LogError> {
        let mut moved = 0;
        loop {
            let (mut entries, gone) = self.gather(sources)?;
            if gone.is_empty() {
                return Ok(moved);
            }
            entries.sort_unstable();
            entries.dedup();
            let entries: Vec<Vec<u8>> = entries.into_iter().map(|(_, entry)| entry).collect();
            moved += entries.len() as u64;
            self.append(&entries)?;
            for (source, commits) in sources.iter().zip(gone).filter(|(_, commits)| !commits.is_empty()) {
                source.commit(&commits)?;
            }
        }
    }

    /// At most a group of waiting entries by id, and for each source the commits that delete
    /// them; no sources if nothing waits.
    #[allow(clippy::type_complexity)]
    fn gather(
        &self,
        sources: &[&dyn Store],
    ) -> Result<(Vec<([u8; 32], Vec<u8>)>, Vec<Vec<Commit>>), StoreError> {
        let (mut entries, mut gone) = (Vec::new(), Vec::new());
        for source in sources {
            let mut commits = Vec::new();
            for found in outbox::waiting(*source, self.ledger, GROUP.saturating_sub(entries.len())) {
                let (bucket, found) = found?;
                let commit =
                    found.iter().fold(Commit::new(bucket), |commit, row| commit.delete(row.key.clone()));
                commits.push(commit);
                entries.extend(found.into_iter().map(|row| (entry_id(&row.value), row.value)));
            }
            gone.push(commits);
        }
        if entries.is_empty() {
            gone.clear();
        }
        Ok((entries, gone))
    }

    /// The signed checkpoint of all that is durable. It is stored before it is answered, once
    /// it was found to go on from the last one: there are never two roots for one size.
    ///
    /// # Errors
    /// [`LogError::Forked`] when the store does not hold what was signed last;
    /// [`LogError::Store`].
    pub fn sign(&self) -> Result<SignedCheckpoint, LogError> {
        run_one(&*self.store, Sign { log: self })?
    }

    /// Signs a checkpoint, asks all witnesses at once for their cosignatures, and publishes it
    /// if the policy's quorum is reached. Call it again when nothing was appended, too: the
    /// cosignatures' times are what shows readers that they are not kept in the past.
    ///
    /// # Errors
    /// As [`sign`](Self::sign). What a witness refuses is in the report.
    pub fn publish(&self, witnesses: &[&dyn Witness]) -> Result<Publication, LogError> {
        let mut checkpoint = self.sign()?;
        let last = self.published()?;
        let answers: Vec<Result<SignatureLine, WitnessError>> = std::thread::scope(|scope| {
            let ask = |witness: &&dyn Witness| self.cosignature_of(*witness, &checkpoint, last.as_ref());
            let asked: Vec<_> = witnesses.iter().map(|witness| scope.spawn(move || ask(witness))).collect();
            let failed = || WitnessError::State("the witness's client panicked".into());
            asked.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(failed()))).collect()
        });
        let mut refusals = Vec::new();
        for (witness, answer) in witnesses.iter().zip(answers) {
            let key = witness.public_key();
            let taken = answer.and_then(|line| {
                checkpoint.add_cosignature(line, key).map_err(|error| WitnessError::State(error.into()))
            });
            if let Err(error) = taken {
                refusals.push((key.name().clone(), error));
            }
        }
        let quorum = self.policy.as_ref().map(|policy| policy.quorum(&checkpoint)).transpose();
        let published = match quorum {
            Err(PolicyError::Note(error)) => return Err(error.into()),
            Err(_) => false,
            Ok(_) => {
                run_one(&*self.store, Publish { log: self, checkpoint: &checkpoint })??;
                true
            }
        };
        Ok(Publication { checkpoint, published, refusals })
    }

    /// From the last checkpoint of ours that the witness is known to have cosigned, or from
    /// where it says that it is.
    fn cosignature_of(
        &self,
        witness: &dyn Witness,
        checkpoint: &SignedCheckpoint,
        last: Option<&SignedCheckpoint>,
    ) -> Result<SignatureLine, WitnessError> {
        let cosigned = last.filter(|last| matches!(last.cosigned_at(witness.public_key()), Ok(Some(_))));
        let ask = |old_size: u64| {
            let proof = self.consistency(old_size, checkpoint.size());
            let path = proof.map_err(|error| WitnessError::State(error.into()))?.path().to_vec();
            witness.add_checkpoint(&AddCheckpoint { old_size, path, checkpoint: checkpoint.note().clone() })
        };
        match ask(cosigned.map_or(0, SignedCheckpoint::size)) {
            Err(WitnessError::Conflict { size }) if size <= checkpoint.size() => ask(size),
            // One that is beyond us has seen entries that we do not have.
            answer => answer,
        }
    }

    fn head(&self) -> Result<Frontier, StoreError> {
        rows::read_head(self.store.read(&[rows::head(self.ledger)])?.pop().flatten().as_deref())
    }

    fn published(&self) -> Result<Option<SignedCheckpoint>, LogError> {
        let row = self.store.read(&[rows::published(self.ledger)])?.pop().flatten();
        Ok(row.map(|row| self.read_checkpoint(&row)).transpose()?)
    }

    fn read_checkpoint(&self, value: &[u8]) -> Result<SignedCheckpoint, StoreError> {
        let note = rows::read_value(value, "checkpoint")?;
        SignedCheckpoint::parse(note, self.public_key()).map_err(|_| StoreError::Corrupt("checkpoint"))
    }
}

/// Signs the head, if it goes on from the last checkpoint that was signed.
struct Sign<'a, S: Store> {
    log: &'a Log<S>,
}

impl<S: Store> Decision for Sign<'_, S> {
    type Answer = Result<SignedCheckpoint, LogError>;

    fn keys(&self) -> Vec<RowKey> {
        vec![rows::signed(self.log.ledger)]
    }

    fn decide(&mut self, stored: &[Option<Vec<u8>>]) -> Result<Step<Self::Answer>, StoreError> {
        let signed = stored.first().and_then(Option::as_deref);
        // Read after what was signed, so that it is not older: a head only grows. Being durable
        // already, it needs no precondition.
        let (log, frontier) = (self.log, self.log.head()?);
        let (size, root) = (frontier.size(), frontier.root());
        if let Some(signed) = signed {
            let last = log.read_checkpoint(signed)?;
            if last.size() == size && *last.root() == root {
                return Ok(Step::Answer(Ok(last)));
            }
            // Tiles below the head never change but to widen: they are read beside the rows.
            let proof = log.consistency(last.size(), size);
            let goes_on = proof.is_ok_and(|proof| proof.verify(last.root(), &root).is_ok());
            if last.size() >= size || !goes_on {
                return Ok(Step::Answer(Err(LogError::Forked)));
            }
        }
        let checkpoint = match SignedCheckpoint::sign(size, root, &log.key) {
            Ok(checkpoint) => checkpoint,
            Err(error) => return Ok(Step::Answer(Err(error.into()))),
        };
        let RowKey { bucket, key } = rows::signed(log.ledger);
        let commit = Commit::new(bucket).expect(&key, signed);
        Ok(Step::Commit(commit.put(key, rows::value(&checkpoint.to_bytes())), Ok(checkpoint)))
    }
}

/// Publishes a checkpoint, unless a larger one is.
struct Publish<'a, S: Store> {
    log: &'a Log<S>,
    checkpoint: &'a SignedCheckpoint,
}

impl<S: Store> Decision for Publish<'_, S> {
    type Answer = Result<(), LogError>;

    fn keys(&self) -> Vec<RowKey> {
        vec![rows::published(self.log.ledger)]
    }

    fn decide(&mut self, stored: &[Option<Vec<u8>>]) -> Result<Step<Self::Answer>, StoreError> {
        let stored = stored.first().and_then(Option::as_deref);
        let last = stored.map(|row| self.log.read_checkpoint(row)).transpose()?;
        if last.is_some_and(|last| last.size() > self.checkpoint.size()) {
            return Ok(Step::Answer(Ok(())));
        }
        let RowKey { bucket, key } = rows::published(self.log.ledger);
        let commit = Commit::new(bucket).expect(&key, stored);
        Ok(Step::Commit(commit.put(key, rows::value(&self.checkpoint.to_bytes())), Ok(())))
    }
}

impl<S: Store> LedgerView for Log<S> {
    fn checkpoint(&self) -> Result<Option<Vec<u8>>, ViewError> {
        let published = self.published().map_err(|error| ViewError::Source(error.into()))?;
        Ok(published.map(|checkpoint| checkpoint.to_bytes()))
    }

    fn tile(&self, id: TileId) -> Result<Option<Vec<u8>>, ViewError> {
        let width = usize::from(id.width);
        let Some(level) = id.level else {
            let from = id.index.saturating_mul(TILE_WIDTH);
            let entries = self.entries(from, from.saturating_add(id.width.into()))?;
            let bundle = encode_bundle(entries.iter().map(Vec::as_slice));
            return Ok((entries.len() == width).then_some(bundle));
        };
        let row = self.store.read(&[rows::tile(self.ledger, level, id.index)])?.pop().flatten();
        let Some(row) = row else { return Ok(None) };
        let hashes = rows::read_tile(Some(&row))?;
        Ok(hashes.get(..width).map(|hashes| hashes.as_flattened().to_vec()))
    }

    fn entries(&self, from: u64, to: u64) -> Result<Vec<Vec<u8>>, ViewError> {
        const PAGE: u64 = 1024;
        let RowKey { bucket, key: prefix } = rows::entries(self.ledger);
        let (mut entries, mut at) = (Vec::new(), from);
        while at < to {
            let wanted = PAGE.min(to.saturating_sub(at));
            let after = at.checked_sub(1).map(|before| rows::entry(self.ledger, before).key);
            let page = self.store.scan(bucket, &prefix, after.as_deref(), wanted as usize)?;
            let complete = page.len() as u64 == wanted;
            entries.extend(page.into_iter().map(|row| row.value));
            if !complete {
                break;
            }
            at = at.saturating_add(wanted);
        }
        Ok(entries)
    }

    fn index_of(&self, id: &[u8; 32], size: u64) -> Result<Option<u64>, ViewError> {
        let row = self.store.read(&[rows::index_of(self.ledger, id)])?.pop().flatten();
        let index = row.map(|row| rows::read_index(&row)).transpose()?;
        Ok(index.filter(|index| *index < size))
    }
}

impl<S: Store> fmt::Debug for Log<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

/// What became of a checkpoint.
#[derive(Debug)]
#[must_use = "a ledger without its quorum stands still for its readers"]
pub struct Publication {
    /// The checkpoint, with the cosignatures that came.
    pub checkpoint: SignedCheckpoint,
    /// Whether the quorum is reached, and readers see it.
    pub published: bool,
    /// Which witnesses did not cosign, and why. [`WitnessError::Inconsistent`] and a
    /// [`WitnessError::Conflict`] that remains are alarms.
    pub refusals: Vec<(KeyName, WitnessError)>,
}

/// Why a ledger did not append, sign or publish.
#[derive(Debug)]
#[non_exhaustive]
pub enum LogError {
    /// The policy names another ledger's key.
    Policy,
    /// An entry is longer than [`MAX_ENTRY`].
    EntryTooLong,
    /// The store's entries do not go on from the last checkpoint that was signed.
    Forked,
    /// The note could not be made.
    Note(NoteError),
    /// The store's.
    Store(StoreError),
}

describe_errors!(LogError {
    Self::Policy => "ledger.policy", Operator, false, "the witness policy names another ledger's key";
    Self::EntryTooLong => "ledger.entry_too_long", Host, false, "an entry may have {MAX_ENTRY} bytes";
    Self::Forked => "ledger.forked", Operator, false,
        "the store does not go on from the last signed checkpoint: parts of it were rolled back. Sign \
         nothing, restore all of it";
    Self::Note(error) => "ledger.note", Operator, false, "{error}";
    Self::Store(error) => "ledger.store", Operator, true, "{error}";
});

impl From<StoreError> for LogError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<NoteError> for LogError {
    fn from(error: NoteError) -> Self {
        Self::Note(error)
    }
}

impl From<StoreError> for ViewError {
    fn from(error: StoreError) -> Self {
        Self::Source(error.into())
    }
}
