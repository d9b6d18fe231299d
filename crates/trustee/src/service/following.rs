//! Following the openings ledger: from the last checkpoint that this trustee has seen to the
//! published one, entry by entry.

use super::rows::{Intent, Mark, Rows, State};
use super::{Trustee, TrusteeError};
use crate::warrant::{Claim, OpeningsRegister, RegisterTrust};
use std::collections::HashMap;
use std::sync::MutexGuard;
use unjoin_core::Timestamp;
use unjoin_core::entry::ShareReleasedEntry;
use unjoin_log::tree::{Frontier, Hash, leaf_hash};
use unjoin_log::{LogView, SignedCheckpoint, ViewError, each_page};
use unjoin_store::{Present, Store, StoreError, decide, read};

/// At most this many of this trustee's own entries are held against its store at a time.
const OWN: usize = 512;
/// No trustee gives away so many numbers. Who has its key can log one from here on, and is not followed
/// there: else none might be left.
const NUMBERS: u64 = 1 << 63;

/// How far a trustee has followed the ledger.
///
/// ```
/// # use unjoin_trustee::test_util::world::{World, budgets};
/// # let world = World::new(1, 1, 1, budgets(9, 9, 9));
/// # let trustee = &world.all_trustees()[0];
/// # world.warrant(&[0]);
/// let followed = trustee.follow(&world.openings)?;
/// // The committee and a warrant; and the witnesses' time, which is the present here.
/// assert_eq!(followed.size, 2);
/// assert!(followed.time >= unjoin_trustee::test_util::world::START);
/// # Ok::<(), unjoin_trustee::service::TrusteeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The published checkpoint's size.
    pub size: u64,
    /// The latest median witness time of the checkpoints followed: the present, as far as warrants and
    /// budgets are concerned.
    pub time: Timestamp,
}

/// What a trustee keeps in memory of the ledger; all of it is made again from the ledger and
/// the store.
pub(super) struct Following {
    pub(super) register: OpeningsRegister,
    /// The latest median witness time of a followed checkpoint. It does not go back: an older note of the same
    /// size revives no warrant. After a restart it is that of the last mark.
    pub(super) time: Timestamp,
    /// Intents whose entries are not in the ledger yet, by tag.
    pub(super) pending: HashMap<[u8; 32], Claim>,
    /// This trustee's releases in the ledger that were not held against the store yet.
    unchecked: Vec<(u64, ShareReleasedEntry)>,
    /// Those that the store knows nothing of.
    unknown: Vec<(u64, ShareReleasedEntry)>,
    /// Whether marks and intents were read.
    is_loaded: bool,
    /// The size at which the register was found to have a checkpoint's root.
    verified: u64,
}

impl Following {
    pub(super) fn new(trust: RegisterTrust) -> Self {
        Self {
            register: OpeningsRegister::new(trust),
            time: Timestamp::ZERO,
            pending: HashMap::new(),
            unchecked: Vec::new(),
            unknown: Vec::new(),
            is_loaded: false,
            verified: 0,
        }
    }

    /// Marks, and intents that were not judged.
    fn load<S: Store>(&mut self, trustee: u16, rows: &Rows, store: &S) -> Result<(), StoreError> {
        if self.is_loaded {
            return Ok(());
        }
        let intents = rows.intents(store)?;
        let unjudged = intents.into_iter().filter(|(_, intent)| intent.verdict.is_none());
        self.pending = unjudged.map(|(tag, intent)| (tag, intent.claim(trustee, tag))).collect();
        for (size, time) in rows.marks(store)? {
            self.register.mark(size, time);
        }
        self.time = self.time.max(self.register.not_logged_before(u64::MAX));
        self.is_loaded = true;
        Ok(())
    }

    /// Forgets what was folded; what time it is it keeps.
    pub(super) fn begin_anew(&mut self, trust: RegisterTrust) {
        *self = Self { time: self.time, ..Self::new(trust) };
    }

    pub(super) fn followed(&self) -> Followed {
        Followed { size: self.register.size(), time: self.time }
    }

    /// Folds the entries up to `size` and takes down this trustee's own.
    fn fold_up_to(&mut self, trustee: u16, size: u64, ledger: &dyn LogView) -> Result<(), TrusteeError> {
        each_page(ledger, self.register.size()..size, |page| {
            let releases = self.register.extend(&page);
            self.unchecked.extend(releases.into_iter().filter(|(_, entry)| entry.trustee() == trustee));
            Ok(())
        })
    }
}

