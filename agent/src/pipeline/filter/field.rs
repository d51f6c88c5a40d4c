//! What a filter can ask for.

/// A field of a filter. Those that an alert of the rule has bear the names of its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// Name or id of the rule; the word of a finding.
    Rule,
    Severity,
    Dest,
    User,
    ProcessName,
    ProcessPath,
    ParentProcessName,
    ParentProcessPath,
    ParentProcessId,
    ProcessesExec,
    CommandRegex,
    Ports,
    /// Executable or script of the process, or of any of its ancestors.
    Lineage,
    /// What kind of beginning it has.
    Origin,
    OriginExecutable,
    Unit,
    /// Id or name of the container.
    Container,
    /// The change in the words in which findings tell it.
    Change,
    /// The file that was edited.
    Path,
}

impl Field {
    pub const ALL: [Self; 19] = [
        Self::Rule,
        Self::Severity,
        Self::Dest,
        Self::User,
        Self::ProcessName,
        Self::ProcessPath,
        Self::ParentProcessName,
        Self::ParentProcessPath,
        Self::ParentProcessId,
        Self::ProcessesExec,
        Self::CommandRegex,
        Self::Ports,
        Self::Lineage,
        Self::Origin,
        Self::OriginExecutable,
        Self::Unit,
        Self::Container,
        Self::Change,
        Self::Path,
    ];

    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Severity => "severity",
            Self::Dest => "dest",
            Self::User => "user",
            Self::ProcessName => "process_name",
            Self::ProcessPath => "process_path",
            Self::ParentProcessName => "parent_process_name",
            Self::ParentProcessPath => "parent_process_path",
            Self::ParentProcessId => "parent_process_id",
            Self::ProcessesExec => "processes_exec",
            Self::CommandRegex => "command_regex",
            Self::Ports => "ports",
            Self::Lineage => "lineage",
            Self::Origin => "origin",
            Self::OriginExecutable => "origin_executable",
            Self::Unit => "unit",
            Self::Container => "container",
            Self::Change => "change",
            Self::Path => "path",
        }
    }

    /// Whether it is of the finding as a whole, which may change while it grows; any other is of each deed.
    pub(super) fn is_of_row(self) -> bool {
        matches!(self, Self::Rule | Self::Severity | Self::Dest | Self::Ports)
    }

    pub(super) fn is_of_lineage(self) -> bool {
        matches!(self, Self::Lineage | Self::Origin | Self::OriginExecutable)
    }

    /// Whether it says who did it, or what exactly was done. A filter without one of these withholds what it was
    /// not made for.
    pub fn narrows(self) -> bool {
        !matches!(
            self,
            Self::Rule | Self::Severity | Self::Dest | Self::User | Self::Ports | Self::Origin
        )
    }
}
