//! The directory: which wallet key is whose.
//!
//! A wallet key and an account lie in two buckets, so a binding takes two commits. The key is
//! claimed first. A crash in between leaves a key that is bound to nobody yet and can be bound
//! to no other account, and the retry completes it.

use super::rows::{AccountRow, MAX_WALLET_KEYS, OwnerRow, account_key, owner_key};
use super::{Core, Decision, IssuerError};
use unjoin_core::Name;
use unjoin_core::algebra::Element;
use unjoin_core::entry::{BindingEntry, Ledger};
use unjoin_core::token::{Enrolment, EnrolmentContext, binding_blind};
use unjoin_core::wire::Message;
use unjoin_core::{DAY, Timestamp};
use unjoin_log::outbox;
use unjoin_store::{Store, StoreError, decide, read};

/// An enrolment with what it must be bound to.
///
/// ```
/// # use unjoin_wallet::Wallet;
/// # use unjoin::{Name, secret::SystemRng, token::EnrolmentContext};
/// use unjoin::issuer::EnrolmentSubmission;
/// # let (rng, issuer, account, nonce) = (&mut SystemRng::new(), Name::new("shop.example")?, Name::new("account-7")?, [9; 32]);
/// # let context = EnrolmentContext { issuer: &issuer, account: &account, nonce: &nonce };
/// # let sent = Wallet::generate(rng).enrol(context, rng)?;
/// // The account and the nonce are the session's; the device sends the rest.
/// let submission = EnrolmentSubmission { account: account.clone(), nonce, enrolment: sent };
/// assert!(submission.enrolment.verify(context, rng).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct EnrolmentSubmission {
    /// The account that is logged in.
    pub account: Name,
    /// The nonce that the host chose for this enrolment.
    pub nonce: [u8; 32],
    /// The device's message.
    pub enrolment: Enrolment,
}

/// Whose a wallet key is, with what opens the logged commitment to it.
///
/// ```
/// use unjoin::{Name, issuer::BoundAccount};
/// let bound = BoundAccount { account: Name::new("account-7")?, blind: [5; 32] };
/// // It answers one opening, and goes into no log.
/// assert_eq!(format!("{bound:?}"), "BoundAccount(..)");
/// # Ok::<(), unjoin::NameError>(())
/// ```
pub struct BoundAccount {
    /// The account.
    pub account: Name,
    /// The 32 bytes that open the commitment in its [`BindingEntry`].
    pub blind: [u8; 32],
}

unjoin_core::opaque!(BoundAccount);

impl<S: Store> Core<S> {
    pub(super) fn enrol(&self, submissions: &[EnrolmentSubmission]) -> Vec<Result<(), IssuerError>> {
        let (now, mut rng) = (self.now(), self.environment.rng());
        let prove = |EnrolmentSubmission { account, nonce, enrolment }: &EnrolmentSubmission| {
            let context = EnrolmentContext { issuer: &self.config.name, account, nonce };
            let verified = enrolment.verify(context, &mut *rng);
            let wallet_key = *enrolment.wallet_key();
            let interval = self.config.re_enrolment_interval;
            verified.map_err(|_| IssuerError::ProofRefused)?;
            let now = now.clone()?;
            Ok(WalletBinding { account: account.clone(), wallet_key, now, interval })
        };
        let proven: Vec<Result<WalletBinding, IssuerError>> = submissions.iter().map(prove).collect();
        let claims = proven.into_iter().map(|binding| Ok(self.claim(binding?)));
        let claimed = self.decide(claims);
        let bindings = claimed.into_iter().map(|binding| Ok(self.bind(binding?)));
        self.decide(bindings)
    }

