//! Cohorts: sealed and closed at boundaries, never below k.
//!
//! Why scanning first and deciding later is sound: an open cohort's count only grows, so what a
//! scan counted still holds when the cohort is sealed, on the condition that its row is as
//! read. Sealing takes away the row that every grant rests on, so a sealed cohort's members
//! are fixed; and an order's numbers end once, so what a later scan found dead stays dead.

use super::rows::{
    CohortRow, Granted, GrantsRow, MemberRow, OPEN_COHORTS, OPEN_WINDOWS, OrderRow, SEALED_COHORTS, TickRow,
    WAITING_MANIFESTS, WindowRow, clock_key, cohort_of, grants_key, handle_of, manifest_key, manifest_of,
    manifests_prefix, members_prefix, merchant_of, order_key, sealed_key, tick_key, waiting_key, window_key,
};
use super::{AccountTag, Core, Decision, IssuerError};
use crate::clock::{self, ClockRow};
use std::collections::HashSet;
use unjoin_core::entry::Ledger;
use unjoin_core::token::{CohortManifest, KeyRing, OrderHandle, PublicationDates, Scope, SignedManifest};
use unjoin_core::wire::Message;
use unjoin_core::{Name, Timestamp};
use unjoin_log::outbox;
use unjoin_store::{
    Bucket, Change, Found, Key, MessageRow, OwnStore, Pages, Present, Record, Store, StoreError, decide, read,
};

/// The most rows that one scan returns.
pub(super) const PAGE: usize = 512;
/// Seconds from the tick that closes a cohort to its first publication, at the least: devices fetch
/// manifests within ten hours, and send then.
const UNTIL_FIRST_PUBLICATION: u64 = 20 * 3_600;
/// Decisions are committed together once they hold this many writes.
const WRITES: usize = 4096;

/// What a tick found.
#[derive(Debug, Default)]
pub struct IssuerReport {
    /// The manifests of closed cohorts that were not yet
    /// [confirmed](super::Issuer::confirm_admitted) to be with the desk.
    pub manifests: Vec<SignedManifest>,
    /// Cohorts that are past the configured age and below their k.
    pub starving: Vec<StarvingCohort>,
    /// Granted orders of sealed cohorts whose numbers are overdue: the host closes them and
    /// reports their end, or the cohort never closes.
    pub numbers_overdue: Vec<(Name, OrderHandle)>,
    /// Whether the store was rewritten: with every boundary that is worked off.
    pub rewritten: bool,
    /// What could not be done: a row that does not decode. It holds up its own cohort only, which is
    /// tried again at every boundary.
    pub failed: Vec<IssuerError>,
}

/// A cohort that has waited long for its crowd. It is never published below k: the host can
/// merge classes for later orders, or tell the reviewers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StarvingCohort {
    /// The merchant.
    pub merchant: Name,
    /// The outcome class.
    pub class: u8,
    /// The cohort's number.
    pub cohort: u64,
    /// How many distinct accounts of standing hold a token of it.
    pub of_standing: u32,
    /// How many it needs.
    pub k: u32,
    /// Whether it can still grow; `false` once its key was retired.
    pub open: bool,
}

impl<S: Store> Core<S> {
    pub(super) fn tick(&self) -> Result<IssuerReport, IssuerError> {
        let now = clock::tick::<_, IssuerError>(&*self.store, &clock_key(), &self.environment)?;
        let done = read(&*self.store, &tick_key())?.map(|row| row.boundary);
        let boundary = self.config.grid.at_or_before(now).filter(|b| done.is_none_or(|done| done < *b));
        let report = IssuerReport::default();
        let mut walk = Walk { core: self, now, boundary, report, decisions: Vec::new(), writes: 0 };
        Bucket::all().try_for_each(|bucket| walk.open_cohorts(bucket))?;
        walk.commit()?;
        Bucket::all().try_for_each(|bucket| walk.sealed_cohorts(bucket))?;
        walk.commit()?;
        Bucket::all().try_for_each(|bucket| walk.waiting_manifests(bucket))?;
        if let Some(boundary) = boundary {
            Bucket::all().try_for_each(|bucket| walk.ended_windows(bucket, boundary))?;
        }
        let mut report = walk.report;
        if let Some(boundary) = boundary {
            // Until now the store's files may tell when tokens were granted, and what is forgotten. A crash
            // before the boundary's row is made good by the next tick.
            self.store.rewrite()?;
            report.rewritten = true;
            decide(&*self.store, tick_key(), |row, change| {
                // Another instance that was faster has done the same.
                if row.is_none_or(|row| row.boundary < boundary) {
                    change.put(&tick_key(), &TickRow { boundary });
                }
                Ok::<_, IssuerError>(())
            })?;
        }
        Ok(report)
    }

