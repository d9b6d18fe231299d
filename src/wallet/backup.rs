//! The one way out of the device for a seed and its tokens: sealed under a passphrase.
//!
//! Argon2id (RFC 9106) makes the key, XChaCha20-Poly1305 seals, and the whole header is
//! associated data. The sealed part is padded, so that its length does not count the orders.

use super::order::{OrderContext, Token};
use super::{Wallet, WalletError, derive};
use crate::algebra::{Element, EscrowKey, Generator, mac};
use crate::name::Name;
use crate::secret::SecretBytes;
use crate::token::{GrantedTag, IssuerPublicKey, OrderHandle, Scope};
use crate::wire::{DecodeError, Message, Reader, Rule, VERSION, Writer, serde_as_bytes};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use chacha20poly1305::{XChaCha20Poly1305, XNonce, aead::AeadInOut, aead::KeyInit};
use core::fmt;
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

/// What a guess of the passphrase costs: Argon2id's parameters.
///
/// ```
/// use unjoin::wallet::BackupCost;
/// assert_eq!(BackupCost::default(), BackupCost::new(64 * 1024, 3, 1)?);
/// assert!(BackupCost::new(u32::MAX, 1, 1).is_err());
/// # Ok::<(), unjoin::wallet::WalletError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupCost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl BackupCost {
    /// The least memory, in KiB.
    pub const MIN_MEMORY_KIB: u32 = 8 * 1024;
    /// The most memory, in KiB: what a strange backup can make a device take.
    pub const MAX_MEMORY_KIB: u32 = 256 * 1024;
    /// The most passes over the memory.
    pub const MAX_PASSES: u32 = 16;
    /// The most lanes. They run one after the other here.
    pub const MAX_LANES: u32 = 4;

    /// So much memory in KiB, so many passes, so many lanes.
    ///
    /// # Errors
    /// [`WalletError::BackupCost`] when one is out of its bounds.
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, WalletError> {
        let fits = (Self::MIN_MEMORY_KIB..=Self::MAX_MEMORY_KIB).contains(&memory_kib)
            && (1..=Self::MAX_PASSES).contains(&passes)
            && (1..=Self::MAX_LANES).contains(&lanes);
        if fits { Ok(Self { memory_kib, passes, lanes }) } else { Err(WalletError::BackupCost) }
    }

    /// The key for this passphrase.
    fn key(&self, passphrase: &[u8], salt: &[u8; SALT]) -> Result<SecretBytes<32>, WalletError> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32))
            .map_err(|_| WalletError::BackupCost)?;
        let mut blocks: Zeroizing<Vec<Block>> = Zeroizing::new(Vec::new());
        blocks.try_reserve_exact(params.block_count()).map_err(|_| WalletError::BackupMemory)?;
        blocks.resize(params.block_count(), Block::new());
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(passphrase, salt, key.as_mut_slice(), blocks.as_mut_slice())
            .map_err(|_| WalletError::BackupCost)?;
        Ok(SecretBytes::new(*key))
    }
}

impl Default for BackupCost {
    /// 64 MiB, 3 passes, 1 lane: RFC 9106's second recommendation, in one lane.
    fn default() -> Self {
        Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 }
    }
}

const SALT: usize = 16;
const NONCE: usize = 24;
/// Poly1305's tag.
const TAG: usize = 16;
/// The sealed part is padded to a multiple of so many bytes.
const PADDING: usize = 16_384;
/// Format byte, seed, le32 number of tokens.
const PLAIN_HEADER: usize = 1 + 32 + 4;
/// The longest token: handle, two names behind their lengths, key id and cohort, X, Y, A, e.
const MAX_TOKEN: usize = 16 + 2 * (2 + Name::MAX_LEN) + 40 + 4 * 32;
/// The only format of the sealed part.
const FORMAT: u8 = 1;

