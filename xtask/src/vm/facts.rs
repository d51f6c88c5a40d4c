//! What a kernel makes of the programs, from the lines that `guest/probe.sh` prints.
//!
//! A line stands for a descriptor of the running agent, as `/proc/PID/fdinfo` has it
//! (`bpf_prog_show_fdinfo` and `bpf_link_show_fdinfo`, `kernel/bpf/syscall.c`). Older kernels tell
//! less: `recursion_misses` came with 5.12, `verified_insns` with 5.16.

use std::collections::BTreeMap;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The agent's own word for what it sees.
    sight: Option<String>,
    /// By the kernel's number of the program; several descriptors may be of one.
    programs: BTreeMap<u32, Program>,
    /// Tracepoint by the program that is attached to it.
    attached: BTreeMap<u32, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Program {
    /// Instructions that the verifier went through.
    verified: Option<u64>,
    tells_misses: bool,
}

impl Facts {
    pub(crate) fn read_sight(&mut self, sight: &str) {
        self.sight = Some(sight.to_owned());
    }

    /// `key: value key: value ...`
    pub(crate) fn read_descriptor(&mut self, line: &str) {
        let fields = fields(line);
        let number = |key: &str| fields.get(key).and_then(|value| value.parse::<u64>().ok());
        let Some(id) = number("prog_id").and_then(|id| u32::try_from(id).ok()) else {
            return;
        };
        if let Some(tracepoint) = fields.get("tp_name") {
            self.attached.insert(id, (*tracepoint).to_owned());
        } else if fields.contains_key("prog_type") {
            let program = Program {
                verified: number("verified_insns"),
                tells_misses: fields.contains_key("recursion_misses"),
            };
            self.programs.insert(id, program);
        }
    }

    /// Kernel members that the agent looked for in BTF and did not find.
    pub(crate) fn missing_fields(&self) -> String {
        let Some(sight) = &self.sight else {
            return UNKNOWN.to_owned();
        };
        if sight.ends_with("all fields") {
            return "none".to_owned();
        }
        match sight.split_once(", without ") {
            Some((_, members)) => members.to_owned(),
            None => sight.clone(),
        }
    }

    /// `exec ×2, exit, fork`: the tracepoints, without the `sched_process_` of each.
    pub(crate) fn tracepoints(&self) -> String {
        let mut counts = BTreeMap::new();
        for tracepoint in self.attached.values() {
            let name = tracepoint
                .strip_prefix("sched_process_")
                .unwrap_or(tracepoint);
            *counts.entry(name).or_insert(0) += 1;
        }
        let names: Vec<_> = counts
            .into_iter()
            .map(|(name, count)| match count {
                1 => name.to_owned(),
                _ => format!("{name} ×{count}"),
            })
            .collect();
        known(names.join(", "))
    }

    /// How many programs are loaded and reached by a tail call alone.
    pub(crate) fn tail_called(&self) -> String {
        if self.programs.is_empty() {
            return UNKNOWN.to_owned();
        }
        let is_called = |id: &&u32| !self.attached.contains_key(*id);
        self.programs.keys().filter(is_called).count().to_string()
    }

    /// Instructions that the verifier went through for the largest program, and for all.
    pub(crate) fn verified(&self) -> String {
        let verified = self
            .programs
            .values()
            .map(|program| program.verified)
            .collect::<Option<Vec<_>>>()
            .unwrap_or_default();
        match verified.iter().max() {
            Some(largest) => {
                let all: u64 = verified.iter().sum();
                format!("{} / {}", thousands(*largest), thousands(all))
            }
            None => UNKNOWN.to_owned(),
        }
    }

    /// What this kernel keeps from the agent, besides members.
    pub(crate) fn limits(&self) -> Option<&'static str> {
        let tells = self.programs.values().all(|program| program.tells_misses);
        (!tells).then_some("a skipped run of a program is not counted")
    }
}

const UNKNOWN: &str = "not told";

fn known(text: String) -> String {
    if text.is_empty() {
        UNKNOWN.to_owned()
    } else {
        text
    }
}

/// A word that ends in a colon is a key; the word after it, unless a key itself, is its value.
fn fields(line: &str) -> BTreeMap<&str, &str> {
    let words: Vec<_> = line.split_whitespace().collect();
    let mut fields = BTreeMap::new();
    for (index, word) in words.iter().enumerate() {
        if let Some(key) = word.strip_suffix(':') {
            let value = words.get(index + 1).filter(|value| !value.ends_with(':'));
            fields.insert(key, value.copied().unwrap_or_default());
        }
    }
    fields
}

/// `37120` as `37,120`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Facts, thousands};

    fn facts(sight: &str, descriptors: &[&str]) -> Facts {
        let mut facts = Facts::default();
        facts.read_sight(sight);
        for descriptor in descriptors {
            facts.read_descriptor(descriptor);
        }
        facts
    }

    #[test]
    fn a_new_kernel_tells_everything() {
        let program = |id: u32, verified: u32| {
            format!(
                "pos: 0 flags: 02000002 prog_type: 26 prog_jited: 1 prog_id: {id} run_cnt: 0 \
                 recursion_misses: 0 verified_insns: {verified} "
            )
        };
        let link = |id: u32, name: &str| {
            format!(
                "pos: 0 link_type: raw_tracepoint link_id: 9 prog_tag: prog_id: {id} tp_name: {name}"
            )
        };
        let facts = facts(
            "BTF tracepoints, all fields",
            &[
                &program(3, 37_000),
                &program(3, 37_000),
                &program(4, 1_200),
                &program(5, 300),
                &program(6, 20),
                &link(3, "sched_process_exec"),
                &link(4, "sched_process_exec"),
                &link(5, "sched_process_fork"),
            ],
        );
        assert_eq!(facts.missing_fields(), "none");
        assert_eq!(facts.tracepoints(), "exec ×2, fork");
        assert_eq!(facts.tail_called(), "1");
        assert_eq!(facts.verified(), "37,000 / 38,520");
        assert_eq!(facts.limits(), None);
    }

    #[test]
    fn an_old_kernel_tells_less_and_that_is_told() {
        let facts = facts(
            "BTF tracepoints, without task_struct.loginuid, task_struct.sessionid",
            &["prog_type: 26 prog_id: 3 run_cnt: 0"],
        );
        assert_eq!(
            facts.missing_fields(),
            "task_struct.loginuid, task_struct.sessionid"
        );
        assert_eq!(facts.verified(), "not told");
        assert_eq!(
            facts.limits(),
            Some("a skipped run of a program is not counted")
        );
    }

    #[test]
    fn nothing_is_made_of_nothing() {
        let facts = Facts::default();
        let texts = [
            facts.missing_fields(),
            facts.tracepoints(),
            facts.tail_called(),
            facts.verified(),
        ];
        assert_eq!(texts, ["not told"; 4]);
        assert_eq!(facts.limits(), None);
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(7, "7"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(thousands(number), text);
        }
    }
}
