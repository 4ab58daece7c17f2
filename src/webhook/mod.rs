//! The HTTPS admission server.
//!
//! A connection goes [`server`] (accept, limit, TLS) -> `connection` (timeouts, drain) -> `mutate` (one request) ->
//! `body` (bounded read) -> [`crate::admission::review`] -> `answer`. Beside it: [`tls`] (the certificate), `health`
//! with `check` and `probe` (readiness), `keeper` (what changes while it runs), `recorder` (what is kept for replay), `ops` (the plain HTTP port),
//! [`run`] (puts it together).
//!
//! Invariants:
//! - **Fail open.** Whatever a request holds, the answer is `allowed: true` where a uid can be read, else 400 or 413.
//! - Every wait has a limit: handshake, headers, body, idle connection, drain.
//! - Every count that goes up is a guard that takes it down again, also when a task is dropped.
//! - Readers of certificate and policies never wait for a reload.

mod answer;
pub mod authority;
mod body;
pub(crate) mod check;
mod connection;
mod health;
pub(crate) mod keeper;
pub mod kept;
mod mutate;
pub(crate) mod ops;
mod probe;
mod recorder;
pub mod run;
pub mod server;
pub mod tls;
pub(crate) mod validity;

pub use answer::allow;
