//! `ringkeeper backup`: a snapshot of a running server, by the `snapshot` command of its admin port, to a file.
//!
//! The file gets its name only when every byte of it was read again and verified, the tree's digest too. Apache ZooKeeper 3.9 has
//! the command as well, and its files are kept under Apache's names. `ringkeeper snapshot restore` makes a data directory of
//! either.
//! Tested: below, tests/restore.rs with servers.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::apache::Packing;
use super::inspect::{self, Kind};
use super::moment;
use super::progress::Progress;
use super::snapshot::{self, Refused, refused};
use crate::base::Zxid;
use crate::config::LogFormat;
use crate::io::Directory;
use crate::log;

/// Takes a backup of a server that runs: asks its admin port for a snapshot, and verifies it.
///
/// `ringkeeper snapshot restore` makes a data directory of the file. The server needs admin.enableServer (the default), and
/// whoever asks all permissions at the root node.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Where the file goes; made if it isn't there
    #[arg(long, value_name = "DIR")]
    to: PathBuf,

    /// The admin port, behind it admin.commandURL if that isn't /commands
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    admin: String,

    /// Scheme and credentials. Without it they are taken from the variable RINGKEEPER_AUTH, which others on this host can't see
    #[arg(long, value_name = "digest:USER:PASSWORD")]
    auth: Option<String>,
}

const AUTH_VARIABLE: &str = "RINGKEEPER_AUTH";
const PORT: u16 = 8080;
/// Between two pieces. A server answers when its snapshot is written, which takes as long as its tree is large.
const PATIENCE: Duration = Duration::from_secs(600);
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// Of a head and of an answer that is no file.
const TEXT_BYTES_MAX: u64 = 64 << 10;
const PIECE_BYTES: usize = 256 << 10;
/// Behind the name of what was not verified yet.
const UNVERIFIED: &str = ".unverified";

pub fn run(arguments: &Arguments) -> ExitCode {
    super::log_to_stderr(LogFormat::Text);
    let progress = &Progress::shown();
    let done = back_up(arguments, progress);
    progress.end();
    snapshot::tell("backup", done)
}

fn back_up(arguments: &Arguments, progress: &Progress) -> Result<String, Refused> {
    crate::io::install_sigbus_handler()?;
    let url = Url::parse(&arguments.admin)?;
    let given = arguments.auth.clone().or_else(|| std::env::var(AUTH_VARIABLE).ok());
    let Some(authorization) = given.as_deref().and_then(authorization) else {
        return Err(Refused {
            code: 2,
            text: format!(
                "whom the server should take this for: --auth digest:super:PASSWORD, or {AUTH_VARIABLE}"
            ),
        });
    };
    let directory = Directory::create(&arguments.to)?;
    let mut answer = url.ask(&authorization)?;
    let (name, bytes) = receive(&mut answer, &directory, progress)?;
    let unverified = format!("{name}{UNVERIFIED}");
    let verified = verify(&directory.path_of(&unverified), &name, progress);
    match verified {
        Ok(held) => {
            directory.rename(&unverified, &name)?;
            Ok(format!("{}: {held}, {bytes} bytes, verified", directory.path_of(&name).display()))
        }
        Err(bad) => {
            // Nobody is to take it for a backup.
            directory.remove(&[&unverified])?;
            let text =
                format!("what was received is not a whole snapshot, and was thrown away: {}", bad.text);
            Err(Refused { text, ..bad })
        }
    }
}

/// `scheme:credentials` as the header has it.
fn authorization(given: &str) -> Option<String> {
    let (scheme, credentials) = given.split_once(':')?;
    let is_plain = |text: &str| !text.is_empty() && !text.contains(['\r', '\n', '\0']);
    (is_plain(scheme) && is_plain(credentials)).then(|| format!("{scheme} {credentials}"))
}

