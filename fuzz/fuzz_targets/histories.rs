//! See `fuzz_targets::histories`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::histories(data));
