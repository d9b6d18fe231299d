//! No value that holds a secret prints it.

use crate::known::{
    ACCOUNT, Device, MASTER, MERCHANT, ORDER, PASSPHRASE, PHONE, SEED, SIGNING, TEXT, X, day, directory,
    given, issuer_key, keeper, known, name, pool, wide,
};
use crate::printing::{assert_silent, tells};
use curve25519_dalek::scalar::Scalar;
use sha2::{Digest, Sha256, Sha512};
use std::sync::Arc;
use unjoin::issuer::{EnrolmentSubmission, EveryoneOfStanding, NumbersDead, OfferRequest, OrderReport};
use unjoin::ledger::{KeyName, NoteKey, WitnessService};
use unjoin::opening::ceremony::{CeremonyPlan, Step};
use unjoin::opening::same_author::BlindingFactor;
use unjoin::opening::{RecipientKey, TrusteeSecrets, insecure_test_dealer};
use unjoin::phone::{LocalKey, PhoneNumber, SlotKeys, VirtualNumber};
use unjoin::secret::{SecretBytes, SecretScalar, SystemRng};
use unjoin::store::{Bucket, Commit, MemoryStore, Outcome, Row, RowKey, Version};
use unjoin::token::{
    EnrolmentContext, IssuerKey, KeyPair, KeyRing, OrderHandleKey, PlatformKey, Review, TrusteeKey, Trustees,
};
use unjoin::wire::Message;
use unjoin::{Environment, PassphraseCost, Platform, PlatformConfig, PlatformSecrets};
use unjoin_wallet::open_backup;

#[test]
fn secret_bytes_and_scalars_print_nothing() {
    assert_silent(&SecretBytes::new(SEED), &[&SEED]);
    let scalar = Scalar::from_bytes_mod_order(SEED);
    assert_silent(&SecretScalar::new(scalar), &[scalar.as_bytes()]);
}

/// A store's calls carry what no log may hold; their types print how long it is.
#[test]
fn rows_and_commits_print_lengths_only() {
    let (key, value) = (MERCHANT.as_bytes(), TEXT.replace(' ', "-").into_bytes());
    let bucket = Bucket::of(b"");
    let row = Row { key: key.to_vec(), value: value.clone() };
    let commit = Commit::new(bucket)
        .expect(key, None)
        .expect(ORDER, Some(&value))
        .put(key.to_vec(), value.clone())
        .delete(ORDER.to_vec());
    let version: [u8; 32] = Sha256::digest(&value).into();
    let secrets: [&[u8]; 4] = [key, &value, ORDER, &version];
    assert_silent(&RowKey { bucket, key: key.to_vec() }, &secrets);
    assert_silent(&row, &secrets);
    assert_silent(&commit, &secrets);
    assert_silent(&commit.preconditions, &secrets);
    assert_silent(&commit.writes, &secrets);
    assert_silent(&Version::of(&value), &secrets);
    assert_silent(&Outcome::Conflict(key.to_vec()), &secrets);
    // Lengths are what a failing test or a log has left to tell rows apart.
    let lengths = format!("Row {{ key: {} bytes, value: {} bytes }}", key.len(), value.len());
    assert_eq!(format!("{row:?}"), lengths);
}

