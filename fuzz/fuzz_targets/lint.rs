//! Lints arbitrary text as a policy file, and sets a value somewhere in it: neither may panic, overflow or hang; findings stand inside the file, and what is set
//! is read.
//!
//! `cargo +nightly fuzz run lint -- -max_len=4000 -timeout=5`

#![no_main]

use libfuzzer_sys::fuzz_target;
use stepspan::lint::lint;
use stepspan::policy::compile::Rules;
use stepspan::policy::load::PolicyFile;
use stepspan::yaml::{self, Edit};

fuzz_target!(|input: (&str, &str, i64)| {
    let (text, path, value) = input;
    let file = PolicyFile { name: "policy.yaml".to_owned(), text: text.to_owned() };
    let lines = text.bytes().filter(|b| matches!(b, b'\n' | b'\r')).count() + 1;
    for finding in lint(&[file], &Rules::default()).findings {
        assert!(finding.start.line <= lines && finding.start <= finding.end, "{finding:?}");
    }
    let set = Edit { path: path.to_owned(), value: value.into() };
    if let Ok(after) = yaml::edit(text, &[set]) {
        assert!(yaml::read(&after, 1).is_ok());
    }
});
