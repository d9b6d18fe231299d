//! Cohorts: sealed and closed at boundaries, never below k.
//!
//! Why scanning first and deciding later is sound: an open cohort's count only grows, so what a
//! scan counted still holds when the cohort is sealed, on the condition that its row is as
//! read. Sealing takes away the row that every grant rests on, so a sealed cohort's members
//! are fixed; and an order's numbers end once, so what a later scan found dead stays dead.

use super::directory::IfUnchanged;
use super::rows::{
    CohortRow, MemberRow, OPEN_COHORTS, OrderRow, SEALED_COHORTS, StoredRow, TickRow, WAITING_MANIFESTS,
    handle_of, manifest_key, manifests_prefix, members_prefix, merchant_of, order_key, raw, sealed_key,
    tick_key, waiting_key,
};
use super::{AccountTag, Desk, IssuerError};
use crate::ledger::{Ledger, outbox};
use crate::name::Name;
use crate::store::decide::run;
use crate::store::{Bucket, Commit, Row, RowKey, Store, StoreError};
use crate::time::Timestamp;
use crate::token::{CohortManifest, OrderHandle, Scope, SignedManifest};
use crate::wire::Message;
use std::collections::HashSet;

/// The most rows that one scan returns.
const PAGE: usize = 512;
/// Decisions are committed together once they hold so many writes.
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

impl<S: Store> Desk<S> {
    pub(super) fn tick(&self) -> Result<IssuerReport, IssuerError> {
        let now = self.environment.now();
        let rows = self.store.read(&[tick_key()])?;
        let done = TickRow::read(&rows, 0)?.map(|row| row.boundary);
        let boundary = self.config.grid.at_or_before(now).filter(|b| done.is_none_or(|done| done < *b));
        let report = IssuerReport::default();
        let mut walk = Walk { desk: self, now, boundary, report, decisions: Vec::new(), writes: 0 };
        Bucket::all().try_for_each(|bucket| walk.open_cohorts(bucket))?;
        walk.commit()?;
        Bucket::all().try_for_each(|bucket| walk.sealed_cohorts(bucket))?;
        walk.commit()?;
        Bucket::all().try_for_each(|bucket| walk.waiting_manifests(bucket))?;
        let report = walk.report;
        if let Some(boundary) = boundary {
            let RowKey { bucket, key } = tick_key();
            let commit = Commit::new(bucket).put(key, TickRow { boundary }.to_value());
            // Another instance that was faster has done the same.
            self.all_unchanged(vec![IfUnchanged {
                key: tick_key(),
                read: raw(&rows, 0).map(<[u8]>::to_vec),
                commit,
            }])?;
        }
        Ok(report)
    }

    pub(super) fn confirm_admitted(&self, scopes: &[Scope]) -> Result<(), IssuerError> {
        let keys: Vec<RowKey> =
            scopes.iter().map(|scope| waiting_key(scope.merchant(), scope.cohort())).collect();
        let rows = self.store.read(&keys)?;
        let waiting = keys.into_iter().zip(rows).filter(|(_, read)| read.is_some());
        let decisions = waiting.map(|(key, read)| {
            let commit = Commit::new(key.bucket).delete(key.key.clone());
            IfUnchanged { key, read, commit }
        });
        self.all_unchanged(decisions.collect())?;
        Ok(())
    }

    pub(super) fn manifest(&self, scope: &Scope) -> Result<Option<SignedManifest>, IssuerError> {
        let rows = self.store.read(&[manifest_key(scope.merchant(), scope.cohort())])?;
        let manifest = raw(&rows, 0).map(decode_manifest).transpose()?;
        Ok(manifest.filter(|manifest| manifest.claimed_scope() == scope))
    }

