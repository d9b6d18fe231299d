//! What only the inside shows: the stored encodings, and how much a bad batch costs.

use super::histogram::{Histogram, HistogramRow};
use super::rows::{CohortRow, ListedRow, RewrittenRow};
use super::spent::{SentRow, SpentRow, State, WaitingChange, WaitingRow};
use super::submission::CLEAN_BATCHES;
use super::*;
use base64ct::{Base64UrlUnpadded, Encoding as _};
use proptest::prelude::*;
use std::sync::atomic::Ordering;
use unjoin_core::secret::SystemRng;
use unjoin_core::secret::below;
use unjoin_core::token::{
    ActionKind, AuthorKey, AuthorStatement, CohortManifest, Digest, Grant, IssuerKey, Offer, OrderHandle,
    PublicationDates, Review, ReviewStanding,
};
use unjoin_core::wire::Message;
use unjoin_store::identity::Role;
use unjoin_store::queue::QueueConfig;
use unjoin_store::{MemoryStore, Record, decide};
use unjoin_test_util::own;
use unjoin_trustee::insecure_test_dealer;
use unjoin_wallet::{AuthorRequest, Token, TrustRoots, Wallet};

/// A desk that is asked for batches directly, and reviewers who sign for it.
struct Bench {
    desk: ReviewDesk<MemoryStore>,
    reviewers: Vec<(Wallet, Token)>,
}

fn bench(reviewers: usize) -> Bench {
    let rng = &mut SystemRng::new();
    let (committee, _) = insecure_test_dealer(1, 1, rng).unwrap();
    let keys = KeyRing::new(IssuerKey::generate(rng), *committee.key());
    let platform = Arc::new(PlatformKey::generate(rng));
    let pair = Arc::clone(keys.newest());
    let offer = Offer {
        handle: OrderHandle([1; 16]),
        scope: Scope::new(*pair.issuer_key.public().id(), Name::new("merchant").unwrap(), 7),
        issuer_key: *pair.issuer_key.public(),
        escrow_key: pair.escrow_key,
    };
    let trust = TrustRoots::new(platform.public(), 2, unjoin_core::Grid::Daily)
        .pin(*pair.issuer_key.public(), pair.escrow_key)
        .unwrap();
    let token = |rng: &mut SystemRng| {
        let wallet = Wallet::generate(rng);
        let (pending, request) = wallet
            .request(&Name::new("issuer").unwrap(), offer.scope.merchant(), offer.handle, &offer, &trust, rng)
            .unwrap();
        let grant = Grant::issue(&pair.issuer_key, request.scope(), request.commitment(), rng).unwrap();
        let token = wallet.finish(pending, &grant, rng).unwrap();
        (wallet, token)
    };
    let reviewers = (0..reviewers).map(|_| token(rng)).collect();
    let config = DeskConfig { queue: QueueConfig { workers: 1, ..Default::default() }, ..Default::default() };
    let store = Arc::new(MemoryStore::new());
    let closed_at = Grid::Weekly.at_or_before(Environment::system().now()).unwrap();
    let manifest = CohortManifest {
        scope: offer.scope.clone(),
        escrow_id: *pair.escrow_key.id(),
        at_least: 2,
        publications: PublicationDates::new(&[
            Grid::Weekly.nth_after(closed_at, 2),
            Grid::Weekly.nth_after(closed_at, 5),
        ])
        .unwrap(),
    };
    let manifest = manifest.sign(&platform).unwrap();
    let desk = ReviewDesk::open(
        own(&store, Role::Reviews),
        Grid::Weekly,
        config,
        keys,
        platform,
        Environment::system(),
    )
    .unwrap();
    desk.admit(&manifest).unwrap();
    Bench { desk, reviewers }
}

