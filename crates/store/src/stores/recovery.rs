//! The way back after a store of a platform was lost, or put back older: which it is, and how all are
//! brought to one era and one mark.
//!
//! A store that is to be recovered says so first: it is a copy from then on, which nothing opens, and it keeps
//! the mark that it will have. The commit that ends its recovery raises its era, makes it no copy, and gives it
//! that mark. So each step finds what those before it did, and a recovery that was interrupted anywhere is
//! run again from the beginning, with the same stores found lost but for those that are whole by then.

use super::{Mark, MarkRow, OwnStore, RECOVERING, Stores, identity_of, mark_key};
use crate::decision::decide;
use crate::identity::{self, Identity, Role, Roster, identity_key, own_bucket};
use crate::record::Key;
use crate::{Store, StoreError};
use core::fmt;
use std::sync::Arc;

/// The mark that a store has when its recovery ends.
pub(crate) fn adopted_key() -> Key<MarkRow> {
    Key::new(own_bucket(), b"sr".to_vec())
}

/// The stores of a platform of which some are lost: put back as they were earlier, or made anew. None of
/// them serves; recoveries work on them.
///
/// It comes from [`Stores::open_for_recovery`]. When each store that is lost has been recovered,
/// [`end`](Self::end) brings all to one era and one mark, and [`Stores::open`] takes them.
pub struct LostStores<S> {
    own: Vec<Arc<OwnStore<S>>>,
    /// Those that are lost, and the last mark that each has.
    lost: Vec<(Role, u64)>,
}

impl<S: Store> Stores<S> {
    /// Opens stores for a recovery, and nothing else: all that the platform has, each in its place. A store is lost
    /// when it is a backup's copy, when it is older than its sisters, or when it is named in `put_back`: a raw copy
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
        let lead = *roster.lead().ok_or(StoreError::Decision("a roster without a store"))?;
        let mut found = Vec::new();
        for (role, store) in stores {
            let (store, identity) = OwnStore::identified(store, &identity_of(roster, role)?, RECOVERING)?;
            let row = store.mark()?;
            let is_lost = identity.is_copy || put_back.contains(&role);
            found.push(Found { is_lead: store.own == lead, store: Arc::new(store), row, is_lost });
        }
        let mark = judge(&mut found)?;
        let joined = joined(&found);
        // Whoever is behind in a step that the lost lead store had begun takes it: it is known to nobody else.
        let lead_is_lost = found.iter().any(|one| one.is_lead && one.is_lost);
        for one in found.iter().filter(|one| lead_is_lost && !one.is_lost && is_next(one.row.at, mark)) {
            decide(&*one.store.store, mark_key(), |row: Option<MarkRow>, change| {
                let row = row.ok_or(StoreError::Nobodys(one.store.role()))?;
                change.put(&mark_key(), &MarkRow { at: mark, ..row });
                Ok::<_, StoreError>(())
            })?;
        }
        let mut lost = Vec::new();
        for one in found.iter().filter(|one| one.is_lost) {
            let joined = if one.is_lead { joined.clone() } else { Vec::new() };
            flag(&*one.store.store, &MarkRow { at: mark, next: None, joined, joining: Vec::new() })?;
            lost.push((one.store.role(), one.row.at.number));
        }
        Ok(LostStores { own: found.into_iter().map(|one| one.store).collect(), lost })
    }
}

struct Found<S> {
    store: Arc<OwnStore<S>>,
    row: MarkRow,
    is_lead: bool,
    is_lost: bool,
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
            // The step that was under way cannot be told from one that was missed.
            None => is_next(at, last),
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

    /// The store for this, for its recovery alone, or for the ledgers that the recovery reads. No service opens
    /// on it.
    ///
    /// # Errors
    /// [`StoreError::Unmarked`] when it is not among these.
    pub fn own(&self, role: Role) -> Result<Arc<OwnStore<S>>, StoreError> {
        let own = self.own.iter().find(|own| own.role() == role);
        own.map(Arc::clone).ok_or(StoreError::Unmarked(role))
    }

    /// Brings all to one era, the newest that one of them is in, and to one mark: after every recovery. The answer
    /// is the era. A store that is still lost is so no more, as it is: what has no recovery of its own (the
    /// switchboard's, the ledgers') is the caller's to judge.
    ///
    /// # Errors
    /// The engines'; run it all again.
    pub fn end(self) -> Result<u32, StoreError> {
        let mut eras = Vec::new();
        for own in &self.own {
            let store = &*own.store;
            eras.push(identity::of(store)?.ok_or(StoreError::Nobodys(own.role()))?.era);
        }
        // A store without a recovery of its own ends being a copy by its next era.
        let mut newest = eras.into_iter().max().unwrap_or(1);
        for own in &self.own {
            let identity = identity::of(&*own.store)?.ok_or(StoreError::Nobodys(own.role()))?;
            if identity.is_copy && identity.era == newest {
                newest = newest.checked_add(1).ok_or(StoreError::Decision("an era beyond the last"))?;
            }
        }
        for own in &self.own {
            while let Some(identity) = identity::of(&*own.store)?.filter(|identity| identity.era < newest) {
                identity::raise_era(&*own.store, identity.era)?;
            }
        }
        Ok(newest)
    }
}

impl<S> fmt::Debug for LostStores<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LostStores").field("lost", &self.lost).finish_non_exhaustive()
    }
}
