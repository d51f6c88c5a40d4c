//! Several files, the later put over the earlier.

use proptest::prelude::*;

use super::*;

/// A folder with a `wallwatch.toml`, and what stands in `conf.d` beside it.
fn folder(main: &str, drop_ins: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("wallwatch.toml"), main).unwrap();
    fs::create_dir(folder.path().join("conf.d")).unwrap();
    for (name, text) in drop_ins {
        fs::write(folder.path().join("conf.d").join(name), text).unwrap();
    }
    folder
}

fn loaded(folder: &tempfile::TempDir) -> Result<Settings, Problems> {
    load(Some(&folder.path().join("wallwatch.toml")))
}

/// Problems with the paths of the folder left out.
fn problems(folder: &tempfile::TempDir) -> String {
    let problems = loaded(folder).expect_err("nothing wrong").to_string();
    problems.replace(&format!("{}/", folder.path().display()), "")
}

const SINK: &str = "[[sinks]]\nname = \"NAME\"\ntype = \"journald\"\n";
const FILTER: &str = "[[filters]]\nname = \"NAME\"\nowner = \"web\"\nreason = \"r\"\nexpires = \"never\"\n\
                      unit = [\"paneld.service\"]\n";

#[test]
fn later_files_are_put_over_earlier_ones_by_their_names() {
    let folder = folder(
        "[heartbeat]\ninterval_s = 10\n[alerts]\nqueue_lines = 7\n[labels]\nenv = \"test\"\n",
        &[
            ("20-b.toml", "[heartbeat]\ninterval_s = 30\n"),
            (
                "10-a.toml",
                "[heartbeat]\ninterval_s = 20\n[labels]\nteam = \"web\"\nenv = \"live\"\n",
            ),
            (".30-c.toml", "no TOML at all"),
            ("30-c.toml~", "no TOML at all"),
        ],
    );
    let settings = loaded(&folder).unwrap();
    assert_eq!(settings.heartbeat.interval, Some(Duration::from_secs(30)));
    assert_eq!(settings.alerts.queue_lines, 7);
    let labels = settings.labels.iter();
    let labels: Vec<_> = labels
        .map(|(name, text)| format!("{name}={text}"))
        .collect();
    assert_eq!(labels, ["env=live", "team=web"]);
}

#[test]
fn sections_of_a_list_are_added() {
    let folder = folder(
        &SINK.replace("NAME", "one"),
        &[
            ("a.toml", &SINK.replace("NAME", "two")),
            ("b.toml", &FILTER.replace("NAME", "panel")),
            ("c.toml", &FILTER.replace("NAME", "another")),
        ],
    );
    let settings = loaded(&folder).unwrap();
    let names: Vec<_> = settings.sinks.iter().map(|sink| &sink.value.name).collect();
    assert_eq!(names, ["one", "two"]);
    let names = settings.filters.iter().map(|filter| &filter.value.name);
    assert_eq!(names.collect::<Vec<_>>(), ["panel", "another"]);
}

