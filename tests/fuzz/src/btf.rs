//! A kernel's type information, through the reader of member offsets.

use wallwatch::host::btf::Offsets;
use wallwatch_common::{ABSENT, MEMBERS, Member};

/// `data` is raw BTF.
pub fn check(data: &[u8]) {
    let Ok(offsets) = Offsets::resolve(data) else {
        return;
    };
    let values = offsets.as_slice();
    assert_eq!(values.len(), Member::COUNT);
    for spec in MEMBERS {
        let value = values[spec.member as usize];
        assert!(value != ABSENT || !spec.required);
    }
    let n_absent = values.iter().filter(|&&value| value == ABSENT).count();
    assert_eq!(offsets.missing().count(), n_absent);
}
