//! A shop on the platform, its orders, and time: what happens of itself when the clock is moved.

use super::customer::Customer;
use crate::client::{Connection, Outcome};
use crate::device::{Order as Reported, Pins, handle_of, manifests, report, text};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use unjoin::token::Review;
use unjoin::{Clock, DAY, Grid, ManualClock, Timestamp};

pub(super) const MERCHANT: &str = "lamps.example";
/// The shop delivers itself. Its driver may call customers while a number lives; nobody else at the shop ever may.
const DRIVER: &str = "driver-1";
const DRIVERS_PHONE: &str = "+8613800138000";
/// The account and the name of whom each phone in the page belongs to.
pub(super) const PHONES: [(&str, &str); 3] =
    [("account-ann", "Ann Chen"), ("account-ben", "Ben Okoye"), ("account-mei", "李梅")];
/// Who else buys at the shop.
const OTHERS: [(&str, &str); 9] = [
    ("account-4", "Dora Haas"),
    ("account-5", "王强"),
    ("account-6", "Fatma Aydin"),
    ("account-7", "Gao Li"),
    ("account-8", "Hugo Silva"),
    ("account-9", "刘洋"),
    ("account-10", "Jana Novak"),
    ("account-11", "Kofi Mensah"),
    ("account-12", "赵敏"),
];
/// What some of them think of what they bought, once each: so that it is known which is whose.
const OPINIONS: [(u8, &str); 8] = [
    (5, "Bright, and well packed."),
    (4, "灯光柔和，安装简单。"),
    (2, "The switch is loose. It works if you hold it."),
    (5, "Just as in the pictures."),
    (3, "还可以，比想象的小一点。"),
    (4, "Warm light, and the cable is long enough."),
    (1, "罩子是歪的，客服没有回复。"),
    (5, "My grandmother reads again."),
];
/// Kinds of things that the shop sells; the page has their names.
const ITEMS: usize = 6;
/// From order to delivery, and to the end of the order's number, in seconds.
const DELIVERY: u64 = 40 * 60;
const NUMBER: u64 = 60 * 60;
/// Whoever orders is not alone: others do, unless they did in so many seconds before.
const WAVE: u64 = DAY;
/// So many customers the shop had in 60 days before: 20 a day, so a crowd is sealed once its members times its days are 15.
const BEFORE: u64 = 1_200;

/// An order as the shop's portal, and so whoever stole its password, has it.
pub(super) struct Order {
    pub(super) id: String,
    pub(super) account: &'static str,
    pub(super) customer: &'static str,
    pub(super) item: usize,
    pub(super) placed: Timestamp,
    pub(super) number: String,
    pub(super) number_ends: Timestamp,
    pub(super) handle: Option<String>,
    pub(super) eligible_at: Option<Timestamp>,
    /// How many cohorts were sealed when the device of one of the others was told that it can get a token.
    announced: Option<usize>,
    pub(super) rang: u32,
}

/// What a platform would have that writes the order beside the review. **No platform of ours does**: the demonstration keeps
/// it to show what that would be worth, and whether a guess is right.
pub(super) struct Naive {
    pub(super) order: String,
    pub(super) stars: u64,
    pub(super) text: String,
    pub(super) written: Timestamp,
}

pub(super) struct Shop {
    clock: Arc<ManualClock>,
    devices: Connection,
    internal: Connection,
    customers: Vec<(Customer, Timestamp)>,
    pub(super) orders: Vec<Order>,
    pub(super) naive: Vec<Naive>,
    last_wave: Option<Timestamp>,
    opinions: std::slice::Iter<'static, (u8, &'static str)>,
}

impl Shop {
    pub(super) async fn open(
        clock: Arc<ManualClock>,
        devices: SocketAddr,
        internal: SocketAddr,
        pins: &Pins,
    ) -> Outcome<Self> {
        let now = clock.now();
        let customers = OTHERS.iter().map(|(account, _)| Ok((Customer::new(account, pins)?, now)));
        let customers = customers.collect::<Outcome<_>>()?;
        let (devices, internal) = (Connection::to(devices), Connection::to(internal));
        let (orders, naive) = (Vec::new(), Vec::new());
        let (last_wave, opinions) = (None, OPINIONS.iter());
        let mut shop = Self { clock, devices, internal, customers, orders, naive, last_wave, opinions };
        let before = json!({ "merchant": MERCHANT, "class": 0, "count": BEFORE });
        shop.ask("/merchants/introduce", before).await?;
        shop.move_by(0).await?;
        shop.wake().await?;
        Ok(shop)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whom an account belongs to.
    pub(super) fn name_of(account: &str) -> Option<&'static str> {
        PHONES.iter().chain(&OTHERS).find(|(known, _)| *known == account).map(|(_, name)| *name)
    }

    /// Somebody orders at one of the phones; and others do, who happen to buy there.
    pub(super) async fn order(&mut self, phone: usize) -> Outcome<()> {
        let (account, customer) = *PHONES.get(phone).ok_or("there is no such phone")?;
        self.place(account, customer).await?;
        let now = self.now();
        if self.last_wave.is_none_or(|last| now.saturating_since(last) > WAVE) {
            self.last_wave = Some(now);
            for (account, customer) in OTHERS {
                self.place(account, customer).await?;
            }
        }
        Ok(())
    }

