//! Filters of everything that is found.

use super::*;

const DAY_NS: u64 = 86_400_000_000_000;

/// A filter with these lines beside its name.
fn filter(lines: &str) -> String {
    format!("[[filters]]\nname = \"panel\"\nowner = \"web\"\nreason = \"4711\"\n{lines}")
}

#[test]
fn a_filter_says_who_answers_for_it_and_until_when() {
    let settings = settings(&filter(
        "expires = 1970-01-02\nlineage = [\"/opt/panel/bin/paneld\"]\nrule = [\"accept-opened\"]",
    ));
    let filter = &settings.filters[0];
    assert_eq!((filter.origin.line, &*filter.value.name), (2, "panel"));
    assert_eq!(filter.value.owner.as_deref(), Some("web"));
    assert_eq!(filter.value.reason.as_deref(), Some("4711"));
    assert_eq!(filter.value.expires_ns, Some(2 * DAY_NS));
    let fields: Vec<Field> = filter
        .value
        .fields
        .iter()
        .map(|(field, _)| *field)
        .collect();
    assert_eq!(fields, [Field::Rule, Field::Lineage]);
    assert!(!filter.value.has_expired(2 * DAY_NS - 1));
    assert!(filter.value.has_expired(2 * DAY_NS));
}

#[test]
fn what_is_wrong_with_a_filter_is_told() {
    check(
        "[[filters]]\nname = \"a\"\nexpires = 2027-02-28T00:00:00Z\nlinage = [\"/x\"]\n\
         [[filters]]\nname = \"b\"\nowner = \"\"\nreason = \"r\"\nexpires = 2027-02-30\nuser = []\n\
         [[filters]]\nname = \"c\"\nowner = \"o\"\nreason = \"r\"\nexpires = \"never\"\n\
         command_regex = [\"(\"]\n\
         [[filters]]\nname = \"c\"\nowner = \"o\"\nreason = \"r\"\nexpires = \"soon\"\nuser = [\"x\"]\n",
        expect![[r#"
            c.toml:1: key `filters.owner`: expected a text of 1 to 1024 bytes without control characters, found nothing
            c.toml:1: key `filters.reason`: expected a text of 1 to 1024 bytes without control characters, found nothing
            c.toml:1: key `filters`: expected at least one column beside the name, found none
            c.toml:3: key `filters.expires`: expected a day, as 2027-02-28, or "never", found the time 2027-02-28T00:00:00Z
            c.toml:4: key `filters.linage`: unknown, did you mean `lineage`?
            c.toml:7: key `filters.owner`: expected a text of 1 to 1024 bytes without control characters, found ""
            c.toml:9: not TOML: invalid date, expected day between 01 and 28
            c.toml:10: key `filters.user`: expected a list of 1 to 256 texts, found a list of 0
            c.toml:12: key `filters.name`: filter "c": a pattern for command_regex is refused: regex parse error:
                (
                ^
            error: unclosed group
            c.toml:18: key `filters.name`: expected a name that no other filter has, found "c"
            c.toml:21: key `filters.expires`: expected a day, as 2027-02-28, or "never", found "soon""#]],
    );
}

#[test]
fn names_are_told_apart_from_those_of_the_rule() {
    check(
        &format!(
            "{}expires = \"never\"\nlineage = [\"/opt/x\"]\n\
             [[rules.linux_iptables_firewall_modification.filter]]\nname = \"panel\"\nuser = [\"x\"]\n",
            filter("")
        ),
        expect![[
            r#"c.toml:2: key `filters.name`: expected a name that no other filter has, found "panel""#
        ]],
    );
}

#[test]
fn a_broad_or_expired_filter_is_doubted() {
    let doubts = |lines: &str| {
        let settings = settings(&filter(lines));
        let doubts = settings.doubts(10 * DAY_NS).into_iter();
        doubts.map(|doubt| doubt.to_string()).collect::<Vec<_>>()
    };
    for narrow in [
        "lineage = [\"/opt/panel/bin/paneld\"]",
        "unit = [\"paneld.service\"]",
        "command_regex = [\"^iptables -w 5 -I INPUT -p tcp --dport 8443 -j ACCEPT$\"]",
        "change = [\"ip filter INPUT: * dport 8443 accept\"]\nuser = [\"root\"]",
    ] {
        assert_eq!(doubts(&format!("expires = \"never\"\n{narrow}")), [""; 0]);
    }
    for broad in [
        "user = [\"root\"]",
        "rule = [\"accept-opened\"]\nseverity = [\"low\"]",
        "lineage = [\"*\"]",
        "lineage = [\"/opt/panel/bin/paneld\", \"/usr/bin/bash\"]",
        "process_path = [\"/usr/bin/python3.11\"]",
        "command_regex = [\".*\"]",
        "process_name = [\"iptables*\"]",
        "processes_exec = [\"*iptables*\"]",
        "origin = [\"login\"]",
    ] {
        let doubts = doubts(&format!("expires = \"never\"\n{broad}"));
        assert_eq!(doubts.len(), 1, "{broad}");
        assert!(doubts[0].contains(": it is broad"), "{doubts:?}");
    }
    let told = doubts("expires = 1970-01-10\nlineage = [\"/tmp/panel/paneld\"]");
    expect![[r#"
        c.toml:2: filter "panel": it has expired and withholds nothing any more
        c.toml:2: filter "panel": `lineage` has "/tmp/panel/paneld", where anybody may put a program"#]].assert_eq(&told.join("\n"));
    let of_rule = "[[rules.linux_iptables_firewall_modification.filter]]\nname = \"admin\"\nuser = [\"root\"]\n";
    let doubts = settings(of_rule).doubts(0);
    assert!(
        doubts[0]
            .to_string()
            .starts_with("filter \"admin\": it is broad")
    );
}
