//! Recordings: lines of JSON, through the parser and the replay.

use std::path::Path;

use wallwatch::delivery::encode::Shape;
use wallwatch::formats::Format;
use wallwatch::pipeline::exec::ExecGuid;
use wallwatch::recording::{parse_line, write_line};
use wallwatch::replay::{Options, Show, Summary, replay};

use crate::alerts;

/// `data` is a recording.
pub fn check(data: &[u8]) {
    for line in data.split(|&byte| byte == b'\n') {
        check_line(line);
    }
    replayed(data, Format::Wallwatch);
}

/// What is read, is written so that it is read again as the same.
fn check_line(line: &[u8]) {
    let Ok(mut exec) = parse_line(line) else {
        return;
    };
    // What is written has a guid, whether the line had one or not.
    exec.guid = ExecGuid::Given(exec.guid());
    let written = write_line(&exec).expect("what was read can be written");
    let Some((&b'\n', json)) = written.split_last() else {
        panic!("a line without its end");
    };
    assert!(!json.contains(&b'\n'));
    assert_eq!(
        parse_line(&written).expect("what was written is read"),
        exec
    );
}

/// Replays `data`, and checks every alert line.
pub(crate) fn replayed(data: &[u8], format: Format) -> Summary {
    let mut lines = Vec::new();
    let summary = replay(
        alerts::pipeline(),
        Path::new("recording"),
        data,
        &mut lines,
        Options {
            format: Some(format),
            show: Show::Alerts(Shape::JsonLines),
            dest: None,
        },
    );
    let summary = summary.expect("memory takes every write");
    let mut n = 0;
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        alerts::check_line(line);
        n += 1;
    }
    assert_eq!(n, summary.alert_lines);
    summary
}
