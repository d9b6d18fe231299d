//! The orders of the shops, read from CSV, and the two tables an attacker holds, written to CSV and read back.
//!
//! All times are seconds since 1970-01-01 00:00 UTC. Nothing here panics on bad input: every refused row is named by
//! file and line.

mod exports;
mod table;

use std::{collections::HashMap, ops::Deref, path::Path};

use self::table::{BadRow, Row, read_rows};
pub use self::{
    exports::{read_exports, write_exports},
    table::DataError,
};

/// Ten thousand real orders: `examples/data/NOTICE.md` says whose.
pub const BUNDLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/data/orders.csv.gz");

/// What a merchant sees of an order, whatever the platform.
#[derive(Clone, Debug, PartialEq)]
pub struct Purchase {
    /// As the table names it.
    pub order_id: String,
    /// The shop.
    pub merchant: String,
    /// Who bought.
    pub customer: String,
    /// Seconds since 1970.
    pub purchased_at: i64,
    /// `None`: never delivered.
    pub delivered_at: Option<i64>,
    /// The midnight that ends the promised day.
    pub estimated_at: i64,
    /// As the table has it: `delivered`, `canceled` and so on.
    pub status: String,
    /// Of the first item.
    pub category: String,
    /// Of all items.
    pub price: f64,
    /// Of all items.
    pub freight: f64,
    /// How many.
    pub items: u32,
}

impl Purchase {
    /// Delivered after the end of the promised day, or never: what the merchant could see go wrong.
    pub fn late_or_failed(&self) -> bool {
        self.delivered_at.is_none_or(|delivered| delivered > self.estimated_at)
    }
}

/// One order with the review its customer really wrote, if any.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// What the shop knows.
    pub purchase: Purchase,
    /// Where the customer lives.
    pub state: String,
    /// 1 to 5, of the customers that wrote.
    pub stars: Option<u8>,
    /// Seconds since 1970: when they wrote.
    pub reviewed_at: Option<i64>,
}

impl Order {
    /// When the outcome class is frozen and a token may be granted: at delivery, or at the end of the promised day
    /// if that comes first.
    pub fn due_at(&self) -> i64 {
        self.delivered_at
            .map_or(self.estimated_at, |delivered| delivered.min(self.estimated_at))
            .max(self.purchased_at)
    }
}

/// What the merchant's portal shows of an order: no stars, no state. `cohort` is `None` on a naive platform and for
/// an order whose cohort never published.
#[derive(Clone, Debug, PartialEq)]
pub struct PortalOrder {
    /// What the shop knows.
    pub purchase: Purchase,
    /// The cohort, where the platform shows one.
    pub cohort: Option<String>,
}

impl PortalOrder {
    /// What the portal shows of an order.
    pub fn new(order: &Order, cohort: Option<String>) -> Self {
        Self { purchase: order.purchase.clone(), cohort }
    }
}

macro_rules! purchases {
    ($($order:ident),+) => {$(
        impl Deref for $order {
            type Target = Purchase;

            fn deref(&self) -> &Purchase {
                &self.purchase
            }
        }
    )+};
}
purchases!(Order, PortalOrder);

/// A published review and, for scoring and for links of other merchants, the order it really belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedReview {
    /// The shop.
    pub merchant: String,
    /// `None` on a naive platform: every order of the merchant is a candidate.
    pub cohort: Option<String>,
    /// Seconds since 1970.
    pub published_at: i64,
    /// 1 to 5.
    pub stars: u8,
    /// The order behind it, for the score alone.
    pub truth_order_id: String,
    /// When it was written, if that is known: from other merchants' reviews an attacker learns how long customers
    /// take.
    pub truth_written_at: Option<i64>,
}

/// The attacker's two tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exports {
    /// What the portal shows.
    pub orders: Vec<PortalOrder>,
    /// What everybody sees.
    pub published: Vec<PublishedReview>,
}

impl Exports {
    /// A platform that shows every review at once, with its time as `shown` says.
    pub fn naive(orders: &[Order], shown: impl Fn(i64) -> i64) -> Self {
        let published = orders.iter().filter_map(|order| {
            let (stars, time) = order.stars.zip(order.reviewed_at)?;
            Some(PublishedReview {
                merchant: order.merchant.clone(),
                cohort: None,
                published_at: shown(time),
                stars,
                truth_order_id: order.order_id.clone(),
                truth_written_at: Some(time),
            })
        });
        Self {
            orders: orders.iter().map(|order| PortalOrder::new(order, None)).collect(),
            published: published.collect(),
        }
    }
}

/// Reads the columns that every table of orders has.
fn purchase(row: &Row<'_>, line_of: &mut HashMap<String, u64>) -> Result<Purchase, BadRow> {
    let purchase = Purchase {
        order_id: row.unique("order_id", line_of)?,
        merchant: row.text("merchant")?,
        customer: row.text("customer")?,
        purchased_at: row.moment("purchased_at")?,
        delivered_at: row.optional("delivered_at", Row::moment)?,
        estimated_at: row.end_of_day("estimated_at")?,
        status: row.text("status")?,
        category: row.field("category").to_owned(),
        price: row.amount("price")?,
        freight: row.amount("freight")?,
        items: row.whole("items")?,
    };
    row.delivery_follows_purchase(purchase.purchased_at, purchase.delivered_at)?;
    Ok(purchase)
}

