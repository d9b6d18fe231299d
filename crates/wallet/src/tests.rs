//! What the wallet promises, against an issuer that is nothing but its keys.

use super::*;
use proptest::prelude::*;
use std::collections::HashSet;
use unjoin_core::algebra::EscrowKey;
use unjoin_core::token::{
    ActionReceipt, AuthorAction, AuthorKey, CohortManifest, Grant, IssuerKey, Offer, OrderHandle,
    PlatformKey, Presentation, PublicationDates, Receipt, ReceiptTerms, Review, ReviewId, ReviewStanding,
    ReviewState, Scope, TokenRequest,
};
use unjoin_core::wire::Message;
use unjoin_core::{DAY, Timestamp, WEEK};
use unjoin_test_util::Seeded;

const CLOSED: Timestamp = Timestamp::from_unix_seconds(1_700_438_400);
const FIRST: Timestamp = CLOSED.saturating_add(WEEK);
const END: Timestamp = CLOSED.saturating_add(5 * WEEK);

/// One issuer, one platform, one merchant's cohort, one customer.
pub(super) struct Shop {
    pub(super) rng: Seeded,
    pub(super) issuer: Name,
    pub(super) issuer_key: IssuerKey,
    pub(super) escrow_key: EscrowKey,
    pub(super) platform_key: PlatformKey,
    pub(super) trust: TrustRoots,
    pub(super) wallet: Wallet,
}

fn random_escrow_key(rng: &mut Seeded) -> EscrowKey {
    EscrowKey::new(*IssuerKey::generate(rng).public().element())
}

impl Shop {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Seeded(seed);
        let issuer_key = IssuerKey::generate(&mut rng);
        let escrow_key = random_escrow_key(&mut rng);
        let platform_key = PlatformKey::generate(&mut rng);
        let trust = TrustRoots::new(platform_key.public(), 20, unjoin_core::Grid::Weekly)
            .pin(*issuer_key.public(), escrow_key)
            .unwrap();
        let wallet = Wallet::generate(&mut rng);
        let issuer = Name::new("orders.example").unwrap();
        Self { rng, issuer, issuer_key, escrow_key, platform_key, trust, wallet }
    }

    fn offer(&self, order: u8) -> Offer {
        Offer {
            handle: OrderHandle([order; 16]),
            scope: Scope::new(*self.issuer_key.public().id(), Name::new("noodles").unwrap(), 77),
            issuer_key: *self.issuer_key.public(),
            escrow_key: self.escrow_key,
        }
    }

    fn request(&mut self, offer: &Offer) -> Result<(PendingToken, TokenRequest), WalletError> {
        self.wallet.request(
            &self.issuer,
            offer.scope.merchant(),
            offer.handle,
            offer,
            &self.trust,
            &mut self.rng,
        )
    }

    fn grant(&mut self, request: &TokenRequest) -> Grant {
        let wallet_key = self.wallet.wallet_key(&self.issuer).unwrap();
        request.verify(&wallet_key, &mut self.rng).unwrap();
        Grant::issue(&self.issuer_key, request.scope(), request.commitment(), &mut self.rng).unwrap()
    }

    pub(super) fn token(&mut self, order: u8) -> Token {
        let (pending, request) = self.request(&self.offer(order)).unwrap();
        let grant = self.grant(&request);
        self.wallet.finish(pending, &grant, &mut self.rng).unwrap()
    }

    fn manifest(&self) -> CohortManifest {
        CohortManifest {
            scope: self.offer(0).scope,
            escrow_id: *self.escrow_key.id(),
            at_least: 20,
            publications: PublicationDates::new(&[FIRST, END]).unwrap(),
        }
    }

    fn signed(&self, manifest: CohortManifest) -> ManifestEvidence {
        ManifestEvidence::Signed(manifest.sign(&self.platform_key).unwrap())
    }

    fn present(
        &mut self,
        token: &Token,
        evidence: &ManifestEvidence,
        now: Timestamp,
    ) -> Result<ScheduledPresentation, WalletError> {
        self.wallet.present(token, &review(), evidence, &self.trust, now, &mut self.rng)
    }

    fn early(&mut self, token: &Token, review: &Review) -> Presentation {
        self.wallet.presentation(token, review, &mut self.rng).unwrap()
    }

    fn verifies(&mut self, presentation: &Presentation, review: &Review) -> bool {
        let digest = review.digest();
        presentation.verify(&self.issuer_key, &self.escrow_key, &digest, &mut self.rng).is_ok()
    }
}

