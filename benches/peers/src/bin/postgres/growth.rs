//! What old rows cost: reviews beside so many spent serials, grants beside so many granted orders.
//!
//! Old rows are put into the store through its own commits, each of the size of a real one that a review, or a grant,
//! left there, under a random id, in key order; then the store is rewritten, as at a boundary. A held review is the
//! largest row that a spent serial has.

use crate::fill::{self, Kind};
use crate::prepare::{Encoded, Orders, Shop};
use crate::server::{Server, fresh_schema};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use unjoin::store::postgres::PostgresStore;
use unjoin::store::{Row, Store};
use unjoin_benches::drive::{Load, bar, print_load};

const CALLERS: usize = 64;

/// One kind of requests beside each of these numbers of old rows; `count` requests each time.
pub(crate) fn measure(
    server: &Server,
    kind: &str,
    old_rows: &[usize],
    count: usize,
) -> Result<(), Box<dyn Error>> {
    let schema = fresh_schema();
    let mut config = server.config(&schema);
    // Loading shares the disk with the server's checkpoints.
    config.statement_timeout = Duration::from_secs(300);
    let mut growing = Growing {
        server,
        rows: format!("{schema}.rows"),
        shop: Shop::new(),
        store: Arc::new(PostgresStore::create(config)?),
        there: 0,
    };
    match kind {
        "reviews" => growing.reviews(old_rows, count)?,
        _ => growing.grants(old_rows, count)?,
    }
    drop(growing);
    server.sql(&format!("DROP SCHEMA {schema} CASCADE"));
    server.sql("CHECKPOINT");
    Ok(())
}

/// A store that grows from one measurement to the next.
struct Growing<'a> {
    server: &'a Server,
    /// The table's name.
    rows: String,
    shop: Shop,
    store: Arc<PostgresStore>,
    /// How many rows of the kind that is measured are there.
    there: usize,
}

impl Growing<'_> {
    fn reviews(&mut self, old_rows: &[usize], count: usize) -> Result<(), Box<dyn Error>> {
        let like = self.shop.one_real_row(&self.store);
        let progress = bar("presenting reviews", old_rows.len() * count);
        let prepared: Vec<Encoded> = self.shop.reviews(old_rows.len() * count, &progress);
        progress.finish_and_clear();
        for (old, own) in old_rows.iter().zip(prepared.chunks(count)) {
            self.grow(&like, fill::REVIEWS, *old)?;
            let load = crate::submit(&self.shop, Arc::clone(&self.store), own, CALLERS);
            self.print(*old, "spent serials", &load);
        }
        Ok(())
    }

    fn grants(&mut self, old_rows: &[usize], count: usize) -> Result<(), Box<dyn Error>> {
        let issuer = self.shop.issuer(Arc::clone(&self.store));
        let progress = bar("asking for tokens", old_rows.len() * count + 1);
        let Orders { accounts, mut requests } =
            self.shop.requests(&issuer, old_rows.len() * count + 1, &progress);
        progress.finish_and_clear();
        // The first one shows what a granted order's row is like.
        let first = requests.split_off(requests.len() - 1);
        crate::grant(&issuer, &accounts, &first, 1);
        let like = fill::longest_row(&*self.store, fill::ORDERS, first[0].decode().scope().merchant(), b"io");
        for (old, own) in old_rows.iter().zip(requests.chunks(count)) {
            self.grow(&like, fill::ORDERS, *old)?;
            let load = crate::grant(&issuer, &accounts, own, CALLERS);
            self.print(*old, "granted orders", &load);
        }
        Ok(())
    }

    /// Adds rows until there are so many, writes all anew, and says what they take.
    fn grow(&mut self, like: &Row, kind: Kind, until: usize) -> Result<(), Box<dyn Error>> {
        let more = until.saturating_sub(self.there);
        let (progress, start) = (bar("adding rows", more), Instant::now());
        fill::fill(&self.store, like, self.shop.merchants(), kind, more, &progress);
        progress.finish_and_clear();
        let (filled, start) = (start.elapsed(), Instant::now());
        self.store.rewrite()?;
        let rewritten = start.elapsed();
        self.server.sql("CHECKPOINT");
        println!(
            "    {more} rows of {} + {} bytes added in {:.0} s, all rewritten in {:.1} s: table {} MB, its index {} MB",
            like.key.len(),
            like.value.len(),
            filled.as_secs_f64(),
            rewritten.as_secs_f64(),
            self.megabytes("pg_table_size"),
            self.megabytes("pg_indexes_size"),
        );
        self.there = self.there.max(until);
        Ok(())
    }

    fn print(&mut self, old: usize, what: &str, load: &Load) {
        print_load(&format!("{CALLERS} callers, {old} {what} before"), load);
        self.there += load.decided;
    }

    fn megabytes(&self, size: &str) -> String {
        self.server.sql(&format!("SELECT round({size}('{}') / 1e6)", self.rows))
    }
}
