//! setquota, listquota, delquota: the nodes below `/zookeeper/quota` by which ZooKeeper keeps quotas.
//!
//! ```text
//! /zookeeper/quota/PATH/zookeeper_limits   count=5,bytes=-1=;byteHardLimit=-1;countHardLimit=-1   what is allowed
//! /zookeeper/quota/PATH/zookeeper_stats    count=2,bytes=7                                        what there is
//! ```
//! Source of the order of steps: operations.md §6.3 and Apache's shell.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use super::super::super::client::{Client, Created, Failure, path};
use super::super::options::{Spec, flag, value};
use super::nodes::open_acl;
use super::reads::visit;
use super::{Context, Parsed, Trouble};
use crate::wire::ErrorCode;
use crate::wire::client::CreateMode;

pub const WITH_VALUES: &[Spec] = &[
    value("n", "num soft quota"),
    value("b", "bytes soft quota"),
    value("N", "num hard quota"),
    value("B", "bytes hard quota"),
];
pub const FLAGS: &[Spec] = &[
    flag("n", "num soft quota"),
    flag("b", "bytes soft quota"),
    flag("N", "num hard quota"),
    flag("B", "bytes hard quota"),
];

const ROOT: &str = "/zookeeper/quota";
const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";

/// Which number an option means.
fn key(option: &str) -> &'static str {
    match option {
        "n" => "count",
        "b" => "bytes",
        "N" => "countHardLimit",
        _ => "byteHardLimit",
    }
}

/// The text of a limits or stats node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Track(BTreeMap<String, i64>);

impl Track {
    /// What isn't a number counts as -1: none.
    fn parse(text: &str) -> Track {
        let pairs = text.split([',', ';']).filter_map(|pair| pair.split_once('='));
        Track(
            pairs
                .map(|(key, number)| (key.to_owned(), number.trim_end_matches('=').parse().unwrap_or(-1)))
                .collect(),
        )
    }

    fn number(&self, key: &str) -> i64 {
        self.0.get(key).copied().unwrap_or(-1)
    }

    fn set(&mut self, key: &str, number: i64) {
        self.0.insert(key.to_owned(), number);
    }

