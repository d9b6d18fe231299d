//! A connection for prepared requests, which costs the machine that it measures as little as it
//! can: one write for a request, and of an answer its status, its length and its body.

use crate::client::{Answered, Outcome};
use hyper::StatusCode;
use hyper::body::Bytes;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The most bytes of an answer.
const MOST: usize = 1 << 20;

pub(crate) struct Sender {
    address: SocketAddr,
    stream: Option<TcpStream>,
    received: Vec<u8>,
}

impl Sender {
    /// Connects at the first request.
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self { address, stream: None, received: Vec::new() }
    }

    /// On the connection there is, or on another if it was closed. After an error the next request
    /// connects anew.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Outcome<Answered> {
        // Nothing comes that was not asked for: what can be read is the other side's end.
        let mut stream = match self.stream.take().filter(|stream| stream.try_read(&mut [0]).is_err()) {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        stream.write_all(request).await?;
        self.received.clear();
        loop {
            if let Some(head) = Head::of(&self.received)?
                && let Some(body) = self.received.get(head.bytes..head.bytes + head.length)
            {
                let body = Bytes::copy_from_slice(body);
                self.stream = Some(stream).filter(|_| !head.closes);
                return Ok(Answered { status: head.status, body });
            }
            if stream.read_buf(&mut self.received).await? == 0 {
                return Err("the answer broke off".into());
            }
        }
    }
}

struct Head {
    status: StatusCode,
    /// Its own length.
    bytes: usize,
    /// The body's.
    length: usize,
    closes: bool,
}

impl Head {
    /// `None` if more is to come.
    fn of(received: &[u8]) -> Outcome<Option<Self>> {
        const END: &[u8] = b"\r\n\r\n";
        let Some(end) = received.windows(END.len()).position(|window| window == END) else {
            return if received.len() < MOST { Ok(None) } else { Err("an answer without an end".into()) };
        };
        let mut lines = std::str::from_utf8(&received[..end])?.split("\r\n");
        let status =
            lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).and_then(|line| line.get(..3));
        let status = status.ok_or("no HTTP/1.1")?.parse()?;
        let (mut length, mut closes) = (None, false);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.trim().parse()?);
            } else if name.eq_ignore_ascii_case("connection") {
                closes |= value.trim().eq_ignore_ascii_case("close");
            }
        }
        let length = length.filter(|length| *length < MOST).ok_or("an answer without its length")?;
        Ok(Some(Self { status, bytes: end + END.len(), length, closes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prepared::post;
    use tokio::net::TcpListener;

    /// Gives these answers, a piece at a time, to as many connections; each is closed after its own.
    async fn serving(answers: Vec<Vec<&'static [u8]>>) -> SocketAddr {
        let listener = TcpListener::bind("[::1]:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for pieces in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 4096]).await.unwrap();
                for piece in pieces {
                    stream.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn an_answer_is_read_in_whatever_pieces_it_comes() {
        let whole = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\nretry-after: 1\r\n\r\n{\"a\"}";
        let answers = (1..whole.len()).map(|at| vec![&whole[..at], &whole[at..]]).collect();
        let mut sender = Sender::to(serving(answers).await);
        for _ in 1..whole.len() {
            // The connection before this was closed: another is made.
            sender.stream = None;
            let answered = sender.send(&post("/door", "text/plain", b"{}")).await.unwrap();
            assert_eq!((answered.status.as_u16(), &answered.body[..]), (503, &b"{\"a\"}"[..]));
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error() {
        let answers: [&[u8]; 4] = [
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
            b"SSH-2.0\r\n\r\n",
        ];
        let mut sender = Sender::to(serving(answers.map(|answer| vec![answer]).to_vec()).await);
        for _ in answers {
            assert!(sender.send(&post("/door", "text/plain", b"{}")).await.is_err());
        }
    }
}
