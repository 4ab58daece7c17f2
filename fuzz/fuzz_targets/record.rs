//! Replays arbitrary bytes as a line of records, and records arbitrary bytes as a review: neither may panic, overflow or hang, and what is recorded is read.
//!
//! `cargo +nightly fuzz run record -- -max_len=20000 -timeout=5`

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use stepspan::admission::review;
use stepspan::context::Context;
use stepspan::policy::PolicySet;
use stepspan::policy::compile::Rules;
use stepspan::record::trial::{Remembered, Tally, Trial};
use stepspan::record::{Account, Record, line};

fn embedded() -> PolicySet {
    PolicySet::embedded(&Rules::default()).unwrap_or_default()
}

fuzz_target!(|bytes: &[u8]| {
    static TRIAL: OnceLock<Trial> = OnceLock::new();
    let trial = TRIAL.get_or_init(|| Trial { older: Some(embedded()), newer: PolicySet::default() });
    let mut tally = Tally::default();
    let _ = trial.line(bytes, &mut Remembered::new(), &mut tally);
    let policies = embedded();
    let was = Account::of(&review(bytes, &policies, &Context::default()));
    if let Some(record) = line(bytes, &policies, &Context::default(), was, "2026-01-02T03:04:05Z") {
        assert!(Record::read(&record).is_ok());
        assert!(trial.line(&record, &mut Remembered::new(), &mut tally).is_ok());
    }
});
