//! One event of Sysmon: XML → exec.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

use crate::formats::exec::{
    bare, guid, set_executable, set_id, set_parent, set_user, split, without_nul,
};
use crate::pipeline::exec::Exec;

/// The id of "a process was created".
const PROCESS_CREATE: &[u8] = b"1";

/// Who writes the events that are read here.
const PROVIDER: &[u8] = b"Linux-Sysmon";

/// What is read of an event, by its name there.
#[derive(Clone, Copy)]
enum Field {
    EventId,
    Computer,
    UtcTime,
    ProcessGuid,
    ProcessId,
    Image,
    CommandLine,
    User,
    LogonId,
    TerminalSessionId,
    ParentProcessId,
    ParentImage,
    ParentCommandLine,
}

const FIELD_COUNT: usize = Field::ParentCommandLine as usize + 1;

impl Field {
    fn of_data(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"UtcTime" => Self::UtcTime,
            b"ProcessGuid" => Self::ProcessGuid,
            b"ProcessId" => Self::ProcessId,
            b"Image" => Self::Image,
            b"CommandLine" => Self::CommandLine,
            b"User" => Self::User,
            b"LogonId" => Self::LogonId,
            b"TerminalSessionId" => Self::TerminalSessionId,
            b"ParentProcessId" => Self::ParentProcessId,
            b"ParentImage" => Self::ParentImage,
            b"ParentCommandLine" => Self::ParentCommandLine,
            _ => return None,
        })
    }
}

/// What the event tells.
#[derive(Default)]
struct Told {
    fields: [Option<Vec<u8>>; FIELD_COUNT],
    /// When it was logged.
    system_time: Option<Vec<u8>>,
    is_of_another: bool,
}

/// Reads an event, from its first to its last tag. `None` when it is of something else than an exec.
pub(super) fn read(text: &[u8]) -> Result<Option<Exec>, String> {
    let mut reader = Reader::from_reader(text);
    // What is no reference stands as it is.
    reader.config_mut().allow_dangling_amp = true;
    let mut told = Told::default();
    let mut field = None;
    let mut value = Vec::new();
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(_) | Event::Empty(_) if field.is_some() => {
                return Err("markup in a field".to_owned());
            }
            Event::Start(tag) => {
                field = told.handle_tag(&tag)?;
                value.clear();
            }
            Event::Empty(tag) => {
                told.handle_tag(&tag)?;
            }
            Event::Text(part) if field.is_some() => value.extend_from_slice(&part),
            Event::CData(part) if field.is_some() => value.extend_from_slice(&part),
            Event::GeneralRef(name) if field.is_some() => push_reference(&name, &mut value),
            Event::End(_) => {
                if let Some(field) = field.take() {
                    told.fields[field as usize] = Some(std::mem::take(&mut value));
                }
                if told.is_of_another || told.is_no_exec() {
                    return Ok(None);
                }
            }
            Event::Eof => break,
            Event::Text(_)
            | Event::CData(_)
            | Event::GeneralRef(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_) => {}
        }
    }
    told.exec().map(Some)
}

impl Told {
    /// Which field the content of an element is.
    fn handle_tag(&mut self, tag: &BytesStart<'_>) -> Result<Option<Field>, String> {
        let attribute = |name| {
            let attribute = tag.try_get_attribute(name);
            attribute.map_err(|error| error.to_string())
        };
        match tag.local_name().as_ref() {
            b"EventID" => return Ok(Some(Field::EventId)),
            b"Computer" => return Ok(Some(Field::Computer)),
            b"Data" => {
                return Ok(attribute("Name")?.and_then(|name| Field::of_data(&name.value)));
            }
            b"Provider" => {
                self.is_of_another =
                    attribute("Name")?.is_some_and(|name| *name.value != *PROVIDER);
            }
            b"TimeCreated" => {
                self.system_time = attribute("SystemTime")?.map(|time| time.value.into_owned());
            }
            _ => {}
        }
        Ok(None)
    }

