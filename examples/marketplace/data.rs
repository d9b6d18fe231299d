//! The orders of the shops, read from CSV, and the two tables an attacker holds, written to CSV and read back.
//!
//! All times are seconds since 1970-01-01 00:00 UTC. Nothing here panics on bad input: every refused row is named by
//! file and line.

use std::{
    collections::HashMap,
    error::Error,
    fmt,
    fs::{self, File},
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
    str::FromStr,
};

use csv::{ReaderBuilder, StringRecord, Writer};
use flate2::read::MultiGzDecoder;

use crate::{
    calendar::{DATE_LENGTH, DAY, format_date, format_moment, parse_moment},
    random::SplitMix64,
};

/// One order with the review its customer really wrote, if any.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    pub order_id: String,
    pub merchant: String,
    pub customer: String,
    pub purchased_at: i64,
    /// `None`: never delivered.
    pub delivered_at: Option<i64>,
    /// The midnight that ends the promised day.
    pub estimated_at: i64,
    pub status: String,
    pub category: String,
    pub price: f64,
    pub freight: f64,
    pub items: u32,
    pub state: String,
    pub stars: Option<u8>,
    pub reviewed_at: Option<i64>,
}

impl Order {
    /// Delivered after the end of the promised day, or never: what the merchant could see go wrong.
    pub fn late_or_failed(&self) -> bool {
        late_or_failed(self.delivered_at, self.estimated_at)
    }

    /// When the outcome class is frozen and a token may be granted: at delivery, or at the end of the promised day
    /// if that comes first.
    pub fn due_at(&self) -> i64 {
        self.delivered_at.map_or(self.estimated_at, |delivered| delivered.min(self.estimated_at)).max(self.purchased_at)
    }
}

/// What the merchant's portal shows of an order: no stars, no state. `cohort` is `None` on a naive platform and for
/// an order whose cohort never published.
#[derive(Clone, Debug, PartialEq)]
pub struct PortalOrder {
    pub order_id: String,
    pub merchant: String,
    pub cohort: Option<String>,
    pub customer: String,
    pub purchased_at: i64,
    pub delivered_at: Option<i64>,
    pub estimated_at: i64,
    pub status: String,
    pub category: String,
    pub price: f64,
    pub freight: f64,
    pub items: u32,
}

impl PortalOrder {
    pub fn new(order: &Order, cohort: Option<String>) -> Self {
        Self {
            order_id: order.order_id.clone(),
            merchant: order.merchant.clone(),
            cohort,
            customer: order.customer.clone(),
            purchased_at: order.purchased_at,
            delivered_at: order.delivered_at,
            estimated_at: order.estimated_at,
            status: order.status.clone(),
            category: order.category.clone(),
            price: order.price,
            freight: order.freight,
            items: order.items,
        }
    }

    pub fn late_or_failed(&self) -> bool {
        late_or_failed(self.delivered_at, self.estimated_at)
    }
}

/// A published review and, for scoring and for links of other merchants, the order it really belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedReview {
    pub merchant: String,
    /// `None` on a naive platform: every order of the merchant is a candidate.
    pub cohort: Option<String>,
    pub published_at: i64,
    pub stars: u8,
    pub truth_order_id: String,
}

/// The attacker's two tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exports {
    pub orders: Vec<PortalOrder>,
    pub published: Vec<PublishedReview>,
}

fn late_or_failed(delivered_at: Option<i64>, estimated_at: i64) -> bool {
    delivered_at.is_none_or(|delivered| delivered > estimated_at)
}

#[derive(Debug)]
#[non_exhaustive]
pub enum DataError {
    /// The file could not be opened, read, written or renamed.
    File { path: PathBuf, source: io::Error },
    /// The header lacks a column.
    Column { path: PathBuf, column: &'static str },
    /// A row breaks a rule.
    Row { path: PathBuf, line: u64, rule: String },
}

impl fmt::Display for DataError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, source } => write!(formatter, "{}: {source}", path.display()),
            Self::Column { path, column } => write!(formatter, "{}: the header has no column {column}", path.display()),
            Self::Row { path, line, rule } => write!(formatter, "{}, line {line}: {rule}", path.display()),
        }
    }
}

