//! Work on many values while all connections wait: in as many threads as the machine runs at once.
//!
//! In: values, and what is done with each. Out: the results, in order, or one of the errors. May touch: threads that end
//! before it does.

use std::{num::NonZeroUsize, panic::resume_unwind, thread};

/// A thread costs as much as this many values.
const EACH: usize = 64;

pub(super) fn in_parallel<T: Send, U: Send, E: Send>(
    values: Vec<T>,
    of: impl Fn(T) -> Result<U, E> + Sync,
) -> Result<Vec<U>, E> {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = threads.min(values.len() / EACH).max(1);
    let mut results = Vec::with_capacity(values.len());
    let share = values.len().div_ceil(threads);
    let mut values = values.into_iter();
    let of = &of;
    thread::scope(|scope| {
        let mut others = Vec::with_capacity(threads - 1);
        let own: Vec<T> = values.by_ref().take(share).collect();
        while values.len() > 0 {
            let part: Vec<T> = values.by_ref().take(share).collect();
            others
                .push(scope.spawn(move || part.into_iter().map(of).collect::<Result<Vec<_>, E>>()));
        }
        for result in own.into_iter().map(of) {
            results.push(result?);
        }
        for other in others {
            results.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        }
        Ok(results)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_and_an_error_is_the_result() {
        for count in [0, 1, EACH, 10 * EACH + 1] {
            let doubled = in_parallel((0..count).collect(), |number| Ok::<_, ()>(2 * number));
            assert_eq!(
                doubled.unwrap(),
                (0..count).map(|number| 2 * number).collect::<Vec<_>>()
            );
        }
        for wrong in [0, 10 * EACH - 1] {
            let fails = in_parallel((0..10 * EACH).collect(), |number| match number == wrong {
                true => Err(number),
                false => Ok(()),
            });
            assert_eq!(fails, Err(wrong));
        }
    }
}
