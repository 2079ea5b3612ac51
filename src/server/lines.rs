//! Log lines: how they look, and which of them are written. The latter may be changed while the server runs.
//!
//! Called by `cli`, which begins with it, and by the thread "facts" for the admin port's `log_level`. A line that isn't
//! wanted costs a load and a branch, as before: a new filter is asked once per place in the code, not once per line.
//! Tested: lines_test.rs; of a server: tests/admin/log_lines.rs.

use std::time::Duration;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, reload};

use crate::base::Instant;
use crate::config::LogFormat;

/// What is written where nobody asks for anything else.
const DEFAULT: &str = "info";
const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];
/// Every line is written by a room of this program: what names another place is a slip.
const ROOMS: [&str; 16] = [
    "admin", "base", "bench", "cli", "config", "io", "lockfree", "log", "messages", "replica", "server",
    "shard", "sim", "tree", "wire", "zab",
];

/// Longer is until further notice.
const SECONDS_MAX: u64 = 86_400;

/// Which lines are written: a level, and levels for single rooms and their parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    text: String,
    targets: Targets,
}

impl Default for Filter {
    fn default() -> Filter {
        Filter::parse(DEFAULT).expect("the default is a level")
    }
}

impl std::fmt::Display for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Filter {
    /// `debug`, or `info,ringkeeper::zab=debug`. Where no level stands alone, other rooms keep the default. A word that is no
    /// level is refused: taken for a room of that name it would silence all others.
    pub fn parse(text: &str) -> Result<Filter, String> {
        let mut targets = Targets::new();
        let mut everywhere = None;
        let mut parts = vec![];
        for directive in text.split(',').map(str::trim) {
            match directive.split_once('=') {
                None => {
                    if everywhere.replace(level(directive)?).is_some() {
                        return Err(refusal(directive, "is a second level for all rooms"));
                    }
                }
                Some((place, _)) if !is_place(place) => {
                    return Err(refusal(place, "is no room of this program"));
                }
                Some((place, name)) => targets = targets.with_target(place, level(name)?),
            }
            parts.push(directive);
        }
        if everywhere.is_none() {
            parts.insert(0, DEFAULT);
        }
        let targets = targets.with_default(everywhere.unwrap_or(LevelFilter::INFO));
        Ok(Filter { text: parts.join(","), targets })
    }
}

fn level(name: &str) -> Result<LevelFilter, String> {
    let found = LEVELS.iter().find(|(level, _)| level.eq_ignore_ascii_case(name));
    found.map(|(_, level)| *level).ok_or_else(|| refusal(name, "is no level"))
}

/// `ringkeeper`, `ringkeeper::zab`, `ringkeeper::zab::leader`.
fn is_place(place: &str) -> bool {
    let mut parts = place.split("::");
    let is_name = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    parts.next() == Some("ringkeeper")
        && parts.next().is_none_or(|room| ROOMS.contains(&room))
        && parts.all(is_name)
}

fn refusal(word: &str, why: &str) -> String {
    let levels = LEVELS.map(|(name, _)| name).join(", ");
    format!(
        "`{}` {why}; allowed: a level ({levels}), or several separated by commas as info,ringkeeper::zab=debug",
        word.escape_debug()
    )
}

/// What `log_level?filter=F&seconds=N` wishes: these lines, for so long or until further notice. `None`: no change.
pub fn wish(arguments: &[(String, String)]) -> Result<Option<(Filter, Option<Duration>)>, String> {
    let (mut filter, mut time) = (None, None);
    for (name, value) in arguments {
        match name.as_str() {
            "filter" => filter = Some(Filter::parse(value).map_err(|why| format!("filter: {why}"))?),
            "seconds" => time = Some(seconds(value)?),
            _ => return Err(format!("`{name}` is no argument of log_level; allowed: filter, seconds")),
        }
    }
    match (filter, time) {
        (None, Some(_)) => Err("seconds needs a filter, as in filter=debug&seconds=600".to_owned()),
        (filter, time) => Ok(filter.map(|filter| (filter, time))),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let given = text.parse().ok().filter(|seconds| (1..=SECONDS_MAX).contains(seconds));
    given.map(Duration::from_secs).ok_or_else(|| {
        format!("seconds: `{text}` is no time; allowed: whole numbers from 1 to {SECONDS_MAX} (a day)")
    })
}

/// Decides which lines are written. There is one.
pub struct Lines {
    switch: Box<dyn Fn(&Filter) + Send>,
    lasting: Filter,
    /// For a while, and until when.
    passing: Option<(Filter, Instant)>,
}

impl Lines {
    /// From here on lines go to standard error.
    pub fn begin(filter: Filter, format: LogFormat) -> Lines {
        let (chooser, handle) = reload::Layer::new(filter.targets.clone());
        let lines = fmt::layer().with_ansi(false).with_writer(std::io::stderr);
        let lines = match format {
            LogFormat::Text => lines.compact().with_target(false).boxed(),
            LogFormat::Json => {
                let lines = lines.json().flatten_event(true);
                lines.with_current_span(false).with_span_list(false).boxed()
            }
        };
        tracing_subscriber::registry().with(chooser).with(lines).init();
        Lines::new(filter, move |filter| {
            handle.reload(filter.targets.clone()).expect("who writes the lines lives as long as the process");
        })
    }

    fn new(lasting: Filter, switch: impl Fn(&Filter) + Send + 'static) -> Lines {
        Lines { switch: Box::new(switch), lasting, passing: None }
    }

    /// What is written now.
    pub fn current(&self) -> &str {
        self.passing.as_ref().map_or(&self.lasting.text, |(filter, _)| &filter.text)
    }

    /// What will be written when the time is over, and how long that takes from now.
    pub fn to_come(&self, now: Instant) -> Option<(&str, Duration)> {
        self.passing.as_ref().map(|(_, until)| (self.lasting.text.as_str(), until.since(now)))
    }

    /// Writes other lines: for so long, or until further notice.
    pub fn change(&mut self, now: Instant, filter: Filter, time: Option<Duration>) {
        (self.switch)(&filter);
        match time {
            Some(time) => self.passing = Some((filter, now + time)),
            None => {
                self.passing = None;
                self.lasting = filter;
            }
        }
    }

    /// Falls back, if the time is over.
    pub fn lapse(&mut self, now: Instant) {
        if self.passing.as_ref().is_some_and(|(_, until)| now >= *until) {
            self.passing = None;
            (self.switch)(&self.lasting);
            tracing::info!(filter = self.current(), "log level: the time is over, it falls back");
        }
    }
}

#[cfg(test)]
#[path = "lines_test.rs"]
mod tests;