/// Kind 14: a wallet's seed and its tokens, sealed under a passphrase.
///
/// Bytes after version and kind: `le32(memory in KiB) || le32(passes) || le32(lanes) ||
/// salt (16) || nonce (24) || le32(length) || sealed part`; everything before the sealed part
/// is its associated data. The sealed part is a multiple of 16,384 bytes and the 16 of the
/// tag, so that its length tells the number of tokens to within fifty only.
///
/// A weak passphrase can be guessed by whoever holds this.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedBackup {
    cost: BackupCost,
    salt: [u8; SALT],
    nonce: [u8; NONCE],
    sealed: Vec<u8>,
}

impl SealedBackup {
    /// The most tokens of one backup.
    pub const MAX_TOKENS: usize = 4_096;
    /// The most bytes of the sealed part.
    const MAX_SEALED: usize = (PLAIN_HEADER + Self::MAX_TOKENS * MAX_TOKEN).next_multiple_of(PADDING) + TAG;
    /// Version, kind, cost, salt, nonce and length.
    const HEADER: usize = 2 + 3 * 4 + SALT + NONCE + 4;

    /// What opening it costs.
    pub fn cost(&self) -> BackupCost {
        self.cost
    }

    /// Everything before the sealed part, which is `length` bytes long.
    fn header(&self, length: usize) -> Vec<u8> {
        let mut out = Writer::with_capacity(Self::HEADER);
        out.u8(VERSION);
        out.u8(Self::KIND);
        self.encode_header(length, &mut out);
        out.finish()
    }

    fn encode_header(&self, length: usize, out: &mut Writer) {
        out.le32(self.cost.memory_kib);
        out.le32(self.cost.passes);
        out.le32(self.cost.lanes);
        out.raw(&self.salt);
        out.raw(&self.nonce);
        out.le32(length as u32);
    }

    /// Seals `plain`, whose buffer has room for the tag, in place.
    fn seal(mut self, key: &SecretBytes<32>, mut plain: Zeroizing<Vec<u8>>) -> Result<Self, WalletError> {
        let header = self.header(plain.len() + TAG);
        XChaCha20Poly1305::new(key.expose().into())
            .encrypt_in_place(&XNonce::from(self.nonce), &header, &mut *plain)
            .map_err(|_| WalletError::BackupSize)?;
        self.sealed = core::mem::take(&mut *plain);
        Ok(self)
    }

    fn open(&self, key: &SecretBytes<32>) -> Result<(Wallet, Vec<Token>), WalletError> {
        let mut plain = Zeroizing::new(self.sealed.clone());
        XChaCha20Poly1305::new(key.expose().into())
            .decrypt_in_place(&XNonce::from(self.nonce), &self.header(self.sealed.len()), &mut *plain)
            .map_err(|_| WalletError::BackupOpen)?;
        decode(&plain).map_err(|_| WalletError::BackupOpen)
    }
}

impl fmt::Debug for SealedBackup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedBackup({} bytes, {:?})", Self::HEADER + self.sealed.len(), self.cost)
    }
}

impl Message for SealedBackup {
    const KIND: u8 = 14;
    const NAME: &'static str = "sealed backup";
    const MAX_LEN: usize = Self::HEADER + Self::MAX_SEALED;

    fn encode_body(&self, out: &mut Writer) {
        self.encode_header(self.sealed.len(), out);
        out.raw(&self.sealed);
    }

    fn decode_body(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let cost = BackupCost::new(from.le32("memory")?, from.le32("passes")?, from.le32("lanes")?)
            .map_err(|_| from.refuse(Rule::Value))?;
        let (salt, nonce) = (from.array("salt")?, from.array("nonce")?);
        let sealed = from.long_bytes("sealed part", PADDING + TAG, Self::MAX_SEALED)?;
        if sealed.len() % PADDING != TAG {
            return Err(from.refuse(Rule::Length));
        }
        Ok(Self { cost, salt, nonce, sealed: sealed.to_vec() })
    }
}

serde_as_bytes!(SealedBackup);

