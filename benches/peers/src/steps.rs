//! The measured steps of unjoin, with the unit R and the floor of a batch.

use crate::measure::{Run, Step, prepared, repeated};
use crate::world::{World, name, review};
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::VartimeMultiscalarMul;
use rand_core::Rng;
use std::rc::Rc;
use std::slice::from_ref;
use unjoin::review::Submission;
use unjoin::secret::SystemRng;
use unjoin::token::{
    Accepted, AuthorAction, Grant, Presentation, PresentationCheck, ReviewStanding, ReviewState,
    TokenRequest, verify_batch,
};
use unjoin::wire::Message;
use unjoin::{Clock, SystemClock};
use unjoin_wallet::AuthorRequest;

pub const UNJOIN: &str = "unjoin";

/// The steps that every scheme has.
pub const REQUEST: &str = "device: request";
pub const ISSUE: &str = "server: issue";
pub const FINISH: &str = "device: finish";
pub const PRESENT: &str = "device: present";
pub const REDEEM: &str = "server: redeem one";
pub const REDEEM_BATCH: &str = "server: redeem in a batch of 256, each";

pub const DECODE: &str = "decode a presentation";
pub const FLOOR: &str = "floor of a batch of 1024, each";
pub const BATCHES: [usize; 5] = [1, 16, 64, 256, 1024];

pub fn batch_name(members: usize) -> String {
    format!("verify a batch of {members}, each")
}

/// R: one constant-time variable-base multiplication on ristretto255.
pub fn reference() -> Run {
    let (point, scalar) = (random_point(), random_scalar());
    repeated(move || std::hint::black_box(&point) * std::hint::black_box(&scalar))
}

/// Everything that is measured, unjoin's steps first.
pub fn all() -> Vec<Step> {
    let mut steps = unjoin();
    steps.extend(crate::peers::all());
    steps
}

fn unjoin() -> Vec<Step> {
    let world = Rc::new(World::new());
    let scope = world.scope(&name("merchant-0001"), 0x5eed);
    let mut steps = Vec::new();
    let mut add = |name: &str, run: Run| steps.push(Step::new(UNJOIN, name, run));

    let w = Rc::clone(&world);
    add(
        "device: enrol",
        repeated(move || w.wallet.enrol(w.context(), &mut rng()).expect("enrols").to_bytes()),
    );
    let enrolment = world.wallet.enrol(world.context(), &mut rng()).expect("enrols");
    let wallet_key = *enrolment.wallet_key();
    let w = Rc::clone(&world);
    add(
        "server: check an enrolment",
        repeated(move || enrolment.verify(w.context(), &mut rng()).expect("holds")),
    );

    let (w, offer) = (Rc::clone(&world), world.offer(1, scope.clone()));
    add(REQUEST, repeated(move || w.request(&offer).1.to_bytes()));
    let request = world.request(&world.offer(1, scope.clone())).1;
    let (w, bytes) = (Rc::clone(&world), request.to_bytes());
    add(
        ISSUE,
        repeated(move || {
            let request = TokenRequest::from_bytes(&bytes).expect("decodes");
            request.verify(&wallet_key, &mut rng()).expect("holds");
            w.grant(&request).to_bytes()
        }),
    );
    let checked = request.clone();
    add(
        "  of which: check the request",
        repeated(move || {
            checked.verify(&wallet_key, &mut rng()).expect("holds");
        }),
    );
    let (w, granted) = (Rc::clone(&world), request.clone());
    add("  of which: tag and proof", repeated(move || w.grant(&granted)));
    let (w, v, offer) = (Rc::clone(&world), Rc::clone(&world), world.offer(1, scope.clone()));
    let bytes = world.grant(&request).to_bytes();
    add(
        FINISH,
        prepared(
            move || w.request(&offer).0,
            move |pending| {
                let grant = Grant::from_bytes(&bytes).expect("decodes");
                v.wallet.finish(pending, &grant, &mut rng()).expect("verifies")
            },
        ),
    );
    let (w, token) = (Rc::clone(&world), world.token(1, scope.clone()));
    add(
        PRESENT,
        repeated(move || {
            let presented = w.wallet.presentation(&token, &review(1), &mut rng());
            presented.expect("presents").to_bytes()
        }),
    );

    let most = BATCHES[BATCHES.len() - 1] as u64;
    let submissions: Rc<Vec<Submission>> =
        Rc::new((0..most).map(|number| world.submission(number, scope.clone())).collect());
    let encoded: Rc<Vec<Vec<u8>>> =
        Rc::new(submissions.iter().map(|submission| submission.presentation.to_bytes()).collect());
    let digests: Rc<Vec<[u8; 32]>> =
        Rc::new(submissions.iter().map(|submission| submission.review.digest()).collect());

    let (w, e, d) = (Rc::clone(&world), Rc::clone(&encoded), Rc::clone(&digests));
    add(REDEEM, repeated(move || redeem(&w, &e[..1], &d[..1])));
    let e = Rc::clone(&encoded);
    add(DECODE, repeated(move || decode(&e[0])));
    let (w, s, d) = (Rc::clone(&world), Rc::clone(&submissions), Rc::clone(&digests));
    add(
        "verify one, decoded",
        repeated(move || {
            let pair = w.pair();
            s[0].presentation.verify(&pair.issuer_key, &pair.escrow_key, &d[0], &mut rng()).expect("holds");
        }),
    );

    let (token, now) = (world.token(0, scope), SystemClock.now());
    let state = ReviewState {
        review_id: submissions[0].presentation.review_id(),
        last_sequence: 0,
        digest_in_force: digests[0],
        standing: ReviewStanding::Published,
        published_at: now,
    };
    let (w, stands) = (Rc::clone(&world), state.clone());
    let act = move || {
        let signed = w.wallet.act(&token, &stands, AuthorRequest::Withdraw, now, &mut rng());
        signed.expect("signs").action.to_bytes()
    };
    let bytes = act();
    add("device: sign an author's action", repeated(act));
    let s = Rc::clone(&submissions);
    add(
        "server: check an author's action",
        repeated(move || {
            let (shown, action) = (&s[0].presentation, AuthorAction::from_bytes(&bytes).expect("decodes"));
            assert!(action.statement().continues(state.last_sequence, &state.digest_in_force));
            action.verify(shown.author_key(), &shown.review_id()).expect("holds");
        }),
    );
    let (w, s, d) = (Rc::clone(&world), Rc::clone(&submissions), Rc::clone(&digests));
    add(
        "server: accepted proof",
        repeated(move || {
            Accepted::prove(&w.pair().issuer_key, &s[0].presentation, &d[0], &mut rng()).to_bytes()
        }),
    );
    let accepted =
        Accepted::prove(&world.pair().issuer_key, &submissions[0].presentation, &digests[0], &mut rng());
    let (w, e, d, bytes) = (Rc::clone(&world), Rc::clone(&encoded), Rc::clone(&digests), accepted.to_bytes());
    add(
        "anybody: check presentation and accepted proof",
        repeated(move || {
            let (accepted, shown) = (Accepted::from_bytes(&bytes).expect("decodes"), decode(&e[0]));
            let pair = w.pair();
            accepted
                .verify(pair.issuer_key.public(), &pair.escrow_key, &shown, &d[0], &mut rng())
                .expect("holds");
        }),
    );

    for members in BATCHES {
        let (w, s, d) = (Rc::clone(&world), Rc::clone(&submissions), Rc::clone(&digests));
        let run = repeated(move || {
            let presentations = s.iter().map(|submission| &submission.presentation);
            verify(&w, presentations.zip(d.iter()).take(members));
        });
        steps.push(Step::new(UNJOIN, batch_name(members), run).of_members(members));
    }
    let run = repeated(move || redeem(&world, &encoded[..256], &digests[..256]));
    steps.push(Step::new(UNJOIN, REDEEM_BATCH, run).of_members(256));
    steps.push(Step::new(UNJOIN, FLOOR, floor(1024)).of_members(1024));
    steps
}

