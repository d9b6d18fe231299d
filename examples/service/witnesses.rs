//! Witnesses over HTTP, as `examples/witness.rs` serves: `POST PREFIX/add-checkpoint` (C2SP tlog-witness).

use crate::hex::hex;
use crate::url::Url;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::header::{CONNECTION, HOST};
use hyper::http::request::Builder;
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use std::error::Error;
use std::str::FromStr;
use std::time::Duration;
use tokio::net::TcpStream;
use unjoin::ledger::{
    AddCheckpoint, LedgerConfig, NoteKey, SignatureLine, Witness, WitnessError, WitnessPolicy,
    WitnessPublicKey,
};

/// For a request and its answer, in seconds: less than a ledger waits for its quorum.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest answer, in bytes: a checkpoint.
const ANSWER: usize = 131_072;

/// One witness, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WitnessAt {
    at: Url,
    key: WitnessPublicKey,
}

/// URL=KEY, as the command line has it.
impl FromStr for WitnessAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (url, key) = text.split_once('=').ok_or("a witness is URL=KEY")?;
        let at = url.parse()?;
        let key = key.parse().map_err(|_| "the key is not a witness's verification key")?;
        Ok(Self { at, key })
    }
}

/// How a ledger with this key runs. With witnesses a checkpoint is published once so many have cosigned it
/// that two histories would need more than a third of them; with none as soon as it is signed.
pub(crate) fn ledger(
    key: NoteKey,
    witnesses: &[WitnessAt],
) -> Result<LedgerConfig, Box<dyn Error + Send + Sync>> {
    let keys: Vec<WitnessPublicKey> = witnesses.iter().map(|witness| witness.key.clone()).collect();
    let count = keys.len();
    let faulty = count.saturating_sub(1) / 3;
    let policy = match count {
        0 => None,
        _ => Some(WitnessPolicy::new(key.public().clone(), keys, (count + faulty) / 2 + 1, faulty, 3600)?),
    };
    Ok(LedgerConfig { key, policy })
}

impl WitnessAt {
    fn prefix(&self) -> &str {
        self.at.path.trim_end_matches('/')
    }

    async fn ask(
        &self,
        request: Builder,
        body: Vec<u8>,
    ) -> Result<(u16, Bytes), Box<dyn Error + Send + Sync>> {
        let stream = TcpStream::connect(&self.at.address).await?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = request.header(HOST, &self.at.address).header(CONNECTION, "close");
        let request = request.body(Full::<Bytes>::from(body))?;
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        Ok((status, Limited::new(answer.into_body(), ANSWER).collect().await?.to_bytes()))
    }

    /// On a thread of the caller's that may block.
    fn answer(&self, request: Builder, body: Vec<u8>) -> Result<(u16, Bytes), WitnessError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| WitnessError::State(error.into()))?;
        let asked = runtime.block_on(async { tokio::time::timeout(PATIENCE, self.ask(request, body)).await });
        asked.map_err(|_| WitnessError::Silent)?.map_err(WitnessError::State)
    }
}

impl Witness for WitnessAt {
    fn public_key(&self) -> &WitnessPublicKey {
        &self.key
    }

    fn add_checkpoint(&self, request: &AddCheckpoint) -> Result<SignatureLine, WitnessError> {
        let post = Request::post(format!("{}/add-checkpoint", self.prefix()));
        let (status, body) = self.answer(post, request.to_bytes())?;
        let text = str::from_utf8(&body).map_err(|_| WitnessError::Malformed)?;
        match status {
            200 => text.trim_end_matches('\n').parse().map_err(|_| WitnessError::Malformed),
            400 => Err(WitnessError::Malformed),
            403 => Err(WitnessError::Unsigned),
            404 => Err(WitnessError::UnknownLog),
            409 => {
                let size = text.trim_end_matches('\n').parse().map_err(|_| WitnessError::Malformed)?;
                Err(WitnessError::Conflict { size })
            }
            422 => Err(WitnessError::Inconsistent),
            503 => Err(WitnessError::Busy),
            other => Err(WitnessError::State(format!("the witness answers {other}").into())),
        }
    }

    fn last(&self, origin: &str) -> Result<Option<Vec<u8>>, WitnessError> {
        let log = hex(&Sha256::digest(origin));
        match self.answer(Request::get(format!("{}/{log}/checkpoint", self.prefix())), Vec::new())? {
            (200, note) => Ok(Some(note.to_vec())),
            (404, _) => Ok(None),
            (other, _) => Err(WitnessError::State(format!("the witness answers {other}").into())),
        }
    }
}
