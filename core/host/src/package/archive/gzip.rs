//! The compression around an archive: one gzip member (RFC 1952), nothing before, between or behind.
//!
//! The frame is written here, around miniz_oxide, because its bytes must be the same on every machine: crates that
//! choose a back end by the features of the whole build, or by what the processor can, promise that only for what comes
//! out of them, not for what they write.

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

/// What we write first: magic, deflate, no flags, no time, "slowest compression", "unknown system".
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255];
/// CRC-32 and length of what was compressed, four bytes each.
const TRAILER_BYTES: usize = 8;
/// The best that miniz_oxide does; packages are packed once and read often.
const LEVEL: u8 = 9;
/// What is held at first while unpacking, in bytes; grows by doubling up to the caller's limit.
const BUFFER_BYTES: usize = 64 << 10;

/// Compresses; the same bytes give the same bytes.
pub(super) fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut packed = HEADER.to_vec();
    packed.extend(compress_to_vec(bytes, LEVEL));
    packed.extend(crc32fast::hash(bytes).to_le_bytes());
    // The length modulo 2^32 is what the format asks for.
    packed.extend((bytes.len() as u32).to_le_bytes());
    packed
}

/// Unpacks at most `bytes_max` bytes; never holds more than that, whatever the archive says of itself.
pub(super) fn unpack(packed: &[u8], bytes_max: usize) -> Result<Vec<u8>, String> {
    if !packed.starts_with(&HEADER[..2]) {
        return Err("does not begin as a gzip file does; is it a .regard package?".to_owned());
    }
    let Some((header, body)) = packed.split_first_chunk::<{ HEADER.len() }>() else {
        return Err(cut());
    };
    // The last two bytes say how hard somebody compressed, and on which system; they do not matter.
    if header[2..8] != HEADER[2..8] {
        return Err("has a gzip header with a name, a time or a comment; pack it with `gzip -n`".to_owned());
    }
    let (bytes, used) = inflate(body, bytes_max)?;
    let (crc, length) = match body[used..].len() {
        TRAILER_BYTES => body[used..].split_at(4),
        fewer if fewer < TRAILER_BYTES => return Err(cut()),
        more => {
            return Err(format!("is followed by {} bytes that do not belong to it", more - TRAILER_BYTES));
        }
    };
    if crc != crc32fast::hash(&bytes).to_le_bytes() || length != (bytes.len() as u32).to_le_bytes() {
        return Err("is damaged: its checksum does not fit its content".to_owned());
    }
    Ok(bytes)
}

/// The content of a deflate stream and how many bytes of `body` the stream took.
fn inflate(body: &[u8], bytes_max: usize) -> Result<(Vec<u8>, usize), String> {
    let mut state = Box::<DecompressorOxide>::default();
    // One byte more than allowed, so that content of just the greatest length comes to its end.
    let room_max = bytes_max + 1;
    let mut room = vec![0; BUFFER_BYTES.min(room_max)];
    let (mut used, mut filled) = (0, 0);
    loop {
        let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let (status, taken, given) = decompress(&mut state, &body[used..], &mut room, filled, flags);
        used += taken;
        filled += given;
        if filled > bytes_max {
            return Err(format!("unpacks to more than {bytes_max} bytes, which no package needs"));
        }
        match status {
            TINFLStatus::Done => {
                room.truncate(filled);
                return Ok((room, used));
            }
            TINFLStatus::HasMoreOutput => {
                let length = room.len().saturating_mul(2).min(room_max);
                room.resize(length, 0);
            }
            TINFLStatus::NeedsMoreInput | TINFLStatus::FailedCannotMakeProgress => return Err(cut()),
            _ => return Err("is damaged: its compressed data is not valid".to_owned()),
        }
    }
}

fn cut() -> String {
    "breaks off before its end; fetch it again".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_of_just_the_greatest_length_is_taken() {
        let content = vec![7; 1000];
        assert_eq!(unpack(&pack(&content), 1000).expect("unpacks"), content);
        let refused = unpack(&pack(&content), 999).expect_err("refused");
        assert!(refused.contains("more than 999 bytes"), "{refused}");
        assert!(unpack(&pack(&[]), 0).expect("unpacks").is_empty());
    }

    #[test]
    fn an_archive_that_breaks_off_anywhere_is_refused() {
        let packed = pack(b"return { hook = function() end }");
        for length in 0..packed.len() {
            let refused = unpack(&packed[..length], 1000).expect_err("refused");
            let says = if length < 2 { "gzip" } else { "breaks off" };
            assert!(refused.contains(says), "{length}: {refused}");
        }
    }
}
