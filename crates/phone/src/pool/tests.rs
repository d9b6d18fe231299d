use super::*;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

const HOUR: u64 = 3_600;

fn number(digits: u64) -> VirtualNumber {
    VirtualNumber::from_integer(digits).unwrap()
}

fn range(first: u64, count: u64) -> NumberRange {
    NumberRange::new(number(first), count).unwrap()
}

/// `slices` slices, each of two ranges that are not neighbours.
fn config(slices: u64, size: u64) -> PoolConfig {
    let slice = |at: u64| {
        let first = 8_617_000_000_000 + at * 2 * size;
        let half = size / 2;
        vec![
            PoolRange::in_service(range(first, half)),
            PoolRange::in_service(range(8_617_900_000_000 + at * 2 * size, size - half)),
        ]
    };
    PoolConfig {
        epoch_seconds: 24 * HOUR,
        max_life: 2 * HOUR,
        quarantine: 24 * HOUR,
        spare_recoveries: 0,
        largest_hub: 1,
        slices: (0..slices).map(slice).collect(),
        withdrawn: vec![],
        resting: vec![],
    }
}

fn pool(config: PoolConfig) -> Pool {
    Pool::new(config, &SecretBytes::new([3; 32])).unwrap()
}

fn hub(at: u32) -> Name {
    Name::new(format!("hub {at}")).unwrap()
}

/// All that a hub can draw in an epoch.
fn all(pool: &Pool, hub: &Name, epoch: u64, shift: u32) -> Vec<VirtualNumber> {
    let mut drawn = Vec::new();
    let mut counter = 0;
    while let Ok(draw) = pool.draw(hub, epoch, shift, counter) {
        assert!(draw.next > counter);
        drawn.push(draw.number);
        counter = draw.next;
    }
    drawn
}

fn in_slice(config: &PoolConfig, slice: usize, number: VirtualNumber) -> bool {
    let number = number.as_integer();
    config.slices[slice].iter().any(|range| (range.numbers.start()..range.numbers.end()).contains(&number))
}