    fn json(&self) -> Value {
        self.0
            .iter()
            .map(|(key, number)| (key.clone(), Value::from(*number)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "count={},bytes={}", self.number("count"), self.number("bytes"))?;
        let mut rest = self.0.iter().filter(|(key, _)| *key != "count" && *key != "bytes").peekable();
        if rest.peek().is_some() {
            // So that readers of before the hard limits stop here.
            f.write_str("=")?;
        }
        rest.try_for_each(|(key, number)| write!(f, ";{key}={number}"))
    }
}

fn track(client: &Client, path: &str) -> Result<Track, Failure> {
    let (data, _) = client.data(path, false)?;
    Ok(Track::parse(&String::from_utf8_lossy(&data.unwrap_or_default())))
}

pub fn set(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let path = parsed.argument(1).unwrap_or_default();
    let console = context.console;
    if path.starts_with(ROOT) {
        console.complain(&format!("cannot set a quota under the path: {ROOT}"));
        return Ok(());
    }
    let mut wanted = None;
    for option in ["n", "b", "N", "B"] {
        let Some(text) = parsed.value(option) else { continue };
        let counts = matches!(option, "n" | "N");
        let number = if counts { text.parse::<i32>().map(i64::from) } else { text.parse::<i64>() };
        match number {
            Err(_) => {
                console.complain("NumberFormatException happens when parsing the option value");
                return Ok(());
            }
            Ok(number) if counts && number <= 0 => {
                console.complain("the num quota must be greater than zero");
                return Ok(());
            }
            Ok(number) if number < 0 => {
                console.complain("the bytes quota must be greater than or equal to zero");
                return Ok(());
            }
            Ok(number) => wanted = Some((key(option), number)),
        }
    }
    let Some((key, number)) = wanted else { return Ok(()) };
    let client = &**context.client;
    if client.exists(path, false)?.is_none() {
        return Err(Failure::Argument(format!("{path} does not exist.")).into());
    }
    refuse_child_quota(client, path)?;
    refuse_parent_quota(client, path)?;
    let at = make_nodes(client, path)?;
    let (limits, stats) = (path::join(&at, LIMITS), path::join(&at, STATS));
    let mut track_of = Track::default();
    if client.exists(&limits, false)?.is_none() {
        for key in ["count", "bytes", "countHardLimit", "byteHardLimit"] {
            track_of.set(key, -1);
        }
        track_of.set(key, number);
        make(client, &limits, Some(track_of.to_string().as_bytes()))?;
        make(client, &stats, Some(b"count=0,bytes=0"))?;
        warn(context, &track(client, &limits)?, &track(client, &stats)?);
    } else {
        track_of = track(client, &limits)?;
        track_of.set(key, number);
        warn(context, &track_of, &track(client, &stats)?);
        client.set_data(&limits, track_of.to_string().as_bytes(), -1)?;
    }
    console.value(&json!({"path": path, "limits": track_of.json()}));
    Ok(())
}

fn make(client: &Client, path: &str, data: Option<&[u8]>) -> Result<(), Failure> {
    let new = Created { path, data, acl: &open_acl(), mode: CreateMode::Persistent, ttl: 0 };
    client.create(&new).map(drop)
}

/// The nodes down to that of `path`, which are there already where another quota needed them.
fn make_nodes(client: &Client, path: &str) -> Result<String, Failure> {
    let mut at = ROOT.to_owned();
    let ensure = |path: &str| {
        if client.exists(path, false)?.is_some() {
            return Ok(());
        }
        match make(client, path, None) {
            Err(failure) if !failure.is(ErrorCode::NodeExists) => Err(failure),
            _ => Ok(()),
        }
    };
    if client.exists(ROOT, false)?.is_none() {
        ensure("/zookeeper")?;
        ensure(ROOT)?;
    }
    for name in path.split('/').filter(|name| !name.is_empty()) {
        at = path::join(&at, name);
        ensure(&at)?;
    }
    Ok(at)
}

fn refuse_child_quota(client: &Client, path: &str) -> Result<(), Trouble> {
    let own = format!("{ROOT}{path}");
    let found = visit(client, &own, false, &mut |node| {
        let names = match client.children(node, false) {
            Ok((names, _)) => names,
            Err(failure) if failure.is(ErrorCode::NoNode) => return Ok(()),
            Err(failure) => return Err(failure.into()),
        };
        if node != own && names.iter().any(|name| name == LIMITS) {
            let child = &node[ROOT.len()..];
            let message = format!("{path} has a child {child} which has a quota");
            return Err(Failure::Argument(message).into());
        }
        Ok(())
    });
    match found {
        Err(trouble) if trouble.name == ErrorCode::NoNode.name() => Ok(()),
        other => other,
    }
}

fn refuse_parent_quota(client: &Client, path: &str) -> Result<(), Trouble> {
    let mut names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    names.pop();
    let mut at = ROOT.to_owned();
    for name in names {
        at = path::join(&at, name);
        let children = match client.children(&at, false) {
            Ok((children, _)) if !children.is_empty() => children,
            Ok(_) => return Ok(()),
            Err(failure) if failure.is(ErrorCode::NoNode) => return Ok(()),
            Err(failure) => return Err(failure.into()),
        };
        if children.iter().any(|name| name == LIMITS) {
            let parent = &at[ROOT.len()..];
            return Err(Failure::Argument(format!("{path} has a parent {parent} which has a quota")).into());
        }
    }
    Ok(())
}

/// Tells of limits that are exceeded already.
fn warn(context: &Context<'_>, limits: &Track, stats: &Track) {
    for (soft, hard, what) in [("count", "countHardLimit", "count"), ("bytes", "byteHardLimit", "bytes")] {
        let there = stats.number(soft);
        let exceeded = |key: &str| limits.number(key) > -1 && limits.number(key) < there;
        if exceeded(soft) || exceeded(hard) {
            context.console.line(&format!(
                "[Warning]: the {what} quota you create is less than the existing {what}:{there}"
            ));
        }
    }
}

pub fn list(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let path = parsed.argument(1).unwrap_or_default();
    let at = format!("{ROOT}{path}/{LIMITS}");
    context.console.note(&format!("absolute path is {at}"));
    let both = track(context.client, &at)
        .and_then(|limits| Ok((limits, track(context.client, &format!("{ROOT}{path}/{STATS}"))?)));
    match both {
        Ok((limits, stats)) => {
            context.console.line(&format!("Output quota for {path} {limits}"));
            context.console.line(&format!("Output stat for {path} {stats}"));
            let value = json!({"path": path, "limits": limits.json(), "stats": stats.json()});
            context.console.value(&value);
            Ok(())
        }
        Err(failure) if failure.is(ErrorCode::NoNode) => no_quota(context, path),
        Err(failure) => Err(failure.into()),
    }
}

fn no_quota(context: &Context<'_>, path: &str) -> Result<(), Trouble> {
    context.console.note(&format!("quota for {path} does not exist."));
    context.console.value(&json!({"path": path, "limits": null}));
    Ok(())
}

pub fn delete(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let path = parsed.argument(1).unwrap_or_default();
    let client = &**context.client;
    let parent = format!("{ROOT}{path}");
    let limits = format!("{parent}/{LIMITS}");
    if client.exists(&limits, false)?.is_none() {
        context.console.line(&format!("Quota does not exist for {path}"));
        context.console.value(&json!({"path": path, "limits": null}));
        return Ok(());
    }
    let deleted = match ["n", "b", "N", "B"].into_iter().find(|option| parsed.has(option)) {
        Some(option) => track(client, &limits).and_then(|mut limit| {
            limit.set(key(option), -1);
            client.set_data(&limits, limit.to_string().as_bytes(), -1).map(drop)
        }),
        None => delete_nodes(client, parent),
    };
    match deleted {
        Err(failure) if failure.is(ErrorCode::NoNode) => no_quota(context, path),
        Err(failure) => Err(failure.into()),
        Ok(()) => {
            context.console.value(&json!({ "path": path }));
            Ok(())
        }
    }
}

/// The quota's own nodes, and then those above which hold nothing any more.
fn delete_nodes(client: &Client, mut at: String) -> Result<(), Failure> {
    for name in client.children(&at, false)?.0 {
        client.delete(&path::join(&at, &name), -1)?;
    }
    while at != ROOT && client.children(&at, false)?.0.is_empty() {
        client.delete(&at, -1)?;
        at.truncate(at.rfind('/').unwrap_or(0));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Track;

    #[test]
    fn limits_are_written_so_that_old_readers_understand_them() {
        let text = "count=5,bytes=-1=;byteHardLimit=-1;countHardLimit=7";
        let track = Track::parse(text);
        assert_eq!(track.number("count"), 5);
        assert_eq!(track.number("countHardLimit"), 7);
        assert_eq!(track.to_string(), text);
        assert_eq!(Track::parse("count=2,bytes=9").to_string(), "count=2,bytes=9");
        assert_eq!(Track::parse("").to_string(), "count=-1,bytes=-1");
    }
}