impl Error for DataError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            Self::Column { .. } | Self::Row { .. } => None,
        }
    }
}

/// Reads orders with their reviews from a `.csv` or `.csv.gz` file.
pub fn read_orders(path: &Path) -> Result<Vec<Order>, DataError> {
    let mut line_of = HashMap::new();
    read_rows(path, &ORDER_COLUMNS, |row| {
        let order = Order {
            order_id: row.unique("order_id", &mut line_of)?,
            merchant: row.text("merchant")?,
            customer: row.text("customer")?,
            purchased_at: row.moment("purchased_at")?,
            delivered_at: row.optional("delivered_at", Row::moment)?,
            estimated_at: row.end_of_day("estimated_at")?,
            status: row.text("status")?,
            category: row.field("category").to_owned(),
            price: row.amount("price")?,
            freight: row.amount("freight")?,
            items: row.number("items")?,
            state: row.field("state").to_owned(),
            stars: row.optional("stars", Row::stars)?,
            reviewed_at: row.optional("reviewed_at", Row::moment)?,
        };
        row.delivery_follows_purchase(order.purchased_at, order.delivered_at)?;
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
        table.write_record(PUBLISHED_COLUMNS)?;
        shuffled.iter().try_for_each(|review| {
            let moment = if days_only { format_date } else { format_moment };
            table.write_record([
                review.merchant.as_str(),
                review.cohort.as_deref().unwrap_or_default(),
                &moment(review.published_at),
                &review.stars.to_string(),
                &review.truth_order_id,
            ])
        })
    })?;
    orders.finish()?;
    published.finish()
}

/// Reads `orders.csv` and `published.csv` of a directory: those written here, or a host's own.
pub fn read_exports(dir: &Path) -> Result<Exports, DataError> {
    let mut line_of = HashMap::new();
    let orders = read_rows(&dir.join("orders.csv"), &EXPORTED_ORDER_COLUMNS, |row| {
        let order = PortalOrder {
            order_id: row.unique("order_id", &mut line_of)?,
            merchant: row.text("merchant")?,
            cohort: row.optional("cohort", Row::text)?,
            customer: row.text("customer")?,
            purchased_at: row.moment("purchased_at")?,
            delivered_at: row.optional("delivered_at", Row::moment)?,
            estimated_at: row.end_of_day("estimated_at")?,
            status: row.text("status")?,
            category: row.field("category").to_owned(),
            price: row.amount("price")?,
            freight: row.amount("freight")?,
            items: row.number("items")?,
        };
        row.delivery_follows_purchase(order.purchased_at, order.delivered_at)?;
        Ok(order)
    })?;

    let order_of: HashMap<&str, &PortalOrder> = orders.iter().map(|order| (order.order_id.as_str(), order)).collect();
    let mut line_of = HashMap::new();
    let published = read_rows(&dir.join("published.csv"), &PUBLISHED_COLUMNS, |row| {
        let review = PublishedReview {
            merchant: row.text("merchant")?,
            cohort: row.optional("cohort", Row::text)?,
            published_at: row.moment("published_at")?,
            stars: row.stars("stars")?,
            truth_order_id: row.unique("truth_order_id", &mut line_of)?,
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
        Ok(review)
    })?;
    Ok(Exports { orders, published })
}

const ORDER_COLUMNS: [&str; 14] = [
    "order_id", "merchant", "customer", "purchased_at", "delivered_at", "estimated_at", "status", "category", "price",
    "freight", "items", "state", "stars", "reviewed_at",
];
const EXPORTED_ORDER_COLUMNS: [&str; 12] = [
    "order_id", "merchant", "cohort", "customer", "purchased_at", "delivered_at", "estimated_at", "status", "category",
    "price", "freight", "items",
];
const PUBLISHED_COLUMNS: [&str; 5] = ["merchant", "cohort", "published_at", "stars", "truth_order_id"];

/// One record together with what is needed to name it in an error.
struct Row<'a> {
    path: &'a Path,
    column: &'a HashMap<&'static str, usize>,
    record: &'a StringRecord,
}

