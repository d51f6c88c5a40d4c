//! What the tamper layer finds: plain data. How it is written is the business of `delivery::encode`.

use std::sync::Arc;

use uuid::Uuid;

use super::change::FirewallChange;
use super::edit::EditEvidence;
use super::origin::Origin;
use crate::pipeline::alert::{AlertState, Ancestor, Evidence, Severity};
use crate::pipeline::exec::{ProcessKey, Time};

/// What was done to the firewall, or by what pretence. The words are stable identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingKind {
    AcceptOpened,
    PolicyOpened,
    SetOpened,
    RulesetFlushed,
    TableDisabled,
    DropRemoved,
    RedirectAdded,
    RivalBlocked,
    SiemBlocked,
    FirewallStopped,
    ChangeWithoutTool,
    ToolDisguised,
    KernelThreadDisguise,
    ChangedWhileBlind,
    ConfigEdited,
}

/// ATT&CK: Disable or Modify System Firewall, by its new and its former number.
const FIREWALL: &[&str] = &["T1686", "T1562.004"];

impl FindingKind {
    pub const ALL: [Self; 15] = [
        Self::AcceptOpened,
        Self::PolicyOpened,
        Self::SetOpened,
        Self::RulesetFlushed,
        Self::TableDisabled,
        Self::DropRemoved,
        Self::RedirectAdded,
        Self::RivalBlocked,
        Self::SiemBlocked,
        Self::FirewallStopped,
        Self::ChangeWithoutTool,
        Self::ToolDisguised,
        Self::KernelThreadDisguise,
        Self::ChangedWhileBlind,
        Self::ConfigEdited,
    ];

    /// Its stable identifier.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AcceptOpened => "accept-opened",
            Self::PolicyOpened => "policy-opened",
            Self::SetOpened => "set-opened",
            Self::RulesetFlushed => "ruleset-flushed",
            Self::TableDisabled => "table-disabled",
            Self::DropRemoved => "drop-removed",
            Self::RedirectAdded => "redirect-added",
            Self::RivalBlocked => "rival-blocked",
            Self::SiemBlocked => "siem-blocked",
            Self::FirewallStopped => "firewall-stopped",
            Self::ChangeWithoutTool => "change-without-tool",
            Self::ToolDisguised => "tool-disguised",
            Self::KernelThreadDisguise => "kernel-thread-disguise",
            Self::ChangedWhileBlind => "changed-while-blind",
            Self::ConfigEdited => "config-edited",
        }
    }

    /// What a person reads.
    pub fn title(self) -> &'static str {
        match self {
            Self::AcceptOpened => "Firewall Opened by a Rule That Accepts",
            Self::PolicyOpened => "Firewall Opened by a Chain's Policy",
            Self::SetOpened => "Firewall Opened by an Element of a Set",
            Self::RulesetFlushed => "Firewall Rules Flushed",
            Self::TableDisabled => "Firewall Table Switched Off",
            Self::DropRemoved => "Firewall Rule That Dropped Removed",
            Self::RedirectAdded => "Traffic Redirected by a Firewall Rule",
            Self::RivalBlocked => "Management Ports Blocked by a Firewall Rule",
            Self::SiemBlocked => "Log Delivery Blocked by a Firewall Rule",
            Self::FirewallStopped => "Firewall Stopped",
            Self::ChangeWithoutTool => "Firewall Changed by a Program That Is No Firewall Tool",
            Self::ToolDisguised => "Firewall Tool in Disguise",
            Self::KernelThreadDisguise => "Process Disguised as a Kernel Thread",
            Self::ChangedWhileBlind => "Firewall Changed While Unwatched",
            Self::ConfigEdited => "Firewall Configuration Edited",
        }
    }

    /// Risk before anything is known of who did it, 0 to 100.
    pub fn base_risk(self) -> i32 {
        match self {
            Self::SetOpened => 35,
            Self::AcceptOpened | Self::ConfigEdited => 40,
            Self::DropRemoved => 45,
            Self::PolicyOpened
            | Self::RulesetFlushed
            | Self::RedirectAdded
            | Self::FirewallStopped => 50,
            Self::TableDisabled
            | Self::RivalBlocked
            | Self::ChangeWithoutTool
            | Self::ChangedWhileBlind => 60,
            Self::ToolDisguised => 75,
            Self::SiemBlocked => 80,
            Self::KernelThreadDisguise => 85,
        }
    }

    /// ATT&CK technique ids.
    pub fn mitre_technique_id(self) -> &'static [&'static str] {
        match self {
            // Indicator Blocking.
            Self::SiemBlocked => &["T1686", "T1562.004", "T1562.006"],
            // Rename Legitimate Utilities.
            Self::ToolDisguised => &["T1686", "T1562.004", "T1036.003"],
            // Masquerade Task or Service.
            Self::KernelThreadDisguise => &["T1036.004"],
            Self::AcceptOpened
            | Self::PolicyOpened
            | Self::SetOpened
            | Self::RulesetFlushed
            | Self::TableDisabled
            | Self::DropRemoved
            | Self::RedirectAdded
            | Self::RivalBlocked
            | Self::FirewallStopped
            | Self::ChangeWithoutTool
            | Self::ChangedWhileBlind
            | Self::ConfigEdited => FIREWALL,
        }
    }
}

