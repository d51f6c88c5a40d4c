//! The parser of nft's language beside nft itself, in network namespaces of their own.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;

use wallwatch::pipeline::firewall::change::{
    Addresses, Command, Negatable, Operation, Ports, Rule,
};
use wallwatch::pipeline::firewall::nft;

use crate::harness;

mod corpus;
mod generator;

use generator::Generator;

/// What nft itself says of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judgement {
    Taken,
    /// It does not read like nft's language.
    Syntax,
    /// It reads well, and nft or the kernel refuses it for another reason.
    Refused,
}

/// The tables, chains and sets that the commands name.
const SETTING: &str = r#"
    for family in ip ip6 inet bridge; do
        nft "add table $family t; add chain $family t c; add chain $family t d"
    done
    nft "add set inet t ports { type inet_service; flags interval; }"
    nft "add set inet t hosts { type ipv4_addr; flags interval,timeout; }"
    nft "add map inet t verdicts { type inet_service : verdict; }"
    nft "add rule inet t c counter"
    ip link set lo up
"#;

const NO_SEPARATOR: &str =
    "nftables 1.0.6 wants a separator before a closing brace; to take it without misses nothing";

/// Commands for which this nft and the parser differ, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    (
        "destroy ",
        "nftables 1.0.7 brought it; older ones take the word for a table",
    ),
    ("reset rules", "nftables 1.0.9 brought it"),
    (
        "queue to oif",
        "which expressions a queue can be computed from is not followed",
    ),
    ("priority 0; policy accept }", NO_SEPARATOR),
    ("{ flags dormant }", NO_SEPARATOR),
];

fn is_exception(line: &str) -> bool {
    EXCEPTIONS.iter().any(|(text, _)| line.contains(text))
}

/// Whether nft can be asked. As root it must be there.
fn can_run(test: &str) -> bool {
    if harness::in_guest() {
        eprintln!("{test}: SKIPPED: a guest has no nft");
        return false;
    }
    if !nix::unistd::geteuid().is_root() {
        eprintln!("{test}: SKIPPED: needs root");
        return false;
    }
    let version = std::process::Command::new("nft").arg("--version").output();
    version.expect("nft (apt-get install nftables) is needed as root");
    true
}

/// Asks nft about each line, without making the change.
fn judge(lines: &[String]) -> Vec<Judgement> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lines");
    fs::write(&file, lines.join("\n") + "\n").unwrap();
    let script = format!(
        r#"{SETTING}
        while IFS= read -r line; do
            if said=$(nft -c "$line" 2>&1); then echo taken
            else case "$said" in *"syntax error"*) echo syntax ;; *) echo refused ;; esac
            fi
        done < "$1""#
    );
    let output = harness::in_namespaces(&script, &[file.as_os_str()]);
    let judgements: Vec<_> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| match line {
            "taken" => Judgement::Taken,
            "syntax" => Judgement::Syntax,
            _ => Judgement::Refused,
        })
        .collect();
    assert_eq!(judgements.len(), lines.len());
    judgements
}

/// Where the parser says yes to what nft does not read, or no to what it takes.
fn differences(lines: &[String], judgements: &[Judgement]) -> String {
    let mut differences = String::new();
    for (line, judgement) in lines.iter().zip(judgements) {
        let command = nft::parse(&[line.as_bytes()]);
        let is_rejected = matches!(command, Command::Rejected { .. });
        let differs = match judgement {
            Judgement::Taken => is_rejected,
            Judgement::Syntax => !is_rejected,
            Judgement::Refused => false,
        };
        if differs && !is_exception(line) {
            writeln!(differences, "{judgement:?}: {line}\n    {command:?}").unwrap();
        }
    }
    differences
}

fn count(judgements: &[Judgement], wanted: Judgement) -> usize {
    judgements
        .iter()
        .filter(|&&judgement| judgement == wanted)
        .count()
}

