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
