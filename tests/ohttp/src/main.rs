//! The door, held against the crates `ohttp` and `bhttp`, in both directions: their client asks our gateway, and our
//! device theirs.
//!
//! ```console
//! $ cargo test --manifest-path tests/ohttp/Cargo.toml
//! ```

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails where it panics"))]

fn main() {
    println!("the tests are the program: cargo test");
}

#[cfg(test)]
mod tests {
    use bhttp::{Message as Http, Mode};
    use ohttp::hpke::{Aead, Kdf, Kem};
    use ohttp::{ClientRequest, KeyConfig as TheirConfig, Server, SymmetricSuite};
    use std::io::Cursor;
    use unjoin_core::secret::SystemRng;
    use unjoin_core::token::{DoorAnswer, DoorMessage, DoorQuestion};
    use unjoin_core::wire::Message;
    use unjoin_core::{Timestamp, WEEK};
    use unjoin_door::{ANSWER_LENGTH, DoorError, Gateway, GatewayKey, KeyConfig, request_length, seal};

    const HOST: &str = "desk.example";
    const NOW: Timestamp = Timestamp::from_unix_seconds(1_514_764_800);

    fn question() -> DoorMessage {
        DoorMessage::new(DoorQuestion::Bundle { boundary: NOW, shard: 3, piece: 1 }).unwrap()
    }

    /// The door's one request, as they write it.
    fn their_request(content: &[u8]) -> Vec<u8> {
        let [post, https, host, door] = ["POST", "https", HOST, "/door"].map(|part| part.as_bytes().to_vec());
        let mut request = Http::request(post, https, host, door);
        request.put_header("content-type", "application/octet-stream");
        request.write_content(content);
        let mut written = Vec::new();
        request.write_bhttp(Mode::KnownLength, &mut written).unwrap();
        written
    }

    fn their_answer(content: &[u8]) -> Vec<u8> {
        let mut answer = Http::response(bhttp::StatusCode::OK);
        answer.put_header("content-type", "application/octet-stream");
        answer.write_content(content);
        let mut written = Vec::new();
        answer.write_bhttp(Mode::KnownLength, &mut written).unwrap();
        written
    }

    fn read(bytes: &[u8]) -> Http {
        Http::read_bhttp(&mut Cursor::new(bytes)).unwrap()
    }

    fn fields(message: &Http) -> Vec<(Vec<u8>, Vec<u8>)> {
        message.header().iter().map(|field| (field.name().to_vec(), field.value().to_vec())).collect()
    }

    fn one_field() -> Vec<(Vec<u8>, Vec<u8>)> {
        vec![(b"content-type".to_vec(), b"application/octet-stream".to_vec())]
    }

    /// With the list of its one key.
    fn our_gateway() -> (Gateway, Vec<u8>) {
        ohttp::init();
        let mut gateway = Gateway::new(HOST, 100).unwrap();
        let key = GatewayKey::generate(9, &mut SystemRng::new());
        let list = KeyConfig::to_list(&[*key.config()]);
        gateway.serve(key, NOW..NOW.saturating_add(WEEK));
        (gateway, list)
    }

    #[test]
    fn their_client_asks_our_gateway_and_reads_its_answer() {
        let (gateway, list) = our_gateway();

        let client = ClientRequest::from_encoded_config_list(&list).unwrap();
        let (request, waiting) = client.encapsulate(&their_request(&question().to_bytes())).unwrap();
        assert_eq!(request.len(), request_length(HOST).unwrap());
        let (message, reply) = gateway.open(&request, NOW).unwrap();
        assert_eq!(DoorMessage::from_bytes(&message), Ok(question()));
        assert_eq!(gateway.open(&request, NOW).unwrap_err(), DoorError::Replayed);

        let said = DoorAnswer::accepted(vec![7; 206]);
        let sealed = reply.seal(&said, &mut SystemRng::new());
        assert_eq!(sealed.len(), ANSWER_LENGTH);
        let answer = read(&waiting.decapsulate(&sealed).unwrap());
        assert_eq!(answer.control().status().map(bhttp::StatusCode::code), Some(200));
        assert_eq!(fields(&answer), one_field());
        assert_eq!(DoorAnswer::from_bytes(answer.content()), Ok(said));
    }

    #[test]
    fn our_device_asks_their_gateway_and_reads_its_answer() {
        ohttp::init();
        let suites = vec![
            SymmetricSuite::new(Kdf::HkdfSha256, Aead::Aes128Gcm),
            SymmetricSuite::new(Kdf::HkdfSha256, Aead::ChaCha20Poly1305),
        ];
        let server = Server::new(TheirConfig::new(3, Kem::X25519Sha256, suites).unwrap()).unwrap();
        let list = TheirConfig::encode_list(&[server.config()]).unwrap();
        let [config] = KeyConfig::from_list(&list).unwrap().try_into().unwrap();

        let (request, waiting) = seal(&config, HOST, &question(), &mut SystemRng::new()).unwrap();
        let (plain, reply) = server.decapsulate(&request).unwrap();
        assert_eq!(plain, their_request(&question().to_bytes()), "the same bytes of binary HTTP");
        let asked = read(&plain);
        let control = asked.control();
        let parts = [control.method(), control.scheme(), control.authority(), control.path()];
        assert_eq!(parts, [&b"POST"[..], b"https", HOST.as_bytes(), b"/door"].map(Some));
        assert_eq!(fields(&asked), one_field());
        assert_eq!(DoorMessage::from_bytes(asked.content()), Ok(question()));

        let said = DoorAnswer::refused(400, "desk.spent");
        let sealed = reply.encapsulate(&their_answer(&said.to_bytes())).unwrap();
        assert_eq!(sealed.len(), ANSWER_LENGTH);
        assert_eq!(waiting.open(&sealed), Ok(said));
    }

    /// What they allow, and the door does not.
    #[test]
    fn another_request_or_answer_of_theirs_is_none_of_the_doors() {
        let (gateway, list) = our_gateway();
        let client = || ClientRequest::from_encoded_config_list(&list).unwrap();

        let mut changed = their_request(&question().to_bytes());
        // POST becomes PUST.
        changed[3] = b'U';
        let (request, _) = client().encapsulate(&changed).unwrap();
        assert!(gateway.open(&request, NOW).unwrap().0.is_empty());
        // The sections at the end may be left out (RFC 9292, 3.8): of another length, so refused.
        changed.pop();
        let (request, _) = client().encapsulate(&changed).unwrap();
        assert_eq!(gateway.open(&request, NOW).unwrap_err(), DoorError::Length);

        let suites = vec![SymmetricSuite::new(Kdf::HkdfSha256, Aead::ChaCha20Poly1305)];
        let server = Server::new(TheirConfig::new(3, Kem::X25519Sha256, suites).unwrap()).unwrap();
        let list = TheirConfig::encode_list(&[server.config()]).unwrap();
        let [config] = KeyConfig::from_list(&list).unwrap().try_into().unwrap();
        let (request, waiting) = seal(&config, HOST, &question(), &mut SystemRng::new()).unwrap();
        let (_, reply) = server.decapsulate(&request).unwrap();
        let mut changed = their_answer(&DoorAnswer::accepted(Vec::new()).to_bytes());
        // 200 becomes 201.
        changed[2] = 0xc9;
        let sealed = reply.encapsulate(&changed).unwrap();
        assert_eq!(waiting.open(&sealed), Err(DoorError::Answer));
    }
}
