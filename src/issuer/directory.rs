//! The directory: which wallet key is whose.
//!
//! A wallet key and an account lie in two buckets, so a binding takes two commits. The key is
//! claimed first: a crash in between leaves a key that is bound to nobody yet and can be bound
//! to no other account, and the retry completes it.

use super::rows::{AccountRow, ClaimRow, MAX_WALLET_KEYS, StoredRow, Wallet, account_key, claim_key, raw};
use super::{Desk, IssuerError};
use crate::algebra::Element;
use crate::ledger::{BindingEntry, Ledger, outbox};
use crate::name::Name;
use crate::secret::SecretBytes;
use crate::store::decide::{Decision, Step, run, run_one};
use crate::store::{Commit, RowKey, Store, StoreError};
use crate::time::{DAY, Timestamp};
use crate::token::{Enrolment, EnrolmentContext, binding_commitment};
use crate::wire::Message;
use core::fmt;

/// An enrolment with what it must be bound to.
#[derive(Clone, Debug)]
pub struct EnrolmentSubmission {
    /// The account that is logged in.
    pub account: Name,
    /// The nonce that the host chose for this enrolment.
    pub nonce: [u8; 32],
    /// The device's message.
    pub enrolment: Enrolment,
}

/// Whose a wallet key is, with what opens the logged commitment to it
/// ([`binding_commitment`]).
pub struct BoundAccount {
    /// The account.
    pub account: Name,
    /// The 32 random bytes of the commitment.
    pub blind: [u8; 32],
}

impl fmt::Debug for BoundAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoundAccount(..)")
    }
}

impl<S: Store> Desk<S> {
    pub(super) fn enrol(&self, submissions: &[EnrolmentSubmission]) -> Vec<Result<(), IssuerError>> {
        let (now, mut rng) = (self.environment.now(), self.environment.rng());
        let mut claims = Vec::with_capacity(submissions.len());
        for EnrolmentSubmission { account, nonce, enrolment } in submissions {
            let context = EnrolmentContext { issuer: &self.config.name, account, nonce };
            let verified = enrolment.verify(context, &mut *rng);
            let binding = Binding {
                account: account.clone(),
                wallet_key: *enrolment.wallet_key(),
                blind: *SecretBytes::<32>::random(&mut *rng).expose(),
                now,
                interval: self.config.re_enrolment_interval,
            };
            claims.push(verified.map(|()| Claim(binding)).map_err(|_| IssuerError::ProofRefused));
        }
        let bindings = self.decide(claims).into_iter().map(|claimed| claimed.map(Bind)).collect();
        self.decide(bindings)
    }

    pub(super) fn account_of(&self, wallet_key: &Element) -> Result<Option<BoundAccount>, IssuerError> {
        let claim = ClaimRow::read(&self.store.read(&[claim_key(wallet_key)])?, 0)?;
        let Some(account) = claim.and_then(|claim| claim.account) else { return Ok(None) };
        let row = AccountRow::read(&self.store.read(&[account_key(&account)])?, 0)?;
        let wallets = row.map(|row| row.wallets).unwrap_or_default();
        let bound = wallets.into_iter().find(|wallet| &wallet.wallet_key == wallet_key);
        Ok(bound.map(|wallet| BoundAccount { account, blind: wallet.blind }))
    }

    /// The keys are disowned first: a crash in between leaves keys of nobody, and the retry
    /// finds them in the account's row.
    pub(super) fn erase_account(&self, account: &Name) -> Result<(), IssuerError> {
        const ROUNDS: usize = 16;
        let key = account_key(account);
        for _ in 0..ROUNDS {
            let rows = self.store.read(std::slice::from_ref(&key))?;
            let Some(read) = raw(&rows, 0) else { return Ok(()) };
            let wallets = AccountRow::from_value(read)?.wallets;
            let mut disown: Vec<Disown> = wallets
                .iter()
                .map(|wallet| Disown { account: account.clone(), wallet_key: wallet.wallet_key })
                .collect();
            run(&*self.store, &mut disown).into_iter().collect::<Result<Vec<()>, _>>()?;
            let commit = Commit::new(key.bucket).delete(key.key.clone());
            if run_one(&*self.store, IfUnchanged { key: key.clone(), read: Some(read.to_vec()), commit })? {
                return Ok(());
            }
        }
        Err(StoreError::Contended.into())
    }
}

/// A commit that holds only if a row is as it was read; the answer is whether it was.
pub(super) struct IfUnchanged {
    pub(super) key: RowKey,
    pub(super) read: Option<Vec<u8>>,
    pub(super) commit: Commit,
}

impl Decision for IfUnchanged {
    type Answer = bool;

    fn keys(&self) -> Vec<RowKey> {
        vec![self.key.clone()]
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<bool>, StoreError> {
        let read = self.read.as_deref();
        if raw(rows, 0) != read {
            return Ok(Step::Answer(false));
        }
        Ok(Step::Commit(self.commit.clone().expect(&self.key.key, read), true))
    }
}

/// An account and the wallet key that it enrols.
struct Binding {
    account: Name,
    wallet_key: Element,
    blind: [u8; 32],
    now: Timestamp,
    interval: u64,
}

impl Binding {
    fn keys(&self) -> Vec<RowKey> {
        vec![claim_key(&self.wallet_key), account_key(&self.account)]
    }

