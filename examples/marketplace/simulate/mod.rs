//! The marketplace: real orders, replayed in time order through the real roles.
//!
//! Simulated time advances day by day. What happens within one day is independent, so it runs
//! side by side: devices compute on all cores, and the services' queues gather what arrives
//! into few durable commits. At every boundary the platform ticks.
//!
//! The simulation knows what nobody else does: which order wrote which review.

mod devices;

use std::{
    collections::{BTreeMap, HashMap},
    error::Error,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};
use unjoin::{
    Clock, DAY, Environment, Grid, ManualClock, Name, Platform, PlatformConfig, PlatformSecrets, TickReport,
    Timestamp,
    issuer::{ClassPolicy, EveryoneOfStanding, NumbersDead},
    ledger::{LedgerReport, LedgersReport, StaffKeyEntry},
    secret::{SecretBytes, SystemRng},
    store::{
        MemoryStore, RedbStore, Store, Stores,
        identity::{Role, Roster},
    },
    token::{
        IssuerPublicKey, OrderHandle, Presentation, Receipt, ReviewId, Scope, SignedManifest, StaffKey,
        StaffPublicKey,
    },
};
use unjoin_wallet::{Token, TrustRoots, Wallet, asking_time};

use crate::{
    data::{Exports, Order, PortalOrder, PublishedReview},
    extortion::{self, Cast, Court, Scene, TakenBack},
    telephony::{self, Calls, Numbers, numbers_die_at},
    words::At,
};

/// So many weeks from the first publication of a cohort to its last.
const WINDOW_WEEKS: u64 = 8;
/// How many requests are put into a service's queue before their answers are awaited.
const IN_FLIGHT: usize = 1024;

/// How the marketplace runs.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The fewest look-alike customers of a cohort.
    pub(crate) k: u32,
    /// The grid of boundaries.
    pub(crate) grid: Grid,
    /// Whether late or failed orders gather in cohorts of their own.
    pub(crate) classes: bool,
    /// Where files of the run's own lie.
    pub(crate) scratch: PathBuf,
    /// Whether the stores are files there, or kept in memory.
    pub(crate) on_disk: bool,
    /// Seeds the wallets.
    pub(crate) seed: u64,
}

/// What came of it.
pub(crate) struct Outcome {
    /// The attacker's two tables.
    pub(crate) exports: Exports,
    /// Figures of the run.
    pub(crate) figures: Figures,
    pub(crate) calls: Calls,
    /// The second act, in words; `None` if the set has no story.
    pub(crate) act: Option<String>,
}

/// How many of something there were, and how long all took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timed {
    count: usize,
    time: Duration,
}

impl Timed {
    fn add(&mut self, count: usize, time: Duration) {
        self.count += count;
        self.time += time;
    }

    fn per_second(self) -> f64 {
        self.count as f64 / self.time.as_secs_f64().max(1e-9)
    }
}

/// Figures that a person wants to see.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    granted: Timed,
    submitted: Timed,
    boundaries: Timed,
    telephony: Duration,
    cohorts_sealed: usize,
    cohorts_starving: usize,
    published: usize,
    too_late: usize,
    /// Bytes.
    largest_presentation: usize,
}

