//! What the openings ledger says, folded entry by entry: which warrants are logged, which
//! reviews were charged, and when at the latest.
//!
//! The fold is a function of the entries and the trustees' keys alone, so every reader of one
//! ledger has the same. It is rebuilt from the entries and held against a checkpoint's root:
//! nobody's word is taken for a count.

use super::budget::{BudgetPolicy, Claim, Excess};
use crate::ledger::tree::{Frontier, Hash, leaf_hash};
use crate::ledger::{
    BlindEntry, DisclosedEntry, Members, RoundEntry, ShareReleasedEntry, WarrantAction, WarrantEntry,
};
use crate::time::Timestamp;
use crate::token::Trustees;
use crate::wire::Message;
use core::fmt;
use std::collections::{HashMap, HashSet};

type Id = [u8; 32];

/// So many entries are worth a thread of their own: their signatures are most of the work.
const SHARE: usize = 512;

/// The openings ledger up to some size.
///
/// What counts is objective. A warrant counts with the first entry of its commitment. A release
/// counts if its trustee signed it, its warrant stood before it, and it is its trustee's first
/// for its tag; of a warrant's tags as many count as its entry says, the first ones.
///
/// ```
/// use unjoin::ledger::{ShareReleasedEntry, WarrantAction, WarrantEntry};
/// use unjoin::opening::{BudgetPolicy, Claim, Limit, OpeningsRegister};
/// use unjoin::{DAY, Timestamp, secret::SystemRng, token::{TrusteeKey, Trustees}, wire::Message};
/// let key = TrusteeKey::generate(&mut SystemRng::new());
/// let mut register = OpeningsRegister::new(Trustees::new(vec![key.public()])?);
/// let (requester, action) = (b"court".to_vec(), WarrantAction::Open);
/// let warrant = WarrantEntry { commitment: [1; 32], requester, action, count: 2 };
/// let release = |sequence, tag| ShareReleasedEntry::sign(&key, 1, sequence, [1; 32], tag).unwrap().to_bytes();
/// register.extend(&[warrant.to_bytes(), release(1, [2; 32]), release(2, [3; 32])]);
/// let now = Timestamp::from_unix_seconds(1_700_000_000);
/// register.mark(register.size(), now);
/// // One review a week: the second entry is void.
/// let limit = Limit { all: 1, own: 1, requester: 1 };
/// let budgets = BudgetPolicy { window: 7 * DAY, cooling_off: 0, opening: limit, comparison: limit };
/// let claim = |tag| Claim { trustee: 1, commitment: [1; 32], tag, since: now };
/// assert!(register.judge(&budgets, &claim([2; 32]), 1).is_ok());
/// assert!(register.judge(&budgets, &claim([3; 32]), 2).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct OpeningsRegister {
    trustees: Trustees,
    frontier: Frontier,
    marks: Vec<Mark>,
    warrants: HashMap<Id, LoggedWarrant>,
    requesters: HashMap<Vec<u8>, u32>,
    openings: Vec<Release>,
    comparisons: Vec<Release>,
    tags: u64,
    disclosed: Vec<(Id, DisclosedEntry)>,
    rounds: HashMap<(Id, u16), LoggedRound>,
}

/// Every entry below this size was in the ledger at this time.
#[derive(Clone, Copy)]
struct Mark {
    size: u64,
    time: Timestamp,
}

/// A release that counts.
#[derive(Clone, Copy)]
struct Release {
    index: u64,
    tag: u64,
    requester: u32,
    trustee: u16,
}

/// A warrant's entry, and what was charged under it.
#[derive(Clone, Debug)]
pub struct LoggedWarrant {
    entry: WarrantEntry,
    index: u64,
    requester: u32,
    tags: HashMap<Id, LoggedTag>,
}

#[derive(Clone, Debug)]
struct LoggedTag {
    number: u64,
    /// Each trustee's first entry: its index, and where that stands.
    releases: Vec<(u16, u64)>,
}

#[derive(Clone, Debug)]
struct LoggedRound {
    members: Members,
    blinds: HashMap<u16, [u8; 32]>,
}

impl LoggedWarrant {
    /// The first entry of its commitment.
    pub fn entry(&self) -> &WarrantEntry {
        &self.entry
    }

    /// Where that stands.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Whether as many tags count as its entry says, and this is none of them: it is void.
    pub(super) fn is_full_without(&self, tag: &[u8; 32]) -> bool {
        self.tags.len() >= usize::from(self.entry.count) && !self.tags.contains_key(tag)
    }
}

