//! A log in a store: append, sign, have cosigned, publish, read.
//!
//! ```text
//! outbox rows --append--> entries, tiles, head --sign--> signed --witnesses--> published
//!  (services)   durable                         durable           quorum        (readers)
//! ```
//!
//! Each arrow ends in a durable commit before the next begins, and each may be repeated.

use super::append::{GROUP, append_group};
use super::checkpoint::SignedCheckpoint;
use super::cosigning::{Busy, Patience, Round};
use super::note::{KeyName, NoteError, NoteKey, NotePublicKey};
use super::outbox;
use super::policy::WitnessPolicy;
use super::rows::{self, Entry, Index, StoredNote, Tile};
use super::tile::{MAX_ENTRY, TILE_WIDTH, TileId, encode_bundle};
use super::tree::Frontier;
use super::view::{LogView, ViewError};
use super::witness::{AddCheckpoint, Witness, WitnessError};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;
use unjoin_core::describe_errors;
use unjoin_core::entry::{Ledger, entry_id};
use unjoin_store::identity::Role;
use unjoin_store::{Commit, OwnStore, Pages, Record, Store, StoreError, decide, read};

/// One log, in one store.
///
/// ```
/// use unjoin_log::{KeyName, Log, LogView, NoteKey, SignedCheckpoint};
/// use unjoin_core::entry::Ledger;
/// use unjoin_core::secret::SystemRng;
/// use unjoin_store::{MemoryStore, Stores, identity::{Role, Roster}};
/// use std::sync::Arc;
///
/// let name = KeyName::new("shop.example/reviews")?;
/// let key = NoteKey::generate(name, &mut SystemRng::new());
/// let rng = &mut SystemRng::new();
/// let roster = Roster::alone(Role::Ledgers, rng);
/// let stores = Stores::create(&roster, [(Role::Ledgers, Arc::new(MemoryStore::new()))], rng)?;
/// let log = Log::open(stores.own(Role::Ledgers)?, Ledger::Reviews, key, None)?;
/// assert_eq!(log.append(&[b"one".to_vec(), b"two".to_vec(), b"one".to_vec()])?, [0, 1, 0]);
/// log.publish(&[])?;
/// let checkpoint = SignedCheckpoint::parse(&log.checkpoint()?.unwrap(), log.public_key())?;
/// log.inclusion(1, checkpoint.size())?.verify(b"two", checkpoint.root())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Log<S: Store> {
    store: Arc<OwnStore<S>>,
    ledger: Ledger,
    key: NoteKey,
    policy: Option<WitnessPolicy>,
    patience: Patience,
    busy: Busy,
}

impl<S: Store> Log<S> {
    /// The longest entry, in bytes.
    pub const MAX_ENTRY: usize = MAX_ENTRY;

    /// Opens a log; its key's name is its origin. With a policy a checkpoint is published once a
    /// quorum has cosigned it. Without one it is as soon as it is signed: then nothing keeps the
    /// platform from showing two histories.
    ///
    /// # Errors
    /// [`LogError::Policy`] when the policy is of another log; [`LogError::Key`] when the store's log was signed
    /// with another key, or under another name; [`LogError::Store`].
    pub fn open(
        store: Arc<OwnStore<S>>,
        ledger: Ledger,
        key: NoteKey,
        policy: Option<WitnessPolicy>,
    ) -> Result<Self, LogError> {
        store.is_for(Role::Ledgers)?;
        if policy.as_ref().is_some_and(|policy| policy.log() != key.public()) {
            return Err(LogError::Policy);
        }
        let log = Self { store, ledger, key, policy, patience: Patience::default(), busy: Busy::default() };
        if let Some(signed) = read(&*log.store, &rows::signed(ledger))? {
            log.parse(&signed)?;
        }
        Ok(log)
    }

    /// Waits so long for a quorum of its witnesses, and so long for the others once that is there,
    /// instead of 30 and 2 seconds.
    #[must_use]
    pub fn waiting(self, quorum: Duration, grace: Duration) -> Self {
        Self { patience: Patience { quorum, grace }, ..self }
    }

