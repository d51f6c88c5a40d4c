//! A receiver that reads slowly, ends when it likes and never says why.

use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use serde_json::Value;
use wallwatch::config::Format;
use wallwatch::delivery::sink::{Record, Sink};

use super::{all_in_order, deliver_all, numbered, records, retried, sink, sink_with, tcp};

/// What one connection does before it ends.
#[derive(Clone, Copy)]
enum Manner {
    /// Reads so many bytes and closes: what is there and unread is lost, as with a daemon that was killed.
    Leaves { after_bytes: usize },
    /// Reads everything, so many bytes at once with a pause behind.
    Slow { bytes: usize, pause: Duration },
}

const READS_ALL: Manner = Manner::Slow {
    bytes: 1 << 16,
    pause: Duration::ZERO,
};

/// Behaves on each connection as the next of `manners` says; gives the messages that were read whole.
struct Unruly {
    port: u16,
    server: JoinHandle<Vec<u64>>,
}

impl Unruly {
    fn start(manners: Vec<Manner>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serve = move || {
            let mut seqs = Vec::new();
            for manner in manners {
                // A small window makes a slow reader felt at once; connections inherit it.
                setsockopt(&listener, sockopt::RcvBuf, &4096).unwrap();
                let (connection, _) = listener.accept().unwrap();
                seqs.extend(whole_messages(&read(connection, manner)));
            }
            seqs
        };
        Self {
            port,
            server: thread::spawn(serve),
        }
    }
}

fn read(mut connection: TcpStream, manner: Manner) -> Vec<u8> {
    let mut read = Vec::new();
    let (step, pause, bytes_max) = match manner {
        Manner::Leaves { after_bytes } => (after_bytes, Duration::ZERO, after_bytes),
        Manner::Slow { bytes, pause } => (bytes, pause, usize::MAX),
    };
    let mut bytes = vec![0; step];
    while read.len() < bytes_max {
        let part = step.min(bytes_max - read.len());
        match connection.read(&mut bytes[..part]) {
            Ok(0) => break,
            Ok(count) => read.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error}"),
        }
        thread::sleep(pause);
    }
    if let Manner::Leaves { .. } = manner {
        // What makes the end a reset: something is there that was not read.
        connection.peek(&mut [0]).unwrap();
    }
    read
}

/// The numbers of the messages, by octet counting; the last one may be cut.
fn whole_messages(mut bytes: &[u8]) -> Vec<u64> {
    let mut seqs = Vec::new();
    while let Some(space) = bytes.iter().position(|&byte| byte == b' ') {
        let length: usize = std::str::from_utf8(&bytes[..space])
            .unwrap()
            .parse()
            .unwrap();
        let Some(message) = bytes[space + 1..].get(..length) else {
            break;
        };
        let message = std::str::from_utf8(message).unwrap();
        assert!(
            message.starts_with("<85>1 - gateway wallwatch "),
            "{message}"
        );
        let (_, body) = message.split_once("] ").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        seqs.push(body["seq"].as_u64().unwrap());
        bytes = &bytes[space + 1 + length..];
    }
    seqs
}

#[test]
fn a_connection_that_is_cut_within_a_message_loses_none() {
    const COUNT: u64 = 400;
    let cuts = [100, 2_000, 33_333, 70_001];
    let mut manners: Vec<Manner> = cuts
        .into_iter()
        .map(|after_bytes| Manner::Leaves { after_bytes })
        .collect();
    manners.push(READS_ALL);
    let unruly = Unruly::start(manners);
    let mut sink = sink(tcp(unruly.port), Format::Native);
    let troubles = deliver_all(&mut sink, &numbered(COUNT), 64);
    drop(sink);
    assert!(troubles.len() >= 3, "{troubles:?}");
    all_in_order(&unruly.server.join().unwrap(), COUNT);
}

#[test]
fn what_a_receiver_left_unread_is_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut sink = sink(tcp(port), Format::Native);
    let records = numbered(6);
    // Its kernel has them, and that is what counts.
    assert_eq!(deliver_all(&mut sink, &records[..2], 2), []);
    assert_eq!(deliver_all(&mut sink, &records[2..4], 2), []);
    let (connection, _) = listener.accept().unwrap();
    read(connection, Manner::Leaves { after_bytes: 10 });

    let server = thread::spawn(move || {
        let (connection, _) = listener.accept().unwrap();
        whole_messages(&read(connection, READS_ALL))
    });
    assert_eq!(deliver_all(&mut sink, &records[4..], 2), []);
    drop(sink);
    assert_eq!(server.join().unwrap(), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_receiver_that_refuses_after_a_moment_has_got_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let (connection, _) = listener.accept().unwrap();
        // By now its kernel has everything.
        thread::sleep(Duration::from_millis(200));
        drop(connection);
    });
    let mut sink = sink(tcp(port), Format::Native);
    let delivery = sink.deliver(&numbered(2));
    assert_eq!(delivery.delivered, 0);
    assert!(retried(&delivery).contains("reset by peer"), "{delivery:?}");
    server.join().unwrap();
}

#[test]
fn a_slow_receiver_gets_everything() {
    const COUNT: u64 = 120;
    let unruly = Unruly::start(vec![Manner::Slow {
        bytes: 512,
        pause: Duration::from_millis(2),
    }]);
    let mut sink = sink(tcp(unruly.port), Format::Native);
    assert_eq!(deliver_all(&mut sink, &numbered(COUNT), 64), []);
    drop(sink);
    let seqs = unruly.server.join().unwrap();
    assert_eq!(seqs, (1..=COUNT).collect::<Vec<_>>());
}

#[test]
fn a_receiver_that_reads_nothing_is_given_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    setsockopt(&listener, sockopt::RcvBuf, &4096).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut sink = sink_with(tcp(port), Format::Native, Duration::from_secs(1));
    let large: Vec<Record> = numbered(400);
    let delivery = sink.deliver(&large);
    assert_eq!(delivery.delivered, 0);
    let why = retried(&delivery);
    assert!(
        why.contains("took nothing for 1s") || why.contains("timed out"),
        "{why}"
    );
    assert_eq!(sink.answer(), None);
}

#[test]
fn over_udp_nothing_is_promised_but_where_nobody_listens_it_waits() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    drop(socket);
    let records = records();
    let mut sink = sink(super::udp(port), Format::Native);
    let delivery = sink.deliver(&records);
    assert_eq!(delivery.delivered, 0);
    assert!(
        retried(&delivery).contains("Connection refused"),
        "{delivery:?}"
    );
}
