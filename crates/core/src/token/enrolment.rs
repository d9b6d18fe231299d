//! Step 1: a device proves that it knows the secret behind its wallet key `U`, over the host's nonce.
//! So the host can bind `U` to the account that is logged in.

use super::{VerifyError, verdict};
use crate::algebra::proof::{Equation, Proof, Statement, verify};
use crate::algebra::transcript::{hash32, push_frame};
use crate::algebra::{Element, Generator};
use crate::name::Name;
use crate::secret::{SecretBytes, hmac_sha256};
use crate::{message, serde_as_bytes};
use rand_core::CryptoRng;

/// Whom a wallet key is enrolled with, and for which account: bound by the proof.
///
/// ```
/// use unjoin_core::{Name, token::EnrolmentContext};
/// let (issuer, account) = (Name::new("orders.example")?, Name::new("account-7")?);
/// // Both sides take the account from the session, and the nonce from what the host sent.
/// let context = EnrolmentContext { issuer: &issuer, account: &account, nonce: &[9; 32] };
/// assert_eq!(context.account.as_str(), Some("account-7"));
/// # Ok::<(), unjoin_core::NameError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct EnrolmentContext<'a> {
    /// The issuer's name.
    pub issuer: &'a Name,
    /// The authenticated account.
    pub account: &'a Name,
    /// 32 bytes that the host gave to this account's session within the last minutes, and nobody could know
    /// before. Taken again they change nothing: the proof over them is for one wallet key.
    pub nonce: &'a [u8; 32],
}

/// Kind 1, 98 bytes: `U` and the proof of its secret.
///
/// ```
/// # use unjoin_wallet::Wallet;
/// use unjoin_core::{Name, secret::SystemRng, token::EnrolmentContext};
/// let (issuer, account) = (Name::new("orders.example")?, Name::new("account-7")?);
/// let (rng, other) = (&mut SystemRng::new(), Name::new("account-8")?);
/// let context = EnrolmentContext { issuer: &issuer, account: &account, nonce: &[9; 32] };
/// let enrolment = Wallet::generate(rng).enrol(context, rng)?;
/// assert!(enrolment.verify(context, rng).is_ok());
/// // Of no use under another account.
/// assert!(enrolment.verify(EnrolmentContext { account: &other, ..context }, rng).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    wallet_key: Element,
    proof: Proof<1, 1>,
}

impl Enrolment {
    /// The wallet key `U = u * G_u`.
    pub fn wallet_key(&self) -> &Element {
        &self.wallet_key
    }

    /// Proves knowledge of `u`, the secret of `wallet_key`.
    #[doc(hidden)]
    pub fn prove(
        u: &crate::secret::SecretScalar,
        wallet_key: Element,
        context: EnrolmentContext<'_>,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Self {
        let proof = crate::algebra::proof::prove(&statement(&wallet_key, context), [u.expose()], rng);
        Self { wallet_key, proof }
    }

    /// Checks the proof in the context that the host expects.
    ///
    /// # Errors
    /// [`VerifyError`] when it does not hold.
    pub fn verify(
        &self,
        context: EnrolmentContext<'_>,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(), VerifyError> {
        verdict(verify(&statement(&self.wallet_key, context), &self.proof, rng))
    }
}

fn statement(wallet_key: &Element, context: EnrolmentContext<'_>) -> Statement {
    Statement::new("enrol")
        .item(context.issuer.as_bytes())
        .item(context.account.as_bytes())
        .item(context.nonce)
        .item(wallet_key.as_bytes())
        .equation(Equation::of(*wallet_key).plus(0, Generator::Gu))
}

message!(Enrolment = 1, "enrolment": wallet_key as "U", proof as "proof");

serde_as_bytes!(Enrolment);

/// The hiding commitment to "`wallet_key` belongs to `account`",
/// `H32("binding", account, U, blind)`, logged before the first grant: so that a binding
/// made behind an account's back can be proved.
#[doc(hidden)]
pub fn binding_commitment(account: &Name, wallet_key: &Element, blind: &[u8; 32]) -> [u8; 32] {
    hash32("binding", &[account.as_bytes(), wallet_key.as_bytes(), blind])
}

/// What opens the commitment: `HMAC-SHA-256(binding key, frame(account) || frame(U))`, where the
/// binding key is HMAC-SHA-256 of `frame("binding")` under the issuer's master key. The same wallet
/// enrolled again, also after a store was put back, makes the same entry.
#[doc(hidden)]
pub fn binding_blind(master: &SecretBytes<32>, account: &Name, wallet_key: &Element) -> [u8; 32] {
    let framed = |parts: &[&[u8]]| {
        parts.iter().fold(Vec::new(), |mut message, part| {
            push_frame(&mut message, part);
            message
        })
    };
    let key = SecretBytes::new(hmac_sha256(master.expose(), &[&framed(&[b"binding"])]));
    hmac_sha256(key.expose(), &[&framed(&[account.as_bytes(), wallet_key.as_bytes()])])
}
