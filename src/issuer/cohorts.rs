//! Cohorts: sealed at boundaries, never below k.
//!
//! Why scanning first and deciding later is sound. An open cohort's crowd only grows, so what a
//! scan counted still holds when the cohort is sealed, on the condition that its row is as
//! read. Sealing takes away the row that every grant rests on, so a sealed cohort's members
//! are fixed.

use super::rate::RateRow;
use super::rows::{
    ClassRow, CohortRow, ENDLESS, GrantsRow, OPEN_COHORTS, SET_ASIDE, TickRow, WAITING_MANIFESTS, WindowRow,
    class_key, clock_key, endless_after, endless_of, grants_key, manifest_key, manifest_of, manifests_prefix,
    members_prefix, merchant_of, rate_key, tick_key, waiting_key, window_key,
};
use super::{Core, Decision, IssuerError};
use crate::clock::{self, ClockRow};
use std::sync::Arc;
use unjoin_core::entry::Ledger;
use unjoin_core::token::{
    CohortManifest, KeyRing, OrderHandle, PublicationDates, Scope, SignError, SignedManifest,
};
use unjoin_core::wire::Message;
use unjoin_core::{DAY, Name, Timestamp};
use unjoin_log::outbox;
use unjoin_store::{
    Change, Found, Key, MessageRow, OwnStore, Pages, Present, Record, Store, StoreError, decide, read,
};

/// The most rows that one scan returns.
pub(super) const PAGE: usize = 512;
/// Seconds from the tick that seals a cohort to its first publication, at the least: devices fetch
/// manifests within ten hours, and send then.
const UNTIL_FIRST_PUBLICATION: u64 = 20 * 3_600;
/// The age in seconds at which a cohort that was never sealed is ended. It is counted from the end of
/// the UTC day on which it opened.
const ENDED_AFTER: u64 = 400 * DAY;
/// Decisions are committed together once they hold this many writes.
pub(super) const WRITES: usize = 4096;

/// What a tick found.
///
/// ```
/// use unjoin::issuer::IssuerReport;
/// /// Whether somebody has to look.
/// fn needs_somebody(report: &IssuerReport) -> bool {
///     !report.outrun.is_empty() || !report.failed.is_empty() || !report.numbers_overdue.is_empty()
/// }
/// assert!(!needs_somebody(&IssuerReport::default()));
/// ```
#[derive(Debug, Default)]
pub struct IssuerReport {
    /// The manifests of sealed cohorts that were not yet
    /// [confirmed](super::Issuer::confirm_admitted) to be with the desk.
    pub manifests: Vec<SignedManifest>,
    /// Cohorts that are past the configured age and below their k.
    pub starving: Vec<StarvingCohort>,
    /// Cohorts that had far more customers, at the boundary that this tick worked off, than their
    /// merchant's past explains. Told once a boundary.
    pub outrun: Vec<OutrunCohort>,
    /// How many cohorts were ended without a manifest, 400 days after they opened.
    pub ended: usize,
    /// Orders whose numbers are overdue: telephony ends them, and their end is reported. Until then they
    /// get no token.
    pub numbers_overdue: Vec<(Name, OrderHandle)>,
    /// Whether the store was rewritten: with every boundary that is worked off.
    pub rewritten: bool,
    /// What could not be done: a row that does not decode. It holds up its own cohort only, which is
    /// tried again at every boundary.
    pub failed: Vec<IssuerError>,
}

/// A cohort that has waited long for its crowd. It is never published below k, and ended without a
/// manifest after 400 days. The host can merge classes for later orders, or tell the reviewers.
///
/// ```
/// use unjoin::{Name, issuer::StarvingCohort};
/// let starving = StarvingCohort { merchant: Name::new("lamps")?, class: 1, cohort: 77, of_standing: 4, k: 10, open: true };
/// // Six customers more, or the few are never published.
/// assert_eq!(starving.k - starving.of_standing, 6);
/// # Ok::<(), unjoin::NameError>(())
/// ```
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

/// A cohort that fills so fast that somebody may be filling it with bought orders, to be left with the
/// reviews of the few others. That is over twice as fast as the slowest of its merchant's last three
/// periods of 60 days, and three standard deviations. It is sealed as any other is: look at its
/// accounts before its first publication.
///
/// ```
/// use unjoin::{Name, issuer::OutrunCohort};
/// let outrun = OutrunCohort { merchant: Name::new("lamps")?, class: 0, cohort: 77, of_standing: 60, expected: 11.5 };
/// // Five times what its past explains: look at its accounts before its first publication.
/// assert!(f64::from(outrun.of_standing) > 5.0 * outrun.expected);
/// # Ok::<(), unjoin::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct OutrunCohort {
    /// The merchant.
    pub merchant: Name,
    /// The outcome class.
    pub class: u8,
    /// The cohort's number.
    pub cohort: u64,
    /// How many distinct accounts of standing hold a token of it.
    pub of_standing: u32,
    /// How many the past would have brought in that time.
    pub expected: f64,
}

