//! Passages of English and Chinese that tell a day, an hour, a place or a person.

use super::PrivacyWarningKind::{self, Address, Date, Day, OrderDetail, PersonalName, Time};
use core::ops::Range;

type Found = Vec<(PrivacyWarningKind, Range<usize>)>;

const DAYS: &[&str] = &[
    "yesterday",
    "today",
    "tonight",
    "tomorrow",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];
/// With "last" or "this" before them.
const PARTS_OF_A_DAY: &[&str] = &["night", "morning", "evening", "afternoon", "noon", "weekend", "week"];
const MONTHS: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "jan",
    "feb",
    "mar",
    "apr",
    "jun",
    "jul",
    "aug",
    "sept",
    "sep",
    "oct",
    "nov",
    "dec",
];
const HOURS: &[&str] = &["am", "pm", "oclock", "o'clock"];
const STREETS: &[&str] =
    &["street", "st", "road", "rd", "avenue", "ave", "lane", "ln", "drive", "boulevard", "blvd", "square"];
/// With a number after them.
const ROOMS: &[&str] = &["apartment", "apt", "flat", "floor", "room", "building", "unit", "suite"];
const TITLES: &[&str] = &["mr", "mrs", "ms", "miss", "dr"];
/// The words before somebody's own name.
const CALLED: &[&[&str]] =
    &[&["name", "is"], &["i", "am"], &["i'm"], &["regards"], &["yours"], &["called"], &["signed"]];

const CHINESE_DAYS: &[&str] = &[
    "昨天", "今天", "前天", "明天", "昨晚", "今晚", "今早", "昨日", "今日", "上周", "本周", "这周", "星期",
    "礼拜", "周末", "周一", "周二", "周三", "周四", "周五", "周六", "周日",
];
const CHINESE_DATES: &[&str] = &["月", "日", "号"];
const CHINESE_HOURS: &[&str] = &["点", "时"];
/// So much behind a number in another script is an hour: alone it is often "a little".
const CHINESE_FULL_HOURS: &[&str] = &["点钟", "点半"];
const CHINESE_BUILDINGS: &[&str] = &["号楼", "单元", "栋", "幢", "室", "弄", "楼", "层"];
const CHINESE_STREETS: &[char] = &['路', '街', '道', '巷'];
const CHINESE_TITLES: &[&str] = &["先生", "女士", "小姐", "师傅"];
const CHINESE_CALLED: &[&str] = &["我叫", "我姓"];
const CHINESE_NUMBERS: &[char] = &['一', '二', '三', '四', '五', '六', '七', '八', '九', '十', '两'];

/// A word: where it stands, and its letters in lower case.
struct Word {
    place: Range<usize>,
    lower: String,
    is_capital: bool,
}

impl Word {
    fn is(&self, list: &[&str]) -> bool {
        list.contains(&self.lower.as_str())
    }

    fn begins_with_digit(&self) -> bool {
        self.lower.starts_with(|sign: char| sign.is_ascii_digit())
    }

    /// `7pm`: digits, and then one of these.
    fn is_number_with(&self, list: &[&str]) -> bool {
        list.contains(&self.lower.trim_start_matches(|sign: char| sign.is_ascii_digit()))
            && self.begins_with_digit()
    }

    /// A day of a month: `17`, `17th`.
    fn is_day_number(&self) -> bool {
        let digits = self.lower.trim_end_matches(|sign: char| sign.is_ascii_lowercase());
        matches!(digits.len(), 1 | 2) && digits.bytes().all(|digit| digit.is_ascii_digit())
    }
}

pub(super) fn passages(text: &str, known: &[&str]) -> Found {
    let mut found = Vec::new();
    english(text, &mut found);
    clock_times(text, &mut found);
    chinese(text, &mut found);
    known.iter().for_each(|known| known_words(text, known.trim(), &mut found));
    found
}

fn words(text: &str) -> Vec<Word> {
    let is_part = |sign: char| sign.is_alphanumeric() || sign == '\'' || sign == '\u{2019}';
    let mut found = Vec::new();
    let mut start = None;
    for (at, sign) in text.char_indices().chain([(text.len(), ' ')]) {
        match start {
            None if is_part(sign) => start = Some(at),
            Some(from) if !is_part(sign) => {
                let word = text.get(from..at).unwrap_or_default();
                found.push(Word {
                    place: from..at,
                    lower: word.to_lowercase().replace('\u{2019}', "'"),
                    is_capital: word.starts_with(char::is_uppercase),
                });
                start = None;
            }
            _ => {}
        }
    }
    found
}

