//! The library's services with what stands around them.

use crate::endpoint::Side;
use crate::gateway::Gate;
use crate::metrics::{Metrics, TOGETHER};
use crate::nonces::Nonces;
use crate::pool::{self, MAX_LIFE};
use crate::problem::Problem;
use crate::secrets::Secrets;
use crate::serve::Connections;
use crate::witnesses::{self, WitnessAt};
use axum::extract::State;
use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;
use unjoin::issuer::{ClassPolicy, EveryoneOfStanding, StarvingCohort};
use unjoin::ledger::{Ledgers, LedgersReport, LogView, StaffKeyEntry, Witness};
use unjoin::phone::{
    Keeper, LocalKey, NumberingPlan, Pool, SlotConfig, SlotKeyError, SlotKeys, Switchboard, SwitchboardConfig,
};
use unjoin::secret::SystemRng;
use unjoin::store::identity::{Role, Roster};
use unjoin::store::{Store, StoreError, Stores as PlatformStores};
use unjoin::token::{PlatformKey, StaffKey};
use unjoin::{
    Clock, Environment, ManualClock, Name, Platform, PlatformConfig, QueueConfig, TickReport, Timestamp,
};
use unjoin_door::BundlePiece;

/// Threads for calls that wait for a store.
pub(crate) const BLOCKING_THREADS: usize = 16;
/// So many such calls may be under way or wait for a thread.
const BLOCKING_CALLS: usize = 256;

/// The file or the schema of the store for this.
pub(crate) fn name_of(role: Role) -> &'static str {
    match role {
        Role::Orders => "orders",
        Role::Reviews => "reviews",
        Role::Telephony => "phones",
        _ => "ledgers",
    }
}

/// How everybody reads in the ledger who removes reviews.
const STAFF: &str = "moderation";

/// One store for each service, so that a dump of one is not a dump of all.
pub(crate) struct Stores<S> {
    pub(crate) orders: S,
    pub(crate) reviews: S,
    pub(crate) phones: S,
    /// All of it is public, or will be.
    pub(crate) ledgers: S,
}

impl<S: Store> Stores<S> {
    pub(crate) fn each<E>(engine: impl Fn(&str) -> Result<S, E>) -> Result<Self, E> {
        Ok(Self {
            orders: engine("orders")?,
            reviews: engine("reviews")?,
            phones: engine("phones")?,
            ledgers: engine("ledgers")?,
        })
    }

    pub(crate) fn by_role(self) -> [(Role, Arc<S>); 4] {
        let Self { orders, reviews, phones, ledgers } = self;
        [
            (Role::Orders, orders),
            (Role::Reviews, reviews),
            (Role::Telephony, phones),
            (Role::Ledgers, ledgers),
        ]
        .map(|(role, store)| (role, Arc::new(store)))
    }

    /// Makes each for its role; again after an interruption.
    pub(crate) fn create(self, roster: &Roster) -> Result<PlatformStores<S>, StoreError> {
        PlatformStores::create(roster, self.by_role(), &mut SystemRng::new())
    }

    /// Opens what was created, each in its place, and makes nothing.
    pub(crate) fn open(self, roster: &Roster) -> Result<PlatformStores<S>, StoreError> {
        PlatformStores::open(roster, self.by_role(), &mut SystemRng::new())
    }
}

pub(crate) struct Settings<'a> {
    /// For the slot keys' file.
    pub(crate) directory: &'a Path,
    /// Another process has that file: it is asked.
    pub(crate) beside: bool,
    pub(crate) name: Name,
    /// The host that requests at the door name.
    pub(crate) door_host: String,
    /// For new keys of the door.
    pub(crate) shard_bits: u8,
    /// The least cohort, in customers.
    pub(crate) k: u32,
    /// Seconds from the end of an order's numbers until its token can be asked for.
    pub(crate) hold: u64,
    /// The customers of a cohort times its days at which it is large enough.
    pub(crate) order_days: u32,
    /// Of both ledgers.
    pub(crate) witnesses: Vec<WitnessAt>,
    pub(crate) queue: QueueConfig,
    /// So many requests are under way at most.
    pub(crate) in_flight: usize,
    /// So many connections are open on each side at most.
    pub(crate) connections: usize,
    /// The most that a request may take to come, to be decided, and its answer to be taken.
    pub(crate) patience: Duration,
    /// Moves a demonstration's clock.
    pub(crate) advance: Option<Advance>,
}

