//! A thread of its own that reads the tables: a large one takes the kernel long.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use tokio::sync::mpsc;

use super::{XtablesReadError, read};
use crate::host::clock;
use crate::pipeline::exec::Time;
use crate::pipeline::firewall::xtables::{Difference, Listing, Tables};

/// One look at the tables.
#[derive(Debug)]
pub struct Look {
    /// Before the first table was asked for, and behind the last.
    pub began: Time,
    pub ended: Time,
    pub seen: Result<Seen, XtablesReadError>,
}

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    /// What changed since the look before.
    pub differences: Vec<Difference>,
    /// The tables, when something changed.
    pub listing: Option<Arc<Listing>>,
    /// Tables that are there, and those of them that cannot be read.
    pub tables: u64,
    pub unreadable: u64,
}

/// Asks the thread to look, and has its answers.
#[derive(Debug)]
pub struct Reader {
    questions: SyncSender<()>,
    answers: mpsc::Receiver<Look>,
}

impl Reader {
    /// Starts the thread, which ends with the reader and looks at the network namespace of the calling thread. `known`
    /// is what was there last.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub fn spawn(proc: PathBuf, known: Tables) -> io::Result<Self> {
        let (questions, asked) = sync_channel(1);
        let (answering, answers) = mpsc::channel(1);
        thread::Builder::new()
            .name("xtables".to_owned())
            .spawn(move || answer(&proc, known, &asked, &answering))?;
        Ok(Self { questions, answers })
    }

    /// Never waits. Whether the thread looks once more: `false` while it has still to look.
    pub fn ask(&self) -> bool {
        self.questions.try_send(()).is_ok()
    }

    /// Waits for the next look. May be given up and called again at any point.
    pub async fn answer(&mut self) -> Look {
        match self.answers.recv().await {
            Some(look) => look,
            None => std::future::pending().await,
        }
    }
}

fn answer(
    proc: &std::path::Path,
    mut known: Tables,
    asked: &Receiver<()>,
    answering: &mpsc::Sender<Look>,
) {
    for () in asked {
        let began = clock::now();
        let seen = look(proc, &mut known);
        let ended = clock::now();
        let look = Look { began, ended, seen };
        if answering.blocking_send(look).is_err() {
            return;
        }
    }
}

fn look(proc: &std::path::Path, known: &mut Tables) -> Result<Seen, XtablesReadError> {
    let listing = read(proc)?;
    let present = listing.decode()?;
    let tables = present.len() as u64;
    let unreadable = present.errors().count() as u64;
    let differences = known.adopt(present);
    let listing = (!differences.is_empty()).then(|| Arc::new(listing));
    Ok(Seen {
        differences,
        listing,
        tables,
        unreadable,
    })
}
