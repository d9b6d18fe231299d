//! A platform, its wallets, and valid messages of every proving kind: made once, from fixed
//! randomness, so that an input means the same in every run.

use std::sync::{Arc, LazyLock};
use unjoin::Name;
use unjoin::algebra::EscrowKey;
use unjoin::ledger::WarrantAction;
use unjoin::opening::{Committee, DecryptionShare, ShareContext, TrusteeShare, insecure_test_dealer};
use unjoin::secret::SecretBytes;
use unjoin::token::{
    Accepted, Enrolment, EnrolmentContext, Grant, IssuerKey, KeyPair, KeyRing, Offer, OrderHandle,
    PlatformKey, Presentation, Review, Scope, TokenRequest,
};
use unjoin::wire::Message;
use unjoin_test_util::Seeded;
use unjoin_wallet::{AuthorRequest, ReviewState, Token, TrustRoots, Wallet};

/// The platform's long-lived keys.
pub struct Keys {
    /// Three issuing keys, each with its committee's escrow key; the third is the newest.
    pub ring: KeyRing,
    pub pairs: Vec<Arc<KeyPair>>,
    pub platform: Arc<PlatformKey>,
    pub committees: Vec<(Committee, Vec<TrusteeShare>)>,
}

pub fn name(text: impl AsRef<[u8]>) -> Name {
    Name::new(text).unwrap()
}

pub fn review(number: usize) -> Review {
    let attachments = if number % 3 == 2 { vec![[9; 32]] } else { vec![] };
    Review::new([1, 3, 5][number % 3], format!("review {number}"), attachments).unwrap()
}

pub static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let random = &mut Seeded(1);
    let committees: Vec<_> = (1..=3).map(|t| insecure_test_dealer(t, t + 1, random).unwrap()).collect();
    let escrow_key = |at: usize| *committees[at].0.key();
    let mut ring = KeyRing::new(IssuerKey::generate(random), escrow_key(0));
    let mut pairs = vec![Arc::clone(ring.newest())];
    for at in 1..3 {
        ring = ring.with(IssuerKey::generate(random), escrow_key(at));
        pairs.push(Arc::clone(ring.newest()));
    }
    Keys { ring, pairs, platform: Arc::new(PlatformKey::generate(random)), committees }
});

impl Keys {
    /// A ring of the first `count` keys.
    pub fn ring_of(&self, count: usize) -> KeyRing {
        let copy = |at: usize| {
            let pair = &self.pairs[at];
            let bytes = pair.issuer_key.to_secret_bytes();
            (IssuerKey::from_secret_bytes(&bytes).unwrap(), pair.escrow_key)
        };
        let (key, escrow) = copy(0);
        (1..count).fold(KeyRing::new(key, escrow), |ring, at| {
            let (key, escrow) = copy(at);
            ring.with(key, escrow)
        })
    }

    pub fn trust(&self) -> TrustRoots {
        let roots = TrustRoots::new(self.platform.public(), 2, unjoin::Grid::Weekly);
        self.pairs
            .iter()
            .fold(roots, |roots, pair| roots.pin(*pair.issuer_key.public(), pair.escrow_key).unwrap())
    }

    pub fn scope(&self, pair: usize, merchant: &str, cohort: u64) -> Scope {
        Scope::new(*self.pairs[pair].issuer_key.public().id(), name(merchant), cohort)
    }

    /// The offer of a scope for an order.
    pub fn offer(&self, pair: usize, scope: &Scope, handle: OrderHandle) -> Offer {
        let KeyPair { issuer_key, escrow_key } = &*self.pairs[pair];
        Offer { handle, scope: scope.clone(), issuer_key: *issuer_key.public(), escrow_key: *escrow_key }
    }
}

pub fn wallet(number: u8) -> Wallet {
    Wallet::from_seed(SecretBytes::new([number.wrapping_add(1); 32]))
}

pub fn issuer() -> Name {
    name("issuer")
}

/// Somebody who holds a token.
pub struct Author {
    pub wallet: Wallet,
    pub pair: usize,
    pub token: Token,
    pub request: TokenRequest,
    pub grant: Grant,
}

