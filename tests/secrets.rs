//! No secret slips out through formatting, a trait that it should not have, or an error.

#![cfg(feature = "platform")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helper fails the test")]

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding};
use curve25519_dalek::scalar::Scalar;
use rand_core::{TryCryptoRng, TryRng};
use sha2::{Digest, Sha256, Sha512};
use std::convert::Infallible;
use std::fmt::{Debug, Display};
use std::marker::PhantomData;
use std::sync::Arc;
use unjoin::Name;
use unjoin::issuer::{
    EnrolmentSubmission, EveryoneOfStanding, Issuer, IssuerConfig, IssuerError, NumbersDead, OfferRequest,
    OrderReport,
};
use unjoin::ledger::{KeyName, LedgerConfig, NoteKey, WitnessKey};
use unjoin::opening::{
    BlindingFactor, CeremonyPlan, Committee, DecryptionShare, Pair, RecipientKey, SameAuthorRound,
    SealedTrusteeSecrets, ShareAction, ShareContext, Step, TrusteeSecrets, TrusteeShare, combine,
    insecure_test_dealer, without_round,
};
use unjoin::phone::{
    Keeper, KeyEncryptionError, LocalKey, NumberError, NumberRange, NumberingPlan, PhoneNumber, Pool,
    PoolConfig, PoolError, PoolRange, SlotConfig, SlotKey, SlotKeyError, SlotKeyWindow, SlotKeys,
    UnprefixedNumbers, VirtualNumber,
};
use unjoin::review::{DeskConfig, DeskError, ReviewDesk, Submission};
use unjoin::secret::{SecretBytes, SecretScalar, SystemRng};
use unjoin::store::{Bucket, Commit, MemoryStore, Outcome, Row, RowKey, Store, Version};
use unjoin::token::{
    AuthorAction, CohortManifest, EnrolmentContext, Grant, GrantedTag, IssuerKey, KeyPair, KeyRing, Offer,
    OrderHandle, OrderHandleKey, PlatformKey, Presentation, Review, Scope, SignedManifest, TokenRequest,
    TrusteeKey, Trustees,
};
use unjoin::wallet::{
    AuthorRequest, ManifestEvidence, PendingToken, ReviewState, SealedBackup, Token, TrustRoots, Wallet,
    open_backup,
};
use unjoin::wire::Message;
use unjoin::{
    Clock, DAY, Environment, ManualClock, PassphraseCost, Platform, PlatformConfig, PlatformError,
    PlatformSecrets, QueueConfig, Timestamp, WEEK,
};

// What is looked for.

/// How many bytes of a secret in a row count as found.
const TELLING: usize = 8;

/// The ways in which `TELLING` bytes, or a few more, could be printed.
fn printed(secret: &[u8]) -> Vec<String> {
    let mut ways = Vec::new();
    for part in secret.windows(TELLING) {
        ways.push(part.iter().map(|byte| format!("{byte:02x}")).collect());
        ways.push(part.iter().map(|byte| format!("{byte:02X}")).collect());
        ways.push(part.iter().map(|byte| byte.to_string()).collect::<Vec<_>>().join(","));
        ways.push(part.iter().map(|byte| format!("{byte:x}")).collect::<Vec<_>>().join(","));
        ways.push(part.iter().map(|byte| format!("{byte:#x}")).collect::<Vec<_>>().join(","));
        // A text is searched for as it stands, since a few letters of it prove nothing.
        ways.extend(std::str::from_utf8(part).ok().filter(|text| !text.contains(' ')).map(str::to_owned));
    }
    for part in secret.windows(TELLING / 3 * 3 + 3) {
        ways.push(Base64Unpadded::encode_string(part));
        ways.push(Base64UrlUnpadded::encode_string(part));
    }
    ways
}

/// Whether a secret can be read from a text, pretty-printed or not.
fn tells(text: &str, secret: &[u8]) -> bool {
    let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    printed(secret).iter().any(|way| plain.contains(way.as_str()))
}

fn assert_silent(value: &impl Debug, secrets: &[&[u8]]) {
    for text in [format!("{value:?}"), format!("{value:#?}")] {
        for secret in secrets {
            assert!(!tells(&text, secret), "{text} tells {secret:02x?}");
        }
    }
}

