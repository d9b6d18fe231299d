use crate::{PoolError, SlotKeyError};
use std::sync::Arc;
use unjoin_core::{ClockError, describe_errors};
use unjoin_store::StoreError;
use unjoin_store::queue::QueueError;

describe_errors! {
    /// Why the switchboard did not do what it was asked. Nothing rings that did not before, and
    /// nothing is bound.
    ///
    /// ```
    /// # use unjoin_phone::test_util::{LIFE, START, order, parties, switchboard};
    /// use unjoin_core::error::Audience;
    /// use unjoin_phone::{Binding, SwitchboardError};
    /// # let directory = unjoin_test_util::Directory::new();
    /// # let (board, parties) = (switchboard(directory.file("slot-keys")), parties(1, 2));
    /// let too_long = START.saturating_add(LIFE + 1);
    /// let error = board.bind(Binding::merchant(order("merchant 17", "order 4711"), parties, too_long)).wait().unwrap_err();
    /// assert!(matches!(error, SwitchboardError::EndTooFar { max_life: LIFE }));
    /// assert_eq!((error.audience(), error.is_retryable()), (Audience::Host, false));
    /// ```
    #[derive(Clone, Debug)]
    #[non_exhaustive]
    pub enum SwitchboardError (Host, false) {
        /// The configuration breaks a rule.
        Config(rule: &'static str) => "switchboard.config" (Operator, false), "a switchboard needs {rule}";
        /// The operating system refused a thread.
        Threads(source: Arc<std::io::Error>) => "switchboard.threads" (Operator, true),
            "the operating system refused a worker thread ({source}): free some and open the switchboard again";
        /// Both parties have the same phone.
        SameParty => "switchboard.same_party", "both parties have one phone: there is nothing to bind";
        /// A party's phone is itself a number of the pool.
        PartyInPool => "switchboard.party_in_pool",
            "a party's phone is a virtual number of the pool: give the real one";
        /// A party's phone is none that may be called.
        CalleeBarred => "switchboard.callee_barred",
            "a party's phone is a service or in a country that is not called: give another, or allow its country \
             in the configuration";
        /// A merchant may call the customer by a ticket only.
        MerchantDirection => "switchboard.merchant_direction",
            "a merchant may call the customer by a ticket only: bind from customer to merchant, and open a ticket";
        /// The end, or a ticket's end, has passed.
        EndPassed => "switchboard.end_passed", "the end has passed: give one that lies ahead";
        /// The end, or a ticket's end, lies further ahead than the longest life.
        EndTooFar {
            /// The longest life, in seconds.
            max_life: u64,
        } => "switchboard.end_too_far",
            "the end, in seconds since 1970, may lie {max_life} s ahead at most: give an earlier one, and extend \
             later";
        /// The end lies beyond the number's total life.
        TotalLife {
            /// The longest total life, in seconds.
            max_total_life: u64,
        } => "switchboard.total_life",
            "a number lives {max_total_life} s at most, extensions included: bind a new order, or replace the \
             number";
        /// The leg is live between other parties.
        DifferentParties => "switchboard.different_parties",
            "the order has a live number between other phones: replace it if they changed";
        /// The leg has another number by now than the one to be replaced.
        Superseded => "switchboard.superseded",
            "the number to be replaced was replaced before: look at the present one";
        /// The leg has ended, for ever.
        Ended => "switchboard.ended", "the number has ended and never comes back";
        /// The order's numbers were closed, for ever.
        OrderClosed => "switchboard.order_closed", "the order's numbers were closed: it never gets another";
        /// The leg was never live.
        UnknownBinding => "switchboard.unknown_binding", "the order has no such number: bind it first";
        /// The merchant's leg is kept closed.
        KeptClosed => "switchboard.kept_closed",
            "this customer's numbers stay closed to merchants: no ticket opens them";
        /// The merchant was cut off while the number was being made.
        CutOff => "switchboard.cut_off" (Host, true),
            "the merchant was cut off meanwhile: ask again if it is to have numbers all the same";
        /// The slot keys were replaced since the number was made: it rings no more.
        KeysReplaced => "switchboard.keys_replaced",
            "the slot keys were replaced after a recovery, which ended the number: bind it again";
        /// The order's numbers are closed, and the keeper has not deleted yet what it should have.
        NotErased => "switchboard.not_erased" (Operator, true),
            "the order's numbers are closed, but slot keys that are due are still there: see why the keeper does \
             not rotate, and close again";
        /// This process has older slot keys than others have, or its clock is behind and it sees fewer slots.
        KeysBehind => "switchboard.keys_behind" (Operator, true),
            "this process has slot keys of before a recovery, or sees fewer slots than another does: give it the \
             present keys, and see its clock";
        /// No pool has this label.
        UnknownPool => "switchboard.unknown_pool",
            "the switchboard has no pool of this label: name one that it was opened with";
        /// The business has used up its slices: of the pool that was asked for, and of its fallbacks.
        PoolExhausted {
            /// The label of the pool that was asked for.
            pool: String,
            /// What it would need.
            source: PoolError,
        } => "switchboard.pool_exhausted" (Operator, true), "pool {pool}: {source}";
        /// A pool cannot be used.
        Pool(#[from] source: PoolError) => "switchboard.pool" (Operator, false), "{source}";
        /// There are no slot keys.
        Keys(#[from] source: SlotKeyError) => "switchboard.keys" (Operator, false), "{source}";
        but Self::Keys(source @ (
            SlotKeyError::Clock(ClockError::Behind { .. }) | SlotKeyError::InUse
            | SlotKeyError::EncryptionUnavailable | SlotKeyError::File(_) | SlotKeyError::Unreachable
        )) => "switchboard.keys" (Operator, true), "{source}";
        /// The queue did not take the request.
        Queue(#[from] source: QueueError) => "switchboard.queue" (Operator, true), "{source}";
        /// The store failed; a retry finds whatever was decided.
        Store(#[from] source: StoreError) => "switchboard.store" (Operator, true), "{source}";
        but Self::Store(StoreError::Corrupt(what)) => "switchboard.store_corrupt" (Operator, false),
            "{}", StoreError::Corrupt(what);
    }
}
