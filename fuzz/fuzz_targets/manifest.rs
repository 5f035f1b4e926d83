#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| forge_remote_fuzz::run("manifest", input));
