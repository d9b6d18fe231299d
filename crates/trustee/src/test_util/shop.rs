//! What the examples of a device and of its messages begin with: a shop's keys, a wallet that pins them, and one order.

use super::{SmallLedger, insecure_test_dealer};
use unjoin_core::algebra::EscrowKey;
use unjoin_core::entry::PublishedEntry;
use unjoin_core::secret::SystemRng;
use unjoin_core::token::{
    AuthorAction, CohortManifest, Grant, IssuerKey, Offer, OrderHandle, PlatformKey, PublicationDates,
    Receipt, ReceiptTerms, Review, ReviewState, Scope, TokenRequest,
};
use unjoin_core::wire::Message;
use unjoin_core::{Grid, Name, Timestamp, WEEK};
use unjoin_wallet::{
    AuthorRequest, ManifestEvidence, PendingToken, ScheduledPresentation, Token, TrustRoots, Wallet,
};

/// The Monday at which the order's cohort is sealed: 2023-11-20, 00:00 UTC.
pub const SEALED: Timestamp = Timestamp::from_unix_seconds(1_700_438_400);

/// A shop's keys, with a wallet that pins them and is enrolled there.
pub struct Shop {
    pub name: Name,
    pub issuer_key: IssuerKey,
    pub escrow_key: EscrowKey,
    pub platform_key: PlatformKey,
    pub trust: TrustRoots,
    pub wallet: Wallet,
}

/// A review that was sent and accepted, and is not published yet.
pub struct Accepted {
    pub token: Token,
    pub review: Review,
    pub sent: ScheduledPresentation,
    pub receipt: Receipt,
    pub state: ReviewState,
}

/// The token that a shop grants to a wallet for what it offers.
pub fn token_of(
    wallet: &Wallet,
    shop: &Name,
    issuer_key: &IssuerKey,
    offer: &Offer,
    trust: &TrustRoots,
) -> Token {
    let rng = &mut SystemRng::new();
    let (pending, request) =
        wallet.request(shop, offer.scope.merchant(), offer.handle, offer, trust, rng).unwrap();
    let grant = Grant::issue(issuer_key, request.scope(), request.commitment(), rng).unwrap();
    wallet.finish(pending, &grant, rng).unwrap()
}

impl Accepted {
    /// What the ledger gets of it.
    pub fn published(&self) -> PublishedEntry {
        let promised = self.receipt.terms();
        PublishedEntry {
            scope: self.token.scope().clone(),
            boundary: promised.publish_by,
            review_id: promised.review_id,
            review_digest: promised.review_digest,
            presentation_hash: promised.presentation_hash,
            author_key: promised.author_key,
        }
    }
}

impl Shop {
    pub fn open() -> Self {
        let rng = &mut SystemRng::new();
        let (committee, _) = insecure_test_dealer(2, 3, rng).unwrap();
        let (issuer_key, platform_key) = (IssuerKey::generate(rng), PlatformKey::generate(rng));
        let trust = TrustRoots::new(platform_key.public(), 20, Grid::Weekly)
            .pin(*issuer_key.public(), *committee.key())
            .unwrap();
        Self {
            name: Name::new("orders.example").unwrap(),
            issuer_key,
            escrow_key: *committee.key(),
            platform_key,
            trust,
            wallet: Wallet::generate(rng),
        }
    }

    /// What the shop offers for its one order.
    pub fn offer(&self) -> Offer {
        Offer {
            handle: OrderHandle([1; 16]),
            scope: Scope::new(*self.issuer_key.public().id(), Name::new("lamps").unwrap(), 0x5eed),
            issuer_key: *self.issuer_key.public(),
            escrow_key: self.escrow_key,
        }
    }

    pub fn request(&self) -> (PendingToken, TokenRequest) {
        let (offer, rng) = (self.offer(), &mut SystemRng::new());
        let (merchant, handle) = (offer.scope.merchant(), offer.handle);
        self.wallet.request(&self.name, merchant, handle, &offer, &self.trust, rng).unwrap()
    }

    pub fn token(&self) -> Token {
        token_of(&self.wallet, &self.name, &self.issuer_key, &self.offer(), &self.trust)
    }

    /// Of the order's cohort, published a week after it was sealed at first.
    pub fn manifest(&self) -> CohortManifest {
        CohortManifest {
            scope: self.offer().scope,
            escrow_id: *self.escrow_key.id(),
            at_least: 20,
            publications: PublicationDates::starting(SEALED.saturating_add(WEEK)).unwrap(),
        }
    }

    pub fn evidence(&self) -> ManifestEvidence {
        ManifestEvidence::Signed(self.manifest().sign(&self.platform_key).unwrap())
    }

    pub fn review() -> Review {
        Review::new(1, "The lamp came broken.", vec![]).unwrap()
    }

    /// The order's review, accepted when its cohort was sealed.
    pub fn accepted(&self) -> Accepted {
        let (token, review, rng) = (self.token(), Self::review(), &mut SystemRng::new());
        let sent = self.wallet.present(&token, &review, &self.evidence(), &self.trust, SEALED, rng).unwrap();
        let terms = ReceiptTerms {
            review_id: sent.presentation.review_id(),
            review_digest: review.digest(),
            presentation_hash: sent.presentation.hash(),
            author_key: *sent.presentation.author_key(),
            publish_by: sent.publication,
            era: 1,
        };
        let receipt = Receipt::sign(&self.platform_key, terms).unwrap();
        let state = sent.check_receipt(&receipt, &self.trust, sent.send_at).unwrap();
        Accepted { token, review, sent, receipt, state }
    }

    /// Its author takes it back before it was published.
    pub fn withdrawal(&self, of: &Accepted) -> AuthorAction {
        let (now, rng) = (of.sent.send_at, &mut SystemRng::new());
        self.wallet.act(&of.token, &of.state, AuthorRequest::Withdraw, now, rng).unwrap().action
    }

    /// The reviews ledger in the hour after the review was published.
    pub fn ledger(&self, of: &Accepted) -> SmallLedger {
        let entries = [self.manifest().to_bytes(), of.published().to_bytes()];
        SmallLedger::of_reviews(&entries, of.sent.publication.saturating_add(3_600))
    }
}
