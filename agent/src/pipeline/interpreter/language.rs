//! The options of interpreters, as far as they bear on which file is run: those of `dash(1)`, `bash(1)`,
//! `zshoptions(1)`, `ksh93(1)`, `python3(1)`, `perlrun(1)`, `ruby(1)`, `node(1)`, `php(1)`, `mawk(1)` and `gawk(1)`.

use super::Interpreted;

/// What an option means for the words that follow.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meaning {
    Flag,
    /// Its value is the rest of the word, or else the next one.
    Value,
    /// Its value is the next word, though letters may follow in this one.
    NextWord,
    /// Its value, if it has one, is the rest of the word.
    RestOfWord,
    /// As many of these bytes as follow are its value.
    Among(&'static [u8]),
    /// No file is run that the command line names.
    NoFile,
    /// Its value is the script.
    File,
    Unknown,
}

/// How a family of interpreters reads its command line.
pub(super) struct Language {
    /// Names of the executables, without a version.
    names: &'static [&'static [u8]],
    pub(super) letter: fn(u8) -> Meaning,
    /// Behind two dashes; the empty name stands for the two dashes alone, where these do more than end the options.
    long: &'static [(&'static [u8], Meaning)],
    /// The first operand is the script; otherwise it is a program's text.
    runs_operand: bool,
    /// A dash alone ends the options, and a plus begins one like a dash.
    pub(super) is_shell: bool,
}

impl Language {
    pub(super) fn of(name: &[u8]) -> Option<&'static Self> {
        let end = name
            .iter()
            .rposition(|byte| !byte.is_ascii_digit() && *byte != b'.')
            .map_or(0, |last| last + 1);
        let unversioned = name.get(..end)?;
        LANGUAGES
            .iter()
            .find(|language| language.names.contains(&unversioned))
    }

    pub(super) fn long(&self, name: &[u8]) -> Option<Meaning> {
        let mut known = self.long.iter();
        known
            .find(|(long, _)| *long == name)
            .map(|(_, meaning)| *meaning)
    }

    /// The first of these words is an operand.
    pub(super) fn operand<'s, 'a>(
        &self,
        words: &'s [&'a [u8]],
        sure: bool,
    ) -> Option<Interpreted<'s, 'a>> {
        let (script, arguments) = words.split_first()?;
        self.runs_operand.then_some(Interpreted {
            script,
            arguments,
            sure,
        })
    }
}

const SHELL: Language = Language {
    names: &[b"sh", b"dash", b"bash", b"rbash", b"ash"],
    letter: shell,
    long: SHELL_LONG,
    runs_operand: true,
    is_shell: true,
};

const LANGUAGES: &[Language] = &[
    SHELL,
    Language {
        names: &[b"zsh", b"ksh", b"mksh", b"lksh", b"rksh"],
        letter: zsh,
        ..SHELL
    },
    Language {
        names: &[b"python", b"pypy"],
        letter: python,
        long: &[
            (b"check-hash-based-pycs", Meaning::Value),
            (b"help", Meaning::NoFile),
            (b"help-all", Meaning::NoFile),
            (b"help-env", Meaning::NoFile),
            (b"help-xoptions", Meaning::NoFile),
            (b"version", Meaning::NoFile),
        ],
        runs_operand: true,
        is_shell: false,
    },
    Language {
        names: &[b"perl"],
        letter: perl,
        long: &[],
        runs_operand: true,
        is_shell: false,
    },
    Language {
        names: &[b"ruby"],
        letter: ruby,
        long: RUBY_LONG,
        runs_operand: true,
        is_shell: false,
    },
    Language {
        names: &[b"node", b"nodejs"],
        letter: node,
        long: NODE_LONG,
        runs_operand: true,
        is_shell: false,
    },
    Language {
        names: &[b"php", b"php-cli"],
        letter: php,
        // What stands behind is for the script, which is standard input.
        long: &[(b"", Meaning::NoFile)],
        runs_operand: true,
        is_shell: false,
    },
    Language {
        names: &[b"awk", b"mawk", b"gawk", b"nawk", b"original-awk"],
        letter: awk,
        long: AWK_LONG,
        runs_operand: false,
        is_shell: false,
    },
];