impl Author {
    pub fn new(seed: u8, pair: usize, scope: &Scope, handle: OrderHandle) -> Self {
        let random = &mut Seeded(u64::from(seed) + 100);
        let wallet = wallet(seed);
        let offer = KEYS.offer(pair, scope, handle);
        let (pending, request) = wallet.request(&issuer(), offer.scope.merchant(), offer.handle, &offer, &KEYS.trust(), random).unwrap();
        let key = &KEYS.pairs[pair].issuer_key;
        let grant = Grant::issue(key, scope, request.commitment(), random).unwrap();
        let token = wallet.finish(pending, &grant, random).unwrap();
        Self { wallet, pair, token, request, grant }
    }

    pub fn present(&self, review: &Review, random: u64) -> Presentation {
        let random = &mut Seeded(random);
        self.wallet.presentation(&self.token, review, random).unwrap()
    }

    pub fn keys(&self) -> &'static KeyPair {
        &KEYS.pairs[self.pair]
    }
}

pub static AUTHORS: LazyLock<Vec<Author>> = LazyLock::new(|| {
    let scopes = [(0, "lamps", 7), (0, "lamps", 8), (1, "chairs", 7), (2, "a", u64::MAX)];
    let author = |(number, (pair, merchant, cohort)): (usize, (usize, &str, u64))| {
        let seed = (number / 2) as u8;
        Author::new(seed, pair, &KEYS.scope(pair, merchant, cohort), OrderHandle([number as u8; 16]))
    };
    scopes.iter().chain(&scopes).copied().enumerate().map(author).collect()
});

/// The proving kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, arbitrary::Arbitrary)]
pub enum Kind {
    Enrolment,
    Request,
    Grant,
    Presentation,
    Author,
    Share,
    Accepted,
}

/// A message with all that its verifier is told besides, as strings of bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Case {
    pub message: Vec<u8>,
    pub context: Vec<Vec<u8>>,
}

pub static CASES: LazyLock<[Vec<Case>; 7]> =
    LazyLock::new(|| [enrolments(), requests(), grants(), presentations(), authors(), shares(), accepted()]);

fn case(message: &impl Message, context: Vec<Vec<u8>>) -> Case {
    Case { message: message.to_bytes(), context }
}

fn key_and_scope(scope: &Scope) -> Vec<Vec<u8>> {
    let cohort = scope.cohort().to_le_bytes().to_vec();
    vec![scope.key_id().to_vec(), scope.merchant().as_bytes().to_vec(), cohort]
}

fn enrolments() -> Vec<Case> {
    let people = [(0, "ann", 1), (0, "ben", 1), (1, "ann", 1), (1, "ben", 2), (2, "cid", 2)];
    people
        .map(|(seed, account, nonce)| {
            let (issuer, account, nonce) = (issuer(), name(account), [nonce; 32]);
            let context = EnrolmentContext { issuer: &issuer, account: &account, nonce: &nonce };
            let enrolment = wallet(seed).enrol(context, &mut Seeded(seed.into())).unwrap();
            case(&enrolment, vec![issuer.as_bytes().to_vec(), account.as_bytes().to_vec(), nonce.to_vec()])
        })
        .to_vec()
}

fn requests() -> Vec<Case> {
    let request = |author: &Author| {
        let wallet_key = author.wallet.wallet_key(&issuer()).unwrap();
        case(&author.request, vec![wallet_key.as_bytes().to_vec()])
    };
    AUTHORS.iter().map(request).collect()
}

fn grants() -> Vec<Case> {
    let grant = |author: &Author| {
        let mut context = vec![vec![author.pair as u8], author.request.commitment().as_bytes().to_vec()];
        context.extend(key_and_scope(author.token.scope()));
        case(&author.grant, context)
    };
    AUTHORS.iter().map(grant).collect()
}

/// Two presentations of each token with one review, one with another.
fn presented() -> impl Iterator<Item = (&'static Author, Presentation, Review)> {
    let of = |author: &'static Author| {
        let present = move |(random, number)| {
            let review = review(number);
            (author, author.present(&review, random), review)
        };
        [(1, 0), (2, 0), (3, 1)].map(present)
    };
    AUTHORS.iter().flat_map(of)
}

