//! How many virtual numbers a platform needs: the size of a pool, what decides it, and what
//! other epochs or a longer quarantine would cost.
//!
//! ```text
//! cargo run --release --example pool_size -- --orders-per-day 100000000 --largest-hub-per-day 100000
//! cargo run --release --example pool_size -- --orders-per-day 2000000 --largest-hub-per-day 5000 --simulate 1000000
//! ```
//!
//! With `--simulate` that many bindings are drawn from a real pool of the size it names, and what the
//! formulas say is held against what happens.

mod simulation;
#[allow(dead_code, reason = "no file is read")]
#[path = "../shared/words.rs"]
mod words;

use clap::Parser;
use std::process::ExitCode;
use unjoin::DAY;
use unjoin::phone::{Demand, PoolSize};

const HOUR: u64 = 3_600;

#[derive(Parser)]
#[command(about = "How many virtual numbers a platform needs")]
struct Arguments {
    /// Orders a day.
    #[arg(long, default_value_t = 100_000_000)]
    orders_per_day: u64,
    /// The share of a day's orders in its busiest hour.
    #[arg(long, default_value_t = 0.12)]
    peak_share: f64,
    /// Bindings of an order: customer with merchant, customer with courier, merchant with courier.
    #[arg(long, default_value_t = 3)]
    bindings_per_order: u32,
    /// What the largest merchant or courier binds in a day.
    #[arg(long, default_value_t = 100_000)]
    largest_hub_per_day: u64,
    /// How long a binding lives, in minutes.
    #[arg(long, default_value_t = 90)]
    life_minutes: u64,
    /// How long it may live at most, in minutes; the life unless it is given.
    #[arg(long)]
    max_life_minutes: Option<u64>,
    /// The length of an epoch, in hours.
    #[arg(long, default_value_t = 24)]
    epoch_hours: u64,
    /// For how many days after its binding a business must not see a number again.
    #[arg(long, default_value_t = 7)]
    quarantine_days: u64,
    /// How many recoveries of slot keys within a round of the slices must not cut into that.
    #[arg(long, default_value_t = 1)]
    spare_recoveries: u32,
    /// How many live bindings a number may carry.
    #[arg(long, default_value_t = 100)]
    pairs_per_number: u32,
    /// How many live bindings a customer has at a time.
    #[arg(long, default_value_t = 2)]
    live_per_customer: u32,
    /// Draw so many bindings from a pool of this size, and compare.
    #[arg(long)]
    simulate: Option<u64>,
    /// Where the simulation's random choices begin.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Arguments {
    fn demand(&self) -> Demand {
        Demand {
            orders_per_day: self.orders_per_day,
            peak_share: self.peak_share,
            bindings_per_order: self.bindings_per_order,
            largest_hub_per_day: self.largest_hub_per_day,
            life: self.life_minutes.saturating_mul(60),
            max_life: self.max_life_minutes.unwrap_or(self.life_minutes).saturating_mul(60),
            epoch_seconds: self.epoch_hours.saturating_mul(HOUR),
            quarantine: self.quarantine_days.saturating_mul(DAY),
            spare_recoveries: self.spare_recoveries,
            pairs_per_number: self.pairs_per_number,
            live_per_customer: self.live_per_customer,
        }
    }
}

fn main() -> ExitCode {
    words::end(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let demand = arguments.demand();
    let size = demand.size().map_err(|error| error.to_string())?;
    print_size(&size);
    println!(
        "in code                  PoolConfig::for_demand(&demand, first)   (from the first number that is yours)"
    );
    print_alternatives(&demand);
    if let Some(bindings) = arguments.simulate {
        let seen = simulation::run(&demand, bindings, arguments.seed)?;
        println!("\nsimulated: {bindings} bindings\n{seen}");
        seen.check()?;
    }
    Ok(())
}

fn print_size(size: &PoolSize) {
    let decided_by =
        if size.slice == size.largest_hub { "the largest business" } else { "the pairs on a number" };
    println!("numbers in the pool      {}", grouped(size.pool));
    println!("  slices                 {}", size.slices);
    println!("  numbers in a slice     {}   (decided by {decided_by})", grouped(size.slice));
    println!("live bindings, peak      {}", grouped(size.live_bindings));
    println!("on the busiest number    {} at most", size.busiest_number);
    println!("quarantine               {:.1} days", size.quarantine as f64 / DAY as f64);
    println!("stale dial connects      1 in {}", grouped((1.0 / size.stale_dial) as u64));
}

/// The same demand with other epochs and quarantines. A day is often the best epoch: with a shorter one
/// every slice must hold the busiest hours, with a longer one two epochs more than the
/// quarantine weigh heavily.
fn print_alternatives(demand: &Demand) {
    let quarantines = [1, 3, 7, 14, 30].map(|days| days * DAY);
    println!("\nnumbers in the pool by epoch and quarantine");
    print!("{:>10}", "epoch");
    quarantines.iter().for_each(|quarantine| print!("{:>12} days", quarantine / DAY));
    println!();
    for epoch_seconds in [HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY] {
        print!("{:>8} h", epoch_seconds / HOUR);
        for quarantine in quarantines {
            let size = Demand { epoch_seconds, quarantine, ..*demand }.size();
            print!("{:>17}", size.map_or("-".to_owned(), |size| grouped(size.pool)));
        }
        println!();
    }
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
