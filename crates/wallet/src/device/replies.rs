//! What the answers do.

use super::order::{Change, Looked, Order, Right};
use super::plan::{LOGGED_WITHIN, Place, context};
use super::{Asked, Device, Reply};
use crate::{ManifestEvidence, WalletError, asking_time, making_up_time};
use rand_core::CryptoRng;
use unjoin_audit::is_as_promised;
use unjoin_core::entry::PublishedEntry;
use unjoin_core::token::{
    ActionKind, ActionReceipt, CohortManifest, DoorAnswer, Grant, Offer, Receipt, ReviewState, Scope,
};
use unjoin_core::wire::{DecodeError, Message, Rule};
use unjoin_core::{DAY, Timestamp};
use unjoin_log::CosignedEntry;

/// With these an order gets no token, whenever it asks.
const NO_TOKEN: [&str; 5] = [
    "issuer.already_granted",
    "issuer.before_recovery",
    "issuer.order_of_another_account",
    "issuer.retired_key",
    "issuer.window_over",
];
/// Of these, the ones after which there may be a review all the same, of the wallet as it was before it was restored.
const LAPSED: [&str; 3] = ["issuer.before_recovery", "issuer.retired_key", "issuer.window_over"];
/// The most cohorts that are tried for a review.
const TRIES: usize = 32;
/// So many refusals of an action, in a row, end it.
const REFUSALS: u8 = 8;

impl Device {
    /// Takes what became of the action of this number. A refusal or a lost answer is no error: it is sent again, or not, as
    /// it should be.
    ///
    /// # Errors
    /// [`WalletError::NotAsked`] when nothing of this number is in flight (a duplicate, or too late): nothing changed.
    /// [`WalletError::Answer`] when these bytes are no answer to it; what the wallet refuses in an offer, a grant, a
    /// manifest or a receipt, as [`Wallet`](crate::Wallet) has it. Then it is asked again later; a receipt that does not
    /// fit is evidence, so keep the answer.
    pub fn handle(
        &mut self,
        number: u32,
        reply: Reply,
        now: Timestamp,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), WalletError> {
        self.notice(now);
        let asked_there = |place: &Place| {
            let flight = self.task(*place)?.in_flight.as_ref()?;
            (flight.number == number).then_some((*place, flight.asked))
        };
        let found = self.places().iter().find_map(asked_there);
        let (place, asked) = found.ok_or(WalletError::NotAsked)?;
        // What does not go well below has failed.
        if let Some(task) = self.task_mut(place) {
            task.fail();
        }
        let answered = match reply {
            Reply::Lost => {
                self.lose_answered(place);
                Ok(())
            }
            Reply::Refused(code) => {
                self.refused(place, asked, &code, now, rng);
                Ok(())
            }
            Reply::Manifests(manifests) if asked == Asked::Manifests => self.manifests(&manifests, now, rng),
            Reply::Published(entries) if asked == Asked::Published => self.published(place, &entries),
            Reply::Manifests(_) | Reply::Published(_) => Err(not("bundle")),
            Reply::Answer(bytes) => self.answered(place, asked, &bytes, now, rng),
        };
        if answered.is_err() {
            self.lose_answered(place);
        }
        answered
    }

    /// As `lose`, where the failure is counted already.
    fn lose_answered(&mut self, place: Place) {
        let failed = self.task(place).map_or(0, |task| task.failed);
        self.lose(place);
        if let Some(task) = self.task_mut(place) {
            task.failed = failed;
        }
    }

    fn answered(
        &mut self,
        place: Place,
        asked: Asked,
        bytes: &[u8],
        now: Timestamp,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), WalletError> {
        let Place::Order(index) = place else {
            match asked {
                Asked::Nonce => {
                    self.enrolment.nonce = Some(bytes.try_into().map_err(|_| not("nonce"))?);
                }
                Asked::Enrolment if bytes.is_empty() => {
                    (self.enrolment.done, self.enrolment.nonce) = (true, None);
                }
                Asked::Enrolment => return Err(not("enrolment's answer")),
                _ => return Err(not("list of manifests")),
            }
            self.enrolment.task.succeed();
            return Ok(());
        };
        let order = self.orders.get_mut(index).ok_or(WalletError::UnknownOrder)?;
        match (asked, &order.right) {
            (Asked::Offer, _) => {
                let offer = Offer::from_bytes(bytes).map_err(WalletError::Answer)?;
                let asked = self.wallet.request(
                    &self.issuer,
                    &order.merchant,
                    order.handle,
                    &offer,
                    &self.trust,
                    rng,
                )?;
                order.right = Right::Offered { offer, asked: Some(asked) };
                order.task.succeed();
                Ok(())
            }
            (Asked::Grant, _) => {
                let grant = Grant::from_bytes(bytes).map_err(WalletError::Answer)?;
                let missing = Right::Missing { later: false, made_up: true };
                let Right::Offered { asked: Some((pending, _)), .. } =
                    core::mem::replace(&mut order.right, missing)
                else {
                    return Err(WalletError::NotAsked);
                };
                order.right = Right::Held(self.wallet.finish(pending, &grant, rng)?);
                order.task.succeed();
                Ok(())
            }
            _ => self.passed_the_door(index, asked, bytes, now),
        }
    }

