//! Following the openings ledger: from the last checkpoint that this trustee has seen to the
//! published one, entry by entry.

use super::rows::{self, Intent, Rows, State, Verdict};
use super::{Trustee, TrusteeError};
use crate::ledger::{LedgerView, Quorum, ShareReleasedEntry, SignedCheckpoint, ViewError};
use crate::opening::budget::Claim;
use crate::opening::register::OpeningsRegister;
use crate::store::decide::{Decision, Step, run_one};
use crate::store::{Commit, RowKey, Store, StoreError};
use crate::time::Timestamp;
use crate::token::Trustees;
use std::collections::HashMap;

/// So many entries are read at a time.
const PAGE: u64 = 8192;
/// So many rows are read at a time.
const ROWS: usize = 512;

/// How far a trustee has followed the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The published checkpoint's size.
    pub size: u64,
    /// Its median witness time: the present, as far as warrants and budgets are concerned.
    pub time: Timestamp,
}

/// What a trustee keeps in memory of the ledger; all of it is made again from the ledger and
/// the store.
pub(super) struct Following {
    pub(super) register: OpeningsRegister,
    /// The median witness time of the checkpoint that was followed last.
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
    pub(super) fn new(trustees: Trustees) -> Self {
        Self {
            register: OpeningsRegister::new(trustees),
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
        let open = intents.into_iter().filter(|(_, intent)| intent.verdict == Verdict::Open);
        self.pending = open.map(|(tag, intent)| (tag, intent.claim(trustee, tag))).collect();
        for (size, time) in rows.marks(store)? {
            self.register.mark(size, time);
        }
        self.is_loaded = true;
        Ok(())
    }

    /// Whether all of this trustee's own entries were held against its store.
    pub(super) fn check(&self) -> Result<(), TrusteeError> {
        match (self.unknown.is_empty(), self.unchecked.is_empty()) {
            (false, _) => Err(TrusteeError::RolledBack),
            (true, false) => Err(StoreError::Contended.into()),
            (true, true) => Ok(()),
        }
    }

    /// Folds the entries up to `size` and takes down this trustee's own.
    fn read_up_to(&mut self, trustee: u16, size: u64, ledger: &dyn LedgerView) -> Result<(), TrusteeError> {
        while self.register.size() < size {
            let from = self.register.size();
            let to = size.min(from.saturating_add(PAGE));
            let page = ledger.entries(from, to)?;
            // Not one more either: the size whose root is known must not be stepped over.
            if page.len() as u64 != to - from {
                return Err(ViewError::Missing.into());
            }
            let releases = self.register.extend(&page);
            self.unchecked.extend(releases.into_iter().filter(|(_, entry)| entry.trustee() == trustee));
        }
        Ok(())
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
    /// changed. [`TrusteeError::RolledBack`] until [`resynchronise`](Self::resynchronise).
    pub fn follow(&self, ledger: &dyn LedgerView) -> Result<Followed, TrusteeError> {
        let mut following = self.lock();
        let followed = self.go_on(&mut following, ledger)?;
        following.check()?;
        Ok(followed)
    }

    /// Takes an older checkpoint for a mark: that its entries were in the ledger at its quorum's
    /// median time. Without it an entry counts as logged when this trustee first saw it, which is
    /// on the safe side: a warrant's cooling-off ends later, and a release leaves the window later.
    ///
    /// # Errors
    /// [`TrusteeError::Checkpoint`] when no quorum has cosigned it; [`TrusteeError::Behind`] when it
    /// is of more entries than were [followed](Self::follow); [`TrusteeError::Store`].
    pub fn note_checkpoint(&self, note: &[u8]) -> Result<(), TrusteeError> {
        let (checkpoint, quorum) = self.policy.openings.read(note)?;
        let (size, time) = (checkpoint.size(), quorum.median_time);
        let mut following = self.lock();
        following.load(self.index(), &self.rows, &*self.store)?;
        // A quorum does not cosign two ledgers, so that its checkpoint is this one's.
        if !run_one(&*self.store, Note { rows: &self.rows, size, time })? {
            return Err(TrusteeError::Behind);
        }
        following.register.mark_earlier(size, time);
        Ok(())
    }

    /// Takes over what the ledger holds of this trustee's releases and its store does not know:
    /// sequence numbers, and tags. For a trustee whose store was lost or put back, once it is
    /// certain that nobody else has its key. Returns how many there were.
    ///
    /// A review that was taken over is judged by its old entry, as if it had been decided at the
    /// last checkpoint before that which is known; where none is, the whole ledger counts.
    ///
    /// # Errors
    /// As [`follow`](Self::follow).
    pub fn resynchronise(&self, ledger: &dyn LedgerView) -> Result<u64, TrusteeError> {
        let mut following = self.lock();
        self.go_on(&mut following, ledger)?;
        let mut taken = 0;
        // Of several entries with one tag the first is judged: it is taken over first.
        following.unknown.sort_unstable_by_key(|(index, _)| core::cmp::Reverse(*index));
        while let Some((index, entry)) = following.unknown.last() {
            let since = following.register.time_before(*index);
            run_one(&*self.store, TakeOver { rows: &self.rows, entry, since })?;
            following.unknown.pop();
            taken += 1;
        }
        Ok(taken)
    }

    fn go_on(&self, following: &mut Following, ledger: &dyn LedgerView) -> Result<Followed, TrusteeError> {
        let note = ledger.checkpoint()?.ok_or(TrusteeError::Unpublished)?;
        let (checkpoint, quorum) = self.policy.openings.read_fresh(&note, self.environment.now())?;
        let read = self.read_up_to(following, &checkpoint, quorum, ledger);
        if read.is_err() && following.register.size() != following.verified {
            // What was folded may be no part of any ledger.
            *following = Following::new(self.holding()?.2.clone());
        }
        read?;
        self.check_own(following)?;
        Ok(Followed { size: checkpoint.size(), time: following.time })
    }

    fn read_up_to(
        &self,
        following: &mut Following,
        checkpoint: &SignedCheckpoint,
        quorum: Quorum,
        ledger: &dyn LedgerView,
    ) -> Result<(), TrusteeError> {
        following.load(self.index(), &self.rows, &*self.store)?;
        let stored = self.store.read(&[self.rows.state()])?.pop().flatten();
        let seen = State::read(stored.as_deref())?;
        if checkpoint.size() < seen.size.max(following.register.size()) {
            return Err(TrusteeError::Behind);
        }
        for (size, root) in [(seen.size, &seen.root), (checkpoint.size(), checkpoint.root())] {
            following.read_up_to(self.index(), size, ledger)?;
            if following.register.size() == size && following.register.root() != *root {
                return Err(TrusteeError::Forked);
            }
            following.verified = following.verified.max(size);
        }
        let (size, time) = (checkpoint.size(), quorum.median_time);
        if size > seen.size {
            run_one(&*self.store, See { rows: &self.rows, checkpoint, time })?;
        }
        following.register.mark(size, time);
        following.time = time;
        Ok(())
    }

    /// Holds this trustee's new releases against its intents: an intent comes before its entry.
    fn check_own(&self, following: &mut Following) -> Result<(), TrusteeError> {
        while !following.unchecked.is_empty() {
            let from = following.unchecked.len().saturating_sub(ROWS);
            let some = following.unchecked.get(from..).unwrap_or_default();
            let keys = some
                .iter()
                .flat_map(|(_, entry)| [self.rows.intent(entry.tag()), self.rows.taken_over(entry)]);
            let read = self.store.read(&keys.collect::<Vec<_>>())?;
            let mut unknown = Vec::new();
            for (release, found) in some.iter().zip(read.chunks(2)) {
                let entry = &release.1;
                let [intent, taken_over] = found else { return Err(StoreError::Corrupt("read").into()) };
                let intent = intent.as_deref().map(Intent::read).transpose()?;
                let is_it = |intent: Intent| {
                    (intent.sequence, &intent.commitment) == (entry.sequence(), entry.commitment())
                };
                if !intent.is_some_and(is_it) && taken_over.is_none() {
                    unknown.push(release.clone());
                }
            }
            for (_, entry) in following.unchecked.split_off(from) {
                following.pending.remove(entry.tag());
            }
            following.unknown.extend(unknown);
        }
        Ok(())
    }
}

/// Keeps the mark of an older checkpoint, unless an earlier time is kept for its size; `false` when
/// it is beyond what was followed.
struct Note<'a> {
    rows: &'a Rows,
    size: u64,
    time: Timestamp,
}

impl Decision for Note<'_> {
    type Answer = bool;