#[test]
fn the_platforms_secrets_print_nothing() {
    let (key, bytes) = issuer_key();
    let (x, prf) = bytes.split_at(32);
    assert_silent(&key, &[x, prf]);
    let (committee, _) = insecure_test_dealer(2, 3, &mut SystemRng::new()).unwrap();
    assert_silent(&KeyPair { issuer_key: key, escrow_key: *committee.key() }, &[x, prf]);
    let ring = KeyRing::new(issuer_key().0, *committee.key());
    assert_silent(&ring, &[x, prf]);
    let rotated = ring.with(IssuerKey::generate(&mut SystemRng::new()), *committee.key()).unwrap();
    assert_silent(&rotated, &[x, prf]);

    let platform_key = PlatformKey::from_secret_bytes(&SecretBytes::new(SIGNING));
    let expanded = Sha512::digest(SIGNING);
    assert_silent(&platform_key, &[&SIGNING, &expanded]);

    let master = SecretBytes::new(MASTER);
    assert_silent(&OrderHandleKey::new(SecretBytes::new(MASTER)), &[&MASTER]);
    let derived = OrderHandleKey::derive(&master, &name(MERCHANT));
    assert_silent(&derived, &[&MASTER, MERCHANT.as_bytes()]);

    let (seed, name_of) = (SecretBytes::new(SIGNING), || KeyName::new("key").unwrap());
    assert_silent(&NoteKey::from_secret_bytes(name_of(), &seed), &[&SIGNING, &expanded]);
    let (store, signing) = (Arc::new(MemoryStore::new()), SecretBytes::new(SIGNING));
    let witness = WitnessService::create_with_key_that_may_have_signed(
        store,
        name_of(),
        signing,
        vec![],
        Environment::system(),
    );
    assert_silent(&witness.unwrap(), &[&SIGNING, &expanded]);
    assert_silent(&TrusteeKey::from_secret_bytes(seed), &[&SIGNING, &expanded]);

    let everything: [&[u8]; 4] = [x, prf, &SIGNING, &MASTER];
    let secrets = PlatformSecrets {
        keys: ring,
        platform_key,
        issuer_master: master,
        stores: unjoin::store::identity::Roster::generate(&mut SystemRng::new()),
    };
    assert_silent(&secrets, &everything);
    let environment = Environment::system();
    assert_silent(&environment, &everything);
    let config = PlatformConfig::new(name("shop.example"));
    let platform = Platform::open(
        unjoin_test_util::fresh_platform_stores(&secrets.stores),
        config,
        secrets,
        Arc::new(EveryoneOfStanding),
        environment,
    )
    .unwrap();
    assert_silent(&platform, &everything);
    assert_silent(platform.issuer(), &everything);
    assert_silent(platform.desk(), &everything);
    assert_silent(&platform.issuer().keys(), &everything);
}

#[test]
fn trustees_shares_and_blinding_factors_print_nothing() {
    let (committee, shares) = insecure_test_dealer(2, 3, &mut known()).unwrap();
    let [constant, slope] = [0, 64].map(|from| wide(&given::<128>()[from..][..64]));
    for (index, share) in (1u64..).zip(&shares) {
        let secret = constant + slope * Scalar::from(index);
        let own = committee.verification_share(share.index()).unwrap();
        let point = &secret * curve25519_dalek::constants::RISTRETTO_BASEPOINT_TABLE;
        assert_eq!(own.as_bytes(), point.compress().as_bytes(), "the secret is known to the test");
        assert_silent(share, &[secret.as_bytes()]);
    }
    let z = wide(&given::<64>());
    let factor = BlindingFactor::from_scalar(SecretScalar::new(z)).unwrap();
    assert_silent(&factor, &[z.as_bytes()]);
    let recipient = RecipientKey::generate(&mut known());
    assert_silent(&recipient, &[&given::<32>()]);
}

/// The only trustee of a ceremony, whose generator is known.
fn trustee() -> TrusteeSecrets {
    let mut rng = known();
    let mut trustee = TrusteeSecrets::generate(&mut rng);
    let trustees = Trustees::new(vec![trustee.public()]).unwrap();
    let plan = CeremonyPlan::key_generation(1, trustees, &mut rng).unwrap();
    trustee.join(plan.clone(), plan.threshold(), &mut rng).unwrap();
    trustee
}

