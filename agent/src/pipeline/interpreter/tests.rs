use proptest::prelude::*;

use super::*;

/// What the words of `line` claim, when `exe` runs with them.
fn claim(exe: &str, line: &str) -> Option<String> {
    let argv = Argv::from_arguments(line.split(' ').map(str::as_bytes));
    let exe = ExePath::Known(exe.as_bytes().into());
    claimed_script(&exe, &argv).map(|script| String::from_utf8(script.to_vec()).unwrap())
}

#[track_caller]
fn check(cases: &[(&str, &str, Option<&str>)]) {
    for &(exe, line, script) in cases {
        assert_eq!(claim(exe, line).as_deref(), script, "{exe}: {line}");
    }
}

#[test]
fn a_shell_runs_its_first_operand() {
    check(&[
        ("/usr/bin/dash", "sh /tmp/x.sh", Some("/tmp/x.sh")),
        ("/usr/bin/bash", "bash x.sh one two", Some("x.sh")),
        ("/usr/bin/bash", "bash -ex ./x", Some("./x")),
        ("/usr/bin/bash", "bash -eo pipefail ./x", Some("./x")),
        ("/usr/bin/bash", "bash -oe pipefail ./x", Some("./x")),
        ("/usr/bin/bash", "bash +O extglob ./x", Some("./x")),
        ("/usr/bin/bash", "bash --norc --rcfile /r ./x", Some("./x")),
        ("/usr/bin/bash", "bash -- -x", Some("-x")),
        ("/usr/bin/bash", "bash - ./x", Some("./x")),
        ("/usr/bin/zsh", "zsh -oextendedglob ./x", Some("./x")),
        ("/usr/bin/zsh-5.9", "zsh -o extendedglob ./x", None),
        ("/usr/bin/ksh93", "ksh -o emacs ./x", Some("./x")),
    ]);
}

#[test]
fn a_shell_that_runs_a_text_or_its_input_runs_no_file() {
    check(&[
        ("/usr/bin/dash", "sh", None),
        ("/usr/bin/dash", "-sh", None),
        ("/usr/bin/dash", "sh -c ./x", None),
        ("/usr/bin/bash", "bash -ec ./x y", None),
        ("/usr/bin/bash", "bash --norc -c ./x", None),
        ("/usr/bin/bash", "bash -s one", None),
        ("/usr/bin/bash", "bash -o", None),
        ("/usr/bin/bash", "bash --version ./x", None),
    ]);
}

#[test]
fn each_language_has_options_of_its_own() {
    check(&[
        (
            "/usr/bin/python3.11",
            "python3 /opt/x.py",
            Some("/opt/x.py"),
        ),
        (
            "/usr/bin/python3.11",
            "python3 -W ignore -Xdev x.py",
            Some("x.py"),
        ),
        ("/usr/bin/python3.11", "python3 -um http.server", None),
        ("/usr/bin/python3.11", "python3 -c pass x.py", None),
        ("/usr/bin/python3.11", "python3 - x.py", None),
        ("/usr/bin/pypy3", "pypy3 -O x.py", Some("x.py")),
        ("/usr/bin/perl", "perl -w -I lib x.pl", Some("x.pl")),
        ("/usr/bin/perl", "perl -Ilib -Mstrict x.pl", Some("x.pl")),
        ("/usr/bin/perl", "perl -0777 -i.bak x.pl f", Some("x.pl")),
        ("/usr/bin/perl5.36.0", "perl -lne print f", None),
        ("/usr/bin/perl", "perl -CSDne print f", None),
        ("/usr/bin/perl", "perl -0777pe s/a/b/ f", None),
        ("/usr/bin/ruby3.1", "ruby -W0 -r json x.rb", Some("x.rb")),
        ("/usr/bin/ruby3.1", "ruby -e exit x.rb", None),
        ("/usr/bin/node", "node --inspect=0 -r m x.js", Some("x.js")),
        (
            "/usr/bin/node",
            "node --max-old-space-size=9 x.js",
            Some("x.js"),
        ),
        ("/usr/bin/node", "node -pe 1+1 x.js", None),
        ("/usr/bin/php8.2", "php -d a=b x.php", Some("x.php")),
        ("/usr/bin/php8.2", "php -f x.php -- y", Some("x.php")),
        ("/usr/bin/php8.2", "php -- x.php", None),
        (
            "/usr/bin/mawk",
            "awk -F: -f /tmp/x.awk in",
            Some("/tmp/x.awk"),
        ),
        ("/usr/bin/gawk", "awk -v a=b -fx.awk in", Some("x.awk")),
        ("/usr/bin/gawk", "awk --file=x.awk in", Some("x.awk")),
        ("/usr/bin/mawk", "awk {print} /tmp/x.awk", None),
    ]);
}