impl Wallet {
    /// Seals the seed and these tokens under a passphrase: any bytes, at least one. Text is
    /// not normalised here; an application that takes text settles its form (NFKC in UTF-8)
    /// so that another keyboard opens the backup too.
    ///
    /// The seed alone lets a wallet ask again for every token; the tokens are in it so that
    /// they can be spent, and their reviews edited, without the issuer.
    ///
    /// # Errors
    /// [`WalletError::BackupPassphrase`] when the passphrase is empty;
    /// [`WalletError::BackupSize`] for more than [`SealedBackup::MAX_TOKENS`] tokens;
    /// [`WalletError::AnotherWallet`] when one is another wallet's;
    /// [`WalletError::BackupMemory`] when there is too little memory for the cost.
    pub fn seal_backup(
        &self,
        tokens: &[Token],
        passphrase: &[u8],
        cost: BackupCost,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<SealedBackup, WalletError> {
        if passphrase.is_empty() {
            return Err(WalletError::BackupPassphrase);
        }
        if tokens.len() > SealedBackup::MAX_TOKENS {
            return Err(WalletError::BackupSize);
        }
        for token in tokens {
            self.check_own(&token.order)?;
        }
        let (mut salt, mut nonce) = ([0; SALT], [0; NONCE]);
        rng.fill_bytes(&mut salt);
        rng.fill_bytes(&mut nonce);
        let key = cost.key(passphrase, &salt)?;
        SealedBackup { cost, salt, nonce, sealed: Vec::new() }.seal(&key, encode(&self.seed, tokens))
    }
}

/// Opens a backup: the wallet and its tokens. Takes the memory that its cost says, at most
/// [`BackupCost::MAX_MEMORY_KIB`].
///
/// # Errors
/// [`WalletError::BackupOpen`] when the passphrase is wrong or anything was changed: which of
/// them is not told; [`WalletError::BackupMemory`] when there is too little memory.
pub fn open_backup(backup: &SealedBackup, passphrase: &[u8]) -> Result<(Wallet, Vec<Token>), WalletError> {
    backup.open(&backup.cost.key(passphrase, &backup.salt)?)
}

/// The sealed part before sealing, padded, with room for the tag.
fn encode(seed: &SecretBytes<32>, tokens: &[Token]) -> Zeroizing<Vec<u8>> {
    let padded = (PLAIN_HEADER + tokens.len() * MAX_TOKEN).next_multiple_of(PADDING);
    let mut out = Writer::with_capacity(padded + TAG);
    out.u8(FORMAT);
    out.raw(seed.expose());
    out.le32(tokens.len() as u32);
    for Token { order, granted } in tokens {
        out.raw(order.handle.as_bytes());
        order.issuer.encode(&mut out);
        order.scope.encode(&mut out);
        out.elements(&[*order.issuer_key.element(), *order.escrow_key.element(), granted.tag]);
        out.scalars(&[granted.exponent]);
    }
    let mut plain = Zeroizing::new(out.finish());
    plain.resize(padded, 0);
    plain
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
fn decode_token(wallet: &Wallet, from: &mut Reader<'_>) -> Result<Token, DecodeError> {
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
    use crate::wallet::tests::Shop;
    use proptest::prelude::*;

    /// The least cost: tests are about the format.
    const CHEAP: BackupCost = BackupCost { memory_kib: BackupCost::MIN_MEMORY_KIB, passes: 1, lanes: 1 };

    fn sealed(tokens: u8) -> (Shop, SealedBackup, SecretBytes<32>) {
        let mut shop = Shop::new(1);
        let tokens: Vec<Token> = (0..tokens).map(|order| shop.token(order)).collect();
        let backup = shop.wallet.seal_backup(&tokens, b"horse", CHEAP, &mut shop.rng).unwrap();
        let key = CHEAP.key(b"horse", &backup.salt).unwrap();
        (shop, backup, key)
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
            let review = crate::token::Review::new(2, "late", vec![]).unwrap();
            let shown = wallet.present_early_trusting_host_silence(token, &review, &mut shop.rng).unwrap();
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
        for at in (2..SealedBackup::HEADER).chain([SealedBackup::HEADER, bytes.len() - 1]) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let refused = SealedBackup::from_bytes(&changed).map(|b| open_backup(&b, b"horse").unwrap_err());
            assert!(matches!(refused, Err(_) | Ok(WalletError::BackupOpen)), "{at}");
        }
    }

    #[test]
    fn every_changed_byte_is_refused() {
        let (_, backup, key) = sealed(1);
        assert!(backup.open(&key).is_ok());
        for at in 0..backup.sealed.len() {
            let mut changed = backup.clone();
            changed.sealed[at] ^= 0x10;
            assert!(changed.open(&key).is_err(), "{at}");
        }
        // The header is bound even where it does not change the key.
        let bytes = backup.to_bytes();
        for at in 0..SealedBackup::HEADER {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert!(
                    !SealedBackup::from_bytes(&changed).is_ok_and(|b| b.open(&key).is_ok()),
                    "{at}.{bit}"
                );
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
        for (at, most) in
            [(2, BackupCost::MAX_MEMORY_KIB), (6, BackupCost::MAX_PASSES), (10, BackupCost::MAX_LANES)]
        {
            for value in [0, most + 1, u32::MAX] {
                assert_eq!(with(at, value), Rule::Value, "{at} {value}");
            }
        }
        assert_eq!(with(2, BackupCost::MIN_MEMORY_KIB - 1), Rule::Value);
        assert_eq!(with(SealedBackup::HEADER - 4, u32::MAX), Rule::Length);
        // A long length with nothing behind it takes nothing.
        assert_eq!(with(SealedBackup::HEADER - 4, (2 * PADDING + TAG) as u32), Rule::Truncated);
    }

    #[test]
    fn the_length_does_not_count_the_tokens() {
        let lengths: Vec<usize> = [0, 1, 51, 52].map(|tokens| sealed(tokens).1.to_bytes().len()).into();
        assert!(lengths[0] == lengths[1] && lengths[1] == lengths[2] && lengths[2] < lengths[3]);
    }

    #[test]
    fn sealing_again_shares_no_salt_and_no_nonce() {
        let (mut shop, backup, _) = sealed(0);
        let again = shop.wallet.seal_backup(&[], b"horse", CHEAP, &mut shop.rng).unwrap();
        assert!(backup.salt != again.salt && backup.nonce != again.nonce && backup.sealed != again.sealed);
    }

    #[test]
    fn what_cannot_be_sealed_is_refused() {
        let mut shop = Shop::new(1);
        let token = [shop.token(0)];
        let stranger = Wallet::generate(&mut shop.rng);
        let refused = stranger.seal_backup(&token, b"horse", CHEAP, &mut shop.rng).unwrap_err();
        assert_eq!(refused, WalletError::AnotherWallet);
        let refused = shop.wallet.seal_backup(&token, b"", CHEAP, &mut shop.rng).unwrap_err();
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
        let refused = shop.wallet.seal_backup(&tokens, b"horse", CHEAP, &mut shop.rng).unwrap_err();
        assert_eq!(refused, WalletError::BackupSize);
    }

    #[test]
    fn what_stands_in_the_sealed_part_decodes_strictly() {
        let mut shop = Shop::new(1);
        let token = shop.token(0);
        let plain = encode(&shop.wallet.seed, &[token]).to_vec();
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
        let longest = SealedBackup {
            cost: BackupCost::default(),
            salt: [1; SALT],
            nonce: [2; NONCE],
            sealed: vec![3; SealedBackup::MAX_SEALED],
        };
        assert_eq!(longest.to_bytes().len(), SealedBackup::MAX_LEN);
        let text = serde_json::to_string(&longest).unwrap();
        assert_eq!(serde_json::from_str::<SealedBackup>(&text).unwrap(), longest);
        assert!(!format!("{longest:?}").contains("3, 3"));
    }

    proptest! {
        #[test]
        fn decoding_then_encoding_gives_the_same_bytes(at in 0usize..66, byte in any::<u8>()) {
            let mut bytes = SealedBackup {
                cost: CHEAP, salt: [1; SALT], nonce: [2; NONCE], sealed: vec![3; PADDING + TAG],
            }.to_bytes();
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
