//! Are secrets erased? The allocator reads every block of the heap that is freed, and at the
//! end every block that still lives, for the secrets of each step.
//!
//! Not seen: the stack and registers, which the library erases where it can and the compiler
//! may copy; and secrets that the test does not know, nonces above all.

mod heap;

use curve25519_dalek::scalar::Scalar;
use rand_core::Rng;
use sha2::block_api::compress256;
use sha2::{Digest, Sha512};
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use unjoin::Name;
use unjoin::issuer::{EveryoneOfStanding, NumbersDead, OrderReport};
use unjoin::ledger::Members;
use unjoin::opening::ceremony::{CeremonyMessage, CeremonyPlan, Round, Step};
use unjoin::opening::same_author::{Blind, BlindingFactor, CheckedRound, ComparedReviews, ComparisonShare};
use unjoin::opening::{
    Committee, DecryptionShare, RecipientKey, ShareContext, TrusteeSecrets, TrusteeShare,
    insecure_test_dealer,
};
use unjoin::phone::{Keeper, LocalKey, PhoneNumber, SlotConfig, SlotKeyWindow, SlotKeys};
use unjoin::secret::{MacKey, SecretBytes, SecretScalar, SystemRng};
use unjoin::store::MemoryStore;
use unjoin::store::identity::Roster;
use unjoin::token::{
    Accepted, CohortManifest, DoorAnswer, DoorMessage, DoorQuestion, EnrolmentContext, IssuerKey, KeyRing,
    OrderHandleKey, PlatformKey, PresentationCheck, PublicationDates, Review, ReviewId, ReviewStanding,
    ReviewState, StaffKey, TrusteeKey, Trustees, binding_blind, verify_batch,
};
use unjoin::wire::Message;
use unjoin::{
    CLOCK_LIMIT, Clock, Environment, Grid, ManualClock, PassphraseCost, Platform, PlatformConfig,
    PlatformSecrets, Timestamp,
};
use unjoin_door::{Gateway, GatewayKey, seal};
use unjoin_test_util::{Draws, platform_stores};
use unjoin_trustee::test_util::history_of;
use unjoin_wallet::{AuthorRequest, TrustRoots, Wallet, open_backup};

