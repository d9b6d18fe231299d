//! A customer whom the program plays: an account, and a device that asks the same service at its own times, as the phones
//! in the page do.

use super::shop::MERCHANT;
use crate::client::{Connection, Outcome};
use crate::device::{Pins, encoded, manifests};
use crate::hex::{hex, unhex};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};
use unjoin::secret::SystemRng;
use unjoin::token::{OrderHandle, Review};
use unjoin::{DAY, Name, Timestamp};
use unjoin_wallet::{Device, ManifestEvidence, Reply, Request, Wallet};

pub(super) struct Customer {
    account: String,
    device: Device,
}

impl Customer {
    pub(super) fn new(account: &str, pins: &Pins) -> Outcome<Self> {
        let wallet = Wallet::generate(&mut SystemRng::new());
        let device = Device::create(wallet, pins.issuer.clone(), Name::new(account)?, pins.trust.clone());
        Ok(Self { account: account.to_owned(), device })
    }

    pub(super) fn account(&self) -> &str {
        &self.account
    }

    /// The order can get a token. This customer has made up their mind.
    pub(super) fn eligible(
        &mut self,
        handle: OrderHandle,
        review: Option<Review>,
        now: Timestamp,
    ) -> Outcome<()> {
        let rng = &mut SystemRng::new();
        self.device.order_eligible(Name::new(MERCHANT)?, handle, now, rng)?;
        if let Some(review) = review {
            self.device.write_review(handle, review, now, rng)?;
        }
        Ok(())
    }

    /// Sends all that is due; when to wake again.
    pub(super) async fn wake(&mut self, service: &mut Connection, now: Timestamp) -> Outcome<Timestamp> {
        loop {
            let actions = self.device.next(now, &mut SystemRng::new());
            let mut coming = now.saturating_add(DAY);
            let mut was_due = false;
            for action in actions {
                let Some(request) = action.request else {
                    coming = coming.min(action.at);
                    continue;
                };
                was_due = true;
                let reply = self.send(service, request).await?;
                self.device.handle(action.number, reply, now, &mut SystemRng::new())?;
            }
            if !was_due {
                return Ok(coming.max(now.saturating_add(1)));
            }
        }
    }

    async fn send(&self, service: &mut Connection, request: Request) -> Outcome<Reply> {
        Ok(match request {
            Request::Nonce => {
                let digits = |answer: &Value| unhex::<32>(answer["nonce"].as_str()?).map(Vec::from);
                self.ask(service, "/orders/nonce", json!({}), digits).await?
            }
            Request::Enrol { nonce, enrolment } => {
                let body = json!({ "nonce": hex(&nonce), "enrolment": encoded(&enrolment) });
                self.ask(service, "/orders/enrol", body, |_| Some(Vec::new())).await?
            }
            Request::Offer { merchant, handle } => {
                let body = json!({ "merchant": merchant, "handle": handle });
                self.ask(service, "/orders/offer", body, |answer| message(answer, "offer")).await?
            }
            Request::Grant(request) => {
                let body = json!({ "request": encoded(&request) });
                self.ask(service, "/orders/grant", body, |answer| message(answer, "grant")).await?
            }
            Request::Manifests { .. } => {
                let manifests = manifests(service, MERCHANT).await?;
                Reply::Manifests(manifests.into_iter().map(ManifestEvidence::Signed).collect())
            }
            Request::Door(message) => {
                Reply::Answer(service.post("/door", None, message).await?.body.to_vec())
            }
            _ => Reply::Lost,
        })
    }

    /// Under the account. An answer that cannot be read is none.
    async fn ask(
        &self,
        service: &mut Connection,
        path: &str,
        body: Value,
        read: impl Fn(&Value) -> Option<Vec<u8>>,
    ) -> Outcome<Reply> {
        let answer = service.post(path, Some(&self.account), body.to_string()).await?;
        if let Some(code) = answer.code() {
            return Ok(Reply::Refused(code));
        }
        Ok(read(&answer.object()?).map_or(Reply::Lost, Reply::Answer))
    }
}

fn message(answer: &Value, field: &str) -> Option<Vec<u8>> {
    Base64UrlUnpadded::decode_vec(answer.get(field)?.as_str()?).ok()
}