/// `ways`: those in which the secrets could be printed.
fn assert_silent_error(error: &(impl std::error::Error + ?Sized), ways: &[String]) {
    let mut texts = vec![format!("{error}"), format!("{error:?}"), format!("{error:#?}")];
    let mut source = error.source();
    while let Some(inner) = source {
        texts.push(format!("{inner} {inner:?}"));
        source = inner.source();
    }
    for text in texts {
        let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        for way in ways {
            assert!(!plain.contains(way.as_str()), "{text} tells {way}");
        }
    }
}

#[test]
fn a_secret_is_found_however_it_is_printed() {
    let secret: [u8; 32] = std::array::from_fn(|i| (i as u8).wrapping_mul(37) ^ 0xa5);
    let base64 = Base64Unpadded::encode_string(&secret);
    let url = Base64UrlUnpadded::encode_string(&secret);
    let scalar = Scalar::from_bytes_mod_order(secret);
    let texts = [
        format!("{secret:?}"),
        format!("{secret:#?}"),
        format!("{secret:02x?}"),
        format!("{secret:#04x?}"),
        secret.iter().map(|byte| format!("{byte:02X}")).collect(),
        format!("token {base64}"),
        format!("token {url}"),
        format!("{:?}", &secret[9..18]),
    ];
    for text in texts {
        assert!(tells(&text, &secret), "{text}");
    }
    assert!(
        tells(&format!("{scalar:?}"), scalar.as_bytes())
            && tells("of jane@mail.example", b"jane@mail.example")
    );
    assert!(!tells("nothing of it", &secret));
}

// Secrets whose bytes are known.

/// A generator that gives a known sequence and keeps what it gave.
struct Known {
    given: Vec<u8>,
}

impl Known {
    fn new() -> Self {
        Self { given: Vec::new() }
    }
}

impl TryRng for Known {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for byte in bytes {
            let block = Sha512::digest((self.given.len() as u64).to_le_bytes());
            *byte = block[0];
            self.given.push(*byte);
        }
        Ok(())
    }
}

impl TryCryptoRng for Known {}

