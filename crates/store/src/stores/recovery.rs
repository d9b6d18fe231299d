//! The way back after a store of a platform was lost, or put back older: which it is, and how all are
//! brought to one era and one mark.
//!
//! A store that is to be recovered says so first. It is a copy from then on, which nothing opens, and it keeps
//! the mark that it will have. The commit that ends its recovery raises its era, makes it no copy, and gives it
//! that mark. So each step finds what those before it did. A recovery that was interrupted anywhere is
//! run again from the beginning, with the same stores found lost but for those that are whole by then.

use super::{Mark, MarkRow, OwnStore, RECOVERING, Stores, identity_of};
use crate::decision::decide;
use crate::identity::{self, Identity, Role, Roster, identity_key, own_bucket};
use crate::record::Key;
use crate::{Store, StoreError};
use std::sync::Arc;

/// The mark that a store has when its recovery ends.
pub(crate) fn adopted_key() -> Key<MarkRow> {
    Key::new(own_bucket(), b"sr".to_vec())
}

/// The stores of a platform of which some are lost: put back as they were earlier, or made again. None of
/// them serves; recoveries work on them.
///
/// It comes from [`Stores::open_for_recovery`]. When each store that is lost has been recovered,
/// [`end`](Self::end) brings all to one era and one mark, and [`Stores::open`] takes them.
///
/// ```
/// # use unjoin_core::secret::SystemRng;
/// use unjoin_store::{MemoryStore, Stores, identity::{Role, Roster}};
/// # use std::sync::Arc;
/// # let (rng, store) = (&mut SystemRng::new(), Arc::new(MemoryStore::new()));
/// # let roster = Roster::alone(Role::Telephony, rng);
/// # drop(Stores::create(&roster, [(Role::Telephony, store.clone())], rng)?);
/// // An operator has put the file of last night back, and says so.
/// let lost = Stores::open_for_recovery(&roster, [(Role::Telephony, store.clone())], &[Role::Telephony])?;
/// assert_eq!(lost.lost().len(), 1);
/// // Until its recovery has ended nobody opens it.
/// assert!(Stores::open(&roster, [(Role::Telephony, store)], rng).is_err());
/// # Ok::<(), unjoin_store::StoreError>(())
/// ```
pub struct LostStores<S> {
    found: Vec<Found<S>>,
    /// What all shall have.
    mark: Mark,
    /// Those that are lost, and the last mark that each has.
    lost: Vec<(Role, u64)>,
}

impl<S: Store> Stores<S> {
    /// Opens stores for a recovery, and nothing else: all that the platform has, each in its place. A store is lost
    /// when it is a backup's copy, when it is older than its sisters, or when it is named in `put_back`. A raw copy
    /// that is younger than the last mark is told by nobody else. It is marked as a copy until its recovery
    /// ends.
    ///
    /// Nothing may have these stores open. May be run again after it was interrupted, or the recovery was.
    ///
    /// # Errors
    /// [`StoreError::Nobodys`], [`StoreError::Swapped`], [`StoreError::Foreign`]: another platform's, or two
    /// stores have different pasts and neither is older: name the one that was put back. The engines'.
    pub fn open_for_recovery(
        roster: &Roster,
        stores: impl IntoIterator<Item = (Role, Arc<S>)>,
        put_back: &[Role],
    ) -> Result<LostStores<S>, StoreError> {
        let mut found = find(roster, stores, put_back)?;
        let mark = judge(&mut found)?;
        let mut lost = LostStores { found, mark, lost: Vec::new() };
        lost.flag()?;
        Ok(lost)
    }

    /// Which of these stores [`open_for_recovery`](Self::open_for_recovery) would find lost, and the number of the
    /// last mark that each has. Nothing is written.
    ///
    /// # Errors
    /// As for that.
    pub fn find_lost(
        roster: &Roster,
        stores: impl IntoIterator<Item = (Role, Arc<S>)>,
    ) -> Result<Vec<(Role, u64)>, StoreError> {
        let mut found = find(roster, stores, &[])?;
        judge(&mut found)?;
        Ok(found.iter().filter(|one| one.is_lost).map(Found::last).collect())
    }
}

/// The stores, each in its place.
fn find<S: Store>(
    roster: &Roster,
    stores: impl IntoIterator<Item = (Role, Arc<S>)>,
    put_back: &[Role],
) -> Result<Vec<Found<S>>, StoreError> {
    let lead = *roster.lead().ok_or(StoreError::Decision("a roster without a store"))?;
    let one = |(role, store)| {
        let (store, identity) = OwnStore::identified(store, &identity_of(roster, role)?, RECOVERING)?;
        let row = store.mark()?;
        let is_lost = identity.is_copy || put_back.contains(&role);
        Ok(Found { is_lead: store.own == lead, store: Arc::new(store), row, is_lost })
    };
    stores.into_iter().map(one).collect()
}

struct Found<S> {
    store: Arc<OwnStore<S>>,
    row: MarkRow,
    is_lead: bool,
    is_lost: bool,
}

impl<S: Store> Found<S> {
    fn last(&self) -> (Role, u64) {
        (self.store.role(), self.row.at.number)
    }

    fn identity(&self) -> Result<Identity, StoreError> {
        identity::of(&*self.store.store)?.ok_or(StoreError::Nobodys(self.store.role()))
    }
}

