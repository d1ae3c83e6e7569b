//! What a caught panic says, and calls in which one costs nothing.
//!
//! In: its payload, or what is called. Out: its text. Touches nothing.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// The text of a panic; `None` when its payload is no text.
///
/// ```
/// use kyneta_uds_core::panic_text;
/// let panic = std::panic::catch_unwind(|| panic!("at {}", 7)).unwrap_err();
/// assert_eq!(panic_text(&*panic), Some("at 7"));
/// ```
pub fn panic_text(panic: &(dyn Any + Send)) -> Option<&str> {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref().map(String::as_str))
}

/// That something panicked, and the text of the panic, if it has one.
///
/// ```
/// use kyneta_uds_core::panicked;
/// let panic = std::panic::catch_unwind(|| panic!("at {}", 7)).unwrap_err();
/// assert_eq!(panicked("the handler", &*panic), "the handler panicked: at 7");
/// ```
#[cold]
pub fn panicked(what: &str, panic: &(dyn Any + Send)) -> String {
    let text = panic_text(panic).unwrap_or("no text");
    format!("{what} panicked: {text}")
}

/// Calls code of the user that only looks on, such as what takes events: a panic of it ends nothing else. The hook of
/// panics has reported the panic.
///
/// ```
/// kyneta_uds_core::undisturbed(|| panic!("only looks on"));
/// ```
pub fn undisturbed(call: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(call));
}
