//! CSV tables: rows read with the file and the line of whatever is wrong, tables written whole or not at all.

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

use crate::calendar::{DATE_LENGTH, DAY, parse_moment};

#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum DataError {
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
            Self::Column { path, column } => {
                write!(formatter, "{}: the header has no column {column}", path.display())
            }
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

/// One record together with what is needed to name it in an error.
pub(super) struct Row<'a> {
    path: &'a Path,
    column: &'a HashMap<&'static str, usize>,
    record: &'a StringRecord,
}

impl Row<'_> {
    fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    pub(super) fn error(&self, rule: String) -> DataError {
        DataError::Row { path: self.path.to_owned(), line: self.line(), rule }
    }

    pub(super) fn field(&self, name: &str) -> &str {
        self.column.get(name).and_then(|&index| self.record.get(index)).unwrap_or_default()
    }

    pub(super) fn text(&self, name: &str) -> Result<String, DataError> {
        match self.field(name) {
            "" => Err(self.error(format!("{name} is empty"))),
            text => Ok(text.to_owned()),
        }
    }

    pub(super) fn optional<T>(
        &self,
        name: &str,
        read: impl Fn(&Self, &str) -> Result<T, DataError>,
    ) -> Result<Option<T>, DataError> {
        if self.field(name).is_empty() { Ok(None) } else { read(self, name).map(Some) }
    }

    pub(super) fn unique(&self, name: &str, line_of: &mut HashMap<String, u64>) -> Result<String, DataError> {
        let id = self.text(name)?;
        match line_of.insert(id.clone(), self.line()) {
            Some(earlier) => Err(self.error(format!("{name} {id} stands on line {earlier} already"))),
            None => Ok(id),
        }
    }

    pub(super) fn number<T: FromStr>(&self, name: &str) -> Result<T, DataError> {
        let text = self.field(name);
        text.parse().map_err(|_| self.error(format!("{name} is not a number of its kind: {text:?}")))
    }

    pub(super) fn amount(&self, name: &str) -> Result<f64, DataError> {
        let amount: f64 = self.number(name)?;
        if amount.is_finite() && amount >= 0.0 {
            Ok(amount)
        } else {
            Err(self.error(format!("{name} is negative or not finite: {amount}")))
        }
    }

    pub(super) fn stars(&self, name: &str) -> Result<u8, DataError> {
        match self.number(name)? {
            stars @ 1..=5 => Ok(stars),
            stars => Err(self.error(format!("{name} is outside 1..=5: {stars}"))),
        }
    }

    pub(super) fn moment(&self, name: &str) -> Result<i64, DataError> {
        let text = self.field(name);
        parse_moment(text).ok_or_else(|| self.error(format!("{name} is no date or date-time: {text:?}")))
    }

    /// A bare date stands for the whole day, a date-time for itself.
    pub(super) fn end_of_day(&self, name: &str) -> Result<i64, DataError> {
        let moment = self.moment(name)?;
        Ok(if self.field(name).len() == DATE_LENGTH { moment + DAY } else { moment })
    }

    pub(super) fn delivery_follows_purchase(
        &self,
        purchased_at: i64,
        delivered_at: Option<i64>,
    ) -> Result<(), DataError> {
        if delivered_at.is_some_and(|delivered| delivered < purchased_at) {
            return Err(self.error("delivered_at is before purchased_at".to_owned()));
        }
        Ok(())
    }
}

pub(super) fn read_rows<T>(
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
