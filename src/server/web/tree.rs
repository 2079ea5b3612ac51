//! `ringkeeper_tree`: a znode and a page of its children as JSON, for the page's tree browser. Nothing is changed by it.
//!
//! `GET /commands/ringkeeper_tree?path=/a&from=b&limit=100&data=true`. `from` is the first child's name, in the order of bytes;
//! `next` of the answer is the one to go on with. What is told to whom: [`crate::shard`]'s `looking.rs`; the data besides
//! only to who might take a snapshot of all.
//! Tested: the end of this file, tests/admin/tree.rs, tests/page_in_browser.rs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::admin::Answer;
use crate::shard::{CHILDREN_MAX, DATA_BYTES_MAX, Found, Look, Unseen, Znode};
use crate::tree::{Kind, path};
use crate::wire::acl::perms;
use crate::wire::{OwnedAcl, Stat};

pub const NAME: &str = "ringkeeper_tree";

const LIMIT_DEFAULT: usize = 100;

/// What stands behind the question mark.
#[derive(Debug, PartialEq, Eq)]
pub struct Query<'a> {
    pub path: &'a str,
    pub from: &'a str,
    pub limit: usize,
    pub with_data: bool,
}

/// Unknown names are left alone, as by ZooKeeper's commands.
pub fn query(arguments: &[(String, String)]) -> Result<Query<'_>, String> {
    let given = |name: &str| arguments.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str());
    let path = given("path").unwrap_or("/");
    if !path::is_valid(path.as_bytes()) {
        return Err(format!("path={path}: no path of a znode; allowed: e.g. / and /a/b"));
    }
    let from = given("from").unwrap_or_default();
    if from.contains('/') {
        return Err(format!("from={from}: a child's name has no slash"));
    }
    let limit = given("limit").map_or(Ok(LIMIT_DEFAULT), |text| {
        let number = text.parse().ok().filter(|number| *number <= CHILDREN_MAX);
        number.ok_or_else(|| format!("limit={text}: allowed: 0 to {CHILDREN_MAX}"))
    })?;
    let with_data = match given("data").unwrap_or("false") {
        "true" => true,
        "false" => false,
        other => return Err(format!("data={other}: allowed: true, false")),
    };
    Ok(Query { path, from, limit, with_data })
}

/// `None` while the look has to go on.
pub fn answer(look: &Look, is_authenticated: bool) -> Option<Answer> {
    let refused = |status, why: &str| Answer::refused(NAME, status, why);
    Some(match look.seen()? {
        Ok(found) => shown(look, found),
        Err(Unseen::NotServing) => Answer::not_serving(NAME),
        Err(Unseen::NoNode) => refused(404, &format!("no znode at {}", look.path)),
        Err(Unseen::NoAuth) if is_authenticated => refused(403, "Not authorized"),
        Err(Unseen::NoAuth) => refused(401, "Not everybody may read it: authenticate"),
    })
}

fn shown(look: &Look, found: &Found) -> Answer {
    let mut body = json!({ "path": look.path.to_string() });
    if let Some(znode) = &found.znode {
        body["stat"] = stat(&znode.stat);
        (body["kind"], body["ttl"]) = kind(znode.kind);
        body["acl"] = znode.acl.iter().map(entry).collect();
        if let Some(shown) = &znode.data {
            body["data"] = data(shown.as_deref(), is_cut(znode));
            body["data_is_cut"] = json!(is_cut(znode));
        }
    }
    let name = |path: &crate::base::Path| String::from_utf8_lossy(path.name()).into_owned();
    let child = |child: &crate::shard::Child| {
        let (kind, ttl) = child.seen.map_or((Value::Null, Value::Null), |(_, of)| kind(of));
        let stat = child.seen.map(|(of, _)| stat(&of));
        json!({ "name": name(&child.path), "kind": kind, "ttl": ttl, "stat": stat })
    };
    body["children"] = found.children.iter().map(child).collect();
    body["next"] = json!(found.next.as_ref().map(name));
    body["command"] = json!(NAME);
    body["error"] = Value::Null;
    Answer { status: 200, body }
}