fn presentations() -> Vec<Case> {
    let presentation = |(author, presentation, review): (&Author, Presentation, Review)| {
        let escrow_key = author.keys().escrow_key.element().as_bytes().to_vec();
        case(&presentation, vec![vec![author.pair as u8], escrow_key, review.digest().to_vec()])
    };
    presented().map(presentation).collect()
}

fn authors() -> Vec<Case> {
    let of = |author: &'static Author| {
        let (edited, audience, challenge) = (review(2), name("press"), [4; 32]);
        let escrow = *author.present(&review(0), 1).escrow();
        let id = author.wallet.review_id(&author.token).unwrap();
        let requests = [
            (0, AuthorRequest::Withdraw),
            (0, AuthorRequest::Edit(&edited)),
            (7, AuthorRequest::Edit(&edited)),
            (1, AuthorRequest::Claim { audience: &audience, challenge: &challenge }),
        ];
        requests.map(|(last, request)| {
            let state = ReviewState { last_sequence: last, digest_in_force: review(0).digest() };
            let proof = author.wallet.author(&author.token, state, request, &mut Seeded(last)).unwrap();
            let context = vec![
                id.as_bytes().to_vec(),
                last.to_le_bytes().to_vec(),
                state.digest_in_force.to_vec(),
                escrow.e1.as_bytes().to_vec(),
                escrow.e2.as_bytes().to_vec(),
                author.token.escrow_key().element().as_bytes().to_vec(),
            ];
            case(&proof, context)
        })
    };
    AUTHORS.iter().flat_map(of).collect()
}

fn shares() -> Vec<Case> {
    let mut cases = Vec::new();
    for (at, (committee, shares)) in KEYS.committees.iter().enumerate() {
        for (author, share) in AUTHORS.iter().zip(shares.iter().cycle()) {
            for action in [WarrantAction::SameAuthor, WarrantAction::Open] {
                let subject = *author.wallet.review_id(&author.token).unwrap().as_bytes();
                let escrow = *author.present(&review(0), 1).escrow();
                let context = ShareContext { warrant_digest: [at as u8; 32], action, subject, escrow };
                let random = &mut Seeded(cases.len() as u64);
                let answer = DecryptionShare::answer(share, committee, &context, random).unwrap();
                let context = vec![
                    vec![at as u8],
                    context.warrant_digest.to_vec(),
                    vec![action as u8],
                    subject.to_vec(),
                    escrow.e1.as_bytes().to_vec(),
                    escrow.e2.as_bytes().to_vec(),
                ];
                cases.push(case(&answer, context));
            }
        }
    }
    cases
}

fn accepted() -> Vec<Case> {
    let accepted = |(author, presentation, review): (&Author, Presentation, Review)| {
        let (keys, digest) = (author.keys(), review.digest());
        let accepted = Accepted::prove(&keys.issuer_key, &presentation, &digest, &mut Seeded(9));
        let escrow_key = keys.escrow_key.element().as_bytes().to_vec();
        let context = vec![vec![author.pair as u8], escrow_key, digest.to_vec(), presentation.to_bytes()];
        case(&accepted, context)
    };
    presented().map(accepted).collect()
}

