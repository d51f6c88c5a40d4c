//! The parser of iptables command lines against the programs themselves, in a network namespace that is thrown
//! away.
//!
//! What a program accepts must not be called rejected. What it refuses as a wrong parameter (exit status 2,
//! `PARAMETER_PROBLEM` of iptables' `xtables.h`) must be; other refusals are by what the namespace and the
//! kernel have. A rule that was accepted must read like what `-S` prints of it.

mod corpus;
mod generator;

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::thread;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;
use wallwatch::pipeline::firewall::change::{self, Addresses, Negatable, Operation, Rule, Target};
use wallwatch::pipeline::firewall::iptables::{XtablesProgram, parse, parse_restore};

/// Command lines that are made up for each program.
const N_GENERATED: usize = 200;

/// The tables that the command lines name, with their chains.
const TABLES: [(&str, &[&str]); 4] = [
    ("filter", &["INPUT", "FORWARD", "OUTPUT"]),
    ("nat", &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"]),
    (
        "mangle",
        &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
    ),
    ("raw", &["PREROUTING", "OUTPUT"]),
];

/// The first version whose command lines are read as we read them, in every detail that is compared.
const VERSION: [u32; 3] = [1, 8, 10];

/// What earlier versions say when they refuse what later ones take: they read `-ptcp` and `-jDROP` as if the
/// value were the whole word, and know no `CONTINUE`.
const REFUSED_BEFORE: [&str; 4] = [
    "unknown protocol \"-",
    "target `-j",
    "Chain '-j",
    "CONTINUE",
];

/// Why we refuse, as later versions do, what earlier ones take: ranges of ports that end before they begin, chains
/// with the name of a verdict.
const TAKEN_BEFORE: [&str; 2] = ["port does not take", "no name for a chain"];

/// Exit status of iptables for a command line that it cannot make sense of.
const PARAMETER_PROBLEM: i32 = 2;

#[test]
fn the_nft_programs_read_command_lines_as_we_do() {
    in_a_namespace(|| {
        for program in ["iptables-nft", "ip6tables-nft"] {
            compare(program);
            compare_saved(program);
        }
    });
}

#[test]
fn the_legacy_programs_read_command_lines_as_we_do() {
    in_a_namespace(|| {
        for program in ["iptables-legacy", "ip6tables-legacy"] {
            let listing = run(program, &["-S"]);
            if listing.status.success() {
                compare(program);
                compare_saved(program);
            } else {
                let why = String::from_utf8_lossy(&listing.stderr).into_owned();
                eprintln!("NOT COMPARED with {program}: this kernel has no legacy tables: {why}");
            }
        }
    });
}

/// Runs `test` in a thread with a network of its own.
fn in_a_namespace(test: impl FnOnce() + Send + 'static) {
    if !geteuid().is_root() {
        eprintln!("SKIPPED: only root can make a network namespace");
        return;
    }
    let outcome = thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("make a network namespace");
        test();
    })
    .join();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("start {program} (apt-get install iptables): {error}"))
}

/// What was compared.
#[derive(Debug, Default)]
struct Tally {
    accepted: usize,
    refused: usize,
    by_state: usize,
    /// Known to be read otherwise by versions before [`VERSION`].
    by_version: usize,
    rules: usize,
    differences: Vec<String>,
}

fn compare(program: &str) {
    let family = match program.starts_with("ip6") {
        true => generator::Family::Ipv6,
        false => generator::Family::Ipv4,
    };
    let version = version(program);
    let mut tally = Tally::default();
    reset(program);
    let generated = generator::command_lines(family, 0x9e37_79b9 + program.len() as u64);
    for line in corpus::command_lines(family)
        .into_iter()
        .chain(generated.take(N_GENERATED))
    {
        compare_line(program, version < VERSION, &line, &mut tally);
    }
    eprintln!(
        "{program} {version:?}: {} accepted, {} refused, {} refused by state, {} otherwise in this version, \
         {} rules compared",
        tally.accepted, tally.refused, tally.by_state, tally.by_version, tally.rules
    );
    assert!(
        tally.differences.is_empty(),
        "{program} {version:?}: {} differences:\n{}",
        tally.differences.len(),
        tally.differences.join("\n")
    );
    assert!(
        tally.accepted > 80 && tally.refused > 80 && tally.rules > 60,
        "{program}: too little was compared: {tally:?}"
    );
}