impl Bench {
    /// One batch of everybody's review, the first one forged if asked for: which were
    /// accepted, and how many group checks that took.
    fn batch(&self, forged: bool) -> (Vec<bool>, usize) {
        let (good, bad) = (Review::new(2, "meh", vec![]).unwrap(), Review::new(5, "forged", vec![]).unwrap());
        let rng = &mut SystemRng::new();
        let mut jobs = Vec::new();
        for (number, (wallet, token)) in self.reviewers.iter().enumerate() {
            let is_bad = forged && number == 0;
            let signed = if is_bad { &bad } else { &good };
            let presentation = wallet.presentation(token, signed, rng).unwrap();
            jobs.push(Job::new(Submission { presentation, review: good.clone() }));
        }
        let checks = &self.desk.core.verifier.group_checks;
        let before = checks.load(Ordering::SeqCst);
        let results = self.desk.core.decide_submissions(jobs);
        (results.iter().map(Result::is_ok).collect(), checks.load(Ordering::SeqCst) - before)
    }
}

#[test]
fn a_stream_of_bad_batches_costs_one_check_a_member() {
    const MEMBERS: usize = 5;
    let bench = bench(MEMBERS);
    assert_eq!(bench.batch(false), (vec![true; MEMBERS], 1), "a good batch is one check");
    let mut verdicts = vec![true; MEMBERS];
    verdicts[0] = false;
    assert_eq!(bench.batch(true), (verdicts.clone(), 1 + MEMBERS), "the first bad one costs a batch");
    for _ in 0..20 {
        assert_eq!(bench.batch(true), (verdicts.clone(), MEMBERS), "the others do not");
    }
    for _ in 0..CLEAN_BATCHES {
        assert_eq!(bench.batch(false), (vec![true; MEMBERS], MEMBERS));
    }
    assert_eq!(bench.batch(false), (vec![true; MEMBERS], 1), "clean again: batches are trusted");
}

#[test]
fn what_is_refused_cheaply_costs_no_group_operation() {
    let bench = bench(2);
    assert_eq!(bench.batch(false).1, 1);
    let checks = &bench.desk.core.verifier.group_checks;
    let before = checks.load(Ordering::SeqCst);
    let other = Review::new(1, "another", vec![]).unwrap();
    let rng = &mut SystemRng::new();
    let spent = bench.reviewers.iter().map(|(wallet, token)| {
        let presentation = wallet.presentation(token, &other, rng).unwrap();
        Job::new(Submission { presentation, review: other.clone() })
    });
    let answers = bench.desk.core.decide_submissions(spent.collect());
    assert!(answers.iter().all(|answer| matches!(answer, Err(DeskError::Spent))));
    assert_eq!(checks.load(Ordering::SeqCst), before);
}

proptest! {
    /// Foreign bytes are refused or are exactly what the row encodes to.
    #[test]
    fn stored_rows_decode_strictly(bytes in prop::collection::vec(any::<u8>(), 0..200), state in 0u8..8) {
        fn strict<T: Record>(value: &[u8]) -> bool {
            T::from_value(value).is_ok_and(|row| row.to_value() != value)
        }
        let mut value = vec![1, state];
        value.extend(&bytes);
        prop_assert!(!strict::<SpentRow>(&value) && !strict::<CohortRow>(&value));
        prop_assert!(!strict::<ListedRow>(&value) && !strict::<HistogramRow>(&value));
        prop_assert!(!strict::<RewrittenRow>(&value));
        let _ = rows::Due::from_key(&value);
    }

    #[test]
    fn drawn_numbers_are_below_their_bound(bound in 1u64..) {
        prop_assert!(below(bound, &mut SystemRng::new()) < bound);
    }
}

