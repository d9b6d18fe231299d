//! Rules of the device, one by one.

use super::*;

/// A device whose two orders have tokens, the first a review.
pub(super) fn with_tokens(mut world: World) -> (World, Device) {
    let mut device = world.device();
    let rng = &mut Seeded(1);
    for number in 0..2 {
        let (merchant, handle) = order(number);
        device.order_eligible(merchant, handle, START, rng).unwrap();
    }
    device.write_review(order(0).1, review(0), START, rng).unwrap();
    calm(&mut world, &mut device, START, day(2));
    (world, device)
}

pub(super) fn stage(device: &Device, number: u8, now: Timestamp) -> ReviewStage {
    let handle = order(number).1;
    device.reviews(now).into_iter().find(|status| status.handle == handle).unwrap().stage
}

#[test]
fn a_blob_gives_the_device_back_and_every_other_is_refused() {
    let (world, device) = with_tokens(World::new(1));
    let rng = &mut Seeded(2);
    let key = SecretBytes::random(rng);
    let blob = device.seal(&key, rng);
    let again = Device::open(&blob, &key, world.trust()).unwrap();
    assert_eq!(again.encode(), device.encode());
    assert_eq!(blob.len(), 42 + 16_384);
    assert_ne!(blob, device.seal(&key, rng));
    assert_eq!(format!("{device:?}"), "Device(..)");
    let refused = |blob: &[u8], key: &SecretBytes<32>| Device::open(blob, key, world.trust()).unwrap_err();
    assert_eq!(refused(&blob, &SecretBytes::random(rng)), WalletError::DeviceOpen);
    for at in (0..64).chain((64..blob.len()).step_by(97)) {
        let mut changed = blob.clone();
        changed[at] ^= 1 << (at % 8);
        let error = refused(&changed, &key);
        assert!(error == WalletError::DeviceOpen || at == 0 && error == WalletError::DeviceVersion, "{at}");
    }
    for length in [0, 1, 2, 25, 26, 41, blob.len() - 1] {
        assert_eq!(refused(&blob[..length], &key), WalletError::DeviceOpen);
    }
}

#[test]
fn no_sealed_part_makes_opening_panic() {
    let (mut world, mut device) = with_tokens(World::new(3));
    let rng = &mut Seeded(4);
    calm(&mut world, &mut device, day(2), day(5));
    device.edit_review(order(0).1, review(7), day(5), rng).unwrap();
    let plain = device.encode();
    for at in 0..plain.len() {
        let mut changed = plain.clone();
        changed[at] ^= 1 << (at % 8);
        if let Ok(opened) = Device::decode(&changed, world.trust()) {
            // Strict: one form of each state.
            assert_eq!(opened.encode(), changed, "{at}");
        }
        assert!(Device::decode(&plain[..at], world.trust()).is_err());
    }
}

#[test]
fn a_waiting_edit_or_withdrawal_shows_in_nothing() {
    let (mut world, mut device) = with_tokens(World::new(5));
    let rng = &mut Seeded(6);
    let appears = day(4);
    calm(&mut world, &mut device, day(2), day(4).saturating_sub(60));
    let now = day(4).saturating_sub(60);
    let shown = |device: &Device, now| format!("{:?}", device.reviews(now));
    // Held, then withdrawn: it is shown as before until its boundary.
    let before = shown(&device, now);
    device.withdraw_review(order(0).1, now, rng).unwrap();
    assert_eq!(shown(&device, now), before);
    let planned: Vec<_> = device.next(now, rng).into_iter().map(|action| action.request.is_none()).collect();
    assert!(planned.iter().all(|later| *later));
    let until = day(4).saturating_add(DAY);
    calm(&mut world, &mut device, now, until);
    assert_eq!(stage(&device, 0, until), ReviewStage::Appeared(appears));
    assert!(device.orders[0].waiting.is_some());
    assert_eq!(stage(&device, 0, until.saturating_add(3 * WEEK)), ReviewStage::Withdrawn);
    assert_eq!(device.reviews(until.saturating_add(3 * WEEK))[0].review, None);
}

#[test]
fn a_review_that_is_taken_back_before_it_was_sent_is_never_sent_and_shows_that_late() {
    let (mut world, mut device) = with_tokens(World::new(7));
    let rng = &mut Seeded(8);
    assert_eq!(stage(&device, 0, day(2)), ReviewStage::Waiting);
    device.withdraw_review(order(0).1, day(2), rng).unwrap();
    assert_eq!(stage(&device, 0, day(2)), ReviewStage::Waiting);
    let before = day(4).saturating_sub(1);
    calm(&mut world, &mut device, day(2), before);
    assert_eq!(stage(&device, 0, before), ReviewStage::Appears(day(4)));
    calm(&mut world, &mut device, before, day(9));
    assert_eq!(stage(&device, 0, day(9)), ReviewStage::Withdrawn);
    assert!(world.reviews.is_empty());
    // The token was not spent: a change of mind is possible.
    device.write_review(order(0).1, review(3), day(9), rng).unwrap();
    calm(&mut world, &mut device, day(9), day(12));
    assert_eq!(stage(&device, 0, day(12)), ReviewStage::Appeared(day(11)));
}

