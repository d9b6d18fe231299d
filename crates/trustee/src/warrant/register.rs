//! What the openings ledger says, folded entry by entry: which warrants are logged, which
//! reviews were charged, and when at the latest.
//!
//! The fold is a function of the entries, the ledger's origin, and the trustees' and requesters' keys alone,
//! so every reader of one ledger has the same. It is rebuilt from the entries and held against a checkpoint's root:
//! nobody's word is taken for a count.

use super::WarrantPolicy;
use super::budget::{BudgetPolicy, Claim, Excess, Limit};
use crate::SignedCommittee;
use core::ops::RangeInclusive;
use std::collections::{HashMap, HashSet};
use unjoin_core::Timestamp;
use unjoin_core::entry::{
    BlindEntry, ComparedEntry, DisclosedEntry, Members, RoundEntry, ShareReleasedEntry, WarrantAction,
    WarrantEntry,
};
use unjoin_core::token::{ReviewId, Trustees};
use unjoin_core::wire::Message;
use unjoin_log::tree::{Frontier, Hash, leaf_hash};
use unjoin_log::{KeyName, NotePublicKey};

type Id = [u8; 32];

/// This many entries are worth a thread of their own: their signatures are most of the work.
const SHARE: usize = 512;

/// The openings ledger up to some size.
///
/// What counts is objective. A warrant counts with the first entry of its commitment that one of its
/// requester's keys signed. A release counts if its trustee signed it, and its warrant was there before
/// it and lists its tag. Its trustee must have signed the newest committee before it. And it must be
/// its trustee's first for its tag.
#[derive(Clone)]
pub struct OpeningsRegister {
    trust: RegisterTrust,
    frontier: Frontier,
    marks: Vec<Mark>,
    warrants: HashMap<Id, LoggedWarrant>,
    requesters: HashMap<Vec<u8>, u32>,
    openings: Vec<Release>,
    comparisons: Vec<Release>,
    disclosed: Vec<(Id, DisclosedEntry)>,
    rounds: HashMap<(Id, u16), LoggedRound>,
    /// Of each escrow key the committees of its epochs, each with its entry's index.
    committees: HashMap<Id, Vec<(u64, SignedCommittee)>>,
}

/// Whose signatures count, and in which ledger.
#[derive(Clone, Debug)]
pub struct RegisterTrust {
    /// The trustees' long-term keys.
    pub trustees: Trustees,
    /// Who may ask them.
    pub requesters: WarrantPolicy,
    /// The ledger's origin.
    pub origin: KeyName,
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
    /// One more than the index of the previous release for the same tag, 0 if there is none. A
    /// window that begins here or later, and holds this release, holds no earlier one of the tag.
    first_from: u64,
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
    /// Releases of trustees who had not signed the newest committee.
    void: HashSet<(Id, u16)>,
}

/// Each trustee's first entry for a tag: its index, and where that stands; in the ledger's order.
#[derive(Clone, Debug, Default)]
struct LoggedTag(Vec<(u16, u64)>);

/// A same-author round: its members, and what each of them is bound to.
#[derive(Clone, Debug)]
pub(crate) struct LoggedRound {
    index: u64,
    members: Members,
    blinds: HashMap<u16, Id>,
    round_ids: HashMap<u16, Id>,
}

impl LoggedRound {
    unjoin_core::getters! {
        /// Where the round's first entry stands that one of the requester's keys signed.
        pub(crate) index -> u64;
        /// The members, as that entry names them.
        pub(crate) members -> Members;
    }

    /// A member's commitment to its blind: the first that it signed and that was logged after the round.
    pub(crate) fn commitment_of(&self, trustee: u16) -> Option<Id> {
        self.blinds.get(&trustee).copied()
    }

    /// The members who have not committed to a blind.
    pub(crate) fn missing(&self) -> Vec<u16> {
        self.members.indices().filter(|index| !self.blinds.contains_key(index)).collect()
    }

    /// For which round id a member lets its share go: the first that it signed and that was logged after all
    /// commitments.
    pub(crate) fn round_id_of(&self, trustee: u16) -> Option<Id> {
        self.round_ids.get(&trustee).copied()
    }
}

impl LoggedWarrant {
    unjoin_core::getters! {
        /// The first entry of its commitment.
        pub entry -> &WarrantEntry;
        /// Where that stands.
        pub index -> u64;
    }

    /// Where the trustee's release for this tag stands, if it counts.
    pub(crate) fn release(&self, tag: &[u8; 32], trustee: u16) -> Option<u64> {
        let LoggedTag(releases) = self.tags.get(tag)?;
        releases.iter().find(|(other, _)| *other == trustee).map(|(_, index)| *index)
    }

