//! The one way out of the device for a seed and its tokens: sealed under a passphrase.
//!
//! The sealed part is padded, so that its length does not count the orders.

use super::order::{OrderContext, Token};
use super::{Wallet, WalletError, derive};
use core::fmt;
use rand_core::CryptoRng;
use unjoin_core::Name;
use unjoin_core::algebra::{Element, EscrowKey, Generator, mac};
use unjoin_core::passphrase::{PADDING, Sealed, TAG};
use unjoin_core::secret::SecretBytes;
use unjoin_core::serde_as_bytes;
use unjoin_core::token::{GrantedTag, IssuerPublicKey, OrderHandle, Scope};
use unjoin_core::wire::{DecodeError, Message, Reader, Rule, Writer};
use unjoin_core::{PassphraseCost, PassphraseError, passphrase};
use zeroize::{Zeroize, Zeroizing};

/// Format byte, seed, le32 number of tokens.
const PLAIN_HEADER: usize = 1 + 32 + 4;
/// The longest token: handle, two names behind their lengths, key id and cohort, X, Y, A, e.
const MAX_TOKEN: usize = 16 + 2 * (2 + Name::MAX_LEN) + 40 + 4 * 32;
/// The only format of the sealed part.
const FORMAT: u8 = 1;

/// Kind 14: a wallet's seed and its tokens, sealed under a passphrase.
///
/// Bytes after version and kind: `le32(memory in KiB) || le32(passes) || le32(lanes) || salt (16) ||
/// nonce (24) || le32(length) || sealed part`. Everything before the sealed part is its associated
/// data. The sealed part is a multiple of 16,384 bytes, and the 16 of the tag. So its length tells the
/// number of tokens to within fifty only.
///
/// A weak passphrase can be guessed by anybody who holds this.
///
/// ```
/// # use unjoin_core::secret::SystemRng;
/// use unjoin_core::{PassphraseCost, wire::Message};
/// use unjoin_wallet::{SealedBackup, Wallet};
/// let (wallet, rng) = (Wallet::generate(&mut SystemRng::new()), &mut SystemRng::new());
/// let bytes = wallet.seal_backup(&[], b"correct horse", PassphraseCost::LEAST, rng)?.to_bytes();
/// // Whoever opens it sees first what a guess costs.
/// assert_eq!(SealedBackup::from_bytes(&bytes)?.cost(), PassphraseCost::LEAST);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SealedBackup(Sealed);

impl SealedBackup {
    /// The most tokens of one backup.
    pub const MAX_TOKENS: usize = 4_096;
    /// The most bytes of the sealed part.
    const MAX_SEALED: usize = (PLAIN_HEADER + Self::MAX_TOKENS * MAX_TOKEN).next_multiple_of(PADDING) + TAG;

    /// What opening it costs.
    pub fn cost(&self) -> PassphraseCost {
        self.0.cost
    }
}

impl fmt::Debug for SealedBackup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedBackup({} bytes, {:?})", passphrase::HEADER + self.0.sealed.len(), self.0.cost)
    }
}

impl Message for SealedBackup {
    const KIND: u8 = 14;
    const NAME: &'static str = "sealed backup";
    const MAX_LEN: usize = passphrase::HEADER + Self::MAX_SEALED;

    fn encode_body(&self, out: &mut Writer) {
        self.0.encode(out);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Sealed::decode(from, Self::MAX_SEALED).map(Self)
    }
}

serde_as_bytes!(SealedBackup);

