//! An error and what caused it, on one line.
//!
//! In: an error. Out: text. Touches nothing.

use std::{error::Error, fmt};

/// Writes an error and its sources, each said once: `a: b: c`.
///
/// The errors of this project say their own part, and their `source()` the rest; this puts the parts
/// together for a log line or a person. A source whose text the error above it has said already, as some
/// errors of other crates do, is left out.
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
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            let text = error.to_string();
            if !said.contains(&text) {
                write!(f, ": {text}")?;
                said = text;
            }
            source = error.source();
        }
        Ok(())
    }
}
