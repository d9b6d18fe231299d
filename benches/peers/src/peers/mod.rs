//! What people would pick instead, measured in the same run.

mod blind_rsa;
mod keyed;
mod voprf;

pub use blind_rsa::SCHEME as BLIND_RSA;
pub use keyed::SCHEME as CMZ;
pub use voprf::{P384, RISTRETTO255};

use crate::measure::Step;

/// The steps of all peers, under the names of the steps that every scheme has.
pub fn all() -> Vec<Step> {
    let mut steps = voprf::ristretto255();
    steps.extend(voprf::p384());
    steps.extend(blind_rsa::steps());
    steps.extend(keyed::steps());
    steps
}
