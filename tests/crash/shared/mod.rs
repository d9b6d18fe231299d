//! What tests that interrupt a platform share, here and on PostgreSQL.

pub(crate) mod life;
pub(crate) mod line;
pub(crate) mod record;
pub(crate) mod scenario;