    async fn place(&mut self, account: &'static str, customer: &'static str) -> Outcome<()> {
        let (now, count) = (self.now(), self.orders.len());
        let id = format!("L-{}", 4_102 + 7 * count);
        let own = PHONES.iter().chain(&OTHERS).position(|(known, _)| *known == account).unwrap_or_default();
        let bound = self
            .ask(
                "/phones/bind",
                json!({
                    "merchant": MERCHANT, "order": id, "leg": "courier", "courier": DRIVER, "hub": DRIVERS_PHONE,
                    "customer": format!("+8613911110{own:03}"),
                    "not_after": now.saturating_add(NUMBER).as_unix_seconds(),
                }),
            )
            .await?;
        let number_ends = bound["not_after"].as_u64().ok_or("the answer has no not_after")?;
        self.orders.push(Order {
            id,
            account,
            customer,
            item: (own + count) % ITEMS,
            placed: now,
            number: text(&bound, "number")?.to_owned(),
            number_ends: Timestamp::from_unix_seconds(number_ends),
            handle: None,
            eligible_at: None,
            announced: None,
            rang: 0,
        });
        Ok(())
    }

    /// The driver dials an order's number: whether the switchboard puts it through.
    pub(super) async fn ring(&mut self, number: &str) -> Outcome<bool> {
        let question = json!({
            "id": "1", "caller": DRIVERS_PHONE, "dialled": number, "channel": "voice",
            "attestation": "full", "trunk": "untrusted",
        });
        let is_connected = self.ask("/phones/route", question).await?["route"] == "connect";
        if is_connected && let Some(order) = self.orders.iter_mut().find(|order| order.number == number) {
            order.rang += 1;
        }
        Ok(is_connected)
    }

    /// Moves the clock towards that time, and does on the way what falls due, each at its time. It stops at a boundary, and
    /// when something became of an order: the phones in the page may have something to do then.
    pub(super) async fn go_to(&mut self, time: Timestamp) -> Outcome<()> {
        loop {
            let next = self.next().min(time);
            let is_boundary = Grid::Daily.at_or_before(next) == Some(next);
            self.move_by(next.saturating_since(self.now())).await?;
            let has_news = self.deliver().await?;
            self.wake().await?;
            if next >= time || is_boundary || has_news {
                return Ok(());
            }
        }
    }

    /// When something happens of itself.
    fn next(&self) -> Timestamp {
        let mut next = Grid::Daily.next_after(self.now());
        for order in &self.orders {
            next = match (&order.handle, order.eligible_at) {
                (None, _) => next.min(order.placed.saturating_add(DELIVERY)),
                (_, None) => next.min(order.placed.saturating_add(NUMBER)),
                (_, Some(at)) if order.announced.is_none() => next.min(at),
                _ => next,
            };
        }
        self.customers.iter().fold(next, |next, (_, at)| next.min(*at))
    }

    async fn move_by(&mut self, seconds: u64) -> Outcome<()> {
        self.ask("/clock/advance", json!({ "seconds": seconds })).await.map(drop)
    }

    /// Reports what was delivered, ends numbers that have done their work, and tells devices what is eligible: whether
    /// there was any of that.
    async fn deliver(&mut self) -> Outcome<bool> {
        let (now, mut has_news) = (self.now(), false);
        for order in &mut self.orders {
            let due = order.placed.saturating_add(DELIVERY);
            if order.handle.is_none() && now >= due {
                let due_at = due.as_unix_seconds();
                let delivered = Reported { id: &order.id, merchant: MERCHANT, class: 0, due_at };
                has_news = true;
                order.handle = Some(report(&mut self.internal, order.account, &delivered).await?);
            }
            if order.eligible_at.is_none() && now >= order.placed.saturating_add(NUMBER) {
                let body = json!({ "merchant": MERCHANT, "order": order.id }).to_string();
                let closed = self.internal.post("/phones/close-order", None, body).await?.object()?;
                let at = closed["eligible_at"].as_u64().ok_or("the answer has no eligible_at")?;
                has_news = true;
                order.eligible_at = Some(Timestamp::from_unix_seconds(at));
            }
        }
        // Again when a cohort was sealed: whose account was in it with another order is in none now.
        let sealed = manifests(&mut self.devices, MERCHANT).await?.len();
        for (count, order) in self.orders.iter_mut().enumerate() {
            let (Some(handle), Some(at)) = (&order.handle, order.eligible_at) else { continue };
            if now < at || order.announced == Some(sealed) {
                continue;
            }
            let is_first = order.announced.replace(sealed).is_none();
            has_news |= is_first;
            let mut customers = self.customers.iter_mut();
            let Some((customer, wakes)) = customers.find(|(known, _)| known.account() == order.account)
            else {
                continue;
            };
            // Every second one writes.
            let writes = is_first && count.is_multiple_of(2);
            let opinion = if writes { self.opinions.next() } else { None };
            let review = opinion.map(|(stars, text)| Review::new(*stars, *text, vec![])).transpose()?;
            customer.eligible(handle_of(handle)?, review, now)?;
            *wakes = now;
            if let Some((stars, text)) = opinion {
                let (order, text) = (order.id.clone(), (*text).to_owned());
                self.naive.push(Naive { order, stars: u64::from(*stars), text, written: now });
            }
        }
        Ok(has_news)
    }

    /// Has everybody's device do what is due.
    async fn wake(&mut self) -> Outcome<()> {
        let now = self.clock.now();
        for (customer, at) in self.customers.iter_mut().filter(|(_, at)| *at <= now) {
            *at = customer.wake(&mut self.devices, now).await?;
        }
        Ok(())
    }

    async fn ask(&mut self, path: &str, body: Value) -> Outcome<Value> {
        self.internal.post(path, None, body.to_string()).await?.object()
    }
}
