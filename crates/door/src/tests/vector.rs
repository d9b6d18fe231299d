//! The example of RFC 9458, appendix A, whose AEAD is AES-128-GCM.

use crate::{DoorError, KeyConfig, ohttp};
use hpke::aead::AesGcm128;
use unjoin_core::secret::SecretBytes;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

const SECRET: &str = "3c168975674b2fa8e465970b79c8dcf09f1c741626480bd4c6162fc5b6a98e1a";
const PUBLIC: &str = "31e1f05a740102115220e9af918f738674aec95f54db6e04eb705aae8e798155";
const CONFIG: &str =
    "01002031e1f05a740102115220e9af918f738674aec95f54db6e04eb705aae8e79815500080001000100010003";
const REQUEST: &str = "00034745540568747470730b6578616d706c652e636f6d012f";
const SEALED_REQUEST: &str = "010020000100014b28f881333e7c164ffc499ad9796f877f4e1051ee6d31bad19dec96c208b472\
                              6374e469135906992e1268c594d2a10c695d858c40a026e7965e7d86b83dd440b2c0185204b4d63525";
const ANSWER: &str = "0140c8";
const NONCE: &str = "c789e7151fcba46158ca84b04464910d";
const SEALED_ANSWER: &str = "c789e7151fcba46158ca84b04464910d86f9013e404feea014e7be4a441f234f857fbd";

#[test]
fn the_rfcs_example_is_opened_and_answered_byte_for_byte() {
    let secret = SecretBytes::new(bytes(SECRET).try_into().unwrap());
    let key = crate::GatewayKey::from_secret_bytes(1, SecretBytes::new(*secret.expose()));
    assert_eq!(key.public(), (1, bytes(PUBLIC).try_into().unwrap()));

    let (request, shared) = ohttp::open::<AesGcm128>(1, &secret, &bytes(SEALED_REQUEST)).unwrap();
    assert_eq!(request, bytes(REQUEST));
    assert_eq!(shared.seal::<AesGcm128>(&bytes(NONCE), &bytes(ANSWER)), Some(bytes(SEALED_ANSWER)));
    assert_eq!(shared.open::<AesGcm128>(&bytes(SEALED_ANSWER)), Ok(bytes(ANSWER)));

    // Sealing draws its own key, so the other direction is a round.
    let public = bytes(PUBLIC).try_into().unwrap();
    let rng = &mut unjoin_core::secret::SystemRng::new();
    let (sealed, waiting) = ohttp::seal::<AesGcm128>(1, &public, &bytes(REQUEST), rng).unwrap();
    assert_eq!((sealed.len(), &sealed[..7]), (bytes(SEALED_REQUEST).len(), &bytes(SEALED_REQUEST)[..7]));
    let (request, shared) = ohttp::open::<AesGcm128>(1, &secret, &sealed).unwrap();
    assert_eq!(request, bytes(REQUEST));
    let sealed = shared.seal::<AesGcm128>(&bytes(NONCE), &bytes(ANSWER)).unwrap();
    assert_eq!(waiting.open::<AesGcm128>(&sealed), Ok(bytes(ANSWER)));
}

/// It offers two suites, one of them ours.
#[test]
fn the_rfcs_key_configuration_is_read() {
    let list = [&[0, 45][..], &bytes(CONFIG)].concat();
    let config = KeyConfig { id: 1, public: bytes(PUBLIC).try_into().unwrap() };
    assert_eq!(KeyConfig::from_list(&list), Ok(vec![config]));
    // Another KEM is passed over, and so is a key without our suite.
    let mut other = list.clone();
    other[4] = 0x10;
    assert_eq!(KeyConfig::from_list(&other), Ok(vec![]));
    let mut other = list.clone();
    other[46] = 2;
    assert_eq!(KeyConfig::from_list(&[&other[..], &list].concat()), Ok(vec![config]));
    assert_eq!(KeyConfig::from_list(&list[1..]), Err(DoorError::Config));
}
