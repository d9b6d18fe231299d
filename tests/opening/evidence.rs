//! Nobody passes an escrow off as another review's.

use crate::world::{World, at, flipped};
use proptest::prelude::*;
use unjoin::algebra::EscrowKey;
use unjoin::ledger::{ActionEntry, PolicyError};
use unjoin::opening::{EvidenceRefusal, ReviewEvidence, VerifiedReview};
use unjoin::secret::SystemRng;
use unjoin::token::{Accepted, IssuerKey, Presentation, ReviewStanding, ReviewState};
use unjoin::wire::Message;
use unjoin_wallet::AuthorRequest;

fn verify(world: &World, evidence: &ReviewEvidence) -> Result<VerifiedReview, EvidenceRefusal> {
    let escrow_key = world.committees[0].committee().key();
    evidence.verify(&world.issuers, escrow_key, &world.reviews.policy, &mut SystemRng::new())
}

/// `to` with the escrow of `from`, and optionally its whole proof.
fn with_escrow_of(to: &Presentation, from: &Presentation, with_proof: bool) -> Presentation {
    let (mut bytes, from_bytes) = (to.to_bytes(), from.to_bytes());
    // Version, kind, scope, escrow id, A', A_bar; then E1 and E2, then the serial and the proof.
    let escrow = 2 + to.scope().to_bytes().len() + 32 + 64;
    bytes[escrow..escrow + 64].copy_from_slice(&from_bytes[escrow..escrow + 64]);
    if with_proof {
        bytes[escrow + 96..].copy_from_slice(&from_bytes[escrow + 96..]);
    }
    Presentation::from_bytes(&bytes).unwrap()
}

#[test]
fn evidence_shows_the_review_and_its_escrow() {
    let world = World::new();
    let evidence = world.publish(&world.author("one"));
    let review = verify(&world, &evidence).unwrap();
    assert_eq!(review.review_id(), &evidence.presentation.review_id());
    assert_eq!(review.escrow(), evidence.presentation.escrow());
    let read = ReviewEvidence::from_bytes(&evidence.to_bytes()).unwrap();
    assert_eq!(read, evidence);
}

#[test]
fn evidence_put_together_of_two_reviews_is_refused() {
    let world = World::new();
    let (one, two) = (world.publish(&world.author("one")), world.publish(&world.author("two")));
    for mixture in 1..15u8 {
        let of = |part: u8| if mixture >> part & 1 == 0 { &one } else { &two };
        let mixed = ReviewEvidence {
            presentation: of(0).presentation.clone(),
            accepted: of(1).accepted.clone(),
            review_digest: of(2).review_digest,
            published: of(3).published.clone(),
        };
        assert!(verify(&world, &mixed).is_err(), "{mixture:04b}");
    }
    let other = ReviewEvidence { presentation: two.presentation.clone(), ..one.clone() };
    assert_eq!(verify(&world, &other), Err(EvidenceRefusal::OtherEntry));
    let other = ReviewEvidence { accepted: two.accepted.clone(), ..one.clone() };
    assert!(matches!(verify(&world, &other), Err(EvidenceRefusal::Proof(_))));
}

/// Laundering: a platform that wants the author of a review opened under a warrant on another
/// logs a review of its own making with the victim's escrow in it.
#[test]
fn a_copied_escrow_is_refused_though_it_was_logged() {
    let world = World::new();
    let (victim, accomplice) = (world.author("victim"), world.author("accomplice"));
    let published = world.publish(&victim);
    let own = accomplice.present();
    for with_proof in [false, true] {
        let forged = with_escrow_of(&own, &published.presentation, with_proof);
        assert_eq!(forged.escrow(), published.presentation.escrow());
        assert_ne!(forged.review_id(), published.presentation.review_id());
        let evidence = world.publish_as(&world.issuer_key, &forged, accomplice.review.digest());
        assert!(matches!(verify(&world, &evidence), Err(EvidenceRefusal::Proof(_))));
    }
    // The victim's own presentation under other words is no other review.
    let evidence = world.publish_as(&world.issuer_key, &published.presentation, [9; 32]);
    assert!(matches!(verify(&world, &evidence), Err(EvidenceRefusal::Proof(_))));
}

