//! Just enough HTTP to ask the ports that speak it: a socket per request.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use serde_json::Value;

use super::wait::BOUND;

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// With names in small letters.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
    }
}

/// `GET`, which has to be answered.
pub fn get(port: u16, path: &str) -> Answer {
    request(port, "GET", path, &[])
}

pub fn request(port: u16, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    let answer = try_bytes(port, head.as_bytes());
    answer.unwrap_or_else(|error| panic!("{method} {path} of port {port}: {error}"))
}

/// With JSON to say, as a WebDriver wants it; which then leaves the connection open, whatever it was asked for.
pub fn send_json(port: u16, method: &str, path: &str, body: &Value) -> Result<Answer, String> {
    let body = body.to_string();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = connect(port)?;
    let failed = |error: std::io::Error| error.to_string();
    stream.write_all(head.as_bytes()).map_err(failed)?;
    let (mut bytes, mut piece) = (vec![], vec![0; 64 << 10]);
    loop {
        let length = stream.read(&mut piece).map_err(failed)?;
        bytes.extend_from_slice(&piece[..length]);
        if let Some(answer) = parse(&bytes)
            && let Some(whole) = answer.header("content-length").and_then(|text| text.parse().ok())
            && answer.body.len() >= whole
        {
            return Ok(answer);
        }
        if length == 0 {
            return Err(format!("no whole answer: {:?}", String::from_utf8_lossy(&bytes)));
        }
    }
}

/// As [`get`], of a server that may not be there yet.
pub fn try_get(port: u16, path: &str) -> Option<Answer> {
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    try_bytes(port, head.as_bytes()).ok()
}

/// Sends these bytes and reads until the server closes.
pub fn try_bytes(port: u16, bytes: &[u8]) -> Result<Answer, String> {
    let mut stream = connect(port)?;
    let failed = |error: std::io::Error| error.to_string();
    stream.write_all(bytes).map_err(failed)?;
    let mut answer = vec![];
    stream.read_to_end(&mut answer).map_err(failed)?;
    parse(&answer).ok_or_else(|| format!("no HTTP: {:?}", String::from_utf8_lossy(&answer)))
}

pub fn connect(port: u16) -> Result<TcpStream, String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, BOUND).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(BOUND)).map_err(|error| error.to_string())?;
    Ok(stream)
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers: Vec<(String, String)> = lines.map(header).collect::<Option<_>>()?;
    let body = answer[end + 4..].to_vec();
    let is_chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if is_chunked { unchunked(&body)? } else { body };
    Some(Answer { status, headers, body })
}

fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = vec![];
    loop {
        let end = rest.windows(2).position(|bytes| bytes == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        let chunk = rest.get(end + 2..end + 2 + length)?;
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(chunk);
        rest = rest.get(end + 4 + length..)?;
    }
}

/// `POST` of bytes. A server that refuses them may answer before it has read them.
pub fn post(port: u16, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, String> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = connect(port)?;
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    let mut answer = vec![];
    let read = stream.read_to_end(&mut answer);
    parse(&answer)
        .ok_or_else(|| format!("no HTTP: {sent:?}, {read:?}, {:?}", String::from_utf8_lossy(&answer)))
}
