//! What tests of this crate and of others need beside a switchboard: parties, a pool, a keeper, and
//! a plain model that any history of calls can be held against.

#![allow(missing_docs, reason = "each test says what it uses it for")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "for tests")]

pub mod model;

use crate::{
    Attestation, Channel, Keeper, LocalKey, NumberRange, OrderRef, Parties, PhoneNumber, Pool, PoolConfig,
    RouteRequest, SlotConfig, Switchboard, SwitchboardConfig, SwitchboardError, VirtualNumber,
};
use std::path::Path;
use std::sync::Arc;
use unjoin_core::secret::{SecretBytes, SystemRng};
use unjoin_core::{DAY, Environment, ManualClock, Name, Timestamp};
use unjoin_store::identity::{Role, Roster};
use unjoin_store::{MemoryStore, Stores};

/// 2018-01-01, 00:00 UTC: the beginning of an epoch and of a slot.
pub const START: Timestamp = Timestamp::from_unix_seconds(1_514_764_800);
/// The longest life: slots of half an hour.
pub const LIFE: u64 = 5400;
pub const SLOT: u64 = 1800;
pub const SKEW: u64 = 30;
/// The pool's first number, behind China's 700.
pub const FIRST_NUMBER: u64 = 86_700_000_000_000_000;

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn order(merchant: &str, order: &str) -> OrderRef {
    OrderRef { merchant: name(merchant), order: name(order) }
}

/// A phone, by a number of the test's own.
pub fn phone(number: u64) -> PhoneNumber {
    PhoneNumber::from_integer(8_613_800_000_000 + number).unwrap()
}

pub fn parties(hub: u64, customer: u64) -> Parties {
    Parties { hub: phone(hub), customer: phone(customer) }
}

/// The courier whose phone this is.
pub fn courier(phone: u64) -> Name {
    name(&format!("courier {phone}"))
}

/// A call that nothing is wrong with.
pub fn request(caller: u64, dialled: VirtualNumber) -> RouteRequest {
    RouteRequest {
        caller: Some(phone(caller)),
        dialled,
        channel: Channel::Voice,
        attestation: Attestation::Full,
        trusted_trunk: false,
    }
}

pub fn code<T: std::fmt::Debug>(answer: Result<T, SwitchboardError>) -> &'static str {
    answer.unwrap_err().code()
}

pub fn slots() -> SlotConfig {
    SlotConfig::new(LIFE, 4, SKEW).unwrap()
}

/// Slices of `each` numbers, with epochs and a quarantine of a day.
pub fn pool_config(slices: u64, each: u64, max_life: u64) -> PoolConfig {
    let first = VirtualNumber::from_integer(FIRST_NUMBER).unwrap();
    PoolConfig {
        epoch_seconds: DAY,
        max_life,
        quarantine: DAY,
        spare_recoveries: 0,
        largest_hub: each,
        slices: NumberRange::new(first, slices * each).unwrap().slices(slices),
        withdrawn: vec![],
        resting: vec![],
    }
}

pub fn pool(config: PoolConfig) -> Arc<Pool> {
    Arc::new(Pool::new(config, &SecretBytes::new([7; 32])).unwrap())
}

/// Of four slots, on a file there.
pub fn keeper(path: impl AsRef<Path>, max_life: u64, environment: &Environment) -> Arc<Keeper> {
    let (key, slots) = (LocalKey::new(SecretBytes::new([9; 32])), SlotConfig::new(max_life, 4, SKEW));
    Arc::new(Keeper::create_or_open(path, key, slots.unwrap(), environment).unwrap())
}

/// At the beginning, where the clock stands.
pub fn environment() -> Environment {
    Environment::new(Arc::new(ManualClock::new(START)), || Box::new(SystemRng::new()))
}

/// What examples ask: four slices of 100 numbers, a store in memory, slot keys in a file there.
pub fn switchboard(path: impl AsRef<Path>) -> Switchboard<MemoryStore> {
    let (environment, rng) = (environment(), &mut SystemRng::new());
    let roster = Roster::alone(Role::Telephony, rng);
    let stores = Stores::create(&roster, [(Role::Telephony, Arc::new(MemoryStore::new()))], rng).unwrap();
    let (store, config) = (stores.own(Role::Telephony).unwrap(), SwitchboardConfig::new(LIFE));
    let (pool, keeper) = (pool(pool_config(4, 100, LIFE)), keeper(path, LIFE, &environment));
    Switchboard::open(store, config, pool, keeper, environment).unwrap()
}
