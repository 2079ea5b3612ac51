//! A point of a server's history as it is typed: a zxid, or a time.
//!
//! A zxid begins with `0x`, as every tool prints it. A time is ISO 8601 or what `log dump` prints; without a zone it is UTC.

use crate::base::{WallMillis, Zxid};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Zxid(Zxid),
    Time(WallMillis),
}

/// For `--from` and `--to`.
pub fn parse(text: &str) -> Result<Moment, String> {
    if text.starts_with("0x") {
        parse_zxid(text).map(Moment::Zxid)
    } else {
        parse_time(text).map(Moment::Time)
    }
}

pub fn parse_zxid(text: &str) -> Result<Zxid, String> {
    let digits = text.strip_prefix("0x").filter(|digits| !digits.starts_with(['+', '-']));
    let zxid = digits.and_then(|digits| i64::from_str_radix(digits, 16).ok());
    zxid.map(Zxid).ok_or_else(|| "a zxid is hexadecimal and begins with 0x, as 0x100000002".to_owned())
}

pub fn parse_time(text: &str) -> Result<WallMillis, String> {
    let text = text.trim();
    let civil = text.strip_suffix("UTC").map_or(text, str::trim_end);
    let zoned = text.parse::<jiff::Timestamp>();
    // The parser would pass over a zone without an offset, and take the local time for UTC.
    let names_no_zone = !civil.contains(['+', '[']) && civil.matches('-').count() == 2;
    let in_utc = || civil.parse::<jiff::civil::DateTime>()?.to_zoned(jiff::tz::TimeZone::UTC);
    let found = zoned.ok().or_else(|| in_utc().ok().filter(|_| names_no_zone).map(|zoned| zoned.timestamp()));
    found
        .map(|at| WallMillis(at.as_millisecond()))
        .ok_or_else(|| "a time is written as 2026-11-22T05:00:00Z, or 2026-11-22 05:00:00.250 UTC".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zxids_and_times_are_told_apart() {
        assert_eq!(parse("0x500000002"), Ok(Moment::Zxid(Zxid(0x5_0000_0002))));
        for time in [
            "2001-09-09T01:46:40.001Z",
            "2001-09-09 01:46:40.001 UTC",
            "2001-09-09T01:46:40.001",
            "2001-09-09 03:46:40.001+02:00",
        ] {
            assert_eq!(parse(time), Ok(Moment::Time(WallMillis(1_000_000_000_001))), "{time}");
        }
        assert_eq!(parse("2001-09-09"), Ok(Moment::Time(WallMillis(999_993_600_000))));
        assert_eq!(parse("1969-12-31 23:59:59.999 UTC"), Ok(Moment::Time(WallMillis(-1))));
    }

    #[test]
    fn what_is_neither_is_told_how_to_write_it() {
        for wrong in [
            "",
            "7",
            "0x",
            "0xg",
            "0x-1",
            "0x+1",
            "0x1ffffffffffffffff",
            "yesterday",
            "2001-13-01",
            "2001-09-09 25:00:00",
            // Not UTC, and not to be read as if it were.
            "2001-09-09T03:46:40[Europe/Berlin]",
            "2001-09-09 03:46:40+02:00 UTC",
            "2001-09-09 03:46:40-05:00 UTC",
        ] {
            let text = parse(wrong).expect_err(wrong);
            assert!(text.contains("0x100000002") || text.contains("2026-11-22T05:00:00Z"), "{wrong}: {text}");
        }
        assert!(parse_zxid("5").is_err());
    }
}
