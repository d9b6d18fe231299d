//! No error repeats what it was given.

use crate::known::{
    ACCOUNT, Device, MASTER, MERCHANT, ORDER, PASSPHRASE, PHONE, SEED, SIGNING, TEXT, X, day, directory,
    issuer_key, keeper, name, pool,
};
use crate::printing::{assert_silent_error, printed};
use base64ct::{Base64UrlUnpadded, Encoding};
use std::sync::Arc;
use unjoin::issuer::{
    EnrolmentSubmission, EveryoneOfStanding, Issuer, IssuerConfig, IssuerError, NumbersDead, OfferRequest,
    OrderReport,
};
use unjoin::ledger::{Members, RemovedEntry, StaffKeyEntry};
use unjoin::opening::same_author::{Blind, BlindingFactor, CheckedRound, ComparedReviews, SameAuthorError};
use unjoin::opening::{Committee, DecryptionShare, ShareContext, combine, insecure_test_dealer};
use unjoin::phone::{
    Keeper, LocalKey, NumberError, NumberRange, NumberingPlan, PhoneNumber, PoolError, SlotKeyError,
    SlotKeyWindow, SlotKeys, VirtualNumber,
};
use unjoin::review::{DeskConfig, DeskError, ReviewDesk, Submission};
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::store::identity::Role;
use unjoin::store::{Bucket, Commit, MemoryStore, Store};
use unjoin::token::{
    AuthorAction, EnrolmentContext, IssuerKey, KeyRing, OrderHandle, PlatformKey, Presentation, Receipt,
    Review, ReviewId, ReviewStanding, ReviewState, Scope, SignedManifest, StaffKey, TokenRequest,
};
use unjoin::wire::Message;
use unjoin::{Clock, DAY, Environment, Grid, ManualClock, Name, PassphraseCost, PlatformError, QueueConfig};
use unjoin_test_util::fresh;
use unjoin_wallet::{AuthorRequest, ManifestEvidence, TrustRoots, Wallet, open_backup};

/// Everything that an error could tell of what it was given.
fn inputs(device: &Device) -> Vec<Vec<u8>> {
    let bytes = device.issuer_key.to_secret_bytes();
    let mut all: Vec<Vec<u8>> = device.derived().iter().map(|secret| secret.to_vec()).collect();
    all.extend([&SEED, &MASTER, &SIGNING].map(|secret| secret.to_vec()));
    all.extend([bytes.expose()[..32].to_vec(), bytes.expose()[32..].to_vec()]);
    all.extend([ACCOUNT.as_bytes(), MERCHANT.as_bytes(), ORDER, PHONE.as_bytes()].map(<[u8]>::to_vec));
    all.extend([PASSPHRASE, TEXT.as_bytes(), device.offer.handle.as_bytes()].map(<[u8]>::to_vec));
    all.push(device.wallet.wallet_key(&name("issuer")).unwrap().as_bytes().to_vec());
    all
}

/// Collects errors, each checked when it comes.
struct Errors {
    ways: Vec<String>,
    codes: Vec<&'static str>,
}

impl Errors {
    fn new(device: &Device) -> Self {
        let ways = inputs(device).iter().flat_map(|secret| printed(secret)).collect();
        Self { ways, codes: Vec::new() }
    }

    fn also_look_for(&mut self, secret: &[u8]) {
        self.ways.extend(printed(secret));
    }

    fn take(&mut self, error: &(impl std::error::Error + ?Sized), code: &'static str) {
        assert_silent_error(error, &self.ways);
        self.codes.push(code);
    }

    fn issuer<T>(&mut self, result: Result<T, IssuerError>) {
        let error = result.err().unwrap();
        self.take(&error, error.code());
        // As the facade passes it on.
        let error = PlatformError::from(error);
        self.take(&error, error.code());
    }

    fn desk<T>(&mut self, result: Result<T, DeskError>) {
        let error = result.err().unwrap();
        self.take(&error, error.code());
        let error = PlatformError::from(error);
        self.take(&error, error.code());
    }

    /// How many different errors were seen.
    fn kinds(mut self) -> usize {
        self.codes.sort_unstable();
        self.codes.dedup();
        self.codes.len()
    }
}