/// An entry of one of the kinds that are folded; of releases only those that their trustee
/// signed.
enum Known {
    Warrant(WarrantEntry),
    Release(ShareReleasedEntry),
    Round(RoundEntry),
    Blind(BlindEntry),
    Disclosed(DisclosedEntry),
}

impl OpeningsRegister {
    /// An empty ledger, with the trustees whose releases count.
    pub fn new(trustees: Trustees) -> Self {
        Self {
            trustees,
            frontier: Frontier::default(),
            marks: Vec::new(),
            warrants: HashMap::new(),
            requesters: HashMap::new(),
            openings: Vec::new(),
            comparisons: Vec::new(),
            tags: 0,
            disclosed: Vec::new(),
            rounds: HashMap::new(),
        }
    }

    /// How many entries it has.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root over them.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// Folds the next entries, and tells which of them are signed releases, whether they count
    /// or not, with their indices. Signatures are checked on all processors.
    pub fn extend(&mut self, entries: &[Vec<u8>]) -> Vec<(u64, ShareReleasedEntry)> {
        let mut releases = Vec::new();
        for (leaf, known) in self.read(entries) {
            let index = self.frontier.size();
            self.frontier.push(leaf);
            if let Some(known) = known {
                releases.extend(self.fold(index, known).map(|release| (index, release)));
            }
        }
        releases
    }

    /// Notes that a quorum of witnesses had seen a checkpoint of this size at this median time,
    /// the first one for all entries that no earlier mark covers. Times that go back are held.
    pub fn mark(&mut self, size: u64, time: Timestamp) {
        let (last_size, last_time) = self.marks.last().map_or((0, time), |mark| (mark.size, mark.time));
        if size > last_size {
            self.marks.push(Mark { size, time: time.max(last_time) });
        }
    }

    /// When the entry was in the ledger at the latest: the time of the first mark that covers
    /// it; `None` without one.
    pub fn time_of(&self, index: u64) -> Option<Timestamp> {
        let first = self.marks.partition_point(|mark| mark.size <= index);
        self.marks.get(first).map(|mark| mark.time)
    }

    /// A time before which the entry was not in the ledger: that of the last mark that does not
    /// cover it.
    pub fn time_before(&self, index: u64) -> Timestamp {
        let first = self.marks.partition_point(|mark| mark.size <= index);
        let before = first.checked_sub(1).and_then(|at| self.marks.get(at));
        before.map_or(Timestamp::ZERO, |mark| mark.time)
    }

    /// The warrant with this commitment, once it is logged.
    pub fn warrant(&self, commitment: &[u8; 32]) -> Option<&LoggedWarrant> {
        self.warrants.get(commitment)
    }

    /// Where the trustee's release for this tag stands, if it counts.
    pub fn release(&self, commitment: &[u8; 32], tag: &[u8; 32], trustee: u16) -> Option<u64> {
        let releases = &self.warrants.get(commitment)?.tags.get(tag)?.releases;
        releases.iter().find(|(other, _)| *other == trustee).map(|(_, index)| *index)
    }

    /// The members of a same-author round, as its first entry names them.
    pub fn round(&self, commitment: &[u8; 32], round: u16) -> Option<Members> {
        self.rounds.get(&(*commitment, round)).map(|logged| logged.members)
    }

    /// A member's commitment to its blind for a round, the first one that was logged after the
    /// round.
    pub fn blind(&self, commitment: &[u8; 32], round: u16, trustee: u16) -> Option<&[u8; 32]> {
        self.rounds.get(&(*commitment, round))?.blinds.get(&trustee)
    }

    /// Whether some disclosed warrant that was charged as an opening has a release for this
    /// review. Takes a hash for each disclosed warrant.
    pub fn is_known_opened(&self, review_id: &[u8; 32]) -> bool {
        self.disclosed.iter().any(|(commitment, disclosed)| {
            let warrant = self.warrants.get(commitment);
            let opened = warrant.filter(|warrant| warrant.entry.action == WarrantAction::Open);
            opened.is_some_and(|warrant| warrant.tags.contains_key(&disclosed.tag_of(review_id)))
        })
    }

