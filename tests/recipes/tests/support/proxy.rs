//! A way to the server on which replies can be lost: requests get through, and the connection breaks before their answers do.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

pub struct Proxy {
    address: SocketAddr,
    is_mute: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    pub fn start(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let (is_mute, streams) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(vec![])));
        let proxy = Proxy { address, is_mute: is_mute.clone(), streams: streams.clone() };
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(server) else { continue };
                let ends = [&client, &server].map(|stream| stream.try_clone().expect("a stream's copy"));
                streams.lock().expect("nobody panics in there").extend(ends);
                let copies = [&client, &server].map(|stream| stream.try_clone().expect("a stream's copy"));
                let [client_too, server_too] = copies;
                thread::spawn(move || pump(client, server, None));
                let is_mute = is_mute.clone();
                thread::spawn(move || pump(server_too, client_too, Some(&is_mute)));
            }
        });
        proxy
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// From now on what the server says is lost.
    pub fn mute(&self) {
        self.is_mute.store(true, Ordering::SeqCst);
    }

    /// Breaks the connections. New ones are heard.
    pub fn cut(&self) {
        for stream in self.streams.lock().expect("nobody panics in there").drain(..) {
            // It may be closed already.
            let _closed = stream.shutdown(Shutdown::Both);
        }
        self.is_mute.store(false, Ordering::SeqCst);
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, is_mute: Option<&AtomicBool>) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if is_mute.is_some_and(|is_mute| is_mute.load(Ordering::SeqCst)) {
            continue;
        }
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    for stream in [from, to] {
        let _closed = stream.shutdown(Shutdown::Both);
    }
}
