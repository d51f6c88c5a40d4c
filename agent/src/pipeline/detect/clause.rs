//! The `where` of the analytic.

use std::ops::Range;

use super::glob::Glob;
use crate::pipeline::alert::ClauseMatch;

/// Most bytes of what a clause found that go into its explanation. A pattern with a star inside can
/// span a whole command line.
const FOUND_BYTES_MAX: usize = 256;

/// The clauses of one rule, in the order in which they are written and tried.
#[derive(Clone, Debug)]
pub struct Clauses {
    process: Vec<Glob>,
    not_parent_process_path: Vec<Glob>,
}

impl Clauses {
    pub fn new(process: Vec<Glob>, not_parent_process_path: Vec<Glob>) -> Self {
        Self {
            process,
            not_parent_process_path,
        }
    }

    /// Whether every clause holds. Most execs end here, at the first clause; nothing is allocated.
    /// A parent whose path is unknown is not excluded.
    pub fn hold(&self, process: &[u8], parent_path: Option<&[u8]>) -> bool {
        self.process.iter().all(|glob| glob.is_match(process))
            && parent_path.is_none_or(|path| self.excluding(path).is_none())
    }

    /// Where in `process` the clauses over it hold.
    pub fn ranges(&self, process: &[u8]) -> Vec<Range<usize>> {
        self.process
            .iter()
            .filter_map(|glob| glob.find(process))
            .collect()
    }

    /// Why the clauses hold, one entry each.
    pub fn explain(&self, process: &[u8], parent_path: Option<&[u8]>) -> Vec<ClauseMatch> {
        let mut matched: Vec<ClauseMatch> = self
            .process
            .iter()
            .filter_map(|glob| Some(found(over_process(glob), process, glob.find(process)?)))
            .collect();
        if !self.not_parent_process_path.is_empty() {
            matched.push(ClauseMatch {
                clause: self.exclusion(),
                offset: None,
                found: parent_path.unwrap_or(b"null").to_vec(),
            });
        }
        matched
    }

    /// Each clause over `process` in the order in which they are tried, and where it holds; `None` where it
    /// does not.
    pub fn verdicts(&self, process: &[u8]) -> Vec<(String, Option<Range<usize>>)> {
        self.process
            .iter()
            .map(|glob| (over_process(glob), glob.find(process)))
            .collect()
    }

    /// The first pattern that excludes a parent.
    pub fn excluding(&self, parent_path: &[u8]) -> Option<&str> {
        self.not_parent_process_path
            .iter()
            .find(|glob| glob.is_match(parent_path))
            .map(Glob::pattern)
    }

    fn exclusion(&self) -> String {
        let quoted: Vec<String> = self
            .not_parent_process_path
            .iter()
            .map(|glob| format!("\"{}\"", glob.pattern()))
            .collect();
        format!("NOT parent_process_path IN ({})", quoted.join(", "))
    }
}

fn over_process(glob: &Glob) -> String {
    format!("process=\"{}\"", glob.pattern())
}