/// Reads orders with their reviews from a `.csv` or `.csv.gz` file.
pub fn read_orders(path: &Path) -> Result<Vec<Order>, DataError> {
    let mut line_of = HashMap::new();
    read_rows(path, &ORDER_COLUMNS, &[], |row| {
        let order = Order {
            purchase: purchase(row, &mut line_of)?,
            state: row.field("state").to_owned(),
            stars: row.optional("stars", Row::stars)?,
            reviewed_at: row.optional("reviewed_at", Row::moment)?,
        };
        match (order.stars, order.reviewed_at) {
            (None, Some(_)) => Err(row.error("reviewed_at without stars".to_owned())),
            (Some(_), None) => Err(row.error("stars without reviewed_at".to_owned())),
            (_, Some(reviewed)) if reviewed < order.purchased_at => {
                Err(row.error("reviewed_at is before purchased_at".to_owned()))
            }
            _ => Ok(order),
        }
    })
}

const ORDER_COLUMNS: [&str; 14] = [
    "order_id",
    "merchant",
    "customer",
    "purchased_at",
    "delivered_at",
    "estimated_at",
    "status",
    "category",
    "price",
    "freight",
    "items",
    "state",
    "stars",
    "reviewed_at",
];

#[cfg(test)]
mod tests {
    use std::{env, fs, io::Write as _, path::PathBuf};

    use flate2::{Compression, write::GzEncoder};

    use super::*;
    use crate::calendar::format_moment;

    pub(super) const HEADER: &str = "order_id,merchant,customer,purchased_at,delivered_at,estimated_at,status,category,price,\
                          freight,items,state,stars,reviewed_at\n";
    pub(super) const GOOD: &str = "a,m,c,2017-01-10 16:31:22,2017-01-20 15:44:38,2017-02-20,delivered,books,48.9,15.56,1,RJ,5,\
                        2017-01-26 01:22:14\n";

    /// A directory of its own for each test, removed at the end.
    pub(super) struct Scratch(pub(super) PathBuf);

    impl Scratch {
        pub(super) fn new(name: &str) -> Self {
            let dir = env::temp_dir().join(format!("marketplace-{}-{name}", std::process::id()));
            fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }

