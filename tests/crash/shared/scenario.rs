//! A platform and its customers: everything but the stores is a function of one seed, so that
//! another process can be the same platform.

use std::sync::Arc;
use unjoin::Name;
use unjoin::issuer::{
    ClassPolicy, EveryoneOfStanding, IssuerConfig, IssuerError, NumbersDead, OrderReport, PastOrders,
};
use unjoin::opening::insecure_test_dealer;
use unjoin::review::{DeskConfig, DeskError};
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::Store;
use unjoin::token::{EnrolmentContext, Grant, Offer, Presentation, Receipt, Review, Scope};
use unjoin::wire::Message;
use unjoin::{
    DAY, Environment, Grid, ManualClock, Pending, Platform, PlatformConfig, PlatformError, PlatformSecrets,
    QueueConfig, Timestamp,
};
use unjoin_test_util::Seeded;
use unjoin_wallet::{Token, TrustRoots, Wallet};

const MERCHANTS: u64 = 3;
const MONDAY: Timestamp = Timestamp::from_unix_seconds(1_514_764_800);

/// The first second of a day.
pub(crate) fn day(number: u64) -> Timestamp {
    MONDAY.saturating_add(number * DAY)
}

pub(crate) struct Scenario {
    seed: u64,
    issuer: Name,
    trust: TrustRoots,
}

/// An order, which its number determines.
struct Order {
    id: Vec<u8>,
    account: Name,
    merchant: Name,
    class: u8,
}

/// A token with the `(A, e)` that the issuer answered.
pub(crate) struct Granted {
    pub(crate) token: Token,
    pub(crate) pair: Vec<u8>,
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Of the order's customer: each has one order, since an account has one in a cohort.
fn wallet(number: u64) -> Wallet {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    Wallet::from_seed(SecretBytes::new(seed))
}

/// `(A, e)`: the bytes of a grant without its header and its proof, which is fresh every time.
fn pair(grant: &Grant) -> Vec<u8> {
    grant.to_bytes()[2..66].to_vec()
}

fn order(number: u64) -> Order {
    let mut draw = Seeded(number ^ 0x0dde_0000_0000_0000);
    let merchant = draw.below(MERCHANTS);
    Order {
        id: number.to_be_bytes().to_vec(),
        account: name(&format!("account {number}")),
        merchant: name(&format!("merchant {merchant}")),
        class: draw.below(2) as u8,
    }
}

/// The review of an order in one of its two wordings.
pub(crate) fn review(number: u64, wording: u8) -> Review {
    Review::new(1 + (number % 4) as u8 + wording, format!("order {number}, wording {wording}"), vec![])
        .unwrap()
}

pub(crate) fn merchants() -> impl Iterator<Item = Name> {
    (0..MERCHANTS).map(|merchant| name(&format!("merchant {merchant}")))
}

impl Scenario {
    pub(crate) fn new(seed: u64) -> Self {
        let secrets = secrets(seed);
        let pair = secrets.keys.newest();
        let trust = TrustRoots::new(secrets.platform_key.public(), 2, unjoin::Grid::Weekly);
        let trust = trust.pin(*pair.issuer_key.public(), pair.escrow_key).unwrap();
        Self { seed, issuer: name("issuer"), trust }
    }

    /// The platform on these stores; again and beside itself as often as you like.
    pub(crate) fn open<S: Store>(&self, stores: &[Arc<S>; 2], clock: &Arc<ManualClock>) -> Platform<Arc<S>> {
        self.try_open(stores, clock).unwrap()
    }

    /// As [`open`](Self::open), on stores that may fail.
    pub(crate) fn try_open<S: Store>(
        &self,
        stores: &[Arc<S>; 2],
        clock: &Arc<ManualClock>,
    ) -> Result<Platform<Arc<S>>, PlatformError> {
        let issuer = IssuerConfig {
            name: self.issuer.clone(),
            grid: Grid::Daily,
            classes: vec![ClassPolicy { class: 0, k: 2 }, ClassPolicy { class: 1, k: 3 }],
            hold: 0,
            order_days: 300,
            re_enrolment_interval: 30 * DAY,
            starving_after: 100 * DAY,
            numbers_overdue_after: DAY,
            queue: QueueConfig::default(),
        };
        // Every answer is asked for again, however late.
        let retry_window = 100_000 * DAY;
        let desk = DeskConfig { opening_window: 2 * DAY, retry_window, ..DeskConfig::default() };
        let [orders, reviews] = stores;
        let secrets = secrets(self.seed);
        Platform::open(
            unjoin_test_util::platform_stores(
                &secrets.stores,
                &Arc::new(Arc::clone(orders)),
                &Arc::new(Arc::clone(reviews)),
            )?,
            PlatformConfig { issuer, desk },
            secrets,
            Arc::new(EveryoneOfStanding),
            Environment::new(Arc::clone(clock) as Arc<dyn unjoin::Clock>, || Box::new(SystemRng::new())),
        )
    }

