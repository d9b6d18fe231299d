//! Several pools behind one switchboard.

use super::*;
use crate::{PoolError, Pools};

/// 4 slices of `each` numbers that begin with these digits, under a key of its own.
fn pool_at(first: &str, each: u64, key: u8) -> Arc<Pool> {
    let numbers = NumberRange::new(VirtualNumber::new(first).unwrap(), SLICES * each).unwrap();
    let slices = numbers.slices(SLICES);
    let config = PoolConfig { slices, largest_hub: each, ..pool(each).config().clone() };
    Arc::new(Pool::new(config, &SecretBytes::new([key; 32])).unwrap())
}

const ANYWHERE: &str = "+86700000000000000";
const BEIJING: &str = "+861069000000";
const SHORT: &str = "+86690000";

/// Beijing falls back to short numbers, and then to those of anywhere.
fn three(each: u64) -> Pools {
    Pools::new("anywhere", pool_at(ANYWHERE, each, 1))
        .and("short", pool_at(SHORT, each, 2), &[])
        .and_then(|pools| pools.and("Beijing", pool_at(BEIJING, each, 3), &["short", "anywhere"]))
        .unwrap()
}

fn open(
    exchange: &Exchange<MemoryStore>,
    pools: impl Into<Pools>,
) -> Result<Switchboard<MemoryStore>, SwitchboardError> {
    let environment = Environment::new(exchange.clock.clone(), || Box::new(SystemRng::new()));
    let store = unjoin_test_util::own(&exchange.store, Role::Telephony);
    Switchboard::open(store, config(), pools, exchange.keys.clone(), environment)
}

fn binding(id: u64, pool: Option<&str>) -> Binding {
    let end = START.saturating_add(600);
    let usual = Binding::courier(order("m", &id.to_string()), courier(5), parties(5, 100 + id), end);
    Binding { pool: pool.map(str::to_owned), ..usual }
}

/// Of which pool a number is.
fn of(bound: &Bound) -> &'static str {
    let number = bound.number.to_e164();
    let begins = [("anywhere", &ANYWHERE[..6]), ("Beijing", &BEIJING[..6]), ("short", &SHORT[..6])];
    begins.into_iter().find(|(_, digits)| number.starts_with(digits)).unwrap().0
}

fn fresh() -> Exchange<MemoryStore> {
    let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(ManualClock::new(START)));
    Exchange { board: Exchange::new().board, store, clock, keys: Arc::new(TestKeys::new()), pool: pool(10) }
}

#[test]
fn a_label_says_which_pool_a_number_is_drawn_from() {
    let exchange = fresh();
    let board = open(&exchange, three(10)).unwrap();
    for (id, label) in (0..).zip([None, Some("anywhere"), Some("Beijing"), Some("short")]) {
        let bound = board.bind(binding(id, label)).wait().unwrap();
        assert_eq!(of(&bound), label.unwrap_or("anywhere"));
        assert!(matches!(board.route(&request(5, bound.number)).unwrap(), Route::Connect { .. }));
    }
    let unknown = board.bind(binding(9, Some("Shanghai"))).wait();
    assert_eq!(code(unknown), "switchboard.unknown_pool");
    // A party that is a number of any of them is none.
    let parties = Parties { hub: phone(5), customer: PhoneNumber::new("+861069000000").unwrap() };
    let inside = board.bind(Binding { parties, ..binding(9, None) }).wait();
    assert_eq!(code(inside), "switchboard.party_in_pool");
}

