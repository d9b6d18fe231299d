//! A transaction pooler that follows named statements: each transaction is served by whichever backend is free, and a
//! statement that this backend has not seen is prepared there first, under a name that no other client's has. It plays
//! no PgBouncer beyond that.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

const BACKENDS: usize = 3;

pub(super) struct Follower {
    pub(super) port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    idle: Mutex<Vec<Backend>>,
    returned: Condvar,
    over: AtomicBool,
    names: AtomicU64,
}

/// A message: its kind, and its body.
type Message = (u8, Vec<u8>);

struct Backend {
    stream: TcpStream,
    prepared: HashSet<Vec<u8>>,
}

fn message(stream: &mut TcpStream) -> io::Result<Message> {
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    Ok((head[0], body(stream, [head[1], head[2], head[3], head[4]])?))
}

fn body(stream: &mut TcpStream, length: [u8; 4]) -> io::Result<Vec<u8>> {
    let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
    stream.read_exact(&mut body)?;
    Ok(body)
}

fn send(stream: &mut TcpStream, kind: u8, body: &[u8]) -> io::Result<()> {
    let length = (body.len() as u32 + 4).to_be_bytes();
    stream.write_all(&[&[kind][..], &length, body].concat())
}

impl Backend {
    fn connect(port: u16) -> io::Result<Self> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        let text = format!("\0\x03\0\0user\0{}\0database\0postgres\0\0", crate::server::USER);
        stream.write_all(&(text.len() as u32 + 4).to_be_bytes())?;
        stream.write_all(text.as_bytes())?;
        while message(&mut stream)?.0 != b'Z' {}
        Ok(Self { stream, prepared: HashSet::new() })
    }
}

impl Follower {
    /// Before a server that trusts whoever comes.
    pub(super) fn start(behind: u16) -> Self {
        let shared = Arc::<Shared>::default();
        let backends = (0..BACKENDS).map(|_| Backend::connect(behind).unwrap());
        shared.idle.lock().unwrap().extend(backends);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map(Result::unwrap) {
                if own.over.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&own);
                thread::spawn(move || drop(shared.serve(client, behind)));
            }
        });
        Self { port, shared }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Shared {
    fn take(&self) -> Backend {
        let mut idle = self.idle.lock().unwrap();
        loop {
            match idle.pop() {
                Some(backend) => return backend,
                None => idle = self.returned.wait(idle).unwrap(),
            }
        }
    }

    fn give_back(&self, backend: Backend) {
        self.idle.lock().unwrap().push(backend);
        self.returned.notify_one();
    }

    fn serve(&self, mut client: TcpStream, behind: u16) -> io::Result<()> {
        loop {
            let mut length = [0; 4];
            client.read_exact(&mut length)?;
            // A request for TLS, or the user and the database, which are known.
            match body(&mut client, length)?.as_slice() {
                [4, 210, 22, 47] => client.write_all(b"N")?,
                _ => break,
            }
        }
        send(&mut client, b'R', &[0; 4])?;
        send(&mut client, b'Z', b"I")?;
        let mut statements = HashMap::new();
        let mut held = None;
        let served = self.transactions(&mut client, &mut statements, &mut held);
        if let Some(backend) = held {
            // In the middle of a transaction, which ends with its session.
            let _ = backend.stream.shutdown(Shutdown::Both);
            self.give_back(Backend::connect(behind)?);
        }
        served
    }

    fn transactions(
        &self,
        client: &mut TcpStream,
        statements: &mut HashMap<Vec<u8>, (Vec<u8>, Vec<u8>)>,
        held: &mut Option<Backend>,
    ) -> io::Result<()> {
        loop {
            let mut unit = Vec::new();
            loop {
                let (kind, body) = message(client)?;
                unit.push((kind, body));
                match kind {
                    b'X' => return Ok(()),
                    b'S' | b'Q' => break,
                    _ => {}
                }
            }
            let backend = held.get_or_insert_with(|| self.take());
            // Whether the client has asked for it, of each preparation.
            let mut asked = VecDeque::new();
            for (kind, body) in unit {
                self.forward(backend, statements, &mut asked, kind, body)?;
            }
            let free = loop {
                let (kind, body) = message(&mut backend.stream)?;
                if kind != b'1' || asked.pop_front() == Some(true) {
                    send(client, kind, &body)?;
                }
                if kind == b'Z' {
                    break body == b"I";
                }
            };
            if free && let Some(backend) = held.take() {
                self.give_back(backend);
            }
        }
    }

    /// One message of a client, under the names that its statements have here.
    fn forward(
        &self,
        backend: &mut Backend,
        statements: &mut HashMap<Vec<u8>, (Vec<u8>, Vec<u8>)>,
        asked: &mut VecDeque<bool>,
        kind: u8,
        body: Vec<u8>,
    ) -> io::Result<()> {
        let word = |from: usize| body[from..].split(|byte| *byte == 0).next().unwrap().to_vec();
        // What is before the name, if there is one in this message.
        let before = match (kind, body.first()) {
            (b'P', _) => 0,
            (b'B', _) => word(0).len() + 1,
            (b'D' | b'C', Some(b'S')) => 1,
            _ => return send(&mut backend.stream, kind, &body),
        };
        let name = word(before);
        let rest = body[before + name.len()..].to_vec();
        if kind == b'P' && !name.is_empty() {
            let own = format!("f{}", self.names.fetch_add(1, Ordering::SeqCst)).into_bytes();
            statements.insert(name.clone(), (own, rest.clone()));
        }
        let own = match statements.get(&name) {
            Some((own, text)) => {
                if kind != b'C' && backend.prepared.insert(own.clone()) {
                    send(&mut backend.stream, b'P', &[own.as_slice(), text].concat())?;
                    asked.push_back(kind == b'P');
                    if kind == b'P' {
                        return Ok(());
                    }
                }
                own.clone()
            }
            None => name,
        };
        if kind == b'P' {
            asked.push_back(true);
        }
        if kind == b'C' {
            backend.prepared.remove(&own);
        }
        send(&mut backend.stream, kind, &[&body[..before], &own, &rest].concat())
    }
}
