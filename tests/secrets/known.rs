//! Secrets, and people who hold them, whose bytes are known to the test.

use curve25519_dalek::scalar::Scalar;
use rand_core::Rng;
use sha2::{Digest, Sha512};
use std::sync::Arc;
use unjoin::opening::{Committee, insecure_test_dealer};
use unjoin::phone::{
    Keeper, LocalKey, NumberRange, Pool, PoolConfig, SlotConfig, SlotKeyError, VirtualNumber,
};
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::token::{
    CohortManifest, Grant, IssuerKey, Offer, OrderHandleKey, PlatformKey, Presentation, PublicationDates,
    Review, Scope, SignedManifest, TokenRequest,
};
use unjoin::{DAY, Environment, ManualClock, Name, Timestamp, WEEK};
use unjoin_test_util::Seeded;
use unjoin_wallet::{PendingToken, Token, TrustRoots, Wallet};

/// A generator that gives a known sequence: its first bytes are those of [`given`].
pub(crate) fn known() -> Seeded {
    Seeded(6)
}

pub(crate) fn given<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    known().fill_bytes(&mut bytes);
    bytes
}

pub(crate) fn wide(bytes: &[u8]) -> Scalar {
    Scalar::from_bytes_mod_order_wide(bytes.try_into().unwrap())
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Bytes that no text holds by chance.
pub(crate) const fn noise(start: u8) -> [u8; 32] {
    let mut bytes = [start; 32];
    let mut i = 1;
    while i < 32 {
        bytes[i] = bytes[i - 1].wrapping_mul(141).wrapping_add(57) | 0x80;
        i += 1;
    }
    bytes
}

pub(crate) const SEED: [u8; 32] = noise(0x91);
pub(crate) const MASTER: [u8; 32] = noise(0x17);
pub(crate) const SIGNING: [u8; 32] = noise(0xd3);
pub(crate) const ACCOUNT: &str = "jane.roe.account@mail.example";
pub(crate) const MERCHANT: &str = "lamps-and-more.example";
pub(crate) const ORDER: &[u8] = b"ORDER-2026-11-21-0017";
pub(crate) const PHONE: &str = "+4915112345678";
pub(crate) const PASSPHRASE: &[u8] = b"correct horse battery staple";
pub(crate) const TEXT: &str = "The lamp came broken on my birthday.";

pub(crate) fn issuer_key() -> (IssuerKey, [u8; 64]) {
    let key = IssuerKey::generate(&mut known());
    let bytes = *key.to_secret_bytes().expose();
    (key, bytes)
}

pub(crate) struct Device {
    pub(crate) wallet: Wallet,
    pub(crate) committee: Committee,
    pub(crate) trust: TrustRoots,
    pub(crate) offer: Offer,
    pub(crate) issuer_key: IssuerKey,
    pub(crate) platform_key: PlatformKey,
}

impl Device {
    pub(crate) fn new() -> Self {
        let (issuer_key, _) = issuer_key();
        let platform_key = PlatformKey::from_secret_bytes(&SecretBytes::new(SIGNING));
        let (committee, _) = insecure_test_dealer(2, 3, &mut SystemRng::new()).unwrap();
        let trust = TrustRoots::new(platform_key.public(), 5, unjoin::Grid::Weekly);
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

    pub(crate) fn request(&self) -> (PendingToken, TokenRequest) {
        let (merchant, handle) = (self.offer.scope.merchant(), self.offer.handle);
        self.wallet
            .request(&name("issuer"), merchant, handle, &self.offer, &self.trust, &mut SystemRng::new())
            .unwrap()
    }

    pub(crate) fn grant(&self, request: &TokenRequest) -> Grant {
        Grant::issue(&self.issuer_key, request.scope(), request.commitment(), &mut SystemRng::new()).unwrap()
    }

    pub(crate) fn token(&self) -> Token {
        let (pending, request) = self.request();
        self.wallet.finish(pending, &self.grant(&request), &mut SystemRng::new()).unwrap()
    }

    pub(crate) fn presentation(&self, review: &Review) -> Presentation {
        let rng = &mut SystemRng::new();
        self.wallet.presentation(&self.token(), review, rng).unwrap()
    }

    pub(crate) fn manifest(&self, key: &PlatformKey) -> SignedManifest {
        let at = day(1);
        let manifest = CohortManifest {
            scope: self.offer.scope.clone(),
            escrow_id: *self.committee.key().id(),
            at_least: 5,
            publications: PublicationDates::new(&[at.saturating_add(WEEK), at.saturating_add(4 * WEEK)])
                .unwrap(),
        };
        manifest.sign(key).unwrap()
    }

    /// `u`, `s`, `b`, `k`, and the author key's seed by the protocol's definition, not by the library's functions.
    pub(crate) fn derived(&self) -> Vec<[u8; 32]> {
        let hash = |label: &[u8], items: &[&[u8]]| {
            let mut hash = Sha512::new();
            for part in [b"unjoin/v1", label].into_iter().chain(items.iter().copied()) {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
            <[u8; 64]>::from(hash.finalize())
        };
        let scalar = |hash| Scalar::from_bytes_mod_order_wide(&hash).to_bytes();
        let Offer { handle, scope, escrow_key, .. } = &self.offer;
        let (scope, y) = (scope.to_bytes(), escrow_key.element().as_bytes());
        let order: [&[u8]; 4] = [&SEED, b"issuer", &scope, handle.as_bytes()];
        let with_key: [&[u8]; 5] = [&SEED, b"issuer", &scope, handle.as_bytes(), y];
        vec![
            scalar(hash(b"wallet/u", &[&SEED, b"issuer"])),
            scalar(hash(b"wallet/s", &order)),
            scalar(hash(b"wallet/b", &order)),
            scalar(hash(b"wallet/k", &with_key)),
            *hash(b"wallet/a", &order).first_chunk().unwrap(),
        ]
    }
}

pub(crate) fn day(number: u64) -> Timestamp {
    // Midnight of a Monday, and on.
    Timestamp::from_unix_seconds(1_514_764_800).saturating_add(number * 7 * DAY)
}

pub(crate) const X: &str = "+86700123456789012";

pub(crate) fn pool() -> Pool {
    let config = PoolConfig {
        epoch_seconds: DAY,
        max_life: 5_400,
        quarantine: DAY,
        spare_recoveries: 0,
        largest_hub: 1,
        slices: NumberRange::new(VirtualNumber::new(X).unwrap(), 3).unwrap().slices(3),
        withdrawn: vec![],
        resting: vec![],
    };
    Pool::new(config, &SecretBytes::new(MASTER)).unwrap()
}

/// A keeper in a directory of its own, under a key-encryption key of these bytes, whose
/// generators all give the bytes of [`known`].
pub(crate) fn keeper(directory: &std::path::Path, encryption: [u8; 32]) -> Result<Keeper, SlotKeyError> {
    let clock = Arc::new(ManualClock::doubtful(day(1)));
    let environment = Environment::new(clock, || Box::new(known()));
    let config = SlotConfig::new(5_400, 4, 30).unwrap();
    Keeper::create_or_open(
        directory.join("keys"),
        LocalKey::new(SecretBytes::new(encryption)),
        config,
        &environment,
    )
}

/// An empty directory; the caller removes it.
pub(crate) fn directory(name: &str) -> std::path::PathBuf {
    let directory = std::env::temp_dir().join(format!("unjoin-secrets-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir(&directory).unwrap();
    directory
}