impl Figures {
    /// What happened, in words.
    pub(crate) fn summary(&self, cast: &Cast) -> String {
        let Self { granted, submitted, boundaries, cohorts_sealed, cohorts_starving, .. } = self;
        let Self { published, too_late, largest_presentation, .. } = self;
        let orders = cast.real();
        let reviewed = orders.iter().filter(|order| order.stars.is_some()).count();
        let made_up = cast.orders().len() - orders.len();
        format!(
            "{} orders of {} customers, {reviewed} of them reviewed; and {made_up} orders of the extortion story.\n\
             {} tokens granted ({:.0}/s), {cohorts_sealed} cohorts sealed, {cohorts_starving} still below their floor.\n\
             {} reviews submitted ({:.0}/s) and {published} published, {too_late} written after their window; \
             presentations of at most {largest_presentation} bytes.\n\
             Ticking at {} boundaries took {:.1} s; binding, closing and ringing {:.1} s.",
            orders.len(),
            cast.customers(),
            granted.count,
            granted.per_second(),
            submitted.count,
            submitted.per_second(),
            boundaries.count,
            boundaries.time.as_secs_f64(),
            self.telephony.as_secs_f64(),
        )
    }
}

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Runs the whole marketplace; `step(done, days)` is called after every simulated day.
pub(crate) fn run(cast: &Cast, settings: &Settings, step: &dyn Fn(u64, u64)) -> Result<Outcome> {
    // The slot keys need a file whatever the stores need. What a run that was interrupted left is sealed under its keys.
    let dir = &settings.scratch;
    if dir.exists() {
        std::fs::remove_dir_all(dir).at(dir)?;
    }
    std::fs::create_dir_all(dir).at(dir)?;
    let key_file = dir.join("slot-keys");
    if !settings.on_disk {
        let stores = [MemoryStore::new(), MemoryStore::new(), MemoryStore::new(), MemoryStore::new()];
        return Marketplace::open(cast, settings, stores, key_file)?.run(step);
    }
    let open = |name: &str| RedbStore::create(dir.join(name)).at(dir.join(name));
    let stores =
        [open("orders.redb")?, open("reviews.redb")?, open("telephony.redb")?, open("ledgers.redb")?];
    Marketplace::open(cast, settings, stores, key_file)?.run(step)
}

/// What a customer's device keeps of one order.
#[derive(Default)]
struct Device {
    token: Option<Token>,
    written: bool,
}

struct Marketplace<'a, S: Store> {
    cast: &'a Cast,
    orders: &'a [Order],
    clock: Arc<ManualClock>,
    environment: Environment,
    court: Court,
    platform: Arc<Platform<S>>,
    issuer_name: Name,
    issuer_key: IssuerPublicKey,
    trust: TrustRoots,
    wallets: HashMap<&'a str, Wallet>,
    enrolled: HashMap<&'a str, ()>,
    devices: Vec<Device>,
    handles: Vec<Option<OrderHandle>>,
    numbers: Numbers<'a>,
    /// Orders by the day on which their devices ask for the token.
    asking: BTreeMap<u64, Vec<usize>>,
    /// Orders of customers with another one in the cohort that gathers, by merchant.
    later: HashMap<Name, Vec<usize>>,
    /// The orders of each scope, once they have a token of it.
    members: HashMap<Scope, Vec<usize>>,
    /// Written reviews whose cohort has no manifest yet.
    waiting: HashMap<Scope, Vec<usize>>,
    manifests: HashMap<Scope, SignedManifest>,
    /// Presentations by the day on which their wallets send them.
    sending: BTreeMap<u64, Vec<(usize, Presentation)>>,
    author_of: HashMap<ReviewId, usize>,
    /// The receipts of the reviews of the story's shops.
    receipts: HashMap<ReviewId, Receipt>,
    taken_back: Option<TakenBack>,
    colleague: StaffPublicKey,
    labels: HashMap<Scope, String>,
    published: Vec<PublishedReview>,
    figures: Figures,
    grid: Grid,
    classes: bool,
    seed: u64,
}