/// Why a finding weighs what it weighs. The words are stable identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Somebody who logged in, by hand.
    InteractiveLogin,
    /// A program whose work it is to change the firewall: in its place, root's alone, in its unit, doing what it
    /// does.
    KnownManager,
    /// Something bears a manager's name, and its file stands elsewhere, or others may change it.
    ManagerFile,
    /// A manager was told to load the code of others.
    ManagerForeignCode,
    /// A manager runs outside of its unit.
    ManagerUnit,
    /// A manager has started what it does not start by itself.
    ManagerChild,
    PackageManager,
    /// The lineage leads to nothing that is known.
    OriginUnknown,
    /// Nothing is known of the process that made the change.
    ActorUnknown,
    /// Several processes asked for a change before its result was seen; any of them may have made it.
    SeveralActors,
    /// The executable stands in no directory.
    MemfdExecutable,
    /// The executable has been removed.
    DeletedExecutable,
    /// An executable of the lineage stands where anyone may put one.
    WritableOrigin,
    /// Standard output and standard error lead to `/dev/null`.
    OutputSilenced,
    /// No login stands behind it (`loginuid` is unset).
    NoLogin,
    /// A login stands behind it, and no terminal does.
    NoTerminal,
    /// A network service is in the lineage.
    NetworkService,
    /// It comes from a container.
    Container,
    /// A whole host is let in or out: no port, no address, no interface.
    Unrestricted,
    /// It leads to another chain, or to a program, where something is let pass or is not.
    Indirect,
}

impl Reason {
    pub const ALL: [Self; 20] = [
        Self::InteractiveLogin,
        Self::KnownManager,
        Self::ManagerFile,
        Self::ManagerForeignCode,
        Self::ManagerUnit,
        Self::ManagerChild,
        Self::PackageManager,
        Self::OriginUnknown,
        Self::ActorUnknown,
        Self::SeveralActors,
        Self::MemfdExecutable,
        Self::DeletedExecutable,
        Self::WritableOrigin,
        Self::OutputSilenced,
        Self::NoLogin,
        Self::NoTerminal,
        Self::NetworkService,
        Self::Container,
        Self::Unrestricted,
        Self::Indirect,
    ];