/// Under the name that it will have, and behind that that it isn't verified. The name, and how many bytes.
fn receive(
    answer: &mut Answer,
    directory: &Directory,
    progress: &Progress,
) -> Result<(String, u64), Refused> {
    let cut = |error: io::Error| refused(format_args!("the server's answer ended early: {error}"));
    let mut piece = vec![];
    Read::take(&mut answer.body, PIECE_BYTES as u64).read_to_end(&mut piece).map_err(cut)?;
    let name = file_name(&piece, answer.zxid)?;
    progress.begin_unsized("receiving", Path::new(&name));
    let mut file = directory.writer(&format!("{name}{UNVERIFIED}"))?;
    while !piece.is_empty() {
        let appended = file.append(&piece).map_err(Refused::from);
        progress.is_at(file.len());
        piece.clear();
        let more = Read::take(&mut answer.body, PIECE_BYTES as u64).read_to_end(&mut piece).map_err(cut);
        if let Err(refused) = appended.and(more) {
            file.abandon();
            return Err(refused);
        }
    }
    let bytes = file.len();
    if let Some(size) = answer.size.filter(|size| *size != bytes) {
        file.abandon();
        return Err(refused(format_args!("the server's answer ended early: {bytes} of {size} bytes came")));
    }
    file.finish()?;
    Ok((name, bytes))
}

/// By what it begins with. Apache's zxid is told by the answer's head alone.
fn file_name(begin: &[u8], zxid: Option<Zxid>) -> Result<String, Refused> {
    if let Some(zxid) = log::snapshot_zxid(begin) {
        return Ok(log::snapshot_file_name(zxid));
    }
    let packing = Packing::of_beginning(begin);
    let suffix = packing.ok_or_else(|| refused("what the server sends is no snapshot"))?.suffix();
    match zxid {
        Some(Zxid(zxid)) => Ok(format!("snapshot.{zxid:x}{suffix}")),
        None => Err(refused("the server doesn't say which zxid its snapshot ends at (the header last_zxid)")),
    }
}

/// What it holds. `name`: what it will be called.
fn verify(file: &Path, name: &str, progress: &Progress) -> Result<String, Refused> {
    let kind = match Kind::of_name(name) {
        Some(kind) => kind,
        None => Kind::of(file)?,
    };
    let mut notes = vec![];
    let image = inspect::read_snapshot(file, kind, progress, &mut |note| notes.push(format!("; {note}")))?;
    Ok(format!(
        "{} znodes, {} sessions, zxid {}{}",
        image.store.nodes_count(),
        image.sessions.len(),
        image.store.newest(),
        notes.concat()
    ))
}

#[derive(Debug, PartialEq, Eq)]
struct Url {
    host: String,
    port: u16,
    /// The command URL.
    path: String,
}

impl Url {
    fn parse(text: &str) -> Result<Url, Refused> {
        let wrong = |what: &str| Refused {
            code: 2,
            text: format!("--admin {text}: {what}; it is written as http://host:8080"),
        };
        if text.starts_with("https://") {
            return Err(wrong("TLS is not built"));
        }
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let after_address = host.rfind(']').map_or(0, |end| end + 1);
        let (host, port) = match host[after_address..].rfind(':') {
            Some(colon) => {
                let (host, port) = host.split_at(after_address + colon);
                (host, port[1..].parse().map_err(|_| wrong("the port is not a number"))?)
            }
            None => (host, PORT),
        };
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if host.is_empty() || !is_plain(host) || !is_plain(path) {
            return Err(wrong("there is no host"));
        }
        let path = path.trim_end_matches('/');
        let path = if path.is_empty() { "/commands" } else { path };
        Ok(Url { host: host.to_owned(), port, path: path.to_owned() })
    }

