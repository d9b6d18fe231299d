//! Devices as apps have them, against the platform: only what [`Device`] says is sent, only when it says so.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helper fails the test")]

use std::sync::Arc;
use unjoin::issuer::{ClassPolicy, EveryoneOfStanding, NumbersDead, OrderReport, PastOrders};
use unjoin::opening::insecure_test_dealer;
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::MemoryStore;
use unjoin::token::{OrderHandle, Review};
use unjoin::wire::Message;
use unjoin::{
    Clock, DAY, Environment, Grid, ManualClock, Name, Platform, PlatformConfig, PlatformSecrets, Timestamp,
};
use unjoin_wallet::{Action, Device, ManifestEvidence, Reply, Request, ReviewStage, TrustRoots, Wallet};

const MONDAY: Timestamp = Timestamp::from_unix_seconds(1_514_764_800);

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// The platform, and the clock of everybody.
struct World {
    platform: Platform<MemoryStore>,
    clock: Arc<ManualClock>,
    merchant: Name,
}

/// A customer's phone. The blob is what is kept: the device is opened from it for each call.
struct Phone {
    account: Name,
    blob: Vec<u8>,
    key: SecretBytes<32>,
}

impl World {
    fn new() -> Self {
        let rng = &mut SystemRng::new();
        let (trustees, _) = insecure_test_dealer(2, 3, rng).unwrap();
        let clock = Arc::new(ManualClock::new(MONDAY));
        let mut config = PlatformConfig::new(name("shop.example"));
        config.issuer.classes = vec![ClassPolicy { class: 0, k: 2 }];
        config.issuer.hold = 0;
        let secrets = PlatformSecrets::generate(*trustees.key(), rng);
        let platform = Platform::open(
            unjoin_test_util::fresh_platform_stores(&secrets.stores),
            config,
            secrets,
            Arc::new(EveryoneOfStanding),
            Environment::new(Arc::clone(&clock) as Arc<dyn Clock>, || Box::new(SystemRng::new())),
        )
        .unwrap();
        let merchant = name("lamps.example");
        let past = PastOrders { merchant: merchant.clone(), class: 0, counts: vec![6_000] };
        assert!(platform.issuer().introduce(&[past]).pop().unwrap().is_ok());
        Self { platform, clock, merchant }
    }

    fn trust(&self) -> TrustRoots {
        let pair = self.platform.issuer().keys().newest().clone();
        TrustRoots::new(*self.platform.public_key(), 2, Grid::Daily)
            .pin(*pair.issuer_key.public(), pair.escrow_key)
            .unwrap()
    }

    fn phone(&self, account: &str) -> Phone {
        let rng = &mut SystemRng::new();
        let device = Device::create(Wallet::generate(rng), name("shop.example"), name(account), self.trust());
        let key = SecretBytes::random(rng);
        Phone { account: name(account), blob: device.seal(&key, rng), key }
    }

    /// The customer's order is delivered and its numbers are dead: the host wakes the phone.
    fn eligible(&self, phone: &mut Phone) -> OrderHandle {
        let (account, order_id) = (phone.account.clone(), phone.account.as_bytes().to_vec());
        let merchant = self.merchant.clone();
        let order = OrderReport { order_id, account, merchant: merchant.clone(), class: 0, due_at: MONDAY };
        let handle = self.platform.order_due(order).unwrap();
        let dead = NumbersDead { merchant: merchant.clone(), handle, at: MONDAY };
        self.platform.numbers_dead(dead).unwrap();
        let now = self.clock.now();
        phone.with(self, |device, rng| device.order_eligible(merchant, handle, now, rng).unwrap());
        handle
    }

    fn answer(&self, phone: &Phone, request: Request) -> Reply {
        let account = phone.account.clone();
        let refused = |error: &dyn std::error::Error, code: &str| {
            assert!(code.starts_with("issuer."), "{error}");
            Reply::Refused(code.to_owned())
        };
        match request {
            Request::Nonce => Reply::Answer(vec![7; 32]),
            Request::Enrol { nonce, enrolment } => {
                self.platform.enrol(account, nonce, enrolment).unwrap();
                Reply::Answer(Vec::new())
            }
            Request::Offer { merchant, handle } => match self.platform.offer(account, merchant, handle) {
                Ok(offer) => Reply::Answer(offer.to_bytes()),
                Err(error) => refused(&error, error.code()),
            },
            Request::Grant(request) => match self.platform.grant(account, request).wait() {
                Ok(grant) => Reply::Answer(grant.to_bytes()),
                Err(error) => refused(&error, error.code()),
            },
            Request::Manifests { .. } => {
                let manifests = self.platform.manifests(&self.merchant, None, 100).unwrap();
                Reply::Manifests(manifests.into_iter().map(ManifestEvidence::Signed).collect())
            }
            Request::Door(message) => Reply::Answer(self.platform.door(&message).to_bytes()),
            _ => Reply::Lost,
        }
    }