fn main() -> ExitCode {
    let mut leaks = 0;
    planted();
    leaks += step("every secret type, dropped", types);
    leaks += step("wallet, issuer, desk and trustee at work", work);
    leaks += step("trustees make a key and refresh it", ceremony);
    leaks += step("the keeper of the slot keys at work", keep);
    leaks += step("a key of the door, from its making to its end", door);
    match heap::living_with_a_secret() {
        0 => println!("nothing that lives at the end holds a secret"),
        living => {
            println!("{living} blocks that live at the end hold a secret");
            leaks += living;
        }
    }
    if leaks == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn step(name: &str, work: impl FnOnce()) -> usize {
    heap::freed_with_a_secret();
    work();
    said(name)
}

/// Says what has been found since the last time.
fn said(name: &str) -> usize {
    let (found, length) = heap::freed_with_a_secret();
    match found {
        0 => println!("{name}: erased"),
        _ => println!("{name}: {found} blocks freed with a secret, the last of {length} bytes"),
    }
    found
}

/// A secret in a vector that nobody erases must be found, freed or living, or this finds
/// nothing anywhere.
fn planted() {
    let mut secret = [0; 32];
    SystemRng::new().fill_bytes(&mut secret);
    heap::watch(&secret);
    let leaked = black_box([&[1, 2, 3], &secret[..]].concat());
    assert_eq!(heap::living_with_a_secret(), 1, "a living planted secret is found");
    drop(leaked);
    assert_eq!(heap::freed_with_a_secret().0, 1, "a freed planted secret is found");
    // What grows leaves its old block behind.
    let mut grown = secret[16..].to_vec();
    grown.reserve_exact(1_000_000);
    assert_eq!(heap::freed_with_a_secret().0, 1, "what was left behind is found");
    grown.fill(0);
    drop(black_box(grown));
    assert_eq!(heap::freed_with_a_secret().0, 0, "what was erased is not found");
    println!("planted secrets are found");
}

/// Boxed, so that the value itself lies in a block that is freed.
fn types() {
    let fresh = || {
        let mut bytes = [0; 32];
        SystemRng::new().fill_bytes(&mut bytes);
        heap::watch(&bytes);
        bytes
    };
    fn dropped<T>(name: &str, value: T) {
        drop(black_box(Box::new(value)));
        let (found, _) = heap::freed_with_a_secret();
        assert_eq!(found, 0, "{name} is not erased");
    }
    dropped("SecretBytes", SecretBytes::new(fresh()));
    let scalar = Scalar::from_bytes_mod_order(fresh());
    heap::watch(scalar.as_bytes());
    dropped("SecretScalar", SecretScalar::new(scalar));
    dropped("PlatformKey", PlatformKey::from_secret_bytes(&SecretBytes::new(fresh())));
    dropped("StaffKey", StaffKey::from_secret_bytes(&SecretBytes::new(fresh())));
    dropped("TrusteeKey", TrusteeKey::from_secret_bytes(SecretBytes::new(fresh())));
    dropped("OrderHandleKey", OrderHandleKey::new(SecretBytes::new(fresh())));
    dropped("Wallet", Wallet::from_seed(SecretBytes::new(fresh())));
    dropped("IssuerKey", issuer_key());
    let mut rng = Recorded::default();
    let (committee, shares) = insecure_test_dealer(2, 3, &mut rng.rng()).expect("2 of 3");
    rng.watch_shares();
    let element = *committee.key().element();
    let escrow = unjoin::algebra::Escrow { e1: element, e2: element };
    let reviews = [(ReviewId([1; 32]), escrow), (ReviewId([2; 32]), escrow)];
    dropped("BlindingFactor", blinding_factor(&shares[0], 1, &reviews));
    dropped("TrusteeShare", shares);
    dropped("KeyRing", KeyRing::new(issuer_key(), *committee.key()));
    dropped("RecipientKey", RecipientKey::from_secret_bytes(SecretBytes::new(fresh())));
    let secrets = PlatformSecrets {
        keys: KeyRing::new(issuer_key(), *committee.key()),
        platform_key: PlatformKey::from_secret_bytes(&SecretBytes::new(fresh())),
        issuer_master: SecretBytes::new(fresh()),
        stores: Roster::generate(&mut SystemRng::new()),
    };
    dropped("PlatformSecrets", secrets);
    dropped("LocalKey", LocalKey::new(SecretBytes::new(fresh())));
    // Its states alone are looked for: while it lives they are found.
    let mut bytes = [0; 32];
    SystemRng::new().fill_bytes(&mut bytes);
    [0x36, 0x5c].map(|pad| heap::watch(&state_after(&bytes, pad)));
    let prepared = black_box(Box::new(MacKey::new(&bytes)));
    assert_eq!(heap::living_with_a_secret(), 1, "the states of a prepared key are found");
    dropped("MacKey", prepared);
    let mut number = [0; 8];
    SystemRng::new().fill_bytes(&mut number);
    let digits = 100_000_000_000_000 + u64::from_le_bytes(number) % 800_000_000_000_000;
    // Eight bytes alone are no part that is looked for: two of them beside one another are.
    let text = format!("+{digits}");
    let pair = [PhoneNumber::new(&text).expect("a number"), PhoneNumber::new(&text).expect("a number")];
    heap::watch(&std::array::from_fn(|at| digits.to_le_bytes()[at % 8]));
    dropped("PhoneNumber", pair);
}

/// A generator that watches every key it gives.
fn watching() -> Draws<fn(&mut [u8])> {
    Draws(|bytes| {
        SystemRng::new().fill_bytes(bytes);
        if let Ok(key) = <&[u8; 32]>::try_from(&*bytes) {
            heap::watch(key);
        }
    })
}

/// One that watches, of every slot's key that it gives, what is kept ready for use as well: the states in which
/// HMAC begins under the two keys that are derived from it.
fn watching_slots() -> Draws<fn(&mut [u8])> {
    Draws(|bytes| {
        SystemRng::new().fill_bytes(bytes);
        let Ok(key) = <&[u8; 32]>::try_from(&*bytes) else { return };
        heap::watch(key);
        for label in [&b"unjoin/phone/slot/index/1"[..], b"unjoin/phone/slot/seal/1"] {
            let derived = MacKey::new(key).mac(&[label]);
            heap::watch(&derived);
            [0x36, 0x5c].map(|pad| heap::watch(&state_after(&derived, pad)));
        }
    })
}

/// SHA-256's state after one block, of a key and this pad (RFC 2104), as it lies in memory.
fn state_after(key: &[u8; 32], pad: u8) -> [u8; 32] {
    let mut state =
        [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
    compress256(&mut state, &[std::array::from_fn(|at| key.get(at).copied().unwrap_or(0) ^ pad)]);
    std::array::from_fn(|at| state[at / 4].to_ne_bytes()[at % 4])
}

/// A key file that is made, opened, rotated past all its slots and recovered.
fn keep() {
    let directory = std::env::temp_dir().join(format!("unjoin-zeroize-{}", std::process::id()));
    std::fs::create_dir(&directory).expect("a directory of its own");
    let start = 1_800_000_000;
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(start)));
    let environment = Environment::new(clock.clone(), || Box::new(watching_slots()));
    let mut encryption = [0; 32];
    SystemRng::new().fill_bytes(&mut encryption);
    heap::watch(&encryption);
    let open = || {
        let config = SlotConfig::new(5_400, 4, 30).expect("slots");
        let key = LocalKey::new(SecretBytes::new(encryption));
        Keeper::create_or_open(directory.join("keys"), key, config, &environment).expect("opens")
    };
    drop(open());
    let keeper = open();
    for step in 0..24 {
        let now = Timestamp::from_unix_seconds(start + step * CLOCK_LIMIT);
        clock.set(now);
        keeper.rotate(now).expect("rotates");
        let window = keeper.window(now).expect("serves");
        let exported = window.export();
        drop(black_box(SlotKeyWindow::import(&exported).expect("a window")));
    }
    keeper.recover(clock.now()).expect("recovers");
    drop(keeper);
    std::fs::remove_dir_all(&directory).expect("removed");
}

