//! The kernel's own word on nf_tables, from the socket to what the pipeline takes.

use std::future::pending;
use std::io;

use crate::host::netfilter::{Listener, NetfilterError, Received, snapshot};
use crate::host::procfs::Procfs;
use crate::pipeline::exec::Time;
use crate::pipeline::firewall::finding::Witness;
use crate::pipeline::firewall::netlink::{Limits, Transaction, Transactions};
use crate::pipeline::firewall::tamper::Made;
use crate::pipeline::process_tree::ProcessTree;

/// What the kernel may hold for the agent: some ten thousand rules that come at once.
const RECEIVE_BUFFER_BYTES: usize = 8 << 20;

/// Most datagrams of one turn; what is left is read after the loop has seen to its other duties.
const DATAGRAMS_MAX: usize = 1024;

/// The witness of nf_tables; blind where the kernel does not let it listen.
pub(super) struct Netfilter {
    listener: Option<Listener>,
    transactions: Transactions,
    procfs: Procfs,
    /// There is more than the last turn took.
    more: bool,
}

/// What was heard in one turn.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) transactions: Vec<Transaction>,
    /// The kernel dropped messages. What changed meanwhile is in `changed`.
    pub(super) overrun: bool,
    pub(super) changed: Vec<Made>,
}

impl Netfilter {
    /// Listens from now on, and learns the ruleset as it is. Must be called within a tokio runtime.
    pub(super) fn open(procfs: Procfs) -> Self {
        let listener = Listener::open(RECEIVE_BUFFER_BYTES)
            .inspect_err(|error| {
                tracing::warn!(
                    %error,
                    "changes of nf_tables are seen by their commands alone"
                );
            })
            .ok();
        let mut transactions = Transactions::new(Limits::default());
        if listener.is_some() {
            match snapshot() {
                Ok(snapshot) => drop(transactions.adopt(snapshot)),
                Err(error) => say_unlisted(&error),
            }
        }
        Self {
            listener,
            transactions,
            procfs,
            more: false,
        }
    }

    /// One that hears nothing.
    pub(super) fn closed(procfs: Procfs) -> Self {
        Self {
            listener: None,
            transactions: Transactions::new(Limits::default()),
            procfs,
            more: false,
        }
    }

    pub(super) fn hears(&self) -> bool {
        self.listener.is_some()
    }

    /// Returns when there is something to hear. May be given up and called again at any point.
    pub(super) async fn wait(&self) -> io::Result<()> {
        match &self.listener {
            Some(_) if self.more => Ok(()),
            Some(listener) => listener.readable().await,
            None => pending().await,
        }
    }

    /// Takes what has come, up to a bound.
    pub(super) fn hear(&mut self, now: Time) -> io::Result<Heard> {
        let mut heard = Heard::default();
        let Some(listener) = &mut self.listener else {
            return Ok(heard);
        };
        self.more = true;
        for _ in 0..DATAGRAMS_MAX {
            match listener.receive()? {
                Received::Datagram { nsid, bytes } => {
                    let ended = self.transactions.handle_datagram(nsid, bytes, now);
                    heard.transactions.extend(ended);
                }
                Received::Overrun => heard.overrun = true,
                Received::Refused => {}
                Received::Nothing => {
                    self.more = false;
                    break;
                }
            }
        }
        if heard.overrun {
            heard.changed.extend(self.relist(now));
        }
        Ok(heard)
    }

    /// The kernel dropped messages: what the ruleset is now, is compared with what it was.
    fn relist(&mut self, now: Time) -> Option<Made> {
        tracing::error!("changes of nf_tables lost: the kernel dropped messages");
        self.transactions.handle_overrun();
        let changes = match snapshot() {
            Ok(snapshot) => self.transactions.adopt(snapshot),
            Err(error) => {
                say_unlisted(&error);
                return None;
            }
        };
        (!changes.is_empty()).then_some(Made {
            time: now,
            tgid: None,
            nsid: None,
            changes,
            witness: Witness::Netlink,
            while_blind: true,
        })
    }

    /// What a transaction says, with the process in place of the thread. The process may be over by now; then
    /// the tree still knows it, if the thread was its leader.
    pub(super) fn made(&self, transaction: Transaction, tree: &ProcessTree) -> Made {
        let Transaction {
            nsid,
            generation: _,
            thread_id,
            name: _,
            changes,
            changes_omitted: _,
            elements_omitted: _,
            incomplete: _,
            time,
        } = transaction;
        let leader = tree.at(thread_id, time).map(|process| process.tgid);
        Made {
            time,
            tgid: leader.or_else(|| self.procfs.tgid_of(thread_id)),
            nsid,
            changes,
            witness: Witness::Netlink,
            while_blind: false,
        }
    }
}

fn say_unlisted(error: &NetfilterError) {
    tracing::warn!(%error, "the ruleset of nf_tables cannot be listed");
}
