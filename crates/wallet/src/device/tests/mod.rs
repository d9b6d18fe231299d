//! Devices against a platform that is nothing but its keys and what it was sent.

mod ledger;
mod model;
mod opening;
mod rules;

use super::*;
use ledger::{Insider, Ledger};
use std::collections::BTreeMap;
use unjoin_core::algebra::EscrowKey;
use unjoin_core::secret::SecretBytes;
use unjoin_core::token::{
    ActionReceipt, AuthorAction, AuthorKey, CohortManifest, Digest, DoorAnswer, DoorMessage, DoorQuestion,
    EnrolmentContext, Grant, IssuerKey, Offer, PlatformKey, PublicationDates, Receipt, ReceiptTerms,
    ReviewId, ReviewStanding, ReviewState, Scope,
};
use unjoin_core::wire::Message;
use unjoin_core::{DAY, Grid, WEEK};
use unjoin_test_util::Seeded;

/// A Monday.
const START: Timestamp = Timestamp::from_unix_seconds(1_700_438_400);
const MERCHANTS: u8 = 2;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// So many days after the start.
fn day(days: u64) -> Timestamp {
    START.saturating_add(days * DAY)
}

/// The platform, honest, with true time.
struct World {
    rng: Seeded,
    issuer_key: IssuerKey,
    escrow_key: EscrowKey,
    platform_key: PlatformKey,
    enrolled: bool,
    /// Of each order the scope and the commitment that was granted.
    granted: BTreeMap<[u8; 16], (Scope, Vec<u8>)>,
    reviews: BTreeMap<[u8; 32], Kept>,
    /// When each merchant's first cohort is sealed; from then on one a week.
    sealed: Timestamp,
    /// Where manifests and publications stand; without one the platform signs manifests.
    ledger: Option<Ledger>,
    insider: Insider,
    /// No order gets a token any more.
    is_over: bool,
}

struct Kept {
    scope: Scope,
    /// It was not withdrawn while it was held.
    appears: bool,
    author_key: AuthorKey,
    receipt: Receipt,
    first_digest: Digest,
    state: ReviewState,
    actions: Vec<(AuthorAction, ActionReceipt)>,
}