    /// Whether the account may take the key now; `Ok(true)` if it has it already.
    fn judge(&self, claim: Option<&ClaimRow>, account: Option<&AccountRow>) -> Result<bool, IssuerError> {
        if claim.is_some_and(|claim| claim.account.as_ref() != Some(&self.account)) {
            return Err(IssuerError::WalletKeyTaken);
        }
        let Some(row) = account else { return Ok(false) };
        if row.live() == Some(&self.wallet_key) {
            return Ok(true);
        }
        let from = row.enrolled_by.saturating_add(self.interval);
        if self.now < from {
            return Err(IssuerError::ReEnrolmentTooEarly { from });
        }
        let known = row.wallets.iter().any(|wallet| wallet.wallet_key == self.wallet_key);
        if !known && row.wallets.len() >= MAX_WALLET_KEYS {
            return Err(IssuerError::TooManyWalletKeys);
        }
        Ok(false)
    }
}

/// First commit: the key is this account's.
struct Claim(Binding);

impl Decision for Claim {
    type Answer = Result<Binding, IssuerError>;

    fn keys(&self) -> Vec<RowKey> {
        self.0.keys()
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<Self::Answer>, StoreError> {
        let Self(binding) = self;
        let claim = ClaimRow::read(rows, 0)?;
        if let Err(error) = binding.judge(claim.as_ref(), AccountRow::read(rows, 1)?.as_ref()) {
            return Ok(Step::Answer(Err(error)));
        }
        let claimed = Binding { account: binding.account.clone(), ..*binding };
        if claim.is_some() {
            return Ok(Step::Answer(Ok(claimed)));
        }
        let RowKey { bucket, key } = claim_key(&binding.wallet_key);
        let row = ClaimRow { account: Some(binding.account.clone()) };
        Ok(Step::Commit(Commit::new(bucket).expect(&key, None).put(key, row.to_value()), Ok(claimed)))
    }
}

/// Second commit: the account's live key is this one, and the openings ledger will hold a
/// commitment to that.
struct Bind(Binding);

impl Decision for Bind {
    type Answer = Result<(), IssuerError>;

    fn keys(&self) -> Vec<RowKey> {
        self.0.keys()
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<Self::Answer>, StoreError> {
        let Self(binding) = self;
        let Some(claim) = ClaimRow::read(rows, 0)? else {
            return Ok(Step::Answer(Err(IssuerError::WalletKeyTaken)));
        };
        let row = AccountRow::read(rows, 1)?;
        match binding.judge(Some(&claim), row.as_ref()) {
            Ok(true) => return Ok(Step::Answer(Ok(()))),
            Ok(false) => {}
            Err(error) => return Ok(Step::Answer(Err(error))),
        }
        let RowKey { bucket, key } = account_key(&binding.account);
        let commit = Commit::new(bucket).expect(&key, raw(rows, 1));
        let mut wallets = row.map(|row| row.wallets).unwrap_or_default();
        let known = wallets.iter().position(|wallet| wallet.wallet_key == binding.wallet_key);
        let commit = match known {
            // One of the account's earlier wallets: its commitment stands.
            Some(at) => {
                let wallet = wallets.remove(at);
                wallets.push(wallet);
                commit
            }
            None => {
                wallets.push(Wallet { wallet_key: binding.wallet_key, blind: binding.blind });
                let commitment = binding_commitment(&binding.account, &binding.wallet_key, &binding.blind);
                outbox::append(commit, Ledger::Openings, BindingEntry { commitment }.to_bytes())
            }
        };
        let row = AccountRow { wallets, enrolled_by: next_midnight(binding.now) };
        Ok(Step::Commit(commit.put(key, row.to_value()), Ok(())))
    }
}

/// The end of the UTC day of `time`: what is stored of a time that only an age is reckoned from.
pub(super) fn next_midnight(time: Timestamp) -> Timestamp {
    time.saturating_sub(time.as_unix_seconds() % DAY).saturating_add(DAY)
}

/// The wallet key of an erased account: nobody's, for ever.
struct Disown {
    account: Name,
    wallet_key: Element,
}

impl Decision for Disown {
    type Answer = ();

    fn keys(&self) -> Vec<RowKey> {
        vec![claim_key(&self.wallet_key)]
    }

    fn decide(&mut self, rows: &[Option<Vec<u8>>]) -> Result<Step<()>, StoreError> {
        let claim = ClaimRow::read(rows, 0)?;
        if claim.is_some_and(|claim| claim.account.as_ref() != Some(&self.account)) {
            return Ok(Step::Answer(()));
        }
        let RowKey { bucket, key } = claim_key(&self.wallet_key);
        let commit = Commit::new(bucket).expect(&key, raw(rows, 0));
        Ok(Step::Commit(commit.put(key, ClaimRow { account: None }.to_value()), ()))
    }
}
