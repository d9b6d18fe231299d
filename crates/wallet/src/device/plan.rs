//! What is due, and when the rest is.

use super::order::{Acting, Order, Right, Wish};
use super::{Action, Asked, Device, InFlight, Request, Task};
use crate::order::OrderContext;
use crate::times::{acting_time, sending_time};
use crate::{SENDING_MARGIN, TrustRoots, Wallet, asking_time, fetching_time, making_up_time};
use rand_core::CryptoRng;
use unjoin_core::secret::below;
use unjoin_core::token::{DoorMessage, DoorQuestion, EnrolmentContext, OrderHandle, Review, Scope};
use unjoin_core::wire::Message;
use unjoin_core::{DAY, Name, Timestamp};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
/// Seconds between what passes the door and whatever else is sent.
pub(super) const APART: u64 = 30 * MINUTE;
/// What passes the door is sent within so many seconds of its time, or at another time. A review that is sent so late
/// is still sent before its boundary.
pub(super) const PUNCTUAL: u64 = SENDING_MARGIN;
/// What is not answered within so many seconds is lost.
pub(super) const ANSWERED_WITHIN: u64 = 10 * MINUTE;
/// So many seconds after a boundary the ledger shows what was published at it, under its witnesses' checkpoint.
pub(super) const LOGGED_WITHIN: u64 = 2 * HOUR;
/// After so many failures a bundle is not asked for again: gateways keep the last ones only.
pub(super) const LOOKS: u8 = 12;
/// A clock that went back by more was set.
const CLOCK_SET: u64 = HOUR;

/// Where a task is kept.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Enrolment,
    Fetch,
    Order(usize),
}

impl Asked {
    fn carries_account(self) -> bool {
        matches!(self, Self::Nonce | Self::Enrolment | Self::Offer | Self::Grant)
    }
}

impl Device {
    /// What to send now, and when to ask again: sorted by time, what is due first, each with its earliest time.
    ///
    /// Seal and store the device, then send what is due, each once, whatever becomes of it; tell
    /// [`handle`](Self::handle) of every answer. What is not answered in ten minutes, or over a restart, counts as
    /// lost. It is sent again later, in the same bytes where it matters. At most one request an order is under way,
    /// and at most one in half an hour passes the door.
    pub fn next(&mut self, now: Timestamp, rng: &mut (impl CryptoRng + ?Sized)) -> Vec<Action> {
        self.notice(now);
        for order in self.orders.iter_mut().filter(|order| order.sending.is_none() && order.gone.is_none()) {
            // Refused where a key is no longer pinned: there may be a newer app next time.
            let _ = order.present(&self.wallet, &self.trust, rng);
        }
        let is_late = |flight: &InFlight| now >= flight.since.saturating_add(ANSWERED_WITHIN);
        for place in self.places() {
            if self.task(place).is_some_and(|task| task.in_flight.as_ref().is_some_and(is_late)) {
                self.lose(place);
            }
        }
        let mut needs = self.needs();
        for &(place, asked) in &needs {
            if self.task(place).is_some_and(|task| task.at.is_none()) {
                self.draw(place, asked, false, now, rng);
            }
        }
        needs = by_time(needs, |(place, _)| self.at(*place).map_or(0, Timestamp::as_unix_seconds));
        let mut actions = Vec::new();
        // The door first: it has deadlines, and what carries the account would close it.
        let (account, door): (Vec<_>, Vec<_>) =
            needs.into_iter().partition(|(_, asked)| asked.carries_account());
        for (place, asked) in door.into_iter().chain(account) {
            let Some(at) = self.at(place).filter(|at| *at <= now) else { continue };
            if self.must_wait(place, asked, at, now, rng) {
                continue;
            }
            if let Some(request) = self.request(place, asked, now, rng) {
                let number = (rng.next_u32()).max(1);
                if let Some(task) = self.task_mut(place) {
                    task.in_flight = Some(InFlight { number, since: now, asked });
                    task.at = None;
                }
                let last = if asked.carries_account() { &mut self.account_at } else { &mut self.door_at };
                *last = Some(now);
                actions.push(Action { number, at, request: Some(request) });
            }
        }
        actions = by_time(actions, |action| action.at.as_unix_seconds());
        actions.extend(by_time(self.coming(), |action| action.at.as_unix_seconds()));
        actions
    }

    /// What is not due, with its time; and when answers count as lost.
    pub(super) fn coming(&self) -> Vec<Action> {
        let needed = self.needs().into_iter().filter_map(|(place, _)| self.at(place));
        let flights = self.places().into_iter().filter_map(|place| self.task(place)?.in_flight.as_ref());
        let lost = flights.map(|flight| flight.since.saturating_add(ANSWERED_WITHIN));
        needed.chain(lost).map(|at| Action { number: 0, at, request: None }).collect()
    }

