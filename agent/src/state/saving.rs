//! A file of the state that is written on a thread of its own, one version after the other.

use std::future::pending;
use std::path::PathBuf;
use std::thread;

use tokio::sync::oneshot;

use super::StateError;

/// What became of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It is on the disk.
    Saved,
    /// It was not to be had any more; the next one is to be tried.
    Outdated,
    /// It is not to be kept, and nothing older either.
    Refused,
}

/// A file and what is known of it.
pub(super) struct Saving {
    pub(super) path: PathBuf,
    /// The last version that needs no writing.
    settled: Option<u64>,
    under_way: Option<UnderWay>,
}

/// A version that is being written.
struct UnderWay {
    version: u64,
    result: oneshot::Receiver<Result<Written, StateError>>,
}

impl Saving {
    /// `settled`: the version that needs no writing.
    pub(super) fn new(path: PathBuf, settled: Option<u64>) -> Self {
        Self {
            path,
            settled,
            under_way: None,
        }
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Whether this version is to be written now.
    pub(super) fn is_due(&self, version: u64) -> bool {
        self.settled != Some(version) && !self.is_under_way()
    }

    /// Starts the thread; [`finished`](Self::finished) tells what became of it.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub(super) fn start(
        &mut self,
        version: u64,
        write: impl FnOnce(&PathBuf) -> Result<Written, StateError> + Send + 'static,
    ) -> Result<(), StateError> {
        let (done, result) = oneshot::channel();
        let path = self.path.clone();
        // Nobody waits any more when the agent has had to stop.
        let work = move || drop(done.send(write(&path)));
        let started = thread::Builder::new().name("state".to_owned()).spawn(work);
        started.map_err(|source| StateError::Thread {
            path: self.path.clone(),
            source,
        })?;
        self.under_way = Some(UnderWay { version, result });
        Ok(())
    }

    /// Returns when the version that is being written is written, or has failed; never when there is none.
    /// May be given up and called again at any point.
    ///
    /// # Errors
    ///
    /// What the thread gave, or that it was lost.
    pub(super) async fn finished(&mut self) -> Result<Written, StateError> {
        let Some(UnderWay { version, result }) = &mut self.under_way else {
            return pending().await;
        };
        let (version, result) = (*version, result.await);
        self.under_way = None;
        let path = self.path.clone();
        let written = result.unwrap_or(Err(StateError::ThreadLost { path }))?;
        if written != Written::Outdated {
            self.settled = Some(version);
        }
        Ok(written)
    }
}
