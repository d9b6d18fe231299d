//! The one request and the one answer at the door, as binary HTTP (RFC 9292) of known length.
//!
//! There is one method, one path and one set of headers, so what stands around the content is the same
//! bytes each time. They are compared and never parsed: what differs is not the door's.

use crate::DoorError;
use unjoin_core::token::{DoorAnswer, DoorMessage};

/// The door's host, as requests name it.
#[derive(Clone)]
pub(crate) struct Authority(Vec<u8>);

const SCHEME: &[u8] = b"https";
const PATH: &[u8] = b"/door";
const FIELD: [&[u8]; 2] = [b"content-type", b"application/octet-stream"];

impl Authority {
    const MOST: usize = 63;

    pub(crate) fn new(name: &str) -> Result<Self, DoorError> {
        let is_of_a_name =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".:-".contains(&byte);
        let holds = (1..=Self::MOST).contains(&name.len()) && name.bytes().all(is_of_a_name);
        if holds { Ok(Self(name.into())) } else { Err(DoorError::Authority) }
    }

    /// All of a request before its content.
    fn head(&self) -> Vec<u8> {
        // A request of known length.
        let mut head = vec![0];
        for part in [b"POST", SCHEME, &self.0, PATH] {
            short(&mut head, part);
        }
        fields(&mut head);
        long(&mut head, DoorMessage::LENGTH);
        head
    }

    /// The request with this content.
    pub(crate) fn request(&self, content: &[u8]) -> Vec<u8> {
        let mut request = self.head();
        request.extend_from_slice(content);
        request.extend_from_slice(NO_TRAILERS);
        request
    }

    /// How long requests are.
    pub(crate) fn request_length(&self) -> usize {
        self.head().len() + DoorMessage::LENGTH + NO_TRAILERS.len()
    }

    /// The request's content; `None` if it is another request than the one there is.
    pub(crate) fn content<'a>(&self, request: &'a [u8]) -> Option<&'a [u8]> {
        within(request, &self.head(), DoorMessage::LENGTH)
    }
}

/// An answer of known length, status 200.
fn answer_head() -> Vec<u8> {
    let mut head = vec![1];
    long(&mut head, 200);
    fields(&mut head);
    long(&mut head, DoorAnswer::LENGTH);
    head
}

pub(crate) fn answer(content: &[u8]) -> Vec<u8> {
    [&answer_head(), content, NO_TRAILERS].concat()
}

/// How long answers are: framing, status, the field behind the length of all, the content's length, the content.
pub(crate) const ANSWER_LENGTH: usize = 1 + 2 + FIELDS_LENGTH + 2 + DoorAnswer::LENGTH + NO_TRAILERS.len();
const FIELDS_LENGTH: usize = 1 + 1 + FIELD[0].len() + 1 + FIELD[1].len();

pub(crate) fn answer_content(answer: &[u8]) -> Option<&[u8]> {
    within(answer, &answer_head(), DoorAnswer::LENGTH)
}

/// An empty section.
const NO_TRAILERS: &[u8] = &[0];

fn within<'a>(message: &'a [u8], head: &[u8], length: usize) -> Option<&'a [u8]> {
    let (content, end) = message.strip_prefix(head)?.split_at_checked(length)?;
    (end == NO_TRAILERS).then_some(content)
}

fn fields(out: &mut Vec<u8>) {
    let mut section = Vec::new();
    for part in FIELD {
        short(&mut section, part);
    }
    short(out, &section);
}

/// Bytes behind their length, which is less than 64: an integer of QUIC's (RFC 9000, 16) in one byte.
fn short(out: &mut Vec<u8>, bytes: &[u8]) {
    debug_assert!(bytes.len() < 64);
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

/// A number from 64 to 16,383 in two bytes.
fn long(out: &mut Vec<u8>, number: usize) {
    debug_assert!((64..1 << 14).contains(&number));
    out.extend_from_slice(&(number as u16 | 1 << 14).to_be_bytes());
}