    fn keys(&self) -> Vec<RowKey> {
        vec![self.rows.state(), self.rows.mark(self.size)]
    }

    fn decide(&mut self, stored: &[Option<Vec<u8>>]) -> Result<Step<bool>, StoreError> {
        let [state, mark] = stored else { return Err(StoreError::Corrupt("read")) };
        if self.size > State::read(state.as_deref())?.size {
            return Ok(Step::Answer(false));
        }
        let kept = mark.as_deref().map(rows::read_mark).transpose()?;
        if kept.is_some_and(|kept| kept <= self.time) {
            return Ok(Step::Answer(true));
        }
        let RowKey { bucket, key } = self.rows.mark(self.size);
        let commit = Commit::new(bucket).expect(&key, mark.as_deref());
        Ok(Step::Commit(commit.put(key, rows::mark_value(self.time)), true))
    }
}

/// Takes a checkpoint for the last one seen, unless a larger one is.
struct See<'a> {
    rows: &'a Rows,
    checkpoint: &'a SignedCheckpoint,
    time: Timestamp,
}

impl Decision for See<'_> {
    type Answer = ();

    fn keys(&self) -> Vec<RowKey> {
        vec![self.rows.state(), self.rows.mark(self.checkpoint.size())]
    }

    fn decide(&mut self, stored: &[Option<Vec<u8>>]) -> Result<Step<()>, StoreError> {
        let [state, mark] = stored else { return Err(StoreError::Corrupt("read")) };
        let seen = State::read(state.as_deref())?;
        if seen.size >= self.checkpoint.size() {
            return Ok(Step::Answer(()));
        }
        let (size, root) = (self.checkpoint.size(), *self.checkpoint.root());
        let (row, at) = (self.rows.state(), self.rows.mark(size));
        let mut commit = Commit::new(row.bucket).expect(&row.key, state.as_deref());
        commit = commit.put(row.key, State { size, root, ..seen }.value());
        // The first time of a size stands.
        if mark.is_none() {
            commit = commit.put(at.key, rows::mark_value(self.time));
        }
        Ok(Step::Commit(commit, ()))
    }
}

