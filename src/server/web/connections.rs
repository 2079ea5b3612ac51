//! The thread "admin": sockets, HTTP, and nothing that can wait for a loop.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use crossbeam::channel::Sender;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time;

use crate::base::listening_at;
use crate::io::Clock;

use super::request::{Answered, Asked, Question, Reply, route};
use super::restore::{Upload, receive};
use super::silence::{Silence, busy_or_dead};
use super::{CONNECTIONS_MAX, HEADER_BYTES_MAX, Port, UNREAD_BYTES_MAX};

/// How long a port may be held by a server that ended just now.
const PORT_PATIENCE: Duration = Duration::from_secs(2);
const PORT_RETRY: Duration = Duration::from_millis(50);
/// No descriptor or no memory for one more connection: the next try.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Of one connection, however busy it is: who reads his answer that slowly isn't waited for.
const LIFE_MAX: Duration = Duration::from_secs(3600);

/// What all connections of both ports share.
#[derive(Clone)]
struct Shared {
    questions: Sender<Question>,
    /// Bytes of answers that were begun to be sent.
    unread: Arc<AtomicUsize>,
    silence: Arc<Silence>,
}

pub fn run(ports: Vec<Port>, questions: Sender<Question>, silence: Arc<Silence>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            return tracing::warn!(%error, "no admin server and no metrics port: the system gives no runtime");
        }
    };
    runtime.block_on(async {
        let shared = Shared { questions, unread: Arc::new(AtomicUsize::new(0)), silence };
        let mut tasks = vec![];
        for port in ports {
            tasks.push(tokio::spawn(serve(port, shared.clone())));
        }
        for task in tasks {
            // Each runs as long as the process; one whose port can't be had ends at once.
            let _ended = task.await;
        }
    });
}

async fn serve(port: Port, shared: Shared) {
    let listener = match open(&port).await {
        Ok(listener) => listener,
        Err(error) => {
            return tracing::warn!(
                "no {}: {} can't be opened: {error}. The server goes on without; free that port, or set {} to another",
                port.name,
                port.address,
                port.keys,
            );
        }
    };
    let bound = listener.local_addr().unwrap_or(port.address);
    match &port.command_url {
        Some(url) => tracing::info!("{} on {bound}, commands at {url}", port.name),
        None => tracing::info!("{} on {bound}, at /metrics", port.name),
    }
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "{}: no connection can be accepted", port.name);
                time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        open.retain(|task| !task.is_finished());
        if open.len() >= CONNECTIONS_MAX
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let one = connection(stream, address.ip().to_canonical(), port.clone(), shared.clone());
        open.push_back(tokio::spawn(one).abort_handle());
    }
}

async fn open(port: &Port) -> std::io::Result<TcpListener> {
    let until = time::Instant::now() + PORT_PATIENCE;
    loop {
        match bind(port.address).await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && time::Instant::now() < until => {
                time::sleep(PORT_RETRY).await;
            }
            opened => return opened,
        }
    }
}

/// The last error, where there is a choice of addresses.
async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let mut bound = Err(std::io::ErrorKind::AddrNotAvailable.into());
    for address in listening_at(address) {
        bound = TcpListener::bind(address).await;
        if bound.is_ok() {
            break;
        }
    }
    bound
}