    /// Verifies its checkpoints.
    pub fn public_key(&self) -> &NotePublicKey {
        self.key.public()
    }

    /// What makes a checkpoint one that is published.
    #[doc(hidden)]
    pub fn policy(&self) -> Option<&WitnessPolicy> {
        self.policy.as_ref()
    }

    /// How many entries are durable.
    ///
    /// # Errors
    /// [`LogError::Store`].
    pub fn size(&self) -> Result<u64, LogError> {
        Ok(self.head()?.size())
    }

    /// Appends entries, up to 4,096 of them in one commit, and returns when all are durable:
    /// the index of each, in order. One that the log already has is not appended again.
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
            indices.extend(append_group(&*self.store, self.ledger, group)?);
        }
        Ok(indices)
    }

    /// Moves everything that waits in the outboxes of these stores into the log, and returns
    /// how many entries that were. What was written to an earlier store before it was to a later
    /// one is before it in the log. So manifests are before the reviews of their cohorts. Else the
    /// entries of a group are in the order of their ids, which are hashes. The order of arrival
    /// is told by nothing but which calls fell into which group.
    ///
    /// # Errors
    /// The stores'. What was appended stays; what is still in an outbox is found to be there
    /// already when it comes again.
    pub fn sequence(&self, sources: &[&dyn Store]) -> Result<u64, LogError> {
        let Some((source, earlier)) = sources.split_last() else { return Ok(0) };
        let mut moved = 0;
        loop {
            let (mut entries, mut found) = (BTreeMap::new(), Vec::new());
            let waiting = outbox::waiting(*source, self.ledger, GROUP)?;
            for rows in waiting.chunk_by(|a, b| a.key.bucket() == b.key.bucket()) {
                let Some(first) = rows.first() else { continue };
                let gone = Commit::new(first.key.bucket());
                found.push(rows.iter().fold(gone, |gone, row| gone.delete(row.key.bytes().to_vec())));
                for row in rows {
                    let Entry(entry) = row.row()?;
                    entries.insert(entry_id(&entry), entry);
                }
            }
            // Emptied after this one was read: whatever was written before these entries is there.
            moved += self.sequence(earlier)?;
            if entries.is_empty() {
                return Ok(moved);
            }
            moved += entries.len() as u64;
            self.append(&entries.into_values().collect::<Vec<_>>())?;
            source.commit(&found)?;
        }
    }

    /// The signed checkpoint of all that is durable. It is stored before it is answered, once
    /// it was found to go on from the last one. There are never two roots for one size.
    ///
    /// # Errors
    /// [`LogError::Forked`] when the store does not hold what was signed last; [`LogError::Note`] with
    /// [`NoteError::Sign`] when the host's key management did not sign, and nothing was stored; [`LogError::Store`].
    pub fn sign(&self) -> Result<SignedCheckpoint, LogError> {
        let row = rows::signed(self.ledger);
        decide(&*self.store, row.clone(), |signed, change| {
            // Read after what was signed, so that it is not older: a head only grows. Being
            // durable already, it needs no precondition.
            let frontier = self.head()?;
            let (size, root) = (frontier.size(), frontier.root());
            if let Some(signed) = signed {
                let last = self.parse(&signed)?;
                if last.size() == size && *last.root() == root {
                    return Ok(last);
                }
                // Tiles below the head never change but to widen: they are read beside the rows.
                let proof = self.consistency(last.size(), size);
                let goes_on = proof.is_ok_and(|proof| proof.verify(last.root(), &root).is_ok());
                if last.size() >= size || !goes_on {
                    return Err(LogError::Forked);
                }
            }
            let checkpoint = SignedCheckpoint::sign(size, root, &self.key)?;
            change.put(&row, &StoredNote(checkpoint.to_bytes()));
            Ok(checkpoint)
        })
    }

    /// Signs a checkpoint, asks all witnesses at once for their cosignatures, and publishes it
    /// if the policy's quorum is reached. Call it again when nothing was appended, too: the
    /// cosignatures' times are what shows readers that they are not kept in the past.
    ///
    /// A witness that hangs holds this up for 2 seconds once a quorum is there, and for 30 without
    /// one. As long as it hangs it does so no second time: see [`Witness`].
    ///
    /// # Errors
    /// As [`sign`](Self::sign). What a witness refuses is in the report.
    pub fn publish(&self, witnesses: &[Arc<dyn Witness>]) -> Result<Publication, LogError> {
        let mut checkpoint = self.sign()?;
        let last = self.published()?;
        let mut refusals = Vec::new();
        // Each cosignature is checked once: when it comes.
        let policy = self.policy.as_ref();
        let mut cosigned = policy.map_or_else(|| Ok(Vec::new()), |policy| policy.cosigned(&checkpoint))?;
        let is_quorum = |cosigned: &[_]| policy.is_none_or(|policy| policy.is_quorum(cosigned));
        let mut published = is_quorum(&cosigned);
        let mut round = Round::new(&self.busy, self.patience);
        if published {
            round.quorum_is_there();
        }
        for (number, witness) in witnesses.iter().enumerate() {
            // From the last checkpoint of ours that the witness has cosigned, it seems; if not, it says so.
            let last = last.as_ref().filter(|last| last.note().has_line_of(witness.public_key()));
            match self.request(last.map_or(0, SignedCheckpoint::size), &checkpoint) {
                Ok(request) => round.ask(number, witness, move |witness| witness.add_checkpoint(&request)),
                Err(error) => refusals.push((number, error)),
            }
        }
        let mut asked_again = Vec::new();
        while let Some((number, answer)) = round.next() {
            let Some(witness) = witnesses.get(number) else { continue };
            let taken = match answer {
                // Once, from where it says that it is. One that is beyond us has seen entries that we do not have.
                Err(WitnessError::Conflict { size })
                    if size <= checkpoint.size() && !asked_again.contains(&number) =>
                {
                    asked_again.push(number);
                    self.request(size, &checkpoint).map(|request| {
                        round.ask(number, witness, move |witness| witness.add_checkpoint(&request));
                    })
                }
                Ok(line) => {
                    let added = checkpoint.add_cosignature(line, witness.public_key());
                    let added = added.map(|_| cosigned.push(witness.public_key().clone()));
                    added.map_err(|error| WitnessError::State(error.into()))
                }
                Err(error) => Err(error),
            };
            if let Err(error) = taken {
                refusals.push((number, error));
            }
            if !published && is_quorum(&cosigned) {
                published = true;
                round.quorum_is_there();
            }
        }
        if published {
            self.show(&checkpoint)?;
        }
        refusals.sort_unstable_by_key(|(number, _)| *number);
        let named =
            |(number, error): (usize, _)| Some((witnesses.get(number)?.public_key().name().clone(), error));
        let refusals = refusals.into_iter().filter_map(named).collect();
        Ok(Publication { checkpoint, published, refusals })
    }

    /// Asks all witnesses for their last checkpoint, which this log must go on from. Do it before anything is
    /// served on stores that may have been put back: nobody else remembers for all of them together. One answer is
    /// enough; one that is older than what the same witness is known to have cosigned is none. A witness
    /// cannot make a log look old, since what it shows is signed by the log. All are
    /// waited for, as long as [`publish`](Self::publish) waits for a quorum at most.
    ///
    /// A log without policy and witnesses has nobody to ask.
    ///
    /// # Errors
    /// [`LogError::Behind`], [`LogError::Forked`]: the store is an older copy, or another one.
    /// [`LogError::Unwitnessed`] when no witness answered.
    pub fn compare(&self, witnesses: &[Arc<dyn Witness>]) -> Result<(), LogError> {
        if self.policy.is_none() && witnesses.is_empty() {
            return Ok(());
        }
        let last = self.published()?;
        let mut round = Round::new(&self.busy, self.patience);
        for (number, witness) in witnesses.iter().enumerate() {
            let origin = self.public_key().name().as_str().to_owned();
            round.ask(number, witness, move |witness| witness.last(&origin));
        }
        let (mut is_witnessed, mut refused) = (false, None);
        // All are waited for: one that is slow may have seen more, and one that is left behind could not be
        // asked again before it answers.
        while let Some((number, answer)) = round.next() {
            let (Ok(shown), Some(witness)) = (answer, witnesses.get(number)) else { continue };
            let shown = shown.map(|note| SignedCheckpoint::parse(&note, self.public_key())).transpose();
            let Ok(shown) = shown else { continue };
            let cosigned =
                |last: &&SignedCheckpoint| matches!(last.cosigned_at(witness.public_key()), Ok(Some(_)));
            let known = last.as_ref().filter(cosigned).map_or(0, SignedCheckpoint::size);
            if shown.as_ref().map_or(0, SignedCheckpoint::size) < known {
                continue;
            }
            refused = shown.and_then(|shown| self.goes_on_from(&shown).err()).or(refused);
            is_witnessed = true;
        }
        match refused {
            Some(error) => Err(error),
            None if is_witnessed => Ok(()),
            None => Err(LogError::Unwitnessed),
        }
    }

    fn goes_on_from(&self, seen: &SignedCheckpoint) -> Result<(), LogError> {
        let head = self.head()?;
        let (size, witnessed) = (head.size(), seen.size());
        if witnessed > size {
            return Err(LogError::Behind { size, witnessed });
        }
        let proof = self.consistency(witnessed, size);
        match proof.is_ok_and(|proof| proof.verify(seen.root(), &head.root()).is_ok()) {
            true => Ok(()),
            false => Err(LogError::Forked),
        }
    }

    /// What a witness is asked that has cosigned up to this size.
    fn request(&self, old_size: u64, checkpoint: &SignedCheckpoint) -> Result<AddCheckpoint, WitnessError> {
        let proof = self.consistency(old_size, checkpoint.size());
        let path = proof.map_err(|error| WitnessError::State(error.into()))?.path().to_vec();
        Ok(AddCheckpoint { old_size, path, checkpoint: checkpoint.note().clone() })
    }

    /// Publishes a checkpoint, unless a larger one is.
    fn show(&self, checkpoint: &SignedCheckpoint) -> Result<(), LogError> {
        let row = rows::published(self.ledger);
        decide(&*self.store, row.clone(), |last, change| {
            let last = last.map(|last| self.parse(&last)).transpose()?;
            if last.is_none_or(|last| last.size() <= checkpoint.size()) {
                change.put(&row, &StoredNote(checkpoint.to_bytes()));
            }
            Ok(())
        })
    }

    fn head(&self) -> Result<Frontier, StoreError> {
        Ok(read(&*self.store, &rows::head(self.ledger))?.unwrap_or_default())
    }

    fn published(&self) -> Result<Option<SignedCheckpoint>, LogError> {
        read(&*self.store, &rows::published(self.ledger))?.map(|note| self.parse(&note)).transpose()
    }

    fn parse(&self, StoredNote(note): &StoredNote) -> Result<SignedCheckpoint, LogError> {
        SignedCheckpoint::parse(note, self.public_key()).map_err(|error| match error {
            NoteError::Origin | NoteError::Unsigned => LogError::Key,
            _ => LogError::Store(StoreError::Corrupt(StoredNote::NAME)),
        })
    }
}