    /// Puts off what must not be sent at `now`, though its time has come.
    fn must_wait(
        &mut self,
        place: Place,
        asked: Asked,
        at: Timestamp,
        now: Timestamp,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> bool {
        let near = |last: Option<Timestamp>| last.is_some_and(|last| now.saturating_since(last) < APART);
        if !asked.carries_account() {
            let free = !near(self.account_at) && !near(self.door_at);
            let punctual = now.saturating_since(at) <= PUNCTUAL;
            if !(free && punctual) {
                self.draw(place, asked, true, now, rng);
            }
            return !(free && punctual);
        }
        if let Some(door) = self.door_at.filter(|_| near(self.door_at)) {
            let at = door.saturating_add(APART + below(HOUR, rng));
            if let Some(task) = self.task_mut(place) {
                task.at = Some(at);
            }
            return true;
        }
        // An order's time that was missed is made up once; after that the first waking is as good as any: that an account
        // is online tells nothing of a review.
        match self.order_mut(place) {
            Some(Order { right: Right::Missing { made_up, .. }, task, .. })
                if !*made_up && now.saturating_since(at) > PUNCTUAL =>
            {
                (*made_up, task.at) = (true, Some(making_up_time(now, rng)));
                true
            }
            _ => false,
        }
    }

    /// Draws the task's time. `missed` when one was not kept. Then, and after a failure, it lies at least an hour ahead
    /// for what passes the door, or at least half an hour where else nothing is left.
    fn draw(
        &mut self,
        place: Place,
        asked: Asked,
        missed: bool,
        now: Timestamp,
        rng: &mut (impl CryptoRng + ?Sized),
    ) {
        let grid = self.trust.grid();
        let failed = self.task(place).map_or(0, |task| task.failed);
        let again = missed || failed > 0;
        // The fifth failure and those after it wait for up to a day.
        let hours_later = |rng: &mut _| {
            let hours = if failed > 4 { 23 } else { 5 };
            now.saturating_add(HOUR + below(hours * HOUR, rng))
        };
        let account_later = |rng: &mut _| {
            let pause = ((15 * MINUTE) << failed.saturating_sub(1).min(7)).min(DAY / 2);
            now.saturating_add(pause + below(pause, rng))
        };
        let drawn = match asked {
            Asked::Nonce | Asked::Enrolment | Asked::Grant if !again => Some(now),
            Asked::Offer if !again => Some(asking_time(now, rng)),
            Asked::Nonce | Asked::Enrolment | Asked::Grant | Asked::Offer => Some(account_later(rng)),
            Asked::Manifests if !again => Some(fetching_time(grid.next_after(now), rng)),
            Asked::State if !again => Some(now.saturating_add(HOUR + below(DAY, rng))),
            Asked::Manifests | Asked::State => Some(hours_later(rng)),
            Asked::Submission => match self.sending_time(place, again, now, rng) {
                // Too late to send it again: perhaps it arrived, and the answer was lost.
                None if failed < 30 && self.asks_after_a_lost_answer(place) => Some(hours_later(rng)),
                at => at,
            },
            Asked::Action => self.action_time(place, again, now, rng),
            Asked::Published if !again => self.boundary_to_read(place).map(|boundary| {
                let from = now.max(boundary.saturating_add(LOGGED_WITHIN));
                from.saturating_add(below(20 * HOUR, rng))
            }),
            Asked::Published => Some(hours_later(rng)),
        };
        if let Some(task) = self.task_mut(place) {
            task.at = drawn;
        }
    }

    fn sending_time(
        &mut self,
        place: Place,
        again: bool,
        now: Timestamp,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Option<Timestamp> {
        let sending = self.order_mut(place)?.sending.as_mut()?;
        let ahead = if again { HOUR } else { 0 };
        let dates = &sending.scheduled.boundaries;
        let (aim, at) = sending_time(now.saturating_add(ahead), dates, rng)
            .or_else(|| sending_time(now.saturating_add(if again { APART } else { 0 }), dates, rng))?;
        sending.aim = aim;
        Some(at)
    }

    fn asks_after_a_lost_answer(&mut self, place: Place) -> bool {
        let Some(order) = self.order_mut(place) else { return false };
        order.asks_state = order.was_sent();
        order.asks_state
    }

    fn boundary_to_read(&self, place: Place) -> Option<Timestamp> {
        self.order(place)?.looks_at()
    }

    fn action_time(
        &self,
        place: Place,
        again: bool,
        now: Timestamp,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Option<Timestamp> {
        let order = self.order(place)?;
        let (state, kind) = (order.state.as_ref()?, order.action_kind()?);
        let from = now.saturating_add(if again { HOUR } else { 0 });
        Some(acting_time(from, state.published_at, kind, rng).0)
    }

    /// Makes what is sent. `None` if there is nothing to send after all.
    fn request(
        &mut self,
        place: Place,
        asked: Asked,
        now: Timestamp,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Option<Request> {
        let index = match (place, asked) {
            (Place::Fetch, _) => return Some(Request::Manifests { since: self.manifests_since(now) }),
            (Place::Enrolment, Asked::Enrolment) => {
                let nonce = self.enrolment.nonce?;
                let context =
                    EnrolmentContext { issuer: &self.issuer, account: &self.account, nonce: &nonce };
                return Some(Request::Enrol { nonce, enrolment: self.wallet.enrol(context, rng).ok()? });
            }
            (Place::Enrolment, _) => return Some(Request::Nonce),
            (Place::Order(index), _) => index,
        };
        let order = self.orders.get_mut(index)?;
        let token = match &mut order.right {
            Right::Missing { .. } => {
                return Some(Request::Offer { merchant: order.merchant.clone(), handle: order.handle });
            }
            Right::Offered { offer, asked } => {
                if asked.is_none() {
                    let (merchant, handle) = (&order.merchant, order.handle);
                    *asked =
                        self.wallet.request(&self.issuer, merchant, handle, offer, &self.trust, rng).ok();
                }
                let request = asked.as_ref().map(|(_, request)| Request::Grant(request.clone()));
                if request.is_none() {
                    order.right = Right::Missing { later: false, made_up: true };
                    order.task.fail();
                }
                return request;
            }
            Right::Refused => return None,
            Right::Lapsed(scopes) => {
                // The last that is of a pinned key; with none left there is no right.
                let scope = scopes.as_ref().and_then(|scopes| scopes.last());
                let tried = scope
                    .and_then(|scope| context(&self.wallet, &self.issuer, &self.trust, scope, order.handle));
                let Some(tried) = tried else {
                    order.try_next();
                    return None;
                };
                let question = self.wallet.ask_state(&tried, now, rng).ok()?;
                let question = DoorQuestion::State { scope: tried.scope, question };
                return Some(Request::Door(DoorMessage::new(question)?.to_bytes()));
            }
            Right::Held(token) => &token.order,
            Right::Authored(context) => &*context,
        };
        if asked == Asked::Published {
            let boundary = order.looks_at()?;
            return Some(Request::Published { boundary, merchant: order.merchant.clone() });
        }
        let scope = token.scope.clone();
        let question = match asked {
            Asked::State => {
                DoorQuestion::State { scope, question: self.wallet.ask_state(token, now, rng).ok()? }
            }
            Asked::Action => {
                if order.acting.is_none() {
                    let wish = order.wish.take()?;
                    let state = order.state.as_ref()?;
                    // A withdrawn review takes nothing more: the wish is over.
                    let mut action = self.wallet.act(token, state, wish.request(), now, rng).ok()?;
                    // By another clock than this one the review may still be held.
                    action.held_until = Some(state.published_at);
                    order.acting = Some(Acting { action, review: wish.into_review() });
                }
                let acting = order.acting.as_ref()?;
                let review = acting.review.as_ref().map(Review::to_bytes).unwrap_or_default();
                DoorQuestion::Action { scope, action: acting.action.action.clone(), review }
            }
            _ => {
                let sending = order.sending.as_mut()?;
                if !sending.sent && matches!(order.wish, Some(Wish::Withdraw)) {
                    // Taken back before it was sent: nothing is, and nothing shows that before the boundary.
                    order.gone = Some(sending.aim);
                    (order.sending, order.wish) = (None, None);
                    order.task = Task::default();
                    return None;
                }
                sending.sent = true;
                let review = order.review.as_ref()?;
                DoorQuestion::submission(sending.scheduled.presentation.clone(), review)
            }
        };
        Some(Request::Door(DoorMessage::new(question)?.to_bytes()))
    }

    /// The earliest boundary whose manifests are of use.
    fn manifests_since(&self, now: Timestamp) -> Timestamp {
        let since = self.orders.iter().filter(|order| order.waits_for_manifest()).map(|order| order.since);
        since.min().unwrap_or(now).min(now)
    }

    /// Takes note of the time. A clock that was set back makes all times wrong.
    pub(super) fn notice(&mut self, now: Timestamp) {
        if now.saturating_add(CLOCK_SET) >= self.latest {
            self.latest = self.latest.max(now);
            return;
        }
        self.latest = now;
        for last in [&mut self.account_at, &mut self.door_at] {
            *last = last.map(|last| last.min(now));
        }
        for order in &mut self.orders {
            order.since = Timestamp::ZERO;
            // A question of another date was refused as if there were no review.
            order.asks_state |= self.restored && order.state.is_none();
        }
        for place in self.places() {
            if self.task(place).is_some_and(|task| task.in_flight.is_some()) {
                self.lose(place);
            } else if let Some(task) = self.task_mut(place) {
                task.at = None;
            }
        }
    }

    /// What is in flight was not answered.
    pub(super) fn lose(&mut self, place: Place) {
        if let Some(task) = self.task_mut(place) {
            task.fail();
        }
        match place {
            Place::Enrolment => self.enrolment.nonce = None,
            Place::Order(_) => {
                // The offer is asked for again: it may have changed.
                if let Some(order) = self.order_mut(place)
                    && let Right::Offered { .. } = order.right
                {
                    order.right = Right::Missing { later: false, made_up: true };
                }
            }
            Place::Fetch => {}
        }
    }

    pub(super) fn places(&self) -> Vec<Place> {
        let orders = (0..self.orders.len()).map(Place::Order);
        [Place::Enrolment, Place::Fetch].into_iter().chain(orders).collect()
    }

    /// What is to be asked, where nothing is in flight.
    fn needs(&self) -> Vec<(Place, Asked)> {
        let idle = |place: &Place| self.task(*place).is_some_and(|task| task.in_flight.is_none());
        let need = |place| Some((place, self.need(place)?));
        self.places().into_iter().filter(idle).filter_map(need).collect()
    }

    fn need(&self, place: Place) -> Option<Asked> {
        match place {
            Place::Enrolment if self.enrolment.done => None,
            Place::Enrolment if self.enrolment.nonce.is_some() => Some(Asked::Enrolment),
            Place::Enrolment => Some(Asked::Nonce),
            Place::Fetch => self.orders.iter().any(Order::waits_for_manifest).then_some(Asked::Manifests),
            Place::Order(_) => self.order(place)?.need(self.enrolment.done, self.trust.ledger().is_some()),
        }
    }

    fn at(&self, place: Place) -> Option<Timestamp> {
        self.task(place)?.at
    }

    fn order(&self, place: Place) -> Option<&Order> {
        let Place::Order(index) = place else { return None };
        self.orders.get(index)
    }

    fn order_mut(&mut self, place: Place) -> Option<&mut Order> {
        let Place::Order(index) = place else { return None };
        self.orders.get_mut(index)
    }

    pub(super) fn task(&self, place: Place) -> Option<&Task> {
        match place {
            Place::Enrolment => Some(&self.enrolment.task),
            Place::Fetch => Some(&self.fetch),
            Place::Order(_) => self.order(place).map(|order| &order.task),
        }
    }

    pub(super) fn task_mut(&mut self, place: Place) -> Option<&mut Task> {
        match place {
            Place::Enrolment => Some(&mut self.enrolment.task),
            Place::Fetch => Some(&mut self.fetch),
            Place::Order(_) => self.order_mut(place).map(|order| &mut order.task),
        }
    }
}

/// Sorts by a time. What is sorted is numbers, whatever the items are: each kind of item that is sorted itself is kilobytes
/// in every app.
fn by_time<T>(items: Vec<T>, time: impl Fn(&T) -> u64) -> Vec<T> {
    let places = in_order(items.iter().map(time).collect());
    let mut items: Vec<Option<T>> = items.into_iter().map(Some).collect();
    places.into_iter().filter_map(|place| items.get_mut(place)?.take()).collect()
}

/// The places of these numbers in rising order, equal ones in their own.
#[inline(never)]
fn in_order(numbers: Vec<u64>) -> Vec<usize> {
    let mut places: Vec<(u64, usize)> = numbers.into_iter().zip(0..).collect();
    places.sort_unstable();
    places.into_iter().map(|(_, place)| place).collect()
}

/// An order of this wallet in a cohort that its merchant had, under the keys that are pinned for it.
pub(super) fn context(
    wallet: &Wallet,
    issuer: &Name,
    trust: &TrustRoots,
    scope: &Scope,
    handle: OrderHandle,
) -> Option<OrderContext> {
    let (issuer_key, escrow_key) = *trust.pair_of(scope)?;
    let wallet_key = wallet.wallet_key(issuer).ok()?;
    Some(OrderContext {
        issuer: issuer.clone(),
        wallet_key,
        handle,
        scope: scope.clone(),
        issuer_key,
        escrow_key,
    })
}
