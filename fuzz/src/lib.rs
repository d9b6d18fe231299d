//! What the fuzz targets share: a platform whose keys and messages are the same in every run, so that
//! an input means the same everywhere.

pub mod allocation;
pub mod kinds;
pub mod mutate;
pub mod pool;
