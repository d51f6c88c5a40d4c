//! What MITRE ATT&CK calls the techniques that events name by id.

/// A technique, or a sub-technique of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Technique<'a> {
    /// `T1562`.
    pub(super) id: &'a str,
    /// `None` for one that wallwatch itself never names; a rule may.
    pub(super) name: Option<&'static str>,
    /// With the whole id, `T1562.004`.
    pub(super) sub: Option<(&'a str, Option<&'static str>)>,
    pub(super) tactic: Option<Tactic>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tactic {
    pub(super) id: Option<&'static str>,
    pub(super) name: &'static str,
    /// The version of ATT&CK that has the technique under this id.
    pub(super) version: &'static str,
}

/// Version 19 split this tactic and gave T1562.004 the number T1686.
const DEFENSE_EVASION: Tactic = Tactic {
    id: Some("TA0005"),
    name: "Defense Evasion",
    version: "18",
};
const DEFENSE_IMPAIRMENT: Tactic = Tactic {
    id: None,
    name: "Defense Impairment",
    version: "19",
};

/// What is known of a technique.
pub(super) fn technique(id: &str) -> Technique<'_> {
    let (parent, sub) = match id.split_once('.') {
        Some((parent, _)) => (parent, Some((id, name(id)))),
        None => (id, None),
    };
    Technique {
        id: parent,
        name: name(parent),
        sub,
        tactic: tactic(parent),
    }
}

fn name(id: &str) -> Option<&'static str> {
    Some(match id {
        "T1036" => "Masquerading",
        "T1036.003" => "Rename Legitimate Utilities",
        "T1036.004" => "Masquerade Task or Service",
        "T1562" => "Impair Defenses",
        "T1562.004" => "Disable or Modify System Firewall",
        "T1562.006" => "Indicator Blocking",
        "T1686" => "Disable or Modify System Firewall",
        _ => return None,
    })
}

fn tactic(parent: &str) -> Option<Tactic> {
    match parent {
        "T1036" | "T1562" => Some(DEFENSE_EVASION),
        "T1686" => Some(DEFENSE_IMPAIRMENT),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::firewall::finding::FindingKind;

    #[test]
    fn whatever_a_finding_names_is_known() {
        for kind in FindingKind::ALL {
            for id in kind.mitre_technique_id() {
                let technique = technique(id);
                assert!(technique.name.is_some(), "{id}");
                assert!(technique.tactic.is_some(), "{id}");
                assert!(technique.sub.is_none_or(|(_, name)| name.is_some()), "{id}");
            }
        }
    }

    #[test]
    fn a_technique_of_somebody_elses_rule_keeps_its_id() {
        let expected = Technique {
            id: "T9999",
            name: None,
            sub: Some(("T9999.1", None)),
            tactic: None,
        };
        assert_eq!(technique("T9999.1"), expected);
    }
}
