//! Opening never panics, whatever the bytes or the sealed part hold; what opens is a wallet whose
//! tokens present and seal again; what was sealed opens with its passphrase and no other.
//!
//! The sealed part is made here a second time, from the wire manual alone (Argon2id and
//! XChaCha20-Poly1305), so that any plaintext reaches the decoder behind the seal.

#![no_main]

use arbitrary::Arbitrary;
use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::{XChaCha20Poly1305, XNonce, aead::AeadInOut, aead::KeyInit};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use unjoin::PassphraseCost;
use unjoin::wire::Message;
use unjoin_fuzz::pool::{AUTHORS, issuer, review, wallet};
use unjoin_test_util::Seeded;
use unjoin_wallet::{SealedBackup, Token, Wallet, open_backup};

const PASSPHRASE: &[u8] = b"horse";
/// Version, kind, three le32 of cost, salt, nonce, le32 of length.
const HEADER: usize = 58;
const PADDING: usize = 16_384;
const TAG: usize = 16;

#[derive(Arbitrary, Debug)]
enum Input {
    /// A whole message; its cost is made the least, or opening would be all that is done.
    Bytes(Vec<u8>),
    /// A valid backup with bytes changed, anywhere.
    Changed(Vec<(u16, u8)>),
    /// A well-sealed backup of a changed plaintext: bytes to set, or pieces to put in.
    Plain {
        changes: Vec<(u16, u8)>,
        splice: Option<(u16, Vec<u8>)>,
        blocks: u8,
    },
    Sealed {
        wallet: u8,
        tokens: u8,
        passphrase: Vec<u8>,
        other: Vec<u8>,
        seed: u64,
    },
}

fn cheap() -> PassphraseCost {
    PassphraseCost::LEAST
}

/// The wallet of the first two authors, and what they hold.
fn tokens() -> Vec<Token> {
    let random = &mut Seeded(1);
    let own = AUTHORS.iter().take(2).map(|author| {
        let keys = author.keys();
        let offer = unjoin::token::Offer {
            handle: author.token.handle(),
            scope: author.token.scope().clone(),
            issuer_key: *keys.issuer_key.public(),
            escrow_key: keys.escrow_key,
        };
        let trust = unjoin_fuzz::pool::KEYS.trust();
        let (pending, _) = author
            .wallet
            .request(&issuer(), offer.scope.merchant(), offer.handle, &offer, &trust, random)
            .unwrap();
        author.wallet.finish(pending, &author.grant, random).unwrap()
    });
    own.collect()
}

struct Template {
    bytes: Vec<u8>,
    key: [u8; 32],
    plain: Vec<u8>,
}

static TEMPLATE: LazyLock<Template> = LazyLock::new(|| {
    let backup = wallet(0).seal_backup(&tokens(), PASSPHRASE, cheap(), &mut Seeded(2)).unwrap();
    let bytes = backup.to_bytes();
    let mut key = [0; 32];
    let params = Params::new(PassphraseCost::MIN_MEMORY_KIB, 1, 1, Some(32)).unwrap();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(PASSPHRASE, &bytes[14..30], &mut key)
        .unwrap();
    let mut plain = bytes[HEADER..].to_vec();
    XChaCha20Poly1305::new(&key.into())
        .decrypt_in_place(&nonce(&bytes), &bytes[..HEADER], &mut plain)
        .expect("the second implementation opens what the first sealed");
    Template { bytes, key, plain }
});

fn nonce(bytes: &[u8]) -> XNonce {
    XNonce::from(<[u8; 24]>::try_from(&bytes[30..54]).unwrap())
}

fn seal(mut plain: Vec<u8>) -> Vec<u8> {
    let mut bytes = TEMPLATE.bytes[..HEADER].to_vec();
    bytes[54..].copy_from_slice(&((plain.len() + TAG) as u32).to_le_bytes());
    let cipher = XChaCha20Poly1305::new(&TEMPLATE.key.into());
    cipher.encrypt_in_place(&nonce(&bytes), &bytes, &mut plain).unwrap();
    bytes.extend(plain);
    bytes
}

