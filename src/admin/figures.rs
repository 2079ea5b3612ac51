//! A list of metrics with names and values, and the two texts which ZooKeeper's own names go into: `mntr` and the
//! AdminServer's `monitor`. The third, Prometheus', is `exposition.rs`.
//!
//! Made anew for each question out of what the threads counted; nothing registers itself and nothing is shared.
//! Tested: metrics_test.rs, commands_test.rs.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::metrics::{Distribution, Summary};
use super::text;

/// What a metric is. Times are in microseconds and shown in ZooKeeper's milliseconds.
#[derive(Clone, Debug)]
pub enum Figure {
    /// A word, for people: `version`. Prometheus gets none of these.
    Word(String),
    Gauge(i64),
    /// `sum / (count * unit)`: a gauge, too.
    Average {
        sum: u64,
        count: u64,
        unit: u64,
    },
    Counter(u64),
    /// ZooKeeper's BASIC; `unit` divides what was recorded.
    Summary {
        summary: Summary,
        unit: u64,
    },
    /// ZooKeeper's ADVANCED, of times.
    Distribution(Box<Distribution>),
}

/// Metrics by ZooKeeper's names, in the order in which they are shown.
#[derive(Clone, Debug, Default)]
pub struct Sheet(pub Vec<(&'static str, Figure)>);

/// Of an ADVANCED summary, in `mntr` and `monitor`.
const PERCENTILES: [(&str, f64); 4] = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)];

impl Sheet {
    pub fn word(&mut self, name: &'static str, word: impl Into<String>) {
        self.0.push((name, Figure::Word(word.into())));
    }

    pub fn gauge(&mut self, name: &'static str, value: u64) {
        self.signed(name, i64::try_from(value).unwrap_or(i64::MAX));
    }

    pub fn signed(&mut self, name: &'static str, value: i64) {
        self.0.push((name, Figure::Gauge(value)));
    }

    pub fn counter(&mut self, name: &'static str, value: u64) {
        self.0.push((name, Figure::Counter(value)));
    }

    /// Of plain numbers.
    pub fn summary(&mut self, name: &'static str, summary: &Summary) {
        self.0.push((name, Figure::Summary { summary: *summary, unit: 1 }));
    }

    /// Of microseconds.
    pub fn times(&mut self, name: &'static str, summary: &Summary) {
        self.0.push((name, Figure::Summary { summary: *summary, unit: 1000 }));
    }

    pub fn distribution(&mut self, name: &'static str, distribution: &Distribution) {
        self.0.push((name, Figure::Distribution(Box::new(distribution.clone()))));
    }

    /// The lines of `mntr`.
    pub fn lines(&self) -> String {
        let mut out = String::new();
        self.each(|name, value| {
            writeln!(out, "zk_{name}\t{value}").expect("a string takes all text");
        });
        out
    }

    /// The fields of `monitor`.
    pub fn fields(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        self.each(|name, value| {
            let value = match value {
                Shown::Word(word) => Value::from(word),
                Shown::Whole(number) => Value::from(number),
                Shown::Count(number) => Value::from(number),
                Shown::Average { sum, count, unit } => Value::from(rounded(sum, count, unit)),
            };
            fields.insert(name, value);
        });
        fields
    }

    fn each(&self, mut show: impl FnMut(String, Shown<'_>)) {
        for (name, figure) in &self.0 {
            match figure {
                Figure::Word(word) => show((*name).to_owned(), Shown::Word(word)),
                Figure::Gauge(value) => show((*name).to_owned(), Shown::Whole(*value)),
                Figure::Counter(value) => show((*name).to_owned(), Shown::Count(*value)),
                &Figure::Average { sum, count, unit } => {
                    show((*name).to_owned(), Shown::Average { sum, count, unit });
                }
                Figure::Summary { summary, unit } => five(name, summary, *unit, &mut show),
                Figure::Distribution(distribution) => {
                    five(name, &distribution.summary, 1000, &mut show);
                    for (label, part) in PERCENTILES {
                        show(format!("{label}_{name}"), Shown::Count(distribution.quantile(part) / 1000));
                    }
                }
            }
        }
    }
}

fn five(name: &str, summary: &Summary, unit: u64, show: &mut impl FnMut(String, Shown<'_>)) {
    let Summary { count, sum, min, max } = *summary;
    show(format!("avg_{name}"), Shown::Average { sum, count, unit });
    show(format!("min_{name}"), Shown::Count(min / unit));
    show(format!("max_{name}"), Shown::Count(max / unit));
    show(format!("cnt_{name}"), Shown::Count(count));
    show(format!("sum_{name}"), Shown::Count(sum / unit));
}

enum Shown<'a> {
    Word(&'a str),
    Whole(i64),
    Count(u64),
    Average { sum: u64, count: u64, unit: u64 },
}

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // A value with a line break would look like another key.
            Shown::Word(word) => f.write_str(&word.replace(['\n', '\r'], " ")),
            Shown::Whole(number) => write!(f, "{number}"),
            Shown::Count(number) => write!(f, "{number}"),
            Shown::Average { sum, count, unit } => f.write_str(&text::average(*sum, *count, *unit)),
        }
    }
}

/// An average with ZooKeeper's four decimals; 0 where nothing was counted.
pub fn rounded(sum: u64, count: u64, unit: u64) -> f64 {
    let whole = count as f64 * unit as f64;
    if count == 0 { 0.0 } else { (sum as f64 / whole * 10_000.0).round() / 10_000.0 }
}