/// Of `iptables v1.8.11 (nf_tables)`.
fn version(program: &str) -> [u32; 3] {
    let output = run(program, &["-V"]);
    let text = String::from_utf8_lossy(&output.stdout);
    let number = text
        .split(' ')
        .find_map(|word| word.strip_prefix('v'))
        .unwrap_or_else(|| panic!("no version in {text}"));
    let mut parts = number.split('.').map(|part| part.parse().unwrap_or(0));
    [(); 3].map(|()| parts.next().unwrap_or(0))
}

fn compare_line(program: &str, is_old: bool, line: &[String], tally: &mut Tally) {
    let arguments: Vec<&str> = line.iter().map(String::as_str).collect();
    let bytes: Vec<&[u8]> = arguments.iter().map(|word| word.as_bytes()).collect();
    let identity = XtablesProgram::from_name(program.as_bytes()).expect("a program of the family");
    let ours = parse(identity, &bytes);
    let theirs = run(program, &arguments);
    let said = String::from_utf8_lossy(&theirs.stderr).trim().to_owned();
    let shown = arguments.join(" ");
    match (theirs.status.code(), &ours) {
        (Some(0), change::Command::Rejected { reason })
            if is_old && TAKEN_BEFORE.iter().any(|words| reason.contains(words)) =>
        {
            tally.by_version += 1;
            reset(program);
        }
        (Some(0), change::Command::Rejected { reason }) => {
            tally
                .differences
                .push(format!("{shown}\n    accepted; we: {reason}"));
            reset(program);
        }
        (Some(0), change::Command::Query) => tally.accepted += 1,
        (Some(0), change::Command::Changes(changes)) => {
            tally.accepted += 1;
            if let [change] = changes.as_slice() {
                compare_rule(program, &shown, change, tally);
            }
            reset(program);
        }
        (Some(PARAMETER_PROBLEM), change::Command::Rejected { .. }) => tally.refused += 1,
        (Some(PARAMETER_PROBLEM), _) if needs_a_name_server(&said) => tally.by_state += 1,
        (Some(PARAMETER_PROBLEM), _)
            if is_old && REFUSED_BEFORE.iter().any(|words| said.contains(words)) =>
        {
            tally.by_version += 1;
        }
        (Some(PARAMETER_PROBLEM), _) => tally
            .differences
            .push(format!("{shown}\n    refused ({said}); we: {ours:?}")),
        _ => tally.by_state += 1,
    }
}

/// Whether it is refused because here nobody knows what a name stands for.
fn needs_a_name_server(said: &str) -> bool {
    said.contains("not found") && said.contains("host/network")
}

/// The rule that was added, and what the program prints of it.
fn compare_rule(program: &str, shown: &str, change: &change::FirewallChange, tally: &mut Tally) {
    let Operation::AddRule { rule, .. } = &change.operation else {
        return;
    };
    let text = |name: &Option<Vec<u8>>| String::from_utf8(name.clone().expect("a name")).unwrap();
    let (table, chain) = (text(&change.table), text(&change.chain));
    let printed = run(program, &["-t", &table, "-S", &chain]);
    assert!(printed.status.success(), "{program} -t {table} -S {chain}");
    let listing: String = String::from_utf8_lossy(&printed.stdout)
        .lines()
        .filter(|line| line.starts_with("-A "))
        .map(|line| format!("{line}\n"))
        .collect();
    let identity = XtablesProgram::from_name(program.as_bytes()).expect("a program of the family");
    let saved = format!("*{table}\n{listing}COMMIT\n");
    let restored = parse_restore(identity, false, saved.as_bytes());
    assert_eq!(restored.fault, None, "{shown}: printed as {listing}");
    let mut theirs: Vec<String> = restored
        .changes
        .into_iter()
        .flat_map(|change| {
            let Operation::AddRule { rule, .. } = &change.operation else {
                panic!("{shown}: printed as {change:?}");
            };
            normal_forms(rule)
        })
        .collect();
    let mut ours = normal_forms(rule);
    theirs.sort();
    ours.sort();
    tally.rules += 1;
    if ours != theirs {
        tally.differences.push(format!(
            "{shown}\n    printed {}\n    ours   {ours:?}\n    theirs {theirs:?}",
            listing.trim()
        ));
    }
}