fn review() -> Review {
    Review::new(1, "Cold, and late.", vec![]).unwrap()
}

#[test]
fn an_enrolment_verifies_in_its_context_alone() {
    let mut shop = Shop::new(1);
    let (account, other, nonce) = (Name::new("ann").unwrap(), Name::new("bob").unwrap(), [3; 32]);
    let context = EnrolmentContext { issuer: &shop.issuer, account: &account, nonce: &nonce };
    let enrolment = shop.wallet.enrol(context, &mut shop.rng).unwrap();
    assert_eq!(enrolment.wallet_key(), &shop.wallet.wallet_key(&shop.issuer).unwrap());
    assert!(enrolment.verify(context, &mut shop.rng).is_ok());
    let stolen = EnrolmentContext { account: &other, ..context };
    assert!(enrolment.verify(stolen, &mut shop.rng).is_err());
}

#[test]
fn wallet_keys_of_two_issuers_differ() {
    let shop = Shop::new(1);
    let other = Name::new("orders.other").unwrap();
    assert_ne!(shop.wallet.wallet_key(&shop.issuer), shop.wallet.wallet_key(&other));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_wallet_restored_from_its_seed_gets_the_same_token(seed in any::<[u8; 32]>(), order in any::<u8>()) {
        let mut shop = Shop::new(1);
        let restored = |shop: &mut Shop| {
            shop.wallet = Wallet::from_seed(SecretBytes::new(seed));
            shop.token(order)
        };
        let (first, second) = (restored(&mut shop), restored(&mut shop));
        prop_assert_eq!(first.granted.tag, second.granted.tag);
        prop_assert_eq!(first.granted.exponent, second.granted.exponent);
        prop_assert_eq!(first.granted.image, second.granted.image);
        prop_assert_eq!(shop.wallet.review_id(&first), shop.wallet.review_id(&second));
    }

    #[test]
    fn two_presentations_share_scope_serial_and_escrow_and_nothing_else(seed in any::<u64>()) {
        let mut shop = Shop::new(seed);
        let token = shop.token(1);
        let (first, second) = (shop.early(&token, &review()), shop.early(&token, &review()));
        prop_assert!(shop.verifies(&first, &review()) && shop.verifies(&second, &review()));
        prop_assert_eq!(first.scope(), second.scope());
        prop_assert_eq!(first.review_id(), second.review_id());
        prop_assert_eq!(first.escrow(), second.escrow());
        prop_assert_ne!(first.tag(), second.tag());
        prop_assert_ne!(first.image(), second.image());
        // On the wire: scope, escrow id, A', A_bar, E1, E2, s, P, T1..T3, z1..z5.
        let (first, second) = (first.to_bytes(), second.to_bytes());
        let start = first.len() - 32 * 14;
        let same: Vec<bool> = first[start..].chunks(32).zip(second[start..].chunks(32)).map(|(a, b)| a == b).collect();
        prop_assert_eq!(&first[..start], &second[..start]);
        prop_assert_eq!(same, [vec![false; 2], vec![true; 4], vec![false; 8]].concat());
    }

    #[test]
    fn a_presentation_is_sent_before_its_boundary(seed in any::<u64>(), at in 0..5 * WEEK - SENDING_MARGIN) {
        let mut shop = Shop::new(seed);
        let (token, now) = (shop.token(1), CLOSED.saturating_add(at));
        let evidence = shop.signed(shop.manifest());
        let scheduled = shop.present(&token, &evidence, now).unwrap();
        let is_first = FIRST.saturating_since(now) > SENDING_MARGIN;
        let (publication, span) = if is_first { (FIRST, 20 * 3_600) } else { (END, 5 * DAY) };
        prop_assert_eq!(scheduled.publication, publication);
        let from = now.max(publication.saturating_sub(span));
        prop_assert!(from <= scheduled.send_at && scheduled.send_at < publication);
        // The device was off: the same bytes, for the next boundary.
        let again = scheduled.at_another_time(FIRST, &mut shop.rng).unwrap();
        prop_assert_eq!(again.publication, END);
        prop_assert_eq!(again.presentation.to_bytes(), scheduled.presentation.to_bytes());
        prop_assert_eq!(scheduled.at_another_time(END, &mut shop.rng).unwrap_err(), WalletError::WindowOver);
        prop_assert!(shop.verifies(&scheduled.presentation, &review()));
    }
}

