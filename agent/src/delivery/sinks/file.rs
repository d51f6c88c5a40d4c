//! A file beside the local log, in any format, one event a line.

use crate::config::FileSettings;
use crate::delivery::local_log::LocalLog;
use crate::delivery::queue::Chain;
use crate::delivery::sink::{Delivery, Trouble};

use super::{Message, Transport};

pub(super) struct LineFile {
    settings: FileSettings,
    /// `None` until it is needed, and after a failure to open it.
    log: Option<LocalLog>,
}

impl LineFile {
    pub(super) fn new(settings: &FileSettings) -> Self {
        Self {
            settings: settings.clone(),
            log: None,
        }
    }
}

impl Transport for LineFile {
    fn send(&mut self, messages: &[Message<'_>]) -> Delivery {
        let FileSettings { path, group } = &self.settings;
        let opened = match self.log.take() {
            Some(log) => Ok(log),
            None => LocalLog::open(path, group),
        };
        let appended = opened.map_err(|error| (0, error)).and_then(|log| {
            let log = self.log.insert(log);
            let lines: Vec<Vec<u8>> = messages.iter().map(line).collect();
            log.append(&lines)
        });
        match appended {
            Ok(()) => Delivery {
                delivered: messages.len(),
                trouble: None,
            },
            Err((delivered, error)) => {
                let why = Chain(&error).to_string();
                let trouble = Some(Trouble::Retry { after: None, why });
                Delivery { delivered, trouble }
            }
        }
    }

    fn reload(&mut self) {
        self.log = None;
    }
}

fn line(message: &Message<'_>) -> Vec<u8> {
    let mut line = message.body();
    line.push(b'\n');
    line
}
