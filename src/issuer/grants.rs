//! Step 3: one (scope, C) per order, durable before the answer.
//!
//! A batch reads what it needs at once, checks all proofs in one multi-scalar multiplication,
//! decides with one commit a round, and answers from what is stored. The issuing secret is
//! touched last, by constant-time operations only.

use super::orders::owned;
use super::rows::{
    AccountRow, CohortRow, GrantedPair, MemberRow, OrderRow, StoredRow, account_key, manifest_key,
    member_key, open_key, order_key, raw, sealed_key,
};
use super::{AccountTag, Desk, IssuerError, fail_all};
use crate::algebra::Element;
use crate::name::Name;
use crate::store::decide::{Decision, Step};
use crate::store::{Commit, RowKey, Store, StoreError};
use crate::token::{Grant, KeyRing, TokenRequest, verify_requests};

/// A request with the account that is logged in and the merchant that it asks at.
pub(super) struct GrantJob {
    pub(super) account: Name,
    pub(super) merchant: Name,
    pub(super) request: TokenRequest,
}

/// What is known of a request before its proof is checked.
struct Known {
    account: AccountTag,
    wallet_key: Element,
    class: u8,
    granted: bool,
}

impl<S: Store> Desk<S> {
    /// Answers a batch, one result each.
    pub(super) fn grant(&self, jobs: &[GrantJob]) -> Vec<Result<Grant, IssuerError>> {
        let ring = self.ring();
        let mut known = self.look_up(jobs, &ring);
        self.check_proofs(jobs, &mut known);
        let decisions = jobs.iter().zip(known).map(|(job, known)| {
            let known = known?;
            let of_standing = !known.granted && self.standing.of_standing(&job.account, &job.merchant);
            Ok(GrantOrder { request: &job.request, known, of_standing, ring: &ring })
        });
        let decided = self.decide(decisions.collect());
        let mut rng = self.environment.rng();
        let answer = |(job, decided): (&GrantJob, Result<(), IssuerError>)| {
            let (scope, commitment) = (job.request.scope(), job.request.commitment());
            decided.map_err(|error| self.closed_or_never_offered(job, error))?;
            let pair = ring.find(scope.key_id()).ok_or(IssuerError::UnknownKey)?;
            // Fails in the negligible case x + e = 0 only.
            Grant::issue(&pair.issuer_key, scope, commitment, &mut *rng)
                .map_err(|_| IssuerError::ProofRefused)
        };
        jobs.iter().zip(decided).map(answer).collect()
    }

    /// The cheap checks: the scope's merchant and key, the order, the account's live wallet.
    fn look_up(&self, jobs: &[GrantJob], ring: &KeyRing) -> Vec<Result<Known, IssuerError>> {
        let keys: Vec<RowKey> = jobs
            .iter()
            .flat_map(|job| [order_key(&job.merchant, job.request.handle()), account_key(&job.account)])
            .collect();
        let rows = match self.store.read(&keys) {
            Ok(rows) => rows,
            Err(failure) => return fail_all(failure, jobs.len()),
        };
        let look_up = |(position, job): (usize, &GrantJob)| {
            if job.request.scope().merchant() != &job.merchant {
                return Err(IssuerError::WrongScope);
            }
            let account = self.tag(&job.account, &job.merchant);
            let order = owned(OrderRow::read(&rows, 2 * position)?, account)?;
            let wallets = AccountRow::read(&rows, 2 * position + 1)?;
            let live = wallets.as_ref().and_then(AccountRow::live);
            let wallet_key = *live.ok_or(IssuerError::NotEnrolled)?;
            ring.find(job.request.scope().key_id()).ok_or(IssuerError::UnknownKey)?;
            Ok(Known { account, wallet_key, class: order.class, granted: order.grant.is_some() })
        };
        jobs.iter().enumerate().map(look_up).collect()
    }

