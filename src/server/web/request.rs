//! From a request's head to what is asked, and the answer's shape.

use std::fs::File;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::AUTHORIZATION;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use tokio::sync::oneshot;

use crate::admin::Answer;
use crate::base::{Instant, Zxid};
use crate::shard::Look;

use super::restore::Upload;

/// To the thread "facts".
pub struct Question {
    pub asked: Asked,
    pub answer: oneshot::Sender<Answered>,
}

/// What an HTTP request wants to know.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    Command(Command),
    /// Is the process at work?
    Live,
    /// Is it in a quorum, and serves?
    Ready,
    Metrics,
    /// How something comes along that was asked for.
    Again(Wanted),
}

/// What takes longer than one question to the loops.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    Snapshot(SnapshotWanted),
    Look(Walk),
}

impl Wanted {
    /// Before it is asked for again.
    pub fn pause(&self) -> Duration {
        Duration::from_millis(match self {
            Wanted::Snapshot(_) => 50,
            Wanted::Look(_) => 1,
        })
    }
}

/// A look at the tree on its way.
#[derive(Debug, PartialEq, Eq)]
pub struct Walk {
    pub look: Box<Look>,
    pub since: Instant,
    /// Somebody who has shown who he is asks.
    pub is_authenticated: bool,
}

/// A snapshot that is being taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotWanted {
    /// It holds this, or more.
    pub zxid: Zxid,
    /// How many had failed before.
    pub failed: u64,
    /// `streaming=true`: its bytes are the answer.
    pub streams: bool,
}

/// `GET /commands/NAME?…`
#[derive(Debug, PartialEq, Eq)]
pub struct Command {
    /// As typed.
    pub name: String,
    pub arguments: Vec<(String, String)>,
    pub is_post: bool,
    /// The header of that name.
    pub authorization: Option<String>,
    pub client: IpAddr,
}

/// From the thread "facts".
pub enum Answered {
    Reply(Reply),
    /// Ask again in a moment.
    Later(Wanted),
    /// The body is wanted; who takes it answers.
    Receive(Upload),
}

/// What is sent back.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub content_type: &'static str,
    pub body: Bytes,
    pub headers: Vec<(&'static str, String)>,
    /// Instead of the body: a file, and its length.
    pub file: Option<(File, u64)>,
}

pub const BYTES: &str = "application/octet-stream";
pub const JSON: &str = "application/json";
pub const TEXT: &str = "text/plain; charset=utf-8";
pub const HTML: &str = "text/html; charset=utf-8";

/// For people: this server live, and its tree. It asks the admin port and nobody else.
const PAGE: &str = concat!(
    include_str!("page/head.html"),
    "<style>\n",
    include_str!("page/style.css"),
    "</style>\n",
    include_str!("page/body.html"),
    "<script>\n",
    include_str!("page/live.js"),
    include_str!("page/tree.js"),
    "</script>\n</html>\n",
);
/// The browser holds it to that.
const POLICY: &str = concat!(
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; ",
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
);

impl Reply {
    pub fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
        Reply { status, content_type, body: body.into(), headers: vec![], file: None }
    }

    /// A line for people.
    pub fn line(status: StatusCode, text: &str) -> Reply {
        Reply::new(status, TEXT, format!("{text}\n"))
    }
}

/// A command's answer.
pub fn reply(answer: &Answer) -> Reply {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Reply::new(status, JSON, answer.text())
}