    /// The verdict on a trustee's entry that stands at `index`: a function of the entries up to
    /// it, the marks and the claim.
    ///
    /// Counted are the different reviews with a release up to there that is charged as the
    /// warrant's entry says, and whose time is after `claim.since` less the window.
    ///
    /// # Errors
    /// [`Excess`]: the entry is void, nothing is released for it. It stays counted.
    pub fn judge(&self, budgets: &BudgetPolicy, claim: &Claim, index: u64) -> Result<(), Excess> {
        self.count(budgets, claim, index, &[])
    }

    /// The verdict as it would be on an entry that were appended now, after those of the other
    /// `pending` claims of this trustee.
    ///
    /// # Errors
    /// [`Excess`].
    pub fn forecast(&self, budgets: &BudgetPolicy, claim: &Claim, pending: &[Claim]) -> Result<(), Excess> {
        self.count(budgets, claim, u64::MAX, pending)
    }

    fn count(
        &self,
        budgets: &BudgetPolicy,
        claim: &Claim,
        up_to: u64,
        pending: &[Claim],
    ) -> Result<(), Excess> {
        // A commitment that is not logged has no tags at all.
        let warrant = self.warrants.get(&claim.commitment).ok_or(Excess::Warrant)?;
        let action = warrant.entry.action;
        let limit = budgets.limit(action);
        let cutoff = claim.since.as_unix_seconds().checked_sub(budgets.window);
        let cutoff = cutoff.map(Timestamp::from_unix_seconds);
        let mut counts =
            Counts { limit, all: HashSet::new(), own: HashSet::new(), requester: HashSet::new() };
        let mut of_warrant = HashSet::new();
        for claim in pending.iter().chain([claim]) {
            let Some(other) = self.warrants.get(&claim.commitment) else { continue };
            let known = other.tags.get(&claim.tag).map(|tag| tag.number);
            let tag = known.map_or(Tag::Expected(claim.commitment, claim.tag), Tag::Logged);
            if other.index == warrant.index && known.is_none() {
                of_warrant.insert(tag);
            }
            let recent = cutoff.is_none_or(|cutoff| claim.since > cutoff);
            if other.entry.action == action && recent {
                counts.add(tag, true, other.requester == warrant.requester)?;
            }
        }
        if warrant.tags.len().saturating_add(of_warrant.len()) > usize::from(warrant.entry.count) {
            return Err(Excess::Warrant);
        }
        let from = cutoff.map_or(0, |cutoff| self.first_after(cutoff));
        let releases = self.releases(action);
        let end = releases.partition_point(|release| release.index <= up_to);
        let before = releases.get(..end).unwrap_or_default().iter().rev();
        // No tag has more releases than there are trustees: this ends soon after the limit.
        for release in before.take_while(|release| release.index >= from) {
            let own = release.trustee == claim.trustee;
            counts.add(Tag::Logged(release.tag), own, release.requester == warrant.requester)?;
        }
        Ok(())
    }

    /// The index of the first entry whose time is after this one.
    fn first_after(&self, time: Timestamp) -> u64 {
        let covered = self.marks.partition_point(|mark| mark.time <= time);
        covered.checked_sub(1).and_then(|at| self.marks.get(at)).map_or(0, |mark| mark.size)
    }

    fn releases(&self, action: WarrantAction) -> &[Release] {
        match action {
            WarrantAction::Open => &self.openings,
            WarrantAction::SameAuthor => &self.comparisons,
        }
    }

    /// Leaf hashes, and what is known of the entries.
    fn read(&self, entries: &[Vec<u8>]) -> Vec<(Hash, Option<Known>)> {
        let read = |entry: &Vec<u8>| (leaf_hash(entry), known(entry, &self.trustees));
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let share = entries.len().div_ceil(processors).max(SHARE);
        if entries.len() <= share {
            return entries.iter().map(read).collect();
        }
        std::thread::scope(|scope| {
            let chunks = entries.chunks(share);
            let threads: Vec<_> =
                chunks.map(|chunk| (chunk, scope.spawn(move || chunk.iter().map(read).collect()))).collect();
            // A thread that panicked is done again here, and tells.
            let join = |(chunk, thread): (&[Vec<u8>], std::thread::ScopedJoinHandle<'_, Vec<_>>)| {
                thread.join().unwrap_or_else(|_| chunk.iter().map(read).collect())
            };
            threads.into_iter().flat_map(join).collect()
        })
    }

