//! Drives a closed loop over io_uring, with a task per session on tokio-uring.
//!
//! Called by `run`. A session's task hands its requests to the ring, waits for replies, answers them with new
//! requests. A ticker takes the samples and ends a load whose server has stalled, by shutting the sockets down: the
//! tasks then see the end of their streams. tokio-uring has no timeout operation and tokio's timers have a resolution
//! of a millisecond, so open loops are `poll_driver`'s.

use crate::bench::clock;
use crate::bench::connection::Connection;
use crate::bench::load::{Load, Stage};
use crate::bench::process::ProcessError;
use crate::bench::session::Session;
use std::cell::RefCell;
use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;
use tokio_uring::net::TcpStream;

const READ_BYTES: usize = 64 << 10;
const TICK: Duration = Duration::from_millis(10);

/// Carries the closed loop `load` out over `connections`, whose sockets block.
pub fn run(load: Load, connections: &mut [Connection]) -> io::Result<Load> {
    assert!(!load.is_released(), "the arguments' checks keep open loops and the fan-out away");
    let load = Rc::new(RefCell::new(load));
    let result = tokio_uring::builder().entries(4096).start(converse(&load, connections));
    let load = Rc::into_inner(load).expect("all tasks have ended").into_inner();
    result.map(|()| load)
}

async fn converse(load: &Rc<RefCell<Load>>, connections: &mut [Connection]) -> io::Result<()> {
    let mut tasks = Vec::new();
    let mut sockets = Vec::new();
    for connection in connections.iter_mut() {
        connection.stream.set_nonblocking(false)?;
        sockets.push(connection.stream.try_clone()?);
        let stream = TcpStream::from_std(connection.stream.try_clone()?);
        let session = std::mem::replace(&mut connection.session, Session::new(0, false));
        tasks.push(tokio_uring::spawn(converse_session(load.clone(), session, stream)));
    }
    let ticker = tokio_uring::spawn(tick(load.clone(), sockets));
    for (task, connection) in tasks.into_iter().zip(connections) {
        connection.session = task.await.map_err(io::Error::other)?;
    }
    ticker.abort();
    match ticker.await {
        Ok(Err(error)) => Err(io::Error::other(error)),
        Ok(Ok(())) | Err(_) => Ok(()),
    }
}

async fn tick(load: Rc<RefCell<Load>>, sockets: Vec<std::net::TcpStream>) -> Result<(), ProcessError> {
    let result = loop {
        let stage = load.borrow_mut().on_turn(clock::now());
        match stage {
            Ok(Stage::Asking | Stage::Draining) => tokio::time::sleep(TICK).await,
            Ok(Stage::Stalled) => {
                load.borrow_mut().cut_short(clock::now(), "no answer for 30 s");
                break Ok(());
            }
            Err(error) => break Err(error),
        }
    };
    for socket in sockets {
        // A socket that is gone already is as good.
        let _ = socket.shutdown(Shutdown::Both);
    }
    result
}

async fn converse_session(load: Rc<RefCell<Load>>, mut session: Session, stream: TcpStream) -> Session {
    let mut input = vec![0; READ_BYTES];
    load.borrow_mut().refill(&mut session, clock::now());
    while session.under_way() > 0 {
        if !session.output.is_empty() {
            let (result, output) = stream.write_all(std::mem::take(&mut session.output)).await;
            session.output = output;
            session.output.clear();
            if let Err(error) = result {
                let reason = format!("connection failed: {}", error.kind());
                session.fail(&reason, &mut load.borrow_mut().recorder);
                break;
            }
        }
        let (result, buffer) = stream.read(input).await;
        input = buffer;
        let load = &mut *load.borrow_mut();
        match result {
            Ok(0) => session.fail("connection closed by the server", &mut load.recorder),
            Ok(n) => {
                let now = clock::now();
                if let Err(fault) = session.on_bytes(&input[..n], now, &mut load.recorder) {
                    session.fail(fault.name(), &mut load.recorder);
                }
                load.refill(&mut session, now);
            }
            Err(error) => {
                session.fail(&format!("connection failed: {}", error.kind()), &mut load.recorder);
            }
        }
    }
    session
}
