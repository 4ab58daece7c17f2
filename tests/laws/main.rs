//! The nine laws of the evaluator, each formulated a second time and held against generated and hand-written pods.
//!
//! Nothing here asks the evaluator how it does what it does: prefixes, quantities, hashes, the kubelet's expansion and the API
//! server's validation are written anew from their own sources. `PROPTEST_CASES` sets the number of cases.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "all of this is a test"
)]

mod case;
mod dice;
mod kubelet;
mod pods;
mod policies;
mod validation;

mod carrier;
mod identity;
mod law_1_raw;
mod law_2_prefix;
mod law_3_idempotent;
mod law_4_one_function;
mod law_4_records;
mod law_5_fail_open;
mod law_6_minimal;
mod law_7_no_power;
mod law_8_never_refusable;
mod law_9_sizes;
mod law_9_values;
mod undo;
