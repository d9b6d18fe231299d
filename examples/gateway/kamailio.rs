//! Kamailio's evapi: a connection on which questions come and answers go, as netstrings.
//!
//! Before anything else both sides prove that they have the secret of the link ([`crate::link`]).
//!
//! A question waits in Kamailio as a suspended transaction, not as a process. Both sides watch
//! each other: this side speaks every second, and Kamailio takes a second time without a word as
//! "there is nobody"; Kamailio answers each such word, and this side connects anew when it does
//! not. A question that cannot be answered gets no answer, and Kamailio gives the call up.

use crate::link::LinkSecret;
use crate::service::Service;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use unjoin::phone::gateway::{may_pass, sip};
use unjoin::phone::{Channel, Route};
use unjoin::store::Store;

/// How often this side speaks.
const WORD: Duration = Duration::from_secs(1);
/// How long Kamailio may say nothing. It answers every word.
const SILENCE: Duration = Duration::from_secs(3);
/// How often calls are looked for that nothing allows any more.
const ENDING: Duration = Duration::from_millis(500);
/// What is spoken. It has no id, so it is an answer to nothing.
const ALIVE: &[u8] = b"{\"alive\":true}";

/// Keeps a connection to Kamailio until `stopped`.
pub(crate) async fn speak<S: Store>(
    address: SocketAddr,
    secret: LinkSecret,
    service: Arc<Service<S>>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut was_connected = true;
    while !*stopped.borrow_and_update() {
        match timeout(SILENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                println!("connected to Kamailio");
                was_connected = true;
                if let Err(error) = session(stream, &secret, &service, &mut stopped).await {
                    println!("connection to Kamailio lost: {}", error.kind());
                }
            }
            Ok(Err(_)) | Err(_) if was_connected => {
                println!("waiting for Kamailio");
                was_connected = false;
            }
            Ok(Err(_)) | Err(_) => {}
        }
        let _ = timeout(Duration::from_millis(300), stopped.changed()).await;
    }
}

/// One connection, to its end.
async fn session<S: Store>(
    stream: TcpStream,
    secret: &LinkSecret,
    service: &Arc<Service<S>>,
    stopped: &mut watch::Receiver<bool>,
) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let (reading, mut writing) = stream.into_split();
    let mut questions = Netstrings::new(reading);
    proven(&mut questions, &mut writing, secret).await?;
    // Full when Kamailio does not read: then answers are dropped, and their calls given up.
    let (answers, mut waiting) = mpsc::channel::<Vec<u8>>(256);
    let words = answers.clone();
    // Whole netstrings only: Kamailio loses one that it gets in parts.
    let writer = tokio::spawn(async move {
        while let Some(payload) = waiting.recv().await {
            writing.write_all(&netstring(&payload)).await?;
        }
        writing.shutdown().await
    });
    let speaker = tokio::spawn(async move {
        while words.send(ALIVE.to_vec()).await.is_ok() {
            tokio::time::sleep(WORD).await;
        }
    });
    let (ending, board) = (answers.clone(), Arc::clone(service));
    // Every half second, so that a call is over within two of whatever ended it.
    let ender = tokio::spawn(async move {
        loop {
            tokio::time::sleep(ENDING).await;
            for call in board.calls_to_end().await {
                let _ = ending.try_send(format!("{{\"end\":\"{call}\"}}").into_bytes());
            }
        }
    });
    let outcome = loop {
        let stop = stopped.clone();
        let payload = match timeout(SILENCE, next_or_stopped(&mut questions, stop)).await {
            Ok(Ok(Some(payload))) => payload,
            Ok(Ok(None)) => break Ok(()),
            Ok(Err(error)) => break Err(error),
            Err(_) => break Err(ErrorKind::TimedOut.into()),
        };
        if let Some((call, progress)) = sip::progress(&payload) {
            service.switchboard.call_told(call, progress);
            continue;
        }
        // What is no question is the answer to a word.
        let Ok(question) = sip::question(&payload) else { continue };
        let (service, answers) = (Arc::clone(service), answers.clone());
        tokio::spawn(async move {
            let Some(mut route) = service.decide(&question).await else { return };
            let request = question.request(&service.plan);
            if question.channel() == Channel::Sms && matches!(route, Route::Connect { .. }) {
                let Some([text, name]) = sip::text(&payload) else { return };
                if !may_pass(&text) {
                    route = Route::Refuse;
                } else if !service.messages.is_first(&name) {
                    let done = format!("{{\"id\":\"{}\",\"route\":\"done\"}}", question.id());
                    let _ = answers.try_send(done.into_bytes());
                    return;
                }
            }
            let answer = sip::answer(&question, request.as_ref(), &route, &service.plan);
            let _ = answers.try_send(answer.as_bytes().to_vec());
        });
    };
    // Answers that are under way are written before the writer ends.
    speaker.abort();
    ender.abort();
    drop(answers);
    if outcome.is_ok() {
        let _ = timeout(SILENCE, writer).await;
    } else {
        writer.abort();
    }
    outcome
}

