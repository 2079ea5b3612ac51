//! Which filters are taken, and how long they last.

use std::sync::mpsc::{Receiver, channel};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn filters_that_are_taken() {
    let shown = |filter: &Filter, place: &str| {
        let levels = [
            (tracing::Level::ERROR, 'e'),
            (tracing::Level::WARN, 'w'),
            (tracing::Level::INFO, 'i'),
            (tracing::Level::DEBUG, 'd'),
            (tracing::Level::TRACE, 't'),
        ];
        let wanted = levels.iter().filter(|(level, _)| filter.targets.would_enable(place, level));
        wanted.map(|(_, letter)| letter).collect::<String>()
    };
    for (text, told, zab, leader, log) in [
        ("info", "info", "ewi", "ewi", "ewi"),
        ("OFF", "OFF", "", "", ""),
        (" warn , ringkeeper::zab=debug", "warn,ringkeeper::zab=debug", "ewid", "ewid", "ew"),
        ("ringkeeper::zab::leader=trace", "info,ringkeeper::zab::leader=trace", "ewi", "ewidt", "ewi"),
        ("error,ringkeeper=info", "error,ringkeeper=info", "ewi", "ewi", "ewi"),
        ("ringkeeper::log=off", "info,ringkeeper::log=off", "ewi", "ewi", ""),
    ] {
        let filter = Filter::parse(text).expect(text);
        assert_eq!(filter.text, told);
        let places = ["ringkeeper::zab", "ringkeeper::zab::leader", "ringkeeper::log::writer"];
        assert_eq!(places.map(|place| shown(&filter, place)), [zab, leader, log], "{text}");
    }
}

#[test]
fn filters_that_are_refused() {
    for (text, expected) in [
        ("", "`` is no level"),
        ("wran", "`wran` is no level"),
        ("3", "`3` is no level"),
        ("info,", "`` is no level"),
        ("info,debug", "`debug` is a second level for all rooms"),
        ("ringkeeper::zab", "`ringkeeper::zab` is no level"),
        ("ringkeeper::zab=", "`` is no level"),
        ("ringkeeper::zab=1", "`1` is no level"),
        ("ringkeepr::zab=debug", "`ringkeepr::zab` is no room of this program"),
        ("ringkeeper::zap=debug", "`ringkeeper::zap` is no room of this program"),
        ("ringkeeper::zab::=debug", "`ringkeeper::zab::` is no room of this program"),
        ("zab=debug", "`zab` is no room of this program"),
        ("a\nb", "`a\\nb` is no level"),
    ] {
        let refused = Filter::parse(text).expect_err(text);
        assert!(refused.starts_with(expected), "{text}: {refused}");
        assert!(refused.contains("allowed: a level (off, error, warn, info, debug, trace)"), "{refused}");
    }
}

#[test]
fn the_rooms_are_those_of_the_map() {
    let map = include_str!("../lib.rs");
    let rooms: Vec<&str> =
        map.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert_eq!(rooms, ROOMS);
}

fn lines() -> (Lines, Receiver<String>) {
    let (sender, switched) = channel();
    let lines = Lines::new(Filter::default(), move |filter| sender.send(filter.text.clone()).unwrap());
    (lines, switched)
}

fn filter(text: &str) -> Filter {
    Filter::parse(text).unwrap()
}

#[test]
fn a_filter_lasts_or_falls_back() {
    let (mut lines, switched) = lines();
    let mut now = Instant(5);
    assert_eq!((lines.current(), lines.to_come(now)), ("info", None));
    lines.change(now, filter("warn"), None);
    lines.change(now, filter("debug"), Some(SECOND * 3));
    assert_eq!((lines.current(), lines.to_come(now)), ("debug", Some(("warn", SECOND * 3))));
    now = now + SECOND * 2;
    lines.lapse(now);
    assert_eq!((lines.current(), lines.to_come(now)), ("debug", Some(("warn", SECOND))));
    // Another one for a while: behind it comes what lasts, and not the one before.
    lines.change(now, filter("trace"), Some(SECOND * 3));
    now = now + SECOND * 2;
    lines.lapse(now);
    assert_eq!(lines.current(), "trace");
    now = now + SECOND;
    lines.lapse(now);
    assert_eq!((lines.current(), lines.to_come(now)), ("warn", None));
    lines.lapse(now + SECOND);
    assert_eq!(switched.try_iter().collect::<Vec<_>>(), ["warn", "debug", "trace", "warn"]);
}

#[test]
fn what_lasts_ends_what_was_for_a_while() {
    let (mut lines, switched) = lines();
    lines.change(Instant(0), filter("debug"), Some(SECOND));
    lines.change(Instant(0), filter("error"), None);
    lines.lapse(Instant(0) + SECOND * 2);
    assert_eq!((lines.current(), lines.to_come(Instant(0))), ("error", None));
    assert_eq!(switched.try_iter().collect::<Vec<_>>(), ["debug", "error"]);
}

#[test]
fn what_the_command_is_asked_for() {
    let wish = |query: &str| {
        let pairs =
            query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap());
        let arguments: Vec<(String, String)> =
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        wish(&arguments)
    };
    assert_eq!(wish(""), Ok(None));
    assert_eq!(wish("filter=debug"), Ok(Some((filter("debug"), None))));
    assert_eq!(wish("seconds=60&filter=debug"), Ok(Some((filter("debug"), Some(SECOND * 60)))));
    for (query, expected) in [
        ("filter=debgu", "filter: `debgu` is no level; allowed: "),
        ("filter=debug&seconds=0", "seconds: `0` is no time; allowed: whole numbers from 1 to 86400 (a day)"),
        ("filter=debug&seconds=86401", "seconds: `86401` is no time"),
        ("filter=debug&seconds=10m", "seconds: `10m` is no time"),
        ("seconds=60", "seconds needs a filter"),
        ("level=debug", "`level` is no argument of log_level; allowed: filter, seconds"),
    ] {
        let refused = wish(query).expect_err(query);
        assert!(refused.starts_with(expected), "{query}: {refused}");
    }
}
