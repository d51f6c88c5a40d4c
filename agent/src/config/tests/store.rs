//! The bounds of the alert store.

use super::*;

pub(super) const DEFAULTS: StoreSettings = StoreSettings {
    max_bytes: 64 << 20,
    max_age_s: 604_800,
    keep_delivered_s: 86_400,
};

#[test]
fn the_bounds_of_the_store_are_what_is_written() {
    let text = "[store]\nmax_bytes = \"1GiB\"\nmax_age_s = 3600\nkeep_delivered_s = 0\n";
    assert_eq!(
        settings(text).store,
        StoreSettings {
            max_bytes: 1 << 30,
            max_age_s: 3600,
            keep_delivered_s: 0,
        }
    );
}

#[test]
fn bounds_that_make_no_sense_are_refused() {
    check(
        "[store]\nmax_bytes = 4095\nmax_age_s = 0\nkeep_delivered_s = -1\nmax_lines = 3\n",
        expect![[r#"
            c.toml:2: key `store.max_bytes`: expected a size from "4MiB" to "4GiB", found 4095
            c.toml:3: key `store.max_age_s`: expected a whole number from 3600 to 34560000, found 0
            c.toml:4: key `store.keep_delivered_s`: expected a whole number from 0 to 34560000, found -1
            c.toml:5: key `store.max_lines`: unknown, did you mean `max_bytes`?"#]],
    );
}
