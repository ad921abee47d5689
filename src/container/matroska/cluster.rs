//! One cluster in memory (RFC 9559, 5.1.3): blocks are appended, and the whole element is written at once. It never touches a file.

use super::ebml::{LONGEST_HEAD, put_id, put_size, put_uint, wide_size};
use super::elements::{CLUSTER, SIMPLE_BLOCK, TIMESTAMP};

/// A cluster is cut before its blocks take more bytes than this.
pub(crate) const MAX_CLUSTER_BYTES: usize = 4 << 20;
/// Bytes of the buffer that are kept from one cluster to the next.
const KEPT_CAPACITY: usize = 256 << 10;
/// The key frame flag of a SimpleBlock (RFC 9559, 10.2).
const KEY_FRAME: u8 = 0x80;

/// A cluster that is being filled.
#[derive(Debug, Default)]
pub(super) struct ClusterBuffer {
    /// The element with its head, whose size is filled in at the end; empty before the first block.
    bytes: Vec<u8>,
    start_ms: u64,
    frames: u64,
}

impl ClusterBuffer {
    /// True before the first block.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes of the whole element.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of the element's data: all but its head.
    pub fn data_len(&self) -> usize {
        self.bytes.len().saturating_sub(LONGEST_HEAD)
    }

    /// Blocks in it.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// `ms` relative to the start of this cluster, or of the one before while this one is empty.
    pub fn offset_ms(&self, ms: u64) -> i64 {
        ms as i64 - self.start_ms as i64
    }

    /// Appends a SimpleBlock of track `track` (1 to 126). The first block begins the cluster. Returns where the frame's bytes
    /// begin. `ms` has to be within 32 s of the cluster's start, for a block's time has 16 bits.
    pub fn push<'a>(
        &mut self,
        track: u8,
        ms: u64,
        key: bool,
        length: usize,
        parts: impl Iterator<Item = &'a [u8]>,
    ) -> usize {
        if self.bytes.is_empty() {
            put_id(&mut self.bytes, CLUSTER);
            self.bytes.extend_from_slice(&wide_size(None));
            put_uint(&mut self.bytes, TIMESTAMP, ms);
            self.start_ms = ms;
        }
        let [high, low] = (self.offset_ms(ms) as i16).to_be_bytes();
        put_id(&mut self.bytes, SIMPLE_BLOCK);
        put_size(&mut self.bytes, length as u64 + 4);
        self.bytes.extend_from_slice(&[0x80 | track, high, low, if key { KEY_FRAME } else { 0 }]);
        let start = self.bytes.len();
        parts.for_each(|part| self.bytes.extend_from_slice(part));
        self.frames += 1;
        start
    }

    /// The bytes from `start` on, as [`ClusterBuffer::push`] returned it.
    pub fn from(&self, start: usize) -> &[u8] {
        self.bytes.get(start..).unwrap_or_default()
    }

    /// The whole element with its size filled in; empty without blocks.
    pub fn element(&mut self) -> &[u8] {
        let size = self.data_len() as u64;
        if let Some(head) = self.bytes.get_mut(4..LONGEST_HEAD) {
            head.copy_from_slice(&wide_size(Some(size)));
        }
        &self.bytes
    }

    /// Removes all blocks.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_CAPACITY);
        self.frames = 0;
    }

    /// Bytes that the buffer holds memory for.
    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
pub(super) const MAX_IDLE_CAPACITY: usize = KEPT_CAPACITY;
