//! Days and dates of the proleptic Gregorian calendar.

/// Days from 1970-01-01 to the date, which need not be checked beforehand.
pub(super) fn to_days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is a year's last day.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a number of days from 1970-01-01.
pub(super) fn from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

/// The number of days of a month; 0 when there is no such month.
pub(super) fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 0,
    }
}

/// Weekday of a number of days from 1970-01-01: 1 is Monday, 7 is Sunday.
pub(super) fn weekday(days: i64) -> i64 {
    (days + 3).rem_euclid(7) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_inverse() {
        let mut expected = to_days(1, 1, 1);
        for year in 1..=9999 {
            for month in 1..=12 {
                for day in [1, days_in_month(year, month)] {
                    let days = to_days(year, month, day);
                    assert_eq!(from_days(days), (year, month, day));
                }
                assert_eq!(to_days(year, month, 1), expected);
                expected += days_in_month(year, month);
            }
        }
        assert_eq!(weekday(to_days(2026, 1, 1)), 4);
    }
}