/// Finds those that are older, and the mark that all shall have.
fn judge<S: Store>(found: &mut [Found<S>]) -> Result<Mark, StoreError> {
    let newest = |found: &[Found<S>], all: bool| {
        found.iter().filter(|one| all || !one.is_lost).map(|one| one.row.at).max_by_key(|at| at.number)
    };
    let Some(last) = newest(found, false) else {
        return newest(found, true).ok_or(StoreError::Decision("a recovery of no store"));
    };
    // The lead store may have begun a step that its sisters have taken.
    let begun = |row: &MarkRow| row.next.is_some_and(|tag| is_next(row.at, last) && tag == last.tag);
    let (mut mark, mut joined) = (last, None);
    for lead in found.iter_mut().filter(|one| one.is_lead && !one.is_lost) {
        if lead.row.at == last || begun(&lead.row) {
            (mark, joined) = (lead.row.at, Some(lead.row.joined.clone()));
        } else if lead.row.at.number < last.number {
            lead.is_lost = true;
        } else {
            return Err(StoreError::Foreign(lead.store.role()));
        }
    }
    for one in found.iter_mut().filter(|one| !one.is_lead && !one.is_lost) {
        let at = one.row.at;
        let is_new =
            at == one.store.first && joined.as_ref().is_none_or(|ids| !ids.contains(&one.store.own.id));
        let is_behind = match &joined {
            Some(_) => at == mark,
            // A step that was under way cannot be told from one that was missed: lost, to be safe.
            None => false,
        };
        if at != last && !is_behind && !is_new {
            if at.number >= mark.number {
                return Err(StoreError::Foreign(one.store.role()));
            }
            one.is_lost = true;
        }
    }
    Ok(mark)
}

fn is_next(at: Mark, next: Mark) -> bool {
    at.number.checked_add(1) == Some(next.number)
}

/// The sisters that were ever opened, for a lead store that was lost.
fn joined<S: Store>(found: &[Found<S>]) -> Vec<[u8; 16]> {
    let mut joined: Vec<[u8; 16]> =
        found.iter().filter(|one| one.is_lead).flat_map(|lead| lead.row.joined.clone()).collect();
    for one in found.iter().filter(|one| !one.is_lead) {
        let id = one.store.own.id;
        if (one.is_lost || one.row.at != one.store.first) && !joined.contains(&id) {
            joined.push(id);
        }
    }
    joined
}

/// From here on nothing but a recovery opens it.
fn flag<S: Store>(store: &S, adopted: &MarkRow) -> Result<(), StoreError> {
    decide(store, identity_key(), |identity, change| {
        let identity: Identity = identity.ok_or(StoreError::Missing("identity"))?;
        change.put(&identity_key(), &Identity { is_copy: true, ..identity });
        change.put(&adopted_key(), adopted);
        Ok(())
    })
}

impl<S: Store> LostStores<S> {
    /// What is lost, and the number of the last mark that is there of it.
    pub fn lost(&self) -> &[(Role, u64)] {
        &self.lost
    }

    /// The number of the mark that all have when their recovery has ended.
    pub fn mark(&self) -> u64 {
        self.mark.number
    }

    /// All are lost when none of them has come as far as a mark that their ledger holds. They were put back
    /// together, and agree with one another. Their marks go on after that one.
    ///
    /// # Errors
    /// The engines'.
    pub fn have_come_to(&mut self, logged: u64) -> Result<(), StoreError> {
        if self.mark.number >= logged {
            return Ok(());
        }
        self.mark.number = logged.checked_add(1).ok_or(StoreError::Decision("a mark beyond the last"))?;
        self.found.iter_mut().for_each(|one| one.is_lost = true);
        self.flag()
    }

    /// Every store that is lost says so.
    fn flag(&mut self) -> Result<(), StoreError> {
        let joined = joined(&self.found);
        let at = self.mark;
        for one in self.found.iter().filter(|one| one.is_lost) {
            let joined = if one.is_lead { joined.clone() } else { Vec::new() };
            flag(&*one.store.store, &MarkRow { at, next: None, joined, joining: Vec::new() })?;
        }
        self.lost = self.found.iter().filter(|one| one.is_lost).map(Found::last).collect();
        Ok(())
    }

    /// The newest era that any other store than this one is in: its recovery's is later.
    ///
    /// # Errors
    /// The engines'.
    pub fn newest_era_beside(&self, role: Role) -> Result<u32, StoreError> {
        let mut newest = 1;
        for one in self.found.iter().filter(|one| one.store.role() != role) {
            newest = one.identity()?.era.max(newest);
        }
        Ok(newest)
    }

    /// The store for this, for its recovery alone, or for the ledgers that the recovery reads. No service opens
    /// on it.
    ///
    /// # Errors
    /// [`StoreError::Unmarked`] when it is not among these.
    pub fn own(&self, role: Role) -> Result<Arc<OwnStore<S>>, StoreError> {
        let one = self.found.iter().find(|one| one.store.role() == role);
        one.map(|one| Arc::clone(&one.store)).ok_or(StoreError::Unmarked(role))
    }

    /// Brings all to one era, the newest that one of them is in, and to one mark: after every recovery. The answer
    /// is the era. A store that is still lost is so no more, as it is. What has no recovery of its own (the
    /// switchboard's, the ledgers') is the caller's to judge.
    ///
    /// # Errors
    /// The engines'; run it all again.
    pub fn end(self) -> Result<u32, StoreError> {
        let mut newest = 1;
        for one in &self.found {
            newest = one.identity()?.era.max(newest);
        }
        // A store without a recovery of its own ends being a copy by its next era.
        for one in &self.found {
            let identity = one.identity()?;
            if identity.is_copy && identity.era == newest {
                newest = newest.checked_add(1).ok_or(StoreError::Decision("an era beyond the last"))?;
            }
        }
        for one in &self.found {
            loop {
                let era = one.identity()?.era;
                if era >= newest {
                    break;
                }
                identity::raise_era(&*one.store.store, era)?;
            }
        }
        Ok(newest)
    }
}

unjoin_core::opaque!(LostStores<S> |stores| lost = stores.lost);
