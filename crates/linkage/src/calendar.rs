//! Civil dates of the proleptic Gregorian calendar and seconds since 1970-01-01 00:00 UTC, for the years 0 to 9999.

/// Seconds.
pub const DAY: i64 = 86_400;
/// Characters of a date.
pub const DATE_LENGTH: usize = "2017-01-31".len();

/// Days since 1970-01-01. Years are counted from March, so that the leap day is the last of its year; 400 of them are
/// 146,097 days.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse: year, month, day.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

/// `YYYY-MM-DD`, or the same with ` HH:MM:SS` or `THH:MM:SS`, perhaps a fraction of the second, which is dropped, and
/// perhaps a zone: `Z`, `+00`, `-03:00` or `+0530`, as ISO 8601 and PostgreSQL write them. Without a zone it is UTC.
/// `None` for anything else, days that no calendar has included.
pub fn parse_moment(text: &str) -> Option<i64> {
    let (date, time) = match text.split_at_checked(DATE_LENGTH)? {
        (date, "") => (date, None),
        (date, rest) => (date, Some(rest.strip_prefix([' ', 'T'])?)),
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let midnight = days_from_civil(year, month, day);
    if civil_from_days(midnight) != (year, month, day) {
        return None;
    }
    let Some(time) = time else { return Some(midnight * DAY) };
    let (clock, rest) = time.split_at_checked("10:00:00".len())?;
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|digit: char| digit.is_ascii_digit());
            (zone.len() < fraction.len()).then_some(zone)?
        }
        None => rest,
    };
    let is_time = hour < 24 && minute < 60 && second < 60;
    is_time.then_some(midnight * DAY + hour * 3_600 + minute * 60 + second - offset(zone)?)
}

/// Seconds by which a zone's clocks are ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    let (sign, ahead) = match zone.split_at_checked(1) {
        None | Some(("Z", "")) => return Some(0),
        Some(("+", ahead)) => (1, ahead),
        Some(("-", ahead)) => (-1, ahead),
        Some(_) => return None,
    };
    let (hours, minutes) = match ahead.split_at_checked(2)? {
        (hours, "") => (hours, "00"),
        (hours, minutes) => (hours, minutes.strip_prefix(':').unwrap_or(minutes)),
    };
    let [hours, minutes] = numbers(&format!("{hours}:{minutes}"), ':', [2, 2])?;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn numbers<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(separator);
    let mut read = [0; N];
    for (number, width) in read.iter_mut().zip(widths) {
        let digits = parts.next()?;
        if digits.len() != width || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = digits.parse().ok()?;
    }
    parts.next().is_none().then_some(read)
}

/// The date as `2017-01-31`, of seconds since 1970 (UTC).
pub fn format_date(moment: i64) -> String {
    let (year, month, day) = civil_from_days(moment.div_euclid(DAY));
    format!("{year:04}-{month:02}-{day:02}")
}

/// Date and time as `2017-01-31 12:00:00`, of seconds since 1970 (UTC).
pub fn format_moment(moment: i64) -> String {
    let second = moment.rem_euclid(DAY);
    format!("{} {:02}:{:02}:{:02}", format_date(moment), second / 3_600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates_fall_on_their_days() {
        for (date, days) in [
            ("1970-01-01", 0),
            ("1969-12-31", -1),
            ("2000-02-29", 11_016),
            ("2000-03-01", 11_017),
            ("2018-09-03", 17_777),
            ("2100-02-28", 47_540),
            ("2100-03-01", 47_541),
        ] {
            assert_eq!(parse_moment(date), Some(days * DAY), "{date}");
        }
    }

    #[test]
    fn every_day_of_eight_centuries_is_formatted_and_read_back() {
        for days in -146_097..146_097 {
            let moment = days * DAY + 45_296;
            assert_eq!(parse_moment(&format_moment(moment)), Some(moment));
        }
    }

    #[test]
    fn days_that_no_calendar_has_are_refused() {
        for text in [
            "",
            "2017",
            "2017-02-29",
            "2100-02-29",
            "2017-13-01",
            "2017-00-10",
            "2017-04-31",
            "2017-4-30",
            "17-04-2017",
            "2017-04-30 24:00:00",
            "2017-04-30 10:60:00",
            "2017-04-30 10:00",
            "2017-04-30x10:00:00",
            "2017-04-30 ",
            "+017-04-30",
            "2017-04-30 10:00:00.",
            "2017-04-30 10:00:00.x",
            "2017-04-30 10:00:00+",
            "2017-04-30 10:00:00+1",
            "2017-04-30 10:00:00+24:00",
            "2017-04-30 10:00:00+01:60",
            "2017-04-30 10:00:00+01:00:00",
            "2017-04-30 10:00:00 +01",
            "2017-04-30 10:00:00z",
            "2017-04-30+01",
            "2017-04-3é",
            "2017-04-30 10:00:0é",
        ] {
            assert_eq!(parse_moment(text), None, "{text}");
        }
    }

    #[test]
    fn every_way_to_write_a_moment_with_its_zone_is_that_moment() {
        let moment = parse_moment("2017-04-30 10:00:01");
        for text in [
            "2017-04-30T10:00:01Z",
            "2017-04-30 10:00:01+00",
            "2017-04-30 10:00:01+00:00",
            "2017-04-30 10:00:01-00:00",
            "2017-04-30 10:00:01.000",
            "2017-04-30 10:00:01.999999+00",
            "2017-04-30 07:00:01-03:00",
            "2017-04-30 07:00:01-03",
            "2017-04-30T15:30:01.5+0530",
            "2017-05-01 00:00:01+14",
        ] {
            assert_eq!(parse_moment(text), moment, "{text}");
        }
    }
}
