//! The tables of the older x_tables, from a look at what they hold to what the pipeline takes.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::config::TamperSettings;
use crate::host::namespaces::{net_of, own_net};
use crate::host::procfs::Procfs;
use crate::host::xtables::{Look, Reader, Seen, XtablesReadError, read};
use crate::pipeline::exec::{Event, Time, XtablesReplace};
use crate::pipeline::firewall::disguise::changes_netfilter;
use crate::pipeline::firewall::finding::Witness;
use crate::pipeline::firewall::tamper::Made;
use crate::pipeline::firewall::xtables::notices::{Authors, Notices};
use crate::pipeline::firewall::xtables::{Difference, Listing, Tables};
use crate::pipeline::process_tree::ProcessTree;
use crate::pipeline::watch::XtablesBooks;
use crate::state::Keeper;

/// After a look that took long the next one has to wait this many times as long: whoever calls for looks must not keep
/// a processor busy.
const REST_FACTOR: u64 = 10;

/// The witness of x_tables; blind where its tables cannot be read. It sees those of the agent's own network namespace.
pub(super) struct Xtables {
    reader: Option<Reader>,
    procfs: Procfs,
    /// The agent's own network namespace, by its inode number.
    own_net: Option<u32>,
    notices: Notices,
    /// Whether calls that replace a table are heard of. Without, a tool that ends is an occasion to look.
    hears_calls: bool,
    poll_interval: Duration,
    poll_ns: u64,
    /// No look before that moment.
    rested_ns: u64,
    is_looking: bool,
    /// The latest look gave an error, and that was said.
    is_failing: bool,
    /// What was told last, and how often that was something new.
    told: Option<Arc<Listing>>,
    version: u64,
    books: XtablesBooks,
}

/// The witness of x_tables, where changes of the firewall are judged, and what changed since the last run.
pub(super) fn xtables(
    settings: &TamperSettings,
    root: &Path,
    keeper: &mut Keeper,
    hears_calls: bool,
    now: Time,
) -> (Xtables, Vec<Made>) {
    let mut xtables = Xtables::closed(Procfs::new(root.join("proc")), settings, hears_calls, now);
    if !settings.enabled {
        return (xtables, Vec::new());
    }
    let changed = xtables
        .open(&root.join("proc"), keeper.recall_tables(), now)
        .inspect_err(|error| {
            tracing::warn!("what the tables of x_tables hold is not known: {error:#}");
        })
        .unwrap_or_default();
    (xtables, changed)
}

impl Xtables {
    /// One that sees nothing.
    fn closed(procfs: Procfs, settings: &TamperSettings, hears_calls: bool, now: Time) -> Self {
        let poll_interval = settings.xtables_poll_interval;
        Self {
            reader: None,
            own_net: own_net(&procfs),
            procfs,
            notices: Notices::default(),
            hears_calls,
            poll_interval,
            poll_ns: later(now, poll_interval),
            rested_ns: 0,
            is_looking: false,
            is_failing: false,
            told: None,
            version: 0,
            books: XtablesBooks::default(),
        }
    }

    /// Learns the tables as they are, and tells what they hold that was not there when `remembered` was kept.
    fn open(
        &mut self,
        proc: &Path,
        remembered: Option<(Tables, bool)>,
        now: Time,
    ) -> anyhow::Result<Vec<Made>> {
        let listing = read(proc)?;
        let present = listing.decode()?;
        for (name, error) in present.errors() {
            let table = name.escape_ascii();
            tracing::warn!(%table, %error, "a table of x_tables cannot be read");
        }
        let changes = remembered.map_or_else(Vec::new, |(tables, same_boot)| {
            tables.changes_until(&present, same_boot)
        });
        self.books.tables = present.len() as u64;
        self.books.unreadable = present.errors().count() as u64;
        self.reader = Some(Reader::spawn(proc.to_owned(), present)?);
        self.tell(Some(Arc::new(listing)));
        if !changes.is_empty() {
            let tables = changes.len();
            tracing::warn!(
                tables,
                "tables of x_tables changed while the agent was down"
            );
        }
        let changes = changes.into_iter();
        Ok(changes.map(|change| made(change, None, now)).collect())
    }

    /// The network namespace whose tables are read after each call that replaces one.
    pub(super) fn reads(&self) -> Option<u32> {
        let reads = self.reader.is_some() && self.hears_calls && !self.is_failing;
        self.own_net.filter(|_| reads)
    }

    /// `None`: the tables are not read.
    pub(super) fn books(&self) -> Option<XtablesBooks> {
        self.reader.as_ref()?;
        Some(XtablesBooks {
            notices_refused: self.notices.refused(),
            ..self.books
        })
    }