impl<S: Store> LogView for Log<S> {
    fn checkpoint(&self) -> Result<Option<Vec<u8>>, ViewError> {
        Ok(self.published()?.map(|checkpoint| checkpoint.to_bytes()))
    }

    fn tile(&self, id: TileId) -> Result<Option<Vec<u8>>, ViewError> {
        let width = usize::from(id.width);
        let Some(level) = id.level else {
            let from = id.index.saturating_mul(TILE_WIDTH);
            let entries = self.entries(from, from.saturating_add(id.width.into()))?;
            let bundle = encode_bundle(entries.iter().map(Vec::as_slice));
            return Ok((entries.len() == width).then_some(bundle));
        };
        let tile = read(&*self.store, &rows::tile(self.ledger, level, id.index))?;
        Ok(tile.and_then(|Tile(hashes)| Some(hashes.get(..width)?.as_flattened().to_vec())))
    }

    fn entries(&self, from: u64, to: u64) -> Result<Vec<Vec<u8>>, ViewError> {
        const PAGE: usize = 1024;
        let wanted = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        let before = from.checked_sub(1).map(|before| rows::entry(self.ledger, before));
        let (bucket, prefix) = (rows::bucket(self.ledger), rows::entries(self.ledger));
        let mut pages = Pages::<_, Entry>::new(&*self.store, bucket, prefix, wanted.min(PAGE))
            .after(before.map(|before| before.at().clone()));
        let mut entries = Vec::new();
        while entries.len() < wanted
            && let Some(page) = pages.next()?
        {
            for row in page.into_iter().take(wanted.saturating_sub(entries.len())) {
                entries.push(row.row()?.0);
            }
        }
        Ok(entries)
    }

