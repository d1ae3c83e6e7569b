//! What a caught panic says.
//!
//! In: its payload. Out: its text. Touches nothing.

use std::any::Any;

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
