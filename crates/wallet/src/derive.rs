//! Everything a wallet uses comes from its 32-byte seed, but for proof nonces and the
//! randomizer of a presentation. A wallet restored from its seed asks again and gets the
//! same token.

use curve25519_dalek::scalar::Scalar;
use rand_core::CryptoRng;
use unjoin_core::Name;
use unjoin_core::algebra::transcript::{hash_to_scalar, hash32};
use unjoin_core::algebra::{Element, EscrowKey, Generator};
use unjoin_core::secret::{SecretBytes, SecretScalar};
use unjoin_core::signature::Signer;
use unjoin_core::token::{AuthorKey, Digest, OrderHandle, RequestWitness, Scope};
use zeroize::Zeroize;

/// `u` for one issuer with the wallet key `U = u*G_u`.
pub struct AuthorSecret {
    pub u: SecretScalar,
    pub wallet_key: Element,
}

/// `u = H2S("wallet/u", seed, issuer)`; `None` in the negligible case `u = 0`.
pub fn author(seed: &SecretBytes<32>, issuer: &Name) -> Option<AuthorSecret> {
    let u = SecretScalar::new(hash_to_scalar("wallet/u", &[seed.expose(), issuer.as_bytes()]));
    let wallet_key = Element::from_point(Generator::Gu.mul(u.expose()))?;
    Some(AuthorSecret { u, wallet_key })
}

/// The secrets of one order's token.
pub struct OrderSecrets {
    /// The serial, revealed when the token is spent.
    pub s: SecretScalar,
    /// The blinding of the request.
    pub b: SecretScalar,
    /// The randomness of the escrow.
    pub k: SecretScalar,
    /// The RFC 8032 seed of the author key.
    pub a: SecretBytes<32>,
}

impl OrderSecrets {
    /// Signs what the author asks for.
    pub fn author_signer(&self) -> Signer {
        Signer::from_seed(&self.a)
    }

    /// What the request of this author's token hides.
    pub fn request<'a>(&'a self, author: &'a AuthorSecret) -> RequestWitness<'a> {
        RequestWitness { u: &author.u, s: &self.s, b: &self.b, wallet_key: &author.wallet_key }
    }

    /// `P`, the public half of the author key.
    pub fn author_key(&self) -> AuthorKey {
        AuthorKey(*self.author_signer().verifier().as_bytes())
    }
}

/// `s`, `b`, `a`: from (issuer, scope, order); `k`: from the trustees' key too.
pub fn order(
    seed: &SecretBytes<32>,
    issuer: &Name,
    scope: &Scope,
    handle: OrderHandle,
    escrow_key: &EscrowKey,
) -> OrderSecrets {
    let scope = scope.to_bytes();
    let (issuer, handle) = (issuer.as_bytes(), handle.as_bytes());
    let y = escrow_key.element().as_bytes();
    let secret = |label, items: &[&[u8]]| SecretScalar::new(hash_to_scalar(label, items));
    OrderSecrets {
        s: secret("wallet/s", &[seed.expose(), issuer, &scope, handle]),
        b: secret("wallet/b", &[seed.expose(), issuer, &scope, handle]),
        k: secret("wallet/k", &[seed.expose(), issuer, &scope, handle, y]),
        a: SecretBytes::new(hash32("wallet/a", &[seed.expose(), issuer, &scope, handle])),
    }
}

/// `r = H2S("wallet/r", seed, 32 fresh bytes, scope, s, review digest)`, again if zero.
/// Fresh for every presentation, and no weaker than the seed if the generator fails.
pub fn randomizer(
    seed: &SecretBytes<32>,
    scope: &Scope,
    serial: &SecretScalar,
    review_digest: &Digest,
    rng: &mut (impl CryptoRng + ?Sized),
) -> SecretScalar {
    loop {
        let mut fresh = [0; 32];
        rng.fill_bytes(&mut fresh);
        let items: [&[u8]; 5] =
            [seed.expose(), &fresh, &scope.to_bytes(), serial.expose().as_bytes(), review_digest];
        let r = hash_to_scalar("wallet/r", &items);
        fresh.zeroize();
        if r != Scalar::ZERO {
            return SecretScalar::new(r);
        }
    }
}
