//! Whatever the bytes.

use super::*;

/// Words of the language, in any order: they come further than bytes do.
const WORDS: &[&str] = &[
    "add",
    "insert",
    "delete",
    "flush",
    "table",
    "chain",
    "rule",
    "set",
    "map",
    "element",
    "inet",
    "t",
    "c",
    "{",
    "}",
    "(",
    ")",
    ";",
    "\n",
    ",",
    ":",
    "-",
    "/",
    ".",
    "@s",
    "$x",
    "define",
    "=",
    "tcp",
    "dport",
    "22",
    "65535",
    "ip",
    "saddr",
    "10.0.0.1",
    "::1",
    "vmap",
    "accept",
    "jump",
    "dnat",
    "to",
    "ct",
    "state",
    "new",
    "meta",
    "mark",
    "\"x\"",
    "eth*",
    "!=",
    "&",
    "limit",
    "rate",
    "10/second",
    "elements",
    "type",
    "hook",
    "jhash",
    "mod",
    "comment",
    "policy",
    "drop",
    "include",
    "handle",
    "index",
];

proptest! {
    #[test]
    fn any_bytes_have_a_meaning(text in proptest::collection::vec(any::<u8>(), 0..400)) {
        parse_text(&text);
        let arguments: Vec<&[u8]> = text.split(|&byte| byte == b' ').collect();
        parse(&arguments);
    }

    #[test]
    fn any_words_have_a_meaning(words in proptest::collection::vec(proptest::sample::select(WORDS), 0..80)) {
        parse_text(words.join(" ").as_bytes());
        parse_text([&["add rule t c"], &words[..]].concat().join(" ").as_bytes());
    }

    #[test]
    fn a_port_comes_back_as_it_was_written(first in any::<u16>(), last in any::<u16>()) {
        let (first, last) = (first.min(last), first.max(last));
        let rule = rule(&format!("tcp dport {first}-{last} accept"));
        prop_assert_eq!(rule.destination_ports, plain(ports([(first, last)])));
    }

    #[test]
    fn a_network_comes_back_without_its_host_bits(bits in any::<u32>(), prefix in 0_u8..=32) {
        let address = std::net::Ipv4Addr::from(bits);
        let rule = rule(&format!("ip saddr {address}/{prefix} accept"));
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        let expected = network(&std::net::Ipv4Addr::from(bits & mask).to_string(), prefix);
        prop_assert_eq!(rule.sources, plain(vec![expected]));
    }
}

/// Texts of which a reader that looks twice at everything does not come to an end.
#[test]
fn long_texts_take_time_in_proportion() {
    let repeated = [
        "{ ", "( ", "jump { ", "jhash ( ", "1-", "1.", "a.", "1:", "::", "\"", "#", "\\\n", "tcp ",
        "& ( ", "$x ", "; ",
    ];
    for piece in repeated {
        for start in [
            "",
            "add rule t c ",
            "add rule t c tcp dport ",
            "add element t s { ",
            "define x = ",
        ] {
            parse_text(format!("{start}{}", piece.repeat(4_000)).as_bytes());
        }
    }
}