    fn fold(&mut self, index: u64, known: Known) -> Option<ShareReleasedEntry> {
        match known {
            Known::Warrant(entry) => self.fold_warrant(index, entry),
            Known::Release(release) => {
                self.fold_release(index, &release);
                return Some(release);
            }
            Known::Disclosed(disclosed) => self.disclosed.push((disclosed.commitment(), disclosed)),
            Known::Round(RoundEntry { commitment, round, members }) => {
                let logged = LoggedRound { members, blinds: HashMap::new() };
                if self.warrants.contains_key(&commitment) {
                    self.rounds.entry((commitment, round)).or_insert(logged);
                }
            }
            Known::Blind(blind) => {
                let round = self.rounds.get_mut(&(blind.commitment, blind.round));
                if let Some(round) = round.filter(|round| round.members.contains(blind.trustee)) {
                    round.blinds.entry(blind.trustee).or_insert(blind.blind);
                }
            }
        }
        None
    }

    fn fold_warrant(&mut self, index: u64, entry: WarrantEntry) {
        // A ledger has fewer requesters than this, since it cannot have as many entries.
        let next = self.requesters.len() as u32;
        let requester = *self.requesters.entry(entry.requester.clone()).or_insert(next);
        let logged = || LoggedWarrant { entry: entry.clone(), index, requester, tags: HashMap::new() };
        self.warrants.entry(entry.commitment).or_insert_with(logged);
    }

    fn fold_release(&mut self, index: u64, entry: &ShareReleasedEntry) {
        let Some(warrant) = self.warrants.get_mut(entry.commitment()) else { return };
        if warrant.is_full_without(entry.tag()) {
            return;
        }
        let next = self.tags;
        let tag = warrant.tags.entry(*entry.tag()).or_insert_with(|| {
            self.tags += 1;
            LoggedTag { number: next, releases: Vec::with_capacity(1) }
        });
        let trustee = entry.trustee();
        if tag.releases.iter().any(|(other, _)| *other == trustee) {
            return;
        }
        tag.releases.push((trustee, index));
        let release = Release { index, tag: tag.number, requester: warrant.requester, trustee };
        match warrant.entry.action {
            WarrantAction::Open => self.openings.push(release),
            WarrantAction::SameAuthor => self.comparisons.push(release),
        }
    }
}

/// Sizes only.
impl fmt::Debug for OpeningsRegister {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, warrants) = (self.size(), self.warrants.len());
        f.debug_struct("OpeningsRegister")
            .field("size", &size)
            .field("warrants", &warrants)
            .finish_non_exhaustive()
    }
}

fn known(entry: &[u8], trustees: &Trustees) -> Option<Known> {
    match *entry.get(1)? {
        WarrantEntry::KIND => WarrantEntry::from_bytes(entry).ok().map(Known::Warrant),
        ShareReleasedEntry::KIND => {
            let release = ShareReleasedEntry::from_bytes(entry).ok()?;
            release.verify(trustees.key(release.trustee())?).ok()?;
            Some(Known::Release(release))
        }
        RoundEntry::KIND => RoundEntry::from_bytes(entry).ok().map(Known::Round),
        BlindEntry::KIND => BlindEntry::from_bytes(entry).ok().map(Known::Blind),
        DisclosedEntry::KIND => DisclosedEntry::from_bytes(entry).ok().map(Known::Disclosed),
        _ => None,
    }
}

/// One review under one warrant.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Tag {
    Logged(u64),
    Expected(Id, Id),
}

/// Different reviews in the window, so far; none above its limit.
struct Counts<'a> {
    limit: &'a super::budget::Limit,
    all: HashSet<Tag>,
    own: HashSet<Tag>,
    requester: HashSet<Tag>,
}

impl Counts<'_> {
    fn add(&mut self, tag: Tag, own: bool, of_requester: bool) -> Result<(), Excess> {
        let limit = self.limit;
        if own && exceeds(&mut self.own, tag, limit.own) {
            return Err(Excess::Own(limit.own));
        }
        if of_requester && exceeds(&mut self.requester, tag, limit.requester) {
            return Err(Excess::Requester(limit.requester));
        }
        if exceeds(&mut self.all, tag, limit.all) {
            return Err(Excess::All(limit.all));
        }
        Ok(())
    }
}

fn exceeds(counted: &mut HashSet<Tag>, tag: Tag, limit: u32) -> bool {
    counted.insert(tag) && counted.len() as u64 > u64::from(limit)
}

#[cfg(test)]
mod tests;