/// Either what is to be asked, or the answer.
pub fn route(parts: &Parts, client: IpAddr, command_url: Option<&str>) -> Result<Asked, Reply> {
    let methods = if command_url.is_some() { "GET, HEAD, POST, OPTIONS" } else { "GET, HEAD, OPTIONS" };
    match parts.method {
        Method::GET | Method::HEAD => {}
        Method::POST if command_url.is_some() => {}
        Method::OPTIONS => {
            let headers = vec![("allow", methods.to_owned())];
            return Err(Reply { headers, ..Reply::new(StatusCode::OK, TEXT, "") });
        }
        Method::TRACE => return Err(Reply::line(StatusCode::FORBIDDEN, "TRACE is refused")),
        _ => {
            let headers = vec![("allow", methods.to_owned())];
            return Err(Reply { headers, ..Reply::line(StatusCode::METHOD_NOT_ALLOWED, "not that method") });
        }
    }
    let nothing =
        |places: &str| Err(Reply::line(StatusCode::NOT_FOUND, &format!("nothing here; there is {places}")));
    let path = parts.uri.path();
    let Some(command_url) = command_url else {
        return if path == "/metrics" { Ok(Asked::Metrics) } else { nothing("/metrics") };
    };
    let is_post = parts.method == Method::POST;
    if let Some(name) = path.strip_prefix(command_url).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    {
        let name = name.strip_prefix('/').unwrap_or(name);
        if name.is_empty() {
            return Err(Reply::new(StatusCode::OK, HTML, crate::admin::links(command_url)));
        }
        let query = parts.uri.query().unwrap_or_default();
        let authorization = parts.headers.get(AUTHORIZATION);
        return Ok(Asked::Command(Command {
            name: percent_encoding::percent_decode_str(name).decode_utf8_lossy().into_owned(),
            arguments: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            is_post,
            authorization: authorization.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
            client,
        }));
    }
    match path {
        "/livez" if !is_post => Ok(Asked::Live),
        "/readyz" if !is_post => Ok(Asked::Ready),
        "/metrics" if !is_post => Ok(Asked::Metrics),
        "/" if !is_post => {
            let page = PAGE.replace("COMMAND_URL", command_url);
            let headers = vec![("content-security-policy", POLICY.to_owned())];
            Err(Reply { headers, ..Reply::new(StatusCode::OK, HTML, page) })
        }
        _ => nothing(&format!("{command_url}, /livez, /readyz, /metrics, and a page at /")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn asked(method: &str, uri: &str) -> Result<Asked, (u16, String)> {
        let request = hyper::Request::builder().method(method).uri(uri).body(()).unwrap();
        let routed = route(&request.into_parts().0, CLIENT, Some("/commands"));
        routed.map_err(|reply| (reply.status.as_u16(), String::from_utf8_lossy(&reply.body).into_owned()))
    }

    fn command(method: &str, uri: &str) -> (String, Vec<(String, String)>, bool) {
        match asked(method, uri) {
            Ok(Asked::Command(command)) => (command.name, command.arguments, command.is_post),
            other => panic!("{uri}: {other:?}"),
        }
    }

    #[test]
    fn commands_are_taken_apart_as_they_are_typed() {
        let plain = |name: &str| (name.to_owned(), vec![], false);
        assert_eq!(command("GET", "/commands/ruok"), plain("ruok"));
        assert_eq!(command("HEAD", "/commands/ruok/"), plain("ruok/"));
        assert_eq!(command("GET", "/commands/a%20b%22%3C%ff"), plain("a b\"<\u{fffd}"));
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let (name, arguments, is_post) = command("POST", "/commands/stmk?traceMask=%31+2&x&traceMask=9");
        assert_eq!((name.as_str(), is_post), ("stmk", true));
        assert_eq!(arguments, [pair("traceMask", "1 2"), pair("x", ""), pair("traceMask", "9")]);
    }

    #[test]
    fn paths_and_methods() {
        assert_eq!(asked("GET", "/livez"), Ok(Asked::Live));
        assert_eq!(asked("HEAD", "/readyz?verbose"), Ok(Asked::Ready));
        assert_eq!(asked("GET", "/metrics"), Ok(Asked::Metrics));
        for (method, uri, status) in [
            ("GET", "/commands", 200),
            ("GET", "/commands/", 200),
            ("GET", "/", 200),
            ("POST", "/", 404),
            ("GET", "/commandsx", 404),
            ("GET", "/nope", 404),
            ("POST", "/livez", 404),
            ("PUT", "/commands/ruok", 405),
            ("DELETE", "/", 405),
            ("TRACE", "/commands/ruok", 403),
            ("OPTIONS", "/commands/ruok", 200),
        ] {
            assert_eq!(asked(method, uri).map_err(|(status, _)| status), Err(status), "{method} {uri}");
        }
        let (_, page) = asked("GET", "/commands").unwrap_err();
        assert!(
            page.starts_with("<a href=\"/commands/configuration\">configuration</a>\n<br/>\n<a href"),
            "{page}"
        );
    }

    #[test]
    fn the_page_fetches_nothing_from_outside() {
        let (_, page) = asked("GET", "/").unwrap_err();
        assert!(page.contains("const COMMANDS = \"/commands\"") && !page.contains("COMMAND_URL"));
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</script>\n</html>\n"));
        // The one address is the name of a kind of XML, which is no place.
        let outside = page.replace("http://www.w3.org/2000/svg", "");
        for word in ["http://", "https://", "src=", "@import", "url(", "innerHTML"] {
            assert!(!outside.contains(word), "{word}");
        }
    }

    #[test]
    fn the_metrics_port_has_one_page() {
        let of = |method: &str, uri: &str| {
            let request = hyper::Request::builder().method(method).uri(uri).body(()).unwrap();
            route(&request.into_parts().0, CLIENT, None).map_err(|reply| reply.status.as_u16())
        };
        assert_eq!(of("GET", "/metrics"), Ok(Asked::Metrics));
        assert_eq!(of("GET", "/"), Err(404));
        assert_eq!(of("POST", "/metrics"), Err(405));
        assert_eq!(of("GET", "/commands/ruok"), Err(404));
    }
}