    /// Refuses what does not hold for its account's live wallet.
    fn check_proofs(&self, jobs: &[GrantJob], known: &mut [Result<Known, IssuerError>]) {
        let (positions, checks): (Vec<usize>, Vec<_>) = jobs
            .iter()
            .zip(known.iter())
            .enumerate()
            .filter_map(|(at, (job, known))| Some((at, (&job.request, known.as_ref().ok()?.wallet_key))))
            .unzip();
        let Err(bad) = verify_requests(&checks, &mut *self.environment.rng()) else { return };
        for position in bad.into_iter().filter_map(|bad| positions.get(bad)) {
            if let Some(known) = known.get_mut(*position) {
                *known = Err(IssuerError::ProofRefused);
            }
        }
    }

    /// Tells a device whose cohort closed from one that asks for what it was never offered.
    fn closed_or_never_offered(&self, job: &GrantJob, error: IssuerError) -> IssuerError {
        if !matches!(error, IssuerError::CohortClosed) {
            return error;
        }
        let cohort = job.request.scope().cohort();
        let keys = [sealed_key(&job.merchant, cohort), manifest_key(&job.merchant, cohort)];
        match self.store.read(&keys) {
            Ok(rows) if rows.iter().all(Option::is_none) => IssuerError::WrongScope,
            Ok(_) => error,
            Err(failure) => failure.into(),
        }
    }
}

/// The decision: its row is the order's, which the request itself names, so a request whose
/// answer was lost finds its own effect.
struct GrantOrder<'a> {
    request: &'a TokenRequest,
    known: Known,
    of_standing: bool,
    ring: &'a KeyRing,
}

impl GrantOrder<'_> {
    fn pair(&self) -> GrantedPair {
        let scope = self.request.scope();
        let commitment = *self.request.commitment().as_bytes();
        GrantedPair { key_id: *scope.key_id(), cohort: scope.cohort(), commitment }
    }

    /// The order with its grant; `None` if it has this one already.
    fn judge(
        &self,
        order: Option<OrderRow>,
        open: Option<&CohortRow>,
    ) -> Result<Option<OrderRow>, IssuerError> {
        let (order, pair) = (owned(order, self.known.account)?, self.pair());
        match &order.grant {
            Some(granted) if *granted == pair => return Ok(None),
            Some(_) => return Err(IssuerError::AlreadyGranted),
            None => {}
        }
        if !self.ring.may_issue(&pair.key_id) {
            return Err(IssuerError::RetiredKey);
        }
        if open.is_none_or(|row| (&row.key_id, row.cohort) != (&pair.key_id, pair.cohort)) {
            return Err(IssuerError::CohortClosed);
        }
        Ok(Some(OrderRow { grant: Some(pair), ..order }))
    }
}

impl Decision for GrantOrder<'_> {
    type Answer = Result<(), IssuerError>;

    fn keys(&self) -> Vec<RowKey> {
        let merchant = self.request.scope().merchant();
        vec![order_key(merchant, self.request.handle()), open_key(merchant, self.known.class)]
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<Self::Answer>, StoreError> {
        let open = CohortRow::read(rows, 1)?;
        let order = match self.judge(OrderRow::read(rows, 0)?, open.as_ref()) {
            Ok(Some(order)) => order,
            Ok(None) => return Ok(Step::Answer(Ok(()))),
            Err(error) => return Ok(Step::Answer(Err(error))),
        };
        let (merchant, handle) = (self.request.scope().merchant(), self.request.handle());
        let RowKey { bucket, key } = order_key(merchant, handle);
        let member = MemberRow { account: self.known.account, of_standing: self.of_standing };
        let commit = Commit::new(bucket)
            .expect(&key, raw(rows, 0))
            .expect(&open_key(merchant, self.known.class).key, raw(rows, 1))
            .put(key, order.to_value())
            .put(member_key(merchant, self.request.scope().cohort(), handle).key, member.to_value());
        Ok(Step::Commit(commit, Ok(())))
    }
}
