//! The dashboard and the alert rules of `tuning/monitoring`: what they ask for is what running servers tell.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::metrics::{start, with_metrics};
use crate::support::admin::members;
use crate::support::client::PERSISTENT;
use crate::support::http::get;
use crate::support::{Client, Config, until};

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tuning/monitoring").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of labels by metric, of all servers asked.
type Told = BTreeMap<String, BTreeSet<String>>;

fn ask(port: u16, told: &mut Told) {
    let page = get(port, "/metrics");
    assert_eq!(page.status, 200);
    for line in page.text().lines().filter(|line| !line.starts_with('#')) {
        let (sample, _) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
        let names = labels.trim_end_matches('}').split(',').filter_map(|label| label.split_once('='));
        told.entry(name.to_owned()).or_default().extend(names.map(|(name, _)| name.to_owned()));
    }
}

/// Behind these words stands a list of labels.
const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const OPERATORS: [&str; 5] = ["and", "or", "unless", "bool", "offset"];

/// As behind `sum` of `sum by (le)`.
fn is_list(text: &str) -> bool {
    LISTS.iter().any(|word| text.strip_prefix(word).is_some_and(|rest| rest.trim_start().starts_with('(')))
}

/// What an expression asks for, with the labels it chooses by. Of PromQL it knows what the two files use.
fn asked(expression: &str) -> Vec<(String, BTreeSet<String>)> {
    let mut asked = vec![];
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let length =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
        if length == 0 {
            let close = match first {
                '[' => rest.find(']'),
                '"' => rest[1..].find('"').map(|at| at + 1),
                '(' | ')' | ' ' | ',' | '<' | '>' | '=' | '+' | '-' | '*' | '/' | '%' => Some(0),
                _ => panic!("{first} in {expression}"),
            };
            rest = &rest[close.unwrap_or_else(|| panic!("{first} has no end in {expression}")) + 1..];
            continue;
        }
        let (word, behind) = rest.split_at(length);
        rest = behind;
        let next = behind.trim_start();
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            // With its fraction.
            rest = rest
                .strip_prefix('.')
                .map_or(rest, |fraction| fraction.trim_start_matches(|c: char| c.is_ascii_digit()));
        } else if LISTS.contains(&word) {
            let end = next.find(')').unwrap_or_else(|| panic!("{word} has no list in {expression}"));
            rest = &next[end + 1..];
        } else if !next.starts_with('(') && !OPERATORS.contains(&word) && !is_list(next) {
            let mut labels = BTreeSet::new();
            if let Some(matchers) = behind.strip_prefix('{') {
                let end = matchers.find('}').unwrap_or_else(|| panic!("no }} in {expression}"));
                labels = matchers[..end].split(", ").map(label_of).collect();
                rest = &matchers[end + 1..];
            }
            asked.push((word.to_owned(), labels));
        }
    }
    assert!(!asked.is_empty(), "{expression} asks for nothing");
    assert_eq!(expression.matches('(').count(), expression.matches(')').count(), "{expression}");
    asked
}

fn label_of(matcher: &str) -> String {
    let name: String = matcher.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let value = matcher[name.len()..].trim_start_matches(['=', '~', '!']);
    assert!(!name.is_empty() && value.starts_with('"') && value.ends_with('"'), "{matcher}");
    name
}

fn assert_told(told: &Told, whose: &str, expression: &str) {
    for (metric, labels) in asked(expression) {
        // Prometheus' own: whether a server could be asked.
        if metric == "up" {
            continue;
        }
        let known =
            told.get(&metric).unwrap_or_else(|| panic!("{whose}: no server tells {metric}: {expression}"));
        for label in labels.iter().filter(|label| !matches!(label.as_str(), "job" | "instance")) {
            assert!(known.contains(label), "{whose}: {metric} has no {label}, but {known:?}: {expression}");
        }
    }
}

/// Labels in `{{…}}` of a legend, or behind `$labels.`.
fn assert_labels(told: &Told, whose: &str, expression: &str, text: &str, begin: &str) {
    for (_, rest) in text.match_indices(begin).map(|(at, _)| text.split_at(at + begin.len())) {
        let label: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let metrics = asked(expression);
        let is_known = matches!(label.as_str(), "job" | "instance")
            || metrics
                .iter()
                .any(|(metric, _)| told.get(metric).is_some_and(|labels| labels.contains(&label)));
        assert!(is_known, "{whose}: {expression} gives no {label} for {text:?}");
    }
}