/// What no batch over these messages can do without: the seven elements of each presentation
/// decompressed, and one sum over them. Scalars are as long as in the real sum: three
/// commitments have weights of 128 bits, the rest is full.
fn floor(members: usize) -> Run {
    let elements: Vec<CompressedRistretto> = (0..members * 7).map(|_| random_point().compress()).collect();
    let scalars: Vec<Scalar> =
        (0..members * 7).map(|at| if at % 7 < 3 { random_weight() } else { random_scalar() }).collect();
    repeated(move || {
        let points: Vec<RistrettoPoint> =
            elements.iter().map(|element| element.decompress().expect("a point's encoding")).collect();
        RistrettoPoint::vartime_multiscalar_mul(&scalars, &points)
    })
}

fn redeem(world: &World, encoded: &[Vec<u8>], digests: &[[u8; 32]]) {
    let presentations: Vec<Presentation> = encoded.iter().map(|bytes| decode(bytes)).collect();
    verify(world, presentations.iter().zip(digests));
}

fn verify<'a>(world: &'a World, members: impl Iterator<Item = (&'a Presentation, &'a [u8; 32])>) {
    let pair = world.pair();
    let check = |(presentation, review_digest): (&'a Presentation, &'a [u8; 32])| PresentationCheck {
        presentation,
        key: &pair.issuer_key,
        escrow_key: &pair.escrow_key,
        review_digest,
    };
    let checks: Vec<PresentationCheck<'_>> = members.map(check).collect();
    match checks.as_slice() {
        [one] => verify_batch(from_ref(one), &mut rng()),
        many => verify_batch(many, &mut rng()),
    }
    .expect("every member holds");
}

fn decode(bytes: &[u8]) -> Presentation {
    Presentation::from_bytes(bytes).expect("decodes")
}

/// The generator that the services use.
fn rng() -> SystemRng {
    SystemRng::new()
}

fn random_scalar() -> Scalar {
    let mut wide = [0; 64];
    rng().fill_bytes(&mut wide);
    Scalar::from_bytes_mod_order_wide(&wide)
}

fn random_weight() -> Scalar {
    let mut bytes = [0; 16];
    rng().fill_bytes(&mut bytes);
    Scalar::from(u128::from_le_bytes(bytes))
}

fn random_point() -> RistrettoPoint {
    RistrettoPoint::mul_base(&random_scalar())
}
