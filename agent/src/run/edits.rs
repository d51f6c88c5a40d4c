//! Edits of a firewall's configuration, from the watch to what the pipeline takes.

use std::future::pending;
use std::io;
use std::path::Path;

use crate::host::config_watch::{ConfigWatch, ConfigWatchCounters, Means};
use crate::pipeline::exec::Time;
use crate::pipeline::firewall::edit::ConfigEdit;

/// The watch of the files; blind where the kernel does not let it watch.
pub(super) struct Edits {
    watch: Option<ConfigWatch>,
    /// What was said already; of what goes up and down, the most.
    told: ConfigWatchCounters,
}

impl Edits {
    /// Watches the files under `root` from now on, and says by what means. Must be called within a tokio
    /// runtime.
    pub(super) fn open(root: &Path) -> Self {
        let watch = ConfigWatch::open(root)
            .inspect(say_means)
            .inspect_err(|error| {
                tracing::warn!(%error, "edits of the firewall's configuration are not seen");
            })
            .ok();
        let mut edits = Self {
            watch,
            told: ConfigWatchCounters::default(),
        };
        edits.say_losses();
        edits
    }

    /// One that sees nothing.
    pub(super) fn closed() -> Self {
        Self {
            watch: None,
            told: ConfigWatchCounters::default(),
        }
    }

    /// Returns when there is something to read. May be given up and called again at any point.
    pub(super) async fn wait(&self) -> io::Result<()> {
        match &self.watch {
            Some(watch) => watch.readable().await,
            None => pending().await,
        }
    }

    /// Takes what has come, up to a bound, and says what was lost.
    pub(super) fn read(&mut self, now: Time) -> io::Result<Vec<ConfigEdit>> {
        let Some(watch) = &mut self.watch else {
            return Ok(Vec::new());
        };
        let edits = watch.read(now)?;
        self.say_losses();
        Ok(edits)
    }

    fn say_losses(&mut self) {
        let Some(watch) = &self.watch else {
            return;
        };
        let ConfigWatchCounters {
            overflows,
            unwatched,
            untold,
        } = watch.counters();
        if overflows > self.told.overflows {
            tracing::error!(
                overflows,
                "edits of the firewall's configuration lost: the kernel's queue was full"
            );
        }
        if unwatched > self.told.unwatched {
            tracing::warn!(
                unwatched,
                "folders of the firewall's configuration are not watched"
            );
        }
        if untold > self.told.untold {
            tracing::warn!(
                untold,
                "folders appeared with more files than can be told as edits"
            );
        }
        self.told = ConfigWatchCounters {
            overflows,
            unwatched: unwatched.max(self.told.unwatched),
            untold,
        };
    }
}

fn say_means(watch: &ConfigWatch) {
    let folders = watch.watched();
    match watch.means() {
        Means::Fanotify => {
            tracing::info!(
                folders,
                "the firewall's configuration is watched by fanotify"
            );
        }
        Means::Inotify(refused) => tracing::warn!(
            folders,
            %refused,
            "the firewall's configuration is watched by inotify: who edits it is not told"
        ),
    }
}
