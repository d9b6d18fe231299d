//! The switchboard with what it needs, and how many ask it at once.

use crate::pool::{self, MAX_LIFE};
use crate::words::{At, Outcome};
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;
use unjoin::Environment;
use unjoin::phone::gateway::{Audio, FreeSwitch, Once, Question};
use unjoin::phone::{
    CallId, Channel, Keeper, LocalKey, NumberRange, NumberingPlan, Pool, PoolConfig, Pools, Route,
    RouteRequest, SlotConfig, SlotKeys, Switchboard, SwitchboardConfig, VirtualNumber,
};
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::{OwnStore, Store};

/// So many questions are decided at the same time, each on a thread of its own: the store
/// blocks. As many again may wait; more are not answered, and the switch says 503.
pub(crate) const DECISIONS_AT_ONCE: usize = 16;

pub(crate) struct Settings<'a> {
    pub(crate) directory: &'a Path,
    pub(crate) sofia_gateway: &'a str,
    pub(crate) first_number: &'a str,
    pub(crate) more_pools: &'a [NamedPool],
    pub(crate) trusted_twilio: Vec<Channel>,
    pub(crate) audio: Option<Audio>,
}

/// A pool beside the first.
#[derive(Clone)]
pub(crate) struct NamedPool {
    label: String,
    first_number: String,
    count: u64,
    fallbacks: Vec<String>,
}

impl NamedPool {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut parts = text.split(',').map(str::to_owned);
        let (Some(label), Some(first_number), Some(count)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err("LABEL,FIRST NUMBER,COUNT");
        };
        // It names the file of the pool's key.
        if label.is_empty() || !label.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err("a label is letters and digits");
        }
        let count = count.parse().map_err(|_| "a count is a whole number")?;
        if count < 4 {
            return Err("four numbers at least: a pool has four slices");
        }
        Ok(Self { label, first_number, count, fallbacks: parts.collect() })
    }
}

fn pools(settings: &Settings<'_>) -> Outcome<Pools> {
    // A platform keeps these in its key management; here they are files.
    let key = |name: &str| kept_key(&settings.directory.join(name)).map(SecretBytes::new);
    let first = Pool::new(pool::config(settings.first_number)?, &key("demonstration-pool-key")?)?;
    let mut pools = Pools::new("numbers", Arc::new(first));
    for named in settings.more_pools {
        let NamedPool { label, first_number, count, fallbacks } = named;
        let slices = NumberRange::new(VirtualNumber::new(first_number)?, *count)?.slices(4);
        let config = PoolConfig { slices, largest_hub: count / 4, ..pool::config(settings.first_number)? };
        let pool = Pool::new(config, &key(&format!("demonstration-pool-key-{label}"))?)?;
        let fallbacks: Vec<&str> = fallbacks.iter().map(String::as_str).collect();
        pools = pools.and(label, Arc::new(pool), &fallbacks)?;
    }
    Ok(pools)
}

pub(crate) struct Service<S: Store> {
    pub(crate) switchboard: Switchboard<S>,
    pub(crate) plan: NumberingPlan,
    pub(crate) freeswitch: FreeSwitch,
    pub(crate) environment: Environment,
    /// On which of Twilio's channels a sender whom nobody attests is believed.
    pub(crate) trusted_twilio: Vec<Channel>,
    /// What callers hear while a phone rings, and when they are refused.
    pub(crate) audio: Option<Audio>,
    /// The messages that were passed on.
    pub(crate) messages: Once,
    keeper: Arc<Keeper>,
    waiting: Semaphore,
    /// Demonstration: answers about these numbers come late.
    delays: Mutex<HashMap<VirtualNumber, Duration>>,
}