#[test]
fn sending_times_reach_every_quarter_of_their_span() {
    let mut shop = Shop::new(4);
    let (token, evidence) = (shop.token(1), shop.signed(shop.manifest()));
    let mut quarters = HashSet::new();
    for _ in 0..40 {
        let send_at = shop.present(&token, &evidence, CLOSED).unwrap().send_at;
        quarters.insert(send_at.saturating_since(FIRST.saturating_sub(20 * 3_600)) / (5 * 3_600));
    }
    assert_eq!(quarters.len(), 4);
}

#[test]
fn no_two_orders_share_a_serial_or_a_commitment() {
    let mut shop = Shop::new(5);
    let (mut serials, mut commitments) = (HashSet::<ReviewId>::new(), HashSet::new());
    for cohort in 0..4 {
        for order in 0..100 {
            let mut offer = shop.offer(order);
            offer.scope = Scope::new(*offer.scope.key_id(), offer.scope.merchant().clone(), cohort);
            let (pending, request) = shop.request(&offer).unwrap();
            let grant = shop.grant(&request);
            let token = shop.wallet.finish(pending, &grant, &mut shop.rng).unwrap();
            assert!(serials.insert(shop.wallet.review_id(&token).unwrap()));
            assert!(commitments.insert(*request.commitment().as_bytes()));
        }
    }
}

#[test]
fn a_grant_under_another_key_or_for_another_request_is_refused() {
    let mut shop = Shop::new(6);
    let stranger = IssuerKey::generate(&mut shop.rng);
    let (pending, request) = shop.request(&shop.offer(1)).unwrap();
    // Tagging: the same scope is answered under a key of its own.
    let scope = Scope::new(*stranger.public().id(), request.scope().merchant().clone(), 77);
    let tagging = Grant::issue(&stranger, &scope, request.commitment(), &mut shop.rng).unwrap();
    let refused = shop.wallet.finish(pending, &tagging, &mut shop.rng).unwrap_err();
    assert_eq!(refused, WalletError::Grant);

    let (_, other_request) = shop.request(&shop.offer(2)).unwrap();
    let other_grant = shop.grant(&other_request);
    let (pending, request) = shop.request(&shop.offer(1)).unwrap();
    let refused = shop.wallet.finish(pending, &other_grant, &mut shop.rng).unwrap_err();
    assert_eq!(refused, WalletError::Grant);

    // Asking again is possible and gets the token.
    let (pending, again) = shop.request(&shop.offer(1)).unwrap();
    assert_eq!(request.commitment(), again.commitment());
    let grant = shop.grant(&again);
    assert!(shop.wallet.finish(pending, &grant, &mut shop.rng).is_ok());
}

#[test]
fn an_offer_with_keys_that_are_not_pinned_as_a_pair_is_refused() {
    let mut shop = Shop::new(7);
    let (second, second_escrow) = (IssuerKey::generate(&mut shop.rng), random_escrow_key(&mut shop.rng));
    let stranger = IssuerKey::generate(&mut shop.rng);
    let stranger_escrow = random_escrow_key(&mut shop.rng);
    shop.trust = shop.trust.clone().pin(*second.public(), second_escrow).unwrap();

    let unpinned = {
        let mut offer = shop.offer(1);
        offer.scope = Scope::new(*stranger.public().id(), offer.scope.merchant().clone(), 77);
        Offer { issuer_key: *stranger.public(), ..offer }
    };
    assert_eq!(shop.request(&unpinned).unwrap_err(), WalletError::IssuerKeyNotPinned);
    for escrow_key in [stranger_escrow, second_escrow] {
        let offer = Offer { escrow_key, ..shop.offer(1) };
        assert_eq!(shop.request(&offer).unwrap_err(), WalletError::EscrowKeyNotPinned);
    }
    let foreign = Offer { issuer_key: *second.public(), escrow_key: second_escrow, ..shop.offer(1) };
    assert_eq!(shop.request(&foreign).unwrap_err(), WalletError::ForeignScope);
    assert!(shop.request(&shop.offer(1)).is_ok());
}

#[test]
fn an_issuer_key_is_pinned_with_one_escrow_key() {
    let mut shop = Shop::new(8);
    let (key, other) = (*shop.issuer_key.public(), random_escrow_key(&mut shop.rng));
    assert_eq!(shop.trust.clone().pin(key, other).unwrap_err(), WalletError::ConflictingPin);
    let again = shop.trust.clone().pin(key, shop.escrow_key).unwrap();
    assert_eq!(again.escrow_key_of(&key), Some(&shop.escrow_key));
}