    pub(super) fn confirm_clock(&self, now: Timestamp) -> Result<(), IssuerError> {
        let (clock, tick, last) = (clock_key(), tick_key(), self.config.grid.at_or_before(now));
        decide(&*self.store, (clock.clone(), tick.clone()), |(row, done), change| {
            change.put(&clock, &ClockRow::confirmed(row, now));
            // A boundary that has not come was not worked off, whatever was believed before.
            match (done, last) {
                (Some(done), Some(boundary)) if done.boundary > boundary => {
                    change.put(&tick, &TickRow { boundary });
                }
                (Some(_), None) => change.delete(&tick),
                _ => {}
            }
            Ok(())
        })
    }

    pub(super) fn confirm_admitted(&self, scopes: &[Scope]) -> Result<(), IssuerError> {
        let decision = |scope: &Scope| {
            let waiting = waiting_key(scope.merchant(), scope.cohort());
            Ok(Decision::new(waiting.clone(), move |row, change| {
                if let Some(Present) = row {
                    change.delete(&waiting);
                }
                Ok(())
            }))
        };
        self.decide(scopes.iter().map(decision)).into_iter().collect()
    }

    pub(super) fn manifest(&self, scope: &Scope) -> Result<Option<SignedManifest>, IssuerError> {
        let row = read(&*self.store, &manifest_key(scope.merchant(), scope.cohort()))?;
        Ok(row.map(|row| row.0).filter(|manifest| manifest.claimed_scope() == scope))
    }

    pub(super) fn grants(&self, scope: &Scope) -> Result<Option<u64>, IssuerError> {
        let (merchant, cohort) = (scope.merchant(), scope.cohort());
        let (manifest, grants) =
            read(&*self.store, &(manifest_key(merchant, cohort), grants_key(merchant, cohort)))?;
        let is_its = manifest.is_some_and(|manifest| manifest.0.claimed_scope() == scope);
        Ok(grants.filter(|_| is_its).map(|row| row.grants))
    }

    pub(super) fn manifests_of(
        &self,
        merchant: &Name,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<SignedManifest>, IssuerError> {
        let after = after.map(|cohort| manifest_key(merchant, cohort).bytes().to_vec());
        let page = self.pages(manifests_prefix(merchant), limit).after(after).next()?;
        page.into_iter().flatten().take(limit).map(|found| Ok(found.row()?.0)).collect()
    }

    fn pages<R: Record>(&self, prefix: Key<R>, page: usize) -> Pages<'_, OwnStore<S>, R> {
        Pages::new(&*self.store, prefix.bucket(), prefix.bytes().to_vec(), page)
    }
}

/// One tick's walk over all cohorts that have not closed.
struct Walk<'a, S: Store> {
    core: &'a Core<S>,
    now: Timestamp,
    /// The boundary to work off; `None` if that was done: nothing seals or closes then.
    boundary: Option<Timestamp>,
    report: IssuerReport,
    /// Decided and not yet committed: the cohorts of many merchants share a durable commit.
    decisions: Vec<Result<Decision<'static, ()>, IssuerError>>,
    writes: usize,
}