impl<'a, S: Store> Marketplace<'a, S> {
    fn open(cast: &'a Cast, settings: &Settings, stores: [S; 4], key_file: PathBuf) -> Result<Self> {
        let orders = cast.orders();
        // Slot keys notice a clock that leaps, so it begins on the first day.
        let first = orders.iter().map(|order| order.purchased_at).min().unwrap_or_default();
        let clock = Arc::new(ManualClock::new(timestamp(first - first.rem_euclid(DAY as i64))));
        let environment = Environment::new(clock.clone(), || Box::new(SystemRng::new()));
        let roster = Roster::generate(&mut SystemRng::new());
        let roles = [Role::Orders, Role::Reviews, Role::Telephony, Role::Ledgers];
        let stores = roles.into_iter().zip(stores.map(Arc::new));
        let stores = Stores::create(&roster, stores, &mut SystemRng::new())?;
        let (court, ledgers) = Court::found(stores.own(Role::Ledgers)?, &environment)?;
        let escrow_key = court.escrow_key()?;
        let secrets = PlatformSecrets {
            stores: roster,
            ..PlatformSecrets::generate(escrow_key, &mut SystemRng::new())
        };
        let colleague = StaffKey::generate(&mut SystemRng::new()).public();
        let origin = court.reviews_origin().to_owned();
        let staff =
            StaffKeyEntry::sign(&secrets.platform_key, &origin, &colleague, Name::new("a colleague")?)?;
        let issuer_name = Name::new("marketplace.example")?;
        let mut config = PlatformConfig::new(issuer_name.clone());
        config.issuer.grid = settings.grid;
        let classes = if settings.classes { 0..=1 } else { 0..=0 };
        config.issuer.classes = classes.map(|class| ClassPolicy { class, k: settings.k }).collect();
        let issuer_key = *secrets.keys.newest().issuer_key.public();
        let standing = Arc::new(EveryoneOfStanding);
        let switchboard =
            telephony::open(orders, stores.own(Role::Telephony)?, key_file, environment.clone())?;
        let platform = Platform::open(stores, config, secrets, standing, environment.clone())?
            .with_telephony(switchboard)
            .with_ledgers(ledgers);
        platform.desk().admit_staff(&staff, &origin)?;
        let trust =
            TrustRoots::new(*platform.public_key(), settings.k, settings.grid).pin(issuer_key, escrow_key)?;
        let wallets =
            orders.iter().map(|order| (order.customer.as_str(), wallet(&order.customer, settings.seed)));
        let wallets: HashMap<&str, Wallet> = wallets.collect();
        let named =
            |order: &Order| Ok(platform.order_ref(&Name::new(&order.merchant)?, order.order_id.as_bytes()));
        let refs = orders.iter().map(named).collect::<Result<_>>()?;
        Ok(Self {
            cast,
            orders,
            clock,
            environment,
            court,
            platform: Arc::new(platform),
            issuer_name,
            issuer_key,
            trust,
            wallets,
            enrolled: HashMap::new(),
            devices: orders.iter().map(|_| Device::default()).collect(),
            handles: vec![None; orders.len()],
            numbers: Numbers::new(orders, refs),
            asking: BTreeMap::new(),
            later: HashMap::new(),
            members: HashMap::new(),
            waiting: HashMap::new(),
            manifests: HashMap::new(),
            sending: BTreeMap::new(),
            author_of: HashMap::new(),
            receipts: HashMap::new(),
            taken_back: None,
            colleague,
            labels: HashMap::new(),
            published: Vec::new(),
            figures: Figures::default(),
            grid: settings.grid,
            classes: settings.classes,
            seed: settings.seed,
        })
    }

