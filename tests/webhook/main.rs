//! The admission server as its clients meet it: real sockets, real TLS, on loopback.
//!
//! - `rig`: starts a server, talks to it in raw HTTP/1.1
//! - `answers`: what a well-meant request gets
//! - `hostile`: what an ill-meant or broken one gets, and that nothing of it stays behind
//! - `tls`: certificates: swapped, broken, expired, of clients
//! - `reload`: policies and the pause switch
//! - `drain`: the end
//! - `ops`: health, metrics, event log, traces
//! - `records`: reviews recorded for replay
//! - `process`: the binary: signals, messages, memory

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what went wrong by panicking"
)]

mod answers;
mod drain;
mod hostile;
mod ops;
mod process;
mod records;
mod reload;
mod rig;
mod tls;