impl<S: Store> Core<S> {
    /// A tick but for its end; and the boundary that it works off, if one was due.
    pub(super) fn begin_tick(&self) -> Result<(IssuerReport, Option<Timestamp>), IssuerError> {
        let now = clock::tick::<_, IssuerError>(&*self.store, &clock_key(), &self.environment)?;
        let done = read(&*self.store, &tick_key())?.map(|row| row.boundary);
        let boundary = self.config.grid.at_or_before(now).filter(|b| done.is_none_or(|done| done < *b));
        let report = IssuerReport::default();
        let mut walk =
            Walk { core: self, ring: self.ring(), now, boundary, report, decisions: Vec::new(), writes: 0 };
        for namespace in [OPEN_COHORTS, SET_ASIDE] {
            walk.cohorts(namespace)?;
            walk.commit()?;
        }
        walk.waiting_manifests()?;
        walk.overdue()?;
        if let Some(boundary) = boundary {
            self.end_windows(boundary, &mut walk.report.failed)?;
            self.count_orders(boundary, &mut walk.report.failed)?;
        }
        Ok((walk.report, boundary))
    }

    /// Until now the store's files may tell when tokens were granted, and what is forgotten. A crash before the
    /// boundary's row is made good by the next tick.
    pub(super) fn end_tick(&self, boundary: Timestamp) -> Result<(), IssuerError> {
        self.store.rewrite()?;
        decide(&*self.store, tick_key(), |row, change| {
            // Another instance that was faster has done the same.
            if row.is_none_or(|row| row.boundary < boundary) {
                change.put(&tick_key(), &TickRow { boundary });
            }
            Ok::<_, IssuerError>(())
        })
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

    /// Those whose members are forgotten, and the members that are still there.
    pub(super) fn grants(&self, scope: &Scope) -> Result<Option<u64>, IssuerError> {
        let (merchant, cohort) = (scope.merchant(), scope.cohort());
        let (manifest_at, grants_at) = (manifest_key(merchant, cohort), grants_key(merchant, cohort));
        let (manifest, forgotten) = read(&*self.store, &(manifest_at, grants_at.clone()))?;
        if manifest.is_none_or(|manifest| manifest.0.claimed_scope() != scope) {
            return Ok(None);
        }
        let Some(forgotten) = forgotten else { return Ok(None) };
        let mut grants = forgotten.grants;
        let mut pages = self.pages(members_prefix(merchant, cohort), PAGE);
        while let Some(page) = pages.next()? {
            grants = grants.saturating_add(page.len() as u64);
        }
        // A tick that was forgetting some meanwhile: they were counted twice, or not at all.
        if read(&*self.store, &grants_at)? != Some(forgotten) {
            return Err(StoreError::Contended.into());
        }
        Ok(Some(grants))
    }

    pub(super) fn manifests_of(
        &self,
        merchant: &Name,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<SignedManifest>, IssuerError> {
        let after = after.map(|cohort| manifest_key(merchant, cohort).at().clone());
        let page = self.pages(manifests_prefix(merchant), limit).after(after).next()?;
        page.into_iter().flatten().take(limit).map(|found| Ok(found.row()?.0)).collect()
    }

    pub(super) fn pages<R: Record>(&self, prefix: Key<R>, page: usize) -> Pages<'_, OwnStore<S>, R> {
        Pages::new(&*self.store, prefix.bucket(), prefix.bytes().to_vec(), page)
    }

    /// Every row of a namespace.
    pub(super) fn pages_of_all<R: Record>(&self, namespace: &[u8; 2]) -> Pages<'_, OwnStore<S>, R> {
        Pages::of_all(&*self.store, namespace.to_vec(), PAGE)
    }
}

/// One tick's walk over all cohorts that are not sealed.
struct Walk<'a, S: Store> {
    core: &'a Core<S>,
    ring: Arc<KeyRing>,
    now: Timestamp,
    /// The boundary to work off; `None` if that was done: nothing is sealed then.
    boundary: Option<Timestamp>,
    report: IssuerReport,
    /// Decided and not yet committed: the cohorts of many merchants share a durable commit.
    decisions: Vec<Result<Decision<'a, Told>, IssuerError>>,
    writes: usize,
}