#[test]
fn a_pool_that_is_used_up_falls_back_in_order_and_then_names_itself() {
    let exchange = fresh();
    let board = open(&exchange, three(3)).unwrap();
    // All at once, so that one batch meets the ends of pools in the middle.
    let asked: Vec<_> = (0..12).map(|id| board.bind(binding(id, Some("Beijing")))).collect();
    let answers: Vec<_> = asked.into_iter().map(|asked| asked.wait()).collect();
    for label in ["Beijing", "short", "anywhere"] {
        assert_eq!(answers.iter().flatten().filter(|bound| of(bound) == label).count(), 3, "{label}");
    }
    let mut numbers: Vec<_> = answers.iter().flatten().map(|bound| bound.number).collect();
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), 9);
    let exhausted: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert_eq!(exhausted.len(), 3);
    for error in exhausted {
        assert!(matches!(error, SwitchboardError::PoolExhausted { pool, .. } if pool == "Beijing"));
        assert_eq!(error.code(), "switchboard.pool_exhausted");
        assert!(
            error.to_string().starts_with("pool Beijing: ") && error.to_string().contains("all 3 numbers")
        );
    }
    // What names no fallback has none, and another business has its own.
    let alone = board.bind(binding(20, Some("short"))).wait().unwrap_err();
    assert!(alone.to_string().starts_with("pool short: "));
    let other =
        Binding { courier: Some(courier(6)), parties: parties(6, 121), ..binding(21, Some("Beijing")) };
    assert_eq!(of(&board.bind(other).wait().unwrap()), "Beijing");
}

#[test]
fn numbers_that_a_party_has_already_use_a_pool_up_too() {
    let exchange = fresh();
    let board = open(&exchange, three(3)).unwrap();
    // Every number of Beijing's slices is the customer's already, by other couriers.
    for hub in 10..60 {
        let parties = parties(hub, 100);
        let taken = Binding { courier: Some(courier(hub)), parties, ..binding(hub, Some("Beijing")) };
        let bound = board.bind(taken).wait();
        if bound.is_ok_and(|bound| of(&bound) != "Beijing") {
            return;
        }
    }
    panic!("it never fell back");
}

#[test]
fn a_replacement_stays_in_its_pool() {
    let exchange = fresh();
    let board = open(&exchange, three(10)).unwrap();
    let bound = board.bind(binding(1, Some("Beijing"))).wait().unwrap();
    let replaced =
        board.replace(&order("m", "1"), Some(courier(6)), parties(6, 101), bound.number).wait().unwrap();
    assert_eq!(of(&replaced), "Beijing");
}

#[test]
fn pools_that_would_mix_are_refused() {
    let refused = |made: Result<Pools, PoolError>| made.map(drop).unwrap_err();
    let anywhere = || Pools::new("anywhere", pool_at(ANYWHERE, 10, 1));
    let beijing = || pool_at(BEIJING, 10, 3);
    assert!(anywhere().and("Beijing", beijing(), &["anywhere"]).is_ok());
    for broken in [
        anywhere().and("anywhere", beijing(), &[]),
        anywhere().and("Beijing", pool_at(BEIJING, 10, 1), &[]),
        anywhere().and("Beijing", pool_at("+86700000000000039", 10, 3), &[]),
        anywhere().and("Beijing", beijing(), &["Beijing"]),
        anywhere().and("Beijing", beijing(), &["Shanghai"]),
        anywhere().and(
            "Beijing",
            {
                let config = PoolConfig { epoch_seconds: 2 * DAY, ..beijing().config().clone() };
                Arc::new(Pool::new(config, &SecretBytes::new([3; 32])).unwrap())
            },
            &[],
        ),
    ] {
        assert_eq!(refused(broken).code(), "pool.config");
    }
}

#[test]
fn a_label_keeps_its_key_and_pools_are_added() {
    let exchange = fresh();
    drop(open(&exchange, Pools::new("anywhere", pool_at(ANYWHERE, 10, 1))).unwrap());
    drop(open(&exchange, three(10)).unwrap());
    let changed =
        Pools::new("anywhere", pool_at(ANYWHERE, 10, 1)).and("Beijing", pool_at(BEIJING, 10, 4), &[]);
    assert_eq!(code(open(&exchange, changed.unwrap()).map(drop)), "switchboard.store");
}