impl Wallet {
    /// Seals the seed and these tokens under a passphrase: any bytes, at least one. Text is
    /// not normalised here; an application that takes text settles its form (NFKC in UTF-8)
    /// so that another keyboard opens the backup too.
    ///
    /// The seed alone lets a wallet ask again for every token. The tokens are in it so that they can be
    /// spent, and their reviews edited, without the issuer.
    ///
    /// # Errors
    /// [`WalletError::BackupPassphrase`] when the passphrase is empty;
    /// [`WalletError::BackupSize`] for more than [`SealedBackup::MAX_TOKENS`] tokens;
    /// [`WalletError::AnotherWallet`] when one is another wallet's;
    /// [`WalletError::BackupMemory`] when there is too little memory for the cost.
    ///
    /// ```
    /// # use unjoin_core::{Name, PassphraseCost, secret::SystemRng, wire::Message};
    /// # use unjoin_wallet::{SealedBackup, Wallet, open_backup};
    /// let rng = &mut SystemRng::new();
    /// let wallet = Wallet::generate(rng);
    /// // In an app: `PassphraseCost::default()`, which makes each guess far dearer.
    /// let backup = wallet.seal_backup(&[], b"correct horse", PassphraseCost::LEAST, rng)?;
    /// let backup = SealedBackup::from_bytes(&backup.to_bytes())?;
    /// let (restored, tokens) = open_backup(&backup, b"correct horse")?;
    /// let shop = Name::new("shop.example")?;
    /// assert_eq!(restored.wallet_key(&shop)?, wallet.wallet_key(&shop)?);
    /// assert!(tokens.is_empty() && open_backup(&backup, b"wrong").is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn seal_backup(
        &self,
        tokens: &[Token],
        passphrase: &[u8],
        cost: PassphraseCost,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<SealedBackup, WalletError> {
        self.seal_tokens(&tokens.iter().collect::<Vec<_>>(), passphrase, cost, rng)
    }

