//! The one blob that a device is kept in.
//!
//! `[version 1][60] || nonce (24) || sealed part`: XChaCha20-Poly1305, with version and kind as associated data. The
//! sealed part is padded to a power of two of at least 16,384 bytes, and 16 of the tag.

use super::order::{Acting, Change, Looked, Order, Right, Sending, Wish};
use super::{Device, Enrolling, Task};
use crate::backup::{decode_token, encode_token};
use crate::order::OrderContext;
use crate::present::ScheduledPresentation;
use crate::{ScheduledAction, TrustRoots, Wallet, WalletError};
use rand_core::CryptoRng;
use unjoin_core::algebra::EscrowKey;
use unjoin_core::passphrase::{NONCE, TAG, open_in_place, seal_in_place};
use unjoin_core::secret::SecretBytes;
use unjoin_core::token::{
    ActionReceipt, AuthorAction, CohortManifest, IssuerPublicKey, OrderHandle, Presentation,
    PublicationDates, Receipt, Review, ReviewState, Scope,
};
use unjoin_core::wire::{DecodeError, Message, Reader, Rule, VERSION, Writer};
use unjoin_core::{Name, Timestamp};
use zeroize::{Zeroize, Zeroizing};

const KIND: u8 = 60;
const HEADER: usize = 2;
const LEAST: usize = 16_384;
/// The most bytes of one of the parts.
const PART: usize = u16::MAX as usize;

impl Device {
    /// The whole device under a key of the platform's keystore: 32 bytes from a generator. Store it in place of the one
    /// before, atomically, after each call that changes the device and before sending what was due. Each
    /// blob is whole; with the one before nothing is lost that was not sent since.
    ///
    /// Its length is 42 bytes and a power of two, of at least 16,384. It tells the number of orders to within a factor of
    /// two.
    pub fn seal(&self, key: &SecretBytes<32>, rng: &mut (impl CryptoRng + ?Sized)) -> Vec<u8> {
        let mut plain = Zeroizing::new(self.encode());
        let padded = plain.len().next_power_of_two().max(LEAST);
        // Once, with room for the tag: what a growing buffer leaves behind is not erased.
        let mut sealed = Zeroizing::new(Vec::with_capacity(padded + TAG));
        sealed.extend_from_slice(&plain);
        plain.zeroize();
        sealed.resize(padded, 0);
        let mut nonce = [0; NONCE];
        rng.fill_bytes(&mut nonce);
        // It fails for lengths beyond any device's; an empty part opens nowhere.
        if !seal_in_place(key, &nonce, &[VERSION, KIND], &mut sealed) {
            sealed.clear();
        }
        [&[VERSION, KIND][..], &nonce, &sealed].concat()
    }

    /// Opens what [`seal`](Self::seal) made. What was in flight counts as lost, and is sent again later.
    ///
    /// # Errors
    /// [`WalletError::DeviceVersion`] for a version that is not known; [`WalletError::DeviceOpen`] for another key, or bytes
    /// that were changed.
    pub fn open(sealed: &[u8], key: &SecretBytes<32>, trust: TrustRoots) -> Result<Self, WalletError> {
        let (header, rest) = sealed.split_at_checked(HEADER).ok_or(WalletError::DeviceOpen)?;
        match header {
            [VERSION, KIND] => {}
            [_, KIND] => return Err(WalletError::DeviceVersion),
            _ => return Err(WalletError::DeviceOpen),
        }
        let (nonce, rest) = rest.split_first_chunk::<NONCE>().ok_or(WalletError::DeviceOpen)?;
        let mut plain = Zeroizing::new(rest.to_vec());
        if !open_in_place(key, nonce, header, &mut plain) {
            return Err(WalletError::DeviceOpen);
        }
        Self::decode(&plain, trust).map_err(|_| WalletError::DeviceOpen)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        // Room for everything, so that the seed is written once.
        let most = 512 + self.orders.iter().map(Order::room).sum::<usize>();
        let mut out = Writer::with_capacity(most);
        out.raw(self.wallet.seed.expose());
        self.issuer.encode(&mut out);
        self.account.encode(&mut out);
        out.u8(self.restored.into());
        out.u8(self.enrolment.done.into());
        option(&mut out, self.enrolment.nonce.as_ref(), |out, nonce| out.raw(nonce));
        self.enrolment.task.encode(&mut out);
        self.fetch.encode(&mut out);
        time(&mut out, self.account_at);
        time(&mut out, self.door_at);
        out.timestamp(self.latest);
        out.le16(self.orders.len() as u16);
        self.orders.iter().for_each(|order| order.encode(&mut out));
        out.finish()
    }

