//! Reads, works and reports in parallel, in order, with bounded memory.
//!
//! One thread reads, as many as there are cores work, the caller's thread takes the results in the order of the input.
//! Items go to the workers in turn and are taken back in turn, so that order needs no sorting; each hand-over holds
//! at most one item, so that a slow consumer stops the reader. The source pushes, because a cursor of a database lives
//! on the stack of the thread that reads it.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Runs until the source ends or fails, or the consumer breaks off. The source hands each item to the function that it
/// gets, and stops when that answers false.
///
/// # Errors
/// The error of the source. What came before it has been consumed.
pub fn run<I, O, E>(
    source: impl FnOnce(&mut dyn FnMut(I) -> bool) -> Result<(), E> + Send,
    work: impl Fn(I) -> O + Sync,
    mut consume: impl FnMut(O) -> ControlFlow<()>,
) -> Result<(), E>
where
    I: Send,
    O: Send,
    E: Send,
{
    let workers = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        let mut inputs: Vec<SyncSender<I>> = Vec::new();
        let mut outputs: Vec<Receiver<O>> = Vec::new();
        for _ in 0..workers {
            let (input, items) = sync_channel::<I>(1);
            let (results, output) = sync_channel::<O>(1);
            inputs.push(input);
            outputs.push(output);
            let work = &work;
            scope.spawn(move || {
                for item in items {
                    if results.send(work(item)).is_err() {
                        break;
                    }
                }
            });
        }
        let reader = scope.spawn(move || {
            let mut lanes = inputs.iter().cycle();
            // A closed lane means that the consumer broke off.
            source(&mut |item| lanes.next().is_some_and(|lane| lane.send(item).is_ok()))
        });
        for lane in outputs.iter().cycle() {
            let Ok(result) = lane.recv() else { break };
            if consume(result).is_break() {
                break;
            }
        }
        drop(outputs);
        match reader.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_the_error_after_them() {
        let source = |push: &mut dyn FnMut(u64) -> bool| {
            (1..=1_000).for_each(|number| assert!(push(number)));
            Err("torn")
        };
        let mut found = Vec::new();
        let result = run(
            source,
            |number| number * 2,
            |number| {
                found.push(number);
                ControlFlow::Continue(())
            },
        );
        assert_eq!(result, Err("torn"));
        assert_eq!(
            found,
            (1..=1_000).map(|number| number * 2).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_consumer_that_breaks_off_ends_an_endless_source() {
        let mut count = 0;
        let result: Result<(), ()> = run(
            |push| {
                while push(1) {}
                Ok(())
            },
            |number| number,
            |_| {
                count += 1;
                if count == 10 {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            },
        );
        assert_eq!((result, count), (Ok(()), 10));
    }

    #[test]
    fn an_empty_source_ends_at_once() {
        let result: Result<(), ()> = run(
            |_: &mut dyn FnMut(u8) -> bool| Ok(()),
            |item| item,
            |_| ControlFlow::Continue(()),
        );
        assert_eq!(result, Ok(()));
    }
}