/// Keys that are served, one of them twice, until they end one after another.
fn door() {
    let (now, rng) = (Timestamp::from_unix_seconds(1_700_000_000), &mut SystemRng::new());
    let key = GatewayKey::generate(1, &mut watching());
    let (config, valid) = (*key.config(), now..now.saturating_add(60));
    let mut gateway = Gateway::new("door.example", 16).unwrap();
    // Served already: dropped.
    let again = GatewayKey::from_secret_bytes(1, key.to_secret_bytes());
    for key in [key, again] {
        gateway.serve(key, valid.clone());
    }
    for (id, life) in (2..9).zip(61..) {
        gateway.serve(GatewayKey::generate(id, &mut watching()), now..now.saturating_add(life));
    }
    let question = DoorQuestion::Bundle { boundary: now, shard: 0, piece: 0 };
    let question = DoorMessage::new(question).unwrap();
    let (sealed, waiting) = seal(&config, "door.example", &question, rng).unwrap();
    let (_, reply) = gateway.open(&sealed, now).unwrap();
    let answer = DoorAnswer::refused(503, "desk.no_bundle");
    assert_eq!(waiting.open(&reply.seal(&answer, rng)).unwrap(), answer);
    for life in 60..64 {
        gateway.forget_ended(now.saturating_add(life));
    }
    assert!(gateway.open(&sealed, now).is_err());
}

fn issuer_key() -> IssuerKey {
    let key = IssuerKey::generate(&mut SystemRng::new());
    let bytes = key.to_secret_bytes();
    for half in bytes.expose().chunks_exact(32) {
        heap::watch(half.try_into().expect("32 bytes"));
    }
    key
}

/// A member's factor of a round of the warrant with the digest 66..., watched with what it is drawn from.
fn blinding_factor(
    share: &TrusteeShare,
    round: u16,
    reviews: &[(ReviewId, unjoin::algebra::Escrow)],
) -> BlindingFactor {
    let compared = ComparedReviews::new(reviews.to_vec()).expect("in order");
    let mut drawn = Recorded::default();
    let factor = BlindingFactor::derive(share, &DIGEST, round, &compared, &mut drawn.rng());
    let fresh: &[u8; 32] = drawn.given[..32].try_into().expect("32 bytes");
    heap::watch(fresh);
    let (round, epoch) = (round.to_le_bytes(), share.epoch().to_le_bytes());
    let secret = share.secret().expose();
    let mut items: Vec<&[u8]> = vec![fresh, secret.as_bytes(), &DIGEST, &round, &epoch];
    for (_, escrow) in reviews {
        items.extend([escrow.e1.as_bytes().as_slice(), escrow.e2.as_bytes()]);
    }
    watch_derived(b"round/z", &items);
    factor
}

