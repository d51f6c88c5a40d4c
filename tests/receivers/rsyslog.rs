//! rsyslog.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use wallwatch::config::{Format, SyslogTransport};
use wallwatch::delivery::sink::Sink;

use super::daemon::{Daemon, Server};
use super::{
    Read, all_in_order, check_network, deliver_all, held, numbered, records, sink, tcp, tls,
};
use crate::certificates::Authority;

const SERVER: Server = Server {
    name: "rsyslog",
    port_as: |port| format!("port=\"{port}\""),
    command,
    read,
    sockets: &[],
};

fn command(unpacked: &Path, folder: &Path) -> Command {
    let modules = format!("usr/lib/{}-linux-gnu/rsyslog", std::env::consts::ARCH);
    let mut command = Command::new(unpacked.join("usr/sbin/rsyslogd"));
    command.args(["-n", "-f"]).arg(folder.join("config"));
    command.arg("-i").arg(folder.join("pid"));
    command.arg("-M").arg(unpacked.join(modules));
    command
}

fn read(line: &Value) -> Read {
    let text = |name: &str| line[name].as_str().unwrap().to_owned();
    Read {
        priority: text("pri").parse().unwrap(),
        timestamp: text("timestamp").replace("+00:00", "Z"),
        hostname: text("hostname"),
        app: text("app"),
        process: text("process"),
        msgid: text("msgid"),
        sd: serde_json::from_str::<Value>(&text("sd")).unwrap()["wallwatch@32473"].clone(),
        message: text("message"),
    }
}

fn seqs(daemon: &Daemon) -> Vec<u64> {
    let number = |line: &Value| read(line).sd["seq"].as_str().unwrap().parse().unwrap();
    daemon.events().iter().map(number).collect()
}

#[test]
fn rsyslog_reads_over_each_transport_what_was_sent() {
    let Some(daemon) = Daemon::start(&SERVER, "rsyslog_reads_over_each_transport_what_was_sent")
    else {
        return;
    };
    check_network(&daemon, &[Format::Native, Format::Ecs]);
}

#[test]
fn rsyslog_started_anew_in_the_middle_gets_every_event() {
    let Some(mut daemon) = Daemon::start(
        &SERVER,
        "rsyslog_started_anew_in_the_middle_gets_every_event",
    ) else {
        return;
    };
    const COUNT: u64 = 3000;
    let mut sink = sink(tcp(daemon.ports.tcp), Format::Native);
    let sender = thread::spawn(move || deliver_all(&mut sink, &numbered(COUNT), 20));
    for events in [200, 1500] {
        daemon.wait_for_events(events);
        daemon.stop(Signal::SIGTERM);
        thread::sleep(Duration::from_millis(300));
        daemon.start_again();
    }
    let troubles = sender.join().unwrap();
    assert!(!troubles.is_empty(), "nobody was stopped");
    daemon.wait_for_events(COUNT as usize);
    daemon.stop(Signal::SIGTERM);
    all_in_order(&seqs(&daemon), COUNT);
}

#[test]
fn rsyslog_that_was_killed_is_connected_to_again() {
    let Some(mut daemon) = Daemon::start(&SERVER, "rsyslog_that_was_killed_is_connected_to_again")
    else {
        return;
    };
    let trust = daemon.authority.trusted_by_client();
    let records = numbered(60);
    let mut sinks = [
        sink(tcp(daemon.ports.tcp), Format::Native),
        sink(tls(daemon.ports.tls, trust), Format::Native),
    ];
    for (round, part) in records.chunks(20).enumerate() {
        for sink in &mut sinks {
            // The connection of the round before is dead, and that is no trouble.
            assert_eq!(deliver_all(sink, part, 20), []);
        }
        daemon.wait_for_events((round + 1) * 40);
        daemon.stop(Signal::SIGKILL);
        let gone = sinks[0].deliver(&records[..1]);
        assert_eq!(gone.delivered, 0);
        assert!(
            super::retried(&gone).contains("Connection refused"),
            "{gone:?}"
        );
        daemon.start_again();
    }
    let mut seqs = seqs(&daemon);
    seqs.sort_unstable();
    seqs.dedup();
    all_in_order(&seqs, 60);
}

#[test]
fn rsyslog_refuses_a_wrong_certificate_and_nothing_counts_as_delivered() {
    let Some(daemon) = Daemon::start(
        &SERVER,
        "rsyslog_refuses_a_wrong_certificate_and_nothing_counts_as_delivered",
    ) else {
        return;
    };
    let records = records();
    let other = Authority::new("another authority", &daemon.path("other"));
    let stranger = other.certify("client", "gateway");
    let mut sink = sink(
        tls(
            daemon.ports.tls,
            daemon.authority.trusted_by(Some(stranger.clone())),
        ),
        Format::Native,
    );
    for _ in 0..2 {
        let refused = sink.deliver(&records);
        let why = held(&refused);
        assert!(why.contains("TLS: received fatal alert: "), "{why}");
        assert_eq!(sink.answer(), None);
    }
    assert_eq!(daemon.events().len(), 0);
    // The right ones are put in their place.
    let right = daemon.authority.certify("client", "gateway");
    std::fs::copy(right.certificate_file, stranger.certificate_file).unwrap();
    std::fs::copy(right.key_file, stranger.key_file).unwrap();
    sink.reload();
    assert_eq!(sink.deliver(&records).trouble, None);
    daemon.wait_for_events(records.len());

    let without = tls(daemon.ports.tls, daemon.authority.trusted_by(None));
    let refused = super::sink(without, Format::Native).deliver(&records);
    let why = held(&refused);
    assert!(why.contains("TLS: received fatal alert: "), "{why}");
    let wrong_name = SyslogTransport::Tls {
        address: super::local(daemon.ports.tls),
        tls: daemon.authority.trusted_by(None),
        server_name: Some("siem.example.net".to_owned()),
    };
    let refused = super::sink(wrong_name, Format::Native).deliver(&records);
    assert!(
        held(&refused).contains("not valid for name \"siem.example.net\""),
        "{refused:?}"
    );
    // This one is not trusted itself.
    let distrusting = tls(daemon.ports.tls, other.trusted_by(None));
    let refused = super::sink(distrusting, Format::Native).deliver(&records);
    assert!(
        held(&refused).contains("invalid peer certificate: UnknownIssuer"),
        "{refused:?}"
    );
    assert_eq!(daemon.events().len(), records.len());
}