async fn connection(stream: TcpStream, client: IpAddr, port: Port, shared: Shared) {
    // Small answers go out at once; where that can't be set they go out a little later.
    let _ = stream.set_nodelay(true);
    let idle = port.idle;
    let service = service_fn(|request: Request<Incoming>| {
        let (port, shared) = (port.clone(), shared.clone());
        async move { Ok::<_, Infallible>(respond(request, client, &port, &shared).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(idle).max_buf_size(HEADER_BYTES_MAX);
    let served = http.serve_connection(TokioIo::new(stream), service);
    match time::timeout(LIFE_MAX, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%client, %error, "{}: connection ended", port.name),
        Err(_) => tracing::debug!(%client, "{}: connection cut off after {LIFE_MAX:?}", port.name),
    }
}

async fn respond(request: Request<Incoming>, client: IpAddr, port: &Port, shared: &Shared) -> Response<Held> {
    let unread = &shared.unread;
    let (parts, body) = request.into_parts();
    let mut has_unread = !body.is_end_stream();
    let reply = if unread.load(Relaxed) >= UNREAD_BYTES_MAX {
        too_many()
    } else {
        match route(&parts, client, port.command_url.as_deref()) {
            Ok(asked) => match ask(asked, shared).await {
                // Others may have been answered meanwhile: of those that are large, only some.
                Told::Reply(reply)
                    if reply.body.len() + unread.load(Relaxed) > UNREAD_BYTES_MAX + PIECE_BYTES =>
                {
                    too_many()
                }
                Told::Reply(reply) => reply,
                Told::Receive(upload) => {
                    has_unread = false;
                    receive(body, upload, port.idle).await
                }
            },
            Err(reply) => reply,
        }
    };
    let Reply { status, content_type, body, headers, file } = reply;
    let mut response = Response::builder()
        .status(status)
        .header("content-type", content_type)
        .header("cache-control", "no-store")
        .header("x-content-type-options", "nosniff");
    if has_unread {
        // What else it sends isn't read.
        response = response.header("connection", "close");
    }
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Held::new(body, file, unread.clone())).unwrap_or_else(|_| {
        let mut plain = Response::new(Held::new(Bytes::new(), None, unread.clone()));
        *plain.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        plain
    })
}

enum Told {
    Reply(Reply),
    /// The body is wanted.
    Receive(Upload),
}

async fn ask(mut asked: Asked, shared: &Shared) -> Told {
    loop {
        let (answer, answered) = oneshot::channel();
        let is_probe = matches!(asked, Asked::Live);
        if shared.questions.try_send(Question { asked, answer }).is_err() {
            let lasts = shared.silence.lasts(Clock::instant());
            return Told::Reply(if is_probe { busy_or_dead(lasts) } else { busy() });
        }
        match answered.await {
            Ok(Answered::Reply(reply)) => return Told::Reply(reply),
            Ok(Answered::Receive(upload)) => return Told::Receive(upload),
            Ok(Answered::Later(wanted)) => {
                time::sleep(wanted.pause()).await;
                asked = Asked::Again(wanted);
            }
            Err(_) => return Told::Reply(busy()),
        }
    }
}

fn too_many() -> Reply {
    Reply::line(StatusCode::SERVICE_UNAVAILABLE, "too many answers wait to be read; try again")
}

fn busy() -> Reply {
    Reply::line(StatusCode::SERVICE_UNAVAILABLE, "too many questions at once; try again")
}

/// A body that counts as unread until its last piece is handed to the connection, or that is gone.
struct Held {
    rest: Bytes,
    /// Comes instead, and what is left of it.
    file: Option<(File, u64)>,
    bytes: usize,
    unread: Arc<AtomicUsize>,
}

/// hyper asks for the next piece when there is room in the connection's buffer.
const PIECE_BYTES: usize = 64 << 10;

impl Held {
    fn new(rest: Bytes, file: Option<(File, u64)>, unread: Arc<AtomicUsize>) -> Held {
        let bytes = rest.len();
        unread.fetch_add(bytes, Relaxed);
        Held { rest, file, bytes, unread }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.unread.fetch_sub(self.bytes, Relaxed);
    }
}

impl Body for Held {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        if let Some((file, left)) = &mut self.file {
            if *left == 0 {
                return Poll::Ready(None);
            }
            // Off the page cache, as a rule: it was written just now.
            let mut piece = vec![0; usize::try_from(*left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES)];
            *left -= piece.len() as u64;
            let read = file.read_exact(&mut piece);
            return Poll::Ready(Some(read.map(|()| Frame::data(piece.into()))));
        }
        let length = self.rest.len().min(PIECE_BYTES);
        // Copied: a piece that waits for its reader must not keep the whole answer, which is counted no more.
        let piece = Bytes::copy_from_slice(&self.rest.split_to(length));
        Poll::Ready((length > 0).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.file.as_ref().is_none_or(|(_, left)| *left == 0)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.file.as_ref().map_or(self.rest.len() as u64, |(_, left)| *left))
    }
}

#[cfg(test)]
#[path = "connections_test.rs"]
mod tests;