    /// Its stable identifier.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InteractiveLogin => "interactive-login",
            Self::KnownManager => "known-manager",
            Self::ManagerFile => "manager-file",
            Self::ManagerForeignCode => "manager-foreign-code",
            Self::ManagerUnit => "manager-unit",
            Self::ManagerChild => "manager-child",
            Self::PackageManager => "package-manager",
            Self::OriginUnknown => "origin-unknown",
            Self::ActorUnknown => "actor-unknown",
            Self::SeveralActors => "several-actors",
            Self::MemfdExecutable => "memfd-executable",
            Self::DeletedExecutable => "deleted-executable",
            Self::WritableOrigin => "writable-origin",
            Self::OutputSilenced => "output-silenced",
            Self::NoLogin => "no-login",
            Self::NoTerminal => "no-terminal",
            Self::NetworkService => "network-service",
            Self::Container => "container",
            Self::Unrestricted => "unrestricted",
            Self::Indirect => "indirect",
        }
    }

    /// What it adds to the risk.
    pub fn weight(self) -> i32 {
        match self {
            Self::KnownManager => -35,
            Self::PackageManager => -25,
            Self::InteractiveLogin => -20,
            Self::Indirect => -15,
            Self::SeveralActors => 0,
            Self::OutputSilenced
            | Self::NoLogin
            | Self::NoTerminal
            | Self::OriginUnknown
            | Self::Unrestricted => 10,
            Self::Container | Self::ActorUnknown | Self::ManagerUnit | Self::ManagerChild => 15,
            Self::WritableOrigin | Self::ManagerFile => 20,
            Self::NetworkService => 25,
            Self::MemfdExecutable | Self::DeletedExecutable | Self::ManagerForeignCode => 30,
        }
    }

    /// Whether somebody is taken for a pretender. Such a finding is never low, whatever speaks for it.
    pub fn is_pretence(self) -> bool {
        matches!(
            self,
            Self::ManagerFile | Self::ManagerForeignCode | Self::ManagerUnit | Self::ManagerChild
        )
    }
}

/// How it is known that a change was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    /// A command asked for it; whether it succeeded is not known.
    Command,
    /// The kernel said so when it was done.
    Netlink,
    /// A call of `setsockopt` asked for it; whether it succeeded is not known.
    Setsockopt,
    /// A table of x_tables was read and held something else than before.
    Table,
}

impl Witness {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Netlink => "netlink",
            Self::Setsockopt => "setsockopt",
            Self::Table => "table",
        }
    }
}

/// One change that counts in a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeEvidence {
    pub time: Time,
    pub witness: Witness,
    /// `None` when it is not known who did it.
    pub process: Option<ProcessKey>,
    /// The network namespace as netlink numbers it; `None` for the agent's own, and for a command.
    pub nsid: Option<i32>,
    pub change: FirewallChange,
}

/// One revision of one finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub id: Uuid,
    /// 0 for the first line, rising with its updates.
    pub revision: u32,
    pub state: AlertState,
    pub kind: FindingKind,
    pub severity: Severity,
    /// 0 to 100.
    pub risk_score: u8,
    /// Of all that was done, in the order of [`Reason::ALL`].
    pub reasons: Vec<Reason>,
    pub first_seen: Time,
    pub last_seen: Time,
    pub dest: Option<Arc<str>>,
    pub user: Option<Arc<str>>,
    pub origin: Origin,
    /// Changes that commands asked for, and changes that the kernel was seen to make or was told to make.
    pub asked: u64,
    pub made: u64,
    /// The first and the latest ones, in the order in which they were seen.
    pub changes: Vec<ChangeEvidence>,
    /// Edits of files from which a firewall is loaded.
    pub edited: u64,
    /// The first ones, in the order in which they were heard of.
    pub edits: Vec<EditEvidence>,
    /// Execs of firewall tools, and of what is in disguise; the first ones.
    pub execs: Vec<Evidence>,
    /// Execs that are counted but not listed, at most: one that comes again between others counts again.
    pub execs_omitted: u64,
    /// From the first process that did it up to the oldest ancestor known.
    pub lineage: Vec<Ancestor>,
    /// Places in command lines where a secret was masked.
    pub redacted: u64,
}

impl Finding {
    /// Changes that are counted but not listed.
    pub fn changes_omitted(&self) -> u64 {
        (self.asked + self.made).saturating_sub(self.changes.len() as u64)
    }

    /// Edits that are counted but not listed.
    pub fn edits_omitted(&self) -> u64 {
        self.edited.saturating_sub(self.edits.len() as u64)
    }
}