/// A row of every shape encodes and decodes to the same bytes, and no shorter or longer one; the
/// row that outsiders' questions are answered from has one size.
#[test]
fn every_shape_of_a_review_s_rows_round_trips() {
    let review = Review::new(3, "text", vec![[7; 32]]).unwrap();
    let time = unjoin_core::Timestamp::from_unix_seconds;
    let signer = unjoin_core::signature::Signer::from_seed(&unjoin_core::secret::SecretBytes::new([7; 32]));
    let statement = AuthorStatement {
        kind: ActionKind::Withdraw,
        review_id: ReviewId([1; 32]),
        sequence: 1,
        previous_digest: [2; 32],
        new_digest: [0; 32],
    };
    let action = AuthorAction::sign(&signer, statement).unwrap();
    let held = SpentRow::held(review.digest(), [3; 32], AuthorKey([4; 32]), time(9));
    let mut sizes = Vec::new();
    for state in [
        State::Held,
        State::TakenBack,
        State::Published,
        State::Withdrawn,
        State::Removed,
        State::Awaited,
        State::Unlisted,
    ] {
        for row in [held.clone(), held.clone().after(&action, time(12))] {
            sizes.push(round_trips(&SpentRow { state, ..row }, true));
        }
    }
    assert!(sizes.iter().all(|size| *size == sizes[0]), "{sizes:?}");
    for held in [None, Some(review.clone())] {
        round_trips(&SentRow { presentation: vec![5; 500], held }, true);
    }
    let edit = WaitingChange::Edit(review.clone());
    for change in [edit, WaitingChange::Withdraw, WaitingChange::Uncount(4), WaitingChange::Relist(review)] {
        for count in [0, 1, 16] {
            round_trips(
                &WaitingRow {
                    boundary: time(8),
                    actions: vec![action.clone(); count],
                    change: change.clone(),
                },
                false,
            );
        }
    }
}

/// The size of the value.
fn round_trips<R: Record>(row: &R, has_state: bool) -> usize {
    let value = row.to_value();
    assert_eq!(R::from_value(&value).ok().map(|row| row.to_value()), Some(value.clone()));
    let mut longer = value.clone();
    longer.push(0);
    assert!(R::from_value(&longer).is_err());
    assert!(R::from_value(&value[..value.len() - 1]).is_err());
    // Its format and its state are known ones.
    for at in 0..1 + usize::from(has_state) {
        let mut other = value.clone();
        other[at] = 9;
        assert!(R::from_value(&other).is_err());
    }
    value.len()
}

/// For an absent row, a foreign signature, a good signature: one verification each.
#[test]
fn every_question_of_an_author_costs_one_verification() {
    let bench = bench(1);
    let (wallet, token) = &bench.reviewers[0];
    let rng = &mut SystemRng::new();
    let id = wallet.review_id(token).unwrap();
    let state = ReviewState {
        review_id: id,
        last_sequence: 0,
        digest_in_force: Review::new(2, "meh", vec![]).unwrap().digest(),
        standing: ReviewStanding::Held,
        published_at: unjoin_core::Timestamp::ZERO,
    };
    let now = unjoin_core::Timestamp::ZERO;
    let action = wallet.act(token, &state, AuthorRequest::Withdraw, now, rng).unwrap().action;
    let mut bad = action.to_bytes();
    bad[170] ^= 1;
    let bad = AuthorAction::from_bytes(&bad).unwrap();
    let cost = |action: &AuthorAction| {
        let checks = &bench.desk.core.verifier.signature_checks;
        let before = checks.load(Ordering::SeqCst);
        let refused = bench.desk.act(token.scope(), action, &[]).is_err();
        (refused, checks.load(Ordering::SeqCst) - before)
    };
    assert_eq!((cost(&action), cost(&bad)), ((true, 1), (true, 1)), "there is no such review");
    assert_eq!(bench.batch(false).0, [true]);
    assert_eq!((cost(&bad), cost(&action)), ((true, 1), (false, 1)));
    assert_eq!(cost(&bad), (true, 1), "it was withdrawn");
}