fn shell(letter: u8) -> Meaning {
    match letter {
        b'c' | b's' => Meaning::NoFile,
        b'o' | b'O' => Meaning::NextWord,
        letter if letter.is_ascii_alphabetic() => Meaning::Flag,
        _ => Meaning::Unknown,
    }
}

fn zsh(letter: u8) -> Meaning {
    match letter {
        b'o' => Meaning::Value,
        letter if letter.is_ascii_digit() => Meaning::Flag,
        letter => shell(letter),
    }
}

const SHELL_LONG: &[(&[u8], Meaning)] = &[
    (b"rcfile", Meaning::NextWord),
    (b"init-file", Meaning::NextWord),
    (b"help", Meaning::NoFile),
    (b"version", Meaning::NoFile),
    (b"debug", Meaning::Flag),
    (b"debugger", Meaning::Flag),
    (b"dump-po-strings", Meaning::NoFile),
    (b"dump-strings", Meaning::NoFile),
    (b"emulate", Meaning::NextWord),
    (b"login", Meaning::Flag),
    (b"noediting", Meaning::Flag),
    (b"noprofile", Meaning::Flag),
    (b"norc", Meaning::Flag),
    (b"posix", Meaning::Flag),
    (b"pretty-print", Meaning::NoFile),
    (b"restricted", Meaning::Flag),
    (b"verbose", Meaning::Flag),
];

fn python(letter: u8) -> Meaning {
    match letter {
        // A module is found by its name, wherever that leads.
        b'c' | b'm' | b'h' | b'V' | b'?' => Meaning::NoFile,
        b'W' | b'X' | b'Q' => Meaning::Value,
        b'b' | b'B' | b'd' | b'E' | b'i' | b'I' | b'O' | b'P' | b'q' | b'R' | b's' | b'S'
        | b't' | b'u' | b'v' | b'x' | b'3' => Meaning::Flag,
        _ => Meaning::Unknown,
    }
}

const OCTAL: &[u8] = b"01234567";

fn perl(letter: u8) -> Meaning {
    match letter {
        b'e' | b'E' | b'h' | b'v' | b'V' | b'c' => Meaning::NoFile,
        b'0' | b'l' => Meaning::Among(OCTAL),
        b'C' => Meaning::Among(b"IOEioADSLa0123456789"),
        b'I' => Meaning::Value,
        b'D' | b'F' | b'i' | b'm' | b'M' | b'x' => Meaning::RestOfWord,
        b'a' | b'd' | b'f' | b'g' | b'n' | b'p' | b's' | b'S' | b't' | b'T' | b'u' | b'U'
        | b'w' | b'W' | b'X' => Meaning::Flag,
        _ => Meaning::Unknown,
    }
}

fn ruby(letter: u8) -> Meaning {
    match letter {
        b'e' | b'h' | b'c' => Meaning::NoFile,
        b'0' => Meaning::Among(OCTAL),
        b'T' => Meaning::Among(b"0123456789"),
        b'C' | b'X' | b'E' | b'I' | b'r' => Meaning::Value,
        b'F' | b'i' | b'K' | b'W' | b'x' => Meaning::RestOfWord,
        b'a' | b'd' | b'l' | b'n' | b'p' | b's' | b'S' | b'U' | b'v' | b'w' | b'y' => Meaning::Flag,
        _ => Meaning::Unknown,
    }
}

const RUBY_LONG: &[(&[u8], Meaning)] = &[
    (b"backtrace-limit", Meaning::Value),
    (b"copyright", Meaning::NoFile),
    (b"debug", Meaning::Flag),
    (b"disable", Meaning::Value),
    (b"dump", Meaning::NoFile),
    (b"enable", Meaning::Value),
    (b"encoding", Meaning::Value),
    (b"external-encoding", Meaning::Value),
    (b"help", Meaning::NoFile),
    (b"internal-encoding", Meaning::Value),
    (b"jit", Meaning::Flag),
    (b"verbose", Meaning::Flag),
    (b"version", Meaning::NoFile),
    (b"yjit", Meaning::Flag),
];