/// SHA-256 of a warrant's text.
const DIGEST: [u8; 32] = [6; 32];

/// The whole path, with every secret of everybody watched.
fn work() {
    let rng = &mut SystemRng::new();
    let name = |text: &str| Name::new(text).expect("a name");
    let fresh = || {
        let mut bytes = [0; 32];
        SystemRng::new().fill_bytes(&mut bytes);
        heap::watch(&bytes);
        SecretBytes::new(bytes)
    };
    let mut dealt = Recorded::default();
    let (committee, shares) = insecure_test_dealer(2, 3, &mut dealt.rng()).expect("2 of 3");
    dealt.watch_shares();
    said("deal");

    let keys = KeyRing::new(issuer_key(), *committee.key());
    let public = *keys.newest().issuer_key.public();
    let (platform_seed, master) = (fresh(), fresh());
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_500_000_000)));
    let now = clock.now();
    let roster = Roster::generate(rng);
    let [orders, reviews] = [MemoryStore::new(), MemoryStore::new()].map(Arc::new);
    let stores = platform_stores(&roster, &orders, &reviews).expect("are created");
    let mut config = PlatformConfig::new(name("shop"));
    config.issuer.hold = 0;
    let platform = Platform::open(
        stores,
        config,
        PlatformSecrets {
            keys: keys.clone(),
            platform_key: PlatformKey::from_secret_bytes(&platform_seed),
            issuer_master: SecretBytes::new(*master.expose()),
            stores: roster,
        },
        Arc::new(EveryoneOfStanding),
        Environment::new(clock, || Box::new(SystemRng::new())),
    )
    .expect("opens");

    let seed = fresh();
    let seed_bytes = *seed.expose();
    let wallet = Wallet::from_seed(seed);
    let (issuer, account, merchant) = (name("shop"), name("account"), name("merchant"));
    let context = EnrolmentContext { issuer: &issuer, account: &account, nonce: &[1; 32] };
    watch_derived(b"wallet/u", &[&seed_bytes, issuer.as_bytes()]);
    let enrolment = wallet.enrol(context, rng).expect("enrols");
    heap::watch(&binding_blind(&master, &account, enrolment.wallet_key()));
    platform.enrol(account.clone(), [1; 32], enrolment).expect("enrolled");
    let bound = platform.issuer().account_of(&wallet.wallet_key(&issuer).expect("a key"));
    assert!(bound.expect("reads").is_some());
    let order = OrderReport {
        order_id: b"order".to_vec(),
        account: account.clone(),
        merchant: merchant.clone(),
        class: 0,
        due_at: Timestamp::from_unix_seconds(1_500_000_000),
    };
    let at = order.due_at;
    let handle = platform.order_due(order).expect("due");
    platform.numbers_dead(NumbersDead { merchant: merchant.clone(), handle, at }).expect("ended");
    let offer = platform.offer(account.clone(), merchant.clone(), handle).expect("offered");
    let scope = offer.scope.to_bytes();
    let y = committee.key().element().as_bytes();
    let items: [&[u8]; 5] = [&seed_bytes, issuer.as_bytes(), &scope, handle.as_bytes(), y];
    watch_derived(b"wallet/b", &items[..4]);
    watch_derived(b"wallet/k", &items);
    watch_author_key(&items[..4]);

    let trust = TrustRoots::new(*platform.public_key(), 2, unjoin::Grid::Weekly)
        .pin(public, *committee.key())
        .expect("a pin");
    let (pending, request) =
        wallet.request(&issuer, offer.scope.merchant(), offer.handle, &offer, &trust, rng).expect("requests");
    let grant = platform.grant(account, request).wait();
    let token = wallet.finish(pending, &grant.expect("granted"), rng).expect("finished");
    let review = Review::new(1, "The lamp came broken.", vec![]).expect("a review");
    let presentation = wallet.presentation(&token, &review, rng).expect("presents");
    let digest = review.digest();
    let check = PresentationCheck {
        presentation: &presentation,
        key: &keys.newest().issuer_key,
        escrow_key: committee.key(),
        review_digest: &digest,
    };
    verify_batch(&[check, check], rng).expect("verifies");
    black_box(Accepted::prove(check.key, &presentation, &digest, rng));
    let boundary = |number: i32| (0..number).fold(now, |from, _| Grid::Weekly.nth_after(from, 1));
    let manifest = CohortManifest {
        scope: token.scope().clone(),
        escrow_id: *committee.key().id(),
        at_least: 20,
        publications: PublicationDates::new(&[boundary(1), boundary(3)]).expect("rising"),
    };
    let manifest = manifest.sign(&PlatformKey::from_secret_bytes(&platform_seed)).unwrap();
    platform.desk().admit(&manifest).expect("admitted");
    let receipt = platform.submit(presentation.clone(), review.clone()).wait().expect("accepted");
    let state = ReviewState {
        review_id: presentation.review_id(),
        last_sequence: 0,
        digest_in_force: digest,
        standing: ReviewStanding::Held,
        published_at: receipt.terms().publish_by,
    };
    let signed = wallet.act(&token, &state, AuthorRequest::Withdraw, now, rng).expect("signs");
    let question = wallet.ask_state(&token, now, rng).expect("signs");
    assert_eq!(platform.desk().state(token.scope(), &question).expect("its author asks"), state);
    platform.act(token.scope(), &signed.action, &[]).expect("withdrawn");
    assert!(platform.tick().expect("ticks").failed.is_empty());

    let cost = PassphraseCost::LEAST;
    let backup = wallet.seal_backup(&[token], b"passphrase", cost, rng).expect("sealed");
    drop(open_backup(&backup, b"passphrase").expect("opened"));

    let (review_id, escrow) = (presentation.review_id(), *presentation.escrow());
    let context = ShareContext { warrant_digest: DIGEST, review_id, escrow };
    black_box(DecryptionShare::answer(&shares[0], &committee, &context, rng).expect("answers"));
    compare(&committee, &shares[..2], escrow);
}