    /// First commit: the key is this account's.
    fn claim(&self, binding: WalletBinding) -> Decision<'_, WalletBinding> {
        let key = owner_key(&binding.wallet_key);
        Decision::new(key.clone(), move |owner, change| {
            let account = read(&*self.store, &account_key(&binding.account))?;
            binding.judge(owner.as_ref(), account.as_ref())?;
            if owner.is_none() {
                change.put(&key, &OwnerRow { account: Some(binding.account.clone()) });
            }
            Ok(binding.clone())
        })
    }

    /// Second commit: the account's live key is this one, and the openings ledger will hold a
    /// commitment to that.
    fn bind(&self, binding: WalletBinding) -> Decision<'_, ()> {
        let key = account_key(&binding.account);
        Decision::new(key.clone(), move |row: Option<AccountRow>, change| {
            // Read after the account's row: an erasure disowns the keys before it deletes that row.
            let owner = read(&*self.store, &owner_key(&binding.wallet_key))?;
            let owner = owner.ok_or(IssuerError::WalletKeyTaken)?;
            if binding.judge(Some(&owner), row.as_ref())? {
                return Ok(());
            }
            let WalletBinding { account, wallet_key, now, .. } = &binding;
            let mut wallets = row.map(|row| row.wallets).unwrap_or_default();
            match wallets.iter().position(|known| known == wallet_key) {
                // One of the account's earlier wallets: its commitment stays.
                Some(at) => {
                    let known = wallets.remove(at);
                    wallets.push(known);
                }
                None => {
                    wallets.push(*wallet_key);
                    let blind = binding_blind(&self.master, account, wallet_key);
                    let entry = BindingEntry::new(account, wallet_key, &blind);
                    outbox::put(change, Ledger::Openings, entry.to_bytes());
                }
            }
            change.put(&key, &AccountRow { wallets, enrolled_by: next_midnight(*now) });
            Ok(())
        })
    }

    pub(super) fn account_of(&self, wallet_key: &Element) -> Result<Option<BoundAccount>, IssuerError> {
        let owner = read(&*self.store, &owner_key(wallet_key))?;
        let Some(account) = owner.and_then(|owner| owner.account) else { return Ok(None) };
        let row = read(&*self.store, &account_key(&account))?;
        let wallets = row.map(|row| row.wallets).unwrap_or_default();
        let blind = binding_blind(&self.master, &account, wallet_key);
        Ok(wallets.contains(wallet_key).then_some(BoundAccount { account, blind }))
    }

    pub(super) fn wallet_keys(&self, account: &Name) -> Result<Vec<Element>, IssuerError> {
        Ok(read(&*self.store, &account_key(account))?.map(|row| row.wallets).unwrap_or_default())
    }

    /// The keys are disowned first: a crash in between leaves keys of nobody, and the retry
    /// finds them in the account's row.
    pub(super) fn erase_account(&self, account: &Name) -> Result<(), IssuerError> {
        const ROUNDS: usize = 16;
        let key = account_key(account);
        for _ in 0..ROUNDS {
            let Some(disowned) = read(&*self.store, &key)? else { return Ok(()) };
            let keys = disowned.wallets.iter().map(|wallet_key| Ok(disown(account, wallet_key)));
            self.decide(keys).into_iter().collect::<Result<(), _>>()?;
            // If a wallet was bound meanwhile, its key is disowned in the next round.
            let deleted = decide(&*self.store, key.clone(), |row, change| {
                let is_unchanged = row.as_ref() == Some(&disowned);
                if is_unchanged {
                    change.delete(&key);
                }
                Ok::<_, IssuerError>(is_unchanged)
            })?;
            if deleted {
                return Ok(());
            }
        }
        Err(StoreError::Contended.into())
    }
}

/// An account and the wallet that it enrols.
#[derive(Clone)]
struct WalletBinding {
    account: Name,
    wallet_key: Element,
    now: Timestamp,
    interval: u64,
}

impl WalletBinding {
    /// Whether the account may take the key now; `Ok(true)` if it has it already.
    fn judge(&self, owner: Option<&OwnerRow>, account: Option<&AccountRow>) -> Result<bool, IssuerError> {
        if owner.is_some_and(|owner| owner.account.as_ref() != Some(&self.account)) {
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
        let known = row.wallets.contains(&self.wallet_key);
        if !known && row.wallets.len() >= MAX_WALLET_KEYS {
            return Err(IssuerError::TooManyWalletKeys);
        }
        Ok(false)
    }
}

/// The end of the UTC day of `time`: what is stored of a time that only an age is reckoned from.
pub(super) fn next_midnight(time: Timestamp) -> Timestamp {
    time.saturating_sub(time.as_unix_seconds() % DAY).saturating_add(DAY)
}

/// The wallet key of an erased account: nobody's, for ever.
fn disown<'a>(account: &'a Name, wallet_key: &Element) -> Decision<'a, ()> {
    let key = owner_key(wallet_key);
    Decision::new(key.clone(), move |owner: Option<OwnerRow>, change| {
        if owner.is_none_or(|owner| owner.account.as_ref() == Some(account)) {
            change.put(&key, &OwnerRow { account: None });
        }
        Ok(())
    })
}
