//! What the webhook and the shim must agree on.
