//! Every operation that holds a secret, with the secret marked.

use crate::memcheck::{is_secret, mark_public, mark_secret, unreported};
use crate::report;
use crate::secret_rng::{SecretRng, secret_rng};
use rand_core::CryptoRng;
use std::process::ExitCode;
use unjoin::Name;
use unjoin::ledger::{BindingEntry, BlindEntry, Members, RemovedEntry, ShareReleasedEntry, StaffKeyEntry};
use unjoin::opening::same_author::{Blind, BlindingFactor, CheckedRound, ComparedReviews, ComparisonShare};
use unjoin::opening::{Committee, DecryptionShare, ShareContext, TrusteeShare, insecure_test_dealer};
use unjoin::phone::{KeyEncryptionKey, LocalKey};
use unjoin::secret::{MacKey, SecretBytes, SystemRng};
use unjoin::token::{
    Accepted, ActionReceipt, AuthorKey, CohortManifest, EnrolmentContext, Grant, IssuerKey, Offer,
    OrderHandle, OrderHandleKey, PlatformKey, Presentation, PresentationCheck, PublicationDates, Receipt,
    ReceiptTerms, Review, ReviewId, ReviewStanding, ReviewState, Scope, StaffKey, TokenRequest, TrusteeKey,
    binding_blind, verify_batch,
};
use unjoin::wire::Message;
use unjoin::{PassphraseCost, Timestamp, WEEK};
use unjoin_wallet::{AuthorRequest, ManifestEvidence, PendingToken, Token, TrustRoots, Wallet};

/// The names of the ledgers.
const REVIEWS: &str = "shop.example/reviews";
const OPENINGS: &str = "shop.example/openings";
/// Opaque to who signs a receipt.
const AUTHOR_KEY: AuthorKey = AuthorKey([8; 32]);