    /// What is an occasion to look.
    pub(super) fn handle_event(&mut self, event: &Event, tree: &ProcessTree) {
        match event {
            Event::XtablesReplace(replace) if self.reader.is_some() => {
                let is_elsewhere = self.is_elsewhere(replace);
                self.notices.add(replace, is_elsewhere);
            }
            Event::Exit(exit) if !self.hears_calls => {
                let exe = tree.exe(exit.process);
                let name = exe.and_then(|exe| exe.basename());
                if name.is_some_and(changes_netfilter) {
                    self.poll_ns = self.poll_ns.min(exit.time.boot_ns);
                }
            }
            Event::XtablesReplace(_)
            | Event::Exit(_)
            | Event::Exec(_)
            | Event::Fork(_)
            | Event::FailedExec(_)
            | Event::Running(_) => {}
        }
    }

    /// Whether the thread is seen to be in another network namespace. It may be over by now, and may have come and gone:
    /// so this only says whom to ask first.
    fn is_elsewhere(&self, replace: &XtablesReplace) -> bool {
        let net = net_of(&self.procfs, replace.process.tgid, replace.tid);
        net.is_some() && net != self.own_net
    }

    /// How long until [`look`](Self::look) wants to be called; `None`: not before the next answer.
    pub(super) fn due(&self, now: Time) -> Option<Duration> {
        if self.reader.is_none() || self.is_looking {
            return None;
        }
        let occasion_ns = self.notices.due_ns().unwrap_or(u64::MAX);
        let due_ns = occasion_ns.min(self.poll_ns).max(self.rested_ns);
        Some(Duration::from_nanos(due_ns.saturating_sub(now.boot_ns)))
    }

    /// Lets the thread look.
    pub(super) fn look(&mut self, tree: &ProcessTree, now: Time) {
        self.notices.begin_read(|process| tree.has_ended(process));
        self.poll_ns = later(now, self.poll_interval);
        if let Some(reader) = &self.reader {
            self.is_looking |= reader.ask();
        }
    }

    pub(super) fn is_looking(&self) -> bool {
        self.is_looking
    }

    /// Returns what was seen. May be given up and called again at any point.
    pub(super) async fn answer(&mut self) -> Look {
        match &mut self.reader {
            Some(reader) => reader.answer().await,
            None => std::future::pending().await,
        }
    }

    /// Takes in what was seen, when every event from before it has been taken in.
    pub(super) fn made(&mut self, look: Look) -> Vec<Made> {
        let Look { began, ended, seen } = look;
        self.is_looking = false;
        let took_ns = ended.boot_ns.saturating_sub(began.boot_ns);
        self.rested_ns = ended
            .boot_ns
            .saturating_add(took_ns.saturating_mul(REST_FACTOR));
        self.books.looks += 1;
        let differences = match seen {
            Ok(seen) => self.take(seen),
            Err(error) => {
                self.fail(&error);
                Vec::new()
            }
        };
        let changed: Vec<_> = differences
            .iter()
            .map(|difference| (difference.family, difference.table.clone()))
            .collect();
        let mades = differences.into_iter().map(|difference| {
            let authors = self
                .notices
                .authors(difference.family, &difference.table, ended);
            made(difference, authors, ended)
        });
        let mades = mades.collect();
        self.notices.end_read(began, ended, &changed);
        mades
    }

    fn take(&mut self, seen: Seen) -> Vec<Difference> {
        let Seen {
            differences,
            listing,
            tables,
            unreadable,
        } = seen;
        self.is_failing = false;
        self.books.tables = tables;
        self.books.unreadable = unreadable;
        self.books.changed += differences.len() as u64;
        self.tell(listing);
        differences
    }

    fn tell(&mut self, listing: Option<Arc<Listing>>) {
        if listing.is_some() {
            self.told = listing;
            self.version += 1;
        }
    }

    fn fail(&mut self, error: &XtablesReadError) {
        self.books.failed += 1;
        if !self.is_failing {
            tracing::warn!(%error, "the tables of x_tables cannot be read");
        }
        self.is_failing = true;
    }

    /// Starts to write what the next run is to remember, as far as it is new.
    pub(super) fn save(&self, keeper: &mut Keeper, now: Time) {
        if let Some(listing) = &self.told {
            keeper.save_tables(self.version, now, listing);
        }
    }
}

/// A change of one table, by whoever may have made it; nobody, where none was heard to ask for it.
fn made(difference: Difference, authors: Option<Authors>, seen: Time) -> Made {
    let Difference {
        family: _,
        table: _,
        changes,
        omitted,
    } = difference;
    let while_blind = authors.is_none();
    let authors = authors.unwrap_or(Authors {
        processes: Vec::new(),
        time: seen,
    });
    let tgids: BTreeSet<u32> = authors.processes.iter().map(|key| key.tgid).collect();
    Made {
        time: authors.time,
        tgids: tgids.into_iter().collect(),
        nsid: None,
        changes,
        omitted,
        stopping_sets: BTreeSet::new(),
        witness: Witness::Table,
        while_blind,
    }
}

fn later(now: Time, by: Duration) -> u64 {
    let by_ns = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
    now.boot_ns.saturating_add(by_ns)
}