/// Takes one of this trustee's own entries over from the ledger.
struct TakeOver<'a> {
    rows: &'a Rows,
    entry: &'a ShareReleasedEntry,
    since: Timestamp,
}

impl Decision for TakeOver<'_> {
    type Answer = ();

    fn keys(&self) -> Vec<RowKey> {
        vec![self.rows.state(), self.rows.intent(self.entry.tag())]
    }

    fn decide(&mut self, stored: &[Option<Vec<u8>>]) -> Result<Step<()>, StoreError> {
        let [state, intent] = stored else { return Err(StoreError::Corrupt("read")) };
        let seen = State::read(state.as_deref())?;
        let next_sequence = seen.next_sequence.max(self.entry.sequence().saturating_add(1));
        let (row, at) = (self.rows.state(), self.rows.intent(self.entry.tag()));
        let mut commit = Commit::new(row.bucket)
            .expect(&row.key, state.as_deref())
            .expect(&at.key, intent.as_deref())
            .put(row.key, State { next_sequence, ..seen }.value())
            .put(self.rows.taken_over(self.entry).key, rows::present());
        if intent.is_none() {
            let (sequence, commitment) = (self.entry.sequence(), *self.entry.commitment());
            let intent = Intent { sequence, commitment, since: self.since, verdict: Verdict::Open };
            commit = commit.put(at.key, intent.value());
        }
        Ok(Step::Commit(commit, ()))
    }
}