#[test]
fn a_wallet_that_pins_the_trustees_takes_a_key_that_all_of_them_signed_and_no_other() {
    use unjoin_core::token::{EscrowKeyCertificate, Trustees};
    use unjoin_trustee::TrusteeSecrets;
    use unjoin_trustee::ceremony::{CeremonyPlan, Step};
    let mut shop = Shop::new(8);
    let rng = &mut shop.rng;
    let mut ceremony = || {
        let mut secrets: Vec<_> = (0..2).map(|_| TrusteeSecrets::generate(rng)).collect();
        let trustees = Trustees::new(secrets.iter().map(TrusteeSecrets::public).collect()).unwrap();
        let plan = CeremonyPlan::key_generation(2, trustees.clone(), rng).unwrap();
        secrets.iter_mut().for_each(|trustee| trustee.join(plan.clone(), plan.threshold(), rng).unwrap());
        let mut messages = Vec::new();
        for turn in 0.. {
            match secrets[turn % 2].next(&messages, rng).unwrap() {
                Step::Publish(message) => messages.push(message),
                Step::Finished(signed) => return (trustees, signed.certificate().unwrap()),
                _ => {}
            }
        }
        unreachable!()
    };
    let ((trustees, certificate), (strangers, other)) = (ceremony(), ceremony());
    let key = *shop.issuer_key.public();
    let escrow_key = certificate.verify(&trustees).unwrap();
    let platform_key = *shop.trust.platform_key();
    let roots = || TrustRoots::new(platform_key, 20, unjoin_core::Grid::Weekly);
    let pinned = || roots().with_trustees(trustees.clone(), 2);
    let trust = pinned().pin_certified(key, &certificate).unwrap();
    assert_eq!(trust.escrow_key_of(&key), Some(&escrow_key));
    let refused = |result: Result<TrustRoots, WalletError>| result.unwrap_err();
    // A secretary who writes t = 1 into the plan makes every trustee the only one.
    let three = roots().with_trustees(trustees.clone(), 3);
    assert_eq!(refused(three.pin_certified(key, &certificate)), WalletError::EscrowKeyThreshold);
    assert_eq!(refused(pinned().pin(key, escrow_key)), WalletError::EscrowKeyCertificate);
    assert_eq!(refused(pinned().pin_certified(key, &other)), WalletError::EscrowKeyCertificate);
    let elsewhere = roots().with_trustees(strangers, 2);
    assert_eq!(refused(elsewhere.pin_certified(key, &certificate)), WalletError::EscrowKeyCertificate);
    let nobody = roots();
    assert_eq!(refused(nobody.pin_certified(key, &certificate)), WalletError::EscrowKeyCertificate);
    // One of the two did not sign.
    let mut bytes = certificate.to_bytes();
    let last = bytes.len() - 64;
    bytes.copy_within(last - 64..last, last);
    let partly = EscrowKeyCertificate::from_bytes(&bytes).unwrap();
    assert_eq!(refused(pinned().pin_certified(key, &partly)), WalletError::EscrowKeyCertificate);
}

