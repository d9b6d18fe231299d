//! CSV tables: rows read with the file and the line of whatever is wrong, tables written whole or not at all.

use std::{
    cell::RefCell,
    collections::HashMap,
    error::Error,
    fmt,
    fs::{self, File},
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
    str::FromStr,
};

use csv::{ReaderBuilder, StringRecord, Writer};
use flate2::bufread::GzDecoder;

use crate::calendar::{DATE_LENGTH, DAY, format_date, parse_moment};

/// Why a table was not read or written.
#[derive(Debug)]
#[non_exhaustive]
pub enum DataError {
    /// The file could not be opened, read, written or renamed.
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The header lacks a column.
    Column {
        /// The file.
        path: PathBuf,
        /// Its name.
        column: &'static str,
    },
    /// The columns are not separated by commas.
    Separator {
        /// The file.
        path: PathBuf,
        /// What separates them.
        found: char,
    },
    /// Rows break rules: the first `SHOWN` of them.
    Rows {
        /// The file.
        path: PathBuf,
        /// The rows.
        rows: Vec<BadRow>,
    },
}

/// As many bad rows are named at once as one screen shows.
const SHOWN: usize = 20;

/// A row that breaks a rule.
#[derive(Debug)]
pub struct BadRow {
    pub line: u64,
    pub rule: String,
}

impl fmt::Display for DataError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, source } => write!(formatter, "{}: {source}", path.display()),
            Self::Column { path, column } => {
                write!(formatter, "{}: the header has no column {column}", path.display())
            }
            Self::Separator { path, found } => write!(
                formatter,
                "{}: the columns are separated by {found:?}: write the table with commas",
                path.display()
            ),
            Self::Rows { path, rows } => {
                for (number, BadRow { line, rule }) in rows.iter().enumerate() {
                    let end = if number == 0 { "" } else { "\n" };
                    write!(formatter, "{end}{}, line {line}: {rule}", path.display())?;
                }
                if rows.len() == SHOWN { write!(formatter, "\nand perhaps more") } else { Ok(()) }
            }
        }
    }
}

impl Error for DataError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            Self::Column { .. } | Self::Separator { .. } | Self::Rows { .. } => None,
        }
    }
}

/// One record together with what is needed to name it in an error.
pub(super) struct Row<'a> {
    column: &'a HashMap<&'static str, usize>,
    record: &'a StringRecord,
    /// Every moment read so far.
    moments: &'a RefCell<Vec<Seen>>,
}

/// A moment, and where it stands.
struct Seen {
    line: u64,
    column: &'static str,
    moment: i64,
}

impl Row<'_> {
    fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    pub(super) fn error(&self, rule: String) -> BadRow {
        BadRow { line: self.line(), rule }
    }

    pub(super) fn field(&self, name: &str) -> &str {
        self.column.get(name).and_then(|&index| self.record.get(index)).unwrap_or_default()
    }

    pub(super) fn text(&self, name: &str) -> Result<String, BadRow> {
        match self.field(name) {
            "" => Err(self.error(format!("{name} is empty"))),
            text => Ok(text.to_owned()),
        }
    }

    pub(super) fn optional<T>(
        &self,
        name: &'static str,
        read: impl Fn(&Self, &'static str) -> Result<T, BadRow>,
    ) -> Result<Option<T>, BadRow> {
        if self.field(name).is_empty() { Ok(None) } else { read(self, name).map(Some) }
    }

    pub(super) fn unique(&self, name: &str, line_of: &mut HashMap<String, u64>) -> Result<String, BadRow> {
        let id = self.text(name)?;
        match line_of.insert(id.clone(), self.line()) {
            Some(earlier) => Err(self.error(format!("{name} {id} stands on line {earlier} already"))),
            None => Ok(id),
        }
    }

    /// A whole number, as `5` or, as some tools write a column with gaps, as `5.0`.
    pub(super) fn whole<T: FromStr>(&self, name: &str) -> Result<T, BadRow> {
        let text = self.field(name);
        let whole = match text.split_once('.') {
            Some((whole, "0" | "00")) => whole,
            _ => text,
        };
        whole.parse().map_err(|_| self.error(format!("{name} is not a whole number: {text:?}")))
    }

    pub(super) fn amount(&self, name: &str) -> Result<f64, BadRow> {
        let text = self.field(name);
        let amount: f64 =
            text.parse().map_err(|_| self.error(format!("{name} is not a number: {text:?}")))?;
        if amount.is_finite() && amount >= 0.0 {
            Ok(amount)
        } else {
            Err(self.error(format!("{name} is negative or not finite: {amount}")))
        }
    }

    pub(super) fn stars(&self, name: &str) -> Result<u8, BadRow> {
        match self.whole(name)? {
            stars @ 1..=5 => Ok(stars),
            stars => Err(self.error(format!("{name} is outside 1..=5: {stars}"))),
        }
    }

    pub(super) fn moment(&self, name: &'static str) -> Result<i64, BadRow> {
        let text = self.field(name);
        let moment = parse_moment(text)
            .ok_or_else(|| self.error(format!("{name} is no date or date-time: {text:?}")))?;
        if moment < 0 {
            return Err(self.error(format!("{name} is before 1970: {text}; {LEAVE_EMPTY}")));
        }
        self.moments.borrow_mut().push(Seen { line: self.line(), column: name, moment });
        Ok(moment)
    }

    /// A bare date stands for the whole day, a date-time for itself.
    pub(super) fn end_of_day(&self, name: &'static str) -> Result<i64, BadRow> {
        let moment = self.moment(name)?;
        Ok(if self.field(name).len() == DATE_LENGTH { moment + DAY } else { moment })
    }

    pub(super) fn delivery_follows_purchase(
        &self,
        purchased_at: i64,
        delivered_at: Option<i64>,
    ) -> Result<(), BadRow> {
        if delivered_at.is_some_and(|delivered| delivered < purchased_at) {
            return Err(self.error("delivered_at is before purchased_at".to_owned()));
        }
        Ok(())
    }
}

