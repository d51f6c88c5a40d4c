use std::time::Duration;

use super::*;

#[test]
fn a_canary_that_could_not_be_let_go_says_why() {
    let not_allowed = Outcome::NotAllowed {
        missing: vec!["CAP_BPF", "CAP_PERFMON"],
    };
    let check = check_flight(
        "canary",
        &not_allowed,
        Skip,
        "CAP_BPF and CAP_PERFMON missing",
    );
    assert!(check.remedy.unwrap().contains("root"));
    assert_eq!(check.cause, Some(Cause::Permission));
    check_flight("counters", &not_allowed, Skip, "see canary");
    for (is_permission, cause) in [(true, Cause::Permission), (false, Cause::Kernel)] {
        let outcome = Outcome::NotAttached {
            error: "attach the sensor: why".to_owned(),
            is_permission,
        };
        let check = check_flight("canary", &outcome, Fail, "why");
        assert_eq!(check.cause, Some(cause));
        let mut filtered = healthy();
        filtered.seccomp = Some(true);
        let remedy = judged(&filtered, &outcome, "canary").remedy.unwrap();
        assert_eq!(remedy.contains("seccomp"), is_permission, "{remedy}");
    }
    let error = "start the canary".to_owned();
    check_flight(
        "canary",
        &Outcome::Broken { error },
        Fail,
        "start the canary",
    );
}

#[test]
fn a_canary_that_did_not_come_home_says_how_far_it_came() {
    let missing = |seen| {
        flown(|flight| {
            flight.seen = seen;
            flight.landing = Landing::Missing {
                waited: Duration::from_secs(5),
            };
        })
    };
    let blind = check_flight(
        "canary",
        &missing(1),
        Fail,
        "within 5 s; the sensor saw 1 of 3",
    );
    assert!(blind.remedy.unwrap().contains("--timeout"));
    let mute = check_flight("canary", &missing(3), Fail, "the sensor saw 3 of 3");
    assert!(mute.remedy.unwrap().contains("pipeline"));
    let unwritten = flown(|flight| {
        let error = "no space".to_owned();
        flight.landing = Landing::Unwritten { error };
    });
    check_flight("canary", &unwritten, Fail, "no space");
}

#[test]
fn a_canary_that_came_home_changed_or_elsewhere_is_told() {
    let with = |change: &dyn Fn(&mut Landed)| {
        flown(|flight| {
            let mut landed = landed();
            change(&mut landed);
            flight.landing = Landing::Landed(landed);
        })
    };
    let changed = with(&|landed| landed.differences.push("ports is [\"1\"]".to_owned()));
    check_flight("canary", &changed, Fail, "ports is");
    let elsewhere = with(&|landed| landed.substitute = Some("/var/log/wallwatch: no".to_owned()));
    check_flight(
        "canary",
        &elsewhere,
        Warn,
        "instead (/var/log/wallwatch: no)",
    );
    let mut new = healthy();
    new.alert_log.place = Place::WillBeMade;
    assert_said(&judged(&new, &elsewhere, "canary"), Ok, "instead");
    let classic = flown(|flight| flight.sight = Sight::Classic);
    let check = check_flight("canary", &classic, Warn, "classic tracepoints");
    assert_eq!(check.values["sight"], "classic");
}

#[test]
fn books_that_are_open_or_do_not_balance_are_told() {
    let with = |change: &dyn Fn(&mut Books)| {
        flown(|flight| {
            let mut books = flight.books.clone().unwrap();
            change(&mut books);
            flight.books = Result::Ok(books);
        })
    };
    check_flight(
        "counters",
        &with(&|books| books.execs_dropped = 2),
        Warn,
        "2 lost",
    );
    check_flight(
        "counters",
        &with(&|books| books.execs_missed = 1),
        Warn,
        "1 lost",
    );
    check_flight(
        "counters",
        &with(&|books| books.is_balanced = false),
        Fail,
        "do not balance",
    );
    check_flight(
        "counters",
        &with(&|books| books.undecoded = 1),
        Fail,
        "1 records",
    );
    let closed = flown(|flight| flight.books = Err("no map".to_owned()));
    check_flight("counters", &closed, Fail, "no map");
}
