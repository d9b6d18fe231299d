//! The attacker's two tables as files: `orders.csv`, what the portal shows, and `published.csv`, the reviews.

use std::{collections::HashMap, fs, path::Path};

use super::{
    DataError, Exports, PortalOrder, PublishedReview, purchase,
    table::{Row, Unfinished, read_rows},
};
use crate::{
    calendar::{DAY, format_date, format_moment},
    random::SplitMix64,
};

/// Writes `orders.csv` and `published.csv`, the reviews in a seeded random order. Each file is complete under a
/// temporary name before either is renamed, so no half-written table is ever found under its own name.
pub fn write_exports(dir: &Path, exports: &Exports, seed: u64) -> Result<(), DataError> {
    fs::create_dir_all(dir).map_err(|source| DataError::File { path: dir.to_owned(), source })?;
    let mut shuffled: Vec<&PublishedReview> = exports.published.iter().collect();
    SplitMix64::new(seed).shuffle(&mut shuffled);
    let days_only = shuffled.iter().all(|review| review.published_at.rem_euclid(DAY) == 0);

    let orders = Unfinished::write(dir.join("orders.csv"), |table| {
        table.write_record(EXPORTED_ORDER_COLUMNS)?;
        exports.orders.iter().try_for_each(|order| {
            table.write_record([
                order.order_id.as_str(),
                &order.merchant,
                order.cohort.as_deref().unwrap_or_default(),
                &order.customer,
                &format_moment(order.purchased_at),
                &order.delivered_at.map(format_moment).unwrap_or_default(),
                &promised_day(order.estimated_at),
                &order.status,
                &order.category,
                &order.price.to_string(),
                &order.freight.to_string(),
                &order.items.to_string(),
            ])
        })
    })?;
    let published = Unfinished::write(dir.join("published.csv"), |table| {
        table.write_record(PUBLISHED_COLUMNS.iter().chain([&WRITTEN]))?;
        shuffled.iter().try_for_each(|review| {
            let moment = if days_only { format_date } else { format_moment };
            table.write_record([
                review.merchant.as_str(),
                review.cohort.as_deref().unwrap_or_default(),
                &moment(review.published_at),
                &review.stars.to_string(),
                &review.truth_order_id,
                &review.truth_written_at.map(format_moment).unwrap_or_default(),
            ])
        })
    })?;
    orders.finish()?;
    published.finish()
}

/// Reads `orders.csv` and `published.csv` of a directory: those written here, or a host's own.
pub fn read_exports(dir: &Path) -> Result<Exports, DataError> {
    let mut line_of = HashMap::new();
    let orders = read_rows(&dir.join("orders.csv"), &EXPORTED_ORDER_COLUMNS, &[], |row| {
        let purchase = purchase(row, &mut line_of)?;
        Ok(PortalOrder { purchase, cohort: row.optional("cohort", Row::text)? })
    })?;

    let order_of: HashMap<&str, &PortalOrder> =
        orders.iter().map(|order| (order.order_id.as_str(), order)).collect();
    let mut line_of = HashMap::new();
    let published = read_rows(&dir.join("published.csv"), &PUBLISHED_COLUMNS, &[WRITTEN], |row| {
        let review = PublishedReview {
            merchant: row.text("merchant")?,
            cohort: row.optional("cohort", Row::text)?,
            published_at: row.moment("published_at")?,
            stars: row.stars("stars")?,
            truth_order_id: row.unique("truth_order_id", &mut line_of)?,
            truth_written_at: row.optional(WRITTEN, Row::moment)?,
        };
        let Some(order) = order_of.get(review.truth_order_id.as_str()) else {
            return Err(row.error(format!("truth_order_id {} is not in orders.csv", review.truth_order_id)));
        };
        if order.merchant != review.merchant {
            return Err(row.error(format!("order {} belongs to another merchant", review.truth_order_id)));
        }
        if review.cohort.is_some() && order.cohort != review.cohort {
            return Err(row.error(format!("order {} belongs to another cohort", review.truth_order_id)));
        }
        if review.published_at.div_euclid(DAY) < order.purchased_at.div_euclid(DAY) {
            return Err(row.error("published_at is before the order's purchased_at".to_owned()));
        }
        if review.truth_written_at.is_some_and(|written| written > review.published_at + DAY) {
            return Err(row.error("truth_written_at is after published_at".to_owned()));
        }
        Ok(review)
    })?;
    Ok(Exports { orders, published })
}

const EXPORTED_ORDER_COLUMNS: [&str; 12] = [
    "order_id",
    "merchant",
    "cohort",
    "customer",
    "purchased_at",
    "delivered_at",
    "estimated_at",
    "status",
    "category",
    "price",
    "freight",
    "items",
];
const PUBLISHED_COLUMNS: [&str; 5] = ["merchant", "cohort", "published_at", "stars", "truth_order_id"];
/// What a host need not have.
const WRITTEN: &str = "truth_written_at";

/// A bare date where the moment is a midnight, as in the source; a host's own odd moment is kept as it is.
fn promised_day(estimated_at: i64) -> String {
    if estimated_at.rem_euclid(DAY) == 0 {
        format_date(estimated_at - DAY)
    } else {
        format_moment(estimated_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{
        Order,
        tests::{GOOD, Scratch, refused},
    };

    #[test]
    fn exports_are_read_back_as_they_were_written() {
        let scratch = Scratch::new("exports");
        let late = GOOD.replace("a,m", "b,m").replace("2017-02-20", "2017-01-19");
        let orders = scratch.orders(&format!("{GOOD}{late}")).unwrap();
        let published = |order: &Order, published_at| PublishedReview {
            merchant: order.merchant.clone(),
            cohort: Some("17".to_owned()),
            published_at,
            stars: 5,
            truth_order_id: order.order_id.clone(),
            truth_written_at: order.reviewed_at,
        };
        for offset in [0, 1] {
            let mut exports = Exports {
                orders: orders.iter().map(|order| PortalOrder::new(order, Some("17".to_owned()))).collect(),
                published: orders.iter().map(|order| published(order, 18_000 * DAY + offset)).collect(),
            };
            write_exports(&scratch.0, &exports, 7).unwrap();
            let mut read = read_exports(&scratch.0).unwrap();
            for side in [&mut exports, &mut read] {
                side.published.sort_by(|left, right| left.truth_order_id.cmp(&right.truth_order_id));
            }
            assert_eq!(read, exports);
            assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 2);
        }
    }

    #[test]
    fn a_review_of_an_unknown_order_is_refused() {
        let scratch = Scratch::new("unknown");
        let orders = scratch.orders(GOOD).unwrap();
        let exports = Exports {
            orders: orders.iter().map(|order| PortalOrder::new(order, None)).collect(),
            published: vec![PublishedReview {
                merchant: "m".to_owned(),
                cohort: None,
                published_at: 18_000 * DAY,
                stars: 1,
                truth_order_id: "z".to_owned(),
                truth_written_at: None,
            }],
        };
        write_exports(&scratch.0, &exports, 7).unwrap();
        assert!(
            matches!(&refused(read_exports(&scratch.0))[..], [(2, rule)] if rule.contains("not in orders.csv"))
        );
    }
}