/// What a walk over a sealed cohort's members found.
struct Members {
    of_standing: HashSet<AccountTag>,
    /// All members, of standing or not.
    handles: Vec<OrderHandle>,
    /// Those whose numbers have not been reported dead, with the due time.
    ringing: Vec<(OrderHandle, Timestamp)>,
    /// The latest end of the others' numbers.
    numbers_dead_at: Timestamp,
}

fn count(accounts: &HashSet<AccountTag>) -> u32 {
    u32::try_from(accounts.len()).unwrap_or(u32::MAX)
}

impl<S: Store> Walk<'_, S> {
    /// Writes what follows from a cohort, unless another instance has decided on it since it was
    /// found.
    fn decide(
        &mut self,
        (key, found): (Key<CohortRow>, CohortRow),
        writes: usize,
        mut write: impl FnMut(&mut Change) + 'static,
    ) -> Result<(), IssuerError> {
        self.writes += writes;
        self.decisions.push(Ok(Decision::new(key, move |row, change| {
            if row.as_ref() == Some(&found) {
                write(change);
            }
            Ok(())
        })));
        if self.writes >= WRITES { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<(), IssuerError> {
        self.writes = 0;
        let decisions = std::mem::take(&mut self.decisions);
        let decided = self.core.decide(decisions.into_iter());
        decided.into_iter().try_for_each(|decided| self.note(decided))
    }

    /// A failed store ends the tick; anything else is an operator's, and of one cohort.
    fn note(&mut self, done: Result<(), IssuerError>) -> Result<(), IssuerError> {
        match done {
            Err(error) if !error.ends_the_tick() => {
                self.report.failed.push(error);
                Ok(())
            }
            other => other,
        }
    }

    fn open_cohorts(&mut self, bucket: Bucket) -> Result<(), IssuerError> {
        let ring = self.core.ring();
        let mut pages = Pages::<_, CohortRow>::new(&*self.core.store, bucket, OPEN_COHORTS.to_vec(), PAGE);
        while let Some(page) = pages.next()? {
            for found in page {
                let done = self.open_cohort(&found, &ring);
                self.note(done)?;
            }
        }
        Ok(())
    }

    /// Seals a cohort that has its crowd at the boundary.
    fn open_cohort(&mut self, found: &Found<CohortRow>, ring: &KeyRing) -> Result<(), IssuerError> {
        let (merchant, cohort) = (merchant_of(&found.key)?, found.row()?);
        let retired = ring.find(&cohort.key_id).is_some() && !ring.may_issue(&cohort.key_id);
        let (old_enough, starving) = (self.old_enough(&cohort), self.past_starving_age(&cohort));
        if !retired && !old_enough && !starving {
            return Ok(());
        }
        let of_standing = self.distinct_of_standing(&merchant, &cohort)?;
        // A retired key's cohort takes no grants either, whatever its count.
        if old_enough && of_standing >= cohort.k || retired && self.boundary.is_some() {
            let (open, sealed) = (found.key.clone(), sealed_key(&merchant, cohort.cohort));
            self.decide((open.clone(), cohort.clone()), 2, move |change| {
                change.delete(&open);
                change.put(&sealed, &cohort);
            })?;
        } else if starving && of_standing < cohort.k {
            self.starves(&merchant, &cohort, of_standing, !retired);
        }
        Ok(())
    }

    fn sealed_cohorts(&mut self, bucket: Bucket) -> Result<(), IssuerError> {
        let mut pages = Pages::<_, CohortRow>::new(&*self.core.store, bucket, SEALED_COHORTS.to_vec(), PAGE);
        while let Some(page) = pages.next()? {
            for found in page {
                let done = self.sealed_cohort(&found);
                self.note(done)?;
            }
        }
        Ok(())
    }

    /// Reports on a cohort that takes no more grants, and closes it if the boundary may.
    fn sealed_cohort(&mut self, found: &Found<CohortRow>) -> Result<(), IssuerError> {
        let (sealed, cohort) = (found.key.clone(), found.row()?);
        let merchant = &merchant_of(&sealed)?;
        let members = self.members(merchant, &cohort)?;
        let found = (sealed.clone(), cohort.clone());
        if members.handles.is_empty() {
            // Set aside before its first grant: nobody holds a token of it, nobody ever will.
            return match self.boundary {
                Some(_) => self.decide(found, 1, move |change| change.delete(&sealed)),
                None => Ok(()),
            };
        }
        let of_standing = count(&members.of_standing);
        if of_standing < cohort.k {
            self.starves(merchant, &cohort, of_standing, false);
            return Ok(());
        }
        for (handle, due_at) in &members.ringing {
            if due_at.saturating_add(self.core.config.numbers_overdue_after) <= self.now {
                self.report.numbers_overdue.push((merchant.clone(), *handle));
            }
        }
        if !members.ringing.is_empty() || !self.old_enough(&cohort) {
            return Ok(());
        }
        let Some(manifest) = self.manifest(merchant, &cohort, members.numbers_dead_at) else { return Ok(()) };
        let (entry, window) = (manifest.to_bytes(), WindowRow { ends: manifest.publications.last() });
        let signed = MessageRow(manifest.sign(&self.core.platform_key)?);
        let number = cohort.cohort;
        let grants = GrantsRow { grants: members.handles.len() as u64 };
        let (manifest, waiting) = (manifest_key(merchant, number), waiting_key(merchant, number));
        let (window_at, grants_at) = (window_key(merchant, number), grants_key(merchant, number));
        self.decide(found, 6, move |change| {
            change.delete(&sealed);
            change.put(&manifest, &signed);
            change.put(&waiting, &Present);
            change.put(&window_at, &window);
            change.put(&grants_at, &grants);
            outbox::put(change, Ledger::Reviews, entry.clone());
        })
    }

    fn ended_windows(&mut self, bucket: Bucket, boundary: Timestamp) -> Result<(), IssuerError> {
        let mut pages = Pages::<_, WindowRow>::new(&*self.core.store, bucket, OPEN_WINDOWS.to_vec(), PAGE);
        while let Some(page) = pages.next()? {
            for found in page {
                let done = self.ended_window(&found, boundary);
                self.note(done)?;
            }
        }
        Ok(())
    }

    /// Once nothing can be published with a cohort's tokens, its orders keep that they were granted
    /// one and not of which cohort: whoever copies the store then finds no crowds. A crash leaves the
    /// window's row, and the next tick goes on with the members that are left.
    fn ended_window(&self, found: &Found<WindowRow>, boundary: Timestamp) -> Result<(), IssuerError> {
        if found.row()?.ends > boundary {
            return Ok(());
        }
        let (merchant, cohort) = (merchant_of(&found.key)?, cohort_of(&found.key)?);
        let mut pages = self.core.pages(members_prefix(&merchant, cohort), PAGE);
        while let Some(page) = pages.next()? {
            let members: Vec<Key<MemberRow>> = page.into_iter().map(|member| member.key).collect();
            let orders = members.iter().map(|key| Ok(order_key(&merchant, handle_of(key)?)));
            let orders: Vec<Key<OrderRow>> = orders.collect::<Result<_, StoreError>>()?;
            decide(&*self.core.store, orders.clone(), |rows, change| {
                for (key, order) in orders.iter().zip(rows) {
                    let order = order.ok_or(StoreError::Corrupt(MemberRow::NAME))?;
                    change.put(key, &OrderRow { grant: Some(Granted::Over), ..order });
                }
                members.iter().for_each(|member| change.delete(member));
                Ok::<_, IssuerError>(())
            })?;
        }
        decide(&*self.core.store, found.key.clone(), |row: Option<WindowRow>, change| {
            if row.is_some() {
                change.delete(&found.key);
            }
            Ok(())
        })
    }

    /// The manifest, if the cohort closes at the boundary.
    fn manifest(&self, merchant: &Name, cohort: &CohortRow, dead: Timestamp) -> Option<CohortManifest> {
        self.boundary?;
        let from = self.now.saturating_add(UNTIL_FIRST_PUBLICATION).saturating_sub(1);
        // A clock at the end of time leaves no room for the boundaries.
        let publications = PublicationDates::starting(self.core.config.grid.next_after(from.max(dead)))?;
        Some(CohortManifest {
            scope: cohort.scope(merchant),
            escrow_id: cohort.escrow_id,
            at_least: self.core.config.advertised(cohort.k),
            publications,
        })
    }

    fn waiting_manifests(&mut self, bucket: Bucket) -> Result<(), IssuerError> {
        let mut pages = Pages::new(&*self.core.store, bucket, WAITING_MANIFESTS.to_vec(), PAGE);
        while let Some(page) = pages.next()? {
            let looks = page.iter().map(|found| {
                Ok(Decision::new(manifest_of(&found.key)?, |row: Option<MessageRow<SignedManifest>>, _| {
                    Ok(row.ok_or(StoreError::Corrupt("manifest"))?.0)
                }))
            });
            for manifest in self.core.decide(looks) {
                match manifest {
                    Ok(manifest) => self.report.manifests.push(manifest),
                    Err(error) => self.note(Err(error))?,
                }
            }
        }
        Ok(())
    }

    /// Whether there is a boundary to work off and the cohort's minimum age had passed at it.
    fn old_enough(&self, cohort: &CohortRow) -> bool {
        let from = cohort.opened_by.saturating_add(self.core.config.minimum_age);
        self.boundary.is_some_and(|boundary| from <= boundary)
    }

    fn past_starving_age(&self, cohort: &CohortRow) -> bool {
        cohort.opened_by.saturating_add(self.core.config.starving_after) <= self.now
    }

    fn starves(&mut self, merchant: &Name, cohort: &CohortRow, of_standing: u32, open: bool) {
        let CohortRow { class, cohort, k, .. } = *cohort;
        let merchant = merchant.clone();
        self.report.starving.push(StarvingCohort { merchant, class, cohort, of_standing, k, open });
    }

    /// How many distinct accounts of standing an open cohort has; stops at its k.
    fn distinct_of_standing(&self, merchant: &Name, cohort: &CohortRow) -> Result<u32, StoreError> {
        let mut accounts = HashSet::new();
        let mut pages = self.core.pages(members_prefix(merchant, cohort.cohort), PAGE);
        while let Some(page) = pages.next()? {
            for found in page {
                let member = found.row()?;
                if member.of_standing {
                    accounts.insert(member.account);
                }
            }
            if count(&accounts) >= cohort.k {
                break;
            }
        }
        Ok(count(&accounts))
    }

    /// All members of a sealed cohort, with what their orders say of their numbers.
    fn members(&self, merchant: &Name, cohort: &CohortRow) -> Result<Members, StoreError> {
        let mut members = Members {
            of_standing: HashSet::new(),
            handles: Vec::new(),
            ringing: Vec::new(),
            numbers_dead_at: Timestamp::ZERO,
        };
        let mut pages = self.core.pages(members_prefix(merchant, cohort.cohort), PAGE);
        while let Some(page) = pages.next()? {
            let from = members.handles.len();
            for found in page {
                let member = found.row()?;
                members.handles.push(handle_of(&found.key)?);
                if member.of_standing {
                    members.of_standing.insert(member.account);
                }
            }
            let handles = members.handles.iter().skip(from);
            let keys: Vec<_> = handles.clone().map(|handle| order_key(merchant, *handle)).collect();
            for (handle, order) in handles.zip(read(&*self.core.store, &keys)?) {
                let order = order.ok_or(StoreError::Corrupt("cohort member"))?;
                match order.numbers_dead_at {
                    Some(at) => members.numbers_dead_at = members.numbers_dead_at.max(at),
                    None => members.ringing.push((*handle, order.due_at)),
                }
            }
        }
        Ok(members)
    }
}