    pub(super) fn manifests_of(
        &self,
        merchant: &Name,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<SignedManifest>, IssuerError> {
        let RowKey { bucket, key } = manifests_prefix(merchant);
        let after = after.map(|cohort| manifest_key(merchant, cohort).key);
        let rows = self.store.scan(bucket, &key, after.as_deref(), limit)?;
        Ok(rows.iter().map(|row| decode_manifest(&row.value)).collect::<Result<_, _>>()?)
    }

    /// Takes the decisions together. One whose row another instance changed is that one's.
    fn all_unchanged(&self, mut decisions: Vec<IfUnchanged>) -> Result<Vec<bool>, StoreError> {
        run(&*self.store, &mut decisions).into_iter().collect()
    }
}

fn decode_manifest(value: &[u8]) -> Result<SignedManifest, StoreError> {
    SignedManifest::from_bytes(value).map_err(|_| StoreError::Corrupt("manifest"))
}

/// One tick's walk over all cohorts that have not closed.
struct Walk<'a, S: Store> {
    desk: &'a Desk<S>,
    now: Timestamp,
    /// The boundary to work off; `None` if that was done: nothing seals or closes then.
    boundary: Option<Timestamp>,
    report: IssuerReport,
    /// Decided and not yet committed: the cohorts of many merchants share a durable commit.
    decisions: Vec<IfUnchanged>,
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
    fn decide(&mut self, decision: IfUnchanged) -> Result<(), IssuerError> {
        self.writes += decision.commit.writes.len();
        self.decisions.push(decision);
        if self.writes >= WRITES { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<(), IssuerError> {
        self.writes = 0;
        self.desk.all_unchanged(std::mem::take(&mut self.decisions))?;
        Ok(())
    }

    fn open_cohorts(&mut self, bucket: Bucket) -> Result<(), IssuerError> {
        let ring = self.desk.ring();
        let mut pages = Pages::new(&*self.desk.store, bucket, OPEN_COHORTS.to_vec());
        while let Some(page) = pages.next()? {
            for Row { key, value } in page {
                let (merchant, cohort) = (merchant_of(&key)?, CohortRow::from_value(&value)?);
                let retired = ring.find(&cohort.key_id).is_some() && !ring.may_issue(&cohort.key_id);
                let (old_enough, starving) = (self.old_enough(&cohort), self.past_starving_age(&cohort));
                if !retired && !old_enough && !starving {
                    continue;
                }
                let of_standing = self.distinct_of_standing(&merchant, &cohort)?;
                // A retired key's cohort takes no grants either, whatever its count.
                if old_enough && of_standing >= cohort.k || retired && self.boundary.is_some() {
                    let sealed = sealed_key(&merchant, cohort.cohort);
                    let commit = Commit::new(bucket).delete(key.clone()).put(sealed.key, value.clone());
                    self.decide(IfUnchanged { key: RowKey { bucket, key }, read: Some(value), commit })?;
                } else if starving && of_standing < cohort.k {
                    self.starves(&merchant, &cohort, of_standing, !retired);
                }
            }
        }
        Ok(())
    }

    fn sealed_cohorts(&mut self, bucket: Bucket) -> Result<(), IssuerError> {
        let mut pages = Pages::new(&*self.desk.store, bucket, SEALED_COHORTS.to_vec());
        while let Some(page) = pages.next()? {
            for Row { key, value } in page {
                let (merchant, cohort) = (merchant_of(&key)?, CohortRow::from_value(&value)?);
                let members = self.members(&merchant, &cohort)?;
                if let Some(commit) = self.sealed_cohort(&merchant, &cohort, &members) {
                    self.decide(IfUnchanged { key: RowKey { bucket, key }, read: Some(value), commit })?;
                }
            }
        }
        Ok(())
    }

    /// Reports on a cohort that takes no more grants, and closes it if the boundary may.
    fn sealed_cohort(&mut self, merchant: &Name, cohort: &CohortRow, members: &Members) -> Option<Commit> {
        let sealed = sealed_key(merchant, cohort.cohort);
        if members.handles.is_empty() {
            // Set aside before its first grant: nobody holds a token of it, nobody ever will.
            return self.boundary.map(|_| Commit::new(sealed.bucket).delete(sealed.key));
        }
        let of_standing = count(&members.of_standing);
        if of_standing < cohort.k {
            self.starves(merchant, cohort, of_standing, false);
            return None;
        }
        for (handle, due_at) in &members.ringing {
            if due_at.saturating_add(self.desk.config.numbers_overdue_after) <= self.now {
                self.report.numbers_overdue.push((merchant.clone(), *handle));
            }
        }
        if !members.ringing.is_empty() || !self.old_enough(cohort) {
            return None;
        }
        let manifest = self.manifest(merchant, cohort, members.numbers_dead_at)?;
        let entry = manifest.to_bytes();
        let signed = manifest.sign(&self.desk.platform_key).to_bytes();
        // The members' rows were for the count: the orders keep their grants.
        let prefix = members_prefix(merchant, cohort.cohort).key;
        let gone = |handle: &OrderHandle| [prefix.as_slice(), handle.as_bytes()].concat();
        let close = Commit::new(sealed.bucket)
            .delete(sealed.key)
            .put(manifest_key(merchant, cohort.cohort).key, signed)
            .put(waiting_key(merchant, cohort.cohort).key, vec![1]);
        let close = members.handles.iter().fold(close, |close, handle| close.delete(gone(handle)));
        Some(outbox::append(close, Ledger::Reviews, entry))
    }

    /// The manifest, if the cohort closes at the boundary. The ledger shows no time but
    /// boundaries, so the last number's end stands in it as the last second before the
    /// boundary that follows it: that moves no publication.
    fn manifest(&self, merchant: &Name, cohort: &CohortRow, dead: Timestamp) -> Option<CohortManifest> {
        let (closed_at, grid) = (self.boundary?, self.desk.config.grid);
        let first_publication = grid.next_after(closed_at.max(dead));
        let window = grid.period().saturating_mul(self.desk.config.window.into());
        let window_end =
            closed_at.saturating_add(window).max(first_publication.saturating_add(grid.period()));
        // A clock at the end of time leaves no room for the boundaries.
        (closed_at < first_publication && first_publication < window_end).then(|| CohortManifest {
            scope: cohort.scope(merchant),
            escrow_id: cohort.escrow_id,
            at_least: cohort.k,
            closed_at,
            numbers_dead_at: grid.next_after(dead).saturating_sub(1),
            first_publication,
            window_end,
        })
    }

    fn waiting_manifests(&mut self, bucket: Bucket) -> Result<(), IssuerError> {
        let mut pages = Pages::new(&*self.desk.store, bucket, WAITING_MANIFESTS.to_vec());
        while let Some(page) = pages.next()? {
            let keys = page.into_iter().map(|row| manifest_of(bucket, row.key));
            let rows = self.desk.store.read(&keys.collect::<Result<Vec<_>, _>>()?)?;
            for row in rows {
                self.report.manifests.push(decode_manifest(&row.ok_or(StoreError::Corrupt("manifest"))?)?);
            }
        }
        Ok(())
    }

    /// Whether there is a boundary to work off and the cohort's minimum age had passed at it.
    fn old_enough(&self, cohort: &CohortRow) -> bool {
        let from = cohort.opened_by.saturating_add(self.desk.config.minimum_age);
        self.boundary.is_some_and(|boundary| from <= boundary)
    }

    fn past_starving_age(&self, cohort: &CohortRow) -> bool {
        cohort.opened_by.saturating_add(self.desk.config.starving_after) <= self.now
    }

    fn starves(&mut self, merchant: &Name, cohort: &CohortRow, of_standing: u32, open: bool) {
        let CohortRow { class, cohort, k, .. } = *cohort;
        let merchant = merchant.clone();
        self.report.starving.push(StarvingCohort { merchant, class, cohort, of_standing, k, open });
    }

    /// How many distinct accounts of standing an open cohort has; stops at its k.
    fn distinct_of_standing(&self, merchant: &Name, cohort: &CohortRow) -> Result<u32, StoreError> {
        let mut accounts = HashSet::new();
        let RowKey { bucket, key } = members_prefix(merchant, cohort.cohort);
        let mut pages = Pages::new(&*self.desk.store, bucket, key);
        while let Some(page) = pages.next()? {
            for row in page {
                let member = MemberRow::from_value(&row.value)?;
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
        let RowKey { bucket, key } = members_prefix(merchant, cohort.cohort);
        let mut pages = Pages::new(&*self.desk.store, bucket, key);
        while let Some(page) = pages.next()? {
            let mut handles = Vec::with_capacity(page.len());
            for row in page {
                let member = MemberRow::from_value(&row.value)?;
                handles.push(handle_of(&row.key)?);
                if member.of_standing {
                    members.of_standing.insert(member.account);
                }
            }
            let keys: Vec<RowKey> = handles.iter().map(|handle| order_key(merchant, *handle)).collect();
            let orders = self.desk.store.read(&keys)?;
            for (position, handle) in handles.iter().enumerate() {
                let order = OrderRow::read(&orders, position)?.ok_or(StoreError::Corrupt("cohort member"))?;
                match order.numbers_dead_at {
                    Some(at) => members.numbers_dead_at = members.numbers_dead_at.max(at),
                    None => members.ringing.push((*handle, order.due_at)),
                }
            }
            members.handles.append(&mut handles);
        }
        Ok(members)
    }
}

/// The manifest's row that a waiting row is for: their keys differ in the room alone.
fn manifest_of(bucket: Bucket, waiting: Vec<u8>) -> Result<RowKey, StoreError> {
    match waiting.strip_prefix(WAITING_MANIFESTS) {
        Some(rest) => Ok(RowKey { bucket, key: [super::rows::MANIFESTS, rest].concat() }),
        None => Err(StoreError::Corrupt("waiting manifest")),
    }
}

/// The rows of a prefix, page by page.
struct Pages<'a, S: ?Sized> {
    store: &'a S,
    bucket: Bucket,
    prefix: Vec<u8>,
    after: Option<Vec<u8>>,
    done: bool,
}

impl<'a, S: Store + ?Sized> Pages<'a, S> {
    fn new(store: &'a S, bucket: Bucket, prefix: Vec<u8>) -> Self {
        Self { store, bucket, prefix, after: None, done: false }
    }

    /// The next page; `None` after the last.
    fn next(&mut self) -> Result<Option<Vec<Row>>, StoreError> {
        if self.done {
            return Ok(None);
        }
        let page = self.store.scan(self.bucket, &self.prefix, self.after.as_deref(), PAGE)?;
        self.done = page.len() < PAGE;
        self.after = page.last().map(|row| row.key.clone());
        Ok(Some(page))
    }
}