/// An insider who logs a key of their own in the author's place could sign withdrawals; nothing is
/// opened by such an entry.
#[test]
fn an_entry_with_another_author_key_is_refused() {
    let world = World::new();
    let (author, other) = (world.author("one"), world.author("two"));
    let (presentation, digest) = (author.present(), author.review.digest());
    let key = *other.present().author_key();
    let evidence = world.publish_with(&world.issuer_key, &presentation, digest, key);
    assert_eq!(verify(&world, &evidence), Err(EvidenceRefusal::OtherEntry));
    let evidence = world.publish_as(&world.issuer_key, &presentation, digest);
    assert!(verify(&world, &evidence).is_ok());
}

#[test]
fn a_token_of_another_issuer_is_refused() {
    let world = World::new();
    let stranger = IssuerKey::generate(&mut SystemRng::new());
    let author = world.author_under(&stranger, "one");
    let evidence = world.publish_as(&stranger, &author.present(), author.review.digest());
    assert_eq!(verify(&world, &evidence), Err(EvidenceRefusal::Issuer));
    // Without the issuing secret there is no accepted proof: the tag was never valid.
    let author = world.author("two");
    let (presentation, digest) = (author.present(), author.review.digest());
    let evidence = ReviewEvidence {
        accepted: Accepted::prove(&stranger, &presentation, &digest, &mut SystemRng::new()),
        ..world.publish(&author)
    };
    assert!(verify(&world, &evidence).is_err());
}

#[test]
fn an_entry_of_another_ledger_or_kind_is_refused() {
    let world = World::new();
    let author = world.author("one");
    let evidence = world.publish(&author);
    let entry = evidence.published.claimed_entry().to_vec();
    let elsewhere = ReviewEvidence { published: world.append(&world.openings, entry), ..evidence.clone() };
    assert!(matches!(
        verify(&world, &elsewhere),
        Err(EvidenceRefusal::Ledger(PolicyError::Note(_) | PolicyError::Proof(_)))
    ));
    let state = ReviewState {
        review_id: evidence.presentation.review_id(),
        last_sequence: 0,
        digest_in_force: evidence.review_digest,
        standing: ReviewStanding::Published,
        published_at: at(0),
    };
    let request = AuthorRequest::Withdraw;
    let acted = author.wallet.act(&author.token, &state, request, at(1), &mut SystemRng::new()).unwrap();
    let edited = ActionEntry { action: acted.action, boundary: at(0) };
    let other =
        ReviewEvidence { published: world.append(&world.reviews, edited.to_bytes()), ..evidence.clone() };
    assert_eq!(verify(&world, &other), Err(EvidenceRefusal::OtherEntry));
    let digest = ReviewEvidence { review_digest: [9; 32], ..evidence };
    assert_eq!(verify(&world, &digest), Err(EvidenceRefusal::OtherEntry));
}

#[test]
fn a_review_that_is_escrowed_to_other_trustees_is_refused() {
    let world = World::new();
    let evidence = world.publish(&world.author("one"));
    let other = EscrowKey::new(*IssuerKey::generate(&mut SystemRng::new()).public().element());
    let policy = &world.reviews.policy;
    let refused = evidence.verify(&world.issuers, &other, policy, &mut SystemRng::new());
    assert_eq!(refused, Err(EvidenceRefusal::EscrowKey));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_flipped_bit_refuses(flips in proptest::collection::vec(any::<usize>(), 8)) {
        static WORLD: std::sync::LazyLock<(World, Vec<u8>)> = std::sync::LazyLock::new(|| {
            let world = World::new();
            let evidence = world.publish(&world.author("one")).to_bytes();
            (world, evidence)
        });
        let (world, bytes) = &*WORLD;
        let holds = |bytes: &[u8]| ReviewEvidence::from_bytes(bytes).is_ok_and(|read| verify(world, &read).is_ok());
        prop_assert_eq!(flips.into_iter().find(|flip| holds(&flipped(bytes, *flip))), None);
    }
}