    fn passed_the_door(
        &mut self,
        index: usize,
        asked: Asked,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<(), WalletError> {
        let answer = DoorAnswer::from_bytes(bytes).map_err(WalletError::Answer)?;
        let order = self.orders.get_mut(index).ok_or(WalletError::UnknownOrder)?;
        if answer.status() != 200 {
            let code = core::str::from_utf8(answer.body()).map_err(|_| not("error"))?;
            order.refused_at_the_door(asked, code);
            return Ok(());
        }
        let body = answer.body();
        match asked {
            Asked::Submission => {
                let receipt = Receipt::from_bytes(body).map_err(WalletError::Answer)?;
                let sending = order.sending.as_ref().ok_or(WalletError::NotAsked)?;
                order.state = Some(sending.scheduled.check_receipt(&receipt, &self.trust, now)?);
                (order.receipt, order.sending, order.looked) = (Some(receipt), None, Looked::NotYet);
            }
            Asked::Action => {
                let receipt = ActionReceipt::from_bytes(body).map_err(WalletError::Answer)?;
                let acting = order.acting.as_ref().ok_or(WalletError::NotAsked)?;
                acting.action.check_receipt(&receipt, &self.trust, now)?;
                order.settle(now);
                if let (Some(acting), Some(state)) = (order.acting.take(), order.state.take()) {
                    order.state = Some(state.after(&acting.action.action));
                    let (boundary, review) = (receipt.boundary(), acting.review);
                    order.waiting = Some(Change { boundary, review, receipt: Some(receipt) });
                }
            }
            Asked::State => {
                let state = ReviewState::from_bytes(body).map_err(WalletError::Answer)?;
                let tried = match &order.right {
                    Right::Lapsed(Some(scopes)) => scopes.last(),
                    _ => None,
                };
                let tried = tried
                    .and_then(|scope| context(&self.wallet, &self.issuer, &self.trust, scope, order.handle));
                let right = match (&tried, &order.right) {
                    (Some(tried), _) => tried,
                    (None, Right::Held(token)) => &token.order,
                    (None, Right::Authored(context)) => context,
                    _ => return Err(WalletError::NotAsked),
                };
                if state.review_id != self.wallet.review_id(right)? {
                    return Err(WalletError::AnotherReview);
                }
                if let Some(tried) = tried {
                    order.right = Right::Authored(tried);
                }
                order.adopt(state, now);
            }
            _ => return Err(not("answer of the door")),
        }
        order.task.succeed();
        Ok(())
    }

    fn manifests(
        &mut self,
        manifests: &[ManifestEvidence],
        now: Timestamp,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), WalletError> {
        let mut outcome = Ok(());
        // Where a review of before may be, in the order in which cohorts end.
        let mut cohorts: Vec<(Timestamp, Scope)> = Vec::new();
        for evidence in manifests {
            let Some(scope) = claimed_scope(evidence) else {
                outcome = outcome.and(Err(WalletError::ManifestNotLogged));
                continue;
            };
            let lapsed = |order: &Order| {
                matches!(order.right, Right::Lapsed(None)) && &order.merchant == scope.merchant()
            };
            if let Some((_, escrow_key)) = self.trust.pair_of(&scope)
                && self.orders.iter().any(lapsed)
            {
                let checked = evidence.check(&self.trust, &scope, escrow_key);
                outcome = outcome.and(checked.map(|manifest| {
                    let end = manifest.publications.last();
                    let at = cohorts.partition_point(|(before, _)| *before <= end);
                    cohorts.insert(at, (end, scope.clone()));
                }));
            }
            for order in self.orders.iter_mut().filter(|order| order.waits_for_manifest()) {
                let taken = match &order.right {
                    Right::Held(token) if token.scope() == &scope => {
                        evidence.check(&self.trust, &scope, token.escrow_key()).and_then(|manifest| {
                            order.manifest = Some(manifest);
                            order.present(&self.wallet, &self.trust, rng)
                        })
                    }
                    // The cohort that its customer was in is sealed, perhaps: the next one has room.
                    Right::Missing { later: true, .. } if &order.merchant == scope.merchant() => {
                        order.right = Right::Missing { later: false, made_up: false };
                        order.task.at = Some(asking_time(now, rng));
                        Ok(())
                    }
                    _ => Ok(()),
                };
                outcome = outcome.and(taken);
            }
        }
        for order in self.orders.iter_mut().filter(|order| matches!(order.right, Right::Lapsed(None))) {
            let own = cohorts.iter().filter(|(_, scope)| scope.merchant() == &order.merchant);
            let newest = own.rev().take(TRIES).map(|(_, scope)| scope.clone());
            let mut scopes: Vec<Scope> = newest.collect();
            // A list without manifests says nothing.
            if !manifests.is_empty() {
                scopes.reverse();
                order.right = if scopes.is_empty() { Right::Refused } else { Right::Lapsed(Some(scopes)) };
                order.task.succeed();
            }
        }
        // One that does not hold is no reason to fetch all of them again before the next boundary.
        self.fetch.succeed();
        outcome
    }

    /// Looks for what was promised in all that the ledger shows of its boundary.
    fn published(&mut self, place: Place, entries: &[CosignedEntry]) -> Result<(), WalletError> {
        let Place::Order(index) = place else { return Err(WalletError::NotAsked) };
        let policy = self.trust.ledger().ok_or(WalletError::LedgerNotPinned)?;
        let order = self.orders.get_mut(index).ok_or(WalletError::UnknownOrder)?;
        let boundary = order.receipt.as_ref().map(|receipt| receipt.terms().publish_by);
        let boundary = boundary.or(order.manifest.as_ref().map(|manifest| manifest.publications.first()));
        let from = boundary.ok_or(WalletError::NotAsked)?.saturating_add(LOGGED_WITHIN);
        // Of a time at which what was promised must be there; the witnesses' clock says so.
        let is_whole = |entry: &CosignedEntry| {
            entry.verify_under(policy).is_ok_and(|logged| logged.quorum.median_time >= from)
        };
        if !entries.first().is_some_and(is_whole) {
            return Err(WalletError::NotLogged);
        }
        let mut found = Looked::ForNothing;
        if let (Some(receipt), Some(scope)) = (&order.receipt, order.scope()) {
            // Taken back while it was held, it does not appear.
            let taken_back = order.withdrawn || order.waiting.as_ref().is_some_and(|it| it.review.is_none());
            found = if taken_back { Looked::ForNothing } else { Looked::Missing };
            for entry in entries {
                let Ok(published) = PublishedEntry::from_bytes(entry.claimed_entry()) else { continue };
                if published.review_id != receipt.terms().review_id {
                    continue;
                }
                entry.verify(policy).map_err(|_| WalletError::NotLogged)?;
                let is_kept = is_as_promised(&published, receipt, scope);
                found = if is_kept { Looked::Found } else { Looked::FoundChanged };
                break;
            }
        }
        order.looked = found;
        order.task.succeed();
        Ok(())
    }

    fn refused(
        &mut self,
        place: Place,
        asked: Asked,
        code: &str,
        now: Timestamp,
        rng: &mut (impl CryptoRng + ?Sized),
    ) {
        let Place::Order(index) = place else {
            self.lose_answered(place);
            return;
        };
        let Some(order) = self.orders.get_mut(index) else { return };
        match asked {
            Asked::Offer | Asked::Grant if self.restored && LAPSED.contains(&code) => {
                order.right = Right::Lapsed(None);
                order.task.succeed();
            }
            Asked::Offer | Asked::Grant if NO_TOKEN.contains(&code) => order.right = Right::Refused,
            Asked::Offer | Asked::Grant => {
                let later = code == "issuer.later";
                order.right = Right::Missing { later, made_up: true };
                if later {
                    order.task.succeed();
                    order.task.at = Some(making_up_time(now.saturating_add(DAY), rng));
                }
                if code == "issuer.not_enrolled" {
                    self.enrolment.done = false;
                }
            }
            // The door's refusals are answers; others are failures on the way to it.
            _ => {}
        }
    }
}

impl Order {
    fn refused_at_the_door(&mut self, asked: Asked, code: &str) {
        match (asked, code) {
            // No such review, or not in this state: what is not there needs no asking.
            (Asked::State, "desk.refused" | "desk.unknown_review")
                if matches!(self.right, Right::Lapsed(_)) =>
            {
                self.try_next();
            }
            (Asked::State, "desk.refused" | "desk.unknown_review") => {
                self.asks_state = false;
                if !self.was_sent() {
                    self.task.succeed();
                }
            }
            (Asked::Submission, "desk.spent" | "desk.withdrawn")
            | (Asked::Action, "desk.out_of_sequence" | "desk.withdrawn") => {
                self.asks_state = true;
                self.task.succeed();
            }
            (Asked::Action, "desk.too_many_actions") if self.action_kind() == Some(ActionKind::Edit) => {
                self.acting = None;
                self.task.succeed();
            }
            (Asked::Action, "desk.refused") if self.task.failed >= REFUSALS => {
                (self.acting, self.wish) = (None, None);
                self.task.succeed();
            }
            _ => {}
        }
    }
}

/// The scope that a manifest claims to be of.
fn claimed_scope(evidence: &ManifestEvidence) -> Option<Scope> {
    match evidence {
        ManifestEvidence::Signed(manifest) => Some(manifest.claimed_scope().clone()),
        ManifestEvidence::Cosigned(entry) => {
            CohortManifest::from_bytes(entry.claimed_entry()).ok().map(|manifest| manifest.scope)
        }
    }
}

/// What came is not this.
fn not(message: &'static str) -> WalletError {
    WalletError::Answer(DecodeError { message, field: "answer", rule: Rule::Kind })
}