    fn ask(&self, authorization: &str) -> Result<Answer, Refused> {
        let Url { host, port, path } = self;
        let failed = |error: io::Error| {
            refused(format_args!(
                "{host}:{port}: {error}. Is that the admin port of a server that runs? (admin.serverPort)"
            ))
        };
        let mut stream = connect(host, *port).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        write!(
            stream,
            "GET {path}/snapshot?streaming=true HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: {authorization}\r\n\
             Connection: close\r\nAccept: */*\r\n\r\n"
        )
        .map_err(failed)?;
        Answer::read(BufReader::with_capacity(PIECE_BYTES, stream)).map_err(failed)?.checked(authorization)
    }
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (bare, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Of HTTP/1.1, as much as a server needs that was asked to close.
struct Answer {
    status: u16,
    zxid: Option<Zxid>,
    /// Of the file, as the server says.
    size: Option<u64>,
    body: Body,
}

impl Answer {
    fn read(stream: impl BufRead + 'static) -> io::Result<Answer> {
        let mut stream = stream;
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
        let mut head = Read::take(&mut stream, TEXT_BYTES_MAX);
        let mut line = |line: &mut String| {
            line.clear();
            head.read_line(line)?;
            if line.ends_with('\n') { Ok(()) } else { Err(invalid("this is no HTTP answer")) }
        };
        let mut text = String::new();
        line(&mut text)?;
        let mut words = text.split(' ');
        let is_http = words.next().is_some_and(|word| word.starts_with("HTTP/1."));
        let status = words.next().filter(|_| is_http).and_then(|word| word.trim().parse().ok());
        let status = status.ok_or_else(|| invalid("this is no HTTP answer"))?;
        let (mut zxid, mut size, mut length, mut is_chunked) = (None, None, None, false);
        loop {
            line(&mut text)?;
            let Some((name, value)) = text.trim_end().split_once(':') else { break };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "last_zxid" => zxid = moment::parse_zxid(value).ok(),
                "snapshot_size" => size = value.parse().ok(),
                "content-length" => length = value.parse().ok(),
                "transfer-encoding" => is_chunked = value.eq_ignore_ascii_case("chunked"),
                _ => {}
            }
        }
        let framing = match (is_chunked, length) {
            (true, _) => Framing::Chunked(None),
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::Close,
        };
        Ok(Answer { status, zxid, size, body: Body { stream: Box::new(stream), framing } })
    }

    /// A file, or in the operator's words why not.
    fn checked(mut self, authorization: &str) -> Result<Answer, Refused> {
        if self.status == 200 {
            return Ok(self);
        }
        let mut text = vec![];
        // Whatever came of it: the status says enough.
        let _ = Read::take(&mut self.body, TEXT_BYTES_MAX).read_to_end(&mut text);
        let told = serde_json::from_slice::<serde_json::Value>(&text).ok();
        let told = told.and_then(|json| Some(json.get("error")?.as_str()?.to_owned()));
        let told = told.map_or(String::new(), |told| format!(": {told}"));
        let who = authorization.split([' ', ':']).nth(1).unwrap_or_default();
        let remedy = match self.status {
            401 | 403 => {
                format!("`{who}` must have all permissions at the root node, as super has by its superDigest")
            }
            404 => "if admin.commandURL isn't /commands, it goes behind the port".to_owned(),
            429 => "the last one is too recent: admin.rateLimiterIntervalInMS is five minutes by default"
                .to_owned(),
            503 => "admin.snapshot.enabled=false stands against it, or the server is busy".to_owned(),
            _ => "its log says why; a fresh server without a single write has nothing to save".to_owned(),
        };
        Err(refused(format_args!("the server answers {}{told}: {remedy}", self.status)))
    }
}

enum Framing {
    Length(u64),
    /// What is left of the chunk; `None`: before one.
    Chunked(Option<u64>),
    Close,
}

struct Body {
    stream: Box<dyn BufRead>,
    framing: Framing,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let early = || io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed");
        let left = match &mut self.framing {
            Framing::Close => return self.stream.read(buffer),
            Framing::Length(left) => left,
            Framing::Chunked(left) => {
                let left = match left {
                    Some(left) => left,
                    None => left.insert(chunk_bytes(&mut self.stream)?),
                };
                // The last one, of no bytes: what may follow it are fields that nobody needs.
                if *left == 0 {
                    return Ok(0);
                }
                left
            }
        };
        let most = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.stream.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(early());
        }
        *left -= count as u64;
        if let Framing::Chunked(left @ Some(0)) = &mut self.framing {
            *left = None;
            let mut end = [0; 2];
            self.stream.read_exact(&mut end)?;
        }
        Ok(count)
    }
}

