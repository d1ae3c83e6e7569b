//! A position in a trace, as W3C's Trace Context names it.
//!
//! In: text, or bytes of an envelope. Out: the other one. Touches nothing.

use std::{fmt, num::NonZero, str::FromStr};

/// Bytes of one in an envelope.
pub(crate) const SIZE: usize = 25;

/// The header `traceparent` of [W3C's Trace Context](https://www.w3.org/TR/trace-context/): which trace, and which span of
/// it a message comes from.
///
/// ```
/// use kyneta_uds::bus::TraceParent;
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let parent: TraceParent = text.parse()?;
/// assert!(parent.is_sampled());
/// assert_eq!(parent.to_string(), text);
/// let next = parent.child(0x53995c3f42cd8ad8).ok_or("no id of a span")?;
/// assert_eq!(next.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-53995c3f42cd8ad8-01");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    // So an absent one takes no more room in a message that is handed over.
    trace: NonZero<u128>,
    span: NonZero<u64>,
    flags: u8,
}

/// A text is no `traceparent`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTraceParent {
    /// It has another form.
    #[error(
        "a traceparent is VERSION-TRACE-SPAN-FLAGS with 2, 32, 16 and 2 digits 0 to 9 and a to f, and this text is not"
    )]
    Form,
    /// The version `ff` is forbidden.
    #[error("a traceparent of version ff is forbidden")]
    Version,
    /// All digits of the trace or of the span are zero.
    #[error("the id of a traceparent's {0} is zero")]
    Zero(&'static str),
}

impl TraceParent {
    /// The span with this id in this trace; `None` if one of the two is zero. Of the flags the lowest bit says that the
    /// trace is sampled.
    pub const fn new(trace: u128, span: u64, flags: u8) -> Option<Self> {
        match (NonZero::new(trace), NonZero::new(span)) {
            (Some(trace), Some(span)) => Some(Self { trace, span, flags }),
            _ => None,
        }
    }

    /// Another span of the same trace; `None` if its id is zero.
    pub const fn child(self, span: u64) -> Option<Self> {
        Self::new(self.trace.get(), span, self.flags)
    }

    /// The id of the trace.
    pub const fn trace_id(self) -> u128 {
        self.trace.get()
    }

    /// The id of the span.
    pub const fn span_id(self) -> u64 {
        self.span.get()
    }

    /// The flags.
    pub const fn flags(self) -> u8 {
        self.flags
    }

    /// Whether the sender may have recorded the trace.
    pub const fn is_sampled(self) -> bool {
        self.flags & 1 == 1
    }

    /// As in an envelope.
    pub(crate) fn to_bytes(self) -> [u8; SIZE] {
        let mut bytes = [self.flags; SIZE];
        let (trace, rest) = bytes.split_at_mut(16);
        trace.copy_from_slice(&self.trace.get().to_be_bytes());
        let (span, _) = rest.split_at_mut(8);
        span.copy_from_slice(&self.span.get().to_be_bytes());
        bytes
    }

    /// What an envelope has, if it is one.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (trace, rest) = bytes.split_first_chunk()?;
        let (span, rest) = rest.split_first_chunk()?;
        let &[flags] = rest else { return None };
        Self::new(
            u128::from_be_bytes(*trace),
            u64::from_be_bytes(*span),
            flags,
        )
    }
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    /// A later version may have more behind the flags, which is ignored.
    fn from_str(text: &str) -> Result<Self, InvalidTraceParent> {
        let mut parts = text.split('-');
        let mut digits = |count| {
            let part = parts.next()?;
            let are_digits = part
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            (part.len() == count && are_digits).then_some(part)?;
            u128::from_str_radix(part, 16).ok()
        };
        let (version, trace, span, flags) = (digits(2), digits(32), digits(16), digits(2));
        let (Some(version), Some(trace), Some(span), Some(flags)) = (version, trace, span, flags)
        else {
            return Err(InvalidTraceParent::Form);
        };
        match version {
            0 if parts.next().is_some() => return Err(InvalidTraceParent::Form),
            0xff => return Err(InvalidTraceParent::Version),
            _ => {}
        }
        // They have as many digits as these types.
        let (span, flags) = (span as u64, flags as u8);
        let zero = if trace == 0 { "trace" } else { "span" };
        Self::new(trace, span, flags).ok_or(InvalidTraceParent::Zero(zero))
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, span, flags } = self;
        write!(f, "00-{trace:032x}-{span:016x}-{flags:02x}")
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceParent({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn what_is_written_is_read_as_text_and_in_an_envelope() {
        let text = format!("00-{TRACE}-{SPAN}-01");
        let parent: TraceParent = text.parse().unwrap();
        assert_eq!(parent.trace_id(), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(
            (parent.span_id(), parent.flags()),
            (0x00f0_67aa_0ba9_02b7, 1)
        );
        assert_eq!(parent.to_string(), text);
        let bytes = parent.to_bytes();
        assert_eq!(hex::encode(bytes), format!("{TRACE}{SPAN}01"));
        assert_eq!(TraceParent::from_bytes(&bytes), Some(parent));
        for end in 0..SIZE {
            assert_eq!(TraceParent::from_bytes(&bytes[..end]), None);
        }
        assert_eq!(TraceParent::from_bytes(&[1; SIZE + 1]), None);
        assert_eq!(TraceParent::from_bytes(&[0; SIZE]), None);
    }

    #[test]
    fn what_the_standard_forbids_is_refused() {
        use InvalidTraceParent::{Form, Version, Zero};
        let zeros = "0".repeat(32);
        for (text, error) in [
            (String::new(), Form),
            (format!("00-{TRACE}-{SPAN}"), Form),
            (format!("00-{TRACE}-{SPAN}-1"), Form),
            (format!("00-{TRACE}-{SPAN}-01-"), Form),
            (format!("00-{TRACE}-{SPAN}-01-more"), Form),
            (format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), Form),
            (format!("00-{TRACE}-{SPAN}-+1"), Form),
            (format!("0-{TRACE}-{SPAN}-01"), Form),
            (format!("00-{SPAN}-{TRACE}-01"), Form),
            (format!("ff-{TRACE}-{SPAN}-01"), Version),
            (format!("00-{zeros}-{SPAN}-01"), Zero("trace")),
            (format!("00-{TRACE}-{}-01", "0".repeat(16)), Zero("span")),
        ] {
            assert_eq!(text.parse::<TraceParent>(), Err(error), "{text}");
        }
        // A later version.
        let later = format!("cc-{TRACE}-{SPAN}-01-what-comes-later");
        assert_eq!(
            later.parse::<TraceParent>().unwrap().to_string(),
            format!("00-{TRACE}-{SPAN}-01")
        );
    }
}