/// A proof tells `x * A'`, which is a token for whoever chose `A'`. So a row that the desk did not write,
/// with a tag that was never issued, gets none.
#[test]
fn evidence_that_something_else_wrote_gets_no_proof() {
    let bench = bench(2);
    let core = &bench.desk.core;
    let review = Review::new(2, "meh", vec![]).unwrap();
    let [(wallet, token), (other_wallet, other_token)] = &bench.reviewers[..] else { unreachable!() };
    let rng = &mut SystemRng::new();
    let valid = wallet.presentation(token, &review, rng).unwrap();
    let other = other_wallet.presentation(other_token, &review, rng).unwrap().to_bytes();
    // Behind version, kind, scope and escrow id: A' and its image.
    let tag = 2 + valid.scope().to_bytes().len() + 32;
    let forged = |from: std::ops::Range<usize>| {
        let mut bytes = valid.to_bytes();
        bytes[from.clone()].copy_from_slice(&other[from]);
        bytes
    };
    let asked = |presentation: Vec<u8>, digest: Digest| {
        let (scope, id) = (token.scope(), valid.review_id());
        let spent = SpentRow::held(digest, [0; 32], *valid.author_key(), Timestamp::ZERO);
        let keys = (rows::spent(scope, &id), rows::sent(scope, &id));
        decide(&*core.store, keys.clone(), |_, change| {
            change.put(&keys.0, &SpentRow { state: State::Published, ..spent.clone() });
            change.put(&keys.1, &SentRow { presentation: presentation.clone(), held: None });
            Ok::<_, StoreError>(())
        })
        .unwrap();
        bench.desk.evidence(scope, &id)
    };
    assert!(asked(valid.to_bytes(), review.digest()).unwrap().is_some());
    let refused = [
        asked(forged(tag..tag + 32), review.digest()),
        asked(forged(tag + 32..tag + 64), review.digest()),
        asked(forged(tag..tag + 64), review.digest()),
        asked(valid.to_bytes(), [9; 32]),
        asked(vec![7], review.digest()),
    ];
    for refused in refused {
        assert!(matches!(refused, Err(DeskError::Store(StoreError::Corrupt("evidence")))), "{refused:?}");
    }
}

#[test]
fn what_a_service_shows_has_one_json_form() {
    let scope = Scope::new([0xab; 32], Name::new("lamps.example").unwrap(), 0x0123_4567_89ab_cdef);
    let listed = PublishedReview {
        review_id: ReviewId([0xcd; 32]),
        scope: scope.clone(),
        review: Review::new(2, "meh", vec![[0xef; 32]]).unwrap(),
        published_at: Timestamp::from_unix_seconds(1_700_000_000),
        edited: true,
    };
    let scope_json = serde_json::json!(Base64UrlUnpadded::encode_string(&scope.to_bytes()));
    assert_eq!(serde_json::from_value::<Scope>(scope_json.clone()).unwrap(), scope);
    let listed_json = serde_json::json!({
        "review_id": "cd".repeat(32), "scope": scope_json, "cohort": "0123456789abcdef",
        "digest": unjoin_test_util::hex(&listed.review.digest()), "stars": 2, "text": "meh",
        "attachments": ["ef".repeat(32)], "published_at": 1_700_000_000, "edited": true,
    });
    assert_eq!(serde_json::json!(listed), listed_json);
    let batch = Batch { scope, at_least: 3, boundary: listed.published_at, reviews: vec![listed] };
    let batch_json = serde_json::json!({
        "scope": scope_json, "at_least": 3, "boundary": 1_700_000_000, "reviews": [listed_json],
    });
    assert_eq!(serde_json::json!(batch), batch_json);
    assert_eq!(
        serde_json::json!(Histogram { counts: [1, 0, 0, 0, 1] }),
        serde_json::json!({
            "counts": [1, 0, 0, 0, 1], "mean": 3.0,
        })
    );
    assert_eq!(serde_json::json!(Histogram::default())["mean"], serde_json::Value::Null);
}