#[test]
fn evidence_that_does_not_hold_for_the_token_is_refused() {
    let mut shop = Shop::new(9);
    let token = shop.token(1);
    let good = shop.manifest();
    let other_scope = Scope::new(*good.scope.key_id(), good.scope.merchant().clone(), 78);
    let with = |dates: &[Timestamp]| {
        let publications = PublicationDates::new(dates).unwrap();
        CohortManifest { publications, ..good.clone() }
    };
    let mut other_id = good.escrow_id;
    other_id[0] ^= 1;
    for (manifest, now, refusal) in [
        (CohortManifest { scope: other_scope, ..good.clone() }, CLOSED, WalletError::ManifestScope),
        (CohortManifest { escrow_id: other_id, ..good.clone() }, CLOSED, WalletError::ManifestEscrow),
        (CohortManifest { at_least: 19, ..good.clone() }, CLOSED, WalletError::CohortTooSmall),
        (with(&[FIRST, END.saturating_add(1)]), CLOSED, WalletError::ManifestOffGrid),
        (with(&[FIRST.saturating_sub(60), END]), CLOSED, WalletError::ManifestOffGrid),
        (good.clone(), END, WalletError::WindowOver),
        (good.clone(), END.saturating_add(1), WalletError::WindowOver),
    ] {
        let evidence = shop.signed(manifest);
        assert_eq!(shop.present(&token, &evidence, now).unwrap_err(), refusal);
    }
    let forger = PlatformKey::generate(&mut shop.rng);
    let forged = ManifestEvidence::Signed(good.clone().sign(&forger).unwrap());
    assert_eq!(shop.present(&token, &forged, CLOSED).unwrap_err(), WalletError::ManifestSignature);

    let evidence = shop.signed(good);
    assert!(shop.present(&token, &evidence, END.saturating_sub(SENDING_MARGIN + 1)).is_ok());
    let too_late = shop.present(&token, &evidence, END.saturating_sub(SENDING_MARGIN));
    assert_eq!(too_late.unwrap_err(), WalletError::WindowOver);
    // A key that an update has taken out of the pins is not presented under any more.
    shop.trust = TrustRoots::new(shop.platform_key.public(), 20, unjoin_core::Grid::Weekly);
    assert_eq!(shop.present(&token, &evidence, CLOSED).unwrap_err(), WalletError::IssuerKeyNotPinned);
}

#[test]
fn a_token_of_another_wallet_is_noticed() {
    let mut shop = Shop::new(10);
    let (token, evidence) = (shop.token(1), shop.signed(shop.manifest()));
    let (pending, request) = shop.request(&shop.offer(2)).unwrap();
    let grant = shop.grant(&request);
    let state = submitted(&mut shop, &token);
    shop.wallet = Wallet::generate(&mut shop.rng);
    let (wallet, rng) = (&shop.wallet, &mut Seeded(1));
    for refused in [
        wallet.presentation(&token, &review(), rng).map(drop),
        wallet.present(&token, &review(), &evidence, &shop.trust, CLOSED, rng).map(drop),
        wallet.act(&token, &state, AuthorRequest::Withdraw, CLOSED, rng).map(drop),
        wallet.review_id(&token).map(drop),
        wallet.finish(pending, &grant, rng).map(drop),
    ] {
        assert_eq!(refused, Err(WalletError::AnotherWallet));
    }
}

#[test]
fn an_early_presentation_verifies_for_its_review_alone() {
    let mut shop = Shop::new(11);
    let token = shop.token(1);
    let presentation = shop.early(&token, &review());
    assert!(shop.verifies(&presentation, &review()));
    assert!(!shop.verifies(&presentation, &Review::new(5, "Cold, and late.", vec![]).unwrap()));
    assert_eq!(Ok(presentation.review_id()), shop.wallet.review_id(&token));
}

/// The state of a review with a receipt, of the token's first submission.
fn submitted(shop: &mut Shop, token: &Token) -> ReviewState {
    ReviewState {
        review_id: shop.wallet.review_id(token).unwrap(),
        last_sequence: 0,
        digest_in_force: review().digest(),
        standing: ReviewStanding::Held,
        published_at: FIRST,
    }
}

#[test]
fn author_actions_hold_in_sequence_and_nowhere_else() {
    let mut shop = Shop::new(12);
    let (token, other) = (shop.token(1), shop.token(2));
    let better = Review::new(3, "They made it good.", vec![]).unwrap();
    let key = *shop.early(&token, &review()).author_key();
    let first = submitted(&mut shop, &token);
    let id = first.review_id;
    let mut act = |at: &ReviewState, request: AuthorRequest<'_>| {
        shop.wallet.act(&token, at, request, END, &mut shop.rng).map(|scheduled| scheduled.action)
    };
    let continues = |action: &AuthorAction, at: &ReviewState| {
        assert!(action.verify(&key, &id).is_ok());
        action.statement().continues(at.last_sequence, &at.digest_in_force)
    };
    let edit = act(&first, AuthorRequest::Edit(&better)).unwrap();
    assert_eq!(act(&first, AuthorRequest::Edit(&better)).unwrap(), edit, "the same action is the same bytes");
    let edited = first.clone().after(&edit);
    assert_eq!((edited.last_sequence, edited.digest_in_force), (1, better.digest()));
    assert!(continues(&edit, &first) && !continues(&edit, &edited), "an edit is not taken twice");

    let withdrawal = act(&edited, AuthorRequest::Withdraw).unwrap();
    assert!(continues(&withdrawal, &edited) && !continues(&withdrawal, &first));
    let withdrawn = edited.clone().after(&withdrawal);
    assert!(!continues(&withdrawal, &withdrawn));
    assert_eq!(withdrawn.standing, ReviewStanding::Withdrawn);
    assert_eq!(act(&withdrawn, AuthorRequest::Edit(&better)), Err(WalletError::Withdrawn));
    let last = ReviewState { last_sequence: u64::MAX, ..edited };
    assert_eq!(act(&last, AuthorRequest::Withdraw), Err(WalletError::SequenceExhausted));
    let foreign = ReviewState { review_id: shop.wallet.review_id(&other).unwrap(), ..first };
    assert_eq!(act(&foreign, AuthorRequest::Withdraw), Err(WalletError::AnotherReview));
    // The keys of two tokens have nothing in common.
    assert_ne!(shop.early(&other, &review()).author_key(), &key);
}