fn node(letter: u8) -> Meaning {
    match letter {
        b'c' | b'e' | b'p' | b'h' | b'v' => Meaning::NoFile,
        b'C' | b'r' => Meaning::NextWord,
        b'i' => Meaning::Flag,
        _ => Meaning::Unknown,
    }
}

const NODE_LONG: &[(&[u8], Meaning)] = &[
    (b"check", Meaning::NoFile),
    (b"conditions", Meaning::Value),
    (b"diagnostic-dir", Meaning::Value),
    (b"disable-warning", Meaning::Value),
    (b"enable-source-maps", Meaning::Flag),
    (b"env-file", Meaning::Value),
    (b"eval", Meaning::NoFile),
    (b"experimental-loader", Meaning::Value),
    (b"expose-gc", Meaning::Flag),
    (b"harmony", Meaning::Flag),
    (b"help", Meaning::NoFile),
    (b"icu-data-dir", Meaning::Value),
    (b"import", Meaning::Value),
    (b"input-type", Meaning::Value),
    (b"inspect", Meaning::Flag),
    (b"inspect-brk", Meaning::Flag),
    (b"loader", Meaning::Value),
    (b"no-deprecation", Meaning::Flag),
    (b"no-warnings", Meaning::Flag),
    (b"openssl-config", Meaning::Value),
    (b"preserve-symlinks", Meaning::Flag),
    (b"print", Meaning::NoFile),
    (b"require", Meaning::Value),
    (b"run", Meaning::NoFile),
    (b"test", Meaning::NoFile),
    (b"throw-deprecation", Meaning::Flag),
    (b"title", Meaning::Value),
    (b"trace-deprecation", Meaning::Flag),
    (b"trace-warnings", Meaning::Flag),
    (b"unhandled-rejections", Meaning::Value),
    (b"use-openssl-ca", Meaning::Flag),
    (b"version", Meaning::NoFile),
    (b"watch", Meaning::Flag),
];

fn php(letter: u8) -> Meaning {
    match letter {
        b'r' | b'B' | b'R' | b'E' | b'S' | b'a' | b'h' | b'i' | b'l' | b'm' | b's' | b'v'
        | b'w' => Meaning::NoFile,
        b'f' | b'F' => Meaning::File,
        b'c' | b'd' | b't' | b'z' => Meaning::Value,
        b'C' | b'e' | b'H' | b'n' | b'q' => Meaning::Flag,
        _ => Meaning::Unknown,
    }
}

fn awk(letter: u8) -> Meaning {
    match letter {
        b'f' | b'E' => Meaning::File,
        b'e' | b'h' | b'V' => Meaning::NoFile,
        b'F' | b'v' | b'i' | b'l' | b'W' => Meaning::Value,
        b'd' | b'D' | b'L' | b'o' | b'p' => Meaning::RestOfWord,
        b'b' | b'c' | b'C' | b'g' | b'I' | b'k' | b'M' | b'n' | b'N' | b'O' | b'P' | b'r'
        | b's' | b'S' | b't' => Meaning::Flag,
        _ => Meaning::Unknown,
    }
}

const AWK_LONG: &[(&[u8], Meaning)] = &[
    (b"assign", Meaning::Value),
    (b"characters-as-bytes", Meaning::Flag),
    (b"csv", Meaning::Flag),
    (b"exec", Meaning::File),
    (b"field-separator", Meaning::Value),
    (b"file", Meaning::File),
    (b"help", Meaning::NoFile),
    (b"include", Meaning::Value),
    (b"load", Meaning::Value),
    (b"non-decimal-data", Meaning::Flag),
    (b"posix", Meaning::Flag),
    (b"re-interval", Meaning::Flag),
    (b"sandbox", Meaning::Flag),
    (b"source", Meaning::NoFile),
    (b"traditional", Meaning::Flag),
    (b"version", Meaning::NoFile),
];
