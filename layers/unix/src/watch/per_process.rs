//! A static value that each process has of its own: threads do not survive fork(2), so a forked child starts
//! anew.
//!
//! In: a static cell. Out: the value of the process that asks. Touches nothing else.

use std::{fmt, sync::OnceLock};

/// A value, and the process that it belongs to.
pub(super) struct PerProcess<T> {
    id: u32,
    pub(super) value: T,
    /// Of a child that this process has forked, in the child's copy of the memory.
    child: OnceLock<Box<Self>>,
}

impl<T: Default> PerProcess<T> {
    /// The value of this process.
    pub(super) fn current(first: &'static OnceLock<Self>) -> &'static Self {
        let id = std::process::id();
        first.get_or_init(|| Self::new(id)).or_child(id)
    }

    /// This one, or that of the child with this id which has inherited it.
    fn or_child(&self, id: u32) -> &Self {
        let mut this = self;
        while this.id != id {
            this = this.child.get_or_init(|| Box::new(Self::new(id)));
        }
        this
    }

    fn new(id: u32) -> Self {
        Self {
            id,
            value: T::default(),
            child: OnceLock::new(),
        }
    }

    /// False in a forked child that has inherited it. There its locks may be held forever.
    pub(super) fn is_current(&self) -> bool {
        self.id == std::process::id()
    }
}

impl<T> fmt::Debug for PerProcess<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PerProcess({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forked_child_starts_anew_whatever_its_parent_had_started() {
        let (parent, child) = (PerProcess::<()>::new(1), std::process::id());
        assert!(!parent.is_current());
        assert!(parent.or_child(child).is_current());
        assert!(std::ptr::eq(parent.or_child(child), parent.or_child(child)));
        assert!(std::ptr::eq(parent.or_child(1), &parent));
        let of_a_grandchild = parent.or_child(child).or_child(2);
        assert!(std::ptr::eq(parent.or_child(2), of_a_grandchild));
    }
}