    /// Says of every merchant that it was busy before, unless more is known by now.
    pub(crate) fn begin<S: Store>(&self, platform: &Platform<S>) -> Result<(), PlatformError> {
        let past = merchants()
            .flat_map(|merchant| [0, 1].map(|class| (merchant.clone(), class)))
            .map(|(merchant, class)| PastOrders { merchant, class, counts: vec![6_000] });
        for answer in platform.issuer().introduce(&past.collect::<Vec<_>>()) {
            match answer {
                Ok(()) | Err(IssuerError::MerchantKnown) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Enrols an order's customer, or finds them enrolled.
    fn enrol<S: Store>(&self, platform: &Platform<S>, number: u64) -> Result<(), PlatformError> {
        let (account, nonce) = (order(number).account, [1; 32]);
        let context = EnrolmentContext { issuer: &self.issuer, account: &account, nonce: &nonce };
        let enrolment = wallet(number).enrol(context, &mut SystemRng::new()).unwrap();
        platform.enrol(account, nonce, enrolment)
    }

    /// Reports an order and gets its token, for the first time or again.
    pub(crate) fn obtain<S: Store>(
        &self,
        platform: &Platform<S>,
        number: u64,
    ) -> Result<Granted, PlatformError> {
        let (Order { id, account, merchant, class }, rng) = (order(number), &mut SystemRng::new());
        let report = OrderReport {
            order_id: id,
            account: account.clone(),
            merchant: merchant.clone(),
            class,
            due_at: MONDAY,
        };
        let handle = platform.order_due(report)?;
        platform.numbers_dead(NumbersDead { merchant: merchant.clone(), handle, at: MONDAY })?;
        loop {
            let offer = platform.offer(account.clone(), merchant.clone(), handle)?;
            let (pending, request) = wallet(number)
                .request(&self.issuer, offer.scope.merchant(), offer.handle, &offer, &self.trust, rng)
                .unwrap();
            match platform.grant(account.clone(), request).wait() {
                Ok(grant) => {
                    let token = wallet(number).finish(pending, &grant, rng).unwrap();
                    return Ok(Granted { token, pair: pair(&grant) });
                }
                // Its boundary came between the offer and the request.
                Err(IssuerError::CohortClosed) => {}
                // The customer's first order, and their only one.
                Err(IssuerError::NotEnrolled) => self.enrol(platform, number)?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The token of an order whose window is over, as its device has kept it: made again from the wallet's
    /// seed and the issuing key, under each manifest's scope. `None` if none of them gives the pair.
    pub(crate) fn token_of<S: Store>(
        &self,
        platform: &Platform<S>,
        number: u64,
        expected: &[u8],
    ) -> Option<Token> {
        let (Order { id, merchant, .. }, rng) = (order(number), &mut SystemRng::new());
        let (keys, handle) = (platform.issuer().keys(), platform.issuer().handle(&merchant, &id));
        platform.manifests(&merchant, None, usize::MAX).unwrap().into_iter().find_map(|manifest| {
            let scope = manifest.claimed_scope().clone();
            let key = keys.find(scope.key_id())?;
            let issuer_key = *key.issuer_key.public();
            let offer = Offer { handle, scope: scope.clone(), issuer_key, escrow_key: key.escrow_key };
            let asked = wallet(number).request(&self.issuer, &merchant, handle, &offer, &self.trust, rng);
            let (pending, request) = asked.ok()?;
            let grant = Grant::issue(&key.issuer_key, &scope, request.commitment(), rng).ok()?;
            (pair(&grant) == expected).then(|| wallet(number).finish(pending, &grant, rng).unwrap())
        })
    }

    /// Asks for another pair of a granted order, as good as the first but for its scope and
    /// thus its commitment: the refusal.
    pub(crate) fn ask_for_another_pair<S: Store>(
        &self,
        platform: &Platform<S>,
        number: u64,
        token: &Token,
    ) -> IssuerError {
        let (Order { account, merchant, .. }, rng) = (order(number), &mut SystemRng::new());
        let granted = token.scope();
        let offer = Offer {
            handle: token.handle(),
            scope: Scope::new(*granted.key_id(), merchant.clone(), granted.cohort() ^ 1),
            issuer_key: *token.issuer_key(),
            escrow_key: *token.escrow_key(),
        };
        let (_, request) = wallet(number)
            .request(&self.issuer, offer.scope.merchant(), offer.handle, &offer, &self.trust, rng)
            .unwrap();
        platform.grant(account, request).wait().unwrap_err()
    }

    /// Sends a review under the order's token; a fresh presentation every time.
    pub(crate) fn send<S: Store>(
        &self,
        platform: &Platform<S>,
        number: u64,
        token: &Token,
        wording: u8,
    ) -> Pending<Receipt, DeskError> {
        let (presentation, review) = self.presentation(number, token, wording);
        platform.submit(presentation, review)
    }

    /// What [`send`](Self::send) hands in.
    pub(crate) fn presentation(&self, number: u64, token: &Token, wording: u8) -> (Presentation, Review) {
        let review = review(number, wording);
        let wallet = wallet(number);
        (wallet.presentation(token, &review, &mut SystemRng::new()).unwrap(), review)
    }
}

fn secrets(seed: u64) -> PlatformSecrets {
    let rng = &mut Seeded(seed);
    let (committee, _) = insecure_test_dealer(2, 3, rng).unwrap();
    PlatformSecrets::generate(*committee.key(), rng)
}
