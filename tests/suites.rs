//! The suites of the policies that come with stepspan.

use std::process::Command;

#[test]
fn every_case_of_the_shipped_policies_passes() {
    let done = Command::new(env!("CARGO_BIN_EXE_stepspan"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["test", "policies", "--min-coverage", "30"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    assert!(String::from_utf8_lossy(&done.stderr).contains("7 passed, 0 failed"));
}
