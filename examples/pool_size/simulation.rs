//! Bindings drawn one after the other from a real pool, and what became of the formulas.
//!
//! Hubs have sizes like real merchants (the size falls with the rank); the largest binds what the
//! demand says. Bindings begin evenly over time and live for the demand's life; a
//! customer is anybody out of so many that he has the demand's live bindings. After its end each
//! number is dialled once by its customer and once by its hub, at a time within the quarantine.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use unjoin::phone::{Demand, Pool, PoolConfig, PoolSize, VirtualNumber};
use unjoin::secret::SecretBytes;
use unjoin::{Name, Timestamp};

/// What was predicted, and what was seen.
pub(crate) struct Seen {
    predicted: PoolSize,
    /// Bindings alive at a time, on average.
    live: f64,
    expected_live: f64,
    /// The most bindings alive on one number at a time.
    busiest: u64,
    /// How often a hub met a number again, and the shortest time between.
    met_again: u64,
    shortest_rest: Option<u64>,
    /// Draws that found a slice used up.
    exhausted: u64,
    /// Customers' dials of ended numbers, how many reached another business, and how many were to
    /// be expected: each dialler's live bindings over the pool, summed up.
    dials: u64,
    stale: u64,
    expected_stale: f64,
    /// The same for hubs.
    stale_by_hub: u64,
}

impl Seen {
    /// # Errors
    /// What does not agree with the formulas.
    pub(crate) fn check(&self) -> Result<(), String> {
        let near = |seen: f64, expected: f64| (seen - expected).abs() <= 5.0 * expected.max(1.0).sqrt();
        let rules = [
            (self.exhausted == 0, "a slice was used up"),
            (
                self.shortest_rest.is_none_or(|rest| rest >= self.predicted.quarantine),
                "a number came back early",
            ),
            (self.stale_by_hub == 0, "a business reached another customer over a stale number"),
            (self.busiest <= self.predicted.busiest_number, "a number carried more than predicted"),
            ((self.live / self.expected_live - 1.0).abs() < 0.05, "more or fewer were alive than predicted"),
            (
                near(self.stale as f64, self.expected_stale),
                "stale dials connect more or less often than predicted",
            ),
        ];
        rules
            .iter()
            .try_for_each(|(holds, told)| if *holds { Ok(()) } else { Err(format!("simulation: {told}")) })
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = self
            .shortest_rest
            .map_or("never".to_owned(), |rest| format!("{:.2} days", rest as f64 / 86_400.0));
        writeln!(f, "                                  predicted         seen")?;
        writeln!(f, "live bindings                {:>14.0} {:>12.0}", self.expected_live, self.live)?;
        writeln!(
            f,
            "on the busiest number        {:>14} {:>12}",
            format!("<= {}", self.predicted.busiest_number),
            self.busiest
        )?;
        let quarantine = format!(">= {:.2} days", self.predicted.quarantine as f64 / 86_400.0);
        writeln!(
            f,
            "shortest rest                {quarantine:>14} {rest:>12}   ({} numbers met again)",
            self.met_again
        )?;
        writeln!(f, "slices used up               {:>14} {:>12}", 0, self.exhausted)?;
        writeln!(
            f,
            "stale dials by businesses    {:>14} {:>12}   (of {})",
            0, self.stale_by_hub, self.dials
        )?;
        write!(
            f,
            "stale dials by customers     {:>14.1} {:>12}   (of {})",
            self.expected_stale, self.stale, self.dials
        )
    }
}

/// A binding that lives, or that is dialled once more.
#[derive(Clone, Copy)]
struct Binding {
    end: u64,
    hub: usize,
    customer: u64,
    x: VirtualNumber,
}

