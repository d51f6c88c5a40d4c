#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wallwatch_fuzz::answers::check(data));