    pub(super) fn seal_tokens(
        &self,
        tokens: &[&Token],
        passphrase: &[u8],
        cost: PassphraseCost,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<SealedBackup, WalletError> {
        if tokens.len() > SealedBackup::MAX_TOKENS {
            return Err(WalletError::BackupSize);
        }
        for token in tokens {
            self.check_own(&token.order)?;
        }
        let plain = encode(&self.seed, tokens);
        Ok(SealedBackup(Sealed::seal(SealedBackup::KIND, plain, passphrase, cost, rng)?))
    }
}

/// Opens a backup: the wallet and its tokens. Takes the memory that its cost says, at most
/// [`PassphraseCost::MAX_MEMORY_KIB`].
///
/// # Errors
/// [`WalletError::BackupOpen`] when the passphrase is wrong or anything was changed: which of
/// them is not told; [`WalletError::BackupMemory`] when there is too little memory.
///
/// ```
/// # use unjoin_trustee::test_util::shop::Shop;
/// # use unjoin_core::{PassphraseCost, secret::SystemRng};
/// use unjoin_wallet::{WalletError, open_backup};
/// # let (shop, rng) = (Shop::open(), &mut SystemRng::new());
/// # let backup = shop.wallet.seal_backup(&[shop.token()], b"correct horse", PassphraseCost::LEAST, rng)?;
/// let (wallet, tokens) = open_backup(&backup, b"correct horse")?;
/// assert_eq!(tokens.len(), 1);
/// assert!(wallet.review_id(&tokens[0]).is_ok());
/// assert_eq!(open_backup(&backup, b"wrong horse").unwrap_err(), WalletError::BackupOpen);
/// # Ok::<(), WalletError>(())
/// ```
pub fn open_backup(backup: &SealedBackup, passphrase: &[u8]) -> Result<(Wallet, Vec<Token>), WalletError> {
    let plain = backup.0.open(SealedBackup::KIND, passphrase)?;
    decode(&plain).map_err(|_| WalletError::BackupOpen)
}

impl From<PassphraseError> for WalletError {
    fn from(refused: PassphraseError) -> Self {
        match refused {
            PassphraseError::Cost => Self::BackupCost,
            PassphraseError::Empty => Self::BackupPassphrase,
            PassphraseError::Memory => Self::BackupMemory,
            PassphraseError::Size => Self::BackupSize,
            PassphraseError::Open => Self::BackupOpen,
        }
    }
}

/// The sealed part before sealing, padded, with room for the tag.
fn encode(seed: &SecretBytes<32>, tokens: &[&Token]) -> Zeroizing<Vec<u8>> {
    let padded = (PLAIN_HEADER + tokens.len() * MAX_TOKEN).next_multiple_of(PADDING);
    let mut out = Writer::with_capacity(padded + TAG);
    out.u8(FORMAT);
    out.raw(seed.expose());
    out.le32(tokens.len() as u32);
    tokens.iter().for_each(|token| encode_token(token, &mut out));
    let mut plain = Zeroizing::new(out.finish());
    plain.resize(padded, 0);
    plain
}

pub(super) fn encode_token(Token { order, granted }: &Token, out: &mut Writer) {
    out.raw(order.handle.as_bytes());
    order.issuer.encode(out);
    order.scope.encode(out);
    out.elements(&[*order.issuer_key.element(), *order.escrow_key.element(), granted.tag]);
    out.scalars(&[granted.exponent]);
}

fn decode(plain: &[u8]) -> Result<(Wallet, Vec<Token>), DecodeError> {
    let mut from = Reader::new(plain, "backup");
    if from.u8("format")? != FORMAT {
        return Err(from.refuse(Rule::Version));
    }
    let mut seed = from.array("seed")?;
    let wallet = Wallet::from_seed(SecretBytes::new(seed));
    seed.zeroize();
    let count = usize::try_from(from.le32("tokens")?).unwrap_or(usize::MAX);
    if count > SealedBackup::MAX_TOKENS {
        return Err(from.refuse(Rule::Length));
    }
    let mut tokens = Vec::with_capacity(count);
    for _ in 0..count {
        tokens.push(decode_token(&wallet, &mut from)?);
    }
    if from.rest("padding").iter().any(|byte| *byte != 0) {
        return Err(from.refuse(Rule::Trailing));
    }
    Ok((wallet, tokens))
}

/// `U` and `B` are made again from the seed, so that a token can only be this wallet's.
pub(super) fn decode_token(wallet: &Wallet, from: &mut Reader<'_>) -> Result<Token, DecodeError> {
    let handle = OrderHandle(from.array("order handle")?);
    let issuer = Name::decode(from, "issuer")?;
    let scope = Scope::decode(from)?;
    let issuer_key = IssuerPublicKey::new(from.element("X")?);
    let escrow_key = EscrowKey::new(from.element("Y")?);
    let (tag, exponent) = (from.element("A")?, from.scalar("e")?);
    let degenerate = from.refuse(Rule::Element);
    let wallet_key = wallet.wallet_key(&issuer).map_err(|_| degenerate)?;
    if !scope.is_of(&issuer_key) {
        return Err(from.refuse(Rule::Value));
    }
    let secrets = derive::order(&wallet.seed, &issuer, &scope, handle, &escrow_key);
    let blinded =
        wallet_key.point() + Generator::Gs.mul(secrets.s.expose()) + Generator::Gb.mul(secrets.b.expose());
    let base = mac::base(&scope.scalar(), &Element::from_point(blinded).ok_or(degenerate)?);
    let order = OrderContext { issuer, wallet_key, handle, scope, issuer_key, escrow_key };
    Ok(Token { order, granted: GrantedTag::new(tag, exponent, &base) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Shop;
    use proptest::prelude::*;
    use unjoin_core::passphrase::{HEADER, NONCE, SALT};

    fn sealed(tokens: u8) -> (Shop, SealedBackup, SecretBytes<32>) {
        let mut shop = Shop::new(1);
        let tokens: Vec<Token> = (0..tokens).map(|order| shop.token(order)).collect();
        let backup =
            shop.wallet.seal_backup(&tokens, b"horse", PassphraseCost::LEAST, &mut shop.rng).unwrap();
        let key = PassphraseCost::LEAST.key(b"horse", &backup.0.salt).unwrap();
        (shop, backup, key)
    }

    fn opens(backup: &SealedBackup, key: &SecretBytes<32>) -> bool {
        backup.0.open_with(SealedBackup::KIND, key).is_ok_and(|plain| decode(&plain).is_ok())
    }

    #[test]
    fn a_backup_gives_back_the_wallet_and_tokens_that_present() {
        let (mut shop, backup, _) = sealed(3);
        let backup = SealedBackup::from_bytes(&backup.to_bytes()).unwrap();
        let (wallet, tokens) = open_backup(&backup, b"horse").unwrap();
        assert_eq!(wallet.wallet_key(&shop.issuer), shop.wallet.wallet_key(&shop.issuer));
        assert_eq!(tokens.len(), 3);
        for (order, token) in (0..).zip(&tokens) {
            let kept = shop.token(order);
            assert_eq!(wallet.review_id(token), shop.wallet.review_id(&kept));
            assert!(token.granted.tag == kept.granted.tag && token.granted.image == kept.granted.image);
            let review = unjoin_core::token::Review::new(2, "late", vec![]).unwrap();
            let shown = wallet.presentation(token, &review, &mut shop.rng).unwrap();
            shown.verify(&shop.issuer_key, &shop.escrow_key, &review.digest(), &mut shop.rng).unwrap();
        }
    }

    #[test]
    fn a_wrong_passphrase_and_a_changed_backup_are_one_error() {
        let (_, backup, _) = sealed(1);
        for passphrase in [&b"Horse"[..], b"", b"horse "] {
            assert_eq!(open_backup(&backup, passphrase).unwrap_err(), WalletError::BackupOpen);
        }
        // Version and kind aside, every part of the header, and some of the rest.
        let bytes = backup.to_bytes();
        for at in (2..HEADER).chain([HEADER, bytes.len() - 1]) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let refused = SealedBackup::from_bytes(&changed).map(|b| open_backup(&b, b"horse").unwrap_err());
            assert!(matches!(refused, Err(_) | Ok(WalletError::BackupOpen)), "{at}");
        }
    }

    #[test]
    fn every_changed_byte_is_refused() {
        let (_, backup, key) = sealed(1);
        assert!(opens(&backup, &key));
        for at in 0..backup.0.sealed.len() {
            let mut changed = backup.clone();
            changed.0.sealed[at] ^= 0x10;
            assert!(!opens(&changed, &key), "{at}");
        }
        // The header is bound even where it does not change the key.
        let bytes = backup.to_bytes();
        for at in 0..HEADER {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert!(!SealedBackup::from_bytes(&changed).is_ok_and(|b| opens(&b, &key)), "{at}.{bit}");
            }
        }
    }

    #[test]
    fn absurd_costs_and_lengths_are_refused_at_decoding() {
        let (_, backup, _) = sealed(0);
        let bytes = backup.to_bytes();
        let with = |at: usize, value: u32| {
            let mut changed = bytes.clone();
            changed[at..at + 4].copy_from_slice(&value.to_le_bytes());
            SealedBackup::from_bytes(&changed).unwrap_err().rule
        };
        for (at, most) in [
            (2, PassphraseCost::MAX_MEMORY_KIB),
            (6, PassphraseCost::MAX_PASSES),
            (10, PassphraseCost::MAX_LANES),
        ] {
            for value in [0, most + 1, u32::MAX] {
                assert_eq!(with(at, value), Rule::Value, "{at} {value}");
            }
        }
        assert_eq!(with(2, PassphraseCost::MIN_MEMORY_KIB - 1), Rule::Value);
        assert_eq!(with(HEADER - 4, u32::MAX), Rule::Length);
        // A long length with nothing behind it takes nothing.
        assert_eq!(with(HEADER - 4, (2 * PADDING + TAG) as u32), Rule::Truncated);
    }

    #[test]
    fn the_length_does_not_count_the_tokens() {
        let lengths: Vec<usize> = [0, 1, 51, 52].map(|tokens| sealed(tokens).1.to_bytes().len()).into();
        assert!(lengths[0] == lengths[1] && lengths[1] == lengths[2] && lengths[2] < lengths[3]);
    }

    #[test]
    fn sealing_again_shares_no_salt_and_no_nonce() {
        let (mut shop, backup, _) = sealed(0);
        let again = shop.wallet.seal_backup(&[], b"horse", PassphraseCost::LEAST, &mut shop.rng).unwrap();
        assert!(
            backup.0.salt != again.0.salt
                && backup.0.nonce != again.0.nonce
                && backup.0.sealed != again.0.sealed
        );
    }

    #[test]
    fn what_cannot_be_sealed_is_refused() {
        let mut shop = Shop::new(1);
        let token = [shop.token(0)];
        let stranger = Wallet::generate(&mut shop.rng);
        let refused =
            stranger.seal_backup(&token, b"horse", PassphraseCost::LEAST, &mut shop.rng).unwrap_err();
        assert_eq!(refused, WalletError::AnotherWallet);
        let refused = shop.wallet.seal_backup(&token, b"", PassphraseCost::LEAST, &mut shop.rng).unwrap_err();
        assert_eq!(refused, WalletError::BackupPassphrase);
    }

    #[test]
    fn more_tokens_than_fit_are_refused() {
        let mut shop = Shop::new(1);
        let kept = shop.token(0);
        let copy = |token: &Token| {
            let OrderContext { issuer, wallet_key, handle, scope, issuer_key, escrow_key } = &token.order;
            let (issuer, scope) = (issuer.clone(), scope.clone());
            let (wallet_key, handle) = (*wallet_key, *handle);
            let (issuer_key, escrow_key) = (*issuer_key, *escrow_key);
            let order = OrderContext { issuer, wallet_key, handle, scope, issuer_key, escrow_key };
            Token { order, granted: token.granted.clone() }
        };
        let tokens: Vec<Token> = (0..=SealedBackup::MAX_TOKENS).map(|_| copy(&kept)).collect();
        let refused =
            shop.wallet.seal_backup(&tokens, b"horse", PassphraseCost::LEAST, &mut shop.rng).unwrap_err();
        assert_eq!(refused, WalletError::BackupSize);
    }

    #[test]
    fn what_stands_in_the_sealed_part_decodes_strictly() {
        let mut shop = Shop::new(1);
        let token = shop.token(0);
        let plain = encode(&shop.wallet.seed, &[&token]).to_vec();
        let rule = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut plain = plain.clone();
            change(&mut plain);
            decode(&plain).map(|(_, tokens)| tokens.len()).map_err(|refused| refused.rule)
        };
        assert_eq!(rule(&|_| ()), Ok(1));
        assert_eq!(rule(&|plain| plain[0] = 2), Err(Rule::Version));
        assert_eq!(rule(&|plain| *plain.last_mut().unwrap() = 1), Err(Rule::Trailing));
        let count = (SealedBackup::MAX_TOKENS as u32 + 1).to_le_bytes();
        assert_eq!(rule(&|plain| plain[33..37].copy_from_slice(&count)), Err(Rule::Length));
        // The scope's key id stands behind the handle and the issuer's name.
        let key_id = PLAIN_HEADER + 16 + 2 + shop.issuer.as_bytes().len();
        assert_eq!(rule(&|plain| plain[key_id] ^= 1), Err(Rule::Value));
    }