impl<'a> Settings<'a> {
    /// Of a service that has its directory to itself, and a clock that is moved: for demonstrations and tests.
    pub(crate) fn by_hand(
        directory: &'a Path,
        name: Name,
        door_host: &str,
        clock: &Arc<ManualClock>,
    ) -> Self {
        let clock = Arc::clone(clock);
        Self {
            directory,
            beside: false,
            name,
            door_host: door_host.to_owned(),
            shard_bits: 0,
            k: 2,
            hold: 0,
            order_days: 300,
            witnesses: Vec::new(),
            queue: QueueConfig::default(),
            in_flight: 1_024,
            connections: 1_000,
            patience: Duration::from_secs(30),
            advance: Some(Box::new(move |seconds| clock.set(clock.now().saturating_add(seconds)))),
        }
    }
}

/// How the platform runs.
pub(crate) fn platform_config(name: Name, k: u32, queue: QueueConfig) -> PlatformConfig {
    let mut config = PlatformConfig::new(name);
    config.issuer.classes = [0, 1].map(|class| ClassPolicy { class, k }).to_vec();
    (config.issuer.queue, config.desk.queue) = (queue, queue);
    config
}

/// The keeper of the slot keys, whose file is in this directory.
pub(crate) fn keeper(
    directory: &Path,
    encryption: LocalKey,
    environment: &Environment,
) -> Result<Keeper, SlotKeyError> {
    // Four slots; clocks agree within half a minute.
    let slots = SlotConfig::new(MAX_LIFE, 4, 30)?;
    Keeper::create_or_open(directory.join("slot-keys"), encryption, slots, environment)
}

/// Has a clock go on by so many seconds.
pub(crate) type Advance = Box<dyn Fn(u64) + Send + Sync>;

/// The service, as its handlers get it.
pub(crate) type Shared<S> = State<Arc<Service<S>>>;

pub(crate) struct Service<S: Store> {
    pub(crate) platform: Platform<S>,
    pub(crate) environment: Environment,
    pub(crate) nonces: Nonces,
    pub(crate) metrics: Metrics,
    pub(crate) plan: NumberingPlan,
    pub(crate) in_flight: Semaphore,
    most_in_flight: usize,
    /// Of devices and readers, and of the platform's own.
    connections: [Arc<Connections>; 2],
    pub(crate) patience: Duration,
    /// Not ready any more.
    pub(crate) leaving: AtomicBool,
    /// Nothing new is begun any more.
    pub(crate) stopping: AtomicBool,
    slot_keys: SlotKeysFrom,
    blocking: Arc<Semaphore>,
    tick_works: AtomicBool,
    /// What the last tick found too small.
    pub(crate) starving: Mutex<Vec<StarvingCohort>>,
    pub(crate) advance: Option<Advance>,
    /// Held while a backup is made.
    pub(crate) backing_up: Mutex<()>,
    /// Signs removals, for the reviews ledger with this origin.
    pub(crate) staff: StaffKey,
    pub(crate) reviews_origin: String,
    /// Opens what comes over a relay.
    pub(crate) gateway: Gate,
}

/// Where the slot keys are.
enum SlotKeysFrom {
    /// Here, and others on this machine may ask.
    Here {
        keeper: Arc<Keeper>,
        #[cfg(unix)]
        _sharing: Option<crate::slot_keys::Sharing>,
    },
    /// In another process.
    #[cfg(unix)]
    Beside(Arc<crate::slot_keys::Asked>),
}