    fn run(mut self, step: &dyn Fn(u64, u64)) -> Result<Outcome> {
        let placed = by_day(self.orders, |order| Some(order.purchased_at));
        let due = by_day(self.orders, |order| Some(order.due_at()));
        let dying = by_day(self.orders, |order| Some(numbers_die_at(order)));
        let writing = by_day(self.orders, |order| order.stars.and(order.reviewed_at));
        let days = || [&placed, &due, &dying, &writing].into_iter().flat_map(|events| events.keys().copied());
        let (Some(first), Some(last)) = (days().min(), days().max()) else {
            let (figures, calls) = (self.figures, self.numbers.calls);
            return Ok(Outcome { exports: Exports::default(), figures, calls, act: None });
        };
        // After the last event every open window gets the time to end.
        let last = last + (WINDOW_WEEKS + 6) * 7;
        let none = Vec::new();
        for day in first..=last {
            let midnight = Timestamp::from_unix_seconds(day * DAY);
            self.clock.set(midnight);
            self.boundary(midnight)?;
            self.take_back(day)?;
            self.clock.set(midnight.saturating_add(DAY - 1));
            let written = writing.get(&day).unwrap_or(&none);
            let due = due.get(&day).unwrap_or(&none);
            let wanting = self.numbers.wanting(placed.get(&day).unwrap_or(&none), day);
            // Orders whose numbers are closed on this day have them until then.
            let dying = dying.get(&day).unwrap_or(&none);
            let closes = |order: &usize| dying.contains(order);
            let (ending, wanting): (Vec<usize>, Vec<usize>) = wanting.into_iter().partition(closes);
            let (rung_before, rung): (Vec<usize>, Vec<usize>) =
                written.iter().partition(|order| closes(order));
            self.bind_numbers(&ending, &rung_before)?;
            self.kill_numbers(dying)?;
            // Telephony knows nothing of what the other services do meanwhile.
            let mut numbers = std::mem::take(&mut self.numbers);
            let (platform, cast, now) = (Arc::clone(&self.platform), self.cast, self.clock.now());
            let telephony = || {
                let started = Instant::now();
                bind_and_ring(&platform, &mut numbers, cast, (&wanting, &rung), now)
                    .map(|()| started.elapsed())
            };
            let (bound, done) = std::thread::scope(|scope| {
                let bound = scope.spawn(telephony);
                let done = self.orders_and_reviews(day, due, written);
                (bound.join(), done)
            });
            self.figures.telephony += bound.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))?;
            self.numbers = numbers;
            done?;
            step(day - first + 1, last - first + 1);
        }
        self.finish()
    }

    /// At every midnight; the platform itself knows which of them are boundaries.
    fn boundary(&mut self, now: Timestamp) -> Result<()> {
        if self.grid.at_or_before(now) != Some(now) {
            return Ok(());
        }
        let started = Instant::now();
        let report = self.platform.tick()?;
        self.figures.boundaries.add(1, started.elapsed());
        if let Some(LedgersReport { reviews, openings }) = &report.ledgers {
            let stands =
                |report: &LedgerReport| report.publication.as_ref().is_none_or(|done| !done.published);
            if stands(reviews) || stands(openings) {
                return Err("a ledger was not published".into());
            }
        }
        self.record(&report)?;
        let mut ready = Vec::new();
        for manifest in report.manifests {
            let scope = manifest.claimed_scope().clone();
            let later = self.later.remove(scope.merchant()).unwrap_or_default();
            self.will_ask(later, now);
            ready.extend(self.waiting.remove(&scope).unwrap_or_default());
            self.manifests.insert(scope, manifest);
        }
        ready.sort_unstable();
        self.present(&ready)
    }

    fn record(&mut self, report: &TickReport) -> Result<()> {
        self.figures.cohorts_sealed += report.manifests.len();
        self.figures.cohorts_starving = report.starving.len();
        for batch in &report.batches {
            let mut authors = Vec::with_capacity(batch.reviews.len());
            for review in &batch.reviews {
                let Some(&author) = self.author_of.get(&review.review_id) else { continue };
                if !self.cast.is_real(author) {
                    continue;
                }
                authors.push(author);
                let order = &self.orders[author];
                self.figures.published += 1;
                self.published.push(PublishedReview {
                    merchant: order.merchant.clone(),
                    cohort: self.labels.get(&batch.scope).cloned(),
                    published_at: batch.boundary.as_unix_seconds() as i64,
                    stars: review.review.stars(),
                    truth_order_id: order.order_id.clone(),
                    truth_written_at: order.reviewed_at,
                });
            }
            let started = Instant::now();
            let cohort = self.members.get(&batch.scope).map_or(&[][..], Vec::as_slice);
            self.numbers.ring_cohort(self.platform.telephony()?, &authors, cohort)?;
            self.figures.telephony += started.elapsed();
        }
        Ok(())
    }

    /// What customers and their devices do on a day, but for their calls.
    fn orders_and_reviews(&mut self, day: u64, due: &[usize], written: &[usize]) -> Result<()> {
        self.enrol(due)?;
        self.deliver(due)?;
        let asked = self.asking.remove(&day).unwrap_or_default();
        let granted = self.ask(&asked)?;
        for &order in written {
            self.devices[order].written = true;
        }
        // A review that was written before its order had a token waits for it.
        let mut ready = written.to_vec();
        ready.extend(granted.into_iter().filter(|&order| self.devices[order].written));
        ready.sort_unstable();
        ready.dedup();
        self.present(&ready)?;
        self.submit(day)
    }

    fn bind_numbers(&mut self, wanting: &[usize], written: &[usize]) -> Result<()> {
        let started = Instant::now();
        let now = self.clock.now();
        bind_and_ring(&self.platform, &mut self.numbers, self.cast, (wanting, written), now)?;
        self.figures.telephony += started.elapsed();
        Ok(())
    }

    /// Closes the orders' numbers, and tells the order service when they are dead; the host wakes each
    /// device at its time.
    fn kill_numbers(&mut self, dying: &[usize]) -> Result<()> {
        let started = Instant::now();
        let dead = self.numbers.close(self.platform.telephony()?, dying)?;
        self.figures.telephony += started.elapsed();
        let (now, mut orders, mut reports) = (self.clock.now(), Vec::new(), Vec::new());
        for (&order, at) in dying.iter().zip(dead) {
            if let Some(handle) = self.handles[order] {
                let merchant = Name::new(&self.orders[order].merchant)?;
                orders.push(order);
                reports.push(NumbersDead { merchant, handle, at });
            }
        }
        for (order, eligible) in orders.into_iter().zip(self.platform.issuer().numbers_dead(&reports)) {
            // That of an order whose numbers the platform has ended before may be over.
            self.will_ask(vec![order], eligible?.max(now));
        }
        Ok(())
    }

    /// Each device draws its time, once.
    fn will_ask(&mut self, orders: Vec<usize>, from: Timestamp) {
        for order in orders {
            // What happens on a day happens in its last second.
            let day = asking_time(from, &mut SystemRng::new()).as_unix_seconds() / DAY;
            self.asking.entry(day).or_default().push(order);
        }
    }

    /// The second act, and the attacker's tables: with the orders of the story, which the
    /// portals show like all others, and without its reviews.
    fn finish(self) -> Result<Outcome> {
        let scene = Scene {
            platform: &self.platform,
            issuer: self.issuer_key,
            clock: &self.clock,
            environment: &self.environment,
            cast: self.cast,
            author_of: &self.author_of,
            receipts: &self.receipts,
            taken_back: self.taken_back.as_ref(),
            colleague: self.colleague,
        };
        let act = extortion::play(&scene, self.court)?;
        let label =
            |order: usize| self.devices[order].token.as_ref().map(|token| &self.labels[token.scope()]);
        let orders = self.orders.iter().enumerate();
        let exports = Exports {
            orders: orders.map(|(index, order)| PortalOrder::new(order, label(index).cloned())).collect(),
            published: self.published,
        };
        Ok(Outcome { exports, figures: self.figures, calls: self.numbers.calls, act })
    }
}