#[test]
fn a_trustees_secrets_print_nothing_in_and_after_a_ceremony() {
    let (mut trustee, given) = (trustee(), given::<96>());
    // The long-term key's seed, the plan's nonce, the ceremony's seed.
    let (identity, seed) = (&given[..32], &given[64..96]);
    let secrets: [&[u8]; 3] = [identity, seed, PASSPHRASE];
    let cost = PassphraseCost::LEAST;
    let rng = &mut SystemRng::new();
    let mut messages = Vec::new();
    loop {
        assert_silent(&trustee, &secrets);
        assert_silent(trustee.identity(), &secrets);
        let sealed = trustee.seal(PASSPHRASE, cost, rng).unwrap();
        assert_silent(&sealed, &secrets);
        assert!(!secrets.iter().any(|secret| tells(&serde_json::to_string(&sealed).unwrap(), secret)));
        let step = trustee.next(&messages, rng).unwrap();
        assert_silent(&step, &secrets);
        match step {
            Step::Publish(message) => messages.push(message),
            Step::Finished(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_silent(&trustee.share(), &secrets);
    for message in &messages {
        assert!(!message.to_bytes().windows(32).any(|part| secrets.contains(&part)));
    }
}

#[test]
fn a_wallet_and_what_it_keeps_print_nothing() {
    let device = Device::new();
    let derived = device.derived();
    let wallet_key = device.wallet.wallet_key(&name("issuer")).unwrap();
    let mut secrets: Vec<&[u8]> = derived.iter().map(<[u8; 32]>::as_slice).collect();
    secrets.extend([&SEED, wallet_key.as_bytes(), ORDER, device.offer.handle.as_bytes().as_slice()]);

    assert_silent(&device.wallet, &secrets);
    assert_silent(&wallet_key, &secrets);
    let (pending, request) = device.request();
    assert_silent(&pending, &secrets);
    let token = device.wallet.finish(pending, &device.grant(&request), &mut SystemRng::new()).unwrap();
    assert_silent(&token, &secrets);

    // The serial is known to the test, hence the others are.
    let review = Review::new(1, TEXT, vec![]).unwrap();
    let shown = device.presentation(&review).to_bytes();
    assert!(shown.windows(32).any(|part| part == derived[1]));

    let cost = PassphraseCost::LEAST;
    let backup = device.wallet.seal_backup(&[token], PASSPHRASE, cost, &mut SystemRng::new()).unwrap();
    secrets.push(PASSPHRASE);
    assert_silent(&backup, &secrets);
    let printed = serde_json::to_string(&backup).unwrap();
    assert!(!secrets.iter().any(|secret| tells(&printed, secret)));
    let (wallet, tokens) = open_backup(&backup, PASSPHRASE).unwrap();
    assert_silent(&(wallet, tokens), &secrets);
}

#[test]
fn what_a_host_logs_of_calls_tells_no_account_and_no_order() {
    let secrets: [&[u8]; 3] = [ACCOUNT.as_bytes(), ORDER, MERCHANT.as_bytes()];
    let device = Device::new();
    let (account, merchant, handle) = (name(ACCOUNT), name(MERCHANT), device.offer.handle);
    let context = EnrolmentContext { issuer: &name("issuer"), account: &account, nonce: &[1; 32] };
    assert_silent(&context, &secrets);
    let enrolment = device.wallet.enrol(context, &mut SystemRng::new()).unwrap();
    let u = *enrolment.wallet_key().as_bytes();
    let submission = EnrolmentSubmission { account: account.clone(), nonce: [1; 32], enrolment };
    assert_silent(&submission, &[secrets[0], &u]);
    let (order_id, due_at) = (ORDER.to_vec(), day(0));
    let report =
        OrderReport { order_id, account: account.clone(), merchant: merchant.clone(), class: 0, due_at };
    assert_silent(&report, &secrets);
    assert_silent(&OfferRequest { account, merchant: merchant.clone(), handle }, &secrets);
    assert_silent(&NumbersDead { merchant, handle, at: day(0) }, &secrets);
    assert_silent(&device.offer, &secrets);
    assert_silent(&device.request().1, &secrets);
}

#[test]
fn phone_numbers_slot_keys_and_the_pool_print_nothing() {
    assert_silent(&PhoneNumber::new(PHONE).unwrap(), &[&PHONE.as_bytes()[1..]]);
    assert_silent(&VirtualNumber::new(X).unwrap(), &[&X.as_bytes()[1..]]);
    let first_keys = given::<128>();
    let directory = directory("print");
    let keeper = keeper(&directory, SEED).unwrap();
    let window = keeper.window(day(1)).unwrap();
    assert_eq!(window.export()[window.export().len() - 128..], first_keys);
    let keys: Vec<&[u8]> = first_keys.chunks(32).chain([&SEED[..]]).collect();
    assert_silent(&keeper, &keys);
    assert_silent(&window, &keys);
    window.slots().for_each(|slot| assert_silent(&slot, &keys));
    assert_silent(&LocalKey::new(SecretBytes::new(SEED)), &keys);
    let pool = pool();
    let numbers: [&[u8]; 2] = [&MASTER, &X.as_bytes()[1..]];
    assert_silent(&pool, &numbers);
    assert_silent(pool.config(), &numbers);
    std::fs::remove_dir_all(directory).unwrap();
}
