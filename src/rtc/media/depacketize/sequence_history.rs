//! Which sequence numbers arrived.

/// Which of the last 4,096 sequence numbers arrived: tells a duplicate from a late packet.
pub(crate) struct SequenceHistory([u64; 64]);

impl SequenceHistory {
    pub fn new() -> Self {
        Self([0; 64])
    }
    #[inline]
    pub fn set(&mut self, sequence: u16, arrived: bool) {
        let (word, bit) = Self::place(sequence);
        self.0[word] = self.0[word] & !(1 << bit) | u64::from(arrived) << bit;
    }
    /// Whether the packet, `behind` the next expected one, arrived. False beyond the memory.
    pub fn contains(&self, sequence: u16, behind: u16) -> bool {
        let (word, bit) = Self::place(sequence);
        behind <= 4096 && self.0[word] >> bit & 1 == 1
    }
    /// Always inside the 64 words: a 16-bit number has ten bits above these six, of which six are kept.
    #[inline]
    fn place(sequence: u16) -> (usize, u32) {
        (usize::from(sequence >> 6 & 63), u32::from(sequence & 63))
    }
}
