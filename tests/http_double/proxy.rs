//! A proxy that knows CONNECT (RFC 9110, section 9.3.6), and nothing else.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    /// What a client must say as `Proxy-Authorization`.
    authorization: Option<String>,
    targets: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl Proxy {
    pub(crate) fn start(authorization: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            authorization: authorization.map(str::to_owned),
            targets: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let theirs = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if theirs.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&theirs);
                // Whoever goes away ends his tunnel.
                thread::spawn(move || drop(tunnel(&client, &shared)));
            }
        });
        Self { address, shared }
    }

    /// `HOST:PORT`.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whom clients wanted to reach.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.shared.targets.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Nobody may be listening any more.
        drop(TcpStream::connect(self.address));
    }
}

fn tunnel(client: &TcpStream, shared: &Shared) -> io::Result<()> {
    // One byte at a time: what comes behind the head is the tunnel's.
    let mut reader = BufReader::with_capacity(1, client.try_clone()?);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim_end().is_empty() {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let mut out = client.try_clone()?;
    let words: Vec<_> = lines.iter().flat_map(|line| line.split(' ')).collect();
    let ["CONNECT", target, "HTTP/1.1", ..] = words[..] else {
        return out.write_all(b"HTTP/1.1 405 Not Allowed\r\n\r\n");
    };
    if let Some(authorization) = &shared.authorization
        && !lines.contains(&format!("Proxy-Authorization: {authorization}"))
    {
        return out.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
    }
    shared.targets.lock().unwrap().push(target.to_owned());
    let server = TcpStream::connect(target)?;
    out.write_all(b"HTTP/1.1 200 Connection Established\r\n\r\n")?;
    let (mut up, mut down) = (client.try_clone()?, server.try_clone()?);
    let upwards = thread::spawn(move || {
        // Either side may end it.
        drop(io::copy(&mut up, &mut down));
        drop(down.shutdown(Shutdown::Write));
    });
    io::copy(&mut server.try_clone()?, &mut out)?;
    out.shutdown(Shutdown::Both)?;
    drop(upwards.join());
    Ok(())
}