impl SlotKeysFrom {
    fn open(
        settings: &Settings<'_>,
        encryption: LocalKey,
        environment: &Environment,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let directory = settings.directory;
        if settings.beside {
            #[cfg(unix)]
            return Ok(Self::Beside(Arc::new(crate::slot_keys::Asked::of(directory))));
            #[cfg(not(unix))]
            return Err("--beside needs sockets in the file system".into());
        }
        let keeper = Arc::new(keeper(directory, encryption, environment)?);
        #[cfg(unix)]
        let sharing = crate::slot_keys::Sharing::start(directory, Arc::clone(&keeper), environment.clone())
            .inspect_err(|error| tracing::warn!("nobody can serve --beside: {error}"));
        Ok(Self::Here {
            keeper,
            #[cfg(unix)]
            _sharing: sharing.ok(),
        })
    }

    fn shared(&self) -> Arc<dyn SlotKeys> {
        match self {
            Self::Here { keeper, .. } => Arc::clone(keeper) as Arc<dyn SlotKeys>,
            #[cfg(unix)]
            Self::Beside(asked) => Arc::clone(asked) as Arc<dyn SlotKeys>,
        }
    }

    /// Whether they serve.
    fn serve(&self, now: Timestamp) -> Result<(), SlotKeyError> {
        self.shared().window(now).map(drop)
    }

    /// Deletes and makes keys in time; another process' window is replaced by its present one.
    fn rotate(&self, now: Timestamp) -> Result<(), SlotKeyError> {
        match self {
            Self::Here { keeper, .. } => keeper.rotate(now),
            #[cfg(unix)]
            Self::Beside(_) => self.serve(now),
        }
    }
}

impl<S: Store> Service<S> {
    pub(crate) fn open(
        stores: PlatformStores<S>,
        secrets: Secrets,
        settings: Settings<'_>,
        environment: Environment,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let slot_keys = SlotKeysFrom::open(&settings, secrets.slot_key_encryption, &environment)?;
        let mut config = platform_config(settings.name, settings.k, settings.queue);
        config.issuer.hold = settings.hold;
        config.issuer.order_days = settings.order_days;
        let switchboard = Switchboard::open(
            stores.own(Role::Telephony)?,
            SwitchboardConfig { queue: settings.queue, ..SwitchboardConfig::new(MAX_LIFE) },
            Arc::new(Pool::new(pool::config("+8617000000000")?, &secrets.pool_key)?),
            slot_keys.shared(),
            environment.clone(),
        )?;
        let gateway = Gate::open(
            settings.directory,
            settings.door_host,
            config.issuer.grid,
            settings.shard_bits,
            secrets
                .platform
                .platform_key
                .to_secret_bytes()
                .map(|key| PlatformKey::from_secret_bytes(&key))
                .ok_or("the platform's key is not in this process: the gateway cannot sign with it")?,
        )?;
        let origin = secrets.reviews_ledger.public().name().to_string();
        let staff = StaffKeyEntry::sign(
            &secrets.platform.platform_key,
            &origin,
            &secrets.staff.public(),
            Name::new(STAFF)?,
        )?;
        let ledgers = Ledgers::open(
            stores.own(Role::Ledgers)?,
            witnesses::ledger(secrets.reviews_ledger, &settings.witnesses)?,
            witnesses::ledger(secrets.openings_ledger, &settings.witnesses)?,
            settings.witnesses.into_iter().map(|witness| Arc::new(witness) as Arc<dyn Witness>).collect(),
        )?;
        let platform = Platform::open(
            stores,
            config,
            secrets.platform,
            // A platform judges by payments, age and instruments; here every account counts.
            Arc::new(EveryoneOfStanding),
            environment.clone(),
        )?;
        // Once, in the ledger for good; at every later start it is there.
        platform.desk().admit_staff(&staff, &origin)?;
        gateway.rotate(ledgers.reviews(), environment.now(), false)?;
        Ok(Self {
            platform: platform.with_telephony(switchboard).with_ledgers(ledgers),
            environment,
            nonces: Nonces::new(&secrets.nonces),
            metrics: Metrics::new(),
            plan: NumberingPlan::new("86", "00", "0")?.unprefixed_national(),
            in_flight: Semaphore::new(settings.in_flight),
            most_in_flight: settings.in_flight,
            connections: [Connections::new(settings.connections), Connections::new(settings.connections)],
            patience: settings.patience,
            leaving: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            slot_keys,
            blocking: Arc::new(Semaphore::new(BLOCKING_CALLS)),
            tick_works: AtomicBool::new(true),
            starving: Mutex::default(),
            advance: settings.advance,
            backing_up: Mutex::default(),
            staff: secrets.staff,
            reviews_origin: origin,
            gateway,
        })
    }

