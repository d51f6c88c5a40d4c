//! What the service manager is told of the agent, and when.

use std::time::Duration;

use crate::host::systemd::ServiceManager;
use crate::pipeline::watch::StoreBooks;

/// What must go on, as it stands at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Drains of the rings.
    pub(super) drains: u64,
    /// Turns of the store's thread.
    pub(super) store_turns: u64,
}

/// The manager, and what it was told last.
pub(super) struct Manager {
    service: ServiceManager,
    status: String,
    fed: Progress,
}

impl Manager {
    pub(super) fn new(service: ServiceManager) -> Self {
        Self {
            service,
            status: String::new(),
            fed: Progress::default(),
        }
    }

    /// Whether anybody wants a status.
    pub(super) fn is_there(&self) -> bool {
        self.service.is_there()
    }

    pub(super) fn look_interval(&self) -> Option<Duration> {
        self.service.look_interval()
    }

    pub(super) fn ready(&mut self, status: String) {
        self.service.ready(&status);
        self.status = status;
    }

    /// Tells it if it is another one.
    pub(super) fn status(&mut self, status: String) {
        if self.status != status {
            self.service.status(&status);
            self.status = status;
        }
    }

    pub(super) fn reloading(&self) {
        self.service.reloading();
    }

    pub(super) fn stopping(&self) {
        self.service.stopping();
    }

    /// Feeds the watchdog if both have gone on since it was fed last.
    pub(super) fn look(&mut self, progress: Progress) {
        if has_gone_on(self.fed, progress) {
            self.service.feed();
            self.fed = progress;
        }
    }
}

fn has_gone_on(before: Progress, now: Progress) -> bool {
    now.drains != before.drains && now.store_turns != before.store_turns
}

/// One line: the alerts so far, and the sinks that are in trouble; of those there are 17 at most.
pub(super) fn status(alerts: u64, execs_lost: u64, store: &StoreBooks) -> String {
    let mut status = format!("armed, {alerts} alerts");
    if execs_lost > 0 {
        status += &format!(", {execs_lost} execs lost");
    }
    if !store.durable || store.degraded {
        status += "; the store takes nothing";
    }
    for sink in store.sinks.iter().filter(|sink| sink.in_trouble) {
        let (name, backlog) = (&sink.name, sink.backlog);
        status += &format!("; {name} is in trouble, {backlog} behind");
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::watch::SinkBooks;

    #[test]
    fn the_watchdog_is_fed_only_when_both_have_gone_on() {
        let before = Progress {
            drains: 4,
            store_turns: 7,
        };
        let after = |drains, store_turns| {
            let now = Progress {
                drains,
                store_turns,
            };
            has_gone_on(before, now)
        };
        assert!(after(5, 8));
        assert!(!after(5, 7), "the store's thread stands still");
        assert!(!after(4, 8), "the rings are not drained");
        assert!(!after(4, 7));
    }

    fn books(sinks: Vec<SinkBooks>) -> StoreBooks {
        StoreBooks {
            durable: true,
            sinks,
            ..StoreBooks::default()
        }
    }

    fn sink(name: &str, backlog: u64, in_trouble: bool) -> SinkBooks {
        SinkBooks {
            name: name.to_owned(),
            backlog,
            in_trouble,
            ..SinkBooks::default()
        }
    }

    #[test]
    fn the_status_names_what_is_in_trouble_and_nothing_else() {
        let well = books(vec![sink("local-log", 0, false), sink("hec", 3, false)]);
        assert_eq!(status(3, 0, &well), "armed, 3 alerts");
        let bad = books(vec![sink("local-log", 0, false), sink("hec", 12, true)]);
        assert_eq!(
            status(3, 1, &bad),
            "armed, 3 alerts, 1 execs lost; hec is in trouble, 12 behind"
        );
        let degraded = StoreBooks {
            degraded: true,
            ..books(Vec::new())
        };
        assert_eq!(
            status(0, 0, &degraded),
            "armed, 0 alerts; the store takes nothing"
        );
    }
}
