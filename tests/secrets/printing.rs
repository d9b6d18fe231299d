//! What a text tells of a secret, however it is printed.

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding};
use curve25519_dalek::scalar::Scalar;
use std::fmt::Debug;
use unjoin_test_util::hex;

/// How many bytes of a secret in a row count as found.
pub(crate) const TELLING: usize = 8;

/// The ways in which `TELLING` bytes, or a few more, could be printed.
pub(crate) fn printed(secret: &[u8]) -> Vec<String> {
    let mut ways = Vec::new();
    for part in secret.windows(TELLING) {
        ways.push(hex(part));
        ways.push(part.iter().map(|byte| format!("{byte:02X}")).collect());
        ways.push(part.iter().map(|byte| byte.to_string()).collect::<Vec<_>>().join(","));
        ways.push(part.iter().map(|byte| format!("{byte:x}")).collect::<Vec<_>>().join(","));
        ways.push(part.iter().map(|byte| format!("{byte:#x}")).collect::<Vec<_>>().join(","));
        // A text is searched for as it stands, since a few letters of it prove nothing.
        ways.extend(std::str::from_utf8(part).ok().filter(|text| !text.contains(' ')).map(str::to_owned));
    }
    for part in secret.windows(TELLING / 3 * 3 + 3) {
        ways.push(Base64Unpadded::encode_string(part));
        ways.push(Base64UrlUnpadded::encode_string(part));
    }
    ways
}

/// Whether a secret can be read from a text, pretty-printed or not.
pub(crate) fn tells(text: &str, secret: &[u8]) -> bool {
    let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    printed(secret).iter().any(|way| plain.contains(way.as_str()))
}

pub(crate) fn assert_silent(value: &impl Debug, secrets: &[&[u8]]) {
    for text in [format!("{value:?}"), format!("{value:#?}")] {
        for secret in secrets {
            assert!(!tells(&text, secret), "{text} tells {secret:02x?}");
        }
    }
}

/// `ways`: those in which the secrets could be printed.
pub(crate) fn assert_silent_error(error: &(impl std::error::Error + ?Sized), ways: &[String]) {
    let mut texts = vec![format!("{error}"), format!("{error:?}"), format!("{error:#?}")];
    let mut source = error.source();
    while let Some(inner) = source {
        texts.push(format!("{inner} {inner:?}"));
        source = inner.source();
    }
    for text in texts {
        let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        for way in ways {
            assert!(!plain.contains(way.as_str()), "{text} tells {way}");
        }
    }
}

#[test]
fn a_secret_is_found_however_it_is_printed() {
    let secret: [u8; 32] = std::array::from_fn(|i| (i as u8).wrapping_mul(37) ^ 0xa5);
    let base64 = Base64Unpadded::encode_string(&secret);
    let url = Base64UrlUnpadded::encode_string(&secret);
    let scalar = Scalar::from_bytes_mod_order(secret);
    let texts = [
        format!("{secret:?}"),
        format!("{secret:#?}"),
        format!("{secret:02x?}"),
        format!("{secret:#04x?}"),
        secret.iter().map(|byte| format!("{byte:02X}")).collect(),
        format!("token {base64}"),
        format!("token {url}"),
        format!("{:?}", &secret[9..18]),
    ];
    for text in texts {
        assert!(tells(&text, &secret), "{text}");
    }
    assert!(
        tells(&format!("{scalar:?}"), scalar.as_bytes())
            && tells("of jane@mail.example", b"jane@mail.example")
    );
    assert!(!tells("nothing of it", &secret));
}