/// Numbers of 64 bits as text: a browser's have 53.
fn stat(stat: &Stat) -> Value {
    json!({
        "czxid": stat.czxid.to_string(),
        "mzxid": stat.mzxid.to_string(),
        "pzxid": stat.pzxid.to_string(),
        "ctime": stat.ctime.0,
        "mtime": stat.mtime.0,
        "version": stat.version,
        "cversion": stat.cversion,
        "aversion": stat.aversion,
        "ephemeral_owner": stat.ephemeral_owner.to_string(),
        "data_length": stat.data_length,
        "num_children": stat.num_children,
    })
}

/// And milliseconds to live.
fn kind(kind: Kind) -> (Value, Value) {
    match kind {
        Kind::Persistent => (json!("persistent"), Value::Null),
        Kind::Ephemeral(_) => (json!("ephemeral"), Value::Null),
        Kind::Container => (json!("container"), Value::Null),
        Kind::Ttl(millis) => (json!("ttl"), json!(millis)),
    }
}

fn entry(entry: &OwnedAcl) -> Value {
    json!({ "scheme": entry.scheme, "id": entry.id, "perms": letters(entry.perms) })
}

/// In the order of `zkCli.sh`.
fn letters(of: i32) -> String {
    let all = [
        (perms::CREATE, 'c'),
        (perms::DELETE, 'd'),
        (perms::READ, 'r'),
        (perms::WRITE, 'w'),
        (perms::ADMIN, 'a'),
    ];
    all.iter().filter(|(bit, _)| of & bit != 0).map(|(_, letter)| letter).collect()
}

fn is_cut(znode: &Znode) -> bool {
    usize::try_from(znode.stat.data_length).is_ok_and(|length| length > DATA_BYTES_MAX)
}

/// Text as it is, other bytes in base64, as the shell's JSON has them.
fn data(bytes: Option<&[u8]>, is_cut: bool) -> Value {
    let Some(bytes) = bytes else { return Value::Null };
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        // Cut within a character.
        Err(error) if is_cut && error.error_len().is_none() => {
            json!(String::from_utf8_lossy(&bytes[..error.valid_up_to()]))
        }
        Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn queries() {
        let all =
            arguments(&[("path", "/a/b"), ("from", "c d"), ("limit", "0"), ("data", "true"), ("x", "y")]);
        assert_eq!(query(&all), Ok(Query { path: "/a/b", from: "c d", limit: 0, with_data: true }));
        assert_eq!(query(&[]), Ok(Query { path: "/", from: "", limit: LIMIT_DEFAULT, with_data: false }));
        for (name, value, word) in [
            ("path", "", "path=: no path"),
            ("path", "a", "path=a: no path"),
            ("path", "/a/", "path=/a/: no path"),
            ("path", "/a//b", "no path"),
            ("from", "a/b", "from=a/b: a child's name"),
            ("limit", "-1", "limit=-1: allowed: 0 to 1000"),
            ("limit", "1001", "allowed: 0 to 1000"),
            ("limit", "", "limit=: allowed"),
            ("data", "yes", "data=yes: allowed: true, false"),
        ] {
            let error = query(&arguments(&[(name, value)])).expect_err(value);
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn data_is_text_where_it_can_be() {
        assert_eq!(data(None, false), Value::Null);
        assert_eq!(data(Some(b""), false), json!(""));
        assert_eq!(data(Some("é\n".as_bytes()), false), json!("é\n"));
        assert_eq!(data(Some(b"\xff\x00"), false), json!({ "base64": "/wA=" }));
        // The first byte of a character is no text, unless the rest of it was cut off.
        assert_eq!(data(Some(b"a\xc3"), false), json!({ "base64": "YcM=" }));
        assert_eq!(data(Some(b"a\xc3"), true), json!("a"));
        assert_eq!(data(Some(b"\xff\xc3"), true), json!({ "base64": "/8M=" }));
    }

    #[test]
    fn permissions_are_letters() {
        assert_eq!((letters(perms::ALL), letters(perms::READ | perms::ADMIN)), ("cdrwa".into(), "ra".into()));
    }
}
