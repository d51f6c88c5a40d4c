//! A disk in memory, of which any operation can fail, or be the last before the power goes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::*;

/// What happens to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::delivery) enum Fault {
    /// It fails with this `errno`, having done half of what it should if it writes; the next ones work.
    Once(i32),
    /// It and all that follow fail so.
    FromHere(i32),
    /// The power goes: nothing that was not synced is left, or `torn`, half of it.
    PowerCut { torn: bool },
}

/// Clones are the same disk.
#[derive(Clone, Default)]
pub(in crate::delivery) struct SimulatedDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: BTreeMap<u64, Content>,
    names: BTreeMap<PathBuf, u64>,
    /// The names that would be there after a power cut.
    lasting: BTreeMap<PathBuf, u64>,
    next_id: u64,
    operations: u64,
    fault: Option<(u64, Fault)>,
    is_off: bool,
}

#[derive(Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    synced: Vec<u8>,
}

struct SimulatedFile {
    disk: SimulatedDisk,
    id: u64,
}

impl SimulatedDisk {
    /// From here on the `nth` operation, the first being 1, meets this fault.
    pub(in crate::delivery) fn arm(&self, nth: u64, fault: Fault) {
        let mut state = self.0.lock().unwrap();
        state.fault = Some((state.operations + nth, fault));
    }

    /// Whether the fault has been met.
    pub(in crate::delivery) fn has_struck(&self) -> bool {
        let state = self.0.lock().unwrap();
        state.fault.is_some_and(|(nth, _)| state.operations >= nth)
    }

    /// All works again; after a power cut, what lasted is there.
    pub(in crate::delivery) fn repair(&self) {
        let mut state = self.0.lock().unwrap();
        let state = &mut *state;
        if let Some((_, Fault::PowerCut { torn })) = state.fault
            && state.is_off
        {
            for content in state.files.values_mut() {
                let survives = content.synced.len();
                let more = content.bytes.len().saturating_sub(survives) / 2;
                let is_longer = content.bytes.starts_with(&content.synced);
                if torn && is_longer {
                    content.bytes.truncate(survives + more);
                } else {
                    content.bytes = content.synced.clone();
                }
                content.synced = content.bytes.clone();
            }
            state.names = state.lasting.clone();
        }
        state.is_off = false;
        state.fault = None;
    }

    /// Changes a file as no writer would.
    pub(in crate::delivery) fn damage(&self, path: &Path, damage: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.lock().unwrap();
        let id = state.names[path];
        let content = state.files.get_mut(&id).unwrap();
        damage(&mut content.bytes);
        content.synced = content.bytes.clone();
    }

    /// Counts an operation and says whether it works. `half` does half of it.
    fn step(&self, half: impl FnOnce(&mut State)) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.operations += 1;
        if state.is_off {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        let operation = state.operations;
        match state.fault {
            Some((nth, Fault::Once(errno))) if operation == nth => {
                half(&mut state);
                Err(io::Error::from_raw_os_error(errno))
            }
            Some((nth, Fault::FromHere(errno))) if operation >= nth => {
                half(&mut state);
                Err(io::Error::from_raw_os_error(errno))
            }
            Some((nth, Fault::PowerCut { .. })) if operation == nth => {
                half(&mut state);
                state.is_off = true;
                Err(io::Error::from_raw_os_error(libc::EIO))
            }
            _ => Ok(()),
        }
    }

    fn file(&self, id: u64) -> Box<dyn DiskFile> {
        Box::new(SimulatedFile {
            disk: self.clone(),
            id,
        })
    }
}

/// What a fault does with an operation that writes nothing.
fn nothing(_: &mut State) {}

impl Disk for SimulatedDisk {
    fn create_directory(&self, _: &Path) -> io::Result<()> {
        self.step(nothing)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.step(nothing)?;
        let state = self.0.lock().unwrap();
        let inside = state
            .names
            .keys()
            .filter(|path| path.parent() == Some(directory));
        Ok(inside
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .collect())
    }

    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        self.step(nothing)?;
        let state = self.0.lock().unwrap();
        let id = state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        let bytes = state.files[id].bytes.clone();
        if bytes.len() as u64 > bytes_max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.step(nothing)?;
        let mut state = self.0.lock().unwrap();
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.next_id += 1;
        let id = state.next_id;
        state.files.insert(id, Content::default());
        state.names.insert(path.to_owned(), id);
        Ok(self.file(id))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.step(nothing)?;
        let state = self.0.lock().unwrap();
        let id = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.file(id))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(nothing)?;
        let mut state = self.0.lock().unwrap();
        let id = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.step(nothing)?;
        let mut state = self.0.lock().unwrap();
        let removed = state.names.remove(path);
        removed.map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.step(nothing)?;
        let mut state = self.0.lock().unwrap();
        let is_inside = |path: &Path| path.parent() == Some(directory);
        let state = &mut *state;
        state.lasting.retain(|path, _| !is_inside(path));
        let now = state.names.iter().filter(|(path, _)| is_inside(path));
        let now: Vec<_> = now.map(|(path, id)| (path.clone(), *id)).collect();
        state.lasting.extend(now);
        Ok(())
    }
}

impl DiskFile for SimulatedFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let id = self.id;
        let write = |state: &mut State, bytes: &[u8]| {
            let content = state.files.get_mut(&id).unwrap();
            content.bytes.extend_from_slice(bytes);
        };
        self.disk
            .step(|state| write(state, &bytes[..bytes.len() / 2]))?;
        write(&mut self.disk.0.lock().unwrap(), bytes);
        Ok(())
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.disk.step(nothing)?;
        let mut state = self.disk.0.lock().unwrap();
        let content = state.files.get_mut(&self.id).unwrap();
        content.bytes.truncate(bytes as usize);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.step(nothing)?;
        let mut state = self.disk.0.lock().unwrap();
        let content = state.files.get_mut(&self.id).unwrap();
        content.synced = content.bytes.clone();
        Ok(())
    }
}
