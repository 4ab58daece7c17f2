//! Compiles arbitrary text as an expression and evaluates it: it may fail, but not panic, overflow or hang.
//!
//! `cargo +nightly fuzz run expression -- -dict=expression.dict -max_len=1100 -timeout=5`

#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use stepspan::json::Json;
use stepspan::policy::expr::{Expression, Scope};

static POD: LazyLock<Value> = LazyLock::new(|| {
    json!({
        "metadata": {
            "name": "build-x7k2",
            "labels": {"tier": "gold", "a/b": "slash"},
            "annotations": {"refs": "main,dev"},
            "deletionTimestamp": null,
        },
        "spec": {
            "priority": 7,
            "ratio": 0.5,
            "text": "ab".repeat(2_000),
            "numbers": (0..1_000).collect::<Vec<_>>(),
            "containers": [{"name": "main", "image": "app:1", "env": [{"name": "A", "value": "1"}]}, {"name": "wait"}],
        },
    })
});

fuzz_target!(|source: &str| {
    let Ok(expression) = Expression::compile(source) else { return };
    let pod = Json::from(&*POD);
    let scope = Scope { template: "verify-unit", ..Scope::of_pod(&pod) };
    let start = Instant::now();
    let _ = expression.test(&scope);
    let _ = expression.text(&scope);
    // Some 20 times what the costliest evaluations take under the sanitizer.
    assert!(start.elapsed() < Duration::from_secs(1), "{source}");
});
