//! What calls and bindings cost, and how that grows with the numbers that are live.
//!
//! A call is routed when the caller's and the dialled number have become an answer: the work is
//! the same for a refusal. A binding counts when both its index rows and the order's record are
//! in the synced file. Routing is measured on one thread, by its processor time.

use clap::Parser;
use cpu_time::ThreadTime;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use unjoin::phone::{
    Attestation, Binding, CallEnd, CallProgress, Callees, Channel, Keeper, LocalKey, NumberRange, OrderRef,
    Parties, PhoneNumber, Pool, PoolConfig, Route, RouteRequest, SlotConfig, Switchboard, SwitchboardConfig,
    VirtualNumber,
};
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::identity::Role;
use unjoin::store::{Bucket, MemoryStore, RedbStore, Store};
use unjoin::{Clock, DAY, Environment, ManualClock, Name, SystemClock, Timestamp};
use unjoin_benches::arguments::{Extent, Place};
use unjoin_benches::drive::{bar, drive, print_load};
use unjoin_benches::machine;
use unjoin_benches::slow::SlowSync;
use unjoin_test_util::own;

/// A number lives so long, in seconds.
const LIFE: u64 = 90 * 60;
/// Orders of each merchant, and so numbers that each draws.
const PER_MERCHANT: usize = 50;
/// Pairs that share a number, in the mean.
const PAIRS: usize = 3;
const SLICES: u64 = 3;
/// The pool's first number, and the first phones of merchants and of customers.
const FIRST_NUMBER: &str = "+700000000000";
const FIRST_MERCHANT: u64 = 861_000_000_000;
const FIRST_CUSTOMER: u64 = 8_613_000_000_000;
const FIRST_STRANGER: u64 = 8_618_000_000_000;

/// Measures calls routed and bindings made a second
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    extent: Extent,
    /// Numbers that are live.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000])]
    live: Vec<usize>,
    /// Calls of each kind.
    #[arg(long, default_value_t = 200_000)]
    calls: usize,
    /// Bindings for each number of callers.
    #[arg(long, default_value_t = 5_000)]
    bindings: usize,
    /// MiB of memory that redb's page cache takes at most.
    #[arg(long, default_value_t = 1024)]
    cache: usize,
    /// Milliseconds that every sync of redb takes longer, while no other commit runs. Filling is slowed as well.
    #[arg(long, default_value_t = 0)]
    sync_ms: u64,
    /// Leaves the store in memory out.
    #[arg(long)]
    redb_only: bool,
    #[command(flatten)]
    place: Place,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = Arguments::parse();
    if arguments.extent.quick {
        (arguments.live, arguments.calls, arguments.bindings) = (vec![200], 200, 64);
    }
    arguments.place.run("telephony", |directory| run(&arguments, directory))
}

fn run(arguments: &Arguments, directory: &Path) -> Result<(), Box<dyn Error>> {
    let sync = machine::sync_micros(directory, arguments.extent.of(5, 200));
    println!("write of 4 KiB and fdatasync: {sync:.0} us (median)");
    for &live in &arguments.live {
        if !arguments.redb_only {
            println!("\nmemory, {live} live numbers");
            let exchange =
                Exchange::new(arguments, live, MemoryStore::new(), &directory.join("keys-memory"))?;
            exchange.calls(arguments.calls)?;
        }
        println!("\nredb, {live} live numbers, page cache of {} MiB", arguments.cache);
        let path = directory.join("telephony.redb");
        let store = RedbStore::create_with_cache(&path, arguments.cache << 20)?;
        let store = SlowSync::new(store, Duration::from_millis(arguments.sync_ms));
        let exchange = Exchange::new(arguments, live, store, &directory.join("keys-redb"))?;
        exchange.calls(arguments.calls)?;
        exchange.size()?;
        exchange.binds(arguments.bindings)?;
        println!("    file {:.0} MB; memory: {}", machine::file_bytes(&path) as f64 / 1e6, machine::memory());
        drop(exchange);
        for file in fs::read_dir(directory)? {
            fs::remove_file(file?.path())?;
        }
    }
    Ok(())
}

struct Exchange<S: Store> {
    store: Arc<S>,
    switchboard: Switchboard<S>,
    not_after: Timestamp,
    numbers: Vec<VirtualNumber>,
}

impl<S: Store> Exchange<S> {
    /// With so many live numbers, and room for those that are to be made.
    fn new(arguments: &Arguments, live: usize, store: S, key_file: &Path) -> Result<Self, Box<dyn Error>> {
        let rng = &mut SystemRng::new();
        // Filling may take longer than a number lives.
        let now = SystemClock.now();
        let clock = Arc::new(ManualClock::new(now));
        let environment = Environment::new(clock, || Box::new(SystemRng::new()));
        let slots = SlotConfig::new(LIFE, 4, 30)?;
        let keeper =
            Keeper::create_or_open(key_file, LocalKey::new(SecretBytes::random(rng)), slots, &environment)?;
        let in_slice = (live / PAIRS).max(8 * PER_MERCHANT * SLICES as usize) as u64 / SLICES;
        let pool = PoolConfig {
            epoch_seconds: DAY,
            max_life: LIFE,
            quarantine: DAY / 2,
            spare_recoveries: 0,
            largest_hub: 4 * PER_MERCHANT as u64,
            slices: NumberRange::new(VirtualNumber::new(FIRST_NUMBER)?, SLICES * in_slice)?.slices(SLICES),
            withdrawn: Vec::new(),
            resting: Vec::new(),
        };
        let pool = Arc::new(Pool::new(pool, &SecretBytes::random(rng))?);
        let store = Arc::new(store);
        let switchboard = Switchboard::open(
            own(&store, Role::Telephony),
            SwitchboardConfig {
                calls_at_once: usize::MAX,
                calls_per_hour: u32::MAX,
                callees: Callees::any(),
                ..SwitchboardConfig::new(LIFE)
            },
            pool,
            Arc::new(keeper),
            environment,
        )?;
        let mut exchange =
            Self { store, switchboard, not_after: now.saturating_add(LIFE), numbers: Vec::new() };
        let progress = bar("binding", live);
        let orders: Vec<usize> = (0..live).collect();
        for orders in orders.chunks(1024) {
            let pending: Vec<_> = orders.iter().map(|&order| exchange.bind(order)).collect();
            for bound in pending {
                exchange.numbers.push(bound.wait()?.number);
            }
            progress.inc(orders.len() as u64);
        }
        progress.finish_and_clear();
        assert_eq!(
            exchange.numbers.len(),
            live,
            "of {} callers' bindings none may be missing",
            arguments.bindings
        );
        Ok(exchange)
    }

