//! Numbers, dates and addresses as Java prints them.

use std::net::{IpAddr, SocketAddr};

use crate::base::{WallMillis, host_address};

/// `sum / (count * unit)` rounded half up to four decimals, printed as `Double.toString` does: at least one decimal,
/// and an exponent below 10⁻³ and from 10⁷. `0.0` where nothing was counted.
pub fn average(sum: u64, count: u64, unit: u64) -> String {
    if count == 0 {
        return "0.0".to_owned();
    }
    let whole = u128::from(count) * u128::from(unit);
    double((u128::from(sum) * 20_000 + whole) / (2 * whole))
}

/// As `Double.toString`, of a number of ten-thousandths.
fn double(ten_thousandths: u128) -> String {
    const SCALE: u128 = 10_000;
    if ten_thousandths == 0 {
        return "0.0".to_owned();
    }
    let digits = ten_thousandths.to_string();
    if !(10..10_000_000 * SCALE).contains(&ten_thousandths) {
        let exponent = digits.len() as i64 - 5;
        let (first, rest) = digits.split_at(1);
        return format!("{first}.{}E{exponent}", at_least_one(rest));
    }
    let fraction = format!("{:04}", ten_thousandths % SCALE);
    format!("{}.{}", ten_thousandths / SCALE, at_least_one(&fraction))
}

/// Decimals without trailing zeros, but for one.
fn at_least_one(decimals: &str) -> &str {
    match decimals.trim_end_matches('0') {
        "" => "0",
        decimals => decimals,
    }
}

/// As `InetSocketAddress.toString` of a peer: IPv4 in IPv6 is IPv4, and IPv6 is written out in full.
pub fn socket_address(address: &SocketAddr) -> String {
    let (ip, port) = (address.ip().to_canonical(), address.port());
    match ip {
        IpAddr::V4(_) => format!("/{}:{port}", host_address(ip)),
        IpAddr::V6(_) => format!("/[{}]:{port}", host_address(ip)),
    }
}

/// As `Date.toString` in UTC: `Fri Nov 20 10:32:21 UTC 2026`.
pub fn date(at: WallMillis) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (year, month, day) = civil(at);
    let (hour, minute, second) = time_of_day(at);
    let weekday = DAYS[days(at).rem_euclid(7) as usize];
    let month = MONTHS[month as usize - 1];
    format!("{weekday} {month} {day:02} {hour:02}:{minute:02}:{second:02} UTC {year:04}")
}

/// As ZooKeeper writes the date of a build: `2026-07-17 17:37 UTC`.
pub fn build_date(at: WallMillis) -> String {
    let (year, month, day) = civil(at);
    let (hour, minute, _) = time_of_day(at);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

/// `2026-07-17 17:37:03.250 UTC`
pub fn date_time(at: WallMillis) -> String {
    let (year, month, day) = civil(at);
    let (hour, minute, second) = time_of_day(at);
    let millis = at.0.rem_euclid(1000);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{millis:03} UTC")
}

fn days(at: WallMillis) -> i64 {
    at.0.div_euclid(86_400_000)
}

fn time_of_day(at: WallMillis) -> (i64, i64, i64) {
    let seconds = at.0.div_euclid(1000).rem_euclid(86_400);
    (seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Year, month and day of the Gregorian calendar. Counts in years that begin with March, so that the leap day is the
/// last one: then the day a month begins on is a straight line, (153 m + 2) / 5.
fn civil(at: WallMillis) -> (i64, i64, i64) {
    const DAYS_OF_400_YEARS: i64 = 146_097;
    const DAYS_FROM_0000_03_01: i64 = 719_468;
    let days = days(at) + DAYS_FROM_0000_03_01;
    let cycle = days.div_euclid(DAYS_OF_400_YEARS);
    let day = days.rem_euclid(DAYS_OF_400_YEARS);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (cycle * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_print_as_java_doubles() {
        // Sum, count, unit. The texts are Double.toString of the rounded quotient.
        let cases = [
            (0, 0, 1, "0.0"),
            (0, 5, 1, "0.0"),
            (10, 3, 1, "3.3333"),
            (20, 3, 1, "6.6667"),
            (1, 8, 1, "0.125"),
            (1, 2, 1, "0.5"),
            (100, 1, 1, "100.0"),
            (1, 1000, 1, "0.001"),
            (9, 10_000, 1, "9.0E-4"),
            (1, 20_000, 1, "1.0E-4"),
            (1, 20_001, 1, "0.0"),
            (3333, 1, 1000, "3.333"),
            (9_999_999, 1, 1, "9999999.0"),
            (10_000_000, 1, 1, "1.0E7"),
            (123_456_789, 1, 1, "1.23456789E8"),
            (99_999_995, 10, 1, "9999999.5"),
        ];
        for (sum, count, unit, expected) in cases {
            assert_eq!(average(sum, count, unit), expected, "{sum} / {count} / {unit}");
        }
        // Beyond what a double holds the last digits differ from Java's; no sum gets there.
        assert!(average(u64::MAX, 1, 1).starts_with("1.844674407370955"));
    }

    #[test]
    fn dates() {
        let cases = [
            (1_795_170_741_000, "Fri Nov 20 10:32:21 UTC 2026"),
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (-1, "Wed Dec 31 23:59:59 UTC 1969"),
            (951_782_400_000, "Tue Feb 29 00:00:00 UTC 2000"),
            (951_868_800_000, "Wed Mar 01 00:00:00 UTC 2000"),
            (4_107_542_399_999, "Sun Feb 28 23:59:59 UTC 2100"),
            (4_107_542_400_000, "Mon Mar 01 00:00:00 UTC 2100"),
            (1_735_689_599_000, "Tue Dec 31 23:59:59 UTC 2024"),
        ];
        for (millis, expected) in cases {
            assert_eq!(date(WallMillis(millis)), expected, "{millis}");
        }
        assert_eq!(build_date(WallMillis(1_795_170_741_000)), "2026-11-20 10:32 UTC");
    }

    #[test]
    fn addresses() {
        let cases = [
            ("127.0.0.1:40982", "/127.0.0.1:40982"),
            ("[::ffff:10.0.0.7]:1", "/10.0.0.7:1"),
            ("[::1]:2181", "/[0:0:0:0:0:0:0:1]:2181"),
            ("[fe80::a:0:1]:2181", "/[fe80:0:0:0:0:a:0:1]:2181"),
        ];
        for (address, expected) in cases {
            assert_eq!(socket_address(&address.parse().unwrap()), expected);
        }
    }
}
