//! Calls that were put through and may still run: so that they end when what allowed them ends, so that one number does not
//! carry many, and so that a host may hear what became of them.
//!
//! In the memory of the instance that put them through, without a phone. A call is forgotten when the gateway says that it is
//! over, and at the latest when its time is up.

use super::binding::{Leg, OrderRef};
use super::counters::Reason;
use super::legs::{judge, or_default};
use super::rows::{Attempt, Entry, OrderId, Part, Side};
use super::running::Held;
use super::{Core, SwitchboardConfig, SwitchboardError};
use crate::{Channel, SlotKeyWindow, VirtualNumber};
use rand_core::CryptoRng;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use unjoin_core::{Name, Timestamp};
use unjoin_store::{Decision, Store, decide_all};

const HOUR: u64 = 3600;
/// So many events wait for the host at most.
const EVENTS: usize = 1024;

/// A call's name: 16 random bytes, by which a gateway is told to end it. There is no party in it.
///
/// ```
/// use unjoin_phone::CallId;
/// let call = CallId::from_hex("00112233445566778899aabbccddeeff").ok_or("not 32 digits")?;
/// assert_eq!(call.to_string(), "00112233445566778899aabbccddeeff");
/// assert!(CallId::from_hex("0011").is_none());
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId([u8; 16]);

impl CallId {
    pub(crate) fn random(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// So many, for one question to the generator.
    pub(super) fn several<const N: usize>(rng: &mut (impl CryptoRng + ?Sized)) -> [Self; N] {
        let mut bytes = [[0; 16]; N];
        rng.fill_bytes(bytes.as_flattened_mut());
        bytes.map(Self)
    }

    /// The name that [`Display`](fmt::Display) wrote: 32 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            let at = at.checked_mul(2)?;
            *byte = u8::from_str_radix(text.get(at..at.checked_add(2)?)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallId({self})")
    }
}

/// What a gateway says of a call.
///
/// ```
/// # use unjoin_phone::test_util::{LIFE, START, order, parties, request, switchboard};
/// use unjoin_phone::{Binding, CallEnd, CallProgress, Route};
/// # let directory = unjoin_test_util::Directory::new();
/// # let board = switchboard(directory.file("slot-keys"));
/// # let binding = Binding::merchant(order("merchant 17", "order 4711"), parties(1, 2), START.saturating_add(LIFE));
/// # let number = board.bind(binding).wait()?.number;
/// let Route::Connect { call, .. } = board.route(&request(2, number))? else { panic!("the customer may call") };
/// // What the gateway tells as it happens; from the end on nothing of the call is kept.
/// for progress in [CallProgress::Ringing, CallProgress::Answered, CallProgress::Ended(CallEnd::Completed)] {
///     board.call_told(call, progress);
/// }
/// assert!(board.calls_to_end()?.is_empty());
/// # Ok::<(), unjoin_phone::SwitchboardError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallProgress {
    /// The callee's phone rings.
    Ringing,
    /// Somebody picked it up.
    Answered,
    /// It is over.
    Ended(CallEnd),
}

/// Why a call is over.
///
/// ```
/// use unjoin_phone::gateway::sip;
/// use unjoin_phone::{CallEnd, CallProgress};
/// let told = b"call=00112233445566778899aabbccddeeff&progress=ended&status=486";
/// let (_, progress) = sip::progress(told).ok_or("nothing that a proxy says")?;
/// assert_eq!(progress, CallProgress::Ended(CallEnd::Busy));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// A side hung up, or its time was up.
    Completed,
    /// The callee was busy, or declined.
    Busy,
    /// Nobody picked it up, or the caller gave up.
    NoAnswer,
    /// The callee's network did not put it through.
    Failed,
}