    fn bind(&self, order: usize) -> unjoin::Pending<unjoin::phone::Bound, unjoin::phone::SwitchboardError> {
        let merchant = merchant_of(order);
        let order_ref = OrderRef {
            merchant: Name::new(format!("merchant {merchant}")).expect("a short name"),
            order: Name::new(format!("order {order}")).expect("a short name"),
        };
        let parties = Parties {
            hub: phone(FIRST_MERCHANT + merchant as u64),
            customer: phone(FIRST_CUSTOMER + order as u64),
        };
        let binding = Binding::merchant(order_ref, parties, self.not_after);
        self.switchboard.bind(binding)
    }

    /// Customers who dial their numbers, and strangers and merchants who dial the same ones: these are refused, the
    /// merchants although all their rows are there.
    fn calls(&self, count: usize) -> Result<(), Box<dyn Error>> {
        // A stride that shares no factor with the count of numbers, so that calls wander.
        let order = |call: usize| (call * 7_919) % self.numbers.len();
        let hits = self.route(count, |call| FIRST_CUSTOMER + order(call) as u64, order)?;
        println!("    calls put through: {:>8.0} /s on one thread ({} of {count})", hits.0, hits.1);
        let misses = self.route(count, |call| FIRST_STRANGER + call as u64, order)?;
        println!(
            "    strangers refused: {:>8.0} /s on one thread ({} of {count})",
            misses.0,
            count - misses.1
        );
        let merchant = |call: usize| FIRST_MERCHANT + merchant_of(order(call)) as u64;
        let closed = self.route(count, merchant, order)?;
        println!(
            "    merchants refused: {:>8.0} /s on one thread ({} of {count})",
            closed.0,
            count - closed.1
        );
        Ok(())
    }

    /// Calls routed in a second of processor time, and how many were put through.
    fn route(
        &self,
        count: usize,
        caller: impl Fn(usize) -> u64,
        order: impl Fn(usize) -> usize,
    ) -> Result<(f64, usize), Box<dyn Error>> {
        let requests: Vec<RouteRequest> = (0..count)
            .map(|call| RouteRequest {
                caller: Some(phone(caller(call))),
                dialled: self.numbers[order(call)],
                channel: Channel::Voice,
                attestation: Attestation::Full,
                trusted_trunk: false,
            })
            .collect();
        let (mut connected, mut seconds) = (0, 0.0);
        // Calls end as they do at a gateway, and fewer run at once than are remembered; the telling is not measured.
        for requests in requests.chunks(10_000) {
            let mut running = Vec::with_capacity(requests.len());
            let start = ThreadTime::now();
            for request in requests {
                if let Route::Connect { call, .. } = self.switchboard.route(request)? {
                    running.push(call);
                }
            }
            seconds += start.elapsed().as_secs_f64();
            connected += running.len();
            for call in running {
                self.switchboard.call_told(call, CallProgress::Ended(CallEnd::Completed));
            }
        }
        Ok((count as f64 / seconds, connected))
    }

    /// Bytes of keys and values for each binding, orders' and hubs' records included.
    fn size(&self) -> Result<(), Box<dyn Error>> {
        let (mut rows, mut bytes) = (0usize, 0usize);
        for bucket in Bucket::all() {
            let mut after: Option<Vec<u8>> = None;
            loop {
                let page = self.store.scan(bucket, b"p", after.as_deref(), 1024)?;
                rows += page.len();
                bytes += page.iter().map(|row| row.key.len() + row.value.len()).sum::<usize>();
                match page.last() {
                    Some(last) => after = Some(last.key.clone()),
                    None => break,
                }
            }
        }
        let live = self.numbers.len() as f64;
        println!(
            "    one binding: {:.2} rows, {:.0} bytes of keys and values",
            rows as f64 / live,
            bytes as f64 / live
        );
        Ok(())
    }

    /// Durable bindings by one caller and by 64, each with so many unanswered.
    fn binds(&self, count: usize) -> Result<(), Box<dyn Error>> {
        let mut next = self.numbers.len();
        for (callers, in_flight) in [(1, 1), (64, 1), (64, 16)] {
            let count = if callers == 1 { count.div_ceil(10) } else { count };
            let orders: Vec<usize> = (next..next + count).collect();
            next += count;
            let load = drive(
                &orders,
                callers,
                in_flight,
                |&order| self.bind(order),
                |pending| {
                    pending.wait().expect("every number is made");
                },
            );
            print_load(&format!("    bindings, {callers:>2} callers, {in_flight:>2} in flight each"), &load);
        }
        Ok(())
    }
}

fn merchant_of(order: usize) -> usize {
    order / PER_MERCHANT
}

fn phone(number: u64) -> PhoneNumber {
    PhoneNumber::new(&format!("+{number}")).expect("a number of 12 or 13 digits")
}
