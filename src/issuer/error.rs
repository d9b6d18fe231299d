use crate::recovery::RecoveryError;
use unjoin_core::token::SignError;
use unjoin_core::{ClockError, Timestamp, describe_errors};
use unjoin_store::StoreError;
use unjoin_store::queue::QueueError;

describe_errors! {
    /// Why the issuer did not do what it was asked. Nothing was changed, unless it says otherwise.
    ///
    /// ```
    /// use unjoin::{Audience, issuer::IssuerError};
    /// // The device asks again, later, and nobody is woken.
    /// let error = IssuerError::Later;
    /// assert_eq!((error.code(), error.audience()), ("issuer.later", Audience::Device));
    /// assert!(error.is_retryable());
    /// ```
    #[derive(Debug)]
    #[non_exhaustive]
    pub enum IssuerError (Device, false) {
        /// The configuration breaks a rule.
        Config(rule: &'static str) => "issuer.config" (Operator, false),
            "the issuer's configuration is refused: {rule}";
        /// The store has to be recovered first.
        Recovery(source: RecoveryError) => "issuer.recovery" (Operator, false), "{source}";
        /// The operating system refused a thread.
        Threads(source: std::io::Error) => "issuer.threads" (Operator, true),
            "the operating system refused a worker thread ({source}): free some and open the issuer again";
        /// No such order was reported for the merchant.
        UnknownOrder => "issuer.unknown_order" (Device, true), "no such order was reported: ask again once it is due";
        /// The order belongs to another account.
        OrderOfAnotherAccount => "issuer.order_of_another_account",
            "the order belongs to another account: log in with the account that ordered";
        /// The order was reported before it was due.
        NotDue => "issuer.not_due" (Host, true), "report the order once it is due";
        /// The order was reported before, with another account or due time, or with another class that is
        /// frozen.
        OrderDiffers => "issuer.order_differs" (Host, false),
            "the order was reported with other facts, which are frozen: report the same again or nothing";
        /// The order's numbers have not ended, or not long enough ago.
        NotEligible => "issuer.not_eligible" (Device, true),
            "the order's numbers have not ended, or not long enough ago: wait until the application wakes you";
        /// The account has another order in the cohort that gathers now.
        Later => "issuer.later" (Device, true),
            "the account has another order in the cohort that gathers now: ask again once that cohort has its \
             manifest";
        /// The host's order id has 0 bytes or too many.
        OrderIdLength {
            /// The bytes that were given.
            length: usize,
        } => "issuer.order_id_length" (Host, false),
            "an order id has 1 to {} bytes, not {length}: hash longer ones", super::MAX_ORDER_ID;
        /// The outcome class is not in use.
        UnknownClass => "issuer.unknown_class" (Host, false),
            "the outcome class is not in use: add it to the configuration";
        /// Something is known of the merchant's class already.
        MerchantKnown => "issuer.merchant_known" (Host, false),
            "the merchant's class has been counted already: a past is stated before its first order is granted";
        /// More past counts than are kept.
        TooManyCounts => "issuer.too_many_counts" (Host, false),
            "a past has the counts of {} periods of 60 days at most: state the latest", super::rate::PERIODS;
        /// The scope is of another class, or was never on offer.
        WrongScope => "issuer.wrong_scope", "the scope was never on offer for this order: ask for its offer";
        /// The key ring has no key with this id.
        UnknownKey => "issuer.unknown_key" (Operator, true),
            "the key ring lacks a key that is in use: keep retired keys in the ring, and hand every instance the \
             same";
        /// The key issues nothing new.
        RetiredKey => "issuer.retired_key", "the key issues nothing new: ask for the order's next offer";
        /// The cohort takes no further grants.
        CohortClosed => "issuer.cohort_closed", "the cohort is full: ask for the order's next offer";
        /// The order has a grant for another scope or commitment.
        AlreadyGranted => "issuer.already_granted",
            "the order has its token: ask again with the very request that was granted";
        /// The window of the order's token has ended.
        WindowOver => "issuer.window_over",
            "the order's token was granted and its window has ended: no review can be written with it any more";
        /// The order was due before an older copy of the store was put back, and has no record of a grant.
        BeforeRecovery => "issuer.before_recovery",
            "the order service had to go on from an older copy, and whether this order had its token is not \
             known any more: it gets none, like every order that was due before";
        /// The account has no wallet.
        NotEnrolled => "issuer.not_enrolled", "the account has no wallet: enrol first";
        /// The proof does not hold.
        ProofRefused => "issuer.proof_refused",
            "the proof does not hold for this account and context: make it again with the enrolled wallet";
        /// The wallet key belongs, or belonged, to another account.
        WalletKeyTaken => "issuer.wallet_key_taken",
            "the wallet's key belongs to another account, for ever: enrol with a fresh wallet";
        /// The account enrolled another wallet too recently.
        ReEnrolmentTooEarly {
            /// From when on it is possible.
            from: Timestamp,
        } => "issuer.re_enrolment_too_early" (Device, true),
            "another wallet can be enrolled from {} (seconds UTC) on", from.as_unix_seconds();
        /// The account has had as many wallets as it may.
        TooManyWalletKeys => "issuer.too_many_wallet_keys" (Host, false),
            "an account may have {} wallets in its life", super::MAX_WALLET_KEYS;
        /// The order's numbers were reported dead at another time.
        NumbersDeadDiffers => "issuer.numbers_dead_differs" (Host, false),
            "the order's numbers were reported dead at another time: numbers end once";
        /// The time lies too far ahead to be meant.
        TimeOutOfRange => "issuer.time_out_of_range" (Host, false),
            "the time lies more than a year ahead: give seconds since 1970, UTC";
        /// The clock stands too far from that of the last tick: nothing was sealed.
        Clock(#[from] source: ClockError) => "issuer.clock_ahead" (Operator, false), "{source}";
        but Self::Clock(source @ ClockError::Behind { .. }) => "issuer.clock_behind" (Operator, true), "{source}";
        /// The host's key management did not sign a manifest: the boundary is worked off by the next tick
        /// that gets one.
        Sign(#[from] source: SignError) => "issuer.signing" (Operator, true), "{source}";
        /// The queue did not take the request.
        Queue(#[from] source: QueueError) => "issuer.queue" (Operator, true), "{source}";
        /// The store failed; a retry finds whatever was decided.
        Store(#[from] source: StoreError) => "issuer.store_unusable" (Operator, false), "{source}";
        but Self::Store(StoreError::Corrupt(what)) => "issuer.store_corrupt" (Operator, false),
            "{}", StoreError::Corrupt(what);
        but Self::Store(source @ (StoreError::Engine(_) | StoreError::Contended | StoreError::InUse)) => "issuer.store" (Operator, true),
            "{source}";
    }
}

impl IssuerError {
    /// [`StoreError::ends_the_tick`], and a signature that is missing: the boundary is worked off when it is there.
    pub(crate) fn ends_the_tick(&self) -> bool {
        matches!(self, Self::Sign(_)) || matches!(self, Self::Store(error) if error.ends_the_tick())
    }

    /// A failed store ends the tick; anything else is an operator's, and of one cohort or shop.
    pub(super) fn noted_in(self, failed: &mut Vec<Self>) -> Result<(), Self> {
        if self.ends_the_tick() {
            return Err(self);
        }
        failed.push(self);
        Ok(())
    }
}