/// A rule as the file has it: `key: value` lines of a shape that any reader of YAML takes the same way.
fn rules(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut rules: Vec<BTreeMap<String, String>> = vec![];
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    for expected in ["groups:", "  - name: ringkeeper", "    rules:"] {
        assert_eq!(lines.next(), Some(expected));
    }
    let mut parent = "";
    for line in lines {
        assert!(!line.contains('\t'), "{line:?}");
        let depth = line.len() - line.trim_start().len();
        let (key, value) = line.trim_start().split_once(':').unwrap_or_else(|| panic!("{line:?}"));
        let value = value.trim_start();
        match (depth, key) {
            (6, "- alert") => rules.push(BTreeMap::from([("alert".to_owned(), value.to_owned())])),
            (8, "expr" | "for" | "labels" | "annotations") | (10, _) => {
                let rule = rules.last_mut().unwrap_or_else(|| panic!("{line:?} before a rule"));
                parent = if depth == 8 { key } else { parent };
                assert!(depth == 8 || !value.is_empty(), "{line:?}");
                let is_plain = !value
                    .starts_with(['"', '\'', '&', '*', '!', '|', '>', '%', '@', '`', '{', '[', '#'])
                    && !value.contains(": ")
                    && !value.contains(" #");
                let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                assert!(is_plain || quoted.is_some_and(|text| !text.contains(['"', '\\'])), "{line:?}");
                let name = if depth == 8 { key.to_owned() } else { format!("{parent}.{key}") };
                let before = rule.insert(name, quoted.unwrap_or(value).to_owned());
                assert_eq!(before, None, "{line:?} stands there twice");
            }
            _ => panic!("{line:?} is out of place"),
        }
    }
    rules
}

#[test]
fn dashboard_and_rules_ask_for_what_servers_tell() {
    let mut told = Told::new();
    let (_lone, port) = start(Config::default());
    ask(port, &mut told);

    let (mut ensemble, ports) = members(|_, config| with_metrics(config));
    ensemble.launch_all();
    let leader = ensemble.settle();
    Client::connect(&ensemble.servers[leader]).create("/a", b"", PERSISTENT);
    until("the leader to hear of its followers", || {
        get(ports[leader + 1], "/metrics").text().contains("ringkeeper_follower_lag{").then_some(())
    });
    for port in &ports[1..] {
        ask(*port, &mut told);
    }

    let dashboard: Value = serde_json::from_str(&file("grafana.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut count = 0;
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().expect("a title");
        let targets = panel["targets"].as_array().expect("targets");
        assert!(!targets.is_empty(), "{title}");
        for target in targets {
            let (expression, legend) = (target["expr"].as_str(), target["legendFormat"].as_str());
            let (expression, legend) = (expression.expect("an expression"), legend.expect("a legend"));
            assert!(expression.contains("instance=~\"$instance\""), "{title}: {expression}");
            assert_told(&told, title, expression);
            assert_labels(&told, title, expression, legend, "{{");
            count += 1;
        }
    }
    assert!(count > 30, "{count} expressions");
    let ids: BTreeSet<i64> = panels.iter().filter_map(|panel| panel["id"].as_i64()).collect();
    assert_eq!(ids.len(), panels.len(), "each has an id of its own");
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        if let Some(query) = variable["query"]["query"].as_str() {
            let inner = query.strip_prefix("label_values(").and_then(|rest| rest.rsplit_once(", "));
            let (metric, _) = inner.unwrap_or_else(|| panic!("{query}"));
            assert_told(&told, "a variable", metric);
        }
    }

    let rules = rules(&file("alerts.yml"));
    assert!(rules.len() > 10);
    let names: BTreeSet<&String> = rules.iter().map(|rule| &rule["alert"]).collect();
    assert_eq!(names.len(), rules.len(), "two rules of one name");
    for rule in &rules {
        let (name, expression) = (&rule["alert"], &rule["expr"]);
        assert_told(&told, name, expression);
        assert!(matches!(rule["labels.severity"].as_str(), "critical" | "warning"), "{name}");
        for text in [&rule["annotations.summary"], &rule["annotations.description"]] {
            assert_labels(&told, name, expression, text, "$labels.");
        }
    }
}

/// What the test itself would overlook if it read expressions wrongly.
#[test]
fn expressions_are_read_as_they_are_meant() {
    let names =
        |expression: &str| -> Vec<String> { asked(expression).into_iter().map(|(name, _)| name).collect() };
    assert_eq!(
        names(
            "histogram_quantile(0.99, sum by (le, instance) (rate(a_bucket{x=\"y\", z=~\"$z\"}[5m]))) > 0.1"
        ),
        ["a_bucket"]
    );
    assert_eq!(names("a + 1 <= floor(b / 2) + 1e3 and c > 1"), ["a", "b", "c"]);
    assert_eq!(names("increase(a[$__rate_interval]) % 7 unless on (x) b"), ["a", "b"]);
}