/// A round over two reviews of one author.
fn compare(committee: &Committee, shares: &[TrusteeShare], escrow: unjoin::algebra::Escrow) {
    let rng = &mut SystemRng::new();
    let reviews = [1, 2].map(|first| (ReviewId([first; 32]), escrow));
    let compared = ComparedReviews::new(reviews.to_vec()).expect("in order");
    let blind = |share: &TrusteeShare| {
        let factor = blinding_factor(share, 1, &reviews);
        Blind::new(share.index(), 1, &factor, &DIGEST, &compared, &mut SystemRng::new()).expect("blinds")
    };
    let blinds: Vec<_> = shares.iter().map(blind).collect();
    let members = Members::new([1, 2]).expect("two");
    let round = CheckedRound::new(committee, &DIGEST, 1, &compared, members, &blinds, rng).expect("a round");
    let share = |share| ComparisonShare::answer(share, committee, round.context(), &mut SystemRng::new());
    let answers: Vec<_> = shares.iter().map(|each| share(each).expect("answers")).collect();
    assert_eq!(round.classes(committee, &answers, rng).expect("combines").authors.len(), 1);
}

/// Two trustees make a key, seal what they hold after every step, and refresh it.
fn ceremony() {
    let rng = &mut SystemRng::new();
    let mut drawn = [Recorded::default(), Recorded::default()];
    let mut trustees = drawn.each_mut().map(|drawn| TrusteeSecrets::generate(&mut drawn.rng()));
    let keys = Trustees::new(trustees.each_ref().map(TrusteeSecrets::public).into()).expect("two keys");
    let mut held = [Scalar::ZERO; 2];
    let mut ledger = Vec::new();
    for epoch in 1..=2 {
        let plan = match trustees[0].committee() {
            None => CeremonyPlan::key_generation(2, keys.clone(), rng),
            Some(signed) => CeremonyPlan::refresh(signed.committee(), keys.clone(), vec![1, 2], rng),
        };
        let plan = plan.expect("a plan");
        for (trustee, drawn) in trustees.iter_mut().zip(&mut drawn) {
            trustee.join(plan.clone(), plan.threshold(), &mut drawn.rng()).expect("joins");
            let seeds = &drawn.given[..drawn.length];
            heap::watch(seeds[32 * epoch..].try_into().expect("the ceremony's"));
            if epoch == 1 {
                heap::watch(seeds[..32].try_into().expect("the long-term key's"));
            }
        }
        let mut messages: Vec<CeremonyMessage> = Vec::new();
        let mut watched = false;
        let mut finished = [None, None];
        while finished.contains(&None) {
            for (trustee, finished) in trustees.iter_mut().zip(&mut finished) {
                if trustee.plan().is_none() {
                    continue;
                }
                match trustee.next(&messages, rng).expect("goes on") {
                    Step::Publish(message) => messages.push(message),
                    Step::Finished(signed) => *finished = Some(signed),
                    _ => {}
                }
                let cost = PassphraseCost::LEAST;
                let sealed = trustee.seal(b"passphrase", cost, rng).expect("sealed");
                *trustee = sealed.open(b"passphrase").expect("opened");
            }
            let last = messages.last().filter(|message| message.round() == Round::Commitment);
            if let (Some(message), false) = (last, watched) {
                watched = true;
                // Version and kind, then the session.
                let session = &message.to_bytes()[2..34];
                for drawn in &drawn {
                    let seed = &drawn.given[32 * epoch..][..32];
                    let coefficient = |k: u16| match (epoch, k) {
                        (2, 0) => Scalar::ZERO,
                        _ => derived(b"ceremony/coefficient", &[seed, session, &k.to_le_bytes()]),
                    };
                    let (constant, slope) = (coefficient(0), coefficient(1));
                    for (index, share) in (1u64..).zip(&mut held) {
                        let dealt = constant + slope * Scalar::from(index);
                        *share += dealt;
                        heap::watch(dealt.as_bytes());
                    }
                    heap::watch(slope.as_bytes());
                }
                held.iter().for_each(|share| heap::watch(share.as_bytes()));
            }
        }
        assert!(watched, "the secrets are known to the test");
        ledger.push(finished[0].take().expect("finished").to_bytes());
        if epoch > 1 {
            let history = history_of(&ledger);
            for trustee in &mut trustees {
                trustee.commit(&history).expect("the ledger has it");
            }
        }
    }
    drop(black_box(trustees.map(Box::new)));
}

