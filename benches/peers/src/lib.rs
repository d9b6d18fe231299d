//! What unjoin's steps cost, beside what people would pick instead.
//!
//! [`steps::all`] is the one list of what is measured: criterion (`cargo bench`) and the
//! table (`cargo run --release`) run the same closures. Common steps go from the bytes that
//! were received to the bytes that are sent, in every scheme.

pub mod arguments;
pub mod drive;
pub mod machine;
pub mod measure;
pub mod peers;
pub mod report;
pub mod slow;
pub mod steps;
pub mod world;