#[test]
fn what_nft_takes_is_understood_and_what_it_does_not_read_is_rejected() {
    if !can_run("nft_differential") {
        return;
    }
    let mut generator = Generator::new(0x6e66_7430);
    let mut lines: Vec<String> = corpus::LINES.iter().map(|&line| line.to_owned()).collect();
    lines.extend((0..300).map(|_| generator.command()));
    lines.extend((0..300).map(|_| generator.spoiled_command()));
    let judgements = judge(&lines);
    let (taken, syntax) = (
        count(&judgements, Judgement::Taken),
        count(&judgements, Judgement::Syntax),
    );
    eprintln!(
        "nft takes {taken} of {} and cannot read {syntax}",
        lines.len()
    );
    assert!(
        taken > 250 && syntax > 100,
        "{taken} taken, {syntax} not read"
    );
    let differences = differences(&lines, &judgements);
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn a_rule_is_the_same_when_nft_prints_it_back() {
    if !can_run("nft_differential") {
        return;
    }
    for option in ["", "-n"] {
        compare_with_printed(option);
    }
}

/// `option` says how nft prints: `-n` for numbers instead of names.
fn compare_with_printed(option: &str) {
    let mut generator = Generator::new(0x6e66_7431);
    let bodies: Vec<String> = (0..250).map(|_| generator.rule()).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules");
    fs::write(&file, bodies.join("\n") + "\n").unwrap();
    let script = format!(
        r#"{SETTING}
        number=0
        while IFS= read -r rule; do
            nft "add chain inet t n$number; add rule inet t n$number $rule" 2> /dev/null || true
            number=$((number + 1))
        done < "$1"
        nft {option} list ruleset inet"#
    );
    let output = harness::in_namespaces(&script, &[OsStr::new(&file)]);
    let printed = rules(&output.stdout);
    assert!(printed.len() > 150, "nft took {} rules", printed.len());
    let mut differences = String::new();
    for (number, body) in bodies.iter().enumerate() {
        let Some(back) = printed.get(&format!("n{number}")) else {
            continue;
        };
        let asked = rules(format!("add rule inet t asked {body}").as_bytes());
        let asked = asked
            .get("asked")
            .unwrap_or_else(|| panic!("rejected: {body}"));
        if asked != back {
            writeln!(differences, "{body}\n    {asked:?}\n    {back:?}").unwrap();
        }
    }
    eprintln!("{} rules came back as they were", printed.len());
    assert!(differences.is_empty(), "{differences}");
}

/// The rule of each chain, in one form whatever way it was written.
fn rules(text: &[u8]) -> BTreeMap<String, Rule> {
    let command = nft::parse_text(text);
    let Command::Changes(changes) = command else {
        panic!("{command:?}: {}", String::from_utf8_lossy(text));
    };
    let mut rules = BTreeMap::new();
    for change in changes {
        let chain = change.chain.unwrap_or_default();
        if let Operation::AddRule { rule, .. } = change.operation {
            rules.insert(String::from_utf8(chain).unwrap(), in_one_form(*rule));
        }
    }
    rules
}

/// nft sorts what has no order, and writes some conditions in another way: of those only the number is compared.
fn in_one_form(mut rule: Rule) -> Rule {
    if let Some(states) = &mut rule.states {
        states.value.sort();
    }
    for ports in [
        &mut rule.source_ports,
        &mut rule.destination_ports,
        &mut rule.either_ports,
    ] {
        merge(ports);
    }
    for addresses in [&mut rule.sources, &mut rule.destinations] {
        sort(addresses);
    }
    for condition in &mut rule.other_matches {
        condition.clear();
    }
    rule
}

fn merge(ports: &mut Option<Negatable<Ports>>) {
    let Some(Negatable {
        value: Ports::Ranges(ranges),
        ..
    }) = ports
    else {
        return;
    };
    ranges.sort_by_key(|range| (*range.start(), *range.end()));
    ranges.dedup_by(|next, held| {
        let touches = u32::from(*next.start()) <= u32::from(*held.end()) + 1;
        if touches {
            *held = *held.start()..=*held.end().max(next.end());
        }
        touches
    });
}

fn sort(addresses: &mut Option<Negatable<Vec<Addresses>>>) {
    if let Some(addresses) = addresses {
        addresses
            .value
            .sort_by_key(|addresses| format!("{addresses:?}"));
        addresses.value.dedup();
    }
}
