//! What the shim reads from its environment: its configuration, trace context, lists of `key=value` (baggage, resource attributes).
//! Nothing panics; what is taken is well-formed.
//!
//! `cargo +nightly fuzz run shim_text -- -max_len=4000 -timeout=5`

#![no_main]

use libfuzzer_sys::fuzz_target;
use stepspan_contract::env::{list_has_key, list_value, merge_lists, pairs};
use stepspan_contract::{Config, traceparent};

fuzz_target!(|text: &str| {
    if let Some(parts) = traceparent::parts(text) {
        let hex = |id: &str, digits: usize| id.len() == digits && id.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(hex(parts.trace, 32) && hex(parts.span, 16), "{text}");
        assert!(parts.trace.bytes().any(|b| b != b'0') && parts.span.bytes().any(|b| b != b'0'), "{text}");
    }
    for (key, value) in pairs(text) {
        // What is written anew says the same.
        let again = format!("{key}={}", list_value(&value));
        let read: Vec<_> = pairs(&again).collect();
        assert_eq!(read, [(key, value.clone())], "{again}");
    }
    let merged = merge_lists(text, "a=1,b=2");
    assert!(list_has_key(&merged, "a") && list_has_key(&merged, "b"), "{merged}");
    if let Ok(config) = Config::decode(text) {
        assert_eq!(Config::decode(&config.encode()), Ok(config));
    }
});