#[test]
fn no_error_of_the_order_service_repeats_its_input() {
    let device = Device::new();
    let mut errors = Errors::new(&device);
    let clock = Arc::new(ManualClock::new(day(0).saturating_add(60)));
    let ring = KeyRing::new(issuer_key().0, *device.committee.key());
    let open = |config| {
        Issuer::open(
            fresh(Role::Orders),
            config,
            ring.clone(),
            SecretBytes::new(MASTER),
            Arc::new(PlatformKey::from_secret_bytes(&SecretBytes::new(SIGNING))),
            Arc::new(EveryoneOfStanding),
            Environment::new(clock.clone(), || Box::new(SystemRng::new())),
        )
    };
    errors.issuer(open(IssuerConfig { classes: vec![], ..IssuerConfig::new(name(ACCOUNT)) }));
    let issuer = open(IssuerConfig { hold: 0, ..IssuerConfig::new(name("issuer")) }).unwrap();
    let rng = &mut SystemRng::new();
    let (account, merchant) = (name(ACCOUNT), name(MERCHANT));
    let enrol = |wallet: &Wallet, account: &Name, said: &Name| {
        let context = EnrolmentContext { issuer: &name("issuer"), account: said, nonce: &[1; 32] };
        let enrolment = wallet.enrol(context, &mut SystemRng::new()).unwrap();
        let submission = EnrolmentSubmission { account: account.clone(), nonce: [1; 32], enrolment };
        issuer.enrol(&[submission]).pop().unwrap()
    };
    let report = |order_id: &[u8], account: &Name, class, due_at| {
        let (order_id, account, merchant) = (order_id.to_vec(), account.clone(), merchant.clone());
        issuer.report_orders(&[OrderReport { order_id, account, merchant, class, due_at }]).pop().unwrap()
    };
    let offer = |account: &Name, handle| {
        let (account, merchant) = (account.clone(), merchant.clone());
        issuer.offers(&[OfferRequest { account, merchant, handle }]).pop().unwrap()
    };
    let grant = |account: &Name, request| issuer.grant(account.clone(), request).wait();

    errors.issuer(enrol(&device.wallet, &account, &name(PHONE)));
    errors.issuer(report(&[7; 300], &account, 0, day(0)));
    errors.issuer(report(ORDER, &account, 77, day(0)));
    errors.issuer(report(ORDER, &account, 0, day(3)));
    let handle = report(ORDER, &account, 0, day(0)).unwrap();
    errors.issuer(offer(&account, OrderHandle([0; 16])));
    errors.issuer(offer(&name(PHONE), handle));
    errors.issuer(offer(&account, handle));
    let dead =
        |at| issuer.numbers_dead(&[NumbersDead { merchant: merchant.clone(), handle, at }]).pop().unwrap();
    errors.issuer(dead(clock.now().saturating_add(400 * DAY)));
    dead(day(0)).unwrap();
    errors.issuer(dead(day(1)));
    errors.issuer(report(ORDER, &account, 1, day(0)));

    let offered = offer(&account, handle).unwrap();
    let mut asking = Device::new();
    asking.trust = TrustRoots::new(device.platform_key.public(), 5, unjoin::Grid::Weekly);
    asking.trust = asking.trust.pin(offered.issuer_key, offered.escrow_key).unwrap();
    asking.offer = offered;
    errors.issuer(grant(&account, asking.request().1));
    enrol(&device.wallet, &account, &account).unwrap();
    errors.issuer(enrol(&device.wallet, &name(PHONE), &name(PHONE)));
    errors.issuer(enrol(&Wallet::generate(rng), &account, &account));
    errors.issuer(grant(&name(PHONE), asking.request().1));
    let mut stranger = Device::new();
    stranger.trust = asking.trust.clone();
    stranger.offer = asking.offer.clone();
    stranger.wallet = Wallet::generate(rng);
    errors.issuer(grant(&account, stranger.request().1));
    asking.offer.scope = Scope::new(*asking.offer.scope.key_id(), merchant.clone(), 12345);
    errors.issuer(grant(&account, asking.request().1));
    asking.offer = offer(&account, handle).unwrap();
    grant(&account, asking.request().1).unwrap();
    asking.offer.scope = Scope::new(*asking.offer.scope.key_id(), merchant.clone(), 12345);
    errors.issuer(grant(&account, asking.request().1));

    assert!(errors.kinds() >= 15);
}

