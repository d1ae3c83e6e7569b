//! An error and its causes on one line.

use std::{error::Error, fmt};

/// Displays an error and its sources: `a: b: c`.
///
/// In this project the text of an error does not repeat its `source()`; this joins them for a log line or a
/// user. A source whose text is already contained in the text before it (some other crates do that) is left
/// out.
///
/// ```
/// use std::{error::Error, fmt, io};
/// use kyneta_uds_core::Chain;
///
/// #[derive(Debug)]
/// struct NotSaved(io::Error);
/// impl fmt::Display for NotSaved {
///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         f.write_str("not saved")
///     }
/// }
/// impl Error for NotSaved {
///     fn source(&self) -> Option<&(dyn Error + 'static)> {
///         Some(&self.0)
///     }
/// }
///
/// let error = NotSaved(io::Error::other("the disk is full"));
/// assert_eq!(Chain(&error).to_string(), "not saved: the disk is full");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.to_string();
        f.write_str(&last)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            let text = error.to_string();
            if !last.contains(&text) {
                write!(f, ": {text}")?;
                last = text;
            }
            source = error.source();
        }
        Ok(())
    }
}