#[test]
fn an_interpreter_among_others_goes_by_the_name_it_is_called_by() {
    check(&[
        ("/usr/bin/busybox", "busybox sh ./x", Some("./x")),
        ("/usr/bin/busybox", "ash ./x", Some("./x")),
        ("/usr/bin/busybox", "-ash ./x", Some("./x")),
        ("/usr/bin/busybox", "cat ./x", None),
        ("/usr/bin/busybox", "busybox", None),
    ]);
}

#[test]
fn the_executable_decides_and_not_what_it_calls_itself() {
    check(&[
        ("/tmp/x", "bash ./x", None),
        ("/usr/bin/bash", "/tmp/x ./x", Some("./x")),
    ]);
    let argv = Argv::from_arguments([b"sh".as_slice(), b"./x"]);
    let unknown = ExePath::Unknown(crate::pipeline::exec::Unknown::Fault);
    assert_eq!(claimed_script(&unknown, &argv), None);
}

#[test]
fn what_is_not_known_for_certain_is_not_claimed_and_yet_found() {
    check(&[
        ("/usr/bin/python3", "python3 -Z x.py", None),
        ("/usr/bin/node", "node --such-a-thing x.js", None),
    ]);
    let arguments: [&[u8]; 3] = [b"-Z", b"ufw", b"disable"];
    let found = interpreted(b"python3", &arguments).unwrap();
    assert_eq!((found.script, found.sure), (b"ufw".as_slice(), false));
    assert_eq!(found.arguments, [b"disable"]);
}

#[test]
fn a_path_that_cannot_be_opened_is_not_claimed() {
    let long = |bytes: usize| claim("/bin/sh", &format!("sh {}", "x".repeat(bytes)));
    assert!(long(PATH_BYTES_MAX - 1).is_some());
    assert_eq!(long(PATH_BYTES_MAX), None);
    let empty = Argv::from_arguments([b"sh".as_slice(), b""]);
    let sh = ExePath::Known(b"/bin/sh".as_slice().into());
    assert_eq!(claimed_script(&sh, &empty), None);
    // The sensor's last piece ends within the path.
    let cut = Argv {
        bytes: b"sh\0/tmp/x".as_slice().into(),
        bytes_full: 20,
        ..empty
    };
    assert_eq!(claimed_script(&sh, &cut), None);
    let words = |count: usize| claim("/bin/sh", &format!("sh{} x", " -e".repeat(count)));
    assert!(words(WORDS_MAX - 2).is_some());
    assert_eq!(words(WORDS_MAX - 1), None);
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[-+]{0,2}[a-zA-Z0-9=]{0,6}".prop_map(String::into_bytes),
        prop::collection::vec(1u8.., 0..8),
    ]
}

fn interpreter() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "sh", "bash", "zsh", "python3", "perl", "ruby", "node", "php", "mawk", "busybox",
    ])
}

proptest! {
    /// Whatever stands there: what is claimed is a piece of one word behind the first.
    #[test]
    fn what_is_claimed_stands_on_the_command_line(
        name in interpreter(),
        words in prop::collection::vec(word(), 0..12),
        cut in 0usize..40,
    ) {
        let mut argv = Argv::from_arguments(words.iter().map(Vec::as_slice));
        argv.bytes = argv.bytes[..argv.bytes.len().saturating_sub(cut)].into();
        let exe = ExePath::Known(format!("/bin/{name}").into_bytes().into());
        if let Some(script) = claimed_script(&exe, &argv) {
            prop_assert!(!script.is_empty());
            prop_assert!(words[1..].iter().any(|word| word.ends_with(script)));
        }
    }

    /// Flags in front of a shell's operand change nothing.
    #[test]
    fn flags_do_not_hide_the_script(flags in prop::collection::vec("[-+][aefhmuvx]{1,3}", 0..8)) {
        let line = [vec!["bash".to_owned()], flags, vec!["/x".to_owned()]].concat().join(" ");
        prop_assert_eq!(claim("/bin/bash", &line), Some("/x".to_owned()));
    }
}