#[test]
fn no_error_of_the_review_service_repeats_its_input() {
    let device = Device::new();
    let mut errors = Errors::new(&device);
    let clock = Arc::new(ManualClock::new(day(1).saturating_add(60)));
    let open = |ring, key| {
        ReviewDesk::open(
            fresh(Role::Reviews),
            Grid::Weekly,
            DeskConfig { queue: QueueConfig::default(), ..DeskConfig::default() },
            ring,
            Arc::new(key),
            Environment::new(clock.clone(), || Box::new(SystemRng::new())),
        )
        .unwrap()
    };
    let key = || PlatformKey::from_secret_bytes(&SecretBytes::new(SIGNING));
    let desk = open(KeyRing::new(issuer_key().0, *device.committee.key()), key());
    let review = Review::new(1, TEXT, vec![]).unwrap();
    let other = Review::new(2, TEXT, vec![]).unwrap();
    let submit = |desk: &ReviewDesk<MemoryStore>, presentation: &Presentation, review: &Review| {
        let submission = Submission { presentation: presentation.clone(), review: review.clone() };
        desk.submit(submission).wait()
    };
    let presentation = device.presentation(&review);

    let rng = &mut SystemRng::new();
    let (strangers, _) = insecure_test_dealer(2, 3, rng).unwrap();
    errors.desk(submit(
        &open(KeyRing::new(IssuerKey::generate(rng), *strangers.key()), key()),
        &presentation,
        &review,
    ));
    errors.desk(submit(&open(KeyRing::new(issuer_key().0, *strangers.key()), key()), &presentation, &review));
    errors.desk(submit(&desk, &presentation, &other));
    errors.desk(submit(&desk, &presentation, &review));
    desk.admit(&device.manifest(&key())).unwrap();
    let receipt = submit(&desk, &presentation, &review).unwrap();
    errors.desk(submit(&desk, &device.presentation(&other), &other));

    let scope = &device.offer.scope;
    let state = |receipt: &Receipt| ReviewState {
        review_id: receipt.terms().review_id,
        last_sequence: 0,
        digest_in_force: receipt.terms().review_digest,
        standing: ReviewStanding::Held,
        published_at: receipt.terms().publish_by,
    };
    let state = state(&receipt);
    let act = |request| {
        device.wallet.act(&device.token(), &state, request, day(1), &mut SystemRng::new()).unwrap().action
    };
    let edit = act(AuthorRequest::Edit(&other));
    errors.desk(desk.act(scope, &edit, &other.to_bytes()));
    errors.desk(desk.act(scope, &edit, TEXT.as_bytes()));
    let later = AuthorAction::from_bytes(&[&edit.to_bytes()[..170], &[9]].concat()).unwrap();
    errors.desk(desk.act(scope, &later, &[]));
    errors.desk(desk.admit(&device.manifest(&PlatformKey::generate(rng))));
    let staff = StaffKey::generate(rng);
    let removed = RemovedEntry::sign(&staff, ACCOUNT, state.review_id, [0; 32], PHONE).unwrap();
    errors.desk(desk.remove(scope, &removed, ACCOUNT));
    errors.desk(
        desk.admit_staff(&StaffKeyEntry::sign(&key(), PHONE, &staff.public(), name(PHONE)).unwrap(), ACCOUNT),
    );
    desk.act(scope, &act(AuthorRequest::Withdraw), &[]).unwrap();
    errors.desk(desk.act(scope, &edit, &other.to_bytes()));
    let heard = desk.door(TEXT.as_bytes());
    assert_eq!(heard.body(), b"desk.malformed");
    assert!(errors.kinds() >= 8);
}

