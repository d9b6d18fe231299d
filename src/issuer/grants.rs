//! Step 3: one (scope, C) per order, durable before the answer.
//!
//! A batch reads what it needs at once, checks all proofs in one multi-scalar multiplication,
//! decides with one commit a round, and answers from what is stored. The issuing secret is
//! touched last, by constant-time operations only.

use super::orders::owned;
use super::rows::{
    AccountRow, CohortRow, Granted, GrantedPair, MemberRow, OrderRow, account_key, manifest_key, member_key,
    open_key, order_key, set_aside_key,
};
use super::{AccountTag, Core, Decision, IssuerError};
use unjoin_core::algebra::Element;
use unjoin_core::token::{Grant, KeyRing, TokenRequest, verify_requests};
use unjoin_core::{Name, Timestamp};
use unjoin_store::{Store, read};

/// A request with the account that is logged in.
pub(super) struct GrantJob {
    pub(super) account: Name,
    pub(super) request: TokenRequest,
}

impl GrantJob {
    /// The merchant of the scope: the order is looked up there.
    fn merchant(&self) -> &Name {
        self.request.scope().merchant()
    }
}

/// What is known of a request before its proof is checked.
struct Known {
    account: AccountTag,
    /// The account's wallet keys, the live one last.
    wallets: Vec<Element>,
    class: u8,
    granted: bool,
    /// Whether it asks again for the very pair that was granted.
    is_retry: bool,
}

impl<S: Store> Core<S> {
    /// Answers a batch, one result each.
    pub(super) fn grant(&self, jobs: &[GrantJob]) -> Vec<Result<Grant, IssuerError>> {
        let ring = self.ring();
        let (mut known, now) = (self.look_up(jobs, &ring), self.now());
        self.check_proofs(jobs, &mut known);
        let decisions = jobs.iter().zip(known).map(|(job, known)| {
            let (known, now) = (known?, now.clone()?);
            let of_standing = !known.granted && self.standing.of_standing(&job.account, job.merchant());
            Ok(self.grant_order(&job.request, known, of_standing, now, &ring))
        });
        let decided = self.decide(decisions);
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

    /// The cheap checks: the scope's key, the order, the account's wallets.
    fn look_up(&self, jobs: &[GrantJob], ring: &KeyRing) -> Vec<Result<Known, IssuerError>> {
        let order = |job: &GrantJob| {
            let account = self.tag(&job.account, job.merchant());
            let key = order_key(job.merchant(), job.request.handle());
            Ok(Decision::new(key, move |order, _| Ok((account, owned(order, account)?))))
        };
        let wallet = |job: &GrantJob| {
            Ok(Decision::new(account_key(&job.account), |row: Option<AccountRow>, _| {
                row.map(|row| row.wallets).ok_or(IssuerError::NotEnrolled)
            }))
        };
        let orders = self.decide(jobs.iter().map(order));
        let wallets = self.decide(jobs.iter().map(wallet));
        let look_up = |((job, order), wallet): ((&GrantJob, Result<_, _>), Result<_, _>)| {
            let (account, order): (AccountTag, OrderRow) = order?;
            let wallets = wallet?;
            ring.find(job.request.scope().key_id()).ok_or(IssuerError::UnknownKey)?;
            let granted = order.grant.is_some();
            let is_retry = order.grant == Some(Granted::Pair(GrantedPair::of(&job.request)));
            Ok(Known { account, wallets, class: order.class, granted, is_retry })
        };
        jobs.iter().zip(orders).zip(wallets).map(look_up).collect()
    }

    /// Refuses what does not hold for its account's live wallet. A retry may be an earlier wallet's:
    /// the answer that it asks for was given before, perhaps in vain.
    fn check_proofs(&self, jobs: &[GrantJob], known: &mut [Result<Known, IssuerError>]) {
        let mut rng = self.environment.rng();
        let (positions, checks): (Vec<usize>, Vec<_>) = jobs
            .iter()
            .zip(known.iter())
            .enumerate()
            .filter_map(|(at, (job, known))| {
                Some((at, (&job.request, *known.as_ref().ok()?.wallets.last()?)))
            })
            .unzip();
        let Err(bad) = verify_requests(&checks, &mut *rng) else { return };
        for position in bad.into_iter().filter_map(|bad| positions.get(bad)) {
            let (Some(job), Some(known)) = (jobs.get(*position), known.get_mut(*position)) else { continue };
            let mut holds_for =
                |wallet: &Element| verify_requests(&[(&job.request, *wallet)], &mut *rng).is_ok();
            let is_earlier_wallets = known
                .as_ref()
                .is_ok_and(|known| known.is_retry && known.wallets.iter().rev().skip(1).any(&mut holds_for));
            if !is_earlier_wallets {
                *known = Err(IssuerError::ProofRefused);
            }
        }
    }

    /// Tells a device whose cohort is sealed from one that asks for what it was never offered.
    fn closed_or_never_offered(&self, job: &GrantJob, error: IssuerError) -> IssuerError {
        if !matches!(error, IssuerError::CohortClosed) {
            return error;
        }
        let (merchant, cohort) = (job.merchant(), job.request.scope().cohort());
        match read(&*self.store, &(set_aside_key(merchant, cohort), manifest_key(merchant, cohort))) {
            Ok((None, None)) => IssuerError::WrongScope,
            Ok(_) => error,
            Err(failure) => failure.into(),
        }
    }
}

impl<S: Store> Core<S> {
    /// The decision: its row is the order's, which the request itself names, so a request whose
    /// answer was lost finds its own effect.
    fn grant_order<'a>(
        &'a self,
        request: &TokenRequest,
        known: Known,
        of_standing: bool,
        now: Timestamp,
        ring: &'a KeyRing,
    ) -> Decision<'a, ()> {
        let (scope, handle, account, class) = (request.scope(), request.handle(), known.account, known.class);
        let (merchant, cohort, key_id) = (scope.merchant(), scope.cohort(), *scope.key_id());
        let pair = GrantedPair::of(request);
        let (order_at, open_at) = (order_key(merchant, handle), open_key(merchant, class));
        let member_at = member_key(merchant, cohort, account);
        let reads = (order_at.clone(), open_at, member_at.clone());
        Decision::new(reads, move |(order, open, member): (_, Option<CohortRow>, _), change| {
            let order = owned(order, account)?;
            match &order.grant {
                Some(Granted::Pair(granted)) if *granted == pair => return Ok(()),
                Some(Granted::Pair(_)) => return Err(IssuerError::AlreadyGranted),
                Some(Granted::Over) => return Err(IssuerError::WindowOver),
                None => {
                    self.refuse_before_recovery(order.due_at)?;
                    order.may_be_granted(class, now)?;
                }
            }
            if !ring.may_issue(&key_id) {
                return Err(IssuerError::RetiredKey);
            }
            if open.is_none_or(|row| (row.key_id, row.cohort) != (key_id, cohort)) {
                return Err(IssuerError::CohortClosed);
            }
            if member.is_some() {
                return Err(IssuerError::Later);
            }
            change.put(&order_at, &OrderRow { grant: Some(Granted::Pair(pair.clone())), ..order });
            change.put(&member_at, &MemberRow { handle, of_standing });
            Ok(())
        })
    }
}