    /// Runs what waits for a store on a thread that may wait. Its place is given back when it has
    /// ended, whether or not anybody still wants the answer.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let place = Arc::clone(&self.blocking).try_acquire_owned().map_err(|_| Problem::busy())?;
        let service = Arc::clone(self);
        let run = move || {
            let answer = work(&service);
            drop(place);
            answer
        };
        spawn_blocking(run).await.map_err(|_| Problem::lost())?
    }

    pub(crate) fn connections(&self, side: Side) -> Arc<Connections> {
        let [devices, internal] = &self.connections;
        Arc::clone(match side {
            Side::Devices => devices,
            Side::Internal => internal,
        })
    }

    /// Whether it stays, and another request finds a place.
    pub(crate) fn has_room(&self) -> Result<(), Problem> {
        let rule = |holds: bool, why| if holds { Ok(()) } else { Err(Problem::not_ready(why)) };
        rule(!self.leaving.load(Ordering::SeqCst), "this instance is ending")?;
        rule(!self.connections(Side::Devices).are_full(), "all connections for devices are taken")?;
        rule(self.in_flight.available_permits() > 0, "as many requests are under way as may be")
    }

    /// Whether all stores answer, the slot keys serve, and the last tick went through. A quorum of witnesses
    /// that is missing is an alarm, and no reason to send devices elsewhere.
    pub(crate) fn is_working(&self) -> Result<(), Problem> {
        let rule = |holds: bool, why| if holds { Ok(()) } else { Err(Problem::not_ready(why)) };
        let nobody = Name::new("nobody")?;
        rule(self.tick_works.load(Ordering::SeqCst), "the last tick did not go through")?;
        rule(self.slot_keys.serve(self.environment.now()).is_ok(), "the slot keys do not serve")?;
        rule(self.platform.histogram(&nobody).is_ok(), "the reviews' store does not answer")?;
        rule(self.platform.manifests(&nobody, None, 1).is_ok(), "the orders' store does not answer")?;
        let ledgers = self.platform.ledgers();
        let answer = ledgers.is_some_and(|ledgers| ledgers.reviews().checkpoint().is_ok());
        rule(answer, "the ledgers' store does not answer")
    }

    /// What is open, under way or waiting now.
    pub(crate) fn load(&self) -> [(&'static str, usize); 6] {
        let reviews = self.platform.desk().waiting();
        [
            ("queue_grants", self.platform.issuer().waiting()),
            // A few would tell when they came.
            ("queue_reviews", if reviews < TOGETHER { 0 } else { reviews }),
            ("connections_devices", self.connections(Side::Devices).open()),
            ("connections_internal", self.connections(Side::Internal).open()),
            ("requests", self.most_in_flight - self.in_flight.available_permits()),
            ("blocking_calls", BLOCKING_CALLS - self.blocking.available_permits()),
        ]
    }

    /// What falls due. Resumable: after a failure, or a kill, the next one goes on.
    pub(crate) fn tick(&self) -> Option<TickReport> {
        let outcome = self.platform.tick();
        // A tick whose clock is held has done nothing.
        let is_held =
            |report: &TickReport| report.failed.iter().any(|error| error.code().contains(".clock_"));
        let works = outcome.as_ref().is_ok_and(|report| !is_held(report));
        self.tick_works.store(works, Ordering::SeqCst);
        match outcome {
            Ok(report) => {
                if works {
                    self.rotate_door();
                }
                self.metrics.ticked(self.environment.now(), &report);
                self.starving.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&report.starving);
                tracing::info!(
                    sealed = report.manifests.len(),
                    published = report.batches.len(),
                    starving = report.starving.len(),
                    outrun = report.outrun.len(),
                    numbers_overdue = report.numbers_overdue.len(),
                    "tick"
                );
                for failed in &report.failed {
                    tracing::error!(code = failed.code(), "stays due: {failed}");
                }
                report.ledgers.iter().for_each(tell_of);
                Some(report)
            }
            Err(error) => {
                self.metrics.tick_failed();
                tracing::error!(code = error.code(), "tick: {error}");
                None
            }
        }
    }

    fn rotate(&self) {
        if let Err(error) = self.slot_keys.rotate(self.environment.now()) {
            tracing::error!(code = error.code(), "slot keys: {error}");
        }
    }

    /// Makes, logs and erases keys of the door in time.
    fn rotate_door(&self) {
        let Some(ledgers) = self.platform.ledgers() else { return };
        if let Err(error) = self.gateway.rotate(ledgers.reviews(), self.environment.now(), true) {
            tracing::error!("keys of the door: {error}");
        }
    }

    /// A piece of a bundle: boundary, shard and piece.
    pub(crate) fn bundle(&self, asked: (Timestamp, u16, u16)) -> Result<BundlePiece, Problem> {
        let ledgers = self.platform.ledgers().ok_or_else(Problem::lost)?;
        self.gateway.bundle(ledgers.reviews(), self.environment.now(), asked)
    }

    /// After downtime, or a jump of the clock: issuer, desk and slot keys go on at its time.
    pub(crate) fn confirm_clock(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let now = self.environment.now();
        self.platform.confirm_clock(now)?;
        match &self.slot_keys {
            SlotKeysFrom::Here { keeper, .. } => Ok(keeper.confirm_clock(now)?),
            // Its own process is told by itself.
            #[cfg(unix)]
            SlotKeysFrom::Beside(_) => Ok(()),
        }
    }
}

/// What failed with a ledger, and which witnesses do not cosign.
fn tell_of(report: &LedgersReport) {
    for (ledger, report) in [("reviews", &report.reviews), ("openings", &report.openings)] {
        if let Some(error) = &report.failed {
            tracing::error!(ledger, code = error.code(), "ledger: {error}");
        }
        for (witness, error) in report.publication.iter().flat_map(|publication| &publication.refusals) {
            tracing::warn!(ledger, %witness, code = error.code(), "witness: {error}");
        }
    }
}

/// Ticks every `period`, and makes and deletes slot keys in time, until `stopped`; what is under
/// way then is finished.
pub(crate) async fn housekeeping<S: Store>(
    service: Arc<Service<S>>,
    period: Duration,
    mut stopped: watch::Receiver<bool>,
) {
    const ROTATION: Duration = Duration::from_secs(5);
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut rotations = tokio::time::interval(ROTATION);
    rotations.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let owned = Arc::clone(&service);
        let done = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            _ = ticks.tick() => spawn_blocking(move || { owned.tick(); }),
            _ = rotations.tick() => spawn_blocking(move || owned.rotate()),
        };
        if done.await.is_err() {
            tracing::error!("the periodic work panicked");
        }
    }
}