/// After its window an order gets no grant any more; its author can still act.
#[test]
fn a_device_restored_from_its_seed_acts_on_its_review_without_a_grant() {
    let mut shop = Shop::new(15);
    let token = shop.token(1);
    let state = submitted(&mut shop, &token);
    let offer = shop.offer(1);
    let scope = &offer.scope;
    let scope = Scope::new(*scope.key_id(), scope.merchant().clone(), scope.cohort() ^ 1);
    let (mine, _) = shop.request(&offer).unwrap();
    let (other, _) = shop.request(&Offer { scope, ..offer }).unwrap();
    let wallet = &shop.wallet;
    assert_eq!(wallet.review_id(&mine), Ok(state.review_id));
    assert_ne!(wallet.review_id(&other), Ok(state.review_id), "another cohort's manifest");
    let act = |right: &PendingToken, rng: &mut _| {
        wallet.act(right, &state, AuthorRequest::Withdraw, END, rng).map(|scheduled| scheduled.action)
    };
    let by_token = wallet.act(&token, &state, AuthorRequest::Withdraw, END, &mut shop.rng).unwrap();
    assert_eq!(act(&mine, &mut shop.rng), Ok(by_token.action));
    assert_eq!(act(&other, &mut shop.rng), Err(WalletError::AnotherReview));
}

/// An author who is pressed must not act while being pressed: no action has a time to be sent
/// that its author could know, and a withdrawal of a held review is early enough to be one.
#[test]
fn an_action_is_sent_at_a_random_time_within_a_day_and_before_the_boundary_if_held() {
    let mut shop = Shop::new(13);
    let token = shop.token(1);
    let state = submitted(&mut shop, &token);
    let new = Review::new(2, "x", vec![]).unwrap();
    let mut sent = |now: Timestamp, request: AuthorRequest<'_>| {
        let times =
            (0..64).map(|_| shop.wallet.act(&token, &state, request, now, &mut shop.rng).unwrap().send_at);
        let times: HashSet<u64> = times.map(|time| time.as_unix_seconds()).collect();
        assert!(times.len() > 32, "drawn from many");
        let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
        (Timestamp::from_unix_seconds(*first), Timestamp::from_unix_seconds(*last))
    };
    let hour = FIRST.saturating_sub(3_600);
    for (now, edit, from, to) in [
        (CLOSED, false, CLOSED, CLOSED.saturating_add(DAY)),
        (hour, false, hour, FIRST.saturating_sub(SENDING_MARGIN)),
        (FIRST.saturating_sub(60), false, FIRST, FIRST.saturating_add(DAY)),
        (hour, true, FIRST, FIRST.saturating_add(DAY)),
        (FIRST, false, FIRST, FIRST.saturating_add(DAY)),
    ] {
        let request = if edit { AuthorRequest::Edit(&new) } else { AuthorRequest::Withdraw };
        let (first, last) = sent(now, request);
        assert!(from <= first && last < to, "{now:?}");
    }
}

