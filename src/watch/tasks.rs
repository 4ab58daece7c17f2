//! Tasks that end with whoever started them.

use std::future::Future;

use tokio::task::{AbortHandle, JoinHandle};

/// Ends a task when this is dropped.
#[derive(Debug)]
pub(super) struct AbortOnDrop(AbortHandle);

impl AbortOnDrop {
    /// Of a task that runs.
    pub(super) fn of<T>(task: &JoinHandle<T>) -> Self {
        Self(task.abort_handle())
    }

    /// Of a new one.
    pub(super) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self::of(&tokio::spawn(task))
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
