//! How much is decided a second by each way to a server.

use crate::cluster::NODES;
use crate::life::tick;
use crate::scenario::{Scenario, day};
use crate::service::{SEED, store};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;
use unjoin::ManualClock;

const COUNT: u64 = 240;
/// Callers at the same time, each with one request.
const CALLERS: usize = 16;

/// Of orders that are taken to their token (four durable calls: reported, numbers dead, offered, granted), the device's
/// work counted in; and of reviews, whose presentations were made before. In this build.
pub(crate) fn throughput(ways: &[(&str, &str)]) {
    println!(
        "| server, of {NODES} nodes or alone | orders to tokens a second | reviews a second |\n|---|---|---|"
    );
    for (at, (name, address)) in ways.iter().enumerate() {
        let stores = ["orders", "reviews"].map(|role| store(address, &format!("figures_{role}_{at}"), true));
        let (scenario, clock) = (Scenario::new(SEED), Arc::new(ManualClock::new(day(0))));
        let platform = scenario.open(&stores, &clock);
        scenario.begin(&platform).unwrap();
        let (granted, tokens) = each(|number| scenario.obtain(&platform, number).unwrap().token);
        clock.set(day(1));
        tick(&platform).unwrap();
        let sent: Vec<_> =
            (0u64..).zip(&tokens).map(|(number, token)| scenario.presentation(number, token, 0)).collect();
        let (taken, _) = each(|number| {
            let (presentation, review) = sent[number as usize].clone();
            platform.submit(presentation, review).wait().unwrap()
        });
        println!("| {name} | {granted:.0} | {taken:.0} |");
    }
}

/// All of them, by so many callers: how many a second, and what came of each.
fn each<T: Send>(act: impl Fn(u64) -> T + Sync) -> (f64, Vec<T>) {
    let (next, began) = (AtomicU64::new(0), Instant::now());
    let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < COUNT);
    let call = || std::iter::from_fn(take).map(|number| (number, act(number))).collect::<Vec<_>>();
    let mut all: Vec<(u64, T)> = thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(call)).collect();
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    });
    let second = COUNT as f64 / began.elapsed().as_secs_f64();
    all.sort_by_key(|(number, _)| *number);
    (second, all.into_iter().map(|(_, came)| came).collect())
}