fn english(text: &str, found: &mut Found) {
    let words = words(text);
    for (at, word) in words.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| words.get(before));
        let after = words.get(at + 1);
        let from = |first: &Word| first.place.start..word.place.end;
        let to = |last: &Word| word.place.start..last.place.end;
        if word.is(DAYS) {
            found.push((Day, word.place.clone()));
        }
        if let Some(before) = before {
            if word.is(PARTS_OF_A_DAY) && before.is(&["last", "this"]) {
                found.push((Day, from(before)));
            }
            if word.is(HOURS) && before.begins_with_digit() {
                found.push((Time, from(before)));
            }
            if word.is(MONTHS) && before.is_day_number() {
                found.push((Date, from(before)));
            }
            // 17th of May.
            let two_before = at.checked_sub(2).and_then(|before| words.get(before));
            if let Some(day) =
                two_before.filter(|day| word.is(MONTHS) && before.is(&["of"]) && day.is_day_number())
            {
                found.push((Date, from(day)));
            }
            if word.is_capital && before.is(TITLES) {
                found.push((PersonalName, from(before)));
            }
        }
        if let Some(after) = after {
            if word.is(MONTHS) && after.is_day_number() {
                found.push((Date, to(after)));
            }
            if word.is(ROOMS) && after.begins_with_digit() {
                found.push((Address, to(after)));
            }
        }
        if word.is_number_with(HOURS) {
            found.push((Time, word.place.clone()));
        }
        // 12 Old Mill Road.
        if word.begins_with_digit()
            && let Some(street) = words.iter().skip(at + 1).take(4).find(|word| word.is(STREETS))
            && words
                .iter()
                .skip(at + 1)
                .take_while(|word| word.place.start < street.place.start)
                .all(|word| word.is_capital)
        {
            found.push((Address, word.place.start..street.place.end));
        }
        for called in CALLED {
            let begins = at.checked_sub(called.len()).and_then(|first| words.get(first..at));
            let fits =
                |begins: &[Word]| begins.iter().zip(*called).all(|(word, called)| word.lower == *called);
            if word.is_capital && word.lower != "i" && begins.is_some_and(fits) {
                found.push((PersonalName, word.place.clone()));
            }
        }
    }
}

/// `19:30`, with the colon of either script.
fn clock_times(text: &str, found: &mut Found) {
    for (at, colon) in text.char_indices().filter(|(_, sign)| matches!(sign, ':' | '\u{ff1a}')) {
        let (before, after) =
            (text.get(..at).unwrap_or_default(), text.get(at + colon.len_utf8()..).unwrap_or_default());
        let hours = digits_behind(before);
        let minutes = after.bytes().take_while(u8::is_ascii_digit).count();
        if matches!(hours, 1 | 2) && minutes == 2 {
            found.push((Time, at - hours..at + colon.len_utf8() + minutes));
        }
    }
}

fn chinese(text: &str, found: &mut Found) {
    for day in CHINESE_DAYS {
        found.extend(text.match_indices(day).map(|(at, day)| (Day, at..at + day.len())));
    }
    let mut behind_numbers = |list: &[&str], kind, scripts: bool| {
        for what in list {
            for (at, what) in text.match_indices(what) {
                let before = text.get(..at).unwrap_or_default();
                let number = match digits_behind(before) {
                    0 if scripts => numbers_behind(before),
                    digits => digits,
                };
                if number > 0 {
                    found.push((kind, at - number..at + what.len()));
                }
            }
        }
    };
    behind_numbers(CHINESE_DATES, Date, true);
    behind_numbers(CHINESE_HOURS, Time, false);
    behind_numbers(CHINESE_FULL_HOURS, Time, true);
    behind_numbers(CHINESE_BUILDINGS, Address, false);
    for (at, street) in text.char_indices().filter(|(_, sign)| CHINESE_STREETS.contains(sign)) {
        let end = at + street.len_utf8();
        let number = text.get(end..).unwrap_or_default().bytes().take_while(u8::is_ascii_digit).count();
        if number > 0 {
            found.push((Address, at..end + number));
        }
    }
    for title in CHINESE_TITLES {
        for (at, title) in text.match_indices(title) {
            let surname = text.get(..at).unwrap_or_default().chars().next_back().filter(|sign| is_han(*sign));
            if let Some(surname) = surname {
                found.push((PersonalName, at - surname.len_utf8()..at + title.len()));
            }
        }
    }
    for called in CHINESE_CALLED {
        for (at, called) in text.match_indices(called) {
            let end = at + called.len();
            let name = text.get(end..).unwrap_or_default().chars().take(3).take_while(|sign| is_han(*sign));
            let length: usize = name.map(char::len_utf8).sum();
            if length > 0 {
                found.push((PersonalName, at..end + length));
            }
        }
    }
}

fn is_han(sign: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&sign)
}

/// So many ASCII digits end the text.
fn digits_behind(text: &str) -> usize {
    text.bytes().rev().take_while(u8::is_ascii_digit).count()
}

/// So many bytes of Chinese numbers end the text.
fn numbers_behind(text: &str) -> usize {
    text.chars().rev().take_while(|sign| CHINESE_NUMBERS.contains(sign)).map(char::len_utf8).sum()
}

/// What the shop knows of the order: the whole of it, and its words of four letters or more.
fn known_words(text: &str, known: &str, found: &mut Found) {
    let parts = known.split(|sign: char| !sign.is_alphanumeric()).filter(|part| part.chars().count() >= 4);
    for what in core::iter::once(known).chain(parts).filter(|what| what.chars().count() >= 2) {
        let starts = text.char_indices().map(|(at, _)| at);
        let places = starts.filter_map(|at| Some(at..at + begins(text.get(at..)?, what)?));
        found.extend(places.map(|place| (OrderDetail, place)));
    }
}

/// The bytes of `text` that are `what`, whatever the case.
fn begins(text: &str, what: &str) -> Option<usize> {
    let mut signs = text.chars();
    for wanted in what.chars() {
        let sign = signs.next()?;
        if sign != wanted && !sign.to_lowercase().eq(wanted.to_lowercase()) {
            return None;
        }
    }
    Some(text.len() - signs.as_str().len())
}