impl Row<'_> {
    fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    fn error(&self, rule: String) -> DataError {
        DataError::Row { path: self.path.to_owned(), line: self.line(), rule }
    }

    fn field(&self, name: &str) -> &str {
        self.column.get(name).and_then(|&index| self.record.get(index)).unwrap_or_default()
    }

    fn text(&self, name: &str) -> Result<String, DataError> {
        match self.field(name) {
            "" => Err(self.error(format!("{name} is empty"))),
            text => Ok(text.to_owned()),
        }
    }

    fn optional<T>(
        &self,
        name: &str,
        read: impl Fn(&Self, &str) -> Result<T, DataError>,
    ) -> Result<Option<T>, DataError> {
        if self.field(name).is_empty() { Ok(None) } else { read(self, name).map(Some) }
    }

    fn unique(&self, name: &str, line_of: &mut HashMap<String, u64>) -> Result<String, DataError> {
        let id = self.text(name)?;
        match line_of.insert(id.clone(), self.line()) {
            Some(earlier) => Err(self.error(format!("{name} {id} stands on line {earlier} already"))),
            None => Ok(id),
        }
    }

    fn number<T: FromStr>(&self, name: &str) -> Result<T, DataError> {
        let text = self.field(name);
        text.parse().map_err(|_| self.error(format!("{name} is not a number of its kind: {text:?}")))
    }

    fn amount(&self, name: &str) -> Result<f64, DataError> {
        let amount: f64 = self.number(name)?;
        if amount.is_finite() && amount >= 0.0 {
            Ok(amount)
        } else {
            Err(self.error(format!("{name} is negative or not finite: {amount}")))
        }
    }

    fn stars(&self, name: &str) -> Result<u8, DataError> {
        match self.number(name)? {
            stars @ 1..=5 => Ok(stars),
            stars => Err(self.error(format!("{name} is outside 1..=5: {stars}"))),
        }
    }

    fn moment(&self, name: &str) -> Result<i64, DataError> {
        let text = self.field(name);
        parse_moment(text).ok_or_else(|| self.error(format!("{name} is no date or date-time: {text:?}")))
    }

    /// A bare date stands for the whole day, a date-time for itself.
    fn end_of_day(&self, name: &str) -> Result<i64, DataError> {
        let moment = self.moment(name)?;
        Ok(if self.field(name).len() == DATE_LENGTH { moment + DAY } else { moment })
    }

    fn delivery_follows_purchase(&self, purchased_at: i64, delivered_at: Option<i64>) -> Result<(), DataError> {
        if delivered_at.is_some_and(|delivered| delivered < purchased_at) {
            return Err(self.error("delivered_at is before purchased_at".to_owned()));
        }
        Ok(())
    }
}