#[test]
fn everything_that_is_wrong_in_any_file_is_told_with_its_file_and_line() {
    let folder = folder(
        &format!("[heartbeat]\ninterval = 1\n{}", SINK.replace("NAME", "one")),
        &[
            ("a.toml", "[alerts]\nqueue_lines = 0\n"),
            ("b.toml", &format!("\n{}", SINK.replace("NAME", "one"))),
            ("c.toml", "[labels\n"),
        ],
    );
    expect![[r#"
        conf.d/a.toml:2: key `alerts.queue_lines`: expected a whole number from 1 to 65536, found 0
        conf.d/b.toml:2: key `sinks`: expected a name that no other sink has, found "one"
        conf.d/c.toml:1: not TOML: unclosed table, expected `]`
        wallwatch.toml:2: key `heartbeat.interval`: unknown, did you mean `interval_s`?"#]]
    .assert_eq(&problems(&folder));
}

#[test]
fn the_bounds_hold_for_all_files_together() {
    let sinks = |numbers: std::ops::Range<u32>| {
        let sections = numbers.map(|number| SINK.replace("NAME", &format!("sink-{number}")));
        sections.collect::<String>()
    };
    let labels = |numbers: std::ops::Range<u32>| {
        let labels = numbers.map(|number| format!("label-{number} = \"x\"\n"));
        format!("[labels]\n{}", labels.collect::<String>())
    };
    let folder = folder(
        &format!("{}{}", labels(0..10), sinks(0..9)),
        &[("a.toml", &format!("{}{}", labels(10..20), sinks(9..18)))],
    );
    expect![[r#"
        conf.d/a.toml:1: key `labels`: expected at most 16 in all files together, found 20
        conf.d/a.toml:12: key `sinks`: expected at most 16 in all files together, found 18"#]]
    .assert_eq(&problems(&folder));
}

#[test]
fn a_directory_that_cannot_be_trusted_or_read_is_refused() {
    let open = folder("", &[("a.toml", "[heartbeat]\ninterval_s = 20\n")]);
    let directory = open.path().join("conf.d");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
    expect!["conf.d: everyone may write it (mode 0777); take that away with `chmod o-w`"]
        .assert_eq(&problems(&open));

    let crowded = folder("", &[]);
    for number in 0..65 {
        fs::write(crowded.path().join(format!("conf.d/{number}.toml")), "").unwrap();
    }
    expect!["conf.d: expected at most 64 files, found more"].assert_eq(&problems(&crowded));

    let odd = folder("", &[]);
    fs::create_dir(odd.path().join("conf.d/a.toml")).unwrap();
    expect!["conf.d/a.toml: expected a regular file, found something else"]
        .assert_eq(&problems(&odd));

    let no_directory = folder("", &[]);
    fs::remove_dir(no_directory.path().join("conf.d")).unwrap();
    fs::write(no_directory.path().join("conf.d"), "").unwrap();
    expect!["conf.d: cannot be read: Not a directory (os error 20)"]
        .assert_eq(&problems(&no_directory));
}

/// What is in force, with the paths of the folder left out.
fn shown(folder: &tempfile::TempDir) -> String {
    let text = effective(Some(&folder.path().join("wallwatch.toml"))).unwrap();
    text.replace(&format!("{}/", folder.path().display()), "")
}

/// Settings without the places of what was written.
fn meaning(settings: &Settings) -> String {
    let mut settings = settings.clone();
    let nowhere = Origin {
        file: name(""),
        line: 0,
        key: String::new(),
    };
    let filters = settings.filters.iter_mut();
    filters.for_each(|filter| filter.origin = nowhere.clone());
    let sinks = settings.sinks.iter_mut();
    sinks.for_each(|sink| sink.origin = nowhere.clone());
    format!("{settings:#?}")
}

#[test]
fn what_is_in_force_is_shown_with_its_place() {
    let folder = folder(
        "[heartbeat]\ninterval_s = 10\n",
        &[
            ("a.toml", "[heartbeat]\ninterval_s = 20\n"),
            (
                "b.toml",
                "[[sinks]]\nname = \"hook\"\ntype = \"http\"\nurl = \"https://a:hush@h/x\"\n\
                 token = \"hush\"\nheaders = [\"X-Key: hush\"]\n",
            ),
        ],
    );
    let text = shown(&folder);
    for line in [
        "# conf.d/a.toml",
        "interval_s = 20 # conf.d/a.toml:2",
        "queue_lines = 1024 # default",
        "[[sinks]] # conf.d/b.toml:1",
        "url = \"https://a:********@h/x\"",
        "token = \"********\"",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}: {text}");
    }
    assert!(!text.contains("hush"), "{text}");
    let is_earlier = |line: &str| line.starts_with("interval_s = 10 ");
    assert!(!text.lines().any(is_earlier), "{text}");
}

#[test]
fn the_keys_of_a_rule_file_are_shown_with_its_lines() {
    let rule = include_str!("../../../rules/linux_iptables_firewall_modification.toml");
    let rule = rule.replace("port_count_min = 3", "port_count_min = 2");
    let folder = folder("", &[("rule.txt", &rule)]);
    let path = folder.path().join("conf.d/rule.txt");
    let section = "[rules.linux_iptables_firewall_modification]";
    let text = format!("{section}\nfile = {path:?}\nwindow_span_s = 60\n");
    fs::write(folder.path().join("wallwatch.toml"), text).unwrap();
    let text = shown(&folder);
    let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap();
    assert!(line("port_count_min = 2 # conf.d/rule.txt:").len() < 60);
    assert_eq!(
        line("window_span_s"),
        "window_span_s = 60 # wallwatch.toml:3"
    );
    assert!(!text.contains("\nprocess ="), "{text}");
    let again = parse(
        name("shown"),
        &text.replace("conf.d/rule.txt\"", &format!("{}\"", path.display())),
    );
    assert_eq!(meaning(&again.unwrap()), meaning(&loaded(&folder).unwrap()));
}

/// Parts of a configuration that may stand in any file, each once in a file.
const PARTS: [&str; 9] = [
    "[heartbeat]\ninterval_s = N\n",
    "[alerts]\nqueue_lines = N\nstdout = true\n",
    "[labels]\nenv = \"N\"\n",
    "[labels]\nteam = \"N\"\n\"quoted\" = 'N'\n",
    "[sensor]\nurgent_names = [\n  \"a\", # why\n  \"b\",\n]\n",
    "[[sinks]]\nname = \"s-N\"\ntype = \"file\"\npath = \"/var/log/s-N\"\n",
    "[[filters]]\nname = \"f-N\"\nowner = \"o\"\nreason = \"r\"\nexpires = 2027-02-28\nunit = [\"u-N\"]\n",
    "[rules]\nlinux_iptables_firewall_modification = { window_span_s = N, ports = [\"N\"], port_count_min = 1 }\n",
    "[tamper]\nenabled = false\n",
];

proptest! {
    // Each case writes and reads some files.
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// What is shown is a configuration that means the same.
    #[test]
    fn what_is_shown_means_what_is_in_force(
        files in prop::collection::vec(prop::sample::subsequence(&PARTS[..], 0..=PARTS.len()), 1..4),
    ) {
        let mut number = 100;
        let texts: Vec<String> = files.iter().map(|parts| {
            let mut text = String::new();
            let mut has_labels = false;
            for part in parts {
                number += 1;
                let is_labels = part.starts_with("[labels]");
                if !(is_labels && has_labels) {
                    text.push_str(&part.replace('N', &number.to_string()));
                }
                has_labels |= is_labels;
            }
            text
        }).collect();
        let names = ["a.toml", "b.toml", "c.toml"];
        let drop_ins: Vec<_> = names.into_iter().zip(texts.iter().skip(1).map(String::as_str)).collect();
        let folder = folder(&texts[0], &drop_ins);
        let again = parse(name("shown"), &shown(&folder)).unwrap();
        prop_assert_eq!(meaning(&again), meaning(&loaded(&folder).unwrap()));
    }
}