#[test]
fn a_receipt_that_says_anything_else_is_refused() {
    let mut shop = Shop::new(15);
    let token = shop.token(1);
    let evidence = shop.signed(shop.manifest());
    let scheduled = shop.present(&token, &evidence, CLOSED).unwrap();
    let sent = &scheduled.presentation;
    let good = ReceiptTerms {
        review_id: sent.review_id(),
        review_digest: review().digest(),
        presentation_hash: sent.hash(),
        author_key: *sent.author_key(),
        publish_by: FIRST,
        era: 1,
    };
    let check = |terms: ReceiptTerms, key: &PlatformKey, now| {
        scheduled.check_receipt(&Receipt::sign(key, terms).unwrap(), &shop.trust, now)
    };
    let state = check(good.clone(), &shop.platform_key, CLOSED).unwrap();
    assert_eq!((state.digest_in_force, state.published_at), (good.review_digest, FIRST));
    // It arrived after the first boundary, or was asked for again: the next one, or the first.
    for publish_by in [FIRST, END] {
        let later = ReceiptTerms { publish_by, ..good.clone() };
        assert!(check(later, &shop.platform_key, FIRST).is_ok());
    }
    for bad in [
        ReceiptTerms { review_id: ReviewId([1; 32]), ..good.clone() },
        ReceiptTerms { review_digest: [1; 32], ..good.clone() },
        ReceiptTerms { presentation_hash: [1; 32], ..good.clone() },
        ReceiptTerms { author_key: AuthorKey([1; 32]), ..good.clone() },
        // Delay is deletion: not the next boundary.
        ReceiptTerms { publish_by: END, ..good.clone() },
        ReceiptTerms { publish_by: FIRST.saturating_sub(WEEK), ..good.clone() },
        ReceiptTerms { publish_by: FIRST.saturating_add(WEEK), ..good.clone() },
    ] {
        assert_eq!(check(bad, &shop.platform_key, CLOSED), Err(WalletError::Receipt));
    }
    // An older copy was put back since, and the device has seen so: no receipt is given for before.
    let trust = shop.trust.clone().in_era(3);
    let of_era = |era| Receipt::sign(&shop.platform_key, ReceiptTerms { era, ..good.clone() }).unwrap();
    let verdicts = [1, 2, 3, 4].map(|era| scheduled.check_receipt(&of_era(era), &trust, CLOSED).is_ok());
    assert_eq!(verdicts, [false, false, true, true]);
    let forger = PlatformKey::generate(&mut Seeded(1));
    assert_eq!(check(good, &forger, CLOSED), Err(WalletError::Receipt));

    let action = shop.wallet.act(&token, &state, AuthorRequest::Withdraw, CLOSED, &mut Seeded(2)).unwrap();
    let other =
        shop.wallet.act(&token, &state, AuthorRequest::Edit(&review()), CLOSED, &mut Seeded(2)).unwrap();
    for (signed, key, boundary, fits) in [
        (&action, &shop.platform_key, FIRST, true),
        (&action, &shop.platform_key, CLOSED.saturating_add(3 * WEEK), true),
        (&action, &shop.platform_key, CLOSED.saturating_add(4 * WEEK), false),
        (&action, &shop.platform_key, FIRST.saturating_add(1), false),
        (&other, &shop.platform_key, FIRST, false),
        (&action, &forger, FIRST, false),
    ] {
        let receipt = ActionReceipt::sign(key, &signed.action, boundary, 1).unwrap();
        assert_eq!(action.check_receipt(&receipt, &shop.trust, CLOSED).is_ok(), fits);
    }
    let verdicts = [2, 3].map(|era| {
        let receipt = ActionReceipt::sign(&shop.platform_key, &action.action, FIRST, era).unwrap();
        action.check_receipt(&receipt, &trust, CLOSED).is_ok()
    });
    assert_eq!(verdicts, [false, true]);
}

#[test]
fn an_offer_of_another_order_or_merchant_is_refused() {
    let mut shop = Shop::new(16);
    let offer = shop.offer(1);
    let (merchant, look_alike) = (Name::new("noodles").unwrap(), Name::new("n00dles").unwrap());
    for (merchant, handle) in [(&merchant, OrderHandle([2; 16])), (&look_alike, offer.handle)] {
        let asked = shop.wallet.request(&shop.issuer, merchant, handle, &offer, &shop.trust, &mut shop.rng);
        assert_eq!(asked.map(drop), Err(WalletError::OtherOffer));
    }
}

#[test]
fn what_is_kept_prints_nothing_of_itself() {
    let mut shop = Shop::new(14);
    let (pending, _) = shop.request(&shop.offer(1)).unwrap();
    let token = shop.token(1);
    let printed = format!("{:?} {pending:?} {token:?}", shop.wallet);
    assert_eq!(printed, "Wallet(..) PendingToken(..) Token(..)");
    assert_eq!(format!("{:#?}", (&shop.wallet, &token)), "(\n    Wallet(..),\n    Token(..),\n)");
}