/// The explanation of a clause that was found at `range` of `text`.
pub fn found(clause: String, text: &[u8], range: Range<usize>) -> ClauseMatch {
    let end = range.end.min(range.start + FOUND_BYTES_MAX);
    ClauseMatch {
        clause,
        offset: Some(range.start as u64),
        found: text[range.start..end].to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESS: [&str; 5] = [
        "*iptables *",
        "* --dport *",
        "* ACCEPT*",
        "*&>/dev/null*",
        "* tcp *",
    ];
    const NOT_PARENT: [&str; 4] = ["/bin/*", "/lib/*", "/usr/bin/*", "/sbin/*"];
    const COMMAND: &str = "sh -c iptables -I OUTPUT -p tcp --dport 636 -j ACCEPT &>/dev/null";

    fn analytic() -> Clauses {
        let globs = |patterns: &[&str]| {
            patterns
                .iter()
                .map(|pattern| Glob::compile(pattern).unwrap())
                .collect()
        };
        Clauses::new(globs(&PROCESS), globs(&NOT_PARENT))
    }

    fn check(process: &str, expected: bool) {
        let held = analytic().hold(process.as_bytes(), Some(b"/tmp/cpd"));
        assert_eq!(held, expected, "{process:?}");
    }

    fn check_parent(path: Option<&str>, expected: bool) {
        let held = analytic().hold(COMMAND.as_bytes(), path.map(str::as_bytes));
        assert_eq!(held, expected, "{path:?}");
    }

    #[test]
    fn the_command_of_cyclops_blink_holds() {
        check(COMMAND, true);
    }

    #[test]
    fn each_clause_is_needed() {
        check(&COMMAND.replace("iptables ", "iptables-legacy "), false);
        check(&COMMAND.replace("--dport ", "--sport "), false);
        check(&COMMAND.replace("ACCEPT", "DROP"), false);
        check(&COMMAND.replace("&>/dev/null", ">/dev/null 2>&1"), false);
        check(&COMMAND.replace("tcp", "udp"), false);
    }

    #[test]
    fn only_names_that_end_in_iptables_and_a_space_hold() {
        check(&COMMAND.replace("iptables ", "ip6tables "), false);
        check(&COMMAND.replace("iptables ", "iptables\t"), false);
        check(&COMMAND.replace("iptables ", "/sbin/iptables "), true);
        check(&COMMAND.replace("iptables ", "busybox iptables "), true);
        check(
            &COMMAND.replace("iptables ", "xtables-nft-multi iptables "),
            true,
        );
    }

    #[test]
    fn spaces_are_spaces() {
        check(&COMMAND.replace("--dport 636", "--dport=636"), false);
        check(&COMMAND.replace("--dport 636", "--dport\t636"), false);
        check(&COMMAND.replace(" --dport", "\t--dport"), false);
        check(&COMMAND.replace("--dport 636", "--dport  636"), true);
        check(&COMMAND.replace(" ACCEPT", "\tACCEPT"), false);
        check("--dport 636 iptables tcp ACCEPT&>/dev/null -p tcp x", false);
    }

    #[test]
    fn tcp_as_the_last_word_does_not_hold() {
        let last = "iptables --dport 636 -j ACCEPT &>/dev/null -p tcp";
        check(last, false);
        check(&format!("{last} "), true);
    }

    #[test]
    fn clauses_may_overlap_and_stand_in_any_order() {
        check("iptables tcp --dport ACCEPT&>/dev/null", true);
        check("&>/dev/nulliptables tcp  --dport  ACCEPT", true);
        check("a\niptables \n --dport \n ACCEPT\n tcp \n&>/dev/null", true);
    }

    #[test]
    fn letters_match_without_regard_to_case() {
        check(&COMMAND.to_uppercase(), true);
        check_parent(Some("/USR/Bin/python3"), false);
    }

    #[test]
    fn a_parent_under_any_of_the_four_paths_is_excluded() {
        check_parent(Some("/bin/sh"), false);
        check_parent(Some("/lib/systemd/systemd"), false);
        check_parent(Some("/usr/bin/cpd"), false);
        check_parent(Some("/sbin/init"), false);
        check_parent(Some("/usr/sbin/cron"), true);
        check_parent(Some("/usr/lib/systemd/systemd"), true);
        check_parent(Some("/usr/local/bin/panel"), true);
        check_parent(Some("/tmp/usr/bin/x"), true);
        check_parent(Some("/bin"), true);
    }

    #[test]
    fn an_unknown_parent_is_not_excluded() {
        check_parent(None, true);
    }

    #[test]
    fn each_clause_says_what_it_found() {
        let matched = analytic().explain(COMMAND.as_bytes(), None);
        let lines: Vec<String> = matched
            .iter()
            .map(|clause| {
                let found = String::from_utf8_lossy(&clause.found);
                format!("{} {:?} [{found}]", clause.clause, clause.offset)
            })
            .collect();
        expect_test::expect![[r#"
            process="*iptables *" Some(6) [iptables ]
            process="* --dport *" Some(31) [ --dport ]
            process="* ACCEPT*" Some(46) [ ACCEPT]
            process="*&>/dev/null*" Some(54) [&>/dev/null]
            process="* tcp *" Some(27) [ tcp ]
            NOT parent_process_path IN ("/bin/*", "/lib/*", "/usr/bin/*", "/sbin/*") None [null]"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn what_a_clause_found_is_cut() {
        let clauses = Clauses::new(vec![Glob::compile("*a*b*").unwrap()], Vec::new());
        let text = [b"a".as_slice(), &[b'-'; 1000], b"b"].concat();
        let matched = clauses.explain(&text, None);
        assert_eq!(matched.len(), 1);
        assert_eq!(matched[0].found.len(), FOUND_BYTES_MAX);
    }
}