/// What a placeholder like 9999-12-31 should have been.
const LEAVE_EMPTY: &str = "a row without this time leaves the field empty or is left out";

/// A time farther from the middle of all is a placeholder or a slip, and would be taken for centuries of trade.
const FARTHEST: i64 = 20 * 365 * DAY;

/// Reads the rows of a table that has all of `columns`, and perhaps some of `optional`: where it lacks one, the
/// fields are empty.
pub(super) fn read_rows<T>(
    path: &Path,
    columns: &[&'static str],
    optional: &[&'static str],
    mut read: impl FnMut(&Row<'_>) -> Result<T, BadRow>,
) -> Result<Vec<T>, DataError> {
    let mut reader = ReaderBuilder::new().from_reader(plain(path)?);
    let header = reader.headers().map_err(|error| whole_file(path, error))?.clone();
    let mut column = HashMap::new();
    let place = |name: &str| header.iter().position(|present| present.trim_start_matches('\u{feff}') == name);
    column.extend(optional.iter().filter_map(|&name| Some((name, place(name)?))));
    for &name in columns {
        let index = place(name).ok_or_else(|| match separator(&header, columns) {
            Some(found) => DataError::Separator { path: path.to_owned(), found },
            None => DataError::Column { path: path.to_owned(), column: name },
        })?;
        column.insert(name, index);
    }

    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    let moments = RefCell::new(Vec::new());
    let mut record = StringRecord::new();
    loop {
        let row = match reader.read_record(&mut record) {
            Ok(false) => break,
            Ok(true) => read(&Row { column: &column, record: &record, moments: &moments }),
            Err(error) => match error.position().map(csv::Position::line) {
                Some(line) if !error.is_io_error() => Err(BadRow { line, rule: error.to_string() }),
                _ => return Err(whole_file(path, error)),
            },
        };
        match row {
            Ok(row) => rows.push(row),
            Err(row) if bad.len() < SHOWN => bad.push(row),
            Err(_) => break,
        }
    }
    bad.extend(far_from_all_others(moments.into_inner()));
    if bad.is_empty() {
        return Ok(rows);
    }
    bad.sort_by_key(|row| row.line);
    bad.truncate(SHOWN);
    Err(DataError::Rows { path: path.to_owned(), rows: bad })
}

fn far_from_all_others(moments: Vec<Seen>) -> impl Iterator<Item = BadRow> {
    let mut sorted: Vec<i64> = moments.iter().map(|seen| seen.moment).collect();
    sorted.sort_unstable();
    let middle = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    moments.into_iter().filter(move |seen| (seen.moment - middle).abs() > FARTHEST).map(move |seen| BadRow {
        line: seen.line,
        rule: format!(
            "{} is more than 20 years from the middle of all times, {}: {}; {LEAVE_EMPTY}",
            seen.column,
            format_date(middle),
            format_date(seen.moment)
        ),
    })
}

/// The separator of a header that is one field because it has no commas.
fn separator(header: &StringRecord, columns: &[&str]) -> Option<char> {
    [';', '\t', '|'].into_iter().find(|&separator| {
        header.iter().any(|field| field.split(separator).filter(|name| columns.contains(name)).count() > 1)
    })
}

/// The file's text; a `.gz` unpacked: all its members, and zeros behind them, as tapes and block devices pad them.
fn plain(path: &Path) -> Result<Box<dyn Read>, DataError> {
    let failed = |source| DataError::File { path: path.to_owned(), source };
    if !path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz")) {
        return Ok(Box::new(BufReader::new(File::open(path).map_err(failed)?)));
    }
    let packed = fs::read(path).map_err(failed)?;
    let (mut rest, mut plain) = (packed.as_slice(), Vec::new());
    loop {
        let mut member = GzDecoder::new(rest);
        member.read_to_end(&mut plain).map_err(failed)?;
        rest = member.into_inner();
        rest = rest.get(rest.iter().take_while(|&&byte| byte == 0).count()..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(Box::new(io::Cursor::new(plain)));
        }
    }
}

fn whole_file(path: &Path, error: csv::Error) -> DataError {
    DataError::File { path: path.to_owned(), source: error.into() }
}

/// A table complete under a temporary name; dropped before `finish`, it leaves nothing behind.
pub(super) struct Unfinished {
    temporary: PathBuf,
    finished: PathBuf,
}

impl Unfinished {
    pub(super) fn write(
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

    pub(super) fn finish(self) -> Result<(), DataError> {
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