    /// Time passes; every phone wakes when its device said so, and ticks come at every boundary.
    fn pass(&self, phones: &mut [Phone], until: Timestamp) {
        loop {
            let now = self.clock.now();
            let mut next = until.min(Grid::Daily.next_after(now));
            for phone in phones.iter_mut() {
                next = next.min(phone.wake(self, now));
            }
            if now >= until {
                return;
            }
            self.clock.set(next.max(now.saturating_add(1)));
            if Grid::Daily.at_or_before(self.clock.now()) == Some(self.clock.now()) {
                assert!(self.platform.tick().unwrap().failed.is_empty());
            }
        }
    }
}

impl Phone {
    /// Opens the device, has it do something, and stores what it is then.
    fn with<T>(&mut self, world: &World, work: impl FnOnce(&mut Device, &mut SystemRng) -> T) -> T {
        let rng = &mut SystemRng::new();
        let mut device = Device::open(&self.blob, &self.key, world.trust()).unwrap();
        let done = work(&mut device, rng);
        self.blob = device.seal(&self.key, rng);
        done
    }

    /// Sends all that is due; the answer is when to wake again. One process, from waking to the last answer.
    fn wake(&mut self, world: &World, now: Timestamp) -> Timestamp {
        let rng = &mut SystemRng::new();
        let mut device = Device::open(&self.blob, &self.key, world.trust()).unwrap();
        loop {
            let actions = device.next(now, rng);
            self.blob = device.seal(&self.key, rng);
            let coming = actions.iter().filter(|action| action.request.is_none()).map(|action| action.at);
            let coming = coming.min().unwrap_or(now.saturating_add(DAY));
            let due: Vec<Action> = actions.into_iter().filter(|action| action.request.is_some()).collect();
            if due.is_empty() {
                return coming;
            }
            for Action { number, request, .. } in due {
                let reply = world.answer(self, request.unwrap());
                device.handle(number, reply, now, rng).unwrap();
                self.blob = device.seal(&self.key, rng);
            }
        }
    }

    fn stage(&mut self, world: &World) -> ReviewStage {
        let now = world.clock.now();
        self.with(world, |device, _| device.reviews(now)[0].stage)
    }
}

#[test]
fn phones_take_their_orders_from_eligible_to_a_withdrawn_review() {
    let world = World::new();
    let mut phones = [world.phone("ann"), world.phone("ben")];
    let handles = phones.each_mut().map(|phone| world.eligible(phone));
    let review = Review::new(1, "It came broken.", vec![]).unwrap();
    let now = world.clock.now();
    phones[0].with(&world, |device, rng| {
        device.write_review(handles[0], review.clone(), now, rng).unwrap();
    });
    assert_eq!(phones[0].stage(&world), ReviewStage::Waiting);

    // Tokens in the first day; sealed at the third boundary; the manifest is fetched, and the review sent.
    world.pass(&mut phones, MONDAY.saturating_add(4 * DAY - 1));
    let first = MONDAY.saturating_add(4 * DAY);
    assert_eq!(
        phones.each_mut().map(|phone| phone.stage(&world)),
        [ReviewStage::Appears(first), ReviewStage::Open]
    );
    let crowd = phones[0].with(&world, |device, _| {
        let draft = device.draft_review(handles[0], &review, &[], first.saturating_sub(3_600)).unwrap();
        assert!(device.reviews(world.clock.now())[0].receipt.is_some());
        (draft.crowd, draft.appears)
    });
    assert_eq!(crowd, (Some(2), Some(first)));
    world.pass(&mut phones, first);
    assert_eq!(phones[0].stage(&world), ReviewStage::Appeared(first));
    let listed = world.platform.published(&world.merchant, None, 10).unwrap();
    assert_eq!(listed.len(), 1);

    // Edited and then withdrawn before the edit took effect, which is at a Monday. Nothing shows until the withdrawal
    // has, at one of the next three: then the device and everybody's page say the same.
    let edited = Review::new(2, "They sent another.", vec![]).unwrap();
    let now = world.clock.now();
    phones[0].with(&world, |device, rng| device.edit_review(handles[0], edited, now, rng).unwrap());
    world.pass(&mut phones, now.saturating_add(2 * DAY));
    let now = world.clock.now();
    phones[0].with(&world, |device, rng| device.withdraw_review(handles[0], now, rng).unwrap());
    for day in 0..=30 {
        world.pass(&mut phones, now.saturating_add(day * DAY));
        let listed = world.platform.published(&world.merchant, None, 10).unwrap();
        let stage = if listed.is_empty() { ReviewStage::Withdrawn } else { ReviewStage::Appeared(first) };
        assert_eq!(phones[0].stage(&world), stage);
        assert!(listed.iter().all(|shown| shown.review.stars() == 1));
        assert!((day > 0 || !listed.is_empty()) && (day < 30 || listed.is_empty()));
    }
}
