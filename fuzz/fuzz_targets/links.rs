#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tortie_fuzz::links(data));