/// What became of a cohort.
#[derive(Default)]
struct Told {
    outrun: Option<OutrunCohort>,
    starving: Option<StarvingCohort>,
    ended: usize,
}

/// Who holds a token of a cohort.
#[derive(Clone, Copy)]
struct Crowd {
    grants: u32,
    of_standing: u32,
}

/// Ends a cohort without a manifest: at the boundary its members are forgotten.
pub(super) fn end(key: &Key<CohortRow>, merchant: &Name, cohort: u64, ends: Timestamp, change: &mut Change) {
    change.delete(key);
    change.put(&window_key(merchant, cohort), &WindowRow { ends });
}

impl<'a, S: Store> Walk<'a, S> {
    fn commit(&mut self) -> Result<(), IssuerError> {
        self.writes = 0;
        let decisions = std::mem::take(&mut self.decisions);
        for decided in self.core.decide(decisions.into_iter()) {
            match decided {
                Ok(told) => {
                    self.report.outrun.extend(told.outrun);
                    self.report.starving.extend(told.starving);
                    self.report.ended += told.ended;
                }
                Err(error) => error.noted_in(&mut self.report.failed)?,
            }
        }
        Ok(())
    }

    fn cohorts(&mut self, namespace: &[u8; 2]) -> Result<(), IssuerError> {
        let mut pages = self.core.pages_of_all::<CohortRow>(namespace);
        while let Some(page) = pages.next()? {
            for found in page {
                if let Err(error) = self.cohort(&found, namespace == OPEN_COHORTS) {
                    error.noted_in(&mut self.report.failed)?;
                }
            }
        }
        Ok(())
    }

    /// Counts a cohort at the boundary, and seals it if it has its crowd; reports one that starves.
    fn cohort(&mut self, found: &Found<CohortRow>, is_open: bool) -> Result<(), IssuerError> {
        let (merchant, cohort) = (merchant_of(&found.key)?, found.row()?);
        let starves = cohort.opened_by.saturating_add(self.core.config.starving_after) <= self.now;
        if self.boundary.is_none() && !starves {
            return Ok(());
        }
        let crowd = self.crowd(&merchant, &cohort)?;
        let key_id = &cohort.key_id;
        let open = is_open && (self.ring.find(key_id).is_none() || self.ring.may_issue(key_id));
        let CohortRow { class, k, .. } = cohort;
        let starving = (starves && crowd.of_standing < k).then(|| StarvingCohort {
            merchant: merchant.clone(),
            class,
            cohort: cohort.cohort,
            of_standing: crowd.of_standing,
            k,
            open,
        });
        let Some(boundary) = self.boundary else {
            self.report.starving.extend(starving);
            return Ok(());
        };
        let turn = Turn { core: self.core, key: found.key.clone(), merchant, cohort, crowd, open, boundary };
        let reads = (found.key.clone(), rate_key(&turn.merchant, class));
        let now = self.now;
        self.writes += 7;
        self.decisions.push(Ok(Decision::new(reads, move |(row, rate), change| {
            // Another instance has decided on it since it was found.
            if row.as_ref() != Some(&turn.cohort) {
                return Ok(Told::default());
            }
            Ok(Told { starving: starving.clone(), ..turn.take(rate, now, change)? })
        })));
        if self.writes >= WRITES { self.commit() } else { Ok(()) }
    }

    fn crowd(&self, merchant: &Name, cohort: &CohortRow) -> Result<Crowd, StoreError> {
        let mut crowd = Crowd { grants: 0, of_standing: 0 };
        let mut pages = self.core.pages(members_prefix(merchant, cohort.cohort), PAGE);
        while let Some(page) = pages.next()? {
            for found in page {
                crowd.grants = crowd.grants.saturating_add(1);
                crowd.of_standing = crowd.of_standing.saturating_add(found.row()?.of_standing.into());
            }
        }
        Ok(crowd)
    }

    fn overdue(&mut self) -> Result<(), IssuerError> {
        let after = self.core.config.numbers_overdue_after;
        let Some(due_by) = self.now.as_unix_seconds().checked_sub(after) else { return Ok(()) };
        let due_by = Timestamp::from_unix_seconds(due_by);
        let mut pages = self.core.pages_of_all::<Present>(ENDLESS).before(endless_after(due_by));
        while let Some(page) = pages.next()? {
            for found in page {
                let (merchant, handle) = endless_of(&found.key)?;
                self.report.numbers_overdue.push((merchant, handle));
            }
        }
        Ok(())
    }

