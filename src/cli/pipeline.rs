//! Work on all cores, results in the order of the input.
//!
//! A reader thread takes pieces from the input and puts each into two bounded queues: the piece to whichever worker is
//! free, and the place of its result to the caller, who takes the results in order. So there is nothing to re-order, and
//! what is read but not yet taken is bounded by the length of the second queue, whatever the length of the input.

use std::io;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Of a worker: templates of Workflows stand in one another, up to a bound.
const STACK: usize = 16 << 20;
/// Pieces in flight for each worker.
const WINDOW: usize = 3;

/// A piece, and where its result goes.
type Job<T, R> = (T, SyncSender<R>);

/// Gives each piece of `input` to `work`, on `workers` threads, and the results to `each`, in order, until it breaks; a result
/// is `None` where the work panicked.
///
/// Threads are not waited for after a break: the input may be a pipe that never ends.
///
/// # Errors
/// Threads cannot be started.
pub fn ordered<T, R, B>(
    input: impl Iterator<Item = T> + Send + 'static,
    workers: NonZero<usize>,
    work: impl Fn(T) -> R + Send + Sync + 'static,
    mut each: impl FnMut(Option<R>) -> ControlFlow<B>,
) -> io::Result<ControlFlow<B>>
where
    T: Send + 'static,
    R: Send + 'static,
{
    let window = WINDOW * workers.get();
    let (jobs, todo) = sync_channel::<Job<T, R>>(window);
    let (places, results) = sync_channel::<Receiver<R>>(window);
    let todo = Arc::new(Mutex::new(todo));
    let work = Arc::new(work);
    for i in 0..workers.get() {
        let (todo, work) = (todo.clone(), work.clone());
        thread::Builder::new().name(format!("worker-{i}")).stack_size(STACK).spawn(move || work_on(&todo, &*work))?;
    }
    drop(todo);
    thread::Builder::new().name("reader".to_owned()).spawn(move || {
        for piece in input {
            let (result, place) = sync_channel(1);
            if places.send(place).is_err() || jobs.send((piece, result)).is_err() {
                return;
            }
        }
    })?;
    for place in results {
        if let ControlFlow::Break(value) = each(place.recv().ok()) {
            return Ok(ControlFlow::Break(value));
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn work_on<T, R>(todo: &Mutex<Receiver<Job<T, R>>>, work: &impl Fn(T) -> R) {
    loop {
        // The lock is held while waiting: one worker waits for the queue, the others for the lock.
        let job = todo.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((piece, result)) = job else { return };
        // Nothing that a panic could leave half done outlives the piece; the dropped sender tells of it.
        if let Ok(done) = catch_unwind(AssertUnwindSafe(|| work(piece))) {
            // The caller may have stopped listening.
            let _ = result.send(done);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    const WORKERS: NonZero<usize> = NonZero::new(4).unwrap();

    #[test]
    fn results_come_in_the_order_of_the_input() {
        let mut got = Vec::new();
        let slow_first = |i: u64| {
            thread::sleep(Duration::from_micros((i * 7919) % 500));
            i
        };
        let done = ordered(0..500, WORKERS, slow_first, |result| {
            got.push(result.unwrap());
            ControlFlow::<()>::Continue(())
        });
        assert!(done.unwrap().is_continue());
        assert!(got.into_iter().eq(0..500));
    }

    #[test]
    fn a_panic_costs_one_result() {
        let mut lost = Vec::new();
        let mut taken = 0;
        let done = ordered(
            0..50,
            WORKERS,
            |i| assert!(i % 10 != 3, "on purpose"),
            |result| {
                if result.is_none() {
                    lost.push(taken);
                }
                taken += 1;
                ControlFlow::<()>::Continue(())
            },
        );
        assert!(done.unwrap().is_continue());
        assert_eq!((taken, lost), (50, vec![3, 13, 23, 33, 43]));
    }

    #[test]
    fn reading_never_runs_far_ahead_of_taking() {
        let read = Arc::new(AtomicUsize::new(0));
        let counter = read.clone();
        let input = (0..10_000).inspect(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        let mut taken = 0;
        let done = ordered(
            input,
            WORKERS,
            |i| i,
            |_| {
                taken += 1;
                let ahead = read.load(Ordering::SeqCst) - taken;
                assert!(ahead <= WINDOW * WORKERS.get() + 2, "{ahead} ahead");
                if taken == 200 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );
        assert!(done.unwrap().is_break());
    }
}
