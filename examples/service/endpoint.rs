//! The endpoints: where each is, and how it is bounded. Routers are built from this table, and the
//! description in `docs/openapi.json` is held against it.

use crate::arrival::MOST;
use crate::guard::{Routes, behind, guarded};
use crate::service::Service;
use axum::Router;
#[cfg(test)]
use axum::http::Method;
use std::sync::Arc;
use unjoin::phone::gateway::Question;
use unjoin::store::Store;
use unjoin::token::DoorMessage;

/// Who reaches an endpoint: each side has an address of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Devices and readers, through whatever stands in front.
    Devices,
    /// The platform's own services, its switches and its operators.
    Internal,
}

macro_rules! endpoints {
    ($($name:ident: $label:literal, $side:ident, $method:ident, $($path:literal)+;)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Endpoint {
            $($name,)+
        }

        impl Endpoint {
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)+];

            /// What metrics call it.
            pub(crate) fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)+ }
            }

            #[cfg(test)]
            pub(crate) fn side(self) -> Side {
                match self { $(Self::$name => Side::$side,)+ }
            }

            #[cfg(test)]
            pub(crate) fn method(self) -> Method {
                match self { $(Self::$name => Method::$method,)+ }
            }

            pub(crate) fn paths(self) -> &'static [&'static str] {
                match self { $(Self::$name => &[$($path,)+],)+ }
            }
        }
    };
}

endpoints! {
    Nonce: "nonce", Devices, POST, "/orders/nonce";
    Enrol: "enrol", Devices, POST, "/orders/enrol";
    Offer: "offer", Devices, POST, "/orders/offer";
    Grant: "grant", Devices, POST, "/orders/grant";
    Manifests: "manifests", Devices, GET, "/manifests/{merchant}" "/manifests/{merchant}/after/{cohort}";
    Door: "door", Devices, POST, "/door";
    Gateway: "gateway", Devices, POST, "/gateway";
    DoorKeys: "door_keys", Devices, GET, "/door/keys";
    Published: "published", Devices, GET,
        "/reviews/published/{merchant}" "/reviews/published/{merchant}/after/{id}";
    Rating: "rating", Devices, GET, "/reviews/rating/{merchant}";
    Checkpoint: "ledger_checkpoint", Devices, GET, "/ledgers/{ledger}/checkpoint";
    Tile: "ledger_tile", Devices, GET, "/ledgers/{ledger}/tile/{level}/{*index}";
    Introduce: "introduce_merchant", Internal, POST, "/merchants/introduce";
    CloseMerchant: "close_merchant", Internal, POST, "/merchants/close";
    OrderDue: "order_due", Internal, POST, "/orders/due";
    NumbersDead: "numbers_dead", Internal, POST, "/orders/numbers-dead";
    Bind: "bind", Internal, POST, "/phones/bind";
    Route: "route", Internal, POST, "/phones/route";
    CloseOrder: "close_order", Internal, POST, "/phones/close-order";
    EraseAccount: "erase_account", Internal, POST, "/accounts/erase";
    ExportAccount: "export_account", Internal, POST, "/accounts/export";
    OrderStanding: "order_standing", Internal, POST, "/orders/standing";
    RemoveReview: "remove_review", Internal, POST, "/reviews/remove";
    Evidence: "review_evidence", Internal, POST, "/reviews/evidence";
    LogOpening: "log_opening", Internal, POST, "/ledgers/openings/append";
    Starving: "starving", Internal, GET, "/cohorts/starving";
    BackUp: "back_up", Internal, POST, "/backup";
    AdvanceClock: "advance_clock", Internal, POST, "/clock/advance";
    Live: "live", Internal, GET, "/health/live";
    Ready: "ready", Internal, GET, "/health/ready";
    Metrics: "metrics", Internal, GET, "/metrics";
    Description: "description", Internal, GET, "/openapi.json";
}

impl Endpoint {
    /// What authors do, or prepare: no session comes with it, and nobody learns when it came.
    pub(crate) fn is_about_reviews(self) -> bool {
        matches!(self, Self::Door | Self::DoorKeys | Self::Gateway | Self::Manifests)
    }

    /// What supervisors ask, also of a service that has too much to do, or ends.
    pub(crate) fn is_for_supervisors(self) -> bool {
        matches!(self, Self::Live | Self::Ready | Self::Metrics | Self::Description)
    }

    /// What takes as long as there is to copy: nobody gives up on it.
    pub(crate) fn takes_its_time(self) -> bool {
        self == Self::BackUp
    }

    /// The most bytes of a body.
    pub(crate) fn body_limit(self) -> usize {
        match self {
            Self::Door => DoorMessage::LENGTH,
            Self::Route => Question::MAX_BYTES,
            Self::LogOpening | Self::Gateway => MOST,
            _ => 4 * 1024,
        }
    }

    /// Its paths, behind its limits.
    pub(crate) fn at<S: Store>(
        self,
        service: &Arc<Service<S>>,
        routes: Routes<S>,
    ) -> Router<Arc<Service<S>>> {
        // The door answers every method itself.
        let routes = match self {
            Self::Door => behind(service, self, routes),
            _ => guarded(service, self, routes),
        };
        self.paths().iter().fold(Router::new(), |router, path| router.route(path, routes.clone()))
    }
}
