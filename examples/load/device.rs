//! The reviewer's device and the platform's order system, as the service sees them.

use crate::client::{Connection, Outcome};
use crate::hex::{hex, unhex};
use crate::words::At;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde::Deserialize as _;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use unjoin::secret::SystemRng;
use unjoin::token::{
    DoorMessage, DoorQuestion, EnrolmentContext, EscrowKeyCertificate, IssuerPublicKey, OrderHandle,
    PlatformPublicKey, Presentation, Receipt, Review, SignedManifest, TrusteePublicKey, Trustees,
};
use unjoin::wire::Message;
use unjoin::{Name, Timestamp};
use unjoin_wallet::{Token, TrustRoots, Wallet};

/// So many trustees, at the least, must be needed to open a review.
const LEAST_THRESHOLD: u16 = 2;

/// So long a start's first tick is waited for.
const FIRST_TICK: Duration = Duration::from_secs(120);

/// What an app ships: the platform's name and the keys that its wallets pin.
pub(crate) struct Pins {
    pub(crate) issuer: Name,
    pub(crate) platform_key: PlatformPublicKey,
    pub(crate) trust: TrustRoots,
}

impl Pins {
    /// From the file that the service writes at its start.
    pub(crate) fn read(path: &Path, least_cohort: u32) -> Outcome<Self> {
        Self::parse(&std::fs::read(path).at(path)?, least_cohort).at(path)
    }

    fn parse(file: &[u8], least_cohort: u32) -> Outcome<Self> {
        let file: Value = serde_json::from_slice(file)?;
        let trustees: Vec<TrusteePublicKey> = Vec::deserialize(&file["trustees"])?;
        let trustees = Trustees::new(trustees)?;
        let certificate: EscrowKeyCertificate = message(&file, "certificate")?;
        let platform_key = PlatformPublicKey::deserialize(&file["platform_key"])?;
        Ok(Self {
            issuer: Name::new(text(&file, "issuer")?)?,
            platform_key,
            trust: TrustRoots::new(platform_key, least_cohort, unjoin::Grid::Daily)
                .with_trustees(trustees, LEAST_THRESHOLD)
                .pin_certified(IssuerPublicKey::deserialize(&file["issuer_key"])?, &certificate)?,
        })
    }
}

/// One customer with a wallet.
pub(crate) struct Device {
    pub(crate) account: String,
    pub(crate) wallet: Wallet,
}

/// An order as the platform's own system reports it.
pub(crate) struct Order<'a> {
    pub(crate) id: &'a str,
    pub(crate) merchant: &'a str,
    pub(crate) class: u8,
    pub(crate) due_at: u64,
}

impl Device {
    pub(crate) fn new(account: String) -> Self {
        Self { account, wallet: Wallet::generate(&mut SystemRng::new()) }
    }

    /// Enrols the wallet under the account's session.
    pub(crate) async fn enrol(&self, service: &mut Connection, pins: &Pins) -> Outcome<()> {
        let nonce = self.nonce(service).await?;
        self.enrol_over(nonce, service, pins).await
    }

    pub(crate) async fn nonce(&self, service: &mut Connection) -> Outcome<[u8; 32]> {
        let answer = service.post("/orders/nonce", Some(&self.account), "{}").await?.object()?;
        Ok(unhex(text(&answer, "nonce")?).ok_or("a nonce has 64 hexadecimal digits")?)
    }

    pub(crate) async fn enrol_over(
        &self,
        nonce: [u8; 32],
        service: &mut Connection,
        pins: &Pins,
    ) -> Outcome<()> {
        let account = Name::new(&self.account)?;
        let context = EnrolmentContext { issuer: &pins.issuer, account: &account, nonce: &nonce };
        let enrolment = self.wallet.enrol(context, &mut SystemRng::new())?;
        let body = json!({ "nonce": hex(&nonce), "enrolment": encoded(&enrolment) }).to_string();
        service.post("/orders/enrol", Some(&self.account), body).await?.object()?;
        Ok(())
    }

    /// Asks for the order's token: offer, request, grant.
    pub(crate) async fn token(
        &self,
        service: &mut Connection,
        pins: &Pins,
        merchant: &str,
        handle: &str,
    ) -> Outcome<Token> {
        let rng = &mut SystemRng::new();
        let body = json!({ "merchant": merchant, "handle": handle }).to_string();
        let answer = service.post("/orders/offer", Some(&self.account), body).await?.object()?;
        let offer = message(&answer, "offer")?;
        // What it asked about, not what the offer says.
        let (merchant, handle) = (Name::new(merchant)?, handle_of(handle)?);
        let (pending, request) =
            self.wallet.request(&pins.issuer, &merchant, handle, &offer, &pins.trust, rng)?;
        let body = json!({ "request": encoded(&request) }).to_string();
        let answer = service.post("/orders/grant", Some(&self.account), body).await?.object()?;
        Ok(self.wallet.finish(pending, &message(&answer, "grant")?, rng)?)
    }
}

