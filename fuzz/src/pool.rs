//! A platform, its wallets, and valid messages of every proving kind: made once, from fixed
//! randomness, so that an input means the same in every run.

use std::sync::{Arc, LazyLock};
use unjoin::Name;
use unjoin::algebra::EscrowKey;
use unjoin::opening::same_author::{
    Blind, BlindingFactor, ComparedReviews, ComparisonContext, ComparisonShare,
};
use unjoin::opening::{Committee, DecryptionShare, ShareContext, TrusteeShare, insecure_test_dealer};
use unjoin::secret::SecretBytes;
use unjoin::token::{
    Accepted, AuthorAction, AuthorKey, Enrolment, EnrolmentContext, Grant, IssuerKey, KeyPair, KeyRing,
    Offer, OrderHandle, PlatformKey, Presentation, Review, ReviewId, ReviewStanding, ReviewState, Scope,
    StateQuestion, TokenRequest,
};
use unjoin::wire::Message;
use unjoin::{DAY, Timestamp};
use unjoin_test_util::Seeded;
use unjoin_wallet::{AuthorRequest, Token, TrustRoots, Wallet};

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
        ring = ring.with(IssuerKey::generate(random), escrow_key(at)).unwrap();
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
            ring.with(key, escrow).unwrap()
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
        let (pending, request) = wallet
            .request(&issuer(), offer.scope.merchant(), offer.handle, &offer, &KEYS.trust(), random)
            .unwrap();
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
    State,
    Blind,
    Comparison,
}

impl Kind {
    pub const ALL: [Self; 10] = [
        Self::Enrolment,
        Self::Request,
        Self::Grant,
        Self::Presentation,
        Self::Author,
        Self::Share,
        Self::Accepted,
        Self::State,
        Self::Blind,
        Self::Comparison,
    ];
}

/// A message with all that its verifier is told besides, as strings of bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Case {
    pub message: Vec<u8>,
    pub context: Vec<Vec<u8>>,
}

pub static CASES: LazyLock<[Vec<Case>; 10]> = LazyLock::new(|| {
    [
        enrolments(),
        requests(),
        grants(),
        presentations(),
        authors(),
        shares(),
        accepted(),
        questions(),
        blinds(),
        comparisons(),
    ]
});

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

fn day(number: u64) -> Timestamp {
    Timestamp::from_unix_seconds(number * DAY)
}

fn authors() -> Vec<Case> {
    let of = |author: &'static Author| {
        let (edited, same) = (review(2), review(0));
        let author_key = *author.present(&review(0), 1).author_key();
        let id = author.wallet.review_id(&author.token).unwrap();
        let requests = [
            (0, AuthorRequest::Withdraw),
            (0, AuthorRequest::Edit(&edited)),
            (7, AuthorRequest::Edit(&edited)),
            (1, AuthorRequest::Edit(&same)),
        ];
        requests.map(|(last_sequence, request)| {
            let state = ReviewState {
                review_id: id,
                last_sequence,
                digest_in_force: review(0).digest(),
                standing: ReviewStanding::Published,
                published_at: day(9),
            };
            let random = &mut Seeded(last_sequence);
            let signed = author.wallet.act(&author.token, &state, request, day(10), random).unwrap();
            let context = vec![
                author_key.as_bytes().to_vec(),
                id.as_bytes().to_vec(),
                last_sequence.to_le_bytes().to_vec(),
                state.digest_in_force.to_vec(),
            ];
            case(&signed.action, context)
        })
    };
    AUTHORS.iter().flat_map(of).collect()
}

fn questions() -> Vec<Case> {
    let of = |author: &'static Author| {
        let author_key = author.present(&review(0), 1).author_key().as_bytes().to_vec();
        [day(11), day(12)].map(|now| {
            let question = author.wallet.ask_state(&author.token, now, &mut Seeded(3)).unwrap();
            case(&question, vec![author_key.clone()])
        })
    };
    AUTHORS.iter().flat_map(of).collect()
}

/// The reviews of so many authors, rising by id.
fn compared(count: usize) -> Vec<(ReviewId, unjoin::algebra::Escrow)> {
    let of = |author: &Author| {
        let presentation = author.present(&review(0), 1);
        (presentation.review_id(), *presentation.escrow())
    };
    let mut reviews: Vec<_> = AUTHORS.iter().take(count).map(of).collect();
    reviews.sort_by_key(|(id, _)| *id);
    reviews
}

/// (m, round, member, committee) of each round's message.
const ROUNDS: [(usize, u16, usize, usize); 6] =
    [(2, 1, 0, 0), (2, 1, 1, 0), (2, 2, 0, 0), (3, 1, 0, 1), (3, 1, 0, 2), (8, 1, 2, 2)];

fn blinds() -> Vec<Case> {
    let blind = |(count, round, member, committee): (usize, u16, usize, usize)| {
        let (reviews, share) = (compared(count), &KEYS.committees[committee].1[member]);
        let (digest, random) = ([committee as u8; 32], &mut Seeded(member as u64));
        let all = ComparedReviews::new(reviews.clone()).unwrap();
        let factor = BlindingFactor::derive(share, &digest, round, &all, random);
        let blind = Blind::new(share.index(), round, &factor, &digest, &all, random).unwrap();
        let mut context = vec![round.to_le_bytes().to_vec(), digest.to_vec()];
        for (id, escrow) in &reviews {
            context.extend(
                [id.as_bytes(), escrow.e1.as_bytes(), escrow.e2.as_bytes()].map(|part| part.to_vec()),
            );
        }
        case(&blind, context)
    };
    ROUNDS.map(blind).to_vec()
}