    /// Whether the trustee's release for this tag is void, because it had not signed the newest committee.
    pub(crate) fn is_void(&self, tag: &[u8; 32], trustee: u16) -> bool {
        self.void.contains(&(*tag, trustee))
    }
}

/// An entry of one of the kinds that are folded; of signed ones only those whose signature holds, as far as
/// the entry itself tells whose it must be.
#[allow(clippy::large_enum_variant, reason = "they are folded one by one")]
pub(crate) enum Known {
    Warrant(WarrantEntry),
    Release(ShareReleasedEntry),
    Round(RoundEntry),
    Blind(BlindEntry),
    Compared(ComparedEntry),
    Disclosed(DisclosedEntry),
    Committee(SignedCommittee),
}

impl OpeningsRegister {
    /// An empty ledger.
    pub fn new(trust: RegisterTrust) -> Self {
        Self {
            trust,
            frontier: Frontier::default(),
            marks: Vec::new(),
            warrants: HashMap::new(),
            requesters: HashMap::new(),
            openings: Vec::new(),
            comparisons: Vec::new(),
            disclosed: Vec::new(),
            rounds: HashMap::new(),
            committees: HashMap::new(),
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
        self.extend_and_show(entries, |_, index, known| {
            if let Some(Known::Release(release)) = known {
                releases.push((index, release.clone()));
            }
        });
        releases
    }

    /// Folds the next entries, and shows each behind its index to `seen`: with the register as it
    /// is with it, and what is known of it.
    pub(crate) fn extend_and_show(
        &mut self,
        entries: &[Vec<u8>],
        mut seen: impl FnMut(&Self, u64, Option<&Known>),
    ) {
        for (leaf, known) in self.read(entries) {
            let index = self.frontier.size();
            self.frontier.push(leaf);
            let counts = known.as_ref().is_some_and(|known| self.fold(index, known));
            seen(self, index, known.as_ref().filter(|_| counts));
        }
    }

    /// The verdict on a release that stands at `index`, by the entries from another one on alone: those of
    /// no more than one window. What exceeds a budget by these does so by all.
    ///
    /// # Errors
    /// [`Excess`]; for a trustee's second release of a tag there is none.
    pub(crate) fn judge_from(
        &self,
        from: Option<u64>,
        budgets: &BudgetPolicy,
        index: u64,
        release: &ShareReleasedEntry,
    ) -> Result<(), Excess> {
        let (tag, trustee) = (release.tag(), release.trustee());
        let warrant = self.warrants.get(release.commitment()).ok_or(Excess::Unlisted)?;
        if !warrant.entry.lists(tag) {
            return Err(Excess::Unlisted);
        }
        match (warrant.release(tag, trustee), from) {
            (None, _) => Err(Excess::Committee),
            (Some(counted), Some(from)) if counted == index && index >= from => {
                let action = warrant.entry.action();
                let charged = self.charged(action, from, index, trustee, Some(warrant.requester));
                charged.within(budgets.limit(action))
            }
            (Some(_), _) => Ok(()),
        }
    }

    /// Notes that a quorum of witnesses had seen a checkpoint of this size at this median time,
    /// the first one for all entries that no earlier mark covers. A time before the previous mark's is
    /// clamped to that.
    pub fn mark(&mut self, size: u64, time: Timestamp) {
        let (last_size, last_time) = self.marks.last().map_or((0, time), |mark| (mark.size, mark.time));
        if size > last_size {
            self.marks.push(Mark { size, time: time.max(last_time) });
        }
    }

    /// Notes a mark that comes late: a checkpoint not larger than others that are noted. One that
    /// says no more than these changes nothing.
    pub fn mark_earlier(&mut self, size: u64, time: Timestamp) {
        let at = self.marks.partition_point(|mark| mark.size < size);
        let before = at.checked_sub(1).and_then(|at| self.marks.get(at));
        let time = before.map_or(time, |mark| time.max(mark.time));
        match self.marks.get_mut(at) {
            None => self.mark(size, time),
            Some(next) if next.time <= time => {}
            Some(next) if next.size == size => next.time = time,
            Some(_) => self.marks.insert(at, Mark { size, time }),
        }
    }

    /// When the entry was in the ledger at the latest: the time of the first mark that covers
    /// it; `None` without one.
    pub fn logged_by(&self, index: u64) -> Option<Timestamp> {
        let first = self.marks.partition_point(|mark| mark.size <= index);
        self.marks.get(first).map(|mark| mark.time)
    }

    /// The time of the last mark that does not cover the entry: it was logged later than that.
    pub fn not_logged_before(&self, index: u64) -> Timestamp {
        let first = self.marks.partition_point(|mark| mark.size <= index);
        let before = first.checked_sub(1).and_then(|at| self.marks.get(at));
        before.map_or(Timestamp::ZERO, |mark| mark.time)
    }

    /// The warrant with this commitment, once it is logged.
    pub fn warrant(&self, commitment: &[u8; 32]) -> Option<&LoggedWarrant> {
        self.warrants.get(commitment)
    }

    /// A same-author round, once it is logged.
    pub(crate) fn round(&self, commitment: &[u8; 32], round: u16) -> Option<&LoggedRound> {
        self.rounds.get(&(*commitment, round))
    }

    /// The newest committee of the escrow key with this id that was logged before an entry.
    pub(crate) fn committee_before(&self, escrow_id: &[u8; 32], index: u64) -> Option<&SignedCommittee> {
        let committees = self.committees.get(escrow_id)?.iter();
        committees.rev().find(|(logged, _)| *logged < index).map(|(_, committee)| committee)
    }

    /// Whether a trustee signed the newest committee so far, of any of these trustees' escrow keys.
    pub(crate) fn is_active(&self, trustee: u16) -> bool {
        let mut newest = self.committees.values().filter_map(|committees| committees.last());
        newest.any(|(_, committee)| committee.signers().any(|signer| signer == trustee))
    }

    /// Whether some disclosed warrant that was charged as an opening has a release for this
    /// review. Takes a hash for each disclosed warrant.
    pub fn is_known_opened(&self, review_id: &ReviewId) -> bool {
        self.disclosed.iter().any(|(commitment, disclosed)| {
            let warrant = self.warrants.get(commitment);
            let opened = warrant.filter(|warrant| warrant.entry.action() == WarrantAction::Open);
            opened.is_some_and(|warrant| warrant.tags.contains_key(&disclosed.tag_of(review_id)))
        })
    }

    /// The verdict on a trustee's entry that stands at `index`: a function of the entries up to
    /// it, the marks and the claim.
    ///
    /// Counted are the different reviews with a release up to there, charged as the warrant's entry
    /// says. Its time must be after `claim.since` less the window.
    ///
    /// # Errors
    /// [`Excess`]: the entry is void, nothing is released for it. It stays counted.
    pub fn judge(&self, budgets: &BudgetPolicy, claim: &Claim, index: u64) -> Result<(), Excess> {
        self.count(budgets, claim, index, &[])
    }

    /// The verdict on an entry if it were appended now, behind the entries of this trustee's other
    /// `pending` claims.
    ///
    /// # Errors
    /// [`Excess`].
    pub fn forecast(&self, budgets: &BudgetPolicy, claim: &Claim, pending: &[Claim]) -> Result<(), Excess> {
        if !self.is_active(claim.trustee) {
            return Err(Excess::Committee);
        }
        self.count(budgets, claim, u64::MAX, pending)
    }

    /// How many different reviews are charged for this action in the window that ends at `now`:
    /// by all trustees, by this one, and for this requester.
    pub(crate) fn used(
        &self,
        window: u64,
        action: WarrantAction,
        trustee: u16,
        requester: Option<&[u8]>,
        now: Timestamp,
    ) -> (u32, u32, u32) {
        let requester = requester.and_then(|name| self.requesters.get(name)).copied();
        let charged = self.charged(action, self.first_after_less(now, window), u64::MAX, trustee, requester);
        (charged.all, charged.own, charged.requester)
    }

    fn count(
        &self,
        budgets: &BudgetPolicy,
        claim: &Claim,
        up_to: u64,
        pending: &[Claim],
    ) -> Result<(), Excess> {
        let warrant = self.warrants.get(&claim.commitment).ok_or(Excess::Unlisted)?;
        if !warrant.entry.lists(&claim.tag) {
            return Err(Excess::Unlisted);
        }
        let action = warrant.entry.action();
        let from = self.first_after_less(claim.since, budgets.window);
        let mut charged = self.charged(action, from, up_to, claim.trustee, Some(warrant.requester));
        let oldest = claim.since.as_unix_seconds().checked_sub(budgets.window);
        let mut under_way = HashSet::new();
        for other in pending.iter().chain([claim]) {
            let Some(logged) = self.warrants.get(&other.commitment) else { continue };
            if !logged.entry.lists(&other.tag) || !under_way.insert((other.commitment, other.tag)) {
                continue;
            }
            let recent = oldest.is_none_or(|oldest| other.since.as_unix_seconds() > oldest);
            if logged.entry.action() == action && recent {
                let of_requester = logged.requester == warrant.requester;
                charged.add(logged.tags.get(&other.tag), from..=up_to, claim.trustee, of_requester);
            }
        }
        charged.within(budgets.limit(action))
    }

    /// What is charged for this action by entries from one index up to another, both of them
    /// counted. Takes some nanoseconds for each of them.
    fn charged(
        &self,
        action: WarrantAction,
        from: u64,
        up_to: u64,
        trustee: u16,
        requester: Option<u32>,
    ) -> Charged {
        let releases = match action {
            WarrantAction::Open => &self.openings,
            WarrantAction::SameAuthor => &self.comparisons,
        };
        let start = releases.partition_point(|release| release.index < from);
        let end = releases.partition_point(|release| release.index <= up_to);
        let mut charged = Charged::default();
        for release in releases.get(start..end).unwrap_or_default() {
            let first = u32::from(release.first_from <= from);
            // A trustee's second release for a tag does not count: each is of another tag.
            let own = u32::from(release.trustee == trustee);
            let of_requester = u32::from(Some(release.requester) == requester);
            charged.all = charged.all.saturating_add(first);
            charged.own = charged.own.saturating_add(own);
            charged.requester = charged.requester.saturating_add(first & of_requester);
        }
        charged
    }

    /// The index of the first entry whose time is after this one less the window; 0 if that
    /// would be before all time.
    fn first_after_less(&self, time: Timestamp, window: u64) -> u64 {
        let cutoff = time.as_unix_seconds().checked_sub(window);
        cutoff.map_or(0, |cutoff| self.first_after(Timestamp::from_unix_seconds(cutoff)))
    }

    /// The index of the first entry whose time is after this one.
    fn first_after(&self, time: Timestamp) -> u64 {
        let covered = self.marks.partition_point(|mark| mark.time <= time);
        covered.checked_sub(1).and_then(|at| self.marks.get(at)).map_or(0, |mark| mark.size)
    }

    /// Leaf hashes, and what is known of the entries.
    fn read(&self, entries: &[Vec<u8>]) -> Vec<(Hash, Option<Known>)> {
        let read = |entry: &Vec<u8>| (leaf_hash(entry), known(entry, &self.trust));
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

    /// Takes an entry in; whether it is what it says: nobody signed a round of an unknown
    /// warrant, and a committee goes on from the one before it.
    fn fold(&mut self, index: u64, known: &Known) -> bool {
        match known {
            Known::Warrant(entry) => self.fold_warrant(index, entry),
            Known::Release(release) => self.fold_release(index, release),
            Known::Disclosed(disclosed) => self.disclosed.push((disclosed.commitment(), disclosed.clone())),
            Known::Round(entry) => return self.fold_round(index, entry),
            Known::Blind(blind) => {
                let round = self.rounds.get_mut(&(*blind.commitment(), blind.round()));
                if let Some(round) = round.filter(|round| round.members.contains(blind.trustee())) {
                    round.blinds.entry(blind.trustee()).or_insert(*blind.blind());
                }
            }
            Known::Compared(entry) => {
                let round = self.rounds.get_mut(&(*entry.commitment(), entry.round()));
                let all = |round: &&mut LoggedRound| {
                    round.members.contains(entry.trustee()) && round.missing().is_empty()
                };
                if let Some(round) = round.filter(all) {
                    round.round_ids.entry(entry.trustee()).or_insert(*entry.round_id());
                }
            }
            Known::Committee(committee) => return self.fold_committee(index, committee),
        }
        true
    }

    fn fold_round(&mut self, index: u64, entry: &RoundEntry) -> bool {
        let Some(warrant) = self.warrants.get(entry.commitment()) else { return false };
        let RegisterTrust { requesters, origin, .. } = &self.trust;
        let signed = |key: &NotePublicKey| entry.verify(key.verifier(), origin.as_str()).is_ok();
        let counts = requesters.any_key(warrant.entry.requester(), signed);
        if counts {
            let (members, blinds, round_ids) = (entry.members(), HashMap::new(), HashMap::new());
            let logged = LoggedRound { index, members, blinds, round_ids };
            self.rounds.entry((*entry.commitment(), entry.round())).or_insert(logged);
        }
        counts
    }

    /// A committee counts if it goes on from the newest of its key, or begins one.
    fn fold_committee(&mut self, index: u64, signed: &SignedCommittee) -> bool {
        let trustees = &self.trust.trustees;
        let escrow_id = *signed.committee().key().id();
        let newest = self.committees.get(&escrow_id).and_then(|known| known.last());
        let follows = signed.verify_after(trustees, newest.map(|(_, newest)| newest.committee())).is_ok();
        if follows {
            self.committees.entry(escrow_id).or_default().push((index, signed.clone()));
        }
        follows
    }

    fn fold_warrant(&mut self, index: u64, entry: &WarrantEntry) {
        // A ledger has fewer requesters than this, since it cannot have as many entries.
        let next = self.requesters.len() as u32;
        let requester = *self.requesters.entry(entry.requester().to_vec()).or_insert(next);
        let (commitment, tags, void) = (*entry.commitment(), HashMap::new(), HashSet::new());
        let logged = LoggedWarrant { entry: entry.clone(), index, requester, tags, void };
        self.warrants.entry(commitment).or_insert(logged);
    }

    fn fold_release(&mut self, index: u64, entry: &ShareReleasedEntry) {
        let (trustee, tag) = (entry.trustee(), *entry.tag());
        let is_active = self.is_active(trustee);
        let Some(warrant) = self.warrants.get_mut(entry.commitment()) else { return };
        if !warrant.entry.lists(&tag) {
            return;
        }
        if !is_active {
            warrant.void.insert((tag, trustee));
            return;
        }
        let LoggedTag(releases) = warrant.tags.entry(tag).or_default();
        if releases.iter().any(|(other, _)| *other == trustee) {
            return;
        }
        let first_from = releases.last().map_or(0, |(_, before)| before + 1);
        releases.push((trustee, index));
        let release = Release { index, first_from, requester: warrant.requester, trustee };
        match warrant.entry.action() {
            WarrantAction::Open => self.openings.push(release),
            WarrantAction::SameAuthor => self.comparisons.push(release),
        }
    }
}

// Sizes only.
unjoin_core::opaque!(OpeningsRegister | all | size = all.size(), warrants = all.warrants.len());

fn known(entry: &[u8], trust: &RegisterTrust) -> Option<Known> {
    let origin = trust.origin.as_str();
    match *entry.get(1)? {
        WarrantEntry::KIND => {
            let entry = WarrantEntry::from_bytes(entry).ok()?;
            let signed = |key: &NotePublicKey| entry.verify(key.verifier(), origin).is_ok();
            trust.requesters.any_key(entry.requester(), signed).then_some(Known::Warrant(entry))
        }
        ShareReleasedEntry::KIND => {
            let release = ShareReleasedEntry::from_bytes(entry).ok()?;
            release.verify(trust.trustees.key(release.trustee())?.verifier(), origin).ok()?;
            Some(Known::Release(release))
        }
        RoundEntry::KIND => RoundEntry::from_bytes(entry).ok().map(Known::Round),
        BlindEntry::KIND => {
            let blind = BlindEntry::from_bytes(entry).ok()?;
            blind.verify(trust.trustees.key(blind.trustee())?.verifier(), origin).ok()?;
            Some(Known::Blind(blind))
        }
        ComparedEntry::KIND => {
            let compared = ComparedEntry::from_bytes(entry).ok()?;
            compared.verify(trust.trustees.key(compared.trustee())?.verifier(), origin).ok()?;
            Some(Known::Compared(compared))
        }
        DisclosedEntry::KIND => DisclosedEntry::from_bytes(entry).ok().map(Known::Disclosed),
        SignedCommittee::KIND => SignedCommittee::from_bytes(entry).ok().map(Known::Committee),
        _ => None,
    }
}

/// How many different reviews are charged in a window: by all trustees, by one of them, and for one
/// requester by all.
#[derive(Clone, Copy, Default)]
struct Charged {
    all: u32,
    own: u32,
    requester: u32,
}

impl Charged {
    /// Charges one more, by this trustee, unless it is charged in the window already.
    fn add(
        &mut self,
        tag: Option<&LoggedTag>,
        window: RangeInclusive<u64>,
        trustee: u16,
        of_requester: bool,
    ) {
        let releases = tag.map_or(&[][..], |LoggedTag(releases)| releases);
        let mut there = releases.iter().filter(|(_, index)| window.contains(index)).peekable();
        if there.peek().is_none() {
            self.all = self.all.saturating_add(1);
            self.requester = self.requester.saturating_add(u32::from(of_requester));
        }
        if !there.any(|(other, _)| *other == trustee) {
            self.own = self.own.saturating_add(1);
        }
    }

    fn within(&self, limit: &Limit) -> Result<(), Excess> {
        match () {
            () if self.own > limit.own => Err(Excess::Own(limit.own)),
            () if self.requester > limit.requester => Err(Excess::Requester(limit.requester)),
            () if self.all > limit.all => Err(Excess::All(limit.all)),
            () => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
