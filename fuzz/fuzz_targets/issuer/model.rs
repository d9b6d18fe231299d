//! What the order side should do, said with maps and loops.

use crate::{ACCOUNTS, CLASSES, Id, MERCHANTS, MONDAY};
use std::collections::{BTreeMap, BTreeSet};
use unjoin::issuer::{IssuerError, IssuerReport};
use unjoin::secret::SecretBytes;
use unjoin::token::{Offer, OrderHandle, OrderHandleKey, Scope};
use unjoin::{DAY, Name, WEEK};
use unjoin_fuzz::pool::{KEYS, name};

#[derive(Clone)]
pub(crate) struct Order {
    pub(crate) account: usize,
    pub(crate) class: usize,
    pub(crate) due: u64,
    pub(crate) dead: Option<u64>,
    pub(crate) grant: Option<(Scope, u8)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum State {
    Open,
    Sealed,
    Closed,
    Dropped,
}

#[derive(Clone)]
pub(crate) struct Cohort {
    pub(crate) merchant: usize,
    pub(crate) class: usize,
    /// The midnight after its opening.
    pub(crate) opened_by: u64,
    pub(crate) state: State,
}

#[derive(Clone, Default)]
pub(crate) struct Model {
    /// The live wallet, and the midnight after its enrolment.
    pub(crate) accounts: BTreeMap<usize, (u8, u64)>,
    /// Whose a wallet was first; nobody's (`None`) once that account was erased.
    pub(crate) owners: BTreeMap<u8, Option<usize>>,
    pub(crate) orders: BTreeMap<Id, Order>,
    pub(crate) cohorts: BTreeMap<Scope, Cohort>,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) retired: BTreeSet<[u8; 32]>,
    pub(crate) tags: BTreeMap<Id, [u8; 64]>,
    pub(crate) closed: BTreeSet<Scope>,
    pub(crate) confirmed: BTreeSet<Scope>,
    pub(crate) worked_off: Option<u64>,
}

pub(crate) fn code<T>(answer: Result<T, IssuerError>) -> &'static str {
    answer.map_or_else(|error| error.code(), |_| "done")
}

pub(crate) fn midnight_after(time: u64) -> u64 {
    (time / DAY + 1) * DAY
}

pub(crate) fn handle((merchant, order): Id) -> OrderHandle {
    OrderHandleKey::derive(&SecretBytes::new([5; 32]), &name(MERCHANTS[merchant])).handle(&[order])
}