fn comparisons() -> Vec<Case> {
    let share = |(count, round, member, at): (usize, u16, usize, usize)| {
        let (committee, shares) = &KEYS.committees[at];
        let sums: Vec<_> = compared(count).into_iter().map(|(_, escrow)| escrow.e1).collect();
        let (warrant_digest, round_id) = ([at as u8; 32], [round as u8; 32]);
        let context = ComparisonContext { warrant_digest, round_id, sums };
        let random = &mut Seeded(member as u64);
        let answer = ComparisonShare::answer(&shares[member], committee, &context, random).unwrap();
        let mut parts = vec![vec![at as u8], warrant_digest.to_vec(), round_id.to_vec()];
        parts.extend(context.sums.iter().map(|sum| sum.as_bytes().to_vec()));
        case(&answer, parts)
    };
    ROUNDS.map(share).to_vec()
}

fn shares() -> Vec<Case> {
    let mut cases = Vec::new();
    for (at, (committee, shares)) in KEYS.committees.iter().enumerate() {
        for (author, share) in AUTHORS.iter().zip(shares.iter().cycle()) {
            let presentation = author.present(&review(0), 1);
            let (review_id, escrow) = (presentation.review_id(), *presentation.escrow());
            let context = ShareContext { warrant_digest: [at as u8; 32], review_id, escrow };
            let random = &mut Seeded(cases.len() as u64);
            let answer = DecryptionShare::answer(share, committee, &context, random).unwrap();
            let context = vec![
                vec![at as u8],
                context.warrant_digest.to_vec(),
                review_id.as_bytes().to_vec(),
                escrow.e1.as_bytes().to_vec(),
                escrow.e2.as_bytes().to_vec(),
            ];
            cases.push(case(&answer, context));
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
        let committee = |at: usize| match part(at) {
            [number] => KEYS.committees.get(usize::from(*number)).map(|(committee, _)| committee),
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
                let action = AuthorAction::from_bytes(message).ok()?;
                let (key, id) = (AuthorKey(array(0)?), ReviewId(array(1)?));
                if !action.statement().continues(number(2)?, &array(3)?) {
                    return Some(false);
                }
                action.verify(&key, &id)
            }
            Kind::Share => {
                let share = DecryptionShare::from_bytes(message).ok()?;
                let (warrant_digest, review_id, escrow) = (array(1)?, ReviewId(array(2)?), escrow(3)?);
                share.verify(committee(0)?, &ShareContext { warrant_digest, review_id, escrow }, random)
            }
            Kind::State => StateQuestion::from_bytes(message).ok()?.verify(&AuthorKey(array(0)?)),
            Kind::Blind => {
                let blind = Blind::from_bytes(message).ok()?;
                let round = u16::from_le_bytes(part(0).try_into().ok()?);
                let review = |at: usize| Some((ReviewId(array(at)?), escrow(at + 1)?));
                let reviews: Option<Vec<_>> = (2..context.len()).step_by(3).map(review).collect();
                blind.verify(round, &array(1)?, &ComparedReviews::new(reviews?).ok()?, random)
            }
            Kind::Comparison => {
                let share = ComparisonShare::from_bytes(message).ok()?;
                let sums: Option<Vec<_>> = (3..context.len()).map(element).collect();
                let (warrant_digest, round_id, sums) = (array(1)?, array(2)?, sums?);
                share.verify(committee(0)?, &ComparisonContext { warrant_digest, round_id, sums }, random)
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

    /// Where the message's fields lie; `None` when it has another length than they say.
    pub fn fields(&self, kind: Kind) -> Option<Vec<core::ops::Range<usize>>> {
        // A le16 at this offset.
        let number = |at: usize| {
            let bytes = self.message.get(at..at + 2)?;
            Some(usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
        };
        // The merchant of a scope at offset 2 + `before`, key id first.
        let merchant = |before: usize| number(2 + before + 32);
        let mut sizes = vec![1, 1];
        match kind {
            Kind::Enrolment => sizes.extend([32; 3]),
            Kind::Request => {
                sizes.extend([16, 32, 2, merchant(16)?, 8]);
                sizes.extend([32; 6]);
            }
            Kind::Grant => sizes.extend([32; 5]),
            Kind::Presentation => {
                sizes.extend([32, 2, merchant(0)?, 8]);
                sizes.extend([32; 15]);
            }
            Kind::Author => sizes.extend([1, 32, 8, 32, 32, 32, 32]),
            Kind::Share => {
                sizes.extend([2, 4]);
                sizes.extend([32; 4]);
            }
            Kind::Accepted => sizes.extend([32; 3]),
            Kind::State => sizes.extend([32, 8, 32, 32, 32]),
            Kind::Blind => {
                sizes.extend([2, 2, 2]);
                sizes.resize(sizes.len() + 4 + 2 * number(6)?, 32);
            }
            Kind::Comparison => {
                sizes.extend([2, 4, 2]);
                sizes.resize(sizes.len() + 3 + number(8)?, 32);
            }
        }
        let mut from = 0;
        let ranges = sizes.into_iter().map(|size| {
            from += size;
            from - size..from
        });
        let ranges: Vec<_> = ranges.collect();
        (from == self.message.len()).then_some(ranges)
    }
}
