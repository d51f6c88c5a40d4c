//! What the host told beside the record of an exec.

use serde::{Deserialize, Serialize};

use super::text::Text;
use crate::pipeline::provenance::{Owner, Provenance, ScriptFile};

#[derive(Serialize, Deserialize)]
pub(super) struct WrittenProvenance {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    script: Option<WrittenScript>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    loads_foreign_code: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unit_is_transient: Option<bool>,
}

#[derive(Serialize, Deserialize)]
struct WrittenScript {
    path: Text,
    uid: u32,
    mode: u16,
}

impl From<WrittenProvenance> for Provenance {
    fn from(written: WrittenProvenance) -> Self {
        Self {
            script: written.script.map(|script| ScriptFile {
                path: script.path.0.into(),
                owner: Owner {
                    uid: script.uid,
                    mode: script.mode,
                },
            }),
            loads_foreign_code: written.loads_foreign_code,
            unit_is_transient: written.unit_is_transient,
        }
    }
}

impl From<&Provenance> for WrittenProvenance {
    fn from(provenance: &Provenance) -> Self {
        let Provenance {
            script,
            loads_foreign_code,
            unit_is_transient,
        } = provenance;
        Self {
            script: script.as_ref().map(|script| WrittenScript {
                path: Text(script.path.to_vec()),
                uid: script.owner.uid,
                mode: script.owner.mode,
            }),
            loads_foreign_code: *loads_foreign_code,
            unit_is_transient: *unit_is_transient,
        }
    }
}