impl Model {
    pub(crate) fn enrol(&mut self, account: usize, wallet: u8, now: u64) -> &'static str {
        if self.owners.get(&wallet).is_some_and(|owner| *owner != Some(account)) {
            return "issuer.wallet_key_taken";
        }
        match self.accounts.get(&account) {
            Some((live, _)) if *live == wallet => return "done",
            Some((_, by)) if now < by + 10 * DAY => return "issuer.re_enrolment_too_early",
            _ => {}
        }
        self.accounts.insert(account, (wallet, midnight_after(now)));
        self.owners.insert(wallet, Some(account));
        "done"
    }

    pub(crate) fn offered(
        &mut self,
        id: Id,
        account: usize,
        answer: Result<Offer, IssuerError>,
        newest: [u8; 32],
        now: u64,
    ) {
        let Some(order) = self.orders.get(&id) else {
            return assert_eq!(code(answer), "issuer.unknown_order");
        };
        if order.account != account {
            return assert_eq!(code(answer), "issuer.order_of_another_account");
        }
        let offer = answer.unwrap();
        assert_eq!(offer.handle, handle(id));
        assert!(offer.scope.is_of(&offer.issuer_key));
        let scope = offer.scope;
        if let Some((granted, _)) = &order.grant {
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

    pub(crate) fn grant(&mut self, id: Id, account: usize, wallet: u8, scope: &Scope) -> &'static str {
        // A handle is one merchant's: at another's there is no such order.
        if scope.merchant() != &name(MERCHANTS[id.0]) {
            return "issuer.unknown_order";
        }
        let Some(order) = self.orders.get_mut(&id) else { return "issuer.unknown_order" };
        if order.account != account {
            return "issuer.order_of_another_account";
        }
        match self.accounts.get(&account) {
            None => return "issuer.not_enrolled",
            Some((live, _)) if *live != wallet => return "issuer.proof_refused",
            _ => {}
        }
        match &order.grant {
            Some(granted) if *granted == (scope.clone(), wallet) => return "done",
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
        order.grant = Some((scope.clone(), wallet));
        "done"
    }

    pub(crate) fn members<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = (Id, &'a Order)> {
        let holds = move |order: &Order| order.grant.as_ref().is_some_and(|(granted, _)| granted == scope);
        self.orders.iter().filter(move |(_, order)| holds(order)).map(|(id, order)| (*id, order))
    }

    pub(crate) fn of_standing(&self, scope: &Scope) -> usize {
        let accounts = self.members(scope).map(|(_, order)| order.account);
        accounts.filter(|account| !ACCOUNTS[*account].starts_with('~')).collect::<BTreeSet<_>>().len()
    }

    /// Works off the boundary, and checks what the tick reported.
    pub(crate) fn ticked(&mut self, report: &IssuerReport, now: u64) {
        let boundary = now - (now - MONDAY) % WEEK;
        let fresh = self.worked_off.is_none_or(|done| done < boundary);
        self.worked_off = Some(boundary);
        let (mut starving, mut overdue, mut changes) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for (scope, cohort) in &self.cohorts {
            let (class, k) = CLASSES[cohort.class];
            let (count, members) = (self.of_standing(scope), self.members(scope).collect::<Vec<_>>());
            let mut state = cohort.state;
            let old = fresh && cohort.opened_by + 3 * DAY <= boundary;
            if state == State::Open
                && fresh
                && (old && count >= k as usize || self.retired.contains(scope.key_id()))
            {
                state = State::Sealed;
            }
            let hungry = count < k as usize && (cohort.opened_by + 5 * WEEK <= now || state == State::Sealed);
            match state {
                State::Sealed if members.is_empty() && fresh => state = State::Dropped,
                State::Sealed if members.is_empty() => {}
                State::Open | State::Sealed if hungry => {
                    starving.insert((scope.clone(), class, count as u32));
                }
                State::Sealed => {
                    let late = |order: &Order| order.dead.is_none() && order.due + 2 * WEEK <= now;
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
        let merchant = |name: &Name| name.as_bytes().len() - 1;
        let of = |scope: &Scope| (merchant(scope.merchant()), scope.cohort());
        let found: BTreeSet<_> = report
            .starving
            .iter()
            .map(|s| (merchant(&s.merchant), s.cohort, s.class, s.of_standing))
            .collect();
        let starving: BTreeSet<_> =
            starving.iter().map(|(s, class, count)| (of(s).0, of(s).1, *class, *count)).collect();
        assert_eq!(found, starving);
        let found: BTreeSet<_> =
            report.numbers_overdue.iter().map(|(name, handle)| (merchant(name), *handle)).collect();
        assert_eq!(found, overdue);
        self.manifests(report, fresh.then_some(boundary));
    }

    pub(crate) fn manifests(&mut self, report: &IssuerReport, boundary: Option<u64>) {
        let mut reported = BTreeSet::new();
        for signed in &report.manifests {
            let manifest = signed.verify(&KEYS.platform.public()).unwrap();
            let cohort = &self.cohorts[&manifest.scope];
            assert_eq!((cohort.state, manifest.at_least), (State::Closed, CLASSES[cohort.class].1));
            assert!(self.of_standing(&manifest.scope) >= manifest.at_least as usize, "closed below k");
            let closed_at = manifest.closed_at.as_unix_seconds();
            if self.closed.insert(manifest.scope.clone()) {
                assert_eq!(Some(closed_at), boundary, "closed between boundaries");
            }
            let (first, end) =
                (manifest.first_publication.as_unix_seconds(), manifest.window_end.as_unix_seconds());
            for time in [closed_at, first, end] {
                assert_eq!((time - MONDAY) % WEEK, 0);
            }
            let last = self.members(&manifest.scope).map(|(_, order)| order.dead.unwrap()).max().unwrap();
            let said = manifest.numbers_dead_at.as_unix_seconds();
            assert!(last <= said && said < first, "published while a number may ring");
            assert!(first - closed_at.max(last) <= WEEK, "published too late");
            assert_eq!(end, (closed_at + 4 * WEEK).max(first + WEEK));
            reported.insert(manifest.scope.clone());
        }
        let closed =
            self.cohorts.iter().filter(|(_, cohort)| cohort.state == State::Closed).map(|(scope, _)| scope);
        let expected: BTreeSet<_> =
            closed.filter(|scope| !self.confirmed.contains(*scope)).cloned().collect();
        assert_eq!(reported, expected);
    }
}
