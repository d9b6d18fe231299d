//! The stores of a platform as its processes hold them: checked when they are opened, and kept in
//! step by **marks**.
//!
//! Each store has one row with a number and 16 random bytes. The lead store's goes on first and names
//! the next one, its sisters follow, then it settles. So a store that is older than its sisters, or
//! has another past, has another mark. Marks advance at every opening, around a backup and at the full
//! hour, never because of a request, and hold nothing about rows. A series of them tells nobody when
//! anything arrived.
//!
//! What no mark tells: a raw copy that is younger than the last mark. A copy one mark old, put back
//! into a crash while marks advanced. All stores put back together, which the ledgers' witnesses tell.

use super::decision::decide;
use super::identity::{self, Identity, Member, Role, Roster, identity_key, own_bucket, refuse_rows};
use super::record::{Key, read};
use super::{Bucket, Commit, Outcome, Row, RowKey, See, Sought, Store, StoreError};
#[cfg(feature = "redb")]
use crate::RedbStore;
use crate::record;
use core::fmt;
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
#[cfg(feature = "redb")]
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use unjoin_core::entry::StoreMarkEntry;
use unjoin_core::fields;
use unjoin_core::secret::hmac_sha256;
use unjoin_core::token::KeyRing;
use unjoin_core::wire::{DecodeError, Reader, Rule, Writer, get_few, put_few};

mod recovery;

pub use recovery::LostStores;
pub(crate) use recovery::adopted_key;

type Tag = [u8; 16];

/// How often another process may advance the marks while this one looks at them.
const ROUNDS: usize = 16;

/// How far a store has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    number: u64,
    tag: Tag,
}

impl Mark {
    /// That of a store that was never opened.
    fn first(platform: &[u8; 32]) -> Self {
        let digest = Sha256::new_with_prefix(b"unjoin first mark").chain_update(platform).finalize();
        let mut tag = [0; 16];
        tag.iter_mut().zip(digest).for_each(|(kept, byte)| *kept = byte);
        Self { number: 0, tag }
    }
}

/// What a store keeps of the marks. Only the lead store has more than its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MarkRow {
    at: Mark,
    /// The lead store advances: the next mark's tag.
    next: Option<Tag>,
    /// The sisters that were opened before, and those that are for the first time by this step.
    joined: Vec<[u8; 16]>,
    joining: Vec<[u8; 16]>,
}

fields!(Mark: number as "number", tag as "tag");
record!(MarkRow, "mark": at, next, joined few(255), joining few(255));

pub(crate) fn mark_key() -> Key<MarkRow> {
    Key::new(own_bucket(), b"sm".to_vec())
}

/// A step from one mark to the next: what the process of the lead store sends to those of its sisters.
/// It names nothing but stores.
///
/// ```
/// # use unjoin_core::secret::SystemRng;
/// # use unjoin_store::{MemoryStore, Stores, identity::{Role, Roster}};
/// use unjoin_store::Step;
/// # use std::sync::Arc;
/// # let rng = &mut SystemRng::new();
/// # let stores = Stores::create(&Roster::generate(rng), [(Role::Orders, Arc::new(MemoryStore::new()))], rng)?;
/// // The lead store's process begins it, sends it to those of the sisters, and finishes it when all have followed.
/// let step = stores.begin(rng)?;
/// let sent = step.to_bytes();
/// assert_eq!((Step::from_bytes(&sent)?, sent.len()), (step.clone(), 41));
/// stores.finish(&step)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    from: Mark,
    to: Mark,
    joining: Vec<[u8; 16]>,
}