    fn is_no_exec(&self) -> bool {
        let id = self.fields[Field::EventId as usize].as_deref();
        id.is_some_and(|id| id.trim_ascii() != PROCESS_CREATE)
    }

    /// A field with something in it; Sysmon writes `-` for what it does not know.
    fn field(&self, field: Field) -> Option<&[u8]> {
        let value = self.fields[field as usize].as_deref()?;
        (!value.is_empty() && value != b"-").then_some(value)
    }

    fn text(&self, field: Field) -> Option<String> {
        let value = self.field(field)?.trim_ascii();
        Some(String::from_utf8_lossy(value).into_owned())
    }

    fn id(&self, field: Field, name: &str) -> Result<Option<u32>, String> {
        let Some(text) = self.text(field) else {
            return Ok(None);
        };
        let id = text.parse();
        id.map(Some)
            .map_err(|_| format!("{name} is {text:?}, expected a number"))
    }

    fn pid(&self, field: Field, name: &str) -> Result<u32, String> {
        self.id(field, name)?
            .ok_or_else(|| format!("{name} is missing, expected a number"))
    }

    /// Nanoseconds since 1970.
    fn time(&self) -> Result<u64, String> {
        let told = self.text(Field::UtcTime);
        let logged = self.system_time.as_deref().map(String::from_utf8_lossy);
        let time = if let Some(text) = &told {
            let local: Option<DateTime> = text.parse().ok();
            local.and_then(|local| TimeZone::UTC.to_timestamp(local).ok())
        } else {
            logged.as_ref().and_then(|text| text.parse().ok())
        };
        let ns = time.and_then(|time: Timestamp| u64::try_from(time.as_nanosecond()).ok());
        ns.ok_or_else(|| {
            let shown = told.as_deref().or(logged.as_deref()).unwrap_or_default();
            format!("UtcTime is {shown:?}, expected a date and time as 2026-11-24 02:40:43.803")
        })
    }

    fn exec(&self) -> Result<Exec, String> {
        if self.fields[Field::EventId as usize].is_none() {
            return Err("EventID is missing".to_owned());
        }
        let pid = self.pid(Field::ProcessId, "ProcessId")?;
        let ppid = self.pid(Field::ParentProcessId, "ParentProcessId")?;
        let mut exec = bare(self.time()?, pid, ppid);
        if let Some(told) = self.text(Field::ProcessGuid).as_deref().and_then(guid) {
            exec.guid = told;
        }
        let uid = self.id(Field::LogonId, "LogonId")?.and_then(set_id);
        set_user(&mut exec, self.text(Field::User).as_deref(), uid);
        exec.session_id = self
            .id(Field::TerminalSessionId, "TerminalSessionId")?
            .and_then(set_id);
        exec.dest = self.text(Field::Computer).map(Into::into);
        for (field, set) in [
            (Field::Image, set_executable as fn(&mut Exec, &[u8])),
            (Field::ParentImage, set_parent),
        ] {
            if let Some(path) = self.field(field) {
                without_nul(path)?;
                set(&mut exec, path);
            }
        }
        if let Some(line) = self.field(Field::CommandLine) {
            exec.argv = split(line)?;
        }
        if let Some(line) = self.field(Field::ParentCommandLine) {
            exec.parent_argv = Some(split(line)?);
        }
        Ok(exec)
    }
}

/// What a reference stands for: one of XML's five names or a character's number. No others are defined, for
/// a definition in the log itself is not followed.
fn push_reference(reference: &BytesRef<'_>, value: &mut Vec<u8>) {
    let name: &[u8] = reference;
    match name {
        b"lt" => value.push(b'<'),
        b"gt" => value.push(b'>'),
        b"amp" => value.push(b'&'),
        b"apos" => value.push(b'\''),
        b"quot" => value.push(b'"'),
        _ => match reference.resolve_char_ref().ok().flatten() {
            Some(character) => {
                value.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            None => {
                value.push(b'&');
                value.extend_from_slice(name);
                value.push(b';');
            }
        },
    }
}
