//! Limits of what clients may ask: how many requests at once, how large ones, and how fast they may connect.
//!
//! Called by `checked.rs`.

use std::time::Duration;

use super::checked::{INT_MAX, millis, positive};
use super::defaults;
use super::fault::Severity;
use super::settings::Settings;

/// `connection_throttle_*`: a bucket of tokens, of which each connect request takes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionThrottle {
    /// `None`: nobody is refused.
    pub tokens: Option<u32>,
    /// So often so many tokens are added.
    pub fill_time: Duration,
    pub fill_count: u32,
}

/// `largeRequestThreshold` and `largeRequestMaxBytes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LargeRequests {
    /// Bytes; a longer request is large. `None`: none is.
    pub threshold: Option<usize>,
    /// Of all large requests that aren't answered. The connection of one too many is closed.
    pub bytes_max: usize,
}

pub fn outstanding_max(settings: &mut Settings) -> Option<usize> {
    let limit = if settings.is_given("globalOutstandingLimit") {
        positive(settings.number("globalOutstandingLimit", 1..=INT_MAX, "requests", 1))
    } else {
        None
    };
    let throttle = positive(settings.number("request_throttle_max_requests", 0..=INT_MAX, "0: no limit", 0));
    limit.into_iter().chain(throttle).min().map(|count| count as usize)
}

pub fn connection_throttle(settings: &mut Settings) -> ConnectionThrottle {
    let tokens =
        settings.number("connection_throttle_tokens", 0..=INT_MAX, "connect requests, 0: no limit", 0);
    let fill_time = settings.number("connection_throttle_fill_time", 1..=INT_MAX, "milliseconds", 1);
    let fill_count = settings.number("connection_throttle_fill_count", 0..=INT_MAX, "tokens", 1);
    ConnectionThrottle {
        tokens: positive(tokens).map(|tokens| tokens as u32),
        fill_time: millis(fill_time),
        fill_count: fill_count as u32,
    }
}

/// What makes no sense is warned of, and the default counts: so does ZooKeeper.
pub fn large(settings: &mut Settings) -> LargeRequests {
    const THRESHOLD: &str = "largeRequestThreshold";
    const MAX_BYTES: &str = "largeRequestMaxBytes";
    let ints = i64::from(i32::MIN)..=INT_MAX;
    let threshold =
        settings.number(THRESHOLD, ints.clone(), "bytes, -1: off", defaults::LARGE_REQUEST_THRESHOLD);
    if threshold == 0 || threshold < -1 {
        let text = format!("{THRESHOLD}={threshold} is neither -1 nor above 0: no request counts as large");
        settings.warn_at(THRESHOLD, Severity::Warning, text);
    }
    let default = defaults::LARGE_REQUEST_MAX_BYTES;
    let bytes_max = settings.number(MAX_BYTES, ints, "bytes", default);
    if bytes_max <= 0 {
        let text = format!("{MAX_BYTES}={bytes_max} is not above 0: it stays at {default}");
        settings.warn_at(MAX_BYTES, Severity::Warning, text);
    }
    LargeRequests {
        threshold: positive(threshold).map(|bytes| bytes as usize),
        bytes_max: positive(bytes_max).unwrap_or(default.unsigned_abs()) as usize,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Raw};

    fn check(lines: &str) -> (Config, Vec<String>) {
        let content = format!("dataDir=/data\nclientPort=2181\n{lines}\n");
        let raw = Raw::parse("zoo.cfg", content.as_bytes());
        let (config, warnings) = raw.check(|_| None, &|path| panic!("{path:?} is read")).expect("no fault");
        (config, warnings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_lesser_of_two_limits_of_outstanding_requests_counts() {
        for (global, throttle, expected) in [(9, 8, 8), (7, 8, 7), (9, 0, 9)] {
            let lines = format!(
                "globalOutstandingLimit={global}\nzookeeper.request_throttle_max_requests={throttle}"
            );
            assert_eq!(check(&lines).0.outstanding_max, Some(expected), "{lines}");
        }
    }

    #[test]
    fn what_makes_no_sense_for_large_requests_is_warned_of_and_the_default_counts() {
        let default = LargeRequests { threshold: None, bytes_max: 100 << 20 };
        for (line, said) in [
            ("largeRequestThreshold=-1", None),
            ("largeRequestThreshold=0", Some("largeRequestThreshold=0 is neither -1 nor above 0")),
            ("largeRequestThreshold=-2", Some("largeRequestThreshold=-2 is neither -1 nor above 0")),
            ("largeRequestMaxBytes=0", Some("largeRequestMaxBytes=0 is not above 0: it stays at 104857600")),
            (
                "largeRequestMaxBytes=-1",
                Some("largeRequestMaxBytes=-1 is not above 0: it stays at 104857600"),
            ),
        ] {
            let (config, warnings) = check(line);
            assert_eq!(config.large_requests, default, "{line}");
            match said {
                None => assert_eq!(warnings, Vec::<String>::new(), "{line}"),
                Some(said) => {
                    assert!(warnings.len() == 1 && warnings[0].contains(said), "{line}: {warnings:?}")
                }
            }
        }
    }
}