impl Step {
    /// To be sent: 41 bytes, and 16 for each store that is opened for the first time.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.le64(self.from.number);
        out.raw(&self.from.tag);
        out.raw(&self.to.tag);
        put_few(&self.joining, &mut out);
        out.finish()
    }

    /// As it was sent.
    ///
    /// # Errors
    /// When the bytes are no step.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(bytes, "step");
        let at = Mark { number: from.le64("number")?, tag: from.array("tag")? };
        let number = at.number.checked_add(1).ok_or_else(|| from.refuse(Rule::Value))?;
        let to = Mark { number, tag: from.array("next tag")? };
        let step = Self { from: at, to, joining: get_few(&mut from, "ids", 255)? };
        from.end().map(|()| step)
    }

    fn of(row: &MarkRow) -> Option<Self> {
        let to = Mark { number: row.at.number.checked_add(1)?, tag: row.next? };
        Some(Self { from: row.at, to, joining: row.joining.clone() })
    }
}

/// A store that was checked to be its platform's, in its place, and in step with its sisters: what services
/// are opened on. It comes from [`Stores`] alone.
///
/// Before it is in step, and from when it was found exchanged, every call fails.
///
/// ```
/// # use unjoin_core::secret::SystemRng;
/// use unjoin_store::{MemoryStore, Stores, identity::{Role, Roster}};
/// # use std::sync::Arc;
/// # let (rng, engine) = (&mut SystemRng::new(), Arc::new(MemoryStore::new()));
/// let roster = Roster::alone(Role::Telephony, rng);
/// let stores = Stores::create(&roster, [(Role::Telephony, engine)], rng)?;
/// // What a switchboard takes; an order service refuses it.
/// assert_eq!(stores.own(Role::Telephony)?.role(), Role::Telephony);
/// assert!(stores.own(Role::Orders).is_err());
/// # Ok::<(), unjoin_store::StoreError>(())
/// ```
pub struct OwnStore<S> {
    store: Arc<S>,
    own: Member,
    first: Mark,
    state: AtomicU8,
}

const UNMARKED: u8 = 0;
const SERVING: u8 = 1;
const REPLACED: u8 = 2;
const RECOVERING: u8 = 3;

impl<S: Store> OwnStore<S> {
    /// What it is for.
    pub fn role(&self) -> Role {
        self.own.role
    }

    /// The engine beneath.
    #[doc(hidden)]
    pub fn engine(&self) -> &Arc<S> {
        &self.store
    }

    /// That it is for this, and not opened for a recovery, which reads the ledgers alone.
    ///
    /// # Errors
    /// [`StoreError::Swapped`], [`StoreError::Copy`].
    #[doc(hidden)]
    pub fn is_for(&self, expected: Role) -> Result<(), StoreError> {
        let recovers = self.state.load(Ordering::Acquire) == RECOVERING && expected != Role::Ledgers;
        match self.own.role == expected {
            true if recovers => Err(StoreError::Copy(expected)),
            true => Ok(()),
            false => Err(StoreError::Swapped { expected, found: self.own.role }),
        }
    }

    /// That it is for this, and was made for anybody who has this public key ([`Roster::of_key`]).
    ///
    /// # Errors
    /// As [`is_for`](Self::is_for); [`StoreError::Foreign`].
    #[doc(hidden)]
    pub fn is_of_key(&self, expected: Role, key: &[u8; 32]) -> Result<(), StoreError> {
        self.is_for(expected)?;
        match Roster::of_key(expected, key).member(expected, 0) == Some(&self.own) {
            true => Ok(()),
            false => Err(StoreError::Foreign(expected)),
        }
    }

    /// That it was always opened with this secret, which the first opening binds. What is kept of it is
    /// an HMAC over the store's id under the secret, which has 32 bytes of entropy. It helps nobody
    /// to guess it, and is another one in every store.
    ///
    /// # Errors
    /// [`StoreError::Secret`]; the engine's.
    #[doc(hidden)]
    pub fn bind(&self, name: &'static str, secret: &[u8; 32]) -> Result<(), StoreError> {
        self.bind_of(name, b"", secret)
    }