impl<S: Store> Trustee<S> {
    /// Reads the ledger's published checkpoint, which a quorum must have cosigned lately, and
    /// all entries since the last one seen: they must have both roots. Then takes the checkpoint
    /// for the last one seen, in one commit.
    ///
    /// The first call reads the ledger from its first entry.
    ///
    /// # Errors
    /// [`TrusteeError::Unpublished`], [`TrusteeError::Checkpoint`], [`TrusteeError::View`],
    /// [`TrusteeError::Behind`], [`TrusteeError::Forked`], [`TrusteeError::Store`]: nothing is
    /// changed. Only [`TrusteeError::Forked`] accuses anybody; the entries of a copy that do not
    /// have the root of its own checkpoint are [`ViewError::Malformed`]. [`TrusteeError::RolledBack`] until [`resynchronise`](Self::resynchronise).
    pub fn follow(&self, ledger: &dyn LogView) -> Result<Followed, TrusteeError> {
        self.follow_locked(ledger).map(|following| following.followed())
    }

    /// Follows the ledger, and keeps the lock. What is decided under it is decided at this
    /// checkpoint, and all of this trustee's own entries in it were held against the store.
    pub(super) fn follow_locked(
        &self,
        ledger: &dyn LogView,
    ) -> Result<MutexGuard<'_, Following>, TrusteeError> {
        let mut following = self.lock();
        self.go_on(&mut following, ledger)?;
        if following.unknown.is_empty() { Ok(following) } else { Err(TrusteeError::RolledBack) }
    }

    /// Takes an older checkpoint for a mark: that its entries were in the ledger at its quorum's
    /// median time. Without it an entry counts as logged when this trustee first saw it, which is
    /// on the safe side. A warrant's cooling-off ends later, and a release leaves the window later.
    ///
    /// # Errors
    /// [`TrusteeError::Checkpoint`] when no quorum has cosigned it; [`TrusteeError::Behind`] when it
    /// is of more entries than were [followed](Self::follow); [`TrusteeError::Store`].
    pub fn mark_checkpoint(&self, note: &[u8]) -> Result<(), TrusteeError> {
        let (checkpoint, quorum) = self.policy.openings.read(note)?;
        let (size, time) = (checkpoint.size(), quorum.median_time);
        let mut following = self.lock();
        following.load(self.index(), &self.rows, &*self.store)?;
        // A quorum does not cosign two ledgers, so that its checkpoint is this one's.
        let Some(last) = size.checked_sub(1) else { return Ok(()) };
        let register = &following.register;
        let noted = time.max(register.not_logged_before(last));
        let says_more = register.logged_by(last).is_none_or(|by| noted < by);
        let mark = self.rows.mark(size);
        decide(&*self.store, (self.rows.state(), mark.clone()), |(state, kept), change| {
            if size > state.unwrap_or_default().size {
                return Err(TrusteeError::Behind);
            }
            // As the register has it, or another would be made again out of the rows. The earlier of two
            // times stands.
            if says_more && kept.is_none_or(|Mark(kept)| kept > noted) {
                change.put(&mark, &Mark(noted));
            }
            Ok(())
        })?;
        following.register.mark_earlier(size, noted);
        Ok(())
    }

    /// Takes over what the ledger holds of this trustee's releases and its store does not know:
    /// sequence numbers below 2^63, and tags. For a trustee whose store was lost or put back, once it is
    /// certain that nobody else has its key. Returns how many there were.
    ///
    /// A review that was taken over is judged by its old entry, as if it had been decided at the last
    /// checkpoint before that which is known. Where none is, the whole ledger counts.
    ///
    /// # Errors
    /// As [`follow`](Self::follow).
    pub fn resynchronise(&self, ledger: &dyn LogView) -> Result<u64, TrusteeError> {
        let mut following = self.lock();
        self.go_on(&mut following, ledger)?;
        let mut taken = 0;
        // The first of several entries with one tag is taken over first: it is the one that is judged.
        following.unknown.sort_unstable_by_key(|(index, _)| core::cmp::Reverse(*index));
        while let Some((index, entry)) = following.unknown.last() {
            let since = following.register.not_logged_before(*index);
            self.take_over(entry, since)?;
            following.unknown.pop();
            taken += 1;
        }
        Ok(taken)
    }

    /// Takes one of this trustee's own entries over from the ledger.
    fn take_over(&self, entry: &ShareReleasedEntry, since: Timestamp) -> Result<(), StoreError> {
        let keys = (self.rows.state(), self.rows.intent(entry.tag()));
        decide(&*self.store, keys.clone(), |(state, intent), change| {
            let seen = state.unwrap_or_default();
            let after = entry.sequence().saturating_add(1);
            let next_sequence = seen.next_sequence.max(if after < NUMBERS { after } else { 0 });
            change.put(&keys.0, &State { next_sequence, ..seen });
            change.put(&self.rows.taken_over(entry), &Present);
            if intent.is_none() {
                let (sequence, commitment) = (entry.sequence(), *entry.commitment());
                change.put(&keys.1, &Intent { sequence, commitment, since, verdict: None });
            }
            Ok(())
        })
    }

    /// Goes on to the published checkpoint, then holds this trustee's own entries against the store.
    fn go_on(&self, following: &mut Following, ledger: &dyn LogView) -> Result<(), TrusteeError> {
        let note = ledger.checkpoint()?.ok_or(TrusteeError::Unpublished)?;
        let (checkpoint, quorum) = self.policy.openings.read_fresh(&note, self.environment.now())?;
        let taken = self.take_checkpoint(following, &checkpoint, quorum.median_time, ledger);
        if taken.is_err() && following.register.size() != following.verified {
            // What was folded may be no part of any ledger.
            following.begin_anew(self.trust.clone());
        }
        taken?;
        self.check_own(following)
    }

    /// Folds the entries up to a checkpoint, and takes it for the last one seen if it is larger.
    fn take_checkpoint(
        &self,
        following: &mut Following,
        checkpoint: &SignedCheckpoint,
        time: Timestamp,
        ledger: &dyn LogView,
    ) -> Result<(), TrusteeError> {
        following.load(self.index(), &self.rows, &*self.store)?;
        let (size, root) = (checkpoint.size(), *checkpoint.root());
        let keys = (self.rows.state(), self.rows.mark(size));
        let (seen, kept) = read(&*self.store, &keys)?;
        let seen: State = seen.unwrap_or_default();
        if size < seen.size.max(following.register.size()) {
            return Err(TrusteeError::Behind);
        }
        // Whichever reaches further of what the store and this memory have found under a checkpoint.
        let register = (following.register.size(), following.register.root());
        let last = if seen.size > register.0 { (seen.size, seen.root) } else { register };
        if size == last.0 && root != last.1 {
            // A quorum has cosigned two roots for one size: no entry is needed to show it.
            return Err(TrusteeError::Forked);
        }
        for (size, root) in [last, (size, root)] {
            following.fold_up_to(self.index(), size, ledger)?;
            if following.register.root() != root {
                return Err(what_differs(last, checkpoint, ledger)?);
            }
            following.verified = following.verified.max(size);
        }
        // As the register has it, or another would be made again out of the rows.
        let noted = time.max(following.register.not_logged_before(size.saturating_sub(1)));
        let noted = if size > seen.size {
            decide(&*self.store, keys.clone(), |(state, mark), change| {
                let seen = state.unwrap_or_default();
                // The first time of a size stands.
                let Mark(standing) = mark.unwrap_or(Mark(noted));
                // Unless another process has seen a larger one.
                if size > seen.size {
                    change.put(&keys.0, &State { size, root, ..seen });
                    change.put(&keys.1, &Mark(standing));
                }
                Ok::<_, StoreError>(standing)
            })?
        } else {
            kept.map_or(noted, |Mark(kept)| kept)
        };
        following.register.mark(size, noted);
        following.time = following.time.max(time);
        Ok(())
    }

    /// Holds this trustee's new releases against its intents: an intent comes before its entry.
    fn check_own(&self, following: &mut Following) -> Result<(), TrusteeError> {
        while !following.unchecked.is_empty() {
            let from = following.unchecked.len().saturating_sub(OWN);
            let some = following.unchecked.get(from..).unwrap_or_default().iter();
            let keys = some.map(|(_, entry)| (self.rows.intent(entry.tag()), self.rows.taken_over(entry)));
            let found = read(&*self.store, &keys.collect::<Vec<_>>())?;
            for (release, (intent, taken_over)) in following.unchecked.split_off(from).into_iter().zip(found)
            {
                let entry = &release.1;
                following.pending.remove(entry.tag());
                let is_its = |intent: Intent| {
                    (intent.sequence, &intent.commitment) == (entry.sequence(), entry.commitment())
                };
                if !intent.is_some_and(is_its) && taken_over.is_none() {
                    following.unknown.push(release);
                }
            }
        }
        Ok(())
    }
}

/// What is wrong when a ledger's entries do not have both roots, that of the last checkpoint seen
/// and that of the published one. Only entries that do have the newer root say anything about the
/// ledger, and what was folded before came perhaps from another copy. All are read again.
fn what_differs(
    (old_size, old_root): (u64, Hash),
    checkpoint: &SignedCheckpoint,
    ledger: &dyn LogView,
) -> Result<TrusteeError, ViewError> {
    let (mut frontier, mut goes_on) = (Frontier::default(), true);
    for end in [old_size, checkpoint.size()] {
        each_page(ledger, frontier.size()..end, |page| {
            page.iter().for_each(|entry| frontier.push(leaf_hash(entry)));
            Ok::<_, ViewError>(())
        })?;
        if end == old_size {
            goes_on = frontier.root() == old_root;
        }
    }
    let is_the_ledger = frontier.root() == *checkpoint.root();
    Ok(if is_the_ledger && !goes_on { TrusteeError::Forked } else { ViewError::Malformed.into() })
}