/// An order: `number` tells its merchant.
fn order(number: u8) -> (Name, OrderHandle) {
    (name(&format!("merchant-{}", number % MERCHANTS)), OrderHandle([number + 1; 16]))
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Seeded(seed);
        let issuer_key = IssuerKey::generate(&mut rng);
        let escrow_key = EscrowKey::new(*IssuerKey::generate(&mut rng).public().element());
        let platform_key = PlatformKey::generate(&mut rng);
        let (granted, reviews) = (BTreeMap::new(), BTreeMap::new());
        let (ledger, insider) = (None, Insider::Honest);
        let (enrolled, sealed, is_over) = (false, day(3), false);
        Self {
            rng,
            issuer_key,
            escrow_key,
            platform_key,
            enrolled,
            granted,
            reviews,
            sealed,
            ledger,
            insider,
            is_over,
        }
    }

    fn trust(&self) -> TrustRoots {
        let trust = TrustRoots::new(self.platform_key.public(), 20, Grid::Daily)
            .pin(*self.issuer_key.public(), self.escrow_key)
            .unwrap();
        match &self.ledger {
            Some(ledger) => trust.require_ledger(ledger.policy.clone()),
            None => trust,
        }
    }

    fn device(&mut self) -> Device {
        Device::create(Wallet::generate(&mut self.rng), name("issuer"), name("ann"), self.trust())
    }

    fn scope(&self, merchant: &Name, cohort: u64) -> Scope {
        Scope::new(*self.issuer_key.public().id(), merchant.clone(), cohort)
    }

    fn sealed_at(&self, scope: &Scope) -> Timestamp {
        self.sealed.saturating_add(scope.cohort() * WEEK)
    }

    fn dates(&self, scope: &Scope) -> PublicationDates {
        PublicationDates::starting(self.sealed_at(scope).saturating_add(DAY)).unwrap()
    }

    fn manifests(&self, since: Timestamp, now: Timestamp) -> Vec<ManifestEvidence> {
        let cohorts = (0..MERCHANTS).flat_map(|number| (0..80).map(move |cohort| (number, cohort)));
        let scopes = cohorts.map(|(number, cohort)| self.scope(&order(number).0, cohort));
        let there = scopes.filter(|scope| (since..=now).contains(&self.sealed_at(scope)));
        let manifests = there.map(|scope| {
            let publications = self.dates(&scope);
            let escrow_id = *self.escrow_key.id();
            CohortManifest { scope, escrow_id, at_least: 20, publications }
        });
        match &self.ledger {
            Some(ledger) => {
                let entries: Vec<_> = manifests.map(|manifest| manifest.to_bytes()).collect();
                ledger.evidence(&entries, now).into_iter().map(ManifestEvidence::Cosigned).collect()
            }
            None => manifests
                .map(|manifest| ManifestEvidence::Signed(manifest.sign(&self.platform_key).unwrap()))
                .collect(),
        }
    }

    fn answer(&mut self, request: &Request, now: Timestamp) -> Reply {
        match request {
            Request::Nonce => Reply::Answer(vec![7; 32]),
            Request::Enrol { nonce, enrolment } => {
                let (issuer, account) = (name("issuer"), name("ann"));
                let context = EnrolmentContext { issuer: &issuer, account: &account, nonce };
                enrolment.verify(context, &mut self.rng).unwrap();
                self.enrolled = true;
                Reply::Answer(Vec::new())
            }
            Request::Offer { .. } if self.is_over => Reply::Refused("issuer.window_over".into()),
            Request::Offer { merchant, handle } => match self.scope_for(merchant, *handle, now) {
                None => Reply::Refused("issuer.later".into()),
                Some(scope) => {
                    let (issuer_key, escrow_key) = (*self.issuer_key.public(), self.escrow_key);
                    Reply::Answer(Offer { handle: *handle, scope, issuer_key, escrow_key }.to_bytes())
                }
            },
            Request::Grant(request) => {
                assert!(self.enrolled);
                let asked = (request.scope().clone(), request.commitment().as_bytes().to_vec());
                let merchant = request.scope().merchant().clone();
                if self.scope_for(&merchant, request.handle(), now).as_ref() != Some(request.scope()) {
                    return Reply::Refused("issuer.later".into());
                }
                // One record an order, for ever.
                let kept = self.granted.entry(*request.handle().as_bytes()).or_insert(asked.clone());
                assert!(*kept == asked, "another token was asked for");
                let (scope, commitment) = (request.scope(), request.commitment());
                let grant = Grant::issue(&self.issuer_key, scope, commitment, &mut self.rng);
                Reply::Answer(grant.unwrap().to_bytes())
            }
            Request::Manifests { since } => Reply::Manifests(self.manifests(*since, now)),
            Request::Published { boundary, .. } => Reply::Published(self.bundle(*boundary, now)),
            Request::Door(message) => {
                let message = DoorMessage::from_bytes(message).unwrap();
                let asked = self.ask(message.into_question(), now);
                let answer = asked.map_or_else(|code| DoorAnswer::refused(400, code), DoorAnswer::accepted);
                Reply::Answer(answer.to_bytes())
            }
        }
    }

    /// An account is in a cohort with at most one order.
    fn scope_for(&self, merchant: &Name, handle: OrderHandle, now: Timestamp) -> Option<Scope> {
        if let Some((scope, _)) = self.granted.get(handle.as_bytes()) {
            return Some(scope.clone());
        }
        let open = if now < self.sealed { 0 } else { 1 + now.saturating_since(self.sealed) / WEEK };
        let open = self.scope(merchant, open);
        let taken = self.granted.values().any(|(scope, _)| scope == &open);
        (!taken).then_some(open)
    }

    fn ask(&mut self, question: DoorQuestion, now: Timestamp) -> Result<Vec<u8>, &'static str> {
        match question {
            DoorQuestion::Bundle { .. } => panic!("manifests are the app's to fetch"),
            DoorQuestion::Submission { presentation, review } => {
                let review = Review::from_bytes(&review).unwrap();
                let digest = review.digest();
                presentation
                    .verify(&self.issuer_key, &self.escrow_key, &digest, &mut self.rng)
                    .map_err(|_| "desk.refused")?;
                let dates = self.dates(presentation.scope());
                let id = presentation.review_id();
                if let Some(kept) = self.reviews.get(&id.0) {
                    // The wallet keeps its promise: one review a token.
                    assert!(kept.first_digest == digest, "another review was sent with the token");
                    return Ok(kept.receipt.to_bytes());
                }
                let publish_by = dates.after(now).ok_or("desk.window_over")?;
                let terms = ReceiptTerms {
                    review_id: id,
                    review_digest: digest,
                    presentation_hash: presentation.hash(),
                    author_key: *presentation.author_key(),
                    publish_by,
                    era: 1,
                };
                let receipt = Receipt::sign(&self.platform_key, terms).unwrap();
                let state = ReviewState {
                    review_id: id,
                    last_sequence: 0,
                    digest_in_force: digest,
                    standing: ReviewStanding::Held,
                    published_at: publish_by,
                };
                let author_key = *presentation.author_key();
                let (scope, appears, actions) = (presentation.scope().clone(), true, Vec::new());
                let kept = Kept { scope, appears, author_key, receipt, first_digest: digest, state, actions };
                let kept = self.reviews.entry(id.0).or_insert(kept);
                Ok(kept.receipt.to_bytes())
            }
            DoorQuestion::Action { action, review, .. } => {
                let said = *action.statement();
                let kept = self.reviews.get_mut(&said.review_id.0).ok_or("desk.refused")?;
                action.verify(&kept.author_key, &said.review_id).map_err(|_| "desk.refused")?;
                if let Some((_, receipt)) = kept.actions.iter().find(|(before, _)| before == &action) {
                    return Ok(receipt.to_bytes());
                }
                if !said.continues(kept.state.last_sequence, &kept.state.digest_in_force) {
                    return Err("desk.out_of_sequence");
                }
                let held = kept.state.published_at > now;
                let withdraws = review.is_empty();
                if held && !withdraws {
                    return Err("desk.held");
                }
                let boundary = if held { kept.state.published_at } else { Grid::Weekly.nth_after(now, 2) };
                kept.appears &= !(held && withdraws);
                let receipt = ActionReceipt::sign(&self.platform_key, &action, boundary, 1).unwrap();
                kept.state = kept.state.clone().after(&action);
                kept.actions.push((action, receipt.clone()));
                Ok(receipt.to_bytes())
            }
            DoorQuestion::State { question, .. } => {
                let today = Grid::Daily.at_or_before(now);
                let kept = self.reviews.get(&question.review_id().0).ok_or("desk.refused")?;
                question.verify(&kept.author_key).map_err(|_| "desk.refused")?;
                if today != Some(question.date()) {
                    return Err("desk.refused");
                }
                Ok(kept.state.to_bytes())
            }
        }
    }
}

fn review(number: u8) -> Review {
    Review::new(1 + number % 5, format!("Words, {number}."), vec![]).unwrap()
}

/// The id of the review of an order that has a token.
fn review_id(device: &Device, number: u8) -> Option<ReviewId> {
    let handle = order(number).1;
    let token = device.orders.iter().find(|order| order.handle == handle)?.token()?;
    device.wallet.review_id(token).ok()
}

/// Wakes the device whenever it said so, and answers everything, until then.
fn calm(world: &mut World, device: &mut Device, from: Timestamp, until: Timestamp) -> u64 {
    let (mut now, mut steps) = (from, 0);
    while now < until {
        steps += 1;
        let actions = device.next(now, &mut Seeded(now.as_unix_seconds() ^ steps));
        let coming = actions.iter().filter(|action| action.request.is_none()).map(|action| action.at);
        let coming = coming.min().unwrap_or(until);
        let due: Vec<Action> = actions.into_iter().filter(|action| action.request.is_some()).collect();
        for action in &due {
            let reply = world.answer(action.request.as_ref().unwrap(), now);
            let _ = device.handle(action.number, reply, now, &mut Seeded(steps));
        }
        now = if due.is_empty() { coming.max(now.saturating_add(1)) } else { now };
    }
    steps
}