/// Draws `bindings` bindings for hubs of which the largest has the demand's size.
///
/// # Errors
/// The demand's, or the pool's.
pub(crate) fn run(demand: &Demand, bindings: u64, seed: u64) -> Result<Seen, String> {
    let predicted = demand.size().map_err(|error| error.to_string())?;
    let pool = pool(demand)?;
    let mut random = SplitMix(seed);
    // So many in a second, evenly; the demand's peak is the whole time here.
    let rate = predicted.live_bindings as f64 / demand.life as f64;
    let hubs = Hubs::new(demand, rate);
    let customers = ((predicted.live_bindings / u64::from(demand.live_per_customer.max(1))).max(1)) as f64;
    let mut seen = Seen {
        predicted,
        live: 0.0,
        expected_live: predicted.live_bindings as f64,
        busiest: 0,
        met_again: 0,
        shortest_rest: None,
        exhausted: 0,
        dials: 0,
        stale: 0,
        expected_stale: 0.0,
        stale_by_hub: 0,
    };
    let mut state = State::default();
    let (mut counted, mut times) = (0.0, 0.0);
    // Begins at a boundary of the epochs.
    let begin = 20_000 * 7 * 86_400;
    for number in 0..bindings {
        let now = begin + (number as f64 / rate) as u64;
        state.end_until(now, demand, &mut random, &mut seen, pool.config().quarantine);
        let hub = hubs.choose(&mut random);
        let customer = (random.unit() * customers) as u64;
        let epoch = pool.epoch_of(Timestamp::from_unix_seconds(now));
        let counter = state.counters.entry((hub, epoch)).or_default();
        let name = Name::new((hub as u64).to_le_bytes()).map_err(|error| error.to_string())?;
        // Like the switchboard: on to the next number if the customer has this one already.
        let drawn = loop {
            match pool.draw(&name, epoch, 0, *counter) {
                Ok(draw) => {
                    *counter = draw.next;
                    if !state.by_customer.contains_key(&(customer, draw.number)) {
                        break Some(draw.number);
                    }
                }
                Err(_) => break None,
            }
        };
        let Some(x) = drawn else {
            seen.exhausted += 1;
            continue;
        };
        let end = now + demand.life;
        if let Some(earlier) = state.last_end.insert((hub, x), end) {
            seen.met_again += 1;
            let rest = now.saturating_sub(earlier);
            seen.shortest_rest = Some(seen.shortest_rest.map_or(rest, |shortest| shortest.min(rest)));
        }
        let load = state.load.entry(x).or_default();
        *load += 1;
        seen.busiest = seen.busiest.max(*load);
        state.by_customer.insert((customer, x), hub);
        *state.live_of.entry(customer).or_default() += 1;
        state.alive.push_back(Binding { end, hub, customer, x });
        // Without the beginning, in which the first bindings gather.
        if now > begin + demand.life {
            counted += state.alive.len() as f64;
            times += 1.0;
        }
    }
    if times == 0.0 {
        return Err("simulate more bindings: the first have not ended".to_owned());
    }
    seen.live = counted / times;
    Ok(seen)
}

fn pool(demand: &Demand) -> Result<Pool, String> {
    let first = VirtualNumber::new("+86100000000000000").map_err(|error| error.to_string())?;
    let config = PoolConfig::for_demand(demand, first).map_err(|error| error.to_string())?;
    Pool::new(config, &SecretBytes::new([1; 32])).map_err(|error| error.to_string())
}

#[derive(Default)]
struct State {
    /// By the end, which is the order they were made in.
    alive: VecDeque<Binding>,
    /// To be dialled once more, at `end`.
    dialled: std::collections::BinaryHeap<std::cmp::Reverse<(u64, usize, u64, VirtualNumber)>>,
    counters: HashMap<(usize, u64), u64>,
    last_end: HashMap<(usize, VirtualNumber), u64>,
    load: HashMap<VirtualNumber, u64>,
    by_customer: HashMap<(u64, VirtualNumber), usize>,
    live_of: HashMap<u64, u64>,
}

