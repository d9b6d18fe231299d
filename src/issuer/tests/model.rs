//! What the order side should do, said with maps and loops; nothing is shared with the service but the
//! messages. The issuer's fuzz target takes this file too: what it names comes from where it is taken.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

/// Accounts that begin with a tilde are not of standing.
pub(crate) const ACCOUNTS: [&str; 6] = ["ann", "ben", "cid", "dot", "~eve", "~fay"];
pub(crate) const MERCHANTS: [&str; 2] = ["m", "mm"];
/// Each with its k.
pub(crate) const CLASSES: [(u8, u32); 2] = [(0, 3), (7, 2)];

/// Merchant, order.
pub(crate) type Id = (usize, u8);

#[derive(Clone)]
pub(crate) struct Order {
    pub(crate) account: usize,
    class: usize,
    due: Timestamp,
    pub(crate) dead: Option<Timestamp>,
    /// Where, to which wallet, with which of its commitments.
    pub(crate) grant: Option<(Scope, u8, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Open,
    Sealed,
    Closed,
    Dropped,
}

#[derive(Clone)]
struct Cohort {
    merchant: usize,
    class: usize,
    /// The midnight after its opening.
    opened_by: Timestamp,
    state: State,
}

#[derive(Clone, Default)]
pub(crate) struct Model {
    /// The live wallet, and the midnight after its enrolment.
    pub(crate) accounts: BTreeMap<usize, (u8, Timestamp)>,
    /// Whose a wallet was first; nobody's (`None`) once that account was erased.
    pub(crate) owners: BTreeMap<u8, Option<usize>>,
    pub(crate) orders: BTreeMap<Id, Order>,
    cohorts: BTreeMap<Scope, Cohort>,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) retired: BTreeSet<[u8; 32]>,
    tags: BTreeMap<Id, Vec<u8>>,
    pub(crate) closed: BTreeSet<Scope>,
    pub(crate) confirmed: BTreeSet<Scope>,
    windows: BTreeMap<Scope, Timestamp>,
    /// The cohorts whose windows have ended.
    over: BTreeSet<Scope>,
    worked_off: Option<Timestamp>,
}

fn midnight_after(time: Timestamp) -> Timestamp {
    Timestamp::from_unix_seconds((time.as_unix_seconds() / DAY + 1) * DAY)
}

/// Seconds since the last boundary.
fn since_boundary(time: Timestamp) -> u64 {
    (time.as_unix_seconds() - MONDAY.as_unix_seconds()) % WEEK
}

fn merchant_number(merchant: &Name) -> usize {
    MERCHANTS.iter().position(|text| name(text) == *merchant).unwrap()
}

pub(crate) fn handle((merchant, order): Id) -> OrderHandle {
    OrderHandleKey::derive(&SecretBytes::new([5; 32]), &name(MERCHANTS[merchant])).handle(&[order])
}