#[test]
fn no_error_of_a_wallet_repeats_its_input() {
    let device = Device::new();
    let mut errors = Errors::new(&device);
    let rng = &mut SystemRng::new();
    let mut take = |error: unjoin_wallet::WalletError| errors.take(&error, error.code());
    let (strangers, _) = insecure_test_dealer(2, 3, rng).unwrap();
    let pinned = device.trust.clone().pin(*device.issuer_key.public(), *strangers.key());
    take(pinned.err().unwrap());
    let empty = TrustRoots::new(device.platform_key.public(), 5, unjoin::Grid::Weekly);
    let (merchant, handle) = (name(MERCHANT), device.offer.handle);
    take(
        device
            .wallet
            .request(&name(ACCOUNT), &name(PHONE), handle, &device.offer, &empty, rng)
            .err()
            .unwrap(),
    );
    take(device.wallet.request(&name(ACCOUNT), &merchant, handle, &device.offer, &empty, rng).err().unwrap());
    let mut offer = device.offer.clone();
    offer.scope = Scope::new([0; 32], name(MERCHANT), 9);
    take(device.wallet.request(&name(ACCOUNT), &merchant, handle, &offer, &device.trust, rng).err().unwrap());
    offer = device.offer.clone();
    offer.escrow_key = *strangers.key();
    take(device.wallet.request(&name(ACCOUNT), &merchant, handle, &offer, &device.trust, rng).err().unwrap());

    let stranger = Wallet::generate(rng);
    let (pending, request) = device.request();
    take(stranger.finish(pending, &device.grant(&request), rng).err().unwrap());
    let other = Device { wallet: Wallet::generate(rng), ..Device::new() };
    take(device.wallet.finish(device.request().0, &other.grant(&other.request().1), rng).err().unwrap());

    let (token, review) = (device.token(), Review::new(1, TEXT, vec![]).unwrap());
    let mut present = |manifest, trust: &TrustRoots, now| {
        let evidence = ManifestEvidence::Signed(manifest);
        let presented = device.wallet.present(&token, &review, &evidence, trust, now, rng);
        take(presented.err().unwrap());
    };
    present(device.manifest(&PlatformKey::from_secret_bytes(&SecretBytes::new(SEED))), &device.trust, day(1));
    present(device.manifest(&device.platform_key), &device.trust, day(100));
    present(other_scope(&device), &device.trust, day(1));
    let demanding = TrustRoots::new(device.platform_key.public(), 500, unjoin::Grid::Weekly);
    let demanding = demanding.pin(*device.issuer_key.public(), *device.committee.key()).unwrap();
    present(device.manifest(&device.platform_key), &demanding, day(1));

    let state = ReviewState {
        review_id: device.wallet.review_id(&token).unwrap(),
        last_sequence: u64::MAX,
        digest_in_force: [1; 32],
        standing: ReviewStanding::Published,
        published_at: day(1),
    };
    let withdrawn = ReviewState { digest_in_force: [0; 32], ..state.clone() };
    let foreign = ReviewState { review_id: ReviewId([1; 32]), ..state.clone() };
    for state in [&state, &withdrawn, &foreign] {
        let refused = device.wallet.act(&token, state, AuthorRequest::Withdraw, day(1), rng);
        take(refused.err().unwrap());
    }

    let cost = PassphraseCost::LEAST;
    take(PassphraseCost::new(1, 1, 1).err().unwrap().into());
    take(device.wallet.seal_backup(&[], b"", cost, rng).err().unwrap());
    let backup = device.wallet.seal_backup(&[token], PASSPHRASE, cost, rng).unwrap();
    take(open_backup(&backup, SEED.as_slice()).err().unwrap());
    assert!(errors.kinds() >= 14);
}

fn other_scope(device: &Device) -> SignedManifest {
    let signed = device.manifest(&device.platform_key);
    let mut manifest = signed.verify(&device.platform_key.public()).unwrap().clone();
    manifest.scope = Scope::new(*device.issuer_key.public().id(), name(MERCHANT), 10);
    manifest.sign(&device.platform_key).unwrap()
}

#[test]
fn no_error_of_an_opening_repeats_its_input() {
    let device = Device::new();
    let mut errors = Errors::new(&device);
    let rng = &mut SystemRng::new();
    let review = Review::new(1, TEXT, vec![]).unwrap();
    let presentation = device.presentation(&review);
    errors.also_look_for(presentation.escrow().e1.as_bytes());
    errors.also_look_for(presentation.escrow().e2.as_bytes());
    let context = ShareContext {
        warrant_digest: [6; 32],
        review_id: presentation.review_id(),
        escrow: *presentation.escrow(),
    };
    let (committee, shares) = insecure_test_dealer(2, 3, rng).unwrap();
    let (others, foreign) = insecure_test_dealer(2, 3, rng).unwrap();
    let error = DecryptionShare::answer(&foreign[0], &committee, &context, rng).unwrap_err();
    errors.take(&error, error.code());
    let good = DecryptionShare::answer(&shares[0], &committee, &context, rng).unwrap();
    let bad = DecryptionShare::answer(&foreign[1], &others, &context, rng).unwrap();
    for given in [vec![], vec![good.clone()], vec![good.clone(), good.clone()], vec![good, bad]] {
        let error = combine(&committee, &context, &given, rng).unwrap_err();
        errors.take(&error, error.code());
    }
    let escrow = *presentation.escrow();
    let (one, other) = (presentation.review_id(), ReviewId([255; 32]));
    let error = ComparedReviews::new(vec![(one, escrow), (one, escrow)]).unwrap_err();
    errors.take(&error, error.code());
    let reviews = ComparedReviews::new(vec![(one, escrow), (other, escrow)]).unwrap();
    let round = |members, blinds: &[Blind]| {
        CheckedRound::new(&committee, &[6; 32], 1, &reviews, members, blinds, &mut SystemRng::new())
    };
    let error = round(Members::new([1, 2]).unwrap(), &[]).unwrap_err();
    errors.take(&error, error.code());
    // The second member's proof is of another warrant.
    let mut blind = |share, warrant: [u8; 32]| {
        let factor = BlindingFactor::derive(share, &warrant, 1, &reviews, rng);
        Blind::new(share.index(), 1, &factor, &warrant, &reviews, rng).unwrap()
    };
    let blinds = [blind(&shares[0], [6; 32]), blind(&shares[1], [7; 32])];
    let error = round(Members::new([1, 2]).unwrap(), &blinds).unwrap_err();
    assert_eq!(error, SameAuthorError::Culprits(vec![2]));
    errors.take(&error, error.code());
    let error = Committee::new(3, 1, *committee.key(), committee.verification_shares().to_vec()).unwrap_err();
    errors.take(&error, error.code());
    assert!(errors.kinds() >= 7);
}

