//! syslog-ng.

use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;
use wallwatch::config::Format;
use wallwatch::delivery::sink::Sink;

use super::daemon::{Daemon, Server};
use super::{
    Read, check, check_network, check_transport, deliver_all, held, records, sink, tls, unix,
};
use crate::certificates::Authority;

const SERVER: Server = Server {
    name: "syslog-ng",
    port_as: |port| format!("port({port})"),
    command,
    read,
    sockets: &["datagram", "stream"],
};

fn command(unpacked: &Path, folder: &Path) -> Command {
    let library = unpacked.join("usr/lib/syslog-ng");
    let mut versions = std::fs::read_dir(&library)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let modules = versions
        .find(|path| path.join("libafsocket.so").exists())
        .unwrap();
    let mut command = Command::new(unpacked.join("usr/sbin/syslog-ng"));
    command
        .args(["-F", "--no-caps", "-f"])
        .arg(folder.join("config"));
    for (option, name) in [
        ("--persist-file", "persist"),
        ("--control", "control"),
        ("--pidfile", "pid"),
    ] {
        command.arg(option).arg(folder.join(name));
    }
    command.arg(format!("--module-path={}", modules.display()));
    command
}

fn read(line: &Value) -> Read {
    let text = |name: &str| line[name].as_str().unwrap().to_owned();
    let facility = ["authpriv", "10"];
    assert!(
        facility.contains(&line["FACILITY"].as_str().unwrap()),
        "{line}"
    );
    let severities = ["emerg", "alert", "crit", "err", "warning", "notice", "info"];
    let severity = severities.iter().position(|word| *word == line["PRIORITY"]);
    Read {
        priority: 80 + severity.unwrap() as u64,
        timestamp: text("S_ISODATE").replace("+00:00", "Z"),
        hostname: text("HOST"),
        app: text("PROGRAM"),
        process: text("PID"),
        msgid: text("MSGID"),
        sd: line["_SDATA"]["wallwatch@32473"].clone(),
        message: text("MESSAGE"),
    }
}

#[test]
fn syslog_ng_reads_over_each_transport_what_was_sent() {
    let Some(daemon) = Daemon::start(&SERVER, "syslog_ng_reads_over_each_transport_what_was_sent")
    else {
        return;
    };
    check_network(&daemon, &[Format::Native]);
    for (socket, answer) in [
        ("datagram", "read everything within"),
        ("stream", "confirmed by the peer within"),
    ] {
        let transport = unix(daemon.path(socket));
        check_transport(&daemon, transport, &[Format::Native], answer);
    }
}

#[test]
fn a_local_socket_that_is_made_anew_is_found_again() {
    let Some(mut daemon) =
        Daemon::start(&SERVER, "a_local_socket_that_is_made_anew_is_found_again")
    else {
        return;
    };
    let records = records();
    for name in ["datagram", "stream"] {
        let before = daemon.events().len();
        let mut sink = sink(unix(daemon.path(name)), Format::Native);
        assert_eq!(deliver_all(&mut sink, &records[..3], 3), []);
        daemon.wait_for_events(before + 3);
        daemon.stop(Signal::SIGKILL);
        let gone = sink.deliver(&records[3..]);
        assert_eq!(gone.delivered, 0);
        assert!(
            super::retried(&gone).contains("Connection refused"),
            "{gone:?}"
        );
        daemon.start_again();
        assert_eq!(deliver_all(&mut sink, &records[3..], 100), []);
        let events = daemon.wait_for_events(before + records.len());
        check(
            events[before..].iter().map(read).collect(),
            &records,
            Format::Native,
        );
    }
}

#[test]
fn syslog_ng_refuses_a_wrong_certificate_and_nothing_counts_as_delivered() {
    let Some(daemon) = Daemon::start(
        &SERVER,
        "syslog_ng_refuses_a_wrong_certificate_and_nothing_counts_as_delivered",
    ) else {
        return;
    };
    let records = records();
    let other = Authority::new("another authority", &daemon.path("other"));
    let strangers = [None, Some(other.certify("client", "gateway"))];
    for stranger in strangers {
        let trust = daemon.authority.trusted_by(stranger);
        let mut sink = sink(tls(daemon.ports.tls, trust), Format::Native);
        let refused = sink.deliver(&records);
        let why = held(&refused);
        assert!(why.contains("TLS: received fatal alert: "), "{why}");
    }
    assert_eq!(daemon.events().len(), 0);
}