        pub(super) fn orders(&self, rows: &str) -> Result<Vec<Order>, DataError> {
            let path = self.0.join("orders.csv");
            fs::write(&path, format!("{HEADER}{rows}")).unwrap();
            read_orders(&path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Lines and rules of the rows that are refused.
    pub(super) fn refused<T: std::fmt::Debug>(read: Result<T, DataError>) -> Vec<(u64, String)> {
        match read {
            Err(DataError::Rows { rows, .. }) => rows.into_iter().map(|row| (row.line, row.rule)).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_bad_row_is_named_by_its_line_and_its_rule() {
        let scratch = Scratch::new("bad-rows");
        for (good, bad, rule) in [
            ("2017-01-10 16", "2017-02-30 16", "purchased_at is no date"),
            ("2017-01-20 15:44:38", "2017-01-09 15:44:38", "delivered_at is before"),
            ("2017-02-20", "soon", "estimated_at is no date"),
            ("48.9", "NaN", "price is negative or not finite"),
            ("15.56", "-1", "freight is negative or not finite"),
            (",1,RJ", ",one,RJ", "items is not a whole number"),
            (",5,", ",6,", "stars is outside 1..=5"),
            (",5,", ",0,", "stars is outside 1..=5"),
            (",5,", ",,", "reviewed_at without stars"),
            ("2017-01-26 01:22:14", "", "stars without reviewed_at"),
            ("2017-01-26 01:22:14", "2016-01-26 01:22:14", "reviewed_at is before"),
            ("m,c,", "m,,", "customer is empty"),
            (",RJ", "", "13 fields"),
        ] {
            let wrong = GOOD.replace("a,m", "b,m").replacen(good, bad, 1);
            let found = refused(scratch.orders(&format!("{GOOD}{wrong}")));
            assert!(matches!(&found[..], [(3, found)] if found.contains(rule)), "{rule}: {found:?}");
        }
        let twice = refused(scratch.orders(&format!("{GOOD}{GOOD}")));
        assert!(matches!(&twice[..], [(3, rule)] if rule.contains("on line 2 already")), "{twice:?}");
    }

    #[test]
    fn all_bad_rows_are_named_at_once_and_no_more_than_a_screen_of_them() {
        let scratch = Scratch::new("many-bad-rows");
        let row = |number: usize| GOOD.replace("a,m", &format!("{number},m"));
        let bad = |number: usize| row(number).replace(",5,", ",6,");
        let found = refused(scratch.orders(&format!("{}{}{}short\n{}", row(1), bad(2), row(3), bad(4))));
        assert_eq!(found.iter().map(|row| row.0).collect::<Vec<_>>(), [3, 5, 6]);
        let error = scratch.orders(&(1..100).map(bad).collect::<String>()).unwrap_err();
        assert!(error.to_string().ends_with("and perhaps more"), "{error}");
        assert_eq!(refused::<()>(Err(error)).len(), 20);
    }

    #[test]
    fn a_placeholder_for_no_date_is_named_by_line_and_column() {
        let scratch = Scratch::new("placeholders");
        let row = |number: usize| GOOD.replace("a,m", &format!("{number},m"));
        for (good, placeholder, column) in [
            ("2017-01-20 15:44:38", "9999-12-31", "delivered_at"),
            ("2017-01-26 01:22:14", "9999-12-31 23:59:59", "reviewed_at"),
            ("2017-02-20", "9999-12-31", "estimated_at"),
            ("2017-01-26 01:22:14", "2040-01-01", "reviewed_at"),
            ("2017-01-10 16:31:22", "1969-12-31 23:59:59", "purchased_at"),
            ("2017-01-10 16:31:22", "0001-01-01", "purchased_at"),
            ("2017-01-10 16:31:22", "1990-01-01", "purchased_at"),
        ] {
            let wrong = row(2).replace(good, placeholder);
            let found = refused(scratch.orders(&format!("{}{wrong}{}{}", row(1), row(3), row(4))));
            assert!(
                matches!(&found[..], [(3, rule)] if rule.starts_with(column)),
                "{placeholder}: {found:?}"
            );
        }
    }

    #[test]
    fn whole_numbers_and_moments_are_read_as_other_tools_write_them() {
        let scratch = Scratch::new("dialects");
        let plain = scratch.orders(GOOD).unwrap();
        for (here, there) in [
            (",5,", ",5.0,"),
            (",1,RJ", ",1.00,RJ"),
            ("2017-01-10 16:31:22", "2017-01-10 13:31:22.5-03"),
            ("2017-01-20 15:44:38", "2017-01-20 15:44:38+00:00"),
        ] {
            assert_eq!(scratch.orders(&GOOD.replace(here, there)).unwrap(), plain, "{there}");
        }
        for wrong in [",5.5,", ",5.,", ",5e0,"] {
            assert_eq!(refused(scratch.orders(&GOOD.replace(",5,", wrong))).len(), 1, "{wrong}");
        }
        for separator in [";", "\t", "|"] {
            let path = scratch.0.join("separated.csv");
            fs::write(&path, format!("{HEADER}{GOOD}").replace(',', separator)).unwrap();
            let error = read_orders(&path).unwrap_err().to_string();
            assert!(
                error.contains(&format!("separated by {:?}", separator.chars().next().unwrap())),
                "{error}"
            );
        }
    }

    #[test]
    fn a_packed_table_may_have_many_members_and_zeros_behind_them_but_nothing_else() {
        let scratch = Scratch::new("packed");
        let pack = |text: &str| {
            let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
            packed.write_all(text.as_bytes()).unwrap();
            packed.finish().unwrap()
        };
        let read = |name: &str, bytes: &[u8]| {
            let path = scratch.0.join(name);
            fs::write(&path, bytes).unwrap();
            read_orders(&path)
        };
        let plain = scratch.orders(GOOD).unwrap();
        let two = [pack(HEADER), pack(GOOD)].concat();
        let padded = [two.as_slice(), &[0; 512]].concat();
        for (name, bytes) in [("o.csv.gz", &two), ("o.csv.GZ", &two), ("p.csv.gz", &padded)] {
            assert_eq!(read(name, bytes).unwrap(), plain, "{name}");
        }
        for wrong in [&[padded.as_slice(), b"x"].concat(), &two[..two.len() - 1], &[]] {
            assert!(matches!(read("wrong.csv.gz", wrong), Err(DataError::File { .. })));
        }
    }

    #[test]
    fn a_missing_column_or_file_is_named() {
        let scratch = Scratch::new("missing");
        let path = scratch.0.join("orders.csv");
        assert!(matches!(read_orders(&path), Err(DataError::File { .. })));
        fs::write(&path, HEADER.replace("items,", "")).unwrap();
        assert!(matches!(read_orders(&path), Err(DataError::Column { column: "items", .. })));
    }

    #[test]
    fn an_order_is_due_at_delivery_or_at_the_end_of_the_promised_day() {
        let scratch = Scratch::new("due");
        let late = GOOD.replace("a,m", "b,m").replace("2017-02-20", "2017-01-19");
        let lost = late.replace("b,m", "c,m").replace("2017-01-20 15:44:38", "");
        let orders = scratch.orders(&format!("{GOOD}{late}{lost}")).unwrap();
        assert_eq!(
            orders.iter().map(|order| order.late_or_failed()).collect::<Vec<_>>(),
            [false, true, true]
        );
        assert_eq!(format_moment(orders[0].due_at()), "2017-01-20 15:44:38");
        assert_eq!(format_moment(orders[1].due_at()), "2017-01-20 00:00:00");
        assert_eq!(format_moment(orders[2].due_at()), "2017-01-20 00:00:00");
    }
}