    pub(super) fn decode(plain: &[u8], trust: TrustRoots) -> Result<Self, DecodeError> {
        let mut from = Reader::new(plain, "device");
        let from = &mut from;
        let mut seed = from.array("seed")?;
        let wallet = Wallet::from_seed(SecretBytes::new(seed));
        seed.zeroize();
        let (issuer, account) = (Name::decode(from, "issuer")?, Name::decode(from, "account")?);
        let restored = from.bool("restored")?;
        let done = from.bool("enrolled")?;
        let nonce = read_option(from, |from| from.array("nonce"))?;
        let enrolment = Enrolling { done, nonce, task: Task::decode(from)? };
        let fetch = Task::decode(from)?;
        let (account_at, door_at, latest) = (read_time(from)?, read_time(from)?, from.timestamp("latest")?);
        let count = usize::from(from.le16("orders")?);
        if count > Self::MAX_ORDERS {
            return Err(from.refuse(Rule::Length));
        }
        let orders = (0..count).map(|_| Order::decode(&wallet, &issuer, from)).collect::<Result<_, _>>()?;
        if from.rest("padding").iter().any(|byte| *byte != 0) {
            return Err(from.refuse(Rule::Trailing));
        }
        Ok(Self {
            wallet,
            issuer,
            account,
            trust,
            restored,
            enrolment,
            fetch,
            orders,
            account_at,
            door_at,
            latest,
        })
    }
}

impl Task {
    /// What is in flight is kept as lost.
    fn encode(&self, out: &mut Writer) {
        time(out, self.at);
        out.u8(self.failed.saturating_add(self.in_flight.is_some().into()));
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { at: read_time(from)?, failed: from.u8("failed")?, in_flight: None })
    }
}

impl Order {
    /// The most bytes that it takes.
    fn room(&self) -> usize {
        let reviews =
            [self.review.is_some(), self.wish.is_some(), self.acting.is_some(), self.waiting.is_some()];
        let scopes = match &self.right {
            Right::Lapsed(Some(scopes)) => scopes.len() * 128,
            _ => 0,
        };
        2_048 + scopes + reviews.iter().filter(|there| **there).count() * (Review::MAX_TEXT + 1_024)
    }

    fn encode(&self, out: &mut Writer) {
        self.merchant.encode(out);
        out.raw(self.handle.as_bytes());
        out.timestamp(self.since);
        self.task.encode(out);
        match &self.right {
            Right::Missing { later, made_up } => {
                out.u8(0);
                out.u8((*later).into());
                out.u8((*made_up).into());
            }
            Right::Offered { offer, .. } => {
                out.u8(3);
                part(out, Some(offer));
            }
            Right::Held(token) => {
                out.u8(1);
                encode_token(token, out);
            }
            Right::Refused => out.u8(2),
            Right::Lapsed(scopes) => {
                out.u8(4);
                option(out, scopes.as_ref(), |out, scopes| {
                    out.u8(scopes.len() as u8);
                    scopes.iter().for_each(|scope| scope.encode(out));
                });
            }
            Right::Authored(context) => {
                out.u8(5);
                context.scope.encode(out);
                out.elements(&[*context.issuer_key.element(), *context.escrow_key.element()]);
            }
        }
        part(out, self.manifest.as_ref());
        part(out, self.review.as_ref());
        option(out, self.sending.as_ref(), |out, sending| {
            part(out, Some(&sending.scheduled.presentation));
            out.raw(&sending.scheduled.review_digest);
            let dates = sending.scheduled.boundaries;
            out.u8(dates.as_slice().len() as u8);
            dates.as_slice().iter().for_each(|date| out.timestamp(*date));
            out.timestamp(sending.aim);
            out.u8(sending.sent.into());
        });
        part(out, self.receipt.as_ref());
        part(out, self.state.as_ref());
        out.u8(self.asks_state.into());
        option(out, self.wish.as_ref(), |out, wish| {
            part(
                out,
                match wish {
                    Wish::Edit(review) => Some(review),
                    Wish::Withdraw => None,
                },
            );
        });
        option(out, self.acting.as_ref(), |out, acting| {
            part(out, Some(&acting.action.action));
            out.timestamp(acting.action.send_at);
            time(out, acting.action.held_until);
            part(out, acting.review.as_ref());
        });
        option(out, self.waiting.as_ref(), |out, change| {
            out.timestamp(change.boundary);
            part(out, change.review.as_ref());
            part(out, change.receipt.as_ref());
        });
        time(out, self.gone);
        out.u8(self.withdrawn.into());
        out.u8(match self.looked {
            Looked::NotYet => 0,
            Looked::ForNothing => 1,
            Looked::Found => 2,
            Looked::FoundChanged => 3,
            Looked::Missing => 4,
        });
    }

