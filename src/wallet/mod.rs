//! The reviewer's device.

pub(crate) mod derive;
