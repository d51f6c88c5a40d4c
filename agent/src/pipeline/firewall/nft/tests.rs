//! The language of nft, construct by construct.

use std::net::IpAddr;

use proptest::prelude::*;

use super::super::change::{
    Addresses, Backend, Command, Element, Family, FirewallChange, Hook, Negatable, Operation,
    Policy, Ports, Position, Protocol, Rule, RulesetSource, Target, Which,
};
use super::{parse, parse_text};

mod commands;
mod properties;
mod rules;

fn changes(text: &str) -> Vec<FirewallChange> {
    let command = parse_text(text.as_bytes());
    let Command::Changes(changes) = command else {
        panic!("{text}: {command:?}");
    };
    changes
}

fn operations(text: &str) -> Vec<Operation> {
    let changes = changes(text).into_iter();
    changes.map(|change| change.operation).collect()
}

/// The one change of `text`.
fn change(text: &str) -> FirewallChange {
    let mut changes = changes(text);
    assert_eq!(changes.len(), 1, "{text}: {changes:?}");
    changes.remove(0)
}

/// The rule of `add rule inet t c TEXT`.
fn rule(text: &str) -> Rule {
    let Operation::AddRule { rule, .. } = change(&format!("add rule inet t c {text}")).operation
    else {
        panic!("{text} adds no rule");
    };
    *rule
}

fn is_rejected(text: &str) -> bool {
    matches!(parse_text(text.as_bytes()), Command::Rejected { .. })
}

fn plain<T>(value: T) -> Option<Negatable<T>> {
    Some(Negatable {
        value,
        negated: false,
    })
}

fn negated<T>(value: T) -> Option<Negatable<T>> {
    Some(Negatable {
        value,
        negated: true,
    })
}

fn network(address: &str, prefix: u8) -> Addresses {
    Addresses::Network {
        address: address.parse().unwrap(),
        prefix,
    }
}

fn ports<const N: usize>(ranges: [(u16, u16); N]) -> Ports {
    Ports::Ranges(
        ranges
            .into_iter()
            .map(|(first, last)| first..=last)
            .collect(),
    )
}