    /// The same for one of several of this name, which `of` tells apart.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    #[doc(hidden)]
    pub fn bind_of(&self, name: &'static str, of: &[u8], secret: &[u8; 32]) -> Result<(), StoreError> {
        let check = Id32(hmac_sha256(secret, &[b"unjoin store check", &self.own.id, name.as_bytes()]));
        let key = Key::<Id32>::new(own_bucket(), [b"sc", name.as_bytes(), of].concat());
        decide(self, key.clone(), |kept, change| match kept {
            Some(kept) if kept == check => Ok(()),
            Some(_) => Err(StoreError::Secret { role: self.own.role, secret: name }),
            None => {
                change.put(&key, &check);
                Ok(())
            }
        })
    }

    /// That a ring of issuing keys has the newest one that was seen here; then its own newest is that.
    ///
    /// # Errors
    /// [`StoreError::Secret`]; the engine's.
    #[doc(hidden)]
    pub fn bind_keys(&self, ring: &KeyRing) -> Result<(), StoreError> {
        let newest = ring.newest().issuer_key.public().id();
        let key = Key::<Id32>::new(own_bucket(), b"sk".to_vec());
        decide(self, key.clone(), |seen, change| match seen {
            Some(Id32(seen)) if ring.find(&seen).is_none() => {
                Err(StoreError::Secret { role: self.own.role, secret: "issuing keys" })
            }
            Some(Id32(seen)) if seen == *newest => Ok(()),
            _ => {
                change.put(&key, &Id32(*newest));
                Ok(())
            }
        })
    }

    fn serving(&self) -> Result<(), StoreError> {
        match self.state.load(Ordering::Acquire) {
            SERVING | RECOVERING => Ok(()),
            REPLACED => Err(StoreError::Replaced(self.own.role)),
            _ => Err(StoreError::Unmarked(self.own.role)),
        }
    }

    /// Makes the rows about the store, in one commit. Again: no effect, as long as it has no others.
    fn make(store: &S, identity: &Identity) -> Result<(), StoreError> {
        let first = Mark::first(&identity.platform);
        let row = MarkRow { at: first, next: None, joined: Vec::new(), joining: Vec::new() };
        refuse_rows(store)?;
        decide(store, (identity_key(), mark_key()), |(found, _), change| match found {
            None => {
                change.put(&identity_key(), identity);
                change.put(&mark_key(), &row);
                Ok(())
            }
            Some(found) if found == *identity => Ok(()),
            Some(_) => Err(StoreError::Foreign(identity.own.role)),
        })
    }

    fn checked(store: Arc<S>, expected: &Identity) -> Result<(Self, u32), StoreError> {
        let (store, found) = Self::identified(store, expected, UNMARKED)?;
        if found.is_copy {
            return Err(StoreError::Copy(store.own.role));
        }
        Ok((store, found.era))
    }

    /// The store, if it is the one that is expected, whatever its era and mark.
    fn identified(store: Arc<S>, expected: &Identity, state: u8) -> Result<(Self, Identity), StoreError> {
        let role = expected.own.role;
        let found = identity::of(&*store)?.ok_or(StoreError::Nobodys(role))?;
        if found.platform != expected.platform {
            return Err(StoreError::Foreign(role));
        }
        if found.own.role != role {
            return Err(StoreError::Swapped { expected: role, found: found.own.role });
        }
        if (found.own, &found.sisters) != (expected.own, &expected.sisters) {
            return Err(StoreError::Foreign(role));
        }
        let first = Mark::first(&expected.platform);
        Ok((Self { store, own: expected.own, first, state: AtomicU8::new(state) }, found))
    }

    fn mark(&self) -> Result<MarkRow, StoreError> {
        read(&*self.store, &mark_key())?.ok_or(StoreError::Nobodys(self.own.role))
    }