fn read_rows<T>(
    path: &Path,
    columns: &[&'static str],
    mut read: impl FnMut(&Row<'_>) -> Result<T, DataError>,
) -> Result<Vec<T>, DataError> {
    let failed = |source| DataError::File { path: path.to_owned(), source };
    let file = BufReader::new(File::open(path).map_err(failed)?);
    let plain: Box<dyn Read> = match path.extension() {
        Some(extension) if extension == "gz" => Box::new(MultiGzDecoder::new(file)),
        _ => Box::new(file),
    };
    let mut reader = ReaderBuilder::new().from_reader(plain);
    let header = reader.headers().map_err(|error| csv_error(path, error))?.clone();
    let mut column = HashMap::new();
    for &name in columns {
        let index = header.iter().position(|present| present.trim_start_matches('\u{feff}') == name);
        column.insert(name, index.ok_or_else(|| DataError::Column { path: path.to_owned(), column: name })?);
    }

    let mut rows = Vec::new();
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(|error| csv_error(path, error))? {
        rows.push(read(&Row { path, column: &column, record: &record })?);
    }
    Ok(rows)
}

fn csv_error(path: &Path, error: csv::Error) -> DataError {
    match error.position().map(csv::Position::line) {
        Some(line) => DataError::Row { path: path.to_owned(), line, rule: error.to_string() },
        None => DataError::File { path: path.to_owned(), source: error.into() },
    }
}

/// A bare date where the moment is a midnight, as in the source; a host's own odd moment is kept as it is.
fn promised_day(estimated_at: i64) -> String {
    if estimated_at.rem_euclid(DAY) == 0 { format_date(estimated_at - DAY) } else { format_moment(estimated_at) }
}

/// A table complete under a temporary name; dropped before `finish`, it leaves nothing behind.
struct Unfinished {
    temporary: PathBuf,
    finished: PathBuf,
}

impl Unfinished {
    fn write(
        finished: PathBuf,
        fill: impl FnOnce(&mut Writer<&mut File>) -> Result<(), csv::Error>,
    ) -> Result<Self, DataError> {
        let unfinished = Self { temporary: finished.with_extension("csv.unfinished"), finished };
        let written = File::create(&unfinished.temporary).and_then(|mut file| {
            let mut table = Writer::from_writer(&mut file);
            fill(&mut table)?;
            table.flush()?;
            drop(table);
            file.sync_all()
        });
        match written {
            Ok(()) => Ok(unfinished),
            Err(source) => Err(DataError::File { path: unfinished.temporary.clone(), source }),
        }
    }

    fn finish(self) -> Result<(), DataError> {
        fs::rename(&self.temporary, &self.finished)
            .map_err(|source| DataError::File { path: self.finished.clone(), source })
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After a rename there is nothing under this name any more, and the failure is the wanted state.
        let _ = fs::remove_file(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;

    const HEADER: &str = "order_id,merchant,customer,purchased_at,delivered_at,estimated_at,status,category,price,\
                          freight,items,state,stars,reviewed_at\n";
    const GOOD: &str = "a,m,c,2017-01-10 16:31:22,2017-01-20 15:44:38,2017-02-20,delivered,books,48.9,15.56,1,RJ,5,\
                        2017-01-26 01:22:14\n";

    /// A directory of its own for each test, removed at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let dir = env::temp_dir().join(format!("marketplace-{}-{name}", std::process::id()));
            fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }

        fn orders(&self, rows: &str) -> Result<Vec<Order>, DataError> {
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

    #[test]
    fn every_bad_row_is_named_by_its_line_and_its_rule() {
        let scratch = Scratch::new("bad-rows");
        for (good, bad, rule) in [
            ("2017-01-10 16", "2017-02-30 16", "purchased_at is no date"),
            ("2017-01-20 15:44:38", "2017-01-09 15:44:38", "delivered_at is before"),
            ("2017-02-20", "soon", "estimated_at is no date"),
            ("48.9", "NaN", "price is negative or not finite"),
            ("15.56", "-1", "freight is negative or not finite"),
            (",1,RJ", ",one,RJ", "items is not a number"),
            (",5,", ",6,", "stars is outside 1..=5"),
            (",5,", ",0,", "stars is outside 1..=5"),
            (",5,", ",,", "reviewed_at without stars"),
            ("2017-01-26 01:22:14", "", "stars without reviewed_at"),
            ("2017-01-26 01:22:14", "2016-01-26 01:22:14", "reviewed_at is before"),
            ("m,c,", "m,,", "customer is empty"),
            (",RJ", "", "13 fields"),
        ] {
            let wrong = GOOD.replace("a,m", "b,m").replacen(good, bad, 1);
            match scratch.orders(&format!("{GOOD}{wrong}")) {
                Err(DataError::Row { line: 3, rule: found, .. }) if found.contains(rule) => {}
                other => panic!("{rule}: {other:?}"),
            }
        }
        match scratch.orders(&format!("{GOOD}{GOOD}")) {
            Err(DataError::Row { line: 3, rule, .. }) => assert!(rule.contains("on line 2 already")),
            other => panic!("{other:?}"),
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
        assert_eq!(orders.iter().map(Order::late_or_failed).collect::<Vec<_>>(), [false, true, true]);
        assert_eq!(format_moment(orders[0].due_at()), "2017-01-20 15:44:38");
        assert_eq!(format_moment(orders[1].due_at()), "2017-01-20 00:00:00");
        assert_eq!(format_moment(orders[2].due_at()), "2017-01-20 00:00:00");
    }

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
            }],
        };
        write_exports(&scratch.0, &exports, 7).unwrap();
        assert!(matches!(read_exports(&scratch.0), Err(DataError::Row { line: 2, .. })));
    }
}