impl State {
    /// Ends what is over at `now`, and dials what is to be dialled until then, each in its time.
    fn end_until(
        &mut self,
        now: u64,
        demand: &Demand,
        random: &mut SplitMix,
        seen: &mut Seen,
        quarantine: u64,
    ) {
        loop {
            let ends = self.alive.front().map_or(u64::MAX, |binding| binding.end);
            let dials = self.dialled.peek().map_or(u64::MAX, |std::cmp::Reverse((at, ..))| *at);
            if ends.min(dials) > now {
                return;
            }
            if ends <= dials {
                let Some(over) = self.alive.pop_front() else { return };
                self.load.entry(over.x).and_modify(|load| *load -= 1);
                self.by_customer.remove(&(over.customer, over.x));
                self.live_of.entry(over.customer).and_modify(|live| *live -= 1);
                let later = over.end + (random.unit() * quarantine.min(8 * demand.life) as f64) as u64;
                self.dialled.push(std::cmp::Reverse((later, over.hub, over.customer, over.x)));
            } else if let Some(std::cmp::Reverse((at, hub, customer, x))) = self.dialled.pop() {
                seen.dials += 1;
                let live = self.live_of.get(&customer).copied().unwrap_or_default();
                seen.expected_stale += live as f64 / seen.predicted.pool as f64;
                seen.stale += u64::from(self.by_customer.contains_key(&(customer, x)));
                // The hub is on the number again only if it drew it again.
                let again = self.last_end.get(&(hub, x)).is_some_and(|end| at < *end);
                seen.stale_by_hub += u64::from(again);
            }
        }
    }
}

/// Hubs whose size falls with their rank, down from the demand's largest.
struct Hubs {
    /// The share of all hubs up to each.
    up_to: Vec<f64>,
}

impl Hubs {
    fn new(demand: &Demand, rate: f64) -> Self {
        let a_day = rate * 86_400.0;
        // A little below the demand's largest, so that chance does not make it larger.
        let largest = (demand.largest_hub_per_day as f64 * 0.9).max(1.0);
        let mut up_to = Vec::new();
        let mut total = 0.0;
        while total < a_day && up_to.len() < 10_000_000 {
            let rank = up_to.len() as f64 + 1.0;
            total += (largest / rank.powf(0.7)).max(1.0);
            up_to.push(total);
        }
        up_to.iter_mut().for_each(|share| *share /= total);
        Self { up_to }
    }

    fn choose(&self, random: &mut SplitMix) -> usize {
        let at = random.unit();
        self.up_to.partition_point(|share| *share <= at).min(self.up_to.len() - 1)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same choices for the same seed.
struct SplitMix(u64);

impl SplitMix {
    /// From 0 up to, not including, 1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 4,000 bindings live at a time for an hour, on a pool so small that numbers come back and
    /// stale dials connect now and then.
    fn demand() -> Demand {
        Demand {
            orders_per_day: 20_000,
            peak_share: 0.1,
            bindings_per_order: 2,
            largest_hub_per_day: 1_200,
            life: 3_600,
            max_life: 3_600,
            epoch_seconds: 3_600,
            quarantine: 5 * 3_600,
            spare_recoveries: 0,
            pairs_per_number: 40,
            live_per_customer: 4,
        }
    }

    #[test]
    fn the_formulas_hold_in_a_simulation() {
        let seen = run(&demand(), 100_000, 7).unwrap();
        assert!(seen.met_again > 1_000, "{seen}");
        assert!(seen.expected_stale > 20.0, "{seen}");
        seen.check().unwrap();
    }

    #[test]
    fn a_pool_that_is_too_small_is_seen() {
        let small = Demand { largest_hub_per_day: 60, pairs_per_number: 1_000, ..demand() };
        let mut busy = small;
        busy.largest_hub_per_day = 1_200;
        let predicted = small.size().unwrap();
        let pool = pool(&small).unwrap();
        let name = Name::new("hub").unwrap();
        assert!(pool.draw(&name, 1, 0, predicted.slice).is_err());
        assert!(busy.size().unwrap().slice > predicted.slice);
    }
}
