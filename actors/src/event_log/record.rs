//! How a dispatch lies in the log: length, checksum, Discord's sequence number, and the frames it became.
//!
//! Numbers are little-endian. `len u32 · crc32 u32 · s u64 · first u64 · (len u32 · frame)…`; the length counts what
//! follows the checksum, the checksum covers the same bytes.

use std::str;

/// Length and checksum.
const HEAD: usize = 8;

/// One dispatch and what was made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    /// Discord's sequence number.
    pub(super) s: u64,
    /// The position of the first frame; the others follow without holes.
    pub(super) first: u64,
    /// The link frames: the raw event, then what was derived from it.
    pub(super) frames: Vec<&'a str>,
}

/// What lies at the front of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read<'a> {
    /// A record, and what follows it.
    Record(Record<'a>, &'a [u8]),
    /// Nothing, or a record whose writer was interrupted: it was never broadcast.
    End,
    /// A whole record that is not what was written.
    Corrupt,
}

/// Begins a record in an empty buffer.
pub(super) fn begin(buffer: &mut Vec<u8>, s: u64, first: u64) {
    buffer.clear();
    buffer.extend_from_slice(&[0; HEAD]);
    buffer.extend_from_slice(&s.to_le_bytes());
    buffer.extend_from_slice(&first.to_le_bytes());
}

/// Adds the next frame to the record.
pub(super) fn push(buffer: &mut Vec<u8>, frame: &str) {
    buffer.extend_from_slice(&length(frame.len()));
    buffer.extend_from_slice(frame.as_bytes());
}

/// Ends the record: the buffer is what belongs into the log.
pub(super) fn end(buffer: &mut [u8]) {
    let (head, body) = buffer.split_at_mut(HEAD);
    let (len, checksum) = head.split_at_mut(4);
    len.copy_from_slice(&length(body.len()));
    checksum.copy_from_slice(&crc32fast::hash(body).to_le_bytes());
}

/// Reads the record at the front of `bytes`.
pub(super) fn read(bytes: &[u8]) -> Read<'_> {
    let Some((len, rest)) = take_u32(bytes) else { return Read::End };
    let Some((checksum, rest)) = take_u32(rest) else { return Read::End };
    let Some((body, rest)) = split(rest, len as usize) else { return Read::End };
    if crc32fast::hash(body) != checksum {
        return Read::Corrupt;
    }
    read_body(body).map_or(Read::Corrupt, |record| Read::Record(record, rest))
}

fn read_body(body: &[u8]) -> Option<Record<'_>> {
    let (s, body) = split(body, 8)?;
    let (first, mut body) = split(body, 8)?;
    let mut frames = Vec::new();
    while !body.is_empty() {
        let (len, rest) = take_u32(body)?;
        let (frame, rest) = split(rest, len as usize)?;
        frames.push(str::from_utf8(frame).ok()?);
        body = rest;
    }
    let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_le_bytes);
    Some(Record { s: number(s)?, first: number(first)?, frames })
}

fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = split(bytes, 4)?;
    Some((u32::from_le_bytes(number.try_into().ok()?), rest))
}

fn split(bytes: &[u8], at: usize) -> Option<(&[u8], &[u8])> {
    (bytes.len() >= at).then(|| bytes.split_at(at))
}

/// A frame has at most 16 MiB, a record a handful of them.
fn length(len: usize) -> [u8; 4] {
    u32::try_from(len).expect("frames are limited to 16 MiB").to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Plain = (u64, u64, Vec<String>);

    fn records() -> impl Strategy<Value = Vec<Plain>> {
        prop::collection::vec((any::<u64>(), any::<u64>(), prop::collection::vec(".{0,20}", 0..4)), 0..6)
    }

    fn encoded(records: &[Plain]) -> Vec<u8> {
        let (mut log, mut buffer) = (Vec::new(), Vec::new());
        for (s, first, frames) in records {
            begin(&mut buffer, *s, *first);
            frames.iter().for_each(|frame| push(&mut buffer, frame));
            end(&mut buffer);
            log.extend_from_slice(&buffer);
        }
        log
    }

    /// All records that can be read, and whether something corrupt ended them.
    fn read_all(mut bytes: &[u8]) -> (Vec<Plain>, bool) {
        let mut found = Vec::new();
        loop {
            match read(bytes) {
                Read::End => return (found, false),
                Read::Corrupt => return (found, true),
                Read::Record(record, rest) => {
                    let frames = record.frames.iter().map(ToString::to_string).collect();
                    found.push((record.s, record.first, frames));
                    bytes = rest;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(records in records()) {
            prop_assert_eq!(read_all(&encoded(&records)), (records, false));
        }

        #[test]
        fn a_torn_tail_costs_only_the_record_it_tore(records in records(), cut: prop::sample::Index) {
            let bytes = encoded(&records);
            let cut = cut.index(bytes.len() + 1);
            let whole = (0..=records.len()).rev().find(|n| encoded(&records[..*n]).len() <= cut).unwrap();
            prop_assert_eq!(read_all(&bytes[..cut]), (records[..whole].to_vec(), false));
        }

        #[test]
        fn a_flipped_bit_never_changes_what_is_read(records in records(), at: prop::sample::Index, bit in 0u8..8) {
            let mut bytes = encoded(&records);
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
                let (found, _) = read_all(&bytes);
                prop_assert!(found.len() < records.len() && records.starts_with(&found));
            }
        }

        #[test]
        fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            read_all(&bytes);
        }
    }
}