    fn decode(wallet: &Wallet, issuer: &Name, from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let merchant = Name::decode(from, "merchant")?;
        let (handle, since) = (OrderHandle(from.array("order handle")?), from.timestamp("since")?);
        let task = Task::decode(from)?;
        let right = match from.u8("right")? {
            0 => Right::Missing { later: from.bool("later")?, made_up: from.bool("made up")? },
            1 => Right::Held(decode_token(wallet, from)?),
            2 => Right::Refused,
            3 => Right::Offered { offer: needed(from)?, asked: None },
            4 => Right::Lapsed(read_option(from, |from| {
                let count = from.u8("scopes")?;
                (0..count).map(|_| Scope::decode(from)).collect()
            })?),
            5 => {
                let scope = Scope::decode(from)?;
                let issuer_key = IssuerPublicKey::new(from.element("X")?);
                let escrow_key = EscrowKey::new(from.element("Y")?);
                let wallet_key = wallet.wallet_key(issuer).map_err(|_| from.refuse(Rule::Element))?;
                let issuer = issuer.clone();
                Right::Authored(OrderContext { issuer, wallet_key, handle, scope, issuer_key, escrow_key })
            }
            _ => return Err(from.refuse(Rule::Value)),
        };
        Ok(Self {
            merchant,
            handle,
            since,
            task,
            right,
            manifest: read_part::<CohortManifest>(from)?,
            review: read_part::<Review>(from)?,
            sending: read_option(from, read_sending)?,
            receipt: read_part::<Receipt>(from)?,
            state: read_part::<ReviewState>(from)?,
            asks_state: from.bool("asks state")?,
            wish: read_option(from, |from| Ok(Wish::of(read_part(from)?)))?,
            acting: read_option(from, |from| {
                let action = needed::<AuthorAction>(from)?;
                let (send_at, held_until) = (from.timestamp("send at")?, read_time(from)?);
                let action = ScheduledAction { action, send_at, held_until };
                Ok(Acting { action, review: read_part(from)? })
            })?,
            waiting: read_option(from, |from| {
                let (boundary, review) = (from.timestamp("boundary")?, read_part(from)?);
                Ok(Change { boundary, review, receipt: read_part::<ActionReceipt>(from)? })
            })?,
            gone: read_time(from)?,
            withdrawn: from.bool("withdrawn")?,
            looked: match from.u8("looked")? {
                0 => Looked::NotYet,
                1 => Looked::ForNothing,
                2 => Looked::Found,
                3 => Looked::FoundChanged,
                4 => Looked::Missing,
                _ => return Err(from.refuse(Rule::Value)),
            },
        })
    }
}

fn read_sending(from: &mut Reader<'_>) -> Result<Sending, DecodeError> {
    let (presentation, review_digest) = (needed::<Presentation>(from)?, from.array("review digest")?);
    let count = from.u8("dates")?;
    let dates = (0..count).map(|_| from.timestamp("date")).collect::<Result<Vec<_>, _>>()?;
    let boundaries = PublicationDates::new(&dates).ok_or_else(|| from.refuse(Rule::Value))?;
    let (publication, aim) = (boundaries.first(), from.timestamp("aim")?);
    let scheduled =
        ScheduledPresentation { presentation, send_at: aim, publication, review_digest, boundaries };
    Ok(Sending { scheduled, aim, sent: from.bool("sent")? })
}

fn option<T>(out: &mut Writer, value: Option<&T>, write: impl FnOnce(&mut Writer, &T)) {
    out.u8(value.is_some().into());
    if let Some(value) = value {
        write(out, value);
    }
}

fn read_option<T>(
    from: &mut Reader<'_>,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    if from.bool("there")? { read(from).map(Some) } else { Ok(None) }
}

fn time(out: &mut Writer, time: Option<Timestamp>) {
    option(out, time.as_ref(), |out, time| out.timestamp(*time));
}

fn read_time(from: &mut Reader<'_>) -> Result<Option<Timestamp>, DecodeError> {
    read_option(from, |from| from.timestamp("time"))
}

/// A message behind its length; nothing behind 0.
fn part(out: &mut Writer, message: Option<&impl Message>) {
    out.bytes(&message.map(Message::to_bytes).unwrap_or_default());
}

fn read_part<M: Message>(from: &mut Reader<'_>) -> Result<Option<M>, DecodeError> {
    match from.bytes("part", 0, PART)? {
        [] => Ok(None),
        bytes => M::from_bytes(bytes).map(Some),
    }
}

fn needed<M: Message>(from: &mut Reader<'_>) -> Result<M, DecodeError> {
    read_part(from)?.ok_or_else(|| from.refuse(Rule::Value))
}