pub fn run() -> ExitCode {
    let mut errors = 0;
    let mut checked = |name: &str, work: &mut dyn FnMut()| errors += report(name, work).1;
    let mut world = World::new();

    checked("wallet: enrol", &mut || world.enrol());
    checked("wallet: request", &mut || world.request());
    checked("issuer: grant", &mut || world.grant());
    checked("wallet: finish", &mut || world.finish());
    checked("wallet: review id", &mut || world.review_id());
    checked("platform: sign a manifest and receipts", &mut || world.sign());
    checked("platform: sign staff keys; staff: remove", &mut || world.remove());
    checked("wallet: present after the manifest", &mut || world.present());
    checked("wallet: present with randomness of its own", &mut || world.present_bare());
    checked("desk: verify a presentation", &mut || world.verify());
    checked("desk: verify a batch, and find a bad member", &mut || world.verify_batch());
    checked("desk: prove that it accepted", &mut || world.accept());
    checked("wallet: edit, withdraw, ask where a review stands", &mut || world.author());
    checked("wallet: seal a backup", &mut || world.seal_backup());
    checked("trustee: answer", &mut || world.answer());
    checked("trustee: blind and compare", &mut || world.compare());
    checked("trustee: sign entries", &mut || world.sign_entries());
    checked("issuer: bind a wallet key to an account", &mut || world.bind());
    checked("platform: order handles", &mut || world.handles());
    checked("keeper: seal the slot key file", &mut seal_slot_keys);
    checked("telephony: name rows under a prepared key", &mut name_rows);

    println!("{errors} errors in all");
    if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Secret bytes from a generator whose output is public.
fn marked<const N: usize>(mut bytes: [u8; N]) -> SecretBytes<N> {
    mark_secret(&mut bytes);
    SecretBytes::new(bytes)
}

/// A message as the other side gets it: made of its bytes, which are public from here on. Until here they
/// depended on a secret, or the marks never reached the library and nothing was checked.
fn sent<T: Message>(message: T) -> T {
    let bytes = message.to_bytes();
    assert!(is_secret(&bytes), "{}: not made of anything marked", T::NAME);
    mark_public(bytes.as_slice());
    T::from_bytes(&bytes).expect("a message")
}

/// The message that an honest caller is answered with.
fn answered<T, E: std::fmt::Debug>(answer: Result<T, E>) -> T {
    unreported(|| answer.expect("everybody here is honest"))
}

/// A verdict, which is public: whoever asked is told.
fn told<T, E: std::fmt::Debug>(verdict: Result<T, E>) -> T {
    mark_public(&verdict);
    verdict.expect("everybody here is honest")
}

struct World {
    /// For what only its user keeps: nonces and keys.
    secret_rng: SecretRng,
    /// For what decides nothing about a secret: a verifier's weights, times, salts.
    rng: SystemRng,
    issuer: Name,
    wallet: Wallet,
    issuer_key: IssuerKey,
    platform_key: PlatformKey,
    committee: Committee,
    shares: Vec<TrusteeShare>,
    offer: Offer,
    trust: TrustRoots,
    review: Review,
    request: Option<(PendingToken, TokenRequest)>,
    granted: Option<Grant>,
    token: Option<Token>,
    presentations: Vec<Presentation>,
    evidence: Option<ManifestEvidence>,
}

impl World {
    fn new() -> Self {
        let mut rng = SystemRng::new();
        let mut secret_rng = secret_rng();
        let wallet = Wallet::from_seed(SecretBytes::random(&mut secret_rng));

        let bytes = IssuerKey::generate(&mut rng).to_secret_bytes();
        let issuer_key = IssuerKey::from_secret_bytes(&marked(*bytes.expose())).expect("a key's bytes");
        mark_public(issuer_key.public());

        let platform_key = PlatformKey::from_secret_bytes(&SecretBytes::random(&mut secret_rng));
        let platform_public = platform_key.public();
        mark_public(&platform_public);

        let (committee, shares) = deal(&mut secret_rng);

        let offer = Offer {
            handle: OrderHandle([1; 16]),
            scope: Scope::new(*issuer_key.public().id(), name("merchant-1"), 0x5eed),
            issuer_key: *issuer_key.public(),
            escrow_key: *committee.key(),
        };
        let trust = TrustRoots::new(platform_public, 20, unjoin::Grid::Weekly);
        let trust = trust.pin(*issuer_key.public(), *committee.key()).expect("one pin");
        let review = Review::new(1, "The lamp came broken.", vec![]).expect("a review");
        Self {
            secret_rng,
            rng,
            issuer: name("orders.example"),
            wallet,
            issuer_key,
            platform_key,
            committee,
            shares,
            offer,
            trust,
            review,
            request: None,
            granted: None,
            token: None,
            presentations: Vec::new(),
            evidence: None,
        }
    }

    fn enrol(&mut self) {
        let account = name("account-7");
        let context = EnrolmentContext { issuer: &self.issuer, account: &account, nonce: &[9; 32] };
        let enrolment = sent(answered(self.wallet.enrol(context, &mut self.secret_rng)));
        told(enrolment.verify(context, &mut self.rng));
    }

    fn request(&mut self) {
        let request = self.wallet.request(
            &self.issuer,
            self.offer.scope.merchant(),
            self.offer.handle,
            &self.offer,
            &self.trust,
            &mut self.secret_rng,
        );
        let (pending, request) = answered(request);
        // It holds copies of what the request shows, and U.
        mark_public(&pending);
        self.request = Some((pending, sent(request)));
    }

    fn grant(&mut self) {
        let (_, request) = self.request.as_ref().expect("requested");
        let grant =
            Grant::issue(&self.issuer_key, request.scope(), request.commitment(), &mut self.secret_rng);
        self.granted = Some(sent(answered(grant)));
    }

    fn finish(&mut self) {
        let (pending, _) = self.request.take().expect("requested");
        let grant = self.granted.as_ref().expect("granted");
        self.token = Some(told(self.wallet.finish(pending, grant, &mut self.rng)));
    }

    fn review_id(&mut self) {
        let id = answered(self.wallet.review_id(self.token.as_ref().expect("finished")));
        assert!(is_secret(id.as_bytes()));
    }

    fn sign(&mut self) {
        let closed_at = Timestamp::from_unix_seconds(4 * 86_400).saturating_add(2_600 * WEEK);
        let manifest = CohortManifest {
            scope: self.offer.scope.clone(),
            escrow_id: *self.committee.key().id(),
            at_least: 20,
            publications: PublicationDates::new(&[
                closed_at.saturating_add(WEEK),
                closed_at.saturating_add(4 * WEEK),
            ])
            .expect("rising"),
        };
        let signed = sent(manifest.sign(&self.platform_key).unwrap());
        told(signed.verify(self.trust.platform_key()));
        self.evidence = Some(ManifestEvidence::Signed(signed));
        let receipt = sent(
            Receipt::sign(
                &self.platform_key,
                ReceiptTerms {
                    review_id: ReviewId([3; 32]),
                    review_digest: [4; 32],
                    presentation_hash: [5; 32],
                    author_key: AUTHOR_KEY,
                    publish_by: closed_at,
                    era: 1,
                },
            )
            .unwrap(),
        );
        told(receipt.verify(self.trust.platform_key()));
    }

    fn remove(&mut self) {
        let staff = StaffKey::from_secret_bytes(&SecretBytes::random(&mut self.secret_rng));
        let public = staff.public();
        mark_public(&public);
        let entry = sent(StaffKeyEntry::sign(&self.platform_key, REVIEWS, &public, name("staff 3")).unwrap());
        told(entry.verify(self.trust.platform_key(), REVIEWS));
        let removed = RemovedEntry::sign(&staff, REVIEWS, ReviewId([3; 32]), [4; 32], "spam");
        told(sent(removed.expect("grounds")).verify(REVIEWS));
    }

    fn present(&mut self) {
        let token = self.token.as_ref().expect("finished");
        let evidence = self.evidence.as_ref().expect("signed");
        let now = Timestamp::from_unix_seconds(4 * 86_400).saturating_add(2_600 * WEEK + 3_600);
        let presented = self.wallet.present(token, &self.review, evidence, &self.trust, now, &mut self.rng);
        self.presentations.push(sent(answered(presented).presentation));
    }

    fn present_bare(&mut self) {
        let token = self.token.as_ref().expect("finished");
        let presented = self.wallet.presentation(token, &self.review, &mut self.secret_rng);
        self.presentations.push(sent(answered(presented)));
    }

    fn verify(&mut self) {
        let digest = self.review.digest();
        for presentation in &self.presentations {
            told(presentation.verify(&self.issuer_key, self.committee.key(), &digest, &mut self.rng));
        }
    }

    fn verify_batch(&mut self) {
        let digest = self.review.digest();
        let check = |presentation, review_digest| PresentationCheck {
            presentation,
            key: &self.issuer_key,
            escrow_key: self.committee.key(),
            review_digest,
        };
        let [one, other] = &self.presentations[..] else { panic!("two presentations") };
        told(verify_batch(&[check(one, &digest), check(other, &digest)], &mut self.rng));
        let bad = verify_batch(&[check(one, &digest), check(other, &[0; 32])], &mut self.rng);
        mark_public(&bad);
        let bad = bad.expect_err("another digest");
        mark_public(&bad[..]);
        assert_eq!(bad, [1]);
    }

    fn accept(&mut self) {
        let digest = self.review.digest();
        let presentation = &self.presentations[0];
        let accepted = sent(Accepted::prove(&self.issuer_key, presentation, &digest, &mut self.secret_rng));
        let key = self.issuer_key.public();
        told(accepted.verify(key, self.committee.key(), presentation, &digest, &mut self.rng));
    }

    fn author(&mut self) {
        let token = self.token.as_ref().expect("finished");
        let shown = &self.presentations[0];
        let now = Timestamp::from_unix_seconds(4 * 86_400).saturating_add(2_603 * WEEK);
        let state = ReviewState {
            review_id: shown.review_id(),
            last_sequence: 0,
            digest_in_force: self.review.digest(),
            standing: ReviewStanding::Published,
            published_at: now,
        };
        let edited = Review::new(2, "It came broken, and was replaced.", vec![]).expect("a review");
        for request in [AuthorRequest::Edit(&edited), AuthorRequest::Withdraw] {
            let signed = answered(self.wallet.act(token, &state, request, now, &mut self.rng));
            let action = sent(signed.action);
            told(action.verify(shown.author_key(), &shown.review_id()));
            let receipt = sent(ActionReceipt::sign(&self.platform_key, &action, now, 1).unwrap());
            told(receipt.verify(self.trust.platform_key()));
        }
        let question = sent(answered(self.wallet.ask_state(token, now, &mut self.secret_rng)));
        told(question.verify(shown.author_key()));
    }

    fn seal_backup(&mut self) {
        let token = self.token.as_ref().expect("finished");
        let cost = PassphraseCost::LEAST;
        // Argon2id looks memory up at addresses that depend on the passphrase, by design; what is
        // marked here is the seed.
        let tokens = core::slice::from_ref(token);
        sent(answered(self.wallet.seal_backup(tokens, b"a passphrase", cost, &mut self.rng)));
    }

    fn answer(&mut self) {
        let (review_id, escrow) = (ReviewId([7; 32]), *self.presentations[0].escrow());
        let context = ShareContext { warrant_digest: [6; 32], review_id, escrow };
        for share in &self.shares {
            let answer = DecryptionShare::answer(share, &self.committee, &context, &mut self.secret_rng);
            told(sent(answered(answer)).verify(&self.committee, &context, &mut self.rng));
        }
    }

    /// A round of the first two trustees over two reviews of one author.
    fn compare(&mut self) {
        let escrow = *self.presentations[0].escrow();
        let reviews = [1, 2].map(|first| (ReviewId([first; 32]), escrow)).to_vec();
        let (digest, reviews) = ([6; 32], ComparedReviews::new(reviews).expect("in order"));
        let mut blinds = Vec::new();
        for share in &self.shares[..2] {
            let rng = &mut self.secret_rng;
            let factor = BlindingFactor::derive(share, &digest, 1, &reviews, rng);
            let blind = sent(answered(Blind::new(share.index(), 1, &factor, &digest, &reviews, rng)));
            told(blind.verify(1, &digest, &reviews, &mut self.rng));
            blinds.push(blind);
        }
        let members = Members::new([1, 2]).expect("two");
        let round = CheckedRound::new(&self.committee, &digest, 1, &reviews, members, &blinds, &mut self.rng);
        let round = round.expect("everybody here is honest");
        let mut answers = Vec::new();
        for share in &self.shares[..2] {
            let (committee, context) = (&self.committee, round.context());
            let answer =
                sent(answered(ComparisonShare::answer(share, committee, context, &mut self.secret_rng)));
            told(answer.verify(committee, context, &mut self.rng));
            answers.push(answer);
        }
        let classes = round.classes(&self.committee, &answers, &mut self.rng).expect("two shares");
        assert_eq!((classes.authors.len(), classes.nobody.len()), (1, 0));
    }

    fn sign_entries(&mut self) {
        let key = TrusteeKey::from_secret_bytes(SecretBytes::random(&mut self.secret_rng));
        let public = key.public();
        mark_public(&public);
        let release = ShareReleasedEntry::sign(&key, OPENINGS, 1, 1, [1; 32], [2; 32]).expect("in range");
        told(sent(release).verify(public.verifier(), OPENINGS));
        let blind = BlindEntry::sign(&key, OPENINGS, [1; 32], 1, 1, [3; 32]).expect("in range");
        told(sent(blind).verify(public.verifier(), OPENINGS));
    }

    fn bind(&mut self) {
        let master = SecretBytes::random(&mut self.secret_rng);
        let (account, wallet_key) = (name("account-7"), *self.committee.key().element());
        let blind = binding_blind(&master, &account, &wallet_key);
        assert!(is_secret(&blind));
        sent(BindingEntry::new(&account, &wallet_key, &blind));
    }

    fn handles(&mut self) {
        let master = SecretBytes::random(&mut self.secret_rng);
        let key = OrderHandleKey::derive(&master, &name("merchant-1"));
        assert!(is_secret(key.handle(b"order-1").as_bytes()));
    }
}

/// With ring's cipher, as a slot's rows are. The file is not secret.
fn seal_slot_keys() {
    let sealed = answered(LocalKey::new(marked([4; 32])).seal(&[1; 81]));
    assert!(is_secret(&sealed), "not made of anything marked");
}

/// As a slot's key names its rows. A name is stored, and public.
fn name_rows() {
    let key = MacKey::new(marked([5; 32]).expose());
    for number in 1..4u64 {
        assert!(is_secret(&key.mac(&[&number.to_le_bytes(), &[6; 8]])), "not made of anything marked");
    }
}

/// Shares of a marked key. The dealer checks its public points against each other before it
/// gives them out, which is nobody's concern: it is a test's. Its shares are what counts.
fn deal(rng: &mut (impl CryptoRng + ?Sized)) -> (Committee, Vec<TrusteeShare>) {
    let dealt = unreported(|| {
        let dealt = insecure_test_dealer(2, 3, rng);
        mark_public(&dealt);
        dealt.expect("2 of 3")
    });
    let (committee, shares) = dealt;
    mark_public(committee.verification_shares());
    (committee, shares)
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}
