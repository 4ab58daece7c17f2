//! Name servers' answers, and the files that say where to ask: nothing panics or hangs, and no answer to another question is taken.
//!
//! `cargo +nightly fuzz run shim_dns -- -max_len=600 -timeout=5`

#![no_main]

use libfuzzer_sys::fuzz_target;
use stepspan_shim::dns::message::{Answer, Kind, answer, question};
use stepspan_shim::dns::{Config, hosts};

const NAME: &str = "otel-collector.ci.svc.cluster.local";

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let config = Config::parse(&text);
    assert!((1..=3).contains(&config.servers.len()) && config.search.len() <= 32 && config.attempts <= 5);
    assert!(config.candidates(NAME).len() <= 33);
    let _ = hosts::addresses(&text, NAME);
    if let Some(asked) = question(7, &text, Kind::A) {
        assert!(asked.len() <= 253 + 18);
    }
    let Some(asked) = question(7, NAME, Kind::A) else { panic!("a name") };
    // A right beginning, so that what follows is read at all.
    let mut reply = asked.clone();
    reply[2] = 0x81;
    if let [flags, records, rest @ ..] = data {
        reply[3] = *flags;
        reply[7] = *records;
        reply.extend(rest);
    }
    for bytes in [data, &reply] {
        if let Some(Answer::Addresses(found)) = answer(bytes, 7, NAME, Kind::A) {
            assert!(found.len() <= 128);
        }
        assert_eq!(answer(bytes, bytes.first().map_or(9, |b| u16::from(*b) << 8 | 1), "another.name", Kind::A), None);
    }
});
