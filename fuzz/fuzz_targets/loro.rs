#![no_main]
#[path = "../src/loro.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::loro(data));
