//! A platform's keys, a wallet that they are pinned in, and as many tokens as are asked for.

use std::sync::Arc;
use unjoin::Name;
use unjoin::opening::insecure_test_dealer;
use unjoin::review::Submission;
use unjoin::secret::{SecretBytes, SystemRng};
use unjoin::token::{
    EnrolmentContext, Grant, IssuerKey, KeyPair, KeyRing, Offer, OrderHandle, PlatformKey, Review, Scope,
    TokenRequest,
};
use unjoin_wallet::{PendingToken, Token, TrustRoots, Wallet};

pub const NONCE: [u8; 32] = [9; 32];

pub struct World {
    pub ring: KeyRing,
    pub platform: Arc<PlatformKey>,
    pub issuer: Name,
    pub account: Name,
    pub wallet: Wallet,
    pub trust: TrustRoots,
}

impl World {
    pub fn new() -> Self {
        let rng = &mut SystemRng::new();
        let (committee, _) = insecure_test_dealer(3, 5, rng).expect("3 of 5 is a committee");
        let ring = KeyRing::new(IssuerKey::generate(rng), *committee.key());
        let platform = Arc::new(PlatformKey::generate(rng));
        let pair = ring.newest();
        let trust = TrustRoots::new(platform.public(), 10, unjoin::Grid::Weekly)
            .pin(*pair.issuer_key.public(), pair.escrow_key)
            .expect("one pin cannot conflict");
        Self {
            ring,
            platform,
            issuer: name("orders.example"),
            account: name("account-7"),
            wallet: Wallet::from_seed(SecretBytes::random(rng)),
            trust,
        }
    }

    pub fn pair(&self) -> &KeyPair {
        self.ring.newest()
    }

    pub fn context(&self) -> EnrolmentContext<'_> {
        EnrolmentContext { issuer: &self.issuer, account: &self.account, nonce: &NONCE }
    }

    pub fn scope(&self, merchant: &Name, cohort: u64) -> Scope {
        Scope::new(*self.pair().issuer_key.public().id(), merchant.clone(), cohort)
    }

    pub fn offer(&self, number: u64, scope: Scope) -> Offer {
        let mut handle = [0; 16];
        handle[..8].copy_from_slice(&number.to_le_bytes());
        let pair = self.pair();
        Offer {
            handle: OrderHandle(handle),
            scope,
            issuer_key: *pair.issuer_key.public(),
            escrow_key: pair.escrow_key,
        }
    }

    pub fn request(&self, offer: &Offer) -> (PendingToken, TokenRequest) {
        let rng = &mut SystemRng::new();
        self.wallet
            .request(&self.issuer, offer.scope.merchant(), offer.handle, offer, &self.trust, rng)
            .expect("the offer's keys are pinned")
    }

    pub fn grant(&self, request: &TokenRequest) -> Grant {
        let rng = &mut SystemRng::new();
        Grant::issue(&self.pair().issuer_key, request.scope(), request.commitment(), rng)
            .expect("the scope is the key's")
    }

    pub fn token(&self, number: u64, scope: Scope) -> Token {
        let (pending, request) = self.request(&self.offer(number, scope));
        let grant = self.grant(&request);
        self.wallet.finish(pending, &grant, &mut SystemRng::new()).expect("the grant verifies")
    }

    /// The review of order `number` with a token of its own.
    pub fn submission(&self, number: u64, scope: Scope) -> Submission {
        let (token, review) = (self.token(number, scope), review(number));
        let rng = &mut SystemRng::new();
        let presentation =
            self.wallet.presentation(&token, &review, rng).expect("the token is this wallet's");
        Submission { presentation, review }
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

pub fn name(text: &str) -> Name {
    Name::new(text).expect("a short name")
}

/// A review of 160 bytes of text, of which a few tell it from the others.
pub fn review(number: u64) -> Review {
    let text = format!("{number:010} {}", "The lamp came broken, and nobody answered. ".repeat(4));
    Review::new((number % 5) as u8 + 1, text.chars().take(160).collect::<String>(), vec![])
        .expect("160 bytes are short enough")
}
