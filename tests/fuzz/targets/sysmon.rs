#![no_main]

use wallwatch::formats::Format;

libfuzzer_sys::fuzz_target!(|data: &[u8]| wallwatch_fuzz::formats::check(Format::Sysmon, data));