    fn waiting_manifests(&mut self) -> Result<(), IssuerError> {
        let mut pages = self.core.pages_of_all(WAITING_MANIFESTS);
        while let Some(page) = pages.next()? {
            let looks = page.iter().map(|found| {
                Ok(Decision::new(manifest_of(&found.key)?, |row: Option<MessageRow<SignedManifest>>, _| {
                    Ok(row.ok_or(StoreError::Corrupt("manifest"))?.0)
                }))
            });
            for manifest in self.core.decide(looks) {
                match manifest {
                    Ok(manifest) => self.report.manifests.push(manifest),
                    Err(error) => error.noted_in(&mut self.report.failed)?,
                }
            }
        }
        Ok(())
    }
}

/// A cohort at a boundary that is worked off.
struct Turn<'a, S> {
    core: &'a Core<S>,
    key: Key<CohortRow>,
    merchant: Name,
    cohort: CohortRow,
    crowd: Crowd,
    /// Whether it takes grants.
    open: bool,
    boundary: Timestamp,
}

impl<S: Store> Turn<'_, S> {
    /// `cohort` is as it was read. Each boundary counts once, no matter who works it off, and how many there
    /// were in between is nothing to it. A clock that leaps makes no cohort older than a day.
    fn take(&self, rate: Option<RateRow>, now: Timestamp, change: &mut Change) -> Result<Told, SignError> {
        let Self { core, key, merchant, cohort, crowd, boundary, .. } = self;
        let (mut row, mut told) = (cohort.clone(), Told::default());
        let known = rate.clone();
        let mut rate = rate.unwrap_or_else(|| RateRow::starting(*boundary, Vec::new()));
        let is_counted = row.aged_at == *boundary;
        if !is_counted {
            rate.count(crowd.of_standing.saturating_sub(row.counted), *boundary);
            if known.as_ref() != Some(&rate) {
                change.put(&rate_key(merchant, row.class), &rate);
            }
            row.counted = crowd.of_standing;
        }
        if !is_counted && crowd.of_standing > 0 {
            let since = u32::try_from(core.config.grid.period() / DAY).unwrap_or(u32::MAX);
            row.age = if row.age == 0 { 1 } else { row.age.saturating_add(since) };
            row.aged_at = *boundary;
            told.outrun = rate.outrun_by(crowd.of_standing, row.age).map(|expected| OutrunCohort {
                merchant: merchant.clone(),
                class: row.class,
                cohort: row.cohort,
                of_standing: crowd.of_standing,
                expected,
            });
        }
        if crowd.grants == 0 && !self.open {
            // Set aside before its first grant: nobody holds a token of it, nobody ever will.
            change.delete(key);
        } else if rate.seals(core.config.order_days, row.k, crowd.of_standing, row.age)
            && let Some(manifest) = self.manifest(&row, now)
        {
            self.seal(manifest, change)?;
        } else if row.opened_by.saturating_add(ENDED_AFTER) <= *boundary {
            end(key, merchant, row.cohort, *boundary, change);
            told.ended = 1;
        } else if row != *cohort {
            change.put(key, &row);
        }
        Ok(told)
    }

    /// None at the end of time, which leaves no room for the boundaries.
    fn manifest(&self, cohort: &CohortRow, now: Timestamp) -> Option<CohortManifest> {
        let from = now.saturating_add(UNTIL_FIRST_PUBLICATION).saturating_sub(1);
        Some(CohortManifest {
            scope: cohort.scope(&self.merchant),
            escrow_id: cohort.escrow_id,
            at_least: self.core.config.advertised(cohort.k),
            publications: PublicationDates::starting(self.core.config.grid.next_after(from))?,
        })
    }

    fn seal(&self, manifest: CohortManifest, change: &mut Change) -> Result<(), SignError> {
        let (merchant, cohort) = (&self.merchant, self.cohort.cohort);
        let until = manifest.publications.last();
        change.delete(&self.key);
        outbox::put(change, Ledger::Reviews, manifest.to_bytes());
        change.put(&window_key(merchant, cohort), &WindowRow { ends: until });
        change.put(&class_key(merchant, cohort), &ClassRow { class: self.cohort.class, until });
        change.put(&grants_key(merchant, cohort), &GrantsRow { grants: 0 });
        change.put(&waiting_key(merchant, cohort), &Present);
        let signed = manifest.sign(&self.core.platform_key)?;
        change.put(&manifest_key(merchant, cohort), &MessageRow(signed));
        Ok(())
    }
}
