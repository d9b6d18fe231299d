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
    /// When its numbers are dead, and from when on it is eligible.
    pub(crate) ended: Option<(Timestamp, Timestamp)>,
    /// Where, to which wallet, with which of its commitments.
    pub(crate) grant: Option<(Scope, u8, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Open,
    /// It takes no grants and is not sealed.
    Aside,
    Sealed,
    /// Without a manifest.
    Ended,
}

#[derive(Clone)]
struct Cohort {
    merchant: usize,
    class: usize,
    /// The midnight after its opening.
    opened_by: Timestamp,
    state: State,
    /// In days.
    age: u64,
    /// How many customers of standing were counted in it.
    counted: usize,
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
    pub(crate) sealed: BTreeSet<Scope>,
    pub(crate) confirmed: BTreeSet<Scope>,
    windows: BTreeMap<Scope, Timestamp>,
    /// Of each merchant and class, what was counted at each boundary.
    counted: BTreeMap<(usize, usize), Vec<(Timestamp, usize)>>,
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

impl Order {
    fn is_eligible(&self, now: Timestamp) -> bool {
        self.ended.is_some_and(|(_, eligible)| eligible <= now)
    }
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
            Some(old) if (old.account, old.due) != (account, due) => "issuer.order_differs",
            Some(old) if old.class == class => "done",
            Some(old) if old.is_eligible(now) => "issuer.order_differs",
            None if due > now => "issuer.not_due",
            _ => {
                let new = Order { account, class, due, ended: None, grant: None };
                self.orders.entry(id).or_insert(new).class = class;
                "done"
            }
        }
    }

    pub(crate) fn numbers_dead(&mut self, id: Id, at: Timestamp, now: Timestamp) -> &'static str {
        match self.orders.get_mut(&id) {
            _ if at > now.saturating_add(366 * DAY) => "issuer.time_out_of_range",
            None => "issuer.unknown_order",
            Some(Order { ended: Some((said, _)), .. }) if *said != at => "issuer.numbers_dead_differs",
            Some(order) => {
                order.ended.get_or_insert((at, at.max(now)));
                "done"
            }
        }
    }

    /// The orders of a merchant whose numbers may still ring.
    pub(crate) fn ringing(&self, merchant: usize) -> Vec<Id> {
        let ringing = self.orders.iter().filter(|(id, order)| id.0 == merchant && order.ended.is_none());
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
        if order.grant.is_none() && !order.is_eligible(now) {
            return assert_eq!(code(answer), "issuer.not_eligible");
        }
        let open = self.open(id.0, order.class).filter(|open| !self.retired.contains(open.key_id()));
        if order.grant.is_none() && open.is_some_and(|open| self.is_member(account, &open)) {
            return assert_eq!(code(answer), "issuer.later");
        }
        let offer = answer.unwrap();
        assert_eq!(offer.handle, handle(id));
        assert!(offer.scope.is_of(&offer.issuer_key));
        let scope = offer.scope;
        if let Some((granted, ..)) = &order.grant {
            return assert_eq!(&scope, granted);
        }
        let class = order.class;
        match self.open(id.0, class) {
            Some(open) if !self.retired.contains(open.key_id()) => return assert_eq!(scope, open),
            Some(left) => self.cohorts.get_mut(&left).unwrap().state = State::Aside,
            None => {}
        }
        assert_eq!(*scope.key_id(), newest);
        let cohort = Cohort {
            merchant: id.0,
            class,
            opened_by: midnight_after(now),
            state: State::Open,
            age: 0,
            counted: 0,
        };
        assert!(self.cohorts.insert(scope.clone(), cohort).is_none(), "a number was used twice");
        self.scopes.push(scope);
    }

    fn open(&self, merchant: usize, class: usize) -> Option<Scope> {
        let is_open = |cohort: &Cohort| {
            cohort.state == State::Open && (cohort.merchant, cohort.class) == (merchant, class)
        };
        self.cohorts.iter().find(|(_, cohort)| is_open(cohort)).map(|(scope, _)| scope.clone())
    }

    fn is_member(&self, account: usize, scope: &Scope) -> bool {
        self.members(scope).any(|(_, order)| order.account == account)
    }

    pub(crate) fn grant(
        &mut self,
        id: Id,
        (account, wallet): (usize, u8),
        variant: u64,
        scope: &Scope,
        now: Timestamp,
    ) -> &'static str {
        // A handle is one merchant's: at another's there is no such order.
        if scope.merchant() != &name(MERCHANTS[id.0]) {
            return "issuer.unknown_order";
        }
        let Some(order) = self.orders.get(&id) else { return "issuer.unknown_order" };
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
            None if !order.is_eligible(now) => return "issuer.not_eligible",
            None => {}
        }
        if self.retired.contains(scope.key_id()) {
            return "issuer.retired_key";
        }
        let cohort = &self.cohorts[scope];
        match cohort.state {
            State::Open if cohort.class == order.class => {}
            State::Open | State::Ended => return "issuer.wrong_scope",
            State::Aside | State::Sealed => return "issuer.cohort_closed",
        }
        if self.is_member(account, scope) {
            return "issuer.later";
        }
        self.orders.get_mut(&id).unwrap().grant = Some(asked);
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

    /// Counted grants of 60 days: the least of the last three periods that are complete at a boundary. Three
    /// of 6,000 were stated on the first day.
    fn slowest(&self, class: (usize, usize), boundary: Timestamp) -> usize {
        const PERIOD: u64 = 60 * DAY;
        let complete = boundary.saturating_sub(1).saturating_since(MONDAY) / PERIOD;
        let events = self.counted.get(&class).map(Vec::as_slice).unwrap_or_default();
        let period_of = |at: Timestamp| at.saturating_sub(1).saturating_since(MONDAY) / PERIOD;
        let of = |period: u64| {
            events
                .iter()
                .filter(|(at, _)| period_of(*at) == period)
                .map(|(_, counted)| counted)
                .sum::<usize>()
        };
        let stated = [6000; 3].into_iter().chain((0..complete).map(of));
        stated.rev().take(3).min().unwrap()
    }

    fn seals(&self, cohort: &Cohort, crowd: usize, boundary: Timestamp) -> bool {
        let (_, k) = CLASSES[cohort.class];
        let (r, k) = (self.slowest((cohort.merchant, cohort.class), boundary) as f64 / 60.0, f64::from(k));
        let (age, order_days) = (cohort.age as f64, crowd as f64 * cohort.age as f64);
        crowd as f64 >= k
            && age >= 30f64.min(5.0 / r) - 1e-9
            && order_days >= 300f64.min((3.0 * k).max(300.0 / r)) - 1e-9
    }

    /// Works off the boundary, and checks what the tick reported.
    pub(crate) fn ticked(&mut self, report: &IssuerReport, platform: &PlatformKey, now: Timestamp) {
        let boundary = Timestamp::from_unix_seconds(now.as_unix_seconds() - since_boundary(now));
        let fresh = self.worked_off.is_none_or(|done| done < boundary);
        self.worked_off = Some(boundary);
        let mut starving = BTreeSet::new();
        for (scope, mut cohort) in self.cohorts.clone() {
            if !matches!(cohort.state, State::Open | State::Aside) {
                continue;
            }
            let (class, k) = CLASSES[cohort.class];
            let (crowd, grants) = (self.of_standing(&scope), self.members(&scope).count());
            if cohort.opened_by.saturating_add(5 * WEEK) <= now && crowd < k as usize {
                starving.insert((cohort.merchant, scope.cohort(), class, crowd as u32));
            }
            if !fresh {
                continue;
            }
            let counted = self.counted.entry((cohort.merchant, cohort.class)).or_default();
            counted.push((boundary, crowd - cohort.counted));
            cohort.counted = crowd;
            if crowd > 0 {
                cohort.age += if cohort.age == 0 { 1 } else { 7 };
            }
            let takes_grants = cohort.state == State::Open && !self.retired.contains(scope.key_id());
            if grants == 0 && !takes_grants {
                cohort.state = State::Ended;
            } else if self.seals(&cohort, crowd, boundary) {
                cohort.state = State::Sealed;
            } else if cohort.opened_by.saturating_add(400 * DAY) <= boundary {
                cohort.state = State::Ended;
                self.windows.insert(scope.clone(), boundary);
            }
            self.cohorts.insert(scope, cohort);
        }
        let found: BTreeSet<_> = report
            .starving
            .iter()
            .map(|s| (merchant_number(&s.merchant), s.cohort, s.class, s.of_standing))
            .collect();
        assert_eq!(found, starving);
        let late = |order: &Order| order.ended.is_none() && order.due.saturating_add(2 * WEEK) <= now;
        let overdue = self.orders.iter().filter(|(_, order)| late(order)).map(|(id, _)| (id.0, handle(*id)));
        let found: BTreeSet<_> =
            report.numbers_overdue.iter().map(|(name, handle)| (merchant_number(name), *handle)).collect();
        assert_eq!(found, overdue.collect());
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
            assert_eq!((cohort.state, manifest.at_least), (State::Sealed, least), "the class shows");
            let (_, k) = CLASSES[cohort.class];
            assert!(self.of_standing(&manifest.scope) >= k as usize, "sealed below k");
            let first = manifest.publications.first();
            if self.sealed.insert(manifest.scope.clone()) {
                assert!(boundary.is_some(), "sealed between boundaries");
            }
            assert_eq!(manifest.publications, PublicationDates::starting(first).unwrap());
            assert_eq!(since_boundary(first), 0);
            for (_, order) in self.members(&manifest.scope) {
                assert!(order.ended.unwrap().0 < first, "published while a number may ring");
            }
            let accounts = self.members(&manifest.scope).map(|(_, order)| order.account);
            let accounts: Vec<usize> = accounts.collect();
            assert_eq!(
                accounts.iter().collect::<BTreeSet<_>>().len(),
                accounts.len(),
                "an account is in twice"
            );
            self.windows.insert(manifest.scope.clone(), manifest.publications.last());
            reported.insert(manifest.scope.clone());
        }
        let sealed =
            self.cohorts.iter().filter(|(_, cohort)| cohort.state == State::Sealed).map(|(scope, _)| scope);
        let expected: BTreeSet<_> =
            sealed.filter(|scope| !self.confirmed.contains(*scope)).cloned().collect();
        assert_eq!(reported, expected);
    }
}