/// What became of a call, without a phone, a number or a call's name.
///
/// ```
/// # use unjoin_phone::test_util::{LIFE, START, order, parties, request, switchboard};
/// # use unjoin_phone::{Binding, CallEvent, CallEvents, CallProgress, OrderTag, Route};
/// use unjoin_phone::{Leg, Side};
/// # struct Told(std::sync::mpsc::Sender<CallEvent>);
/// # impl CallEvents for Told {
/// #     fn wants(&self, _: &OrderTag) -> bool { true }
/// #     fn take(&self, event: CallEvent) { let _ = self.0.send(event); }
/// # }
/// # let (directory, order) = (unjoin_test_util::Directory::new(), order("merchant 17", "order 4711"));
/// # let (sender, events) = std::sync::mpsc::channel();
/// # let board = switchboard(directory.file("slot-keys")).with_events(Told(sender))?;
/// # let binding = Binding::merchant(order.clone(), parties(1, 2), START.saturating_add(LIFE));
/// # let number = board.bind(binding).wait()?.number;
/// # let Route::Connect { call, .. } = board.route(&request(2, number))? else { panic!("the customer may call") };
/// # board.call_told(call, CallProgress::Ringing);
/// # let event = events.recv()?;
/// // The customer's phone called, in this quarter of an hour; nobody has picked up yet.
/// assert_eq!((event.leg, event.caller, event.quarter), (Leg::Merchant, Side::Customer, START));
/// assert_eq!((event.order, event.seconds), (OrderTag::of(&order), 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallEvent {
    /// Of which order.
    pub order: OrderTag,
    /// Between whom.
    pub leg: Leg,
    /// Who called.
    pub caller: Side,
    /// The beginning of the quarter of an hour in which it happened.
    pub quarter: Timestamp,
    /// What happened.
    pub progress: CallProgress,
    /// For how long they talked, in seconds, rounded up to 10, 30, 60, 120, 300, 600, 1,800 or 3,600 and to whole hours beyond;
    /// 0 if nobody picked it up, and before the end.
    pub seconds: u64,
}

/// What stands for an order in a [`CallEvent`]: the host compares it with those of its own orders.
///
/// ```
/// use unjoin_core::Name;
/// use unjoin_phone::{OrderRef, OrderTag};
/// let merchant = Name::new("merchant 17")?;
/// let tag = OrderTag::of(&OrderRef { merchant: merchant.clone(), order: Name::new("order 4711")? });
/// assert!(tag.is_of(&merchant) && !tag.is_of(&Name::new("merchant 18")?));
/// # Ok::<(), unjoin_core::NameError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OrderTag(OrderId);

impl OrderTag {
    /// This order's.
    pub fn of(order: &OrderRef) -> Self {
        Self(OrderId::of(order))
    }

    /// Whether the order is this merchant's.
    pub fn is_of(&self, merchant: &Name) -> bool {
        self.0.is_of(merchant)
    }
}

/// Where a host hears what became of calls. Nothing is kept for a merchant for whom it does not ask: *who was called when* is
/// what an order's own merchant could hold against a review, see the manual.
///
/// ```
/// # use unjoin_phone::test_util::{LIFE, START, name, order, parties, request, switchboard};
/// use std::sync::mpsc::{Sender, channel};
/// use unjoin_phone::{Binding, CallEvent, CallEvents, CallProgress, OrderTag, Route};
///
/// struct Told(Sender<CallEvent>);
///
/// impl CallEvents for Told {
///     fn wants(&self, order: &OrderTag) -> bool {
///         order.is_of(&name("merchant 17")) // a merchant who needs them
///     }
///     fn take(&self, event: CallEvent) {
///         let _ = self.0.send(event);
///     }
/// }
/// # let directory = unjoin_test_util::Directory::new();
/// # let binding = Binding::merchant(order("merchant 17", "order 4711"), parties(1, 2), START.saturating_add(LIFE));
///
/// let (sender, events) = channel();
/// let board = switchboard(directory.file("slot-keys")).with_events(Told(sender))?;
/// # let number = board.bind(binding).wait()?.number;
/// # let Route::Connect { call, .. } = board.route(&request(2, number))? else { panic!("the customer may call") };
/// board.call_told(call, CallProgress::Ringing);
/// assert_eq!(events.recv()?.progress, CallProgress::Ringing);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait CallEvents: Send + Sync + 'static {
    /// Whether events of this order's merchant are wanted. Say no unless the merchant needs them.
    fn wants(&self, order: &OrderTag) -> bool;

    /// Takes an event, on a thread of its own. What comes while 1,024 wait is dropped.
    fn take(&self, event: CallEvent);
}

/// What an index row said of a call, but for its callee.
#[derive(Clone, Copy)]
pub(super) struct Claim {
    pub(super) order: OrderId,
    /// The order's.
    pub(super) part: Part,
    pub(super) leg: Leg,
    pub(super) caller: Side,
    pub(super) attempt: Attempt,
}

impl Claim {
    pub(super) fn of(entry: &Entry, part: Part) -> Self {
        Self { order: entry.order, part, leg: entry.leg, caller: entry.caller, attempt: entry.attempt }
    }
}

