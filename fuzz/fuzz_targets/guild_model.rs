#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| guildstream_fuzz::guild_model(data));