fn wide(bytes: &[u8]) -> Scalar {
    Scalar::from_bytes_mod_order_wide(bytes.try_into().unwrap())
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Bytes that no text holds by chance.
const fn noise(start: u8) -> [u8; 32] {
    let mut bytes = [start; 32];
    let mut i = 1;
    while i < 32 {
        bytes[i] = bytes[i - 1].wrapping_mul(141).wrapping_add(57) | 0x80;
        i += 1;
    }
    bytes
}

const SEED: [u8; 32] = noise(0x91);
const MASTER: [u8; 32] = noise(0x17);
const SIGNING: [u8; 32] = noise(0xd3);
const ACCOUNT: &str = "jane.roe.account@mail.example";
const MERCHANT: &str = "lamps-and-more.example";
const ORDER: &[u8] = b"ORDER-2026-11-21-0017";
const PHONE: &str = "+4915112345678";
const PASSPHRASE: &[u8] = b"correct horse battery staple";
const TEXT: &str = "The lamp came broken on my birthday.";

fn issuer_key() -> (IssuerKey, [u8; 64]) {
    let key = IssuerKey::generate(&mut Known::new());
    let bytes = *key.to_secret_bytes().expose();
    (key, bytes)
}

struct Device {
    wallet: Wallet,
    committee: Committee,
    trust: TrustRoots,
    offer: Offer,
    issuer_key: IssuerKey,
    platform_key: PlatformKey,
}

impl Device {
    fn new() -> Self {
        let (issuer_key, _) = issuer_key();
        let platform_key = PlatformKey::from_secret_bytes(&SecretBytes::new(SIGNING));
        let (committee, _) = insecure_test_dealer(2, 3, &mut SystemRng::new()).unwrap();
        let trust = TrustRoots::new(platform_key.public(), 5);
        let trust = trust.pin(*issuer_key.public(), *committee.key()).unwrap();
        let offer = Offer {
            handle: OrderHandleKey::new(SecretBytes::new(MASTER)).handle(ORDER),
            scope: Scope::new(*issuer_key.public().id(), name(MERCHANT), 9),
            issuer_key: *issuer_key.public(),
            escrow_key: *committee.key(),
        };
        let wallet = Wallet::from_seed(SecretBytes::new(SEED));
        Self { wallet, committee, trust, offer, issuer_key, platform_key }
    }

    fn request(&self) -> (PendingToken, TokenRequest) {
        self.wallet.request(&name("issuer"), &self.offer, &self.trust, &mut SystemRng::new()).unwrap()
    }

    fn grant(&self, request: &TokenRequest) -> Grant {
        Grant::issue(&self.issuer_key, request.scope(), request.commitment(), &mut SystemRng::new()).unwrap()
    }

    fn token(&self) -> Token {
        let (pending, request) = self.request();
        self.wallet.finish(pending, &self.grant(&request), &mut SystemRng::new()).unwrap()
    }

    fn presentation(&self, review: &Review) -> Presentation {
        let rng = &mut SystemRng::new();
        self.wallet.present_early_trusting_host_silence(&self.token(), review, rng).unwrap()
    }

    fn manifest(&self, key: &PlatformKey) -> SignedManifest {
        let at = day(1);
        let manifest = CohortManifest {
            scope: self.offer.scope.clone(),
            escrow_id: *self.committee.key().id(),
            at_least: 5,
            closed_at: at,
            numbers_dead_at: at,
            first_publication: at.saturating_add(WEEK),
            window_end: at.saturating_add(4 * WEEK),
        };
        manifest.sign(key)
    }

    /// `u`, `s`, `b`, `k` by the protocol's definition, not by the library's functions.
    fn derived(&self) -> Vec<[u8; 32]> {
        let hash = |label: &[u8], items: &[&[u8]]| {
            let mut hash = Sha512::new();
            for part in [b"unjoin/v1", label].into_iter().chain(items.iter().copied()) {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
            Scalar::from_bytes_mod_order_wide(&hash.finalize().into()).to_bytes()
        };
        let Offer { handle, scope, escrow_key, .. } = &self.offer;
        let (scope, y) = (scope.to_bytes(), escrow_key.element().as_bytes());
        let order: [&[u8]; 4] = [&SEED, b"issuer", &scope, handle.as_bytes()];
        let with_key: [&[u8]; 5] = [&SEED, b"issuer", &scope, handle.as_bytes(), y];
        vec![
            hash(b"wallet/u", &[&SEED, b"issuer"]),
            hash(b"wallet/s", &order),
            hash(b"wallet/b", &order),
            hash(b"wallet/k", &with_key),
        ]
    }
}

fn day(number: u64) -> Timestamp {
    // Midnight of a Monday, and on.
    Timestamp::from_unix_seconds(1_514_764_800).saturating_add(number * 7 * DAY)
}

// 1. Formatting.

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
    let ring = KeyRing::new(issuer_key().0, *committee.key()).with(issuer_key().0, *committee.key());
    assert_silent(&ring, &[x, prf]);

    let platform_key = PlatformKey::from_secret_bytes(&SecretBytes::new(SIGNING));
    let expanded = Sha512::digest(SIGNING);
    assert_silent(&platform_key, &[&SIGNING, &expanded]);

    let master = SecretBytes::new(MASTER);
    assert_silent(&OrderHandleKey::new(SecretBytes::new(MASTER)), &[&MASTER]);
    let derived = OrderHandleKey::derive(&master, &name(MERCHANT));
    assert_silent(&derived, &[&MASTER, MERCHANT.as_bytes()]);

    let (seed, name_of) = (SecretBytes::new(SIGNING), || KeyName::new("key").unwrap());
    assert_silent(&NoteKey::from_secret_bytes(name_of(), &seed), &[&SIGNING, &expanded]);
    assert_silent(&WitnessKey::from_secret_bytes(name_of(), &seed), &[&SIGNING, &expanded]);
    assert_silent(&TrusteeKey::from_secret_bytes(seed), &[&SIGNING, &expanded]);

    let everything: [&[u8]; 4] = [x, prf, &SIGNING, &MASTER];
    let secrets = PlatformSecrets { keys: ring, platform_key, order_handles: master };
    assert_silent(&secrets, &everything);
    let environment = Environment::system();
    assert_silent(&environment, &everything);
    let config = PlatformConfig::new(name("shop.example"));
    let platform = Platform::open(
        MemoryStore::new(),
        MemoryStore::new(),
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
    let mut rng = Known::new();
    let (committee, shares) = insecure_test_dealer(2, 3, &mut rng).unwrap();
    let (constant, slope) = (wide(&rng.given[..64]), wide(&rng.given[64..128]));
    for (index, share) in (1u64..).zip(&shares) {
        let secret = constant + slope * Scalar::from(index);
        let own = committee.verification_share(share.index()).unwrap();
        let point = &secret * curve25519_dalek::constants::RISTRETTO_BASEPOINT_TABLE;
        assert_eq!(own.as_bytes(), point.compress().as_bytes(), "the secret is known to the test");
        assert_silent(share, &[secret.as_bytes()]);
    }
    let mut rng = Known::new();
    let factor = BlindingFactor::random(&mut rng);
    assert_silent(&factor, &[wide(&rng.given).as_bytes()]);
    let mut rng = Known::new();
    let recipient = RecipientKey::generate(&mut rng);
    assert_silent(&recipient, &[&rng.given]);
}

/// The only trustee of a ceremony, whose generator is known.
fn trustee() -> (TrusteeSecrets, Vec<u8>) {
    let mut rng = Known::new();
    let mut trustee = TrusteeSecrets::generate(&mut rng);
    let trustees = Trustees::new(vec![trustee.public()]).unwrap();
    let plan = CeremonyPlan::key_generation(1, trustees, &mut rng).unwrap();
    trustee.join(plan, &mut rng).unwrap();
    (trustee, rng.given)
}

#[test]
fn a_trustees_secrets_print_nothing_in_and_after_a_ceremony() {
    let (mut trustee, given) = trustee();
    // The long-term key's seed, the plan's nonce, the ceremony's seed.
    let (identity, seed) = (&given[..32], &given[64..96]);
    let secrets: [&[u8]; 3] = [identity, seed, PASSPHRASE];
    let cost = PassphraseCost::new(PassphraseCost::MIN_MEMORY_KIB, 1, 1).unwrap();
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

    let cost = PassphraseCost::new(PassphraseCost::MIN_MEMORY_KIB, 1, 1).unwrap();
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

const X: &str = "+86700123456789012";

fn pool() -> Pool {
    let slice = |at: u64| {
        let first = VirtualNumber::new(&format!("+86700123456789{:03}", 12 + at)).unwrap();
        vec![PoolRange::in_service(NumberRange::new(first, 1).unwrap())]
    };
    let config = PoolConfig {
        epoch_seconds: DAY,
        max_life: 5_400,
        quarantine: DAY,
        spare_recoveries: 0,
        largest_hub: 1,
        slices: (0..3).map(slice).collect(),
        withdrawn: vec![],
        resting: vec![],
    };
    Pool::new(config, &SecretBytes::new(MASTER)).unwrap()
}

/// A keeper in a directory of its own, under a key-encryption key of these bytes, whose
/// generators all give the bytes of [`Known`].
fn keeper(directory: &std::path::Path, encryption: [u8; 32]) -> Result<Keeper, SlotKeyError> {
    let clock = Arc::new(ManualClock::new(day(1)));
    let environment = Environment::new(clock, || Box::new(Known::new()));
    let config = SlotConfig::new(5_400, 4, 30).unwrap();
    Keeper::create_or_open(
        directory.join("keys"),
        LocalKey::new(SecretBytes::new(encryption)),
        config,
        &environment,
    )
}

/// An empty directory; the caller removes it.
fn directory(name: &str) -> std::path::PathBuf {
    let directory = std::env::temp_dir().join(format!("unjoin-secrets-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir(&directory).unwrap();
    directory
}

#[test]
fn phone_numbers_slot_keys_and_the_pool_print_nothing() {
    assert_silent(&PhoneNumber::new(PHONE).unwrap(), &[&PHONE.as_bytes()[1..]]);
    assert_silent(&VirtualNumber::new(X).unwrap(), &[&X.as_bytes()[1..]]);
    let mut first_keys = [0; 4 * 32];
    Known::new().try_fill_bytes(&mut first_keys).unwrap();
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

// 2. Traits that would let a secret out.

/// Answers whether a type implements a trait: an inherent constant under the trait's bound, if
/// it applies, else the one of `Lacks`.
struct Probe<T>(PhantomData<T>);

trait Lacks {
    const CLONE: bool = false;
    const COPY: bool = false;
    const PARTIAL_EQ: bool = false;
    const HASH: bool = false;
    const DISPLAY: bool = false;
    const SERIALIZE: bool = false;
    const DESERIALIZE: bool = false;
    const AS_BYTES: bool = false;
    const INTO_VEC: bool = false;
}

impl<T> Lacks for Probe<T> {}

macro_rules! probes {
    ($($constant:ident: $bound:path),+ $(,)?) => {
        $(impl<T: $bound> Probe<T> { const $constant: bool = true; })+
    };
}

probes!(
    CLONE: Clone,
    COPY: Copy,
    PARTIAL_EQ: PartialEq,
    HASH: std::hash::Hash,
    DISPLAY: Display,
    SERIALIZE: serde::Serialize,
    DESERIALIZE: serde::de::DeserializeOwned,
    AS_BYTES: AsRef<[u8]>,
    INTO_VEC: Into<Vec<u8>>,
);

/// The traits of the list that a type has.
macro_rules! traits {
    ($type:ty) => {{
        let all = [
            ("Clone", <Probe<$type>>::CLONE),
            ("Copy", <Probe<$type>>::COPY),
            ("PartialEq", <Probe<$type>>::PARTIAL_EQ),
            ("Hash", <Probe<$type>>::HASH),
            ("Display", <Probe<$type>>::DISPLAY),
            ("Serialize", <Probe<$type>>::SERIALIZE),
            ("Deserialize", <Probe<$type>>::DESERIALIZE),
            ("AsRef<[u8]>", <Probe<$type>>::AS_BYTES),
            ("Into<Vec<u8>>", <Probe<$type>>::INTO_VEC),
        ];
        all.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect::<Vec<_>>()
    }};
}

#[test]
fn the_probe_sees_the_traits_that_are_there() {
    assert_eq!(traits!(u8), ["Clone", "Copy", "PartialEq", "Hash", "Display", "Serialize", "Deserialize"]);
    assert_eq!(
        traits!(String),
        ["Clone", "PartialEq", "Hash", "Display", "Serialize", "Deserialize", "AsRef<[u8]>", "Into<Vec<u8>>"]
    );
    assert_eq!(traits!(Grant), ["Clone", "PartialEq", "Serialize", "Deserialize"]);
}

#[test]
fn secrets_are_not_copied_compared_shown_or_serialized() {
    const NONE: [&str; 0] = [];
    assert_eq!(traits!(SecretBytes<32>), NONE);
    assert_eq!(traits!(SecretBytes<64>), NONE);
    assert_eq!(traits!(SecretScalar), NONE);
    assert_eq!(traits!(IssuerKey), NONE);
    assert_eq!(traits!(KeyPair), NONE);
    assert_eq!(traits!(PlatformKey), NONE);
    assert_eq!(traits!(NoteKey), NONE);
    assert_eq!(traits!(WitnessKey), NONE);
    assert_eq!(traits!(LedgerConfig), NONE);
    assert_eq!(traits!(OrderHandleKey), NONE);
    assert_eq!(traits!(PlatformSecrets), NONE);
    assert_eq!(traits!(TrusteeShare), NONE);
    assert_eq!(traits!(BlindingFactor), NONE);
    assert_eq!(traits!(RecipientKey), NONE);
    assert_eq!(traits!(TrusteeKey), NONE);
    assert_eq!(traits!(TrusteeSecrets), NONE);
    assert_eq!(traits!(Wallet), NONE);
    assert_eq!(traits!(PendingToken), NONE);
    assert_eq!(traits!(Token), NONE);
    assert_eq!(traits!(Platform<MemoryStore>), NONE);
    assert_eq!(traits!(Issuer<MemoryStore>), NONE);
    assert_eq!(traits!(ReviewDesk<MemoryStore>), NONE);
    assert_eq!(traits!(SlotKey), NONE);
    assert_eq!(traits!(SlotKeyWindow), NONE);
    assert_eq!(traits!(LocalKey), NONE);
    assert_eq!(traits!(Keeper), NONE);
    assert_eq!(traits!(Pool), NONE);
    // Compared in constant time; each clone erases itself.
    assert_eq!(traits!(PhoneNumber), ["Clone", "PartialEq"]);
    // A ring is shared pointers to keys; a clone of it copies no key.
    assert_eq!(traits!(KeyRing), ["Clone"]);
    // What a grant says, checked: links a request to nothing that is shown, leaves the device
    // in a sealed backup alone.
    assert_eq!(traits!(GrantedTag), ["Clone"]);
    // The one way out: sealed.
    assert_eq!(traits!(SealedBackup), ["Clone", "PartialEq", "Serialize", "Deserialize"]);
    assert_eq!(traits!(SealedTrusteeSecrets), ["Clone", "PartialEq", "Serialize", "Deserialize"]);
}

// 3. Errors.

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
            Arc::new(MemoryStore::new()),
            config,
            ring.clone(),
            SecretBytes::new(MASTER),
            Arc::new(PlatformKey::from_secret_bytes(&SecretBytes::new(SIGNING))),
            Arc::new(EveryoneOfStanding),
            Environment::new(clock.clone(), || Box::new(SystemRng::new())),
        )
    };
    errors.issuer(open(IssuerConfig { classes: vec![], ..IssuerConfig::new(name(ACCOUNT)) }));
    let issuer = open(IssuerConfig::new(name("issuer"))).unwrap();
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
    let grant = |account: &Name, request| {
        issuer.grant(account.clone(), merchant.clone(), request).unwrap().wait().unwrap()
    };

    errors.issuer(enrol(&device.wallet, &account, &name(PHONE)));
    errors.issuer(report(&[7; 300], &account, 0, day(0)));
    errors.issuer(report(ORDER, &account, 77, day(0)));
    errors.issuer(report(ORDER, &account, 0, day(3)));
    let handle = report(ORDER, &account, 0, day(0)).unwrap();
    errors.issuer(report(ORDER, &account, 1, day(0)));
    errors.issuer(offer(&account, OrderHandle([0; 16])));
    errors.issuer(offer(&name(PHONE), handle));

    let offered = offer(&account, handle).unwrap();
    let mut asking = Device::new();
    asking.trust = TrustRoots::new(device.platform_key.public(), 5);
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

    let dead =
        |at| issuer.numbers_dead(&[NumbersDead { merchant: merchant.clone(), handle, at }]).pop().unwrap();
    errors.issuer(dead(clock.now().saturating_add(400 * DAY)));
    dead(day(0)).unwrap();
    errors.issuer(dead(day(1)));
    assert!(errors.kinds() >= 14);
}

#[test]
fn no_error_of_the_review_service_repeats_its_input() {
    let device = Device::new();
    let mut errors = Errors::new(&device);
    let clock = Arc::new(ManualClock::new(day(1).saturating_add(60)));
    let open = |ring, key| {
        ReviewDesk::open(
            Arc::new(MemoryStore::new()),
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
        desk.submit(submission).unwrap().wait().unwrap()
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
    submit(&desk, &presentation, &review).unwrap();
    errors.desk(submit(&desk, &device.presentation(&other), &other));

    let scope = &device.offer.scope;
    let state = ReviewState::submitted(&review);
    let proof =
        |request| device.wallet.author(&device.token(), state, request, &mut SystemRng::new()).unwrap();
    errors.desk(desk.act(scope, &proof(AuthorRequest::Edit(&other)), Some(other.clone())));
    errors.desk(desk.act(scope, &proof(AuthorRequest::Edit(&other)), None));
    let claim = AuthorRequest::Claim { audience: &name(ACCOUNT), challenge: &[5; 32] };
    errors.desk(desk.act(scope, &proof(claim), None));
    errors.desk(desk.admit(&device.manifest(&PlatformKey::generate(rng))));
    errors.desk(desk.remove(scope, &presentation.review_id(), ACCOUNT, PHONE));
    errors.desk(desk.remove(scope, &presentation.review_id(), "", PHONE));
    desk.act(scope, &proof(AuthorRequest::Withdraw), None).unwrap();
    errors.desk(desk.act(scope, &proof(AuthorRequest::Edit(&other)), Some(other.clone())));
    assert_eq!(proof(AuthorRequest::Withdraw).statement().action, AuthorAction::Withdraw);
    assert!(errors.kinds() >= 8);
}

#[test]
fn no_error_of_a_wallet_repeats_its_input() {
    let device = Device::new();
    let mut errors = Errors::new(&device);
    let rng = &mut SystemRng::new();
    let mut take = |error: unjoin::wallet::WalletError| errors.take(&error, error.code());
    let (strangers, _) = insecure_test_dealer(2, 3, rng).unwrap();
    let pinned = device.trust.clone().pin(*device.issuer_key.public(), *strangers.key());
    take(pinned.err().unwrap());
    let empty = TrustRoots::new(device.platform_key.public(), 5);
    take(device.wallet.request(&name(ACCOUNT), &device.offer, &empty, rng).err().unwrap());
    let mut offer = device.offer.clone();
    offer.scope = Scope::new([0; 32], name(MERCHANT), 9);
    take(device.wallet.request(&name(ACCOUNT), &offer, &device.trust, rng).err().unwrap());
    offer = device.offer.clone();
    offer.escrow_key = *strangers.key();
    take(device.wallet.request(&name(ACCOUNT), &offer, &device.trust, rng).err().unwrap());

    let stranger = Wallet::generate(rng);
    let (pending, request) = device.request();
    take(stranger.finish(pending, &device.grant(&request), rng).err().unwrap());
    let other = Device { wallet: Wallet::generate(rng), ..Device::new() };
    take(device.wallet.finish(device.request().0, &other.grant(&other.request().1), rng).err().unwrap());

    let (token, review) = (device.token(), Review::new(1, TEXT, vec![]).unwrap());
    let mut present = |manifest, trust: &TrustRoots, now| {
        let evidence = ManifestEvidence::Signed(manifest);
        let presented = device.wallet.present_after_manifest(&token, &review, &evidence, trust, now, rng);
        take(presented.err().unwrap());
    };
    present(device.manifest(&PlatformKey::from_secret_bytes(&SecretBytes::new(SEED))), &device.trust, day(1));
    present(device.manifest(&device.platform_key), &device.trust, day(100));
    present(other_scope(&device), &device.trust, day(1));
    let demanding = TrustRoots::new(device.platform_key.public(), 500);
    let demanding = demanding.pin(*device.issuer_key.public(), *device.committee.key()).unwrap();
    present(device.manifest(&device.platform_key), &demanding, day(1));

    let withdrawn = ReviewState { last_sequence: 1, digest_in_force: [0; 32] };
    take(device.wallet.author(&token, withdrawn, AuthorRequest::Withdraw, rng).err().unwrap());
    let last = ReviewState { last_sequence: u64::MAX, digest_in_force: [1; 32] };
    take(device.wallet.author(&token, last, AuthorRequest::Withdraw, rng).err().unwrap());

    let cost = PassphraseCost::new(PassphraseCost::MIN_MEMORY_KIB, 1, 1).unwrap();
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
    manifest.sign(&device.platform_key)
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
        action: ShareAction::Open,
        subject: *presentation.review_id().as_bytes(),
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
    let (a, b) = (presentation.review_id(), unjoin::token::ReviewId([255; 32]));
    let error = Pair::new((a, escrow), (a, escrow)).unwrap_err();
    errors.take(&error, error.code());
    let swapped = unjoin::algebra::Escrow { e1: escrow.e2, e2: escrow.e2 };
    let pair = Pair::new((a, escrow), (b, swapped)).unwrap();
    let error = without_round(&pair).unwrap_err();
    errors.take(&error, error.code());
    let pair = Pair::new((a, escrow), (b, unjoin::algebra::Escrow { e1: escrow.e2, e2: escrow.e1 })).unwrap();
    let error = SameAuthorRound::new(&committee, &[6; 32], 1, &pair, &[1, 2], &[], rng).unwrap_err();
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
    let plan = |unprefixed| NumberingPlan::new("86", "00", "0", unprefixed).unwrap();
    number(PhoneNumber::new(&PHONE[1..]).err().unwrap());
    number(PhoneNumber::new(&format!("+0{}", &PHONE[1..])).err().unwrap());
    number(PhoneNumber::new(&format!("{PHONE}#")).err().unwrap());
    number(PhoneNumber::new(X).err().unwrap());
    number(plan(UnprefixedNumbers::Refused).party(&PHONE[1..]).err().unwrap());
    number(NumberingPlan::new(PHONE, "00", "0", UnprefixedNumbers::Refused).err().unwrap());
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
    let error: KeyEncryptionError = LocalKey::from_file(directory.join("encryption")).err().unwrap();
    errors.take(&error, error.code());
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