    #[test]
    fn serde_carries_the_longest_backup() {
        let longest = SealedBackup(Sealed {
            cost: PassphraseCost::default(),
            salt: [1; SALT],
            nonce: [2; NONCE],
            sealed: vec![3; SealedBackup::MAX_SEALED],
        });
        assert_eq!(longest.to_bytes().len(), SealedBackup::MAX_LEN);
        let text = serde_json::to_string(&longest).unwrap();
        assert_eq!(serde_json::from_str::<SealedBackup>(&text).unwrap(), longest);
        assert!(!format!("{longest:?}").contains("3, 3"));
    }

    proptest! {
        #[test]
        fn decoding_then_encoding_gives_the_same_bytes(at in 0usize..66, byte in any::<u8>()) {
            let mut bytes = SealedBackup(Sealed {
                cost: PassphraseCost::LEAST, salt: [1; SALT], nonce: [2; NONCE], sealed: vec![3; PADDING + TAG],
            }).to_bytes();
            bytes[at] = byte;
            if let Ok(backup) = SealedBackup::from_bytes(&bytes) {
                prop_assert_eq!(backup.to_bytes(), bytes);
            }
        }

        #[test]
        fn no_plaintext_makes_decoding_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            if let Some(format) = bytes.first_mut() {
                *format = FORMAT;
            }
            let _ = decode(&bytes);
        }
    }
}
