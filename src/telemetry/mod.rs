//! What the server says about itself: metrics, one JSON line per event, its own spans.
//!
//! Invariants:
//! - Labels come from closed sets; nothing a request carries becomes a label value.
//! - No value of an env variable, label, annotation or Secret is written anywhere here.
//! - Nothing here waits on the request path: a full event queue drops the line and counts it.

pub mod events;
pub mod metrics;
pub mod rotate;
pub mod summary;
pub mod trace;