/// Gives numbers to the orders that want one, and tries with the authors of what was written what a
/// platform without embargo would give away.
fn bind_and_ring<S: Store>(
    platform: &Platform<S>,
    numbers: &mut Numbers<'_>,
    cast: &Cast,
    (wanting, written): (&[usize], &[usize]),
    now: Timestamp,
) -> Result<()> {
    let switchboard = platform.telephony()?;
    numbers.bind(switchboard, wanting, now)?;
    let real: Vec<usize> = written.iter().copied().filter(|&order| cast.is_real(order)).collect();
    numbers.ring_authors(switchboard, &real)
}

/// A customer's wallet: derived from the run's seed, so that a replay has the same wallets.
fn wallet(customer: &str, seed: u64) -> Wallet {
    let digest = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(customer).finalize();
    Wallet::from_seed(SecretBytes::new(digest.into()))
}

/// A cohort's name in the exports: opaque like its number, and the same in every replay.
fn label(number: u64, seed: u64) -> String {
    let digest = Sha256::new().chain_update(b"cohort").chain_update(seed.to_le_bytes());
    let digest: [u8; 32] = digest.chain_update(number.to_le_bytes()).finalize().into();
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(u64::try_from(seconds).unwrap_or_default())
}

/// The orders' indices by the day on which `moment` falls.
fn by_day(orders: &[Order], moment: impl Fn(&Order) -> Option<i64>) -> BTreeMap<u64, Vec<usize>> {
    let mut days: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (index, order) in orders.iter().enumerate() {
        if let Some(moment) = moment(order) {
            days.entry(timestamp(moment).as_unix_seconds() / DAY).or_default().push(index);
        }
    }
    days
}