impl Case {
    /// The verifier's verdict; `None` when the message or a part of the context is refused
    /// before anything is verified.
    pub fn verdict(&self, kind: Kind) -> Option<bool> {
        let random = &mut Seeded(5);
        let (message, context) = (&self.message, &self.context);
        let part = |at: usize| context[at].as_slice();
        let array = |at: usize| <[u8; 32]>::try_from(part(at)).ok();
        let element = |at: usize| unjoin::algebra::Element::from_bytes(&array(at)?);
        let number = |at: usize| Some(u64::from_le_bytes(part(at).try_into().ok()?));
        let pair = |at: usize| match part(at) {
            [number] => KEYS.pairs.get(usize::from(*number)),
            _ => None,
        };
        let escrow = |at: usize| Some(unjoin::algebra::Escrow { e1: element(at)?, e2: element(at + 1)? });
        let verdict = match kind {
            Kind::Enrolment => {
                let enrolment = Enrolment::from_bytes(message).ok()?;
                let (issuer, account) = (Name::new(part(0)).ok()?, Name::new(part(1)).ok()?);
                let nonce = &array(2)?;
                enrolment.verify(EnrolmentContext { issuer: &issuer, account: &account, nonce }, random)
            }
            Kind::Request => TokenRequest::from_bytes(message).ok()?.verify(&element(0)?, random),
            Kind::Grant => {
                let grant = Grant::from_bytes(message).ok()?;
                let scope = Scope::new(array(2)?, Name::new(part(3)).ok()?, number(4)?);
                grant.verify(pair(0)?.issuer_key.public(), &scope, &element(1)?, random).map(drop)
            }
            Kind::Presentation => {
                let (presentation, escrow_key) =
                    (Presentation::from_bytes(message).ok()?, EscrowKey::new(element(1)?));
                presentation.verify(&pair(0)?.issuer_key, &escrow_key, &array(2)?, random)
            }
            Kind::Author => {
                let proof = unjoin::token::AuthorProof::from_bytes(message).ok()?;
                let (id, escrow_key) = (unjoin::token::ReviewId(array(0)?), EscrowKey::new(element(5)?));
                proof.verify(&id, number(1)?, &array(2)?, &escrow(3)?, &escrow_key, random)
            }
            Kind::Share => {
                let share = DecryptionShare::from_bytes(message).ok()?;
                let [committee] = part(0) else { return None };
                let (committee, _) = KEYS.committees.get(usize::from(*committee))?;
                let action = match part(2) {
                    [1] => WarrantAction::SameAuthor,
                    [2] => WarrantAction::Open,
                    _ => return None,
                };
                let (warrant_digest, subject, escrow) = (array(1)?, array(3)?, escrow(4)?);
                share.verify(committee, &ShareContext { warrant_digest, action, subject, escrow }, random)
            }
            Kind::Accepted => {
                let accepted = Accepted::from_bytes(message).ok()?;
                let presentation = Presentation::from_bytes(part(3)).ok()?;
                let (key, digest) = (pair(0)?.issuer_key.public(), array(2)?);
                let escrow_key = EscrowKey::new(element(1)?);
                let verdict = accepted.verify(key, &escrow_key, &presentation, &digest, random);
                if verdict.is_ok() {
                    // Less is asked of it alone.
                    assert!(accepted.verify_alone(key, &presentation, &digest, random).is_ok());
                }
                verdict
            }
        };
        Some(verdict.is_ok())
    }

    /// Where the message's fields lie.
    pub fn fields(&self, kind: Kind) -> Vec<core::ops::Range<usize>> {
        // The merchant of a scope at offset 2 + `before`, key id first.
        let merchant = |before: usize| {
            let at = 2 + before + 32;
            usize::from(u16::from_le_bytes([self.message[at], self.message[at + 1]]))
        };
        let mut sizes = vec![1, 1];
        match kind {
            Kind::Enrolment => sizes.extend([32; 3]),
            Kind::Request => {
                sizes.extend([16, 32, 2, merchant(16), 8]);
                sizes.extend([32; 6]);
            }
            Kind::Grant => sizes.extend([32; 5]),
            Kind::Presentation => {
                sizes.extend([32, 2, merchant(0), 8]);
                sizes.extend([32; 14]);
            }
            Kind::Author => {
                sizes.extend([1, 32, 8]);
                sizes.extend([32; 6]);
            }
            Kind::Share => {
                sizes.extend([2, 4]);
                sizes.extend([32; 4]);
            }
            Kind::Accepted => sizes.extend([32; 3]),
        }
        let mut from = 0;
        let ranges = sizes.into_iter().map(|size| {
            from += size;
            from - size..from
        });
        let ranges: Vec<_> = ranges.collect();
        assert_eq!(from, self.message.len());
        ranges
    }
}