#[test]
fn no_error_of_telephony_repeats_its_input() {
    let mut errors = Errors::new(&Device::new());
    errors.also_look_for(&X.as_bytes()[1..]);
    errors.also_look_for(&PHONE.as_bytes()[1..]);
    let mut number = |error: NumberError| errors.take(&error, error.code());
    let plan = NumberingPlan::new("86", "00", "0").unwrap();
    number(PhoneNumber::new(&PHONE[1..]).err().unwrap());
    number(PhoneNumber::new(&format!("+0{}", &PHONE[1..])).err().unwrap());
    number(PhoneNumber::new(&format!("{PHONE}#")).err().unwrap());
    number(PhoneNumber::new(X).err().unwrap());
    number(plan.party(&PHONE[1..]).err().unwrap());
    number(NumberingPlan::new(PHONE, "00", "0").err().unwrap());
    let mut drawn = |error: PoolError| errors.take(&error, error.code());
    drawn(NumberRange::new(VirtualNumber::new(X).unwrap(), u64::MAX).err().unwrap());
    drawn(pool().draw(&name(MERCHANT), 0, 0, 1).err().unwrap());
    let directory = directory("errors");
    let mut slots = |result: Result<Keeper, SlotKeyError>| {
        let error = result.err().unwrap();
        errors.take(&error, error.code());
    };
    let open = keeper(&directory, SEED).unwrap();
    slots(keeper(&directory, SEED));
    slots(open.window(day(900)).map(|_| open));
    slots(keeper(&directory, MASTER));
    std::fs::write(directory.join("keys"), PHONE).unwrap();
    slots(keeper(&directory, SEED));
    std::fs::remove_file(directory.join("keys")).unwrap();
    slots(keeper(&directory, SEED));
    slots(keeper(&directory.join(PHONE), SEED));
    slots(SlotKeyWindow::import(PHONE.as_bytes()).map(|_| unreachable!()));
    std::fs::write(directory.join("encryption"), PHONE).unwrap();
    slots(LocalKey::from_file(directory.join("encryption")).map(|_| unreachable!()));
    std::fs::remove_dir_all(directory).unwrap();
    assert!(errors.kinds() >= 16);
}

#[test]
fn no_error_of_decoding_naming_or_storing_repeats_its_input() {
    let device = Device::new();
    let mut errors = Errors::new(&device);
    let review = Review::new(1, TEXT, vec![]).unwrap();
    let messages =
        [device.presentation(&review).to_bytes(), device.request().1.to_bytes(), review.to_bytes()];
    for message in messages {
        for length in (0..message.len()).step_by(5) {
            let cut = &message[..length];
            let refused = [
                Presentation::from_bytes(cut).map(drop),
                TokenRequest::from_bytes(cut).map(drop),
                Review::from_bytes(cut).map(drop),
            ];
            for error in refused.into_iter().filter_map(Result::err) {
                errors.take(&error, error.code());
            }
        }
        // Through serde, too.
        let text =
            serde_json::to_string(&Base64UrlUnpadded::encode_string(&message[..message.len() - 2])).unwrap();
        let error = serde_json::from_str::<Presentation>(&text).unwrap_err();
        errors.take(&error, "serde");
    }
    let error = Name::new([ACCOUNT, ACCOUNT, ACCOUNT].concat()).unwrap_err();
    errors.take(&error, error.code());
    let error = Review::new(1, TEXT.repeat(1000), vec![]).unwrap_err();
    errors.take(&error, error.code());
    let long = ACCOUNT.repeat(10_000).into_bytes();
    let commit = Commit::new(Bucket::of(ACCOUNT.as_bytes())).put(long.clone(), long);
    let error = MemoryStore::new().commit(&[commit]).unwrap_err();
    errors.take(&error, error.code());
    assert!(errors.kinds() >= 5);
}
