//! Step 6: the author of a review, and nobody else, edits or withdraws it, and asks where it
//! stands.
//!
//! Each token has an Ed25519 key of its own, bound by the presentation. Its signatures can be
//! checked by everybody who reads the ledger, are of no use against the escrow, and outlive it.

use super::{Digest, ReviewId, VerifyError, verdict};
use crate::signature::{Signer, Verifier};
use crate::time::Timestamp;
use crate::wire::Message;
use crate::{fields, message, one_byte, serde_as_bytes};

/// The public half of a token's author key: 32 bytes, opaque until a signature is checked.
///
/// Anybody who presents a token chooses them, so they may be no key at all; then no action is ever
/// accepted. Two reviews with the same bytes are no evidence of one author: anybody may copy them.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// # let shop = Shop::open();
/// # let accepted = shop.accepted();
/// # let action = shop.withdrawal(&accepted);
/// use unjoin_core::token::AuthorKey;
/// let (author, review) = (accepted.sent.presentation.author_key(), accepted.state.review_id);
/// assert!(action.verify(author, &review).is_ok());
/// // Bytes that are no key accept nothing.
/// assert!(action.verify(&AuthorKey([0xff; 32]), &review).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthorKey(pub [u8; 32]);

impl AuthorKey {
    /// A valid key whose secret nobody uses: the base point. What is verified against it costs
    /// what it costs against an author's, and fails.
    #[doc(hidden)]
    pub const NOBODY: Self = {
        let mut base_point = [0x66; 32];
        base_point[0] = 0x58;
        Self(base_point)
    };

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn verify(&self, label: &str, bytes: &[u8], signature: &[u8; 64]) -> Result<(), VerifyError> {
        verdict(Verifier::from_bytes(&self.0).is_some_and(|key| key.verify(label, bytes, signature)))
    }
}

/// What the author asks for.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// # let shop = Shop::open();
/// # let action = shop.withdrawal(&shop.accepted());
/// use unjoin_core::token::ActionKind;
/// let takes_it_back = match action.statement().kind {
///     ActionKind::Withdraw => true,
///     ActionKind::Edit => false,
/// };
/// assert!(takes_it_back);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionKind {
    /// Takes the review back; nothing follows it.
    Withdraw = 1,
    /// Replaces it by one with another digest; by the same digest, it voids what waits.
    Edit = 2,
}

one_byte!(ActionKind: Withdraw, Edit);

/// What an author's action says, checked against what the review service keeps.
///
/// ```
/// use unjoin_core::token::{ActionKind, AuthorStatement, ReviewId};
/// let (in_force, new_digest) = ([1; 32], [2; 32]);
/// let edit = AuthorStatement {
///     kind: ActionKind::Edit,
///     review_id: ReviewId([9; 32]),
///     sequence: 3,
///     previous_digest: in_force,
///     new_digest,
/// };
/// // The third action on these words; not on others, and not twice.
/// assert!(edit.continues(2, &in_force) && !edit.continues(2, &new_digest) && !edit.continues(3, &in_force));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthorStatement {
    /// What is asked for.
    pub kind: ActionKind,
    /// The review.
    pub review_id: ReviewId,
    /// The last accepted sequence number plus one; the first is 1.
    pub sequence: u64,
    /// The last accepted review digest.
    pub previous_digest: Digest,
    /// Edit: the new review's digest. Withdraw: zero.
    pub new_digest: Digest,
}

/// The zero digest of a withdrawn review.
const NO_DIGEST: Digest = [0; 32];

impl AuthorStatement {
    /// Whether this continues a review: `last_sequence` is the last accepted number (0 before
    /// the first), `in_force` the last accepted digest, zero after a withdrawal.
    pub fn continues(&self, last_sequence: u64, in_force: &Digest) -> bool {
        last_sequence.checked_add(1) == Some(self.sequence)
            && &self.previous_digest == in_force
            && in_force != &NO_DIGEST
    }

    /// A withdrawal has the zero digest, an edit another one, and numbers begin with 1.
    fn is_well_formed(&self) -> bool {
        (self.kind == ActionKind::Withdraw) == (self.new_digest == NO_DIGEST) && self.sequence > 0
    }
}

fields!(AuthorStatement:
    kind as "action",
    review_id as "review id",
    sequence as "sequence",
    previous_digest as "previous digest",
    new_digest as "new digest",
);

/// Kind 5, 171 bytes: an [`AuthorStatement`] with the signature of the token's author key
/// (Ed25519, RFC 8032, strict and without cofactor).
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// use unjoin_core::{token::AuthorAction, wire::Message};
/// # let shop = Shop::open();
/// # let accepted = shop.accepted();
/// # let (sent, state) = (shop.withdrawal(&accepted).to_bytes(), accepted.state);
/// # let author = *accepted.sent.presentation.author_key();
/// // The review service: is it the author's, about this review, and the next one?
/// let action = AuthorAction::from_bytes(&sent)?;
/// assert!(action.verify(&author, &state.review_id).is_ok());
/// assert!(action.statement().continues(state.last_sequence, &state.digest_in_force));
/// # Ok::<(), unjoin_core::wire::DecodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorAction {
    statement: AuthorStatement,
    signature: [u8; 64],
}

impl AuthorAction {
    const LABEL: &'static str = "author";

    /// What it says.
    pub fn statement(&self) -> &AuthorStatement {
        &self.statement
    }