/// A rule with several addresses is several rules for the program; conditions have no order.
fn normal_forms(rule: &Rule) -> Vec<String> {
    let mut forms = Vec::new();
    for sources in one_by_one(&rule.sources) {
        for destinations in one_by_one(&rule.destinations) {
            let mut form = Rule {
                sources: sources.clone(),
                destinations,
                ..rule.clone()
            };
            form.other_matches.sort();
            if let Some(Target::Dnat { to } | Target::Snat { to }) = &mut form.target {
                to.retain(|byte| !matches!(byte, b'[' | b']'));
            }
            forms.push(format!("{form:?}"));
        }
    }
    forms
}

type Side = Option<Negatable<Vec<Addresses>>>;

fn one_by_one(side: &Side) -> Vec<Side> {
    let Some(side) = side else {
        return vec![None];
    };
    let each = side.value.iter().map(|address| Negatable {
        value: vec![address.clone()],
        negated: side.negated,
    });
    each.map(Some).collect()
}

/// A ruleset that takes what the text format has.
const RULESET: &str = "# a comment
*filter
:INPUT DROP [3:180]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT
:OPEN - [0:0]
:INPUTS - [0:0]
[7:420] -A INPUT -p tcp --dpor 636 -m comment --comment \"an \\\"open\\\" \\\\ door\" -j ACCEPT

-A INPUT -i lo -m comment --comment \"\" -j OPEN
-A OPEN -p \"udp\" -m multiport --dports 53,123:124 -g INPUTS
-I INPUT 2 -m conntrack --ctstate NEW -j LOG --log-prefix \"new: \"
COMMIT
*nat
-A POSTROUTING -o eth0 -j MASQUERADE
COMMIT
";

/// What the program saves of a ruleset reads like the ruleset.
fn compare_saved(program: &str) {
    restore(program, RULESET);
    let saved = run(&format!("{program}-save"), &[]);
    assert!(saved.status.success(), "{program}-save: {saved:?}");
    let (written, saved) = (
        rules_of(program, RULESET.as_bytes()),
        rules_of(program, &saved.stdout),
    );
    assert_eq!(written, saved, "{program}");
    assert_eq!(written.len(), 5, "{program}: {written:?}");
}

/// The rules of a text by table and chain, without an order.
fn rules_of(program: &str, text: &[u8]) -> Vec<String> {
    let identity = XtablesProgram::from_name(program.as_bytes()).expect("a program of the family");
    let restored = parse_restore(identity, true, text);
    assert_eq!(restored.fault, None, "{}", String::from_utf8_lossy(text));
    let mut rules: Vec<String> = Vec::new();
    for change in &restored.changes {
        if let Operation::AddRule { rule, .. } = &change.operation {
            let place = (&change.table, &change.chain);
            rules.extend(
                normal_forms(rule)
                    .iter()
                    .map(|form| format!("{place:?} {form}")),
            );
        }
    }
    rules.sort();
    rules
}

/// The tables as every command line finds them: empty, but for a chain `OPEN` in each.
fn reset(program: &str) {
    let mut text = String::new();
    for (table, chains) in TABLES {
        text += &format!("*{table}\n");
        for chain in chains {
            text += &format!(":{chain} ACCEPT\n");
        }
        text += ":OPEN -\nCOMMIT\n";
    }
    restore(program, &text);
}

fn restore(program: &str, text: &str) {
    let restore = format!("{program}-restore");
    let mut child = Command::new(&restore)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("start {restore} (apt-get install iptables): {error}"));
    let mut stdin = child.stdin.take().expect("a pipe was asked for");
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success(), "{restore}: {text}");
}
