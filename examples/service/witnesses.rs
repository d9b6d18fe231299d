//! Witnesses over HTTP, as `examples/witness.rs` serves: `POST PREFIX/add-checkpoint` (C2SP tlog-witness).

use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::header::{CONNECTION, HOST};
use hyper_util::rt::TokioIo;
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
/// The longest answer: a line, or a size.
const ANSWER: usize = 4096;

/// One witness, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WitnessAt {
    /// HOST:PORT
    address: String,
    prefix: String,
    key: WitnessPublicKey,
}

/// URL=KEY, as the command line has it.
impl FromStr for WitnessAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (url, key) = text.split_once('=').ok_or("a witness is URL=KEY")?;
        let rest = url.strip_prefix("http://").ok_or(
            "the URL begins with http://: for a witness behind TLS, a proxy on this machine speaks it",
        )?;
        let (address, prefix) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let address = if address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
            address.to_owned()
        } else {
            format!("{address}:80")
        };
        let key = key.parse().map_err(|_| "the key is not a witness's verification key")?;
        Ok(Self { address, prefix: prefix.trim_end_matches('/').to_owned(), key })
    }
}

/// How a ledger with this key runs. With witnesses a checkpoint is published once so many have cosigned it
/// that two histories would need more than a third of them; with none as soon as it is signed.
pub(crate) fn ledger(key: NoteKey, witnesses: &[WitnessAt]) -> Result<LedgerConfig, Box<dyn Error>> {
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
    async fn ask(&self, body: Vec<u8>) -> Result<(u16, Bytes), Box<dyn Error + Send + Sync>> {
        let stream = TcpStream::connect(&self.address).await?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::post(format!("{}/add-checkpoint", self.prefix))
            .header(HOST, &self.address)
            .header(CONNECTION, "close")
            .body(Full::<Bytes>::from(body))?;
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        Ok((status, Limited::new(answer.into_body(), ANSWER).collect().await?.to_bytes()))
    }
}

impl Witness for WitnessAt {
    fn public_key(&self) -> &WitnessPublicKey {
        &self.key
    }

    /// On a thread of the ledger's own, so it may block.
    fn add_checkpoint(&self, request: &AddCheckpoint) -> Result<SignatureLine, WitnessError> {
        let failed = |error: Box<dyn Error + Send + Sync>| WitnessError::State(error);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(error.into()))?;
        let asked =
            runtime.block_on(async { tokio::time::timeout(PATIENCE, self.ask(request.to_bytes())).await });
        let (status, body) = asked.map_err(|_| WitnessError::Silent)?.map_err(failed)?;
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
            other => Err(failed(format!("the witness answers {other}").into())),
        }
    }
}
