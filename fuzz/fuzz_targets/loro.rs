#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| kyneta_uds_fuzz::loro(data));
