//! What can be wrong with what passes the door, or with a key of it.

use unjoin_core::describe_errors;
use unjoin_log::PolicyError;

describe_errors! {
    /// Why something was not sealed, opened or believed.
    ///
    /// ```
    /// use unjoin_core::{Timestamp, error::Audience};
    /// use unjoin_door::{DoorError, Gateway};
    /// let (gateway, now) = (Gateway::new("desk.example", 1 << 20)?, Timestamp::from_unix_seconds(1_700_000_000));
    /// let error = gateway.open(b"too short", now).unwrap_err();
    /// assert_eq!((error.code(), error.audience()), ("door.length", Audience::Device));
    /// assert_eq!(error, DoorError::Length);
    /// # Ok::<(), DoorError>(())
    /// ```
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum DoorError (Device, false) {
        /// No key configuration of the one suite, or a key that nothing can be sealed to.
        Config => "door.config",
            "this is no key configuration of X25519, HKDF-SHA256 and ChaCha20-Poly1305: take a newer key from \
             the ledger";
        /// The name of the door's host is none.
        Authority => "door.authority" (Host, false),
            "a door's host has a name of 1 to 63 characters of a to z, 0 to 9, dot, colon and hyphen";
        /// A request or an answer of another length.
        Length => "door.length", "requests at the door have one length, and so have answers: this one has another";
        /// A request under a key that the gateway does not have: not yet, not any more, or never.
        UnknownKey => "door.unknown_key",
            "the gateway has no such key: take the newest from the ledger, and seal the question anew";
        /// It was not sealed to this key, or not for this question, or was changed.
        Sealed => "door.sealed", "this does not open: seal the question anew";
        /// The gateway has had this very request.
        Replayed => "door.replayed", "the gateway has had this request: every retry is sealed anew";
        /// The answer is not one of the door's.
        Answer => "door.answer", "what the gateway sealed is no answer of the door's: ask again later";
        /// The entry is no key of the door's.
        NoKeyEntry => "door.no_key_entry", "the entry is not one of a key of the door";
        /// The entry is not in the ledger, or its checkpoint is not of this time.
        NotLogged(#[from] error: PolicyError) => "door.not_logged" (Device, true),
            "the key does not stand in the ledger that everybody sees: {error}";
        /// The platform did not sign the entry.
        KeySignature => "door.key_signature", "the platform did not sign the entry of this key";
        /// The key does not hold from one boundary to another.
        KeyOffGrid => "door.key_off_grid",
            "a key of the door holds from one boundary to another, and this one has a date of its own";
        /// The key has ended.
        KeyEnded => "door.key_ended", "the key has ended: take the newest from the ledger";
        /// The ledger shows more keys at once than there may be.
        TooManyKeys => "door.too_many_keys",
            "the ledger shows more than two keys of the door at once: tell the auditors, somebody may be marked \
             by one";
        /// The pieces are not those of one bundle.
        Bundle => "door.bundle" (Device, true),
            "the pieces are not those of one bundle: fetch them all again, at another time";
    }
}