    /// Signs an action; the same statement has the same bytes. `None` for one that could never
    /// be accepted: a withdrawal with a digest, an edit without, or the sequence number 0.
    #[doc(hidden)]
    pub fn sign(signer: &Signer, statement: AuthorStatement) -> Option<Self> {
        let unsigned = Self { statement, signature: [0; 64] };
        let signature = signer.sign(Self::LABEL, &unsigned.before_signature());
        statement.is_well_formed().then_some(Self { signature, ..unsigned })
    }

    /// Checks the signature, and that the action is about this review. Whether it continues the
    /// review is [`AuthorStatement::continues`].
    ///
    /// # Errors
    /// [`VerifyError`] when either does not hold.
    pub fn verify(&self, key: &AuthorKey, review_id: &ReviewId) -> Result<(), VerifyError> {
        let signed = key.verify(Self::LABEL, &self.before_signature(), &self.signature);
        verdict(&self.statement.review_id == review_id && signed.is_ok())
    }

    /// SHA-256 of the whole message: what its receipt names.
    pub fn hash(&self) -> Digest {
        super::sha256(&self.to_bytes())
    }
}

message!(AuthorAction = 5, "author action": statement as "statement", signature as "signature";
    if |action| action.statement.is_well_formed());

/// Kind 51, 138 bytes: a device that was restored from its seed asks where its review stands.
///
/// Signed by the author key over 32 fresh bytes, and answered on its date alone: a copy of it is
/// worth nothing the day after.
///
/// ```
/// # use unjoin_trustee::test_util::shop::{SEALED, Shop};
/// # use unjoin_core::secret::SystemRng;
/// # let shop = Shop::open();
/// # let accepted = shop.accepted();
/// let question = shop.wallet.ask_state(&accepted.token, SEALED, &mut SystemRng::new())?;
/// // The review service looks the author key up by the review's id, and answers on that date alone.
/// assert_eq!(question.review_id(), &accepted.state.review_id);
/// assert!(question.verify(accepted.sent.presentation.author_key()).is_ok());
/// assert_eq!(question.date(), SEALED);
/// # Ok::<(), unjoin_wallet::WalletError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateQuestion {
    review_id: ReviewId,
    date: Timestamp,
    fresh: [u8; 32],
    signature: [u8; 64],
}

impl StateQuestion {
    const LABEL: &'static str = "author-state";

    /// Signs a question of the UTC day that begins at `date`.
    #[doc(hidden)]
    pub fn sign(signer: &Signer, review_id: ReviewId, date: Timestamp, fresh: [u8; 32]) -> Self {
        let unsigned = Self { review_id, date, fresh, signature: [0; 64] };
        let signature = signer.sign(Self::LABEL, &unsigned.before_signature());
        Self { signature, ..unsigned }
    }

    crate::getters! {
        /// The review.
        pub review_id -> &ReviewId;
        /// The beginning of the day on which it is answered: 00:00 UTC.
        pub date -> Timestamp;
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`VerifyError`] when it does not hold.
    pub fn verify(&self, key: &AuthorKey) -> Result<(), VerifyError> {
        key.verify(Self::LABEL, &self.before_signature(), &self.signature)
    }
}

message!(StateQuestion = 51, "state question":
    review_id as "review id", date as "date", fresh as "fresh", signature as "signature");

/// What became of a review.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// use unjoin_core::token::ReviewStanding;
/// # let shop = Shop::open();
/// # let (state, withdrawal) = { let accepted = shop.accepted(); (accepted.state.clone(), shop.withdrawal(&accepted)) };
/// assert_eq!(state.standing, ReviewStanding::Held);
/// assert_eq!(state.after(&withdrawal).standing, ReviewStanding::Withdrawn);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewStanding {
    /// Accepted, and not published yet.
    Held = 1,
    /// In the listing; a change may wait.
    Published = 2,
    /// Taken back by its author, or about to be.
    Withdrawn = 3,
    /// Taken out of the listing by the platform.
    Removed = 4,
}

one_byte!(ReviewStanding: Held, Published, Withdrawn, Removed);

/// Kind 52, 83 bytes: where a review stands; the answer to a [`StateQuestion`].
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// # let shop = Shop::open();
/// # let accepted = shop.accepted();
/// # let withdrawal = shop.withdrawal(&accepted);
/// // What the device keeps from the receipt on, and after each action that was accepted.
/// let state = accepted.state;
/// assert_eq!((state.last_sequence, state.digest_in_force), (0, accepted.review.digest()));
/// let state = state.after(&withdrawal);
/// assert_eq!((state.last_sequence, state.digest_in_force), (1, [0; 32]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewState {
    /// The review.
    pub review_id: ReviewId,
    /// The number of the last accepted action; 0 before the first.
    pub last_sequence: u64,
    /// The last accepted digest; zero after a withdrawal.
    pub digest_in_force: Digest,
    /// What became of it.
    pub standing: ReviewStanding,
    /// The boundary at which it is, or was, published.
    pub published_at: Timestamp,
}

impl ReviewState {
    /// The state after an accepted action.
    #[must_use]
    pub fn after(self, accepted: &AuthorAction) -> Self {
        let said = accepted.statement();
        let standing = match said.kind {
            ActionKind::Withdraw => ReviewStanding::Withdrawn,
            ActionKind::Edit => self.standing,
        };
        Self { last_sequence: said.sequence, digest_in_force: said.new_digest, standing, ..self }
    }
}

message!(ReviewState = 52, "review state":
    review_id as "review id",
    last_sequence as "last sequence",
    digest_in_force as "digest in force",
    standing as "standing",
    published_at as "published at",
);

serde_as_bytes!(AuthorAction, StateQuestion, ReviewState);