    fn index_of(&self, id: &[u8; 32], size: u64) -> Result<Option<u64>, ViewError> {
        let row = read(&*self.store, &rows::index_of(self.ledger, id))?;
        Ok(row.map(|Index(index)| index).filter(|index| *index < size))
    }
}

unjoin_core::opaque!(Log<S: Store> |log| ledger = log.ledger);

/// What became of a checkpoint.
///
/// ```
/// # use unjoin_trustee::test_util::{SmallLedger, shop::SEALED};
/// # let ledger = SmallLedger::of_reviews(&[b"one".to_vec()], SEALED);
/// # ledger.log.append(&[b"two".to_vec()])?;
/// // No witness could be reached: readers go on seeing the checkpoint before.
/// let publication = ledger.log.publish(&[])?;
/// assert!(!publication.published && publication.refusals.is_empty());
/// assert_eq!(publication.checkpoint.size(), 2);
/// # Ok::<(), unjoin_log::LogError>(())
/// ```
#[derive(Debug)]
#[must_use = "without its quorum a checkpoint is not shown to readers"]
pub struct Publication {
    /// The checkpoint, with the cosignatures that came.
    pub checkpoint: SignedCheckpoint,
    /// Whether the quorum is reached, and readers see it.
    pub published: bool,
    /// Which witnesses did not cosign, and why. [`WitnessError::Inconsistent`] and a
    /// [`WitnessError::Conflict`] that remains are alarms.
    pub refusals: Vec<(KeyName, WitnessError)>,
}

