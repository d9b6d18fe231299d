//! A call of commits as a whole: what it must keep to, and how it is served in parts.

use super::{Bucket, Commit, Outcome, Precondition, StoreError, Write};
use std::collections::{BTreeMap, BTreeSet};

impl Commit {
    /// Whether a call may be made of these: each keeps to the [lengths](Self::check_lengths), and
    /// [hangs on](Self::after) earlier ones only. Engines ask before they apply anything of it.
    ///
    /// # Errors
    /// [`StoreError::TooLong`]; [`StoreError::Decision`] for a commit that hangs on itself or a later one.
    pub fn check_call(commits: &[Self]) -> Result<(), StoreError> {
        commits.iter().try_for_each(Self::check_lengths)?;
        let is_founded =
            |(place, commit): (usize, &Self)| commit.after.iter().all(|earlier| *earlier < place);
        match commits.iter().enumerate().all(is_founded) {
            true => Ok(()),
            false => Err(StoreError::Decision("a commit that hangs on one which is not before it")),
        }
    }

    /// Whether all that it hangs on was applied, by the outcomes of the commits before it in its call.
    pub fn is_reached(&self, outcomes: &[Outcome]) -> bool {
        self.after.iter().all(|earlier| outcomes.get(*earlier) == Some(&Outcome::Committed))
    }

    /// The bytes of its keys and values.
    fn bytes(&self) -> usize {
        let keys = self.preconditions.iter().map(Precondition::key).chain(self.writes.iter().map(Write::key));
        let values = self.writes.iter().map(|write| match write {
            Write::Put(_, value) => value.len(),
            Write::Delete(_) => 0,
        });
        keys.map(<[u8]>::len).chain(values).fold(0, usize::saturating_add)
    }
}

/// Serves a call by parts that know nothing of each other: servers, say, with some buckets each.
///
/// `part` says which has a bucket, `serve` commits to one. What hangs on another part's commit is
/// served after it, and only if that was applied; each part's commits stay in their order.
///
/// ```
/// use unjoin_store::{Bucket, Commit, MemoryStore, Outcome, Store, commit_in_parts};
/// let servers = [MemoryStore::new(), MemoryStore::new()];
/// let first = Bucket::all().next().unwrap();
/// let second = Bucket::all().nth(1).unwrap();
/// let taken = Commit::new(first).put(b"serial".to_vec(), vec![]).expect(b"serial", None);
/// let call = [taken.clone(), Commit::new(second).put(b"review".to_vec(), vec![]).after(0)];
/// let commit = || {
///     let part = |bucket: Bucket| usize::from(bucket.number()) % servers.len();
///     commit_in_parts(&call, part, |part, commits| servers[part].commit(commits))
/// };
/// assert_eq!(commit()?, [Outcome::Committed, Outcome::Committed]);
/// assert_eq!(commit()?, [Outcome::Conflict(b"serial".to_vec()), Outcome::NotReached]);
/// # Ok::<(), unjoin_store::StoreError>(())
/// ```
///
/// # Errors
/// Those of [`Commit::check_call`], before any part has seen anything, and those of the parts.
pub fn commit_in_parts(
    commits: &[Commit],
    part: impl Fn(Bucket) -> usize,
    mut serve: impl FnMut(usize, &[Commit]) -> Result<Vec<Outcome>, StoreError>,
) -> Result<Vec<Outcome>, StoreError> {
    Commit::check_call(commits)?;
    let mut outcomes: Vec<Option<Outcome>> = commits.iter().map(|_| None).collect();
    for stage in stages(commits, part, usize::MAX) {
        for (part, places) in stage {
            let places = reached(commits, places, &mut outcomes);
            let own = own_call(commits, &places);
            if own.is_empty() {
                continue;
            }
            for (place, outcome) in places.into_iter().zip(serve(part, &own)?) {
                settle(&mut outcomes, place, outcome);
            }
        }
    }
    outcomes.into_iter().map(|outcome| outcome.ok_or(StoreError::Corrupt("answer"))).collect()
}

/// Which commits are served together, by their places in the call and in its order: a part's in each
/// stage, of no more than `most` bytes if it is more than one commit. Stages follow each other, the
/// parts of one do not matter to each other.
pub(crate) fn stages<P: Ord>(
    commits: &[Commit],
    part: impl Fn(Bucket) -> P,
    most: usize,
) -> Vec<BTreeMap<P, Vec<usize>>> {
    // Of each part the stage that its last commit is in, and the bytes of that.
    let mut open: BTreeMap<P, (usize, usize)> = BTreeMap::new();
    let mut stage_of: Vec<usize> = Vec::with_capacity(commits.len());
    let mut stages: Vec<BTreeMap<P, Vec<usize>>> = Vec::new();
    for (place, commit) in commits.iter().enumerate() {
        let own = part(commit.bucket);
        let (last, bytes) = open.get(&own).copied().unwrap_or_default();
        let earliest = |at: &usize| {
            let is_own = commits.get(*at).is_some_and(|earlier| part(earlier.bucket) == own);
            stage_of.get(*at).map_or(0, |stage| stage.saturating_add(usize::from(!is_own)))
        };
        let mut stage = commit.after.iter().map(earliest).fold(last, usize::max);
        let (more, mut bytes) = (commit.bytes(), if stage == last { bytes } else { 0 });
        if bytes > 0 && bytes.saturating_add(more) > most {
            (stage, bytes) = (stage.saturating_add(1), 0);
        }
        while stages.len() <= stage {
            stages.push(BTreeMap::new());
        }
        stage_of.push(stage);
        open.insert(part(commit.bucket), (stage, bytes.saturating_add(more)));
        if let Some(parts) = stages.get_mut(stage) {
            parts.entry(own).or_default().push(place);
        }
    }
    stages
}

/// Of the commits at `places`, which are served together, those that hang on nothing that was refused
/// before. The outcomes of the others are set.
pub(crate) fn reached(
    commits: &[Commit],
    places: Vec<usize>,
    outcomes: &mut [Option<Outcome>],
) -> Vec<usize> {
    let mut kept = BTreeSet::new();
    for place in places {
        let is_open = |at: &usize| {
            kept.contains(at) || outcomes.get(*at).is_some_and(|known| *known == Some(Outcome::Committed))
        };
        if commits.get(place).is_some_and(|commit| commit.after.iter().all(is_open)) {
            kept.insert(place);
        } else {
            settle(outcomes, place, Outcome::NotReached);
        }
    }
    kept.into_iter().collect()
}

/// The commits at `places` as a call of their own, in which they hang on each other only.
fn own_call(commits: &[Commit], places: &[usize]) -> Vec<Commit> {
    let own = |place: &usize| {
        let commit = commits.get(*place)?;
        let after = commit.after.iter().filter_map(|at| places.binary_search(at).ok()).collect();
        Some(Commit { after, ..commit.clone() })
    };
    places.iter().filter_map(own).collect()
}

pub(crate) fn settle(outcomes: &mut [Option<Outcome>], place: usize, outcome: Outcome) {
    if let Some(settled) = outcomes.get_mut(place) {
        *settled = Some(outcome);
    }
}