/// What opened is whole: its tokens are this wallet's, present, and seal again.
fn sealed_again(wallet: &Wallet, tokens: &[Token]) -> Vec<u8> {
    for token in tokens {
        wallet.review_id(token).unwrap();
        wallet.presentation(token, &review(0), &mut Seeded(3)).unwrap();
    }
    let again = wallet.seal_backup(tokens, PASSPHRASE, cheap(), &mut Seeded(2)).unwrap();
    assert_eq!(again, SealedBackup::from_bytes(&again.to_bytes()).unwrap());
    again.to_bytes()
}

fuzz_target!(|input: Input| {
    let template = &*TEMPLATE;
    match input {
        Input::Bytes(mut bytes) => {
            if bytes.len() >= 14 {
                bytes[..2].copy_from_slice(&[1, 14]);
                bytes[2..14].copy_from_slice(&template.bytes[2..14]);
            }
            bytes.resize(bytes.len().max(HEADER + PADDING + TAG), 0);
            if let Ok(backup) = SealedBackup::from_bytes(&bytes) {
                assert!(open_backup(&backup, PASSPHRASE).is_err());
            }
        }
        Input::Changed(changes) => {
            let mut bytes = template.bytes.clone();
            for (at, byte) in changes {
                let at = usize::from(at) % bytes.len();
                bytes[at] ^= byte;
            }
            // The least cost only: others are refused or take their time.
            if bytes[2..14] != template.bytes[2..14] {
                let _ = SealedBackup::from_bytes(&bytes);
                return;
            }
            let opened = SealedBackup::from_bytes(&bytes).is_ok_and(|b| open_backup(&b, PASSPHRASE).is_ok());
            assert_eq!(opened, bytes == template.bytes);
        }
        Input::Plain { changes, splice, blocks } => {
            let mut plain = template.plain.clone();
            if let Some((at, piece)) = splice {
                let at = usize::from(at) % 1024;
                plain.splice(at..at, piece);
            }
            plain.resize(PADDING * (1 + usize::from(blocks % 2)), 0);
            for (at, byte) in changes {
                plain[usize::from(at) % 1024] ^= byte;
            }
            let unchanged = plain == template.plain;
            let bytes = seal(plain);
            let backup = SealedBackup::from_bytes(&bytes).unwrap();
            match open_backup(&backup, PASSPHRASE) {
                Ok((wallet, tokens)) => {
                    // Salt and nonce are the same, so equal ciphertexts are equal plaintexts: a
                    // backup has one spelling, but for the number of its padding's blocks.
                    let again = sealed_again(&wallet, &tokens);
                    assert_eq!(again[HEADER..HEADER + PADDING], bytes[HEADER..HEADER + PADDING]);
                }
                Err(_) => assert!(!unchanged),
            }
        }
        Input::Sealed { wallet: number, tokens: count, passphrase, other, seed } => {
            let (number, random) = (number % 2, &mut Seeded(seed));
            let (wallet, held) = (wallet(number), tokens());
            let held = &held[..if number == 0 { usize::from(count) % 3 } else { 0 }];
            let Ok(backup) = wallet.seal_backup(held, &passphrase, cheap(), random) else {
                return assert!(passphrase.is_empty());
            };
            let backup = SealedBackup::from_bytes(&backup.to_bytes()).unwrap();
            let (opened, tokens) = open_backup(&backup, &passphrase).unwrap();
            assert_eq!(opened.wallet_key(&issuer()), wallet.wallet_key(&issuer()));
            let ids = |wallet: &Wallet, tokens: &[Token]| -> Vec<_> {
                tokens.iter().map(|token| (wallet.review_id(token).unwrap(), token.handle())).collect()
            };
            assert_eq!(ids(&opened, &tokens), ids(&wallet, held));
            sealed_again(&opened, &tokens);
            assert_eq!(open_backup(&backup, &other).is_ok(), other == passphrase);
        }
    }
});