describe_errors! {
    /// Why a log did not append, sign or publish.
    ///
    /// ```
    /// # use unjoin_trustee::test_util::{SmallLedger, shop::SEALED};
    /// use unjoin_log::{Log, LogError};
    /// use unjoin_store::MemoryStore;
    /// # let ledger = SmallLedger::of_reviews(&[b"one".to_vec()], SEALED);
    /// let too_long = vec![0; Log::<MemoryStore>::MAX_ENTRY + 1];
    /// assert!(matches!(ledger.log.append(&[too_long]), Err(LogError::EntryTooLong)));
    /// assert_eq!(ledger.log.size()?, 1);
    /// # Ok::<(), LogError>(())
    /// ```
    #[derive(Debug)]
    #[non_exhaustive]
    pub enum LogError (Operator, false) {
        /// The policy names another log's key.
        Policy => "ledger.policy", "the witness policy names another log's key";
        /// The store's checkpoints are signed with another key than this one, or under another name.
        Key => "ledger.key",
            "the key or its name was changed, or this is another ledger's store: the checkpoints in it are \
             signed with another key than the one that was given. Give back the key that signed them";
        /// An entry is longer than [`MAX_ENTRY`].
        EntryTooLong => "ledger.entry_too_long" (Host, false), "an entry may have {MAX_ENTRY} bytes";
        /// The store's entries do not go on from the last checkpoint that was signed.
        Forked => "ledger.forked",
            "the store does not go on from the last signed checkpoint: parts of it were rolled back. Sign \
            nothing, restore all of it";
        /// A witness has seen more of this log than the store holds.
        Behind {
            /// The store's entries.
            size: u64,
            /// The witness's.
            witnessed: u64,
        } => "ledger.behind",
            "the witnesses have seen a larger ledger than this one ({witnessed} entries, and the store has \
             {size}): an older copy was put back, and perhaps of every store. Serve nothing: mount the newest \
             stores, or recover";
        /// No witness said what it has seen of this log.
        Unwitnessed => "ledger.unwitnessed" (Operator, true),
            "no witness says what it has seen of this ledger, so nobody knows whether these stores are an older \
             copy: reach a witness, or open without asking them if you are certain";
        /// The note could not be made.
        Note(#[from] error: NoteError) => "ledger.note", "{error}";
        but Self::Note(error @ NoteError::Sign(_)) => "ledger.signing" (Operator, true), "{error}";
        /// The store's.
        Store(#[from] error: StoreError) => "ledger.store" (Operator, true), "{error}";
    }
}

impl From<LogError> for ViewError {
    fn from(error: LogError) -> Self {
        Self::Source(error.into())
    }
}

impl From<StoreError> for ViewError {
    fn from(error: StoreError) -> Self {
        Self::Source(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::note::{CHECKED, SignatureLine, WitnessKey, WitnessPublicKey};
    use super::*;
    use unjoin_core::Timestamp;
    use unjoin_core::secret::{SecretBytes, SystemRng};
    use unjoin_store::{MemoryStore, Stores, identity::Roster};

    /// Cosigns whatever it is asked, under its own key or under another that has its name.
    struct Yes {
        key: WitnessKey,
        signs_with: WitnessKey,
        known: std::sync::Mutex<u64>,
    }

    impl Witness for Yes {
        fn public_key(&self) -> &WitnessPublicKey {
            self.key.public()
        }

        fn add_checkpoint(&self, request: &AddCheckpoint) -> Result<SignatureLine, WitnessError> {
            let mut known = self.known.lock().unwrap();
            if request.old_size != *known {
                return Err(WitnessError::Conflict { size: *known });
            }
            *known = request.checkpoint.text().lines().nth(1).unwrap().parse().unwrap();
            Ok(request.checkpoint.cosign(&self.signs_with, Timestamp::from_unix_seconds(1_800_000_000)))
        }

        fn last(&self, _: &str) -> Result<Option<Vec<u8>>, WitnessError> {
            Ok(None)
        }
    }

    #[test]
    fn each_cosignature_is_checked_once_and_a_wrong_one_counts_for_nothing() {
        let named = |name: &str, seed| {
            WitnessKey::from_secret_bytes(KeyName::new(name).unwrap(), &SecretBytes::new([seed; 32]))
        };
        for wrong in 0..=3u8 {
            let key = NoteKey::from_secret_bytes(KeyName::new("log").unwrap(), &SecretBytes::new([9; 32]));
            let yes = |at: u8| {
                let (name, seed) = (format!("witness/{at}"), if at < wrong { 100 + at } else { at });
                let known = std::sync::Mutex::default();
                Yes { key: named(&name, at), signs_with: named(&name, seed), known }
            };
            let witnesses: Vec<Arc<dyn Witness>> = (0..5).map(|at| Arc::new(yes(at)) as _).collect();
            let keys = witnesses.iter().map(|witness| witness.public_key().clone()).collect();
            let policy = WitnessPolicy::new(key.public().clone(), keys, 4, 1, 600).unwrap();
            let rng = &mut SystemRng::new();
            let store = [(Role::Ledgers, Arc::new(MemoryStore::new()))];
            let stores = Stores::create(&Roster::alone(Role::Ledgers, rng), store, rng).unwrap();
            let own = stores.own(Role::Ledgers).unwrap();
            let log = Log::open(own, Ledger::Reviews, key, Some(policy.clone())).unwrap();
            for round in 0..3u8 {
                log.append(&[vec![round]]).unwrap();
                CHECKED.set(0);
                let publication = log.publish(&witnesses).unwrap();
                let (published, refused) = (publication.published, publication.refusals.len());
                assert_eq!((published, refused), (wrong <= 1, usize::from(wrong)));
                // Readers check all of it, and agree.
                assert_eq!(policy.quorum(&publication.checkpoint).is_ok(), published);
                if wrong == 0 {
                    assert_eq!(CHECKED.replace(0), 5 + 5);
                }
            }
        }
    }
}