/// Both sides have proven that they have the secret; an error if the other one has not, in time.
async fn proven(
    heard: &mut Netstrings,
    writing: &mut OwnedWriteHalf,
    secret: &LinkSecret,
) -> Result<(), Error> {
    let next = timeout(SILENCE, heard.next()).await.map_err(|_| ErrorKind::TimedOut)??;
    let hello = secret.hello(&next).ok_or(ErrorKind::PermissionDenied)?;
    writing.write_all(&netstring(&hello.message)).await?;
    let next = timeout(SILENCE, heard.next()).await.map_err(|_| ErrorKind::TimedOut)??;
    if hello.is_answered_by(&next) { Ok(()) } else { Err(ErrorKind::PermissionDenied.into()) }
}

fn netstring(payload: &[u8]) -> Vec<u8> {
    let mut netstring = format!("{}:", payload.len()).into_bytes();
    netstring.extend_from_slice(payload);
    netstring.push(b',');
    netstring
}

/// The next netstring; `None` when the end is asked for.
async fn next_or_stopped(
    questions: &mut Netstrings,
    mut stopped: watch::Receiver<bool>,
) -> Result<Option<Vec<u8>>, Error> {
    use std::future::{Future, poll_fn};
    use std::task::Poll;
    let mut next = std::pin::pin!(questions.next());
    let mut stopped = std::pin::pin!(stopped.wait_for(|stopped| *stopped));
    poll_fn(|context| {
        if stopped.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(None));
        }
        next.as_mut().poll(context).map_ok(Some)
    })
    .await
}

/// `length:payload,` one after the other; a payload is no longer than a question can be.
struct Netstrings {
    from: OwnedReadHalf,
    buffer: Vec<u8>,
}

impl Netstrings {
    fn new(from: OwnedReadHalf) -> Self {
        Self { from, buffer: Vec::new() }
    }

    /// The next payload. Loses nothing when it is dropped before it is ready.
    async fn next(&mut self) -> Result<Vec<u8>, Error> {
        loop {
            if let Some((payload, length)) = first_netstring(&self.buffer)? {
                let payload = payload.to_vec();
                self.buffer.drain(..length);
                return Ok(payload);
            }
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// The payload at the beginning of `bytes` and the length of its netstring, if all of it is
/// there.
fn first_netstring(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, Error> {
    const DIGITS: usize = 5;
    let Some(colon) = bytes.iter().take(DIGITS + 1).position(|byte| *byte == b':') else {
        let is_begun = bytes.len() <= DIGITS && bytes.iter().all(u8::is_ascii_digit);
        return if is_begun { Ok(None) } else { Err(ErrorKind::InvalidData.into()) };
    };
    let digits = std::str::from_utf8(&bytes[..colon]).map_err(|_| ErrorKind::InvalidData)?;
    let length: usize = digits.parse().map_err(|_| ErrorKind::InvalidData)?;
    if length > sip::MAX_BYTES {
        return Err(ErrorKind::InvalidData.into());
    }
    let end = colon + 1 + length;
    match bytes.get(end) {
        None => Ok(None),
        Some(b',') => Ok(Some((&bytes[colon + 1..end], end + 1))),
        Some(_) => Err(ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::first_netstring;

    #[test]
    fn a_netstring_is_taken_whole_or_not_yet() {
        let whole = b"5:hello,2:no,";
        assert_eq!(first_netstring(whole).unwrap(), Some((&b"hello"[..], 8)));
        for cut in 0..8 {
            assert_eq!(first_netstring(&whole[..cut]).unwrap(), None);
        }
        assert_eq!(first_netstring(b"0:,").unwrap(), Some((&b""[..], 3)));
    }

    #[test]
    fn what_is_no_netstring_is_an_error() {
        for wrong in [&b"x"[..], b":", b"-1:", b"5:hello.", b"16385:", b"999999", b"123456:", b"1 :x,"] {
            assert!(first_netstring(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
    }
}