    /// Whether the store may take part in what the lead store's row says.
    fn judge(&self, lead: Role, row: &MarkRow) -> Result<(), StoreError> {
        let own = self.mark()?.at;
        let next = Step::of(row).map(|step| step.to);
        if row.joined.contains(&self.own.id) {
            if own == row.at || Some(own) == next {
                return Ok(());
            }
        } else if own == self.first || (row.joining.contains(&self.own.id) && Some(own) == next) {
            return Ok(());
        }
        let last = next.unwrap_or(row.at).number;
        if own.number > last || !row.joined.contains(&self.own.id) {
            return Err(StoreError::Older(lead));
        }
        match own.number < row.at.number {
            true => Err(StoreError::Older(self.own.role)),
            false => Err(StoreError::Foreign(self.own.role)),
        }
    }

    fn follow(&self, step: &Step, lead: Role) -> Result<(), StoreError> {
        decide(&*self.store, mark_key(), |row, change| {
            let row = row.ok_or(StoreError::Nobodys(self.own.role))?;
            let is_first = row.at == self.first && step.joining.contains(&self.own.id);
            if row.at == step.from || is_first {
                change.put(&mark_key(), &MarkRow { at: step.to, ..row });
                return Ok(());
            }
            match row.at.number {
                _ if row.at == step.to => Ok(()),
                number if number > step.to.number => Err(StoreError::Older(lead)),
                number if number < step.from.number => Err(StoreError::Older(self.own.role)),
                _ => Err(StoreError::Foreign(self.own.role)),
            }
        })
    }
}

/// 32 bytes.
#[derive(Clone, PartialEq, Eq)]
struct Id32([u8; 32]);

record!(Id32, "check value": 0);

impl<S: Store> Store for OwnStore<S> {
    fn read(&self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.serving().and_then(|()| self.store.read(keys))
    }

    fn scan(
        &self,
        bucket: Bucket,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.serving().and_then(|()| self.store.scan(bucket, prefix, after, limit))
    }

    fn scan_all(&self, sought: Sought<'_>) -> Result<Vec<(Bucket, Row)>, StoreError> {
        self.serving().and_then(|()| self.store.scan_all(sought))
    }

    fn commit(&self, commits: &[Commit]) -> Result<Vec<Outcome>, StoreError> {
        self.serving().and_then(|()| self.store.commit(commits))
    }

    fn snapshot(&self, see: &mut See<'_>) -> Result<(), StoreError> {
        self.serving().and_then(|()| self.store.snapshot(see))
    }

    fn rewrite(&self) -> Result<(), StoreError> {
        self.serving().and_then(|()| self.store.rewrite())
    }
}

unjoin_core::opaque!(OwnStore<S> |store| role = store.own.role);

/// The stores that one process holds of a platform, created or opened together.
///
/// ```
/// use std::sync::Arc;
/// use unjoin_core::secret::SystemRng;
/// use unjoin_store::identity::{Role, Roster};
/// use unjoin_store::{MemoryStore, StoreError, Stores};
/// let rng = &mut SystemRng::new();
/// // Drawn first, and kept with the secrets.
/// let roster = Roster::generate(rng);
/// let (orders, reviews) = (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
/// Stores::create(&roster, [(Role::Orders, orders.clone()), (Role::Reviews, reviews.clone())], rng)?;
/// // From then on they are opened, each in its place.
/// Stores::open(&roster, [(Role::Orders, orders.clone()), (Role::Reviews, reviews.clone())], rng)?;
/// let swapped = Stores::open(&roster, [(Role::Orders, reviews), (Role::Reviews, orders)], rng);
/// assert!(matches!(swapped, Err(StoreError::Swapped { .. })));
/// # Ok::<(), StoreError>(())
/// ```
pub struct Stores<S> {
    own: Vec<Arc<OwnStore<S>>>,
    platform: [u8; 32],
    lead: Member,
    /// The mark that this process has left, once it has.
    at: Mutex<Option<Mark>>,
}