impl<S: Store> Service<S> {
    pub(crate) fn open(store: Arc<OwnStore<S>>, settings: Settings<'_>) -> Outcome<Self> {
        let environment = Environment::system();
        let directory = settings.directory;
        let pools = pools(&settings)?;
        let key_encryption =
            LocalKey::new(SecretBytes::new(kept_key(&directory.join("demonstration-key-encryption"))?));
        // Four slots; clocks agree within half a minute.
        let slots = SlotConfig::new(MAX_LIFE, 4, 30)?;
        let file = directory.join("slot-keys");
        let keeper = Keeper::create_or_open(&file, key_encryption, slots, &environment).at(&file)?;
        let keeper = Arc::new(keeper);
        let switchboard = Switchboard::open(
            store,
            SwitchboardConfig::new(MAX_LIFE),
            pools,
            Arc::clone(&keeper) as Arc<dyn SlotKeys>,
            environment.clone(),
        )?;
        Ok(Self {
            switchboard,
            plan: NumberingPlan::new("86", "00", "0")?.unprefixed_national(),
            freeswitch: match settings.audio {
                None => FreeSwitch::new(settings.sofia_gateway, false)?,
                Some(audio) => FreeSwitch::new(settings.sofia_gateway, false)?.with_audio(audio),
            },
            environment,
            trusted_twilio: settings.trusted_twilio,
            audio: settings.audio,
            messages: Once::new(),
            keeper,
            waiting: Semaphore::new(2 * DECISIONS_AT_ONCE),
            delays: Mutex::default(),
        })
    }

    /// The route, or nothing when too many ask: the switch then says that the service is not
    /// available, whoever called.
    pub(crate) async fn decide(self: &Arc<Self>, question: &Question) -> Option<Route> {
        let _place = self.waiting.try_acquire().ok()?;
        let Some(request) = question.request(&self.plan) else { return Some(Route::Refuse) };
        let delay = self.delay_of(request.dialled);
        let service = Arc::clone(self);
        let route = spawn_blocking(move || service.route(&request)).await.ok()?;
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        Some(route)
    }

    /// An error of keys or store is refused like everything else: which records are damaged is
    /// nobody's business.
    fn route(&self, request: &RouteRequest) -> Route {
        self.switchboard.route(request).unwrap_or_else(|error| {
            eprintln!("refused for {}", error.code());
            Route::Refuse
        })
    }

    /// The calls that are to end. None when that cannot be said now: it is asked again soon.
    pub(crate) async fn calls_to_end(self: &Arc<Self>) -> Vec<CallId> {
        let service = Arc::clone(self);
        let asked = spawn_blocking(move || service.switchboard.calls_to_end()).await;
        match asked {
            Ok(Ok(calls)) => calls,
            Ok(Err(error)) => {
                eprintln!("calls that must end: {}", error.code());
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.keeper.window(self.environment.now()).is_ok()
    }

    pub(crate) fn delay(&self, number: VirtualNumber, delay: Duration) {
        let mut delays = self.delays.lock().unwrap_or_else(PoisonError::into_inner);
        if delay.is_zero() {
            delays.remove(&number)
        } else {
            delays.insert(number, delay)
        };
    }

    fn delay_of(&self, number: VirtualNumber) -> Option<Duration> {
        self.delays.lock().unwrap_or_else(PoisonError::into_inner).get(&number).copied()
    }

    /// How many were put through and refused; the reasons are for a metrics endpoint.
    pub(crate) fn summary(&self) -> String {
        let counts = self.switchboard.counts();
        let refused = counts.withheld
            + counts.badly_attested
            + counts.unknown
            + counts.ended
            + counts.cut_off
            + counts.expired
            + counts.wrong_channel
            + counts.closed_direction
            + counts.callee_barred
            + counts.too_many;
        format!("{} put through, {refused} refused", counts.connected)
    }
}

/// Makes and deletes slot keys in time, and clears away.
pub(crate) async fn housekeeping<S: Store>(service: Arc<Service<S>>, mut stopped: watch::Receiver<bool>) {
    for round in 0_u64.. {
        let service = Arc::clone(&service);
        let _ = spawn_blocking(move || {
            if let Err(error) = service.keeper.rotate(service.environment.now()) {
                eprintln!("slot keys: {error}");
            }
            if round % 12 == 11 {
                match service.switchboard.tick() {
                    // Who was dialled in vain is for the operator's alarm, not for a log.
                    Ok(report) => println!("{}; {} alarms", service.summary(), report.alarms.len()),
                    Err(error) => eprintln!("tick: {error}"),
                }
            }
        })
        .await;
        if tokio::time::timeout(Duration::from_secs(5), stopped.changed()).await.is_ok() {
            return;
        }
    }
}

/// The 32 bytes in this file, made at the first start and readable by nobody else.
fn kept_key(path: &Path) -> Outcome<[u8; 32]> {
    if !path.exists() {
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).at(path)?;
        file.write_all(SecretBytes::<32>::random(&mut SystemRng::new()).expose()).at(path)?;
        file.sync_all().at(path)?;
    }
    fs::read(path).at(path)?.try_into().map_err(|_| "a demonstration key has 32 bytes").at(path)
}
