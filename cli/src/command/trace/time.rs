//! Time stamps for a person, in UTC.

/// Nanoseconds of a second.
const SECOND_NS: u64 = 1_000_000_000;
/// Seconds of a day.
const DAY: u64 = 86_400;

/// Nanoseconds since 1970 as date and time.
pub(super) fn utc(time_ns: u64) -> String {
    format!("{}.{:09} UTC", date_time(time_ns), time_ns % SECOND_NS)
}

/// The same to the second, without its zone, which is UTC.
pub(crate) fn date_time(time_ns: u64) -> String {
    let seconds = time_ns / SECOND_NS;
    let (mut day, second) = (seconds / DAY, seconds % DAY);
    // At most 584 years.
    let mut year = 1970_u64;
    while day >= year_len(year) {
        day -= year_len(year);
        year += 1;
    }
    let mut month = 1;
    for len in [31, year_len(year) - 337, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < len {
            break;
        }
        day -= len;
        month += 1;
    }
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year}-{month:02}-{:02} {hour:02}:{minute:02}:{:02}", day + 1, second % 60)
}

/// Days of a year; all months but February have 337.
fn year_len(year: u64) -> u64 {
    if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) { 366 } else { 365 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // From `date -u -d @SECONDS`.
        let cases = [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (951_868_800, "2000-03-01 00:00:00"),
            (1_704_067_199, "2023-12-31 23:59:59"),
            (1_704_067_200, "2024-01-01 00:00:00"),
            (4_107_542_400, "2100-03-01 00:00:00"),
            (18_446_744_073, "2554-07-21 23:34:33"),
        ];
        for (seconds, text) in cases {
            assert_eq!(utc(seconds * SECOND_NS + 7), format!("{text}.000000007 UTC"));
        }
        assert_eq!(utc(u64::MAX), "2554-07-21 23:34:33.709551615 UTC");
    }
}
