//! Errors as answers: a status, and a problem document (RFC 9457) with the library's code and message.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};
use unjoin::issuer::IssuerError;
use unjoin::ledger::{LogError, ViewError};
use unjoin::phone::SwitchboardError;
use unjoin::review::DeskError;
use unjoin::wire::DecodeError;
use unjoin::{Audience, NameError, PlatformError, QueueError};
use unjoin_door::DoorError;

/// An answer that is an error.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    detail: Cow<'static, str>,
    retryable: bool,
}

/// Which error an answer is, for whoever counts answers or writes them in another form.
#[derive(Clone, Copy)]
pub(crate) struct Code {
    pub(crate) code: &'static str,
    pub(crate) retryable: bool,
}

impl Problem {
    /// An error of the service's own.
    pub(crate) const fn new(status: StatusCode, code: &'static str, detail: &'static str) -> Self {
        let retryable = matches!(status.as_u16(), 408 | 503);
        Self { status, code, detail: Cow::Borrowed(detail), retryable }
    }

    pub(crate) fn json() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "service.json",
            "the body is not a JSON object: see the endpoint's fields",
        )
    }

    pub(crate) fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "service.too_large",
            "the body has more bytes than this endpoint takes",
        )
    }

    pub(crate) fn slow() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "service.slow",
            "the body did not come in time: send it again, all at once",
        )
    }

    pub(crate) fn path() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "service.path", "the path is not percent-encoded UTF-8")
    }

    pub(crate) fn no_demo_clock() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "service.no_demo_clock",
            "the clock is the machine's: start a demonstration with --demo-clock to move it",
        )
    }

    /// Why there is no backup: a sentence with the path.
    pub(crate) fn backup(why: String) -> Self {
        let code = "service.backup";
        Self { status: StatusCode::CONFLICT, code, detail: why.into(), retryable: false }
    }

    /// Why requests had better go elsewhere.
    pub(crate) fn not_ready(why: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "service.not_ready", why)
    }

    /// What the libraries below refuse by themselves.
    pub(crate) fn other(status: StatusCode) -> Self {
        Self::new(status, "service.other", "the request is not one that this endpoint takes")
    }

    pub(crate) fn body() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "service.body", "the body broke off")
    }

    pub(crate) fn field(name: &'static str) -> Self {
        let detail = format!("{name} is missing, or not what the endpoint takes");
        let code = "service.field";
        Self { status: StatusCode::BAD_REQUEST, code, detail: detail.into(), retryable: false }
    }

    pub(crate) fn other_fields() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "service.fields",
            "the body has a field twice, or one that this endpoint does not take",
        )
    }

    pub(crate) fn no_account() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "service.no_account",
            "log in: whatever authenticates sessions says whose this is",
        )
    }

    pub(crate) fn accounts() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "service.accounts",
            "the request names more than one account: the proxy in front removes what comes from outside, and sets one",
        )
    }

    pub(crate) fn session() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "service.session",
            "this request carries a session: send it again without one, over a connection of its own",
        )
    }

    pub(crate) fn nonce() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "service.nonce",
            "the nonce was not given to this account, or more than five minutes ago: ask for another",
        )
    }

    pub(crate) fn busy() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "service.busy",
            "too many requests are under way: ask again later",
        )
    }

    pub(crate) fn stopping() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "service.stopping",
            "this instance is ending: ask again, another one will answer",
        )
    }

    pub(crate) fn timeout() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "service.timeout",
            "no answer in time; it may or may not have been decided: asking again unchanged is safe",
        )
    }

    pub(crate) fn lost() -> Self {
        let lost = Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "service.lost",
            "the request failed within the service: asking again unchanged is safe",
        );
        Self { retryable: true, ..lost }
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "service.not_found", "there is no such endpoint")
    }

    pub(crate) fn method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "service.method", "the endpoint takes another method")
    }

    pub(crate) fn not_shown() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "service.not_shown",
            "the ledger shows no such checkpoint or tile, or not yet",
        )
    }

    pub(crate) fn no_evidence() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "service.no_evidence",
            "there is no such published review, its escrow is erased, or no published checkpoint covers it yet",
        )
    }

    pub(crate) fn entry() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "service.entry",
            "only what requesters and trustees write is logged here: warrants, rounds, disclosures, announcements, committees",
        )
    }

    /// Which error it is.
    pub(crate) fn code(&self) -> Code {
        Code { code: self.code, retryable: self.retryable }
    }

    fn of(code: &'static str, retryable: bool, audience: Audience, error: &dyn Display) -> Self {
        let status = status_of(code, audience, retryable);
        if !status.is_server_error() {
            return Self { status, code, detail: error.to_string().into(), retryable };
        }
        log(code, error);
        // What the engine says of itself is for the log: it may name hosts and files.
        let detail = if retryable || status == StatusCode::SERVICE_UNAVAILABLE {
            "the service cannot decide this now: asking again unchanged is safe"
        } else {
            "the service cannot decide this until its operator has seen to it"
        };
        Self { status, code, detail: detail.into(), retryable }
    }
}

/// The status of an error of the library's.
pub(crate) fn status_of(code: &str, audience: Audience, retryable: bool) -> StatusCode {
    match (code, audience) {
        ("wire.decode" | "name", _) => StatusCode::BAD_REQUEST,
        // What cannot be opened is no request.
        (code, _) if code.starts_with("door.") => StatusCode::BAD_REQUEST,
        ("issuer.unknown_order" | "desk.unknown_review" | "switchboard.unknown_binding", _) => {
            StatusCode::NOT_FOUND
        }
        // Whoever invents a scope must not wake an operator.
        ("desk.unknown_key", _) => StatusCode::CONFLICT,
        // The service's own copy is the only one here.
        ("ledger.missing", _) => StatusCode::INTERNAL_SERVER_ERROR,
        ("desk.stopped" | "queue.stopped", _) => StatusCode::SERVICE_UNAVAILABLE,
        (_, Audience::Operator) if retryable => StatusCode::SERVICE_UNAVAILABLE,
        (_, Audience::Operator) => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::CONFLICT,
    }
}

/// One line a second for each code: a store that is down, or a queue that is full, must not fill a
/// disk as well.
fn log(code: &'static str, error: &dyn Display) {
    static LAST: LazyLock<Mutex<HashMap<&'static str, Instant>>> = LazyLock::new(Mutex::default);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    if last.get(code).is_none_or(|before| now.duration_since(*before) > Duration::from_secs(1)) {
        last.insert(code, now);
        tracing::error!(code, "{error}");
    }
}

macro_rules! of_the_library {
    ($($error:ty),+) => {$(
        impl From<$error> for Problem {
            fn from(error: $error) -> Self {
                Self::of(error.code(), error.is_retryable(), error.audience(), &error)
            }
        }
    )+};
}

of_the_library!(
    PlatformError,
    IssuerError,
    DeskError,
    SwitchboardError,
    QueueError,
    DecodeError,
    NameError,
    ViewError,
    LogError,
    DoorError
);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, code, detail, retryable } = self;
        let body = serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": detail,
            "code": code,
            "retryable": retryable,
        });
        let headers =
            [(header::CONTENT_TYPE, "application/problem+json"), (header::CACHE_CONTROL, "no-store")];
        let mut response = (status, headers, body.to_string()).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response.extensions_mut().insert(Code { code, retryable });
        response
    }
}
