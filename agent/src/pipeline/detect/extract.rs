//! `rex`: the port that a command line names.

use std::ops::Range;
use std::sync::Arc;

use regex::bytes::Regex;

/// A literal prefix followed by one of several ports.
#[derive(Clone, Debug)]
pub struct Extractor {
    prefix: String,
    /// In the order in which they are tried.
    ports: Vec<Arc<str>>,
    regex: Regex,
}

/// What `rex` took from a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extracted {
    pub port: Arc<str>,
    /// Where prefix and port stand.
    pub range: Range<usize>,
}

impl Extractor {
    /// Fails only where the ports are too many for the regex engine's bound on memory.
    pub fn compile(prefix: &str, ports: &[String]) -> Result<Self, regex::Error> {
        let alternatives: Vec<String> = ports.iter().map(|port| regex::escape(port)).collect();
        let pattern = format!(
            "(?-u){}(?:{})",
            regex::escape(prefix),
            alternatives.join("|")
        );
        Ok(Self {
            prefix: prefix.to_owned(),
            ports: ports.iter().map(|port| port.as_str().into()).collect(),
            regex: Regex::new(&pattern)?,
        })
    }

    /// The first port of `process`, and no other. Nothing asks what follows it: `6360` gives `636`.
    pub fn extract(&self, process: &[u8]) -> Option<Extracted> {
        let range = self.regex.find(process)?.range();
        let digits = &process[range.start + self.prefix.len()..range.end];
        let port = self.ports.iter().find(|port| port.as_bytes() == digits)?;
        Some(Extracted {
            port: port.clone(),
            range,
        })
    }

    /// The clause as SPL.
    pub fn spl(&self) -> String {
        let Self { prefix, ports, .. } = self;
        format!("rex field=process \"{prefix}(?<port>{})\"", ports.join("|"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PORTS: [&str; 6] = ["3269", "636", "989", "994", "995", "8443"];

    fn extractor(prefix: &str, ports: &[&str]) -> Extractor {
        let ports: Vec<String> = ports.iter().map(|&port| port.to_owned()).collect();
        Extractor::compile(prefix, &ports).unwrap()
    }

    fn check(process: &str, expected: Option<&str>) {
        let extracted = extractor("--dport ", &PORTS).extract(process.as_bytes());
        let port = extracted.as_ref().map(|extracted| &*extracted.port);
        assert_eq!(port, expected, "{process:?}");
    }

    #[test]
    fn each_port_is_found() {
        for port in PORTS {
            check(
                &format!("iptables -p tcp --dport {port} -j ACCEPT"),
                Some(port),
            );
        }
        check("iptables -p tcp --dport 80 -j ACCEPT", None);
    }

    #[test]
    fn what_follows_the_port_does_not_matter() {
        check("--dport 6360", Some("636"));
        check("--dport 32690", Some("3269"));
        check("--dport 8443x", Some("8443"));
        check("--dport 636:640", Some("636"));
    }

    #[test]
    fn exactly_one_space_stands_before_the_port() {
        check("--dport  636", None);
        check("--dport=636", None);
        check("--dport\t636", None);
        check("--dport 0636", None);
        check("x--dport 636", Some("636"));
    }

    #[test]
    fn the_prefix_is_case_sensitive() {
        check("--DPORT 636", None);
        check("--DPORT 636 --dport 995", Some("995"));
    }

    #[test]
    fn only_the_first_match_counts() {
        check("--dport 636 --dport 995", Some("636"));
        check("--dport 22 -j ACCEPT; iptables --dport 636", Some("636"));
        check("--dport 8443\n--dport 3269", Some("8443"));
    }

    #[test]
    fn alternatives_are_tried_in_the_order_of_the_list() {
        let extract = |ports: &[&str]| extractor("p", ports).extract(b"p6367").unwrap().port;
        assert_eq!(&*extract(&["6367", "636"]), "6367");
        assert_eq!(&*extract(&["636", "6367"]), "636");
    }

    #[test]
    fn the_range_covers_prefix_and_port() {
        let extracted = extractor("--dport ", &PORTS).extract(b"\xff --dport 6360");
        assert_eq!(extracted.unwrap().range, 2..13);
    }

    #[test]
    fn the_clause_reads_as_spl() {
        let expected = r#"rex field=process "--dport (?<port>3269|636|989|994|995|8443)""#;
        assert_eq!(extractor("--dport ", &PORTS).spl(), expected);
    }

    /// Looks at every offset, then at every port.
    fn naive(prefix: &str, ports: &[String], text: &[u8]) -> Option<(String, usize)> {
        (0..text.len()).find_map(|offset| {
            let rest = text[offset..].strip_prefix(prefix.as_bytes())?;
            let port = ports
                .iter()
                .find(|port| rest.starts_with(port.as_bytes()))?;
            Some((port.clone(), offset))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn an_extractor_agrees_with_the_naive_scanner(
            prefix in "[p.]{1,2}",
            ports in proptest::collection::vec("[12]{1,3}", 1..4),
            text in proptest::collection::vec(
                prop_oneof![
                    4 => Just(b'p'), 1 => Just(b'P'), 2 => Just(b'.'), 4 => Just(b'1'),
                    4 => Just(b'2'), 1 => Just(b'\n'), 1 => Just(0xff),
                ],
                0..16,
            ),
        ) {
            let extracted = Extractor::compile(&prefix, &ports).unwrap().extract(&text);
            let found = extracted.map(|found| (found.port.to_string(), found.range.start));
            prop_assert_eq!(found, naive(&prefix, &ports, &text));
        }
    }
}