proptest! {
    #[test]
    fn a_hub_draws_every_number_of_its_slice_once_in_an_epoch(
        slices in 3u64..6, size in 2u64..60, epoch in 0u64..10_000, shift in 0u32..5, who: u32,
    ) {
        let pool = pool(config(slices, size));
        let drawn = all(&pool, &hub(who), epoch, shift);
        let slice = pool.slice_of(&hub(who), epoch, shift);
        prop_assert_eq!(drawn.len() as u64, size);
        prop_assert_eq!(drawn.iter().collect::<HashSet<_>>().len() as u64, size);
        prop_assert!(drawn.iter().all(|number| in_slice(pool.config(), slice, *number)));
        prop_assert!(drawn.iter().all(|number| pool.contains(*number)));
    }

    /// A hub draws all it can in every epoch while slot keys are recovered now and then, and
    /// counters may go back when they are. Whatever it meets twice, it meets a quarantine after
    /// the earlier binding was over.
    #[test]
    fn no_hub_meets_a_number_within_the_quarantine(
        slices in 3u64..7, spare in 0u32..3, recoveries in proptest::collection::vec(0u64..40, 0..4), who: u32,
    ) {
        let mut config = config(slices + u64::from(spare), 6);
        config.spare_recoveries = spare;
        config.quarantine = config.quarantine_after(spare);
        let pool = pool(config);
        let (epochs, g) = (40, slices + u64::from(spare));
        let mut shift = 0;
        let mut last_end: HashMap<VirtualNumber, (u64, u32)> = HashMap::new();
        for epoch in 0..epochs {
            // Twice in each epoch, so that a recovery falls between two draws of one epoch.
            for half in 0..2 {
                if half == 1 && recoveries.contains(&epoch) {
                    shift += 1;
                } else if half == 1 {
                    continue;
                }
                for number in all(&pool, &hub(who), epoch, shift) {
                    // Bound at the very end of the epoch, for the longest life.
                    let end = (epoch + 1) * pool.config().epoch_seconds + pool.config().max_life;
                    if let Some((earlier, earlier_shift)) = last_end.insert(number, (end, shift)) {
                        let rest = (epoch * pool.config().epoch_seconds).saturating_sub(earlier);
                        let within_g = shift - earlier_shift;
                        prop_assert!(rest >= pool.config().quarantine_after(within_g), "{rest} after {within_g} of {g}");
                        if within_g <= spare {
                            prop_assert!(rest >= pool.config().quarantine);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn another_hub_epoch_or_key_is_another_order() {
    let pool = pool(config(3, 1_000));
    let order = |who: u32, epoch: u64| all(&pool, &hub(who), epoch, 0);
    let one = order(1, 0);
    // The same slice again, three epochs later.
    let later = order(1, 3);
    assert_eq!(one.iter().collect::<HashSet<_>>(), later.iter().collect::<HashSet<_>>());
    let same = one.iter().zip(&later).filter(|(a, b)| a == b).count();
    assert!(same < 20, "{same} of 1000 stand where they stood");
    let other = Pool::new(config(3, 1_000), &SecretBytes::new([4; 32])).unwrap();
    assert_ne!(other.hub_tag(&hub(1)), pool.hub_tag(&hub(1)));
    let slices = |pool: &Pool| (0..64).map(|who| pool.slice_of(&hub(who), 0, 0)).collect::<Vec<_>>();
    assert_ne!(slices(&pool), slices(&other));
}

#[test]
fn hubs_are_spread_over_the_slices() {
    let pool = pool(config(5, 4));
    let mut count = [0u32; 5];
    (0..5_000).for_each(|who| count[pool.slice_of(&hub(who), 77, 3)] += 1);
    // 1000 each, with a deviation of 28.
    assert!(count.iter().all(|count| (850..1150).contains(count)), "{count:?}");
}

#[test]
fn a_used_up_slice_says_how_large_the_pool_must_be() {
    let pool = pool(config(3, 10));
    let refused = pool.draw(&hub(1), 0, 0, 10);
    assert_eq!(refused, Err(PoolError::Exhausted { slice: 10, needed: 33 }));
    assert!(pool.draw(&hub(1), 0, 0, u64::MAX).is_err());
    assert!(refused.unwrap_err().is_retryable());
}

#[test]
fn the_epoch_and_the_shift_may_be_the_largest() {
    let pool = pool(config(3, 10));
    assert!(pool.slice_of(&hub(1), u64::MAX, u32::MAX) < 3);
    assert!(pool.draw(&hub(1), u64::MAX, u32::MAX, 0).is_ok());
    assert_eq!(pool.epoch_of(Timestamp::ZERO), 0);
}

#[test]
fn what_is_listed_is_recognised_and_nothing_else() {
    let mut config = config(3, 10);
    config.resting = vec![(range(8_617_500_000_000, 5), Timestamp::ZERO)];
    let listed: HashSet<u64> = config.listed().flat_map(|range| range.start()..range.end()).collect();
    let pool = pool(config);
    for start in [8_617_000_000_000, 8_617_500_000_000, 8_617_900_000_000] {
        for digits in start - 20..start + 100 {
            assert_eq!(pool.contains(number(digits)), listed.contains(&digits));
            let party = PhoneNumber::from_integer(digits).unwrap();
            assert_eq!(pool.contains_party(&party), listed.contains(&digits));
        }
    }
}

#[test]
fn a_withdrawn_number_is_skipped_and_no_other_moves() {
    let config = config(3, 100);
    let full = pool(config.clone());
    let slice = full.slice_of(&hub(1), 5, 0);
    let withdrawn = range(config.slices[slice][0].numbers.start() + 3, 7);
    let short = pool(PoolConfig { withdrawn: vec![withdrawn], ..config });
    let is_withdrawn =
        |number: &VirtualNumber| (withdrawn.start()..withdrawn.end()).contains(&number.as_integer());
    let expected: Vec<_> =
        all(&full, &hub(1), 5, 0).into_iter().filter(|number| !is_withdrawn(number)).collect();
    assert_eq!(expected.len(), 93);
    assert_eq!(all(&short, &hub(1), 5, 0), expected);
    assert!(short.contains(withdrawn.first()));
}

#[test]
fn a_drained_range_is_drawn_until_its_epoch_and_routed_after() {
    let mut config = config(3, 100);
    let drained = config.slices[0][0].numbers;
    config.slices[0][0].drawn_until = Some(50);
    let late = range(8_618_000_000_000, 30);
    config.slices[0].push(PoolRange { drawn_from: 60, ..PoolRange::in_service(late) });
    let pool = pool(config);
    for epoch in 40..70u64 {
        let who = (0..).map(hub).find(|hub| pool.slice_of(hub, epoch, 0) == 0).unwrap();
        let drawn = all(&pool, &who, epoch, 0);
        let of = |range: NumberRange| {
            drawn.iter().filter(|x| (range.start()..range.end()).contains(&x.as_integer())).count()
        };
        assert_eq!(
            (of(drained), of(late)),
            (if epoch < 50 { 50 } else { 0 }, if epoch < 60 { 0 } else { 30 })
        );
    }
    assert!(pool.contains(drained.first()) && pool.contains(late.first()));
}

#[test]
fn a_configuration_that_breaks_a_rule_is_refused() {
    let key = SecretBytes::new([3; 32]);
    let refused = |change: fn(&mut PoolConfig)| {
        let mut config = config(4, 10);
        change(&mut config);
        matches!(Pool::new(config, &key), Err(PoolError::Config(_)))
    };
    assert!(!refused(|_| {}));
    assert!(refused(|config| config.epoch_seconds = 0));
    // (4 - 1) days less two hours.
    assert!(!refused(|config| config.quarantine = 70 * HOUR));
    assert!(refused(|config| config.quarantine = 70 * HOUR + 1));
    assert!(refused(|config| (config.quarantine, config.spare_recoveries) = (70 * HOUR, 1)));
    assert!(!refused(|config| (config.quarantine, config.spare_recoveries) = (46 * HOUR, 1)));
    assert!(refused(|config| config.slices.truncate(1)));
    assert!(refused(|config| config.slices[1].clear()));
    assert!(refused(|config| config.slices[1].iter_mut().for_each(|range| range.drawn_until = Some(9))));
    assert!(refused(
        |config| (config.slices[1][0].drawn_from, config.slices[1][0].drawn_until) = (9, Some(9))
    ));
    assert!(!refused(|config| config.largest_hub = 10));
    assert!(refused(|config| config.largest_hub = 11));
    assert!(refused(|config| (config.largest_hub, config.slices[1][0].drawn_until) = (6, Some(9))));
    assert!(refused(|config| {
        config.largest_hub = 9;
        config.withdrawn = vec![range(config.slices[2][0].numbers.start() + 1, 2)];
    }));
    // One number in two slices, in a slice and resting, twice in a slice.
    assert!(refused(|config| config.slices[1][0] = config.slices[0][0]));
    assert!(refused(|config| {
        let numbers = range(config.slices[0][0].numbers.end() - 1, 3);
        config.resting = vec![(numbers, Timestamp::ZERO)];
    }));
    let twice = NumberRange::new(number(9_999_999), 2);
    assert!(matches!(twice, Err(PoolError::Config(_))));
    assert!(NumberRange::new(number(9_999_999), 0).is_err());
    assert!(NumberRange::new(number(9_999_999), u64::MAX).is_err());
}

/// A day at noon in epoch 100.
fn noon() -> Timestamp {
    Timestamp::from_unix_seconds(100 * 24 * HOUR + 12 * HOUR)
}

/// Whether a pool may become what `change` makes of it, at noon of epoch 100.
fn may_become(old: &PoolConfig, change: impl FnOnce(&mut PoolConfig)) -> bool {
    let mut new = old.clone();
    change(&mut new);
    pool(old.clone()).check_change(&pool(new), noon()).is_ok()
}

fn remove_first(config: &mut PoolConfig, slice: usize) {
    config.slices[slice].remove(0);
}

#[test]
fn what_a_slice_consists_of_changes_with_a_coming_epoch_only() {
    let old = config(4, 20);
    let fresh = range(8_618_000_000_000, 10);
    assert!(may_become(&old, |_| {}));
    let enters = |epoch| {
        may_become(&old, |new| {
            new.slices[2].push(PoolRange { drawn_from: epoch, ..PoolRange::in_service(fresh) })
        })
    };
    assert!(enters(101) && !enters(100) && !enters(0));
    let leaves = |epoch| may_become(&old, |new| new.slices[2][0].drawn_until = Some(epoch));
    assert!(leaves(101) && !leaves(100) && !leaves(3));
    assert!(may_become(&old, |new| new.withdrawn = vec![range(8_617_000_000_001, 2)]));
    // A range may be cut in two without any change to its numbers.
    assert!(may_become(&old, |new| {
        let whole = new.slices[0][0].numbers;
        new.slices[0][0] = PoolRange::in_service(range(whole.start(), 4));
        new.slices[0].push(PoolRange::in_service(range(whole.start() + 4, whole.count() - 4)));
    }));
}

#[test]
fn a_number_is_taken_off_the_list_when_no_binding_can_be_on_it() {
    let drained_in = |epoch: u64, max_life: u64| {
        let mut old = config(4, 20);
        old.max_life = max_life;
        old.slices[1][0].drawn_until = Some(epoch);
        may_become(&old, |new| remove_first(new, 1))
    };
    // Drawn no more since midnight, twelve hours ago.
    assert!(drained_in(100, 12 * HOUR));
    assert!(!drained_in(100, 12 * HOUR + 1));
    assert!(drained_in(99, 12 * HOUR + 1));
    assert!(!drained_in(101, HOUR));
    assert!(!may_become(&config(4, 20), |new| remove_first(new, 1)));
    // What was never drawn may go at any time.
    let mut planned = config(4, 20);
    planned.slices[1][0].drawn_from = 101;
    assert!(may_become(&planned, |new| remove_first(new, 1)));
}

#[test]
fn a_number_changes_its_slice_after_a_quarantine_only() {
    let moved = |drained: u64, enters: u64| {
        let mut old = config(4, 20);
        old.slices[1][0].drawn_until = Some(drained);
        may_become(&old, |new| {
            let range = new.slices[1].remove(0);
            new.slices[2].push(PoolRange { drawn_from: enters, drawn_until: None, ..range });
        })
    };
    // A day of quarantine and two hours of life: two midnights later.
    assert!(moved(99, 101));
    assert!(!moved(100, 101));
    assert!(moved(100, 102));
    assert!(!moved(99, 100), "the present epoch of the other slice");
    assert!(!moved(101, 105), "still drawn");
    // Back into its own slice it may come at any coming epoch: there no hub meets it early.
    let mut old = config(4, 20);
    old.slices[1][0].drawn_until = Some(100);
    assert!(may_become(&old, |new| (new.slices[1][0].drawn_from, new.slices[1][0].drawn_until) = (101, None)));
}

#[test]
fn another_division_takes_new_numbers_and_lets_the_earlier_ones_rest() {
    let old = config(4, 20);
    let fresh = |slices: u64| -> Vec<Vec<PoolRange>> {
        (0..slices).map(|at| vec![PoolRange::in_service(range(8_619_000_000_000 + at * 100, 20))]).collect()
    };
    let resting = |since: Timestamp| -> Vec<_> { old.listed().map(|numbers| (*numbers, since)).collect() };
    let becomes = |slices: Vec<Vec<PoolRange>>, resting: Vec<(NumberRange, Timestamp)>| {
        may_become(&old, |new| (new.slices, new.resting) = (slices, resting))
    };
    assert!(becomes(fresh(5), resting(noon())));
    assert!(!becomes(fresh(5), vec![]), "calls would not be routed");
    assert!(!becomes(fresh(5), resting(noon().saturating_sub(1))), "they were drawn later than that");
    let mut kept = fresh(5);
    kept[0] = old.slices[0].clone();
    assert!(!becomes(kept, resting(noon())[2..].to_vec()), "drawn in two divisions");
    // In the same division a number first has to be drained.
    assert!(!may_become(&old, |new| {
        let range = new.slices[1].remove(0);
        new.resting = vec![(range.numbers, noon())];
    }));
    // After the quarantine they may come back, or go.
    let mut new = old.clone();
    (new.slices, new.resting) = (fresh(5), resting(noon().saturating_sub(26 * HOUR)));
    assert!(may_become(&new, |next| {
        next.resting.clear();
        next.slices[3].push(PoolRange { drawn_from: 101, ..old.slices[0][0] });
    }));
    (new.slices, new.resting) = (fresh(5), resting(noon().saturating_sub(HOUR)));
    assert!(!may_become(&new, |next| next.resting.clear()));
    // Another key is another division.
    let other = Pool::new(old.clone(), &SecretBytes::new([4; 32])).unwrap();
    assert!(pool(old).check_change(&other, noon()).is_err());
}