pub(super) struct Calls {
    held: Mutex<Held>,
    /// Who asks which calls are to end. One at a time: what one has read late must not stand for what another was told.
    asking: Mutex<()>,
    events: OnceLock<(Arc<dyn CallEvents>, SyncSender<CallEvent>)>,
    dropped: AtomicU64,
}

impl Calls {
    pub(super) fn new() -> Self {
        Self {
            held: Mutex::default(),
            asking: Mutex::default(),
            events: OnceLock::new(),
            dropped: AtomicU64::new(0),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call or message that all else allows, now and until when, if the limits do, and gives it a name.
    pub(super) fn begin(
        &self,
        asked: (Claim, VirtualNumber, Channel),
        at: (Timestamp, Timestamp),
        config: &SwitchboardConfig,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<CallId, Reason> {
        let mut held = self.held();
        let id = held.name(rng);
        held.begin(asked, at, config, id).map(|()| id)
    }

    pub(super) fn set_events(&self, events: Arc<dyn CallEvents>) -> Result<(), std::io::Error> {
        let (sender, waiting) = sync_channel::<CallEvent>(EVENTS);
        let host = Arc::clone(&events);
        std::thread::Builder::new().name("call events".to_owned()).spawn(move || {
            for event in waiting {
                host.take(event);
            }
        })?;
        let _ = self.events.set((events, sender));
        Ok(())
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// What the gateway says of a call; nothing of one that is not known.
    pub(super) fn told(&self, id: CallId, progress: CallProgress, now: Timestamp) {
        let mut held = self.held();
        let Some(claim) = held.of(id) else { return };
        let seconds = match progress {
            CallProgress::Ringing => 0,
            CallProgress::Answered => {
                held.answered(id, now);
                0
            }
            CallProgress::Ended(_) => {
                in_steps(held.ended(id).map_or(0, |answered| now.saturating_since(answered).max(1)))
            }
        };
        drop(held);
        let order = OrderTag(claim.order);
        let Some((host, sender)) = self.events.get().filter(|(host, _)| host.wants(&order)) else { return };
        let _ = host;
        let quarter = now.as_unix_seconds().saturating_sub(now.as_unix_seconds() % 900);
        let quarter = Timestamp::from_unix_seconds(quarter);
        let event = CallEvent { order, leg: claim.leg, caller: claim.caller, quarter, progress, seconds };
        if sender.try_send(event).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Rounded up, so that a length tells no call from another.
fn in_steps(seconds: u64) -> u64 {
    let steps = [0, 10, 30, 60, 120, 300, 600, 1800, 3600];
    steps.into_iter().find(|step| seconds <= *step).unwrap_or(seconds.div_ceil(HOUR).saturating_mul(HOUR))
}

impl<S: Store> Core<S> {
    /// Those of the calls put through that nothing allows any more. They are named again until the gateway says that they have ended.
    pub(super) fn calls_to_end(&self) -> Result<Vec<CallId>, SwitchboardError> {
        let _one = self.calls.asking.lock().unwrap_or_else(PoisonError::into_inner);
        let window = self.window()?;
        let now = window.now();
        let parts = {
            let mut held = self.calls.held();
            held.forget(now);
            held.parts()
        };
        // Before the records: what ends after this is told the next time.
        let endings =
            self.store.read(&parts.iter().map(|part| part.key().at().clone()).collect::<Vec<_>>())?;
        let calls = {
            let mut held = self.calls.held();
            held.told(parts.into_iter().zip(endings).collect(), window.generation());
            held.unjudged()
        };
        let window: &SlotKeyWindow = &window;
        let left = |(_, claim, number): &(CallId, Claim, VirtualNumber)| {
            let (claim, number) = (*claim, *number);
            Ok(Decision::new(claim.order.records_in(claim.part), move |rows, _: &mut _| {
                let (order, merchant) = or_default(rows);
                Ok(judge(&claim, &order, merchant, number, None, window).ok())
            }))
        };
        let answers = decide_all(&*self.store, calls.iter().map(left).collect());
        let mut held = self.calls.held();
        for ((id, ..), left) in calls.iter().zip(answers) {
            match left {
                Ok(left) => held.judged(*id, left.map(|left| now.saturating_add(left))),
                // What cannot be read allows nothing.
                Err(SwitchboardError::Store(unjoin_store::StoreError::Corrupt(_))) => held.judged(*id, None),
                Err(error) => return Err(error),
            }
        }
        Ok(held.to_end())
    }
}
