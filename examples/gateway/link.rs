//! Who is at the other end of the link to Kamailio: both sides prove that they have the same secret, before a question or an
//! answer passes. The proxy sends a challenge; the gateway answers with a nonce and a proof; the proxy answers with its own.
//!
//! A proof is `SHA-256(secret || " " || SHA-256(secret || " " || who || " " || proxy's nonce || " " || gateway's nonce))`, all of
//! them in hexadecimal: what Kamailio's script can reckon. Both nonces are fresh, so no proof serves twice, and `who` is in
//! it, so none serves for the other side.

use sha2::{Digest, Sha256};
use std::path::Path;
use subtle::ConstantTimeEq;
use unjoin::secret::{SecretBytes, SystemRng};

/// 32 bytes in hexadecimal.
const DIGITS: usize = 64;

/// What both sides have.
pub(crate) struct LinkSecret(SecretBytes<DIGITS>);

/// The gateway's nonce, and which proof of the proxy's belongs to it.
pub(crate) struct Hello {
    pub(crate) message: Vec<u8>,
    expected: SecretBytes<DIGITS>,
}

impl LinkSecret {
    /// The file that Kamailio includes: a line `#!substdef "!GATEWAY_SECRET!` and 64 hexadecimal digits, `!g"`.
    pub(crate) fn read(path: &Path) -> Result<Self, std::io::Error> {
        let text = std::fs::read_to_string(path)?;
        let digits = text.lines().find_map(|line| {
            line.strip_prefix("#!substdef \"!GATEWAY_SECRET!")?
                .strip_suffix("!g\"")?
                .as_bytes()
                .try_into()
                .ok()
        });
        let digits = digits.filter(|digits: &[u8; DIGITS]| digits.iter().all(is_digit));
        digits.map(|digits| Self(SecretBytes::new(digits))).ok_or_else(|| {
            std::io::Error::other(
                "it is to be the line: #!substdef \"!GATEWAY_SECRET!64 hexadecimal digits!g\"",
            )
        })
    }

    /// What is said to a proxy that sent this challenge; `None` if it is none.
    pub(crate) fn hello(&self, message: &[u8]) -> Option<Hello> {
        let challenge = message.strip_prefix(b"challenge=")?;
        if challenge.len() != DIGITS || !challenge.iter().all(is_digit) {
            return None;
        }
        let nonce = hexadecimal(SecretBytes::<32>::random(&mut SystemRng::new()).expose());
        let proof = self.proof(b"gateway", challenge, nonce.expose());
        let mut message = b"{\"nonce\":\"".to_vec();
        message.extend_from_slice(nonce.expose());
        message.extend_from_slice(b"\",\"proof\":\"");
        message.extend_from_slice(proof.expose());
        message.extend_from_slice(b"\"}");
        Some(Hello { message, expected: self.proof(b"proxy", challenge, nonce.expose()) })
    }

    fn proof(&self, who: &[u8], challenge: &[u8], nonce: &[u8]) -> SecretBytes<DIGITS> {
        let secret = self.0.expose();
        let inner = Sha256::new().chain_update(secret).chain_update(b" ").chain_update(who);
        let inner = inner.chain_update(b" ").chain_update(challenge).chain_update(b" ").chain_update(nonce);
        let inner = hexadecimal(&inner.finalize().into());
        let outer = Sha256::new().chain_update(secret).chain_update(b" ").chain_update(inner.expose());
        hexadecimal(&outer.finalize().into())
    }
}

impl Hello {
    /// Whether this is the proof of a proxy that has the secret.
    pub(crate) fn is_answered_by(&self, message: &[u8]) -> bool {
        let proof = message.strip_prefix(b"proof=").and_then(|proof| <[u8; DIGITS]>::try_from(proof).ok());
        proof.is_some_and(|proof| SecretBytes::new(proof).ct_eq(&self.expected).into())
    }
}

fn is_digit(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn hexadecimal(bytes: &[u8; 32]) -> SecretBytes<DIGITS> {
    let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + half - 10 };
    let mut digits = [0; DIGITS];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    SecretBytes::new(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(of: u8) -> LinkSecret {
        LinkSecret(SecretBytes::new([of; DIGITS]))
    }

    fn asked(of: &LinkSecret, challenge: &str) -> Hello {
        of.hello(format!("challenge={challenge}").as_bytes()).unwrap()
    }

    fn nonce(hello: &Hello) -> Vec<u8> {
        hello.message[10..10 + DIGITS].to_vec()
    }

    #[test]
    fn only_who_has_the_secret_answers_a_hello_and_only_this_one() {
        let challenge = "ab".repeat(32);
        let (ours, hello) = (secret(b'1'), asked(&secret(b'1'), &challenge));
        let told = |of: &LinkSecret, who: &[u8], hello: &Hello| {
            let proof = of.proof(who, challenge.as_bytes(), &nonce(hello));
            [b"proof=", &proof.expose()[..]].concat()
        };
        assert!(hello.is_answered_by(&told(&ours, b"proxy", &hello)));
        // Another secret; our own proof sent back; the proof of another hello; nothing of the kind.
        assert!(!hello.is_answered_by(&told(&secret(b'2'), b"proxy", &hello)));
        assert!(!hello.is_answered_by(&told(&ours, b"gateway", &hello)));
        assert!(!hello.is_answered_by(&told(&ours, b"proxy", &asked(&ours, &challenge))));
        for wrong in [&b"proof="[..], b"{\"alive\":true}", b"id=1:1&channel=voice", b""] {
            assert!(!hello.is_answered_by(wrong));
        }
    }

    #[test]
    fn what_is_no_challenge_is_answered_with_nothing() {
        for wrong in ["", "challenge=", "challenge=zz", "id=1:1&channel=voice"] {
            assert!(secret(b'1').hello(wrong.as_bytes()).is_none());
        }
        assert!(secret(b'1').hello(format!("challenge={}", "A".repeat(64)).as_bytes()).is_none());
    }
}
