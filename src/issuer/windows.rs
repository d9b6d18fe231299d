//! The end of cohorts' windows: which orders were members of one is forgotten.
//!
//! Once nothing can be published with a cohort's tokens, its orders keep that they were granted one and not of which
//! cohort: anybody who copies the store then finds no crowds. A window's row goes after its members. A crash before
//! that leaves it, and the next tick goes on with the members that are left.

use super::cohorts::{PAGE, WRITES};
use super::rows::{
    Granted, GrantsRow, MemberRow, OrderRow, WINDOWS, WindowRow, cohort_of, grants_key, members_prefix,
    merchant_of, order_key,
};
use super::{Core, Decision, IssuerError};
use std::collections::BTreeSet;
use unjoin_core::Timestamp;
use unjoin_store::{Key, Record, Store, StoreError};

impl<S: Store> Core<S> {
    /// Ends those windows that are over by `boundary`. The cohorts of all merchants share their durable commits.
    pub(super) fn end_windows(
        &self,
        boundary: Timestamp,
        failed: &mut Vec<IssuerError>,
    ) -> Result<(), IssuerError> {
        let mut ended = Vec::new();
        let mut pages = self.pages_of_all::<WindowRow>(WINDOWS);
        while let Some(page) = pages.next()? {
            for found in page {
                match found.row() {
                    Ok(window) if window.ends <= boundary => ended.push(found.key),
                    Ok(_) => {}
                    Err(error) => IssuerError::from(error).noted_in(failed)?,
                }
            }
        }
        ended.chunks(PAGE).try_for_each(|windows| self.end_these(windows, failed))
    }

    fn end_these(
        &self,
        windows: &[Key<WindowRow>],
        failed: &mut Vec<IssuerError>,
    ) -> Result<(), IssuerError> {
        // The windows of which something is left.
        let mut stay = BTreeSet::new();
        let (mut decisions, mut of, mut writes) = (Vec::new(), Vec::new(), 0);
        for (number, window) in (1..).zip(windows) {
            match self.forgetting(window) {
                Ok(pages) => {
                    for (members, decision) in pages {
                        of.push(number);
                        writes += 2 * members + 1;
                        decisions.push(Ok(decision));
                    }
                }
                Err(error) => {
                    error.noted_in(failed)?;
                    stay.insert(number);
                }
            }
            if writes >= WRITES || number == windows.len() {
                writes = 0;
                let decided = self.decide(std::mem::take(&mut decisions).into_iter());
                for (number, forgotten) in std::mem::take(&mut of).into_iter().zip(decided) {
                    if let Err(error) = forgotten {
                        error.noted_in(failed)?;
                        stay.insert(number);
                    }
                }
            }
        }
        let over = (1..).zip(windows).filter(|(number, _)| !stay.contains(number));
        let ends = over.map(|(_, key)| {
            Ok(Decision::new(key.clone(), move |row: Option<WindowRow>, change| {
                if row.is_some() {
                    change.delete(key);
                }
                Ok(())
            }))
        });
        self.decide(ends).into_iter().filter_map(Result::err).try_for_each(|error| error.noted_in(failed))
    }

    /// A decision for each page of a cohort's members, and how many there are on it.
    fn forgetting(
        &self,
        window: &Key<WindowRow>,
    ) -> Result<Vec<(usize, Decision<'static, ()>)>, IssuerError> {
        let (merchant, cohort) = (merchant_of(window)?, cohort_of(window)?);
        let mut pages = self.pages(members_prefix(&merchant, cohort), PAGE);
        let mut decisions = Vec::new();
        while let Some(page) = pages.next()? {
            let members: Vec<Key<MemberRow>> = page.iter().map(|member| member.key.clone()).collect();
            let orders = page.iter().map(|member| Ok(order_key(&merchant, member.row()?.handle)));
            let orders: Vec<Key<OrderRow>> = orders.collect::<Result<_, StoreError>>()?;
            let (count, grants_at) = (members.len(), grants_key(&merchant, cohort));
            let reads = (orders.clone(), members.clone(), grants_at.clone());
            let forget = Decision::new(reads, move |(rows, there, grants), change| {
                let mut forgotten = 0u64;
                for ((order_at, order), (member_at, member)) in
                    orders.iter().zip(rows).zip(members.iter().zip(there))
                {
                    // Another tick was faster.
                    if member.is_none() {
                        continue;
                    }
                    let order = order.ok_or(StoreError::Corrupt(MemberRow::NAME))?;
                    change.put(order_at, &OrderRow { grant: Some(Granted::Over), ..order });
                    change.delete(member_at);
                    forgotten += 1;
                }
                if let Some(GrantsRow { grants }) = grants {
                    change.put(&grants_at, &GrantsRow { grants: grants.saturating_add(forgotten) });
                }
                Ok(())
            });
            decisions.push((count, forget));
        }
        Ok(decisions)
    }
}