#[test]
fn a_device_that_was_restored_from_its_seed_finds_its_review_and_withdraws_it() {
    let (mut world, mut device) = with_tokens(World::new(9));
    let rng = &mut Seeded(10);
    calm(&mut world, &mut device, day(2), day(6));
    let id = review_id(&device, 0).unwrap();
    let seed = SecretBytes::new(*device.wallet.seed.expose());
    drop(device);
    let wallet = Wallet::from_seed(seed);
    let mut device = Device::restore(wallet, name("issuer"), name("ann"), world.trust());
    for number in 0..2 {
        let (merchant, handle) = order(number);
        device.order_eligible(merchant, handle, day(6), rng).unwrap();
    }
    calm(&mut world, &mut device, day(6), day(10));
    assert_eq!(stage(&device, 0, day(10)), ReviewStage::Appeared(day(4)));
    assert_eq!(stage(&device, 1, day(10)), ReviewStage::Open);
    device.withdraw_review(order(0).1, day(10), rng).unwrap();
    calm(&mut world, &mut device, day(10), day(12));
    assert_eq!(world.reviews[&id.0].state.standing, ReviewStanding::Withdrawn);
}

#[test]
fn after_the_window_a_restored_device_finds_its_review_among_its_merchants_cohorts() {
    for mut world in [World::new(17), World::with_ledger(17)] {
        let rng = &mut Seeded(18);
        let mut device;
        (world, device) = with_tokens(world);
        calm(&mut world, &mut device, day(2), day(6));
        let id = review_id(&device, 0).unwrap();
        let code = device.recovery_code();
        drop(device);
        // Tokens are granted no more, and of each merchant there are ten cohorts.
        let now = day(70);
        world.is_over = true;
        let wallet = Wallet::from_recovery_code(&code).unwrap();
        let mut device = Device::restore(wallet, name("issuer"), name("ann"), world.trust());
        for number in 0..2 {
            let (merchant, handle) = order(number);
            device.order_eligible(merchant, handle, now, rng).unwrap();
        }
        calm(&mut world, &mut device, now, day(100));
        assert_eq!(stage(&device, 0, day(100)), ReviewStage::Appeared(day(4)));
        // The order without a review has nothing to be found.
        assert_eq!(stage(&device, 1, day(100)), ReviewStage::Refused);
        // It is kept as any other, and acts.
        let key = SecretBytes::random(rng);
        let mut device = Device::open(&device.seal(&key, rng), &key, world.trust()).unwrap();
        device.withdraw_review(order(0).1, day(100), rng).unwrap();
        calm(&mut world, &mut device, day(100), day(102));
        assert_eq!(world.reviews[&id.0].state.standing, ReviewStanding::Withdrawn);
    }
}

#[test]
fn an_order_whose_customer_is_in_the_cohort_waits_for_the_next() {
    let (mut world, mut device) = with_tokens(World::new(11));
    let rng = &mut Seeded(12);
    // Of the first merchant, too.
    let (merchant, handle) = order(2);
    device.order_eligible(merchant, handle, day(2), rng).unwrap();
    calm(&mut world, &mut device, day(2), day(3));
    assert_eq!(stage(&device, 2, day(3)), ReviewStage::Asking);
    calm(&mut world, &mut device, day(3), day(14));
    assert_eq!(stage(&device, 2, day(14)), ReviewStage::Open);
}

#[test]
fn answers_that_are_none_are_refused_and_asked_again() {
    let mut world = World::new(13);
    let mut device = world.device();
    let rng = &mut Seeded(14);
    let due = |device: &mut Device, now, rng: &mut Seeded| {
        let action = device.next(now, rng).into_iter().find(|action| action.request.is_some());
        action.map(|action| action.number)
    };
    let number = due(&mut device, START, rng).unwrap();
    assert_eq!(due(&mut device, START, rng), None);
    let short = device.handle(number, Reply::Answer(vec![1; 31]), START, rng).unwrap_err();
    assert!(matches!(short, WalletError::Answer(_)));
    assert_eq!(device.handle(number, Reply::Lost, START, rng), Err(WalletError::NotAsked));
    // Not at once, and then it is.
    assert_eq!(due(&mut device, START, rng), None);
    let later = device.next(START, rng)[0].at;
    assert!((900..=1_800).contains(&later.saturating_since(START)));
    let number = due(&mut device, later, rng).unwrap();
    let manifests = device.handle(number, Reply::Manifests(Vec::new()), later, rng).unwrap_err();
    assert!(matches!(manifests, WalletError::Answer(_)));
    calm(&mut world, &mut device, later, day(1));
    assert!(device.enrolment.done);
}

#[test]
fn what_cannot_be_done_is_refused() {
    let mut world = World::new(15);
    let mut device = world.device();
    let rng = &mut Seeded(16);
    let handle = order(0).1;
    let photo = Review::new(3, "", vec![[1; 32]]).unwrap();
    assert_eq!(device.write_review(handle, review(0), START, rng), Err(WalletError::UnknownOrder));
    device.order_eligible(order(0).0, handle, START, rng).unwrap();
    assert_eq!(device.withdraw_review(handle, START, rng), Err(WalletError::NoReview));
    assert_eq!(device.write_review(handle, photo.clone(), START, rng), Err(WalletError::Attachments));
    device.write_review(handle, review(0), START, rng).unwrap();
    assert_eq!(device.edit_review(handle, photo, START, rng), Err(WalletError::Attachments));
    calm(&mut world, &mut device, START, day(5));
    assert_eq!(device.write_review(handle, review(1), day(5), rng), Err(WalletError::Sent));
    device.forget(handle).unwrap();
    assert_eq!(device.forget(handle), Err(WalletError::UnknownOrder));
}
