//! The files that make a configuration: the one that is named, and those of `conf.d` beside it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::DEFAULT_PATH;
use super::file;
use super::problem::{Fault, Problem};

/// The directory beside the configuration file whose `*.toml` are read after it.
const DROP_INS: &str = "conf.d";
const DROP_INS_MAX: usize = 64;
const EXTENSION: &str = "toml";

/// One file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) file: Arc<Path>,
    pub(super) text: String,
}

impl Source {
    /// The file at `path`, which must be there.
    pub(super) fn read(path: &Path) -> Result<Self, Problem> {
        let file: Arc<Path> = path.into();
        match file::read(path).and_then(|text| text.ok_or_else(file::missing)) {
            Ok(text) => Ok(Self { file, text }),
            Err(fault) => Err(Problem::of_file(&file, fault)),
        }
    }
}

/// The file that was `named`, or the default one, which need not be there; then those of `conf.d` beside it, at most 64
/// of them, in the order of the bytes of their names. The later ones are put over the earlier.
pub(super) fn read(named: Option<&Path>) -> Result<Vec<Source>, Vec<Problem>> {
    let path = named.unwrap_or(Path::new(DEFAULT_PATH));
    let mut sources = Vec::new();
    let mut problems = Vec::new();
    match file::read(path) {
        Ok(Some(text)) => sources.push(Source {
            file: path.into(),
            text,
        }),
        Ok(None) if named.is_none() => {}
        Ok(None) => problems.push(Problem::of_file(&path.into(), file::missing())),
        Err(fault) => problems.push(Problem::of_file(&path.into(), fault)),
    }
    let directory = path.with_file_name(DROP_INS);
    match drop_ins(&directory) {
        Ok(files) => {
            for path in files {
                match Source::read(&path) {
                    Ok(source) => sources.push(source),
                    Err(problem) => problems.push(problem),
                }
            }
        }
        Err(fault) => problems.push(Problem::of_file(&directory.into(), fault)),
    }
    if problems.is_empty() {
        Ok(sources)
    } else {
        Err(problems)
    }
}

/// The files of `directory` that count, in order; none when there is no such directory. A file that begins with a dot is
/// an editor's.
fn drop_ins(directory: &Path) -> Result<Vec<PathBuf>, Fault> {
    let metadata = match fs::metadata(directory) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Fault::Unreadable(error)),
    };
    file::check_mode(metadata.mode())?;
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(Fault::Unreadable)? {
        let entry = entry.map_err(Fault::Unreadable)?;
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let path = entry.path();
        if !is_hidden && path.extension().is_some_and(|end| end == EXTENSION) {
            files.push(path);
        }
        if files.len() > DROP_INS_MAX {
            return Err(Fault::TooMany {
                count_max: DROP_INS_MAX,
            });
        }
    }
    files.sort();
    Ok(files)
}
