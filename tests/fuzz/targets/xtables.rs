#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wallwatch_fuzz::xtables::check(data));
