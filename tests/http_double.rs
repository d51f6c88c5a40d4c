//! A server that says what receivers of alerts say: HTTP/1.1 over TCP or TLS, a thread for each connection.
//!
//! What it knows of HEC is a transcript of two receivers, which `hec` replays. Told so, it is slow, silent, cut off in
//! the middle of an answer, or never comes to its end.

pub(crate) mod bulk;
pub(crate) mod hec;
pub(crate) mod proxy;

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use flate2::read::GzDecoder;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

/// A client that says nothing for so long is gone.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// Of a request's body, as it comes.
const BODY_BYTES_MAX: usize = 64 << 20;
/// Of an answer that never ends: more than any client should read.
const ENDLESS_BYTES: usize = 64 << 20;

/// What was asked, with its body as it was before it was compressed.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    /// Their names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// Which connection it came by.
    pub(crate) connection: usize,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(crate) fn is_gzipped(&self) -> bool {
        self.header("content-encoding") == Some("gzip")
    }
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn new(status: u16, body: &str) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// What goes wrong with one request.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// This is said instead, and nothing is done.
    Say(Reply),
    /// It is done, and the connection breaks in the middle of the answer.
    Cut,
    /// Nothing is done, and the server says that it says no more.
    HalfClose,
    /// It is done, and answered so much later.
    Slow(Duration),
    /// The answer is a success, and its body never ends.
    Endless,
}

/// What answers.
pub(crate) trait Service: Send + 'static {
    fn answer(&mut self, request: &Request) -> Reply;
}

/// What two requests would share if they came at once.
struct Shared<S> {
    service: Mutex<S>,
    faults: Mutex<VecDeque<Fault>>,
    requests: Mutex<Vec<Request>>,
    tls: Option<Arc<ServerConfig>>,
    is_over: AtomicBool,
}

pub(crate) struct Double<S> {
    shared: Arc<Shared<S>>,
    address: SocketAddr,
}

impl<S: Service> Double<S> {
    pub(crate) fn start(service: S) -> Self {
        Self::start_over(service, None)
    }

    pub(crate) fn start_tls(service: S, config: ServerConfig) -> Self {
        Self::start_over(service, Some(Arc::new(config)))
    }

    fn start_over(service: S, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            service: Mutex::new(service),
            faults: Mutex::default(),
            requests: Mutex::default(),
            tls,
            is_over: AtomicBool::new(false),
        });
        let theirs = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &theirs));
        Self { shared, address }
    }

    /// Of the server, without a path.
    pub(crate) fn url(&self) -> String {
        let scheme = match self.shared.tls {
            Some(_) => "https",
            None => "http",
        };
        format!("{scheme}://localhost:{}", self.address.port())
    }

    /// What goes wrong with the next requests, one after the other.
    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.faults.lock().unwrap().extend(faults);
    }

    /// From now on nothing goes wrong.
    pub(crate) fn recover(&self) {
        self.shared.faults.lock().unwrap().clear();
    }

    /// Everything that was asked so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut S) -> T) -> T {
        look(&mut self.shared.service.lock().unwrap())
    }
}

impl<S> Drop for Double<S> {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Nobody may be listening any more.
        drop(TcpStream::connect(self.address));
    }
}

fn accept<S: Service>(listener: &TcpListener, shared: &Arc<Shared<S>>) {
    for (connection, stream) in listener.incoming().enumerate() {
        if shared.is_over.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        // A client that goes away in the middle is no fault of the server's.
        thread::spawn(move || drop(serve(stream, connection, &shared)));
    }
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

fn serve<S: Service>(tcp: TcpStream, connection: usize, shared: &Shared<S>) -> io::Result<()> {
    tcp.set_read_timeout(Some(IDLE_MAX))?;
    tcp.set_nodelay(true)?;
    let plain = tcp.try_clone()?;
    let stream: Box<dyn Stream> = match &shared.tls {
        Some(config) => {
            let session = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
            Box::new(StreamOwned::new(session, plain))
        }
        None => Box::new(plain),
    };
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream, connection)? {
        shared.requests.lock().unwrap().push(request.clone());
        let fault = shared.faults.lock().unwrap().pop_front();
        let answer = || shared.service.lock().unwrap().answer(&request);
        let out = stream.get_mut();
        match fault {
            None => write(out, &answer())?,
            Some(Fault::Say(reply)) => write(out, &reply)?,
            Some(Fault::Slow(pause)) => {
                let reply = answer();
                thread::sleep(pause);
                write(out, &reply)?;
            }
            Some(Fault::Cut) => {
                let reply = encode(&answer());
                out.write_all(&reply[..reply.len() - 3])?;
                out.flush()?;
                return tcp.shutdown(Shutdown::Both);
            }
            Some(Fault::HalfClose) => {
                tcp.shutdown(Shutdown::Write)?;
                // Whatever else the client says is read and thrown away.
                io::copy(&mut stream, &mut io::sink())?;
                return Ok(());
            }
            Some(Fault::Endless) => return write_endless(out),
        }
    }
    Ok(())
}

/// `None` when the client has no more.
fn read(stream: &mut impl BufRead, connection: usize) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_ascii_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(io::Error::other("no request line"));
    };
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length");
    let length = length.map_or(Ok(0), |length| length.parse::<usize>());
    let length = length.map_err(io::Error::other)?;
    assert!(length <= BODY_BYTES_MAX, "a body of {length} bytes");
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let mut request = Request {
        method,
        path,
        headers,
        body,
        connection,
    };
    if request.is_gzipped() {
        let mut plain = Vec::new();
        GzDecoder::new(&*request.body).read_to_end(&mut plain)?;
        request.body = plain;
    }
    Ok(Some(request))
}

fn write(out: &mut impl Write, reply: &Reply) -> io::Result<()> {
    out.write_all(&encode(reply))?;
    out.flush()
}

fn encode(reply: &Reply) -> Vec<u8> {
    let Reply {
        status,
        headers,
        body,
    } = reply;
    let length = body.len();
    let mut head = format!("HTTP/1.1 {status} Status\r\nContent-Length: {length}\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    format!("{head}\r\n{body}").into_bytes()
}

fn write_endless(out: &mut impl Write) -> io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {ENDLESS_BYTES}\r\n\r\n");
    out.write_all(head.as_bytes())?;
    let block = [b' '; 4096];
    for _ in 0..ENDLESS_BYTES / block.len() {
        out.write_all(&block)?;
    }
    out.flush()
}

/// Takes everything, and says nothing but the status.
pub(crate) struct Sink(pub(crate) u16);

impl Service for Sink {
    fn answer(&mut self, _: &Request) -> Reply {
        Reply::new(self.0, "")
    }
}

/// The objects in a body, one behind the other; the second is whether it ends in something else.
pub(crate) fn objects(body: &[u8]) -> (Vec<Value>, bool) {
    let mut objects = Vec::new();
    for object in serde_json::Deserializer::from_slice(body).into_iter() {
        match object {
            Ok(object) => objects.push(object),
            Err(_) => return (objects, true),
        }
    }
    (objects, false)
}
