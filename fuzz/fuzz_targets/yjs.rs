#![no_main]
#[path = "../src/yjs.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::yjs(data));