impl Model {
    pub(crate) fn enrol(&mut self, account: usize, wallet: u8, now: Timestamp) -> &'static str {
        if self.owners.get(&wallet).is_some_and(|owner| *owner != Some(account)) {
            return "issuer.wallet_key_taken";
        }
        match self.accounts.get(&account) {
            Some((live, _)) if *live == wallet => return "done",
            Some((_, by)) if now < by.saturating_add(10 * DAY) => return "issuer.re_enrolment_too_early",
            _ => {}
        }
        self.accounts.insert(account, (wallet, midnight_after(now)));
        self.owners.insert(wallet, Some(account));
        "done"
    }

    pub(crate) fn erase(&mut self, account: usize) {
        self.accounts.remove(&account);
        let owned = self.owners.values_mut().filter(|owner| **owner == Some(account));
        owned.for_each(|owner| *owner = None);
    }

    pub(crate) fn report(
        &mut self,
        id: Id,
        account: usize,
        class: usize,
        due: Timestamp,
        now: Timestamp,
    ) -> &'static str {
        match self.orders.get(&id) {
            _ if due > now.saturating_add(366 * DAY) => "issuer.time_out_of_range",
            Some(old) if (old.account, old.class, old.due) == (account, class, due) => "done",
            Some(_) => "issuer.order_differs",
            None if due > now => "issuer.not_due",
            None => {
                self.orders.insert(id, Order { account, class, due, dead: None, grant: None });
                "done"
            }
        }
    }

    pub(crate) fn numbers_dead(&mut self, id: Id, at: Timestamp, now: Timestamp) -> &'static str {
        match self.orders.get_mut(&id) {
            _ if at > now.saturating_add(366 * DAY) => "issuer.time_out_of_range",
            None => "issuer.unknown_order",
            Some(Order { dead: Some(said), .. }) if *said != at => "issuer.numbers_dead_differs",
            Some(order) => {
                order.dead = Some(at);
                "done"
            }
        }
    }

    /// The orders of a merchant whose numbers may still ring.
    pub(crate) fn ringing(&self, merchant: usize) -> Vec<Id> {
        let ringing = self.orders.iter().filter(|(id, order)| id.0 == merchant && order.dead.is_none());
        ringing.map(|(id, _)| *id).collect()
    }

    pub(crate) fn offered(
        &mut self,
        id: Id,
        account: usize,
        answer: Result<Offer, IssuerError>,
        newest: [u8; 32],
        now: Timestamp,
    ) {
        let Some(order) = self.orders.get(&id) else {
            return assert_eq!(code(answer), "issuer.unknown_order");
        };
        if order.account != account {
            return assert_eq!(code(answer), "issuer.order_of_another_account");
        }
        if order.grant.as_ref().is_some_and(|(granted, ..)| self.over.contains(granted)) {
            return assert_eq!(code(answer), "issuer.window_over");
        }
        let offer = answer.unwrap();
        assert_eq!(offer.handle, handle(id));
        assert!(offer.scope.is_of(&offer.issuer_key));
        let scope = offer.scope;
        if let Some((granted, ..)) = &order.grant {
            return assert_eq!(&scope, granted);
        }
        let class = order.class;
        let is_open =
            |cohort: &Cohort| cohort.state == State::Open && (cohort.merchant, cohort.class) == (id.0, class);
        let open = self.cohorts.iter().find(|(_, cohort)| is_open(cohort)).map(|(scope, _)| scope.clone());
        match open {
            Some(open) if !self.retired.contains(open.key_id()) => return assert_eq!(scope, open),
            Some(left) => self.cohorts.get_mut(&left).unwrap().state = State::Sealed,
            None => {}
        }
        assert_eq!(*scope.key_id(), newest);
        let cohort = Cohort { merchant: id.0, class, opened_by: midnight_after(now), state: State::Open };
        assert!(self.cohorts.insert(scope.clone(), cohort).is_none(), "a number was used twice");
        self.scopes.push(scope);
    }

    pub(crate) fn grant(
        &mut self,
        id: Id,
        (account, wallet): (usize, u8),
        variant: u64,
        scope: &Scope,
    ) -> &'static str {
        // A handle is one merchant's: at another's there is no such order.
        if scope.merchant() != &name(MERCHANTS[id.0]) {
            return "issuer.unknown_order";
        }
        let Some(order) = self.orders.get_mut(&id) else { return "issuer.unknown_order" };
        if order.account != account {
            return "issuer.order_of_another_account";
        }
        let asked = (scope.clone(), wallet, variant);
        let is_over = order.grant.as_ref().is_some_and(|(granted, ..)| self.over.contains(granted));
        let is_earlier_wallets_retry = !is_over
            && order.grant.as_ref() == Some(&asked)
            && self.owners.get(&wallet) == Some(&Some(account));
        match self.accounts.get(&account) {
            None => return "issuer.not_enrolled",
            Some((live, _)) if *live != wallet && !is_earlier_wallets_retry => {
                return "issuer.proof_refused";
            }
            _ => {}
        }
        match &order.grant {
            Some(_) if is_over => return "issuer.window_over",
            Some(granted) if *granted == asked => return "done",
            Some(_) => return "issuer.already_granted",
            None => {}
        }
        if self.retired.contains(scope.key_id()) {
            return "issuer.retired_key";
        }
        let cohort = &self.cohorts[scope];
        match cohort.state {
            State::Open if cohort.class == order.class => {}
            State::Open | State::Dropped => return "issuer.wrong_scope",
            State::Sealed | State::Closed => return "issuer.cohort_closed",
        }
        order.grant = Some(asked);
        "done"
    }

    /// Of every grant for an order: it is one token.
    pub(crate) fn granted(&mut self, id: Id, tag: Vec<u8>) {
        assert_eq!(*self.tags.entry(id).or_insert(tag.clone()), tag, "an order has two tokens");
    }

    fn members<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = (Id, &'a Order)> {
        let holds = move |order: &Order| order.grant.as_ref().is_some_and(|(granted, ..)| granted == scope);
        self.orders.iter().filter(move |(_, order)| holds(order)).map(|(id, order)| (*id, order))
    }

    fn of_standing(&self, scope: &Scope) -> usize {
        let accounts = self.members(scope).map(|(_, order)| order.account);
        accounts.filter(|account| !ACCOUNTS[*account].starts_with('~')).collect::<BTreeSet<_>>().len()
    }

    /// Works off the boundary, and checks what the tick reported.
    pub(crate) fn ticked(&mut self, report: &IssuerReport, platform: &PlatformKey, now: Timestamp) {
        let boundary = Timestamp::from_unix_seconds(now.as_unix_seconds() - since_boundary(now));
        let fresh = self.worked_off.is_none_or(|done| done < boundary);
        self.worked_off = Some(boundary);
        let (mut starving, mut overdue, mut changes) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for (scope, cohort) in &self.cohorts {
            let (class, k) = CLASSES[cohort.class];
            let (count, members) = (self.of_standing(scope), self.members(scope).collect::<Vec<_>>());
            let mut state = cohort.state;
            let old = fresh && cohort.opened_by.saturating_add(3 * DAY) <= boundary;
            if state == State::Open
                && fresh
                && (old && count >= k as usize || self.retired.contains(scope.key_id()))
            {
                state = State::Sealed;
            }
            let hungry = count < k as usize
                && (cohort.opened_by.saturating_add(5 * WEEK) <= now || state == State::Sealed);
            match state {
                State::Sealed if members.is_empty() && fresh => state = State::Dropped,
                State::Sealed if members.is_empty() => {}
                State::Open | State::Sealed if hungry => {
                    starving.insert((cohort.merchant, scope.cohort(), class, count as u32));
                }
                State::Sealed => {
                    let late =
                        |order: &Order| order.dead.is_none() && order.due.saturating_add(2 * WEEK) <= now;
                    overdue.extend(
                        members.iter().filter(|(_, order)| late(order)).map(|(id, _)| (id.0, handle(*id))),
                    );
                    if old && members.iter().all(|(_, order)| order.dead.is_some()) {
                        state = State::Closed;
                    }
                }
                _ => {}
            }
            changes.push((scope.clone(), state));
        }
        for (scope, state) in changes {
            self.cohorts.get_mut(&scope).unwrap().state = state;
        }
        let found: BTreeSet<_> = report
            .starving
            .iter()
            .map(|s| (merchant_number(&s.merchant), s.cohort, s.class, s.of_standing))
            .collect();
        assert_eq!(found, starving);
        let found: BTreeSet<_> =
            report.numbers_overdue.iter().map(|(name, handle)| (merchant_number(name), *handle)).collect();
        assert_eq!(found, overdue);
        self.manifests(report, platform, fresh.then_some(boundary));
        self.over
            .extend(self.windows.iter().filter(|(_, end)| **end <= boundary).map(|(scope, _)| scope.clone()));
    }

    fn manifests(&mut self, report: &IssuerReport, platform: &PlatformKey, boundary: Option<Timestamp>) {
        let mut reported = BTreeSet::new();
        for signed in &report.manifests {
            let manifest = signed.verify(&platform.public()).unwrap();
            let cohort = &self.cohorts[&manifest.scope];
            let least = CLASSES.map(|(_, k)| k).into_iter().min().unwrap();
            assert_eq!((cohort.state, manifest.at_least), (State::Closed, least), "the class shows");
            let (_, k) = CLASSES[cohort.class];
            assert!(self.of_standing(&manifest.scope) >= k as usize, "closed below k");
            let first = manifest.publications.first();
            if self.closed.insert(manifest.scope.clone()) {
                assert!(boundary.is_some(), "closed between boundaries");
            }
            assert_eq!(manifest.publications, PublicationDates::starting(first).unwrap());
            assert_eq!(since_boundary(first), 0);
            let last = self.members(&manifest.scope).map(|(_, order)| order.dead.unwrap()).max().unwrap();
            assert!(last < first, "published while a number may ring");
            self.windows.insert(manifest.scope.clone(), manifest.publications.last());
            reported.insert(manifest.scope.clone());
        }
        let closed =
            self.cohorts.iter().filter(|(_, cohort)| cohort.state == State::Closed).map(|(scope, _)| scope);
        let expected: BTreeSet<_> =
            closed.filter(|scope| !self.confirmed.contains(*scope)).cloned().collect();
        assert_eq!(reported, expected);
    }
}
