//! The sizes of the reads of a stream: four sizes from the input, repeated.

#[derive(Debug, Clone)]
pub(crate) struct Cuts {
    sizes: [u8; 4],
    next: usize,
}

impl Cuts {
    pub(crate) fn new(sizes: [u8; 4]) -> Self {
        Self { sizes, next: 0 }
    }

    /// The size of the next read: 0, or at least `least`. Unlimited if all four sizes are 0.
    pub(crate) fn size_of(&mut self, least: usize) -> usize {
        if self.sizes == [0; 4] {
            return usize::MAX;
        }
        let size = self.sizes[self.next % 4];
        self.next += 1;
        match usize::from(size) {
            0 => 0,
            size => size.max(least),
        }
    }
}