/// States that a merchant was busy before, so that a crowd of three times k is sealed at its first boundary.
pub(crate) async fn introduce(internal: &mut Connection, merchant: &str, class: u8) -> Outcome<()> {
    let body = json!({ "merchant": merchant, "class": class, "count": 6_000 });
    let answer = internal.post("/merchants/introduce", None, body.to_string()).await?;
    // By another caller, or an earlier run.
    if answer.code().as_deref() == Some("issuer.merchant_known") { Ok(()) } else { answer.object().map(drop) }
}

/// Reports an order that is due; its handle, as text.
pub(crate) async fn report(internal: &mut Connection, account: &str, order: &Order<'_>) -> Outcome<String> {
    let body = json!({
        "order_id": order.id,
        "account": account,
        "merchant": order.merchant,
        "class": order.class,
        "due_at": order.due_at,
    });
    let answer = internal.post("/orders/due", None, body.to_string()).await?.object()?;
    Ok(text(&answer, "handle")?.to_owned())
}

/// Reports that an order has no numbers, or none any more since `at`: its token waits for that.
pub(crate) async fn without_numbers(
    internal: &mut Connection,
    merchant: &str,
    handle: &str,
    at: Timestamp,
) -> Outcome<()> {
    let body = json!({ "merchant": merchant, "handle": handle, "at": at.as_unix_seconds() });
    let answer = internal.post("/orders/numbers-dead", None, body.to_string()).await?;
    // The orders are years old: a tick ends what is overdue, and may be first.
    if answer.code().as_deref() == Some("issuer.numbers_dead_differs") {
        Ok(())
    } else {
        answer.object().map(drop)
    }
}

/// Returns when a tick has gone through: a start's first one closes what is due, and hands it to the desk.
pub(crate) async fn until_ticked(internal: &mut Connection) -> Outcome<()> {
    let until = Instant::now() + FIRST_TICK;
    loop {
        let page = internal.get("/metrics").await?.body;
        if std::str::from_utf8(&page)?.contains("unjoin_ticks_total{what=\"ok\"}") {
            return Ok(());
        }
        if Instant::now() > until {
            return Err("the service's first tick does not end: see its log".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The manifests of a merchant's sealed cohorts.
pub(crate) async fn manifests(service: &mut Connection, merchant: &str) -> Outcome<Vec<SignedManifest>> {
    let (mut found, mut path) = (Vec::new(), format!("/manifests/{merchant}"));
    loop {
        let page = service.get(&path).await?.object()?;
        let page = page["manifests"].as_array().ok_or("the answer has no manifests")?;
        for manifest in page {
            let manifest = manifest.as_str().ok_or("a manifest is text")?;
            found.push(decoded::<SignedManifest>(manifest)?);
        }
        let Some(last) = found.last().filter(|_| !page.is_empty()) else { return Ok(found) };
        let cohort = last.claimed_scope().cohort();
        path = format!("/manifests/{merchant}/after/{}", hex(&cohort.to_be_bytes()));
    }
}

/// The message that submits a review.
pub(crate) fn submission(presentation: Presentation, review: &Review) -> Vec<u8> {
    question(DoorQuestion::submission(presentation, review))
}

/// The message that asks the door.
pub(crate) fn question(question: DoorQuestion) -> Vec<u8> {
    DoorMessage::new(question).map(|message| message.to_bytes()).unwrap_or_default()
}

/// Whether this is a receipt that the platform signed.
pub(crate) fn is_receipt(message: &[u8], pins: &Pins) -> bool {
    Receipt::from_bytes(message).is_ok_and(|receipt| receipt.verify(&pins.platform_key).is_ok())
}

pub(crate) fn handle_of(text: &str) -> Outcome<OrderHandle> {
    Ok(text.parse()?)
}

pub(crate) fn encoded(message: &impl Message) -> String {
    Base64UrlUnpadded::encode_string(&message.to_bytes())
}

pub(crate) fn message<M: Message>(object: &Value, field: &'static str) -> Outcome<M> {
    decoded(text(object, field)?)
}

fn decoded<M: Message>(text: &str) -> Outcome<M> {
    let bytes = Base64UrlUnpadded::decode_vec(text).map_err(|_| "no base64url")?;
    Ok(M::from_bytes(&bytes)?)
}

pub(crate) fn text<'a>(object: &'a Value, field: &'static str) -> Outcome<&'a str> {
    Ok(object.get(field).and_then(Value::as_str).ok_or_else(|| format!("the answer has no {field}"))?)
}
