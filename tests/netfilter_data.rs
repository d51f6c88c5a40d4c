//! Commands, the datagrams that the kernel sent about each, and the changes that they mean.
//!
//! ```text
//! $ COMMAND
//! < a datagram in hexadecimal
//! = a change, as `show_change.rs` writes it
//! ```

/// One command with what it led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) command: String,
    pub(crate) datagrams: Vec<Vec<u8>>,
    pub(crate) changes: Vec<String>,
}

/// Panics at a line that is none of the three, and at one before the first command.
pub(crate) fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(command) = line.strip_prefix("$ ") {
            cases.push(Case {
                command: command.to_owned(),
                ..Case::default()
            });
            continue;
        }
        let case = cases.last_mut().expect("a command comes first");
        match line.split_at(2) {
            ("< ", digits) => case.datagrams.push(bytes(digits)),
            ("= ", change) => case.changes.push(change.to_owned()),
            _ => panic!("what is this line: {line}"),
        }
    }
    cases
}

fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("digits");
            u8::from_str_radix(pair, 16).expect("two digits for each byte")
        })
        .collect()
}