fn chunk_bytes(stream: &mut impl BufRead) -> io::Result<u64> {
    let mut line = String::new();
    Read::take(stream, 1024).read_line(&mut line)?;
    let digits = line.trim_end().split(';').next().unwrap_or_default();
    u64::from_str_radix(digits, 16)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "no chunk begins here"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &'static [u8]) -> io::Result<Answer> {
        Answer::read(text)
    }

    fn body(text: &'static [u8]) -> io::Result<Vec<u8>> {
        let mut bytes = vec![];
        answer(text)?.body.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn addresses_are_taken_apart() {
        let url =
            |text| Url::parse(text).map(|url| (url.host, url.port, url.path)).map_err(|refused| refused.text);
        let of = |host: &str, port, path: &str| Ok((host.to_owned(), port, path.to_owned()));
        assert_eq!(url("http://h1:8081"), of("h1", 8081, "/commands"));
        assert_eq!(url("h1"), of("h1", 8080, "/commands"));
        assert_eq!(url("http://[::1]/zk/"), of("[::1]", 8080, "/zk"));
        assert_eq!(url("http://[::1]:9/"), of("[::1]", 9, "/commands"));
        for wrong in ["https://h1", "http://", "http://h1:x", "http://h 1", "http://h1/a b", "http://:80"] {
            assert!(url(wrong).is_err_and(|text| text.contains("http://host:8080")), "{wrong}");
        }
    }

    #[test]
    fn each_framing_ends_where_it_says_and_a_cut_one_is_noticed() {
        assert_eq!(body(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef").expect("whole"), b"abc");
        assert_eq!(body(b"HTTP/1.1 200 OK\r\n\r\nabcdef").expect("whole"), b"abcdef");
        let chunked: &[u8] =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
        assert_eq!(body(chunked).expect("whole"), b"abcde");
        let head = chunked.len() - b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n".len();
        for end in head..chunked.len() - 4 {
            assert!(body(&chunked[..end]).is_err(), "{end}");
        }
        assert!(body(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabcdef").is_err());
        for no_answer in [&b""[..], b"HTTP/1.1 200 OK\r\n", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 x\r\n\r\n"] {
            assert!(answer(no_answer).is_err(), "{no_answer:?}");
        }
    }

    #[test]
    fn what_the_server_refuses_is_told_with_what_to_do() {
        let text =
            |text| answer(text).expect("HTTP").checked("digest super:secret").err().expect("refused").text;
        let told = text(b"HTTP/1.1 401 Unauthorized\r\n\r\n{\"error\": \"Not authenticated\"}");
        assert!(told.contains("401: Not authenticated") && told.contains("`super`"), "{told}");
        assert!(!told.contains("secret"), "{told}");
        assert!(text(b"HTTP/1.1 429 Too many\r\n\r\n").contains("too recent"));
        assert_eq!(authorization("digest:super:secret").as_deref(), Some("digest super:secret"));
        for wrong in ["", "digest", "digest:", ":x", "digest:a\r\nb: c"] {
            assert_eq!(authorization(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_file_is_named_by_what_it_begins_with() {
        let name = |begin: &[u8], zxid| file_name(begin, zxid).map_err(|refused| refused.text);
        assert_eq!(name(b"ZKSN\0\0", Some(Zxid(0x1f))).as_deref(), Ok("snapshot.1f"));
        assert_eq!(name(&[0x1f, 0x8b, 8], Some(Zxid(3))).as_deref(), Ok("snapshot.3.gz"));
        assert!(name(b"ZKSN\0\0", None).is_err_and(|text| text.contains("last_zxid")));
        assert!(name(b"{\"json\": 1}", Some(Zxid(3))).is_err_and(|text| text.contains("no snapshot")));
        let (_, header) = log::SnapshotEncoder::new(Zxid(0x2_0000_0005), 7);
        assert_eq!(name(&header, None).as_deref(), Ok("snapshot.0000000200000005"));
    }
}
