//! The endpoints: where each is, and how it is bounded. Routers are built from this table, and the
//! description in `docs/openapi.json` is held against it.

use crate::arrival::MOST;
use crate::guard::{Routes, behind, guarded};
use crate::service::Service;
use crate::{backup, door, gateway, ledgers, operations, orders, reviews, support, telephony};
use axum::Router;
#[cfg(test)]
use axum::http::Method;
use axum::routing::{any, get, post};
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
    (@method get) => { Method::GET };
    (@method $other:ident) => { Method::POST };
    ($($name:ident: $label:literal, $side:ident, $method:ident($handler:expr), $($path:literal)+;)+) => {
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
                match self { $(Self::$name => endpoints!(@method $method),)+ }
            }

            pub(crate) fn paths(self) -> &'static [&'static str] {
                match self { $(Self::$name => &[$($path,)+],)+ }
            }
        }

        /// What is served on this side.
        pub(crate) fn routes<S: Store>(service: &Arc<Service<S>>, side: Side) -> Router<Arc<Service<S>>> {
            let all = [$((Side::$side, Endpoint::$name, $method($handler))),+];
            let here = all.into_iter().filter(|(on, ..)| *on == side);
            here.fold(Router::new(), |router, (_, endpoint, routes)| router.merge(endpoint.at(service, routes)))
        }
    };
}

endpoints! {
    Nonce: "nonce", Devices, post(orders::nonce::<S>), "/orders/nonce";
    Enrol: "enrol", Devices, post(orders::enrol::<S>), "/orders/enrol";
    Offer: "offer", Devices, post(orders::offer::<S>), "/orders/offer";
    Grant: "grant", Devices, post(orders::grant::<S>), "/orders/grant";
    Manifests: "manifests", Devices, get(orders::manifests::<S>),
        "/manifests/{merchant}" "/manifests/{merchant}/after/{cohort}";
    Door: "door", Devices, any(door::door::<S>), "/door";
    Gateway: "gateway", Devices, post(gateway::ask::<S>), "/gateway";
    DoorKeys: "door_keys", Devices, get(gateway::keys::<S>), "/door/keys";
    Published: "published", Devices, get(reviews::published::<S>),
        "/reviews/published/{merchant}" "/reviews/published/{merchant}/after/{id}";
    Rating: "rating", Devices, get(reviews::rating::<S>), "/reviews/rating/{merchant}";
    Histogram: "histogram", Devices, get(reviews::histogram::<S>), "/reviews/histogram/{merchant}";
    Checkpoint: "ledger_checkpoint", Devices, get(ledgers::checkpoint::<S>), "/ledgers/{ledger}/checkpoint";
    Tile: "ledger_tile", Devices, get(ledgers::tile::<S>), "/ledgers/{ledger}/tile/{level}/{*index}";
    Introduce: "introduce_merchant", Internal, post(orders::introduce::<S>), "/merchants/introduce";
    CloseMerchant: "close_merchant", Internal, post(orders::close_merchant::<S>), "/merchants/close";
    OrderDue: "order_due", Internal, post(orders::order_due::<S>), "/orders/due";
    NumbersDead: "numbers_dead", Internal, post(orders::numbers_dead::<S>), "/orders/numbers-dead";
    Bind: "bind", Internal, post(telephony::bind::<S>), "/phones/bind";
    Route: "route", Internal, post(telephony::decide::<S>), "/phones/route";
    CloseOrder: "close_order", Internal, post(telephony::close_order::<S>), "/phones/close-order";
    EraseAccount: "erase_account", Internal, post(support::erase::<S>), "/accounts/erase";
    ExportAccount: "export_account", Internal, post(support::export::<S>), "/accounts/export";
    OrderStanding: "order_standing", Internal, post(support::standing::<S>), "/orders/standing";
    RemoveReview: "remove_review", Internal, post(reviews::remove::<S>), "/reviews/remove";
    Evidence: "review_evidence", Internal, post(reviews::evidence::<S>), "/reviews/evidence";
    LogOpening: "log_opening", Internal, post(ledgers::append::<S>), "/ledgers/openings/append";
    Starving: "starving", Internal, get(support::starving::<S>), "/cohorts/starving";
    BackUp: "back_up", Internal, post(backup::back_up::<S>), "/backup";
    AdvanceClock: "advance_clock", Internal, post(support::advance::<S>), "/clock/advance";
    Live: "live", Internal, get(operations::live), "/health/live";
    Ready: "ready", Internal, get(operations::ready::<S>), "/health/ready";
    Metrics: "metrics", Internal, get(operations::metrics::<S>), "/metrics";
    Description: "description", Internal, get(operations::description), "/openapi.json";
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
    fn at<S: Store>(self, service: &Arc<Service<S>>, routes: Routes<S>) -> Router<Arc<Service<S>>> {
        // The door answers every method itself.
        let routes = match self {
            Self::Door => behind(service, self, routes),
            _ => guarded(service, self, routes),
        };
        self.paths().iter().fold(Router::new(), |router, path| router.route(path, routes.clone()))
    }
}