/// Watches `H2S(label, items..)`, by the protocol's definition.
fn watch_derived(label: &[u8], items: &[&[u8]]) {
    heap::watch(derived(label, items).as_bytes());
}

/// Watches the seed of a token's author key, and what RFC 8032 makes of it: the scalar, as it stands and
/// reduced, and the prefix of nonces.
fn watch_author_key(items: &[&[u8]]) {
    let seed: [u8; 32] = hashed(b"wallet/a", items)[..32].try_into().expect("32 bytes");
    heap::watch(&seed);
    let expanded: [u8; 64] = Sha512::digest(seed).into();
    let (scalar, prefix) = expanded.split_at(32);
    let mut scalar: [u8; 32] = scalar.try_into().expect("32 bytes");
    scalar[0] &= 248;
    scalar[31] = scalar[31] & 127 | 64;
    heap::watch(&scalar);
    heap::watch(Scalar::from_bytes_mod_order(scalar).as_bytes());
    heap::watch(prefix.try_into().expect("32 bytes"));
}

fn derived(label: &[u8], items: &[&[u8]]) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&hashed(label, items))
}

/// `H(label, items..)`, by the protocol's definition.
fn hashed(label: &[u8], items: &[&[u8]]) -> [u8; 64] {
    let mut hash = Sha512::new();
    for part in [b"unjoin/v1", label].into_iter().chain(items.iter().copied()) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// A generator that keeps what it gave, on the stack: the test computes the secrets from it.
struct Recorded {
    given: [u8; 256],
    length: usize,
}

impl Default for Recorded {
    fn default() -> Self {
        Self { given: [0; 256], length: 0 }
    }
}

impl Recorded {
    fn rng(&mut self) -> Draws<impl FnMut(&mut [u8])> {
        Draws(|bytes: &mut [u8]| {
            SystemRng::new().fill_bytes(bytes);
            self.given[self.length..][..bytes.len()].copy_from_slice(bytes);
            self.length += bytes.len();
        })
    }

    /// The scalar made of the 64 bytes at `position * 64`.
    fn scalar(&self, position: usize) -> Scalar {
        let wide = self.given[position * 64..][..64].try_into().expect("64 bytes");
        Scalar::from_bytes_mod_order_wide(&wide)
    }

    /// What a dealer of a threshold of 2 makes of them for 3 trustees.
    fn watch_shares(&self) {
        let (constant, slope) = (self.scalar(0), self.scalar(1));
        heap::watch(constant.as_bytes());
        for index in 1u64..=3 {
            heap::watch((constant + slope * Scalar::from(index)).as_bytes());
        }
    }
}
