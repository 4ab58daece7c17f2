//! The integration tests that need no cluster.

/// Golden folders: each of `tests/cases/*` is one test of the evaluator behind `dry-run`.
mod cases;
/// What a person types and sees: `tests/cmd/*.trycmd`.
mod cmd;
/// `dry-run` as a program: streams, exit codes, broken pipes, order, types.
mod dry_run;
