//! What CI systems, shells and kubectl are given: the action's script on a real repository, completions, man pages, the plugin's name.

/// The action: its parts, and what it says of them.
mod action;
/// Which manifests the action looks at.
mod changed;
/// What docs/ci.md shows, run: the job of GitLab, the hooks.
mod documented;
/// What the action cannot do, as annotations.
mod failures;
/// The repository that all of it is tried on.
mod repository;
/// Completions, man pages, the plugin of kubectl.
mod shells;

const PROGRAM: &str = env!("CARGO_BIN_EXE_stepspan");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");
