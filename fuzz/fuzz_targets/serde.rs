//! serde's two forms, JSON for people and postcard for machines, carry exactly the wire's bytes:
//! they accept what the wire decoder accepts and nothing else, in one spelling only.

#![no_main]

use base64ct::{Base64UrlUnpadded, Encoding};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use serde::{Serialize, de::DeserializeOwned};
use unjoin::wire::Message;
use unjoin_fuzz::{for_every_kind, kinds::stretched, mutate};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate::message(data, size, max_size, seed)
});

fn agrees<M: Message + Serialize + DeserializeOwned>(bytes: &[u8], json: &str, binary: &[u8]) {
    let wire = M::from_bytes(bytes).ok();
    let from_json = serde_json::from_str::<M>(json).ok();
    let from_binary = postcard::from_bytes::<M>(binary).ok();
    assert_eq!(from_json.map(|message| message.to_bytes()), wire.as_ref().map(Message::to_bytes));
    assert_eq!(from_binary.map(|message| message.to_bytes()), wire.as_ref().map(Message::to_bytes));
    if let Some(message) = wire {
        assert_eq!(serde_json::to_string(&message).unwrap(), json);
        assert_eq!(postcard::to_allocvec(&message).unwrap(), binary);
    }
}

/// Arbitrary input as a document: what is accepted has one spelling.
fn has_one_spelling<M: Message + Serialize + DeserializeOwned>(data: &[u8], text: Option<&str>) {
    // A document's own escapes and white space are JSON's; the string within has one form.
    if let Ok(message) = serde_json::from_slice::<M>(data) {
        let read: String = serde_json::from_slice(data).unwrap();
        assert_eq!(read, Base64UrlUnpadded::encode_string(&message.to_bytes()));
    }
    if let Some(Ok(message)) = text.map(|text| serde_json::from_value::<M>(text.into())) {
        assert_eq!(text.unwrap(), Base64UrlUnpadded::encode_string(&message.to_bytes()));
    }
    if let Ok((message, _)) = postcard::take_from_bytes::<M>(data) {
        let (read, _) = postcard::take_from_bytes::<&[u8]>(data).unwrap();
        assert_eq!(message.to_bytes(), read);
    }
}

fuzz_target!(|data: &[u8]| {
    let bytes = stretched(data);
    let json = format!("\"{}\"", Base64UrlUnpadded::encode_string(&bytes));
    let binary = postcard::to_allocvec(bytes.as_slice()).unwrap();
    // The header chooses the kind; for all others the wire's verdict is no, and theirs too.
    let kind = data.get(1).copied();
    let text = core::str::from_utf8(data).ok();
    macro_rules! check {
        ($kind:ty) => {
            if kind == Some(<$kind>::KIND) || kind.is_some_and(|kind| kind % 19 == <$kind>::KIND % 19) {
                agrees::<$kind>(&bytes, &json, &binary);
            }
            has_one_spelling::<$kind>(data, text);
        };
    }
    for_every_kind!(check);
});
