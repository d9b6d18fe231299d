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
use unjoin_core::token::{IssuerPublicKey, OrderHandle, Presentation, PublicationDates, Review, Scope};
use unjoin_core::wire::{DecodeError, Field, Reader, Rule, VERSION, Whole, Writer};
use unjoin_core::{Name, fields, one_byte};
use zeroize::{Zeroize, Zeroizing};

const KIND: u8 = 60;
const HEADER: usize = 2;
const LEAST: usize = 16_384;

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
        self.enrolment.nonce.put(&mut out);
        self.enrolment.task.put(&mut out);
        self.fetch.put(&mut out);
        self.account_at.put(&mut out);
        self.door_at.put(&mut out);
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
        let enrolment =
            Enrolling { done, nonce: Field::get(from, "nonce")?, task: Task::get(from, "enrolment")? };
        let fetch = Task::get(from, "fetch")?;
        let (account_at, door_at) = (Field::get(from, "account at")?, Field::get(from, "door at")?);
        let latest = from.timestamp("latest")?;
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

/// What is in flight is kept as lost.
impl Field for Task {
    fn put(&self, out: &mut Writer) {
        self.at.put(out);
        out.u8(self.failed.saturating_add(self.in_flight.is_some().into()));
    }

    fn get(from: &mut Reader<'_>, _: &'static str) -> Result<Self, DecodeError> {
        Ok(Self { at: Field::get(from, "at")?, failed: from.u8("failed")?, in_flight: None })
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
        self.task.put(out);
        match &self.right {
            Right::Missing { later, made_up } => {
                out.u8(0);
                out.u8((*later).into());
                out.u8((*made_up).into());
            }
            Right::Offered { offer, .. } => {
                out.u8(3);
                Whole::put(offer, out);
            }
            Right::Held(token) => {
                out.u8(1);
                encode_token(token, out);
            }
            Right::Refused => out.u8(2),
            Right::Lapsed(scopes) => {
                out.u8(4);
                out.bool(scopes.is_some());
                if let Some(scopes) = scopes {
                    out.u8(scopes.len() as u8);
                    scopes.iter().for_each(|scope| scope.put(out));
                }
            }
            Right::Authored(context) => {
                out.u8(5);
                context.scope.encode(out);
                out.elements(&[*context.issuer_key.element(), *context.escrow_key.element()]);
            }
        }
        Whole::put(&self.manifest, out);
        Whole::put(&self.review, out);
        self.sending.put(out);
        Whole::put(&self.receipt, out);
        Whole::put(&self.state, out);
        out.bool(self.asks_state);
        self.wish.put(out);
        self.acting.put(out);
        self.waiting.put(out);
        self.gone.put(out);
        out.bool(self.withdrawn);
        self.looked.put(out);
    }

    fn decode(wallet: &Wallet, issuer: &Name, from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let merchant = Name::decode(from, "merchant")?;
        let (handle, since) = (OrderHandle(from.array("order handle")?), from.timestamp("since")?);
        let task = Task::get(from, "task")?;
        let right = match from.u8("right")? {
            0 => Right::Missing { later: from.bool("later")?, made_up: from.bool("made up")? },
            1 => Right::Held(decode_token(wallet, from)?),
            2 => Right::Refused,
            3 => Right::Offered { offer: Whole::get(from, "offer")?, asked: None },
            4 => Right::Lapsed(if from.bool("scopes")? {
                let count = from.u8("scopes")?;
                Some((0..count).map(|_| Scope::get(from, "scope")).collect::<Result<_, _>>()?)
            } else {
                None
            }),
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
            manifest: Whole::get(from, "manifest")?,
            review: Whole::get(from, "review")?,
            sending: Field::get(from, "sending")?,
            receipt: Whole::get(from, "receipt")?,
            state: Whole::get(from, "state")?,
            asks_state: from.bool("asks state")?,
            wish: Field::get(from, "wish")?,
            acting: Field::get(from, "acting")?,
            waiting: Field::get(from, "waiting")?,
            gone: Field::get(from, "gone")?,
            withdrawn: from.bool("withdrawn")?,
            looked: Field::get(from, "looked")?,
        })
    }
}

fields!(Change: boundary as "boundary", review as "review" whole, receipt as "receipt" whole);
fields!(Acting: action as "action", review as "review" whole);
fields!(ScheduledAction: action as "action" whole, send_at as "send at", held_until as "held until");
one_byte!(Looked: NotYet, ForNothing, Found, FoundChanged, Missing);

impl Field for Sending {
    fn put(&self, out: &mut Writer) {
        Whole::put(&self.scheduled.presentation, out);
        out.raw(&self.scheduled.review_digest);
        self.scheduled.boundaries.put(out);
        out.timestamp(self.aim);
        out.bool(self.sent);
    }

    fn get(from: &mut Reader<'_>, _: &'static str) -> Result<Self, DecodeError> {
        let presentation: Presentation = Whole::get(from, "presentation")?;
        let review_digest = from.array("review digest")?;
        let boundaries = PublicationDates::get(from, "dates")?;
        let (publication, aim) = (boundaries.first(), from.timestamp("aim")?);
        let scheduled =
            ScheduledPresentation { presentation, send_at: aim, publication, review_digest, boundaries };
        Ok(Self { scheduled, aim, sent: from.bool("sent")? })
    }
}

/// The new review of an edit; none for a withdrawal.
impl Field for Wish {
    fn put(&self, out: &mut Writer) {
        match self {
            Self::Edit(review) => Whole::put(review, out),
            Self::Withdraw => out.bytes(&[]),
        }
    }

    fn get(from: &mut Reader<'_>, field: &'static str) -> Result<Self, DecodeError> {
        Whole::get(from, field).map(Self::of)
    }
}