impl<S: Store> Stores<S> {
    /// Makes the stores of a new platform, and opens them. All may be run again after it was
    /// interrupted, with the same roster, until services have written rows.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when a store holds rows; otherwise as for [`open`](Self::open).
    pub fn create(
        roster: &Roster,
        stores: impl IntoIterator<Item = (Role, Arc<S>)>,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Self, StoreError> {
        let stores: Vec<_> = stores.into_iter().collect();
        for (role, store) in &stores {
            OwnStore::make(&**store, &identity_of(roster, *role)?)?;
        }
        Self::open(roster, stores, rng)
    }

    /// Opens stores that were created, and makes none. Marks advance, and the stores can be served, if
    /// the lead store (the orders') is among them. No sister that was ever opened may be missing.
    /// Otherwise they can once this process has [followed](Self::follow) the lead store's step, or the
    /// others have.
    ///
    /// # Errors
    /// [`StoreError::Nobodys`], [`StoreError::Swapped`], [`StoreError::Foreign`], [`StoreError::Copy`],
    /// [`StoreError::Older`], each with the store's role; the engines'.
    pub fn open(
        roster: &Roster,
        stores: impl IntoIterator<Item = (Role, Arc<S>)>,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Self, StoreError> {
        let lead = *roster.lead().ok_or(StoreError::Decision("a roster without a store"))?;
        let (mut own, mut eras) = (Vec::new(), Vec::new());
        for (role, store) in stores {
            let (store, era) = OwnStore::checked(store, &identity_of(roster, role)?)?;
            own.push(Arc::new(store));
            eras.push((era, role));
        }
        let newest = eras.iter().map(|(era, _)| *era).max();
        if let Some((_, role)) = eras.iter().find(|(era, _)| Some(*era) != newest) {
            return Err(StoreError::Older(*role));
        }
        let stores = Self { own, platform: *roster.platform(), lead, at: Mutex::new(None) };
        match stores.advance(rng) {
            Ok(()) | Err(StoreError::Unmarked(_)) => Ok(stores),
            Err(error) => Err(error),
        }
    }

    /// The store for this.
    ///
    /// # Errors
    /// [`StoreError::Unmarked`] when it is not among these, or not in step.
    pub fn own(&self, role: Role) -> Result<Arc<OwnStore<S>>, StoreError> {
        let own = self.own.iter().find(|own| own.own.role == role).ok_or(StoreError::Unmarked(role))?;
        own.serving().map(|()| Arc::clone(own))
    }

    /// The last mark, as the reviews ledger gets it at a boundary. `None` before the
    /// stores are in step.
    pub fn mark(&self) -> Option<StoreMarkEntry> {
        self.memory().map(|mark| StoreMarkEntry::new(&self.platform, mark.number, &mark.tag))
    }

    /// Goes on to the next mark: at every full hour and around a backup, never because of a request.
    /// Resumable after a crash at any commit.
    ///
    /// # Errors
    /// [`StoreError::Unmarked`] names a sister that another process holds, or the lead store if another
    /// does: [`begin`](Self::begin), [`follow`](Self::follow) and [`finish`](Self::finish) then.
    /// [`StoreError::Replaced`], [`StoreError::Older`], [`StoreError::Foreign`]: a store was put back
    /// under this process, and nothing is served any more.
    pub fn advance(&self, rng: &mut (impl CryptoRng + ?Sized)) -> Result<(), StoreError> {
        loop {
            let step = self.begin(rng)?;
            let row = self.lead()?.mark()?;
            let here = |id: &[u8; 16]| self.own.iter().any(|own| own.own.id == *id);
            if !row.joined.iter().chain(&row.joining).all(here) {
                let absent = self.lead()?.sister_of(&row.joined, here)?;
                return Err(StoreError::Unmarked(absent));
            }
            self.finish(&step)?;
            // A store that another process's step did not know of joins by the next.
            if self.all_joined()? {
                return Ok(());
            }
        }
    }

    /// Copies every store of this process, while they are served, into a file of the embedded engine
    /// each: `path_of` says where. Marks advance before and after. The ledgers come last, so that the
    /// copy of a ledger has what the copies of the others have sent to it. Each is copied as
    /// [`RedbStore::copy`] does it.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when there is something at one of the paths; [`advance`](Self::advance)'s; the
    /// engines'.
    #[cfg(feature = "redb")]
    pub fn copy_to(
        &self,
        path_of: impl Fn(Role) -> PathBuf,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), StoreError> {
        self.advance(rng)?;
        let mut own: Vec<_> = self.own.iter().collect();
        own.sort_by_key(|own| own.own.role);
        own.into_iter().try_for_each(|own| RedbStore::copy(&**own, path_of(own.own.role)))?;
        self.advance(rng)
    }

    /// Looks whether every store of this process is still in step, and advances nothing: at every tick. In
    /// a process without the lead store nothing is looked at.
    ///
    /// # Errors
    /// As for [`advance`](Self::advance).
    pub fn check(&self) -> Result<(), StoreError> {
        let Ok(lead) = self.lead() else { return Ok(()) };
        for _ in 0..ROUNDS {
            let row = lead.mark()?;
            match self.judge(lead, &row) {
                Ok(()) => return Ok(()),
                // Another process has gone on meanwhile.
                Err(_) if lead.mark().is_ok_and(|now| now != row) => {}
                Err(error) => return Err(self.stop_by(error)),
            }
        }
        Err(StoreError::Contended)
    }

    fn judge(&self, lead: &OwnStore<S>, row: &MarkRow) -> Result<(), StoreError> {
        let went_back =
            |known: Mark| row.at.number < known.number || (row.at.number == known.number && row.at != known);
        if self.memory().is_some_and(went_back) {
            return Err(StoreError::Replaced(lead.own.role));
        }
        self.sisters().try_for_each(|sister| sister.judge(lead.own.role, row))
    }

    /// The lead store's part: begins a step, or takes up one that was begun, and takes it here. The answer
    /// goes to the processes of the other stores, and to [`finish`](Self::finish) when all have followed.
    ///
    /// # Errors
    /// As for [`advance`](Self::advance).
    pub fn begin(&self, rng: &mut (impl CryptoRng + ?Sized)) -> Result<Step, StoreError> {
        let lead = self.lead()?;
        let mut tag = [0; 16];
        rng.fill_bytes(&mut tag);
        for _ in 0..ROUNDS {
            let row = lead.mark()?;
            match self.begin_from(lead, &row, tag) {
                Ok(Some(step)) => return Ok(step),
                // Another process has gone on meanwhile: its marks are judged.
                Ok(None) => {}
                Err(_) if lead.mark().is_ok_and(|now| now != row) => {}
                Err(error) => return Err(self.stop_by(error)),
            }
        }
        Err(StoreError::Contended)
    }

    fn begin_from(&self, lead: &OwnStore<S>, row: &MarkRow, tag: Tag) -> Result<Option<Step>, StoreError> {
        self.judge(lead, row)?;
        let begun = match row.next {
            Some(_) => row.clone(),
            None => {
                let new = |sister: &&Arc<OwnStore<S>>| !row.joined.contains(&sister.own.id);
                let joining = self.sisters().filter(new).map(|sister| sister.own.id).collect();
                MarkRow { next: Some(tag), joining, ..row.clone() }
            }
        };
        let is_ours = decide(&*lead.store, mark_key(), |now, change| {
            if now.as_ref() != Some(row) {
                return Ok::<_, StoreError>(false);
            }
            if begun != *row {
                change.put(&mark_key(), &begun);
            }
            Ok(true)
        })?;
        let Some(step) = Step::of(&begun).filter(|_| is_ours) else { return Ok(None) };
        let joins = |sister: &&Arc<OwnStore<S>>| {
            begun.joined.contains(&sister.own.id) || begun.joining.contains(&sister.own.id)
        };
        self.sisters().filter(joins).try_for_each(|sister| sister.follow(&step, lead.own.role))?;
        Ok(Some(step))
    }

    /// A sister's part, in a process without the lead store: from exactly the last mark to the next. These
    /// stores can be served then. Again: no effect.
    ///
    /// # Errors
    /// [`StoreError::Older`] when a store of this process is, or the lead store; [`StoreError::Foreign`].
    pub fn follow(&self, step: &Step) -> Result<(), StoreError> {
        let followed = self.sisters().try_for_each(|sister| sister.follow(step, self.lead.role));
        followed.map_err(|error| self.stop_by(error))?;
        self.serve(step.to);
        Ok(())
    }

    /// The lead store's last part, when every process has followed. These stores can be served then.
    ///
    /// # Errors
    /// [`StoreError::Replaced`] when the lead store knows nothing of the step; the engine's.
    pub fn finish(&self, step: &Step) -> Result<(), StoreError> {
        let lead = self.lead()?;
        let finished = decide(&*lead.store, mark_key(), |row, change| {
            let row = row.ok_or(StoreError::Replaced(lead.own.role))?;
            if Step::of(&row).as_ref() == Some(step) {
                let joined = [row.joined, row.joining].concat();
                change.put(&mark_key(), &MarkRow { at: step.to, next: None, joined, joining: Vec::new() });
                return Ok(());
            }
            // Another process has finished it, and perhaps gone on.
            match row.at == step.to || row.at.number > step.to.number {
                true => Ok(()),
                false => Err(StoreError::Replaced(lead.own.role)),
            }
        });
        finished.map_err(|error| self.stop_by(error))?;
        self.serve(step.to);
        Ok(())
    }

    fn lead(&self) -> Result<&OwnStore<S>, StoreError> {
        let lead = self.own.iter().find(|own| own.own == self.lead);
        lead.map(|lead| &**lead).ok_or(StoreError::Unmarked(self.lead.role))
    }

    fn sisters(&self) -> impl Iterator<Item = &Arc<OwnStore<S>>> {
        self.own.iter().filter(|own| own.own != self.lead)
    }

    fn all_joined(&self) -> Result<bool, StoreError> {
        let joined = self.lead()?.mark()?.joined;
        Ok(self.sisters().all(|sister| joined.contains(&sister.own.id)))
    }

    fn memory(&self) -> MutexGuard<'_, Option<Mark>> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, at: Mark) {
        let mut memory = self.memory();
        if memory.is_none_or(|known| known.number < at.number) {
            *memory = Some(at);
        }
        for own in &self.own {
            // What was found exchanged stays so until it is opened again.
            let _ = own.state.compare_exchange(UNMARKED, SERVING, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    /// Nothing is served any more when a store is not what it was.
    fn stop_by(&self, error: StoreError) -> StoreError {
        use StoreError::{Foreign, Nobodys, Older, Replaced};
        if matches!(error, Replaced(_) | Older(_) | Foreign(_) | Nobodys(_)) {
            self.own.iter().for_each(|own| own.state.store(REPLACED, Ordering::Release));
        }
        error
    }
}

impl<S: Store> OwnStore<S> {
    /// A sister that is known to this lead store and not `here`.
    fn sister_of(&self, joined: &[[u8; 16]], here: impl Fn(&[u8; 16]) -> bool) -> Result<Role, StoreError> {
        let identity = identity::of(&*self.store)?.ok_or(StoreError::Nobodys(self.own.role))?;
        let absent = |member: &&Member| joined.contains(&member.id) && !here(&member.id);
        Ok(identity.sisters.iter().find(absent).map_or(self.own.role, |member| member.role))
    }
}

fn identity_of(roster: &Roster, role: Role) -> Result<Identity, StoreError> {
    roster.identity(role, 0).ok_or(StoreError::Decision("a store that the roster lacks"))
}

impl<S> fmt::Debug for Stores<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.own.iter().map(|own| own.own.role)).finish()
    }
}

#[cfg(test)]
mod tests;
