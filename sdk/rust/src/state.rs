//! Compact, versioned bytes for an accumulator's state.
//!
//! A state outlives the plugin's version that wrote it, so it begins with a four-byte mark that names its
//! layout (`rfm` and a version number, say). Integers are little-endian base-128 with seven bits a byte,
//! signed ones folded so that small magnitudes are short. Reading trusts nothing: every fault is an `invalid`
//! error.

use crate::Error;

/// Writes a state.
#[derive(Debug, Clone)]
pub struct StateWriter(Vec<u8>);

impl StateWriter {
    /// An empty state with its layout's mark; `capacity` is a guess at the bytes that follow.
    pub fn new(mark: [u8; 4], capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity + mark.len());
        bytes.extend_from_slice(&mark);
        Self(bytes)
    }

    /// Appends an integer; small ones are short.
    #[inline]
    pub fn unsigned(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// Appends a signed integer; small magnitudes are short.
    #[inline]
    pub fn signed(&mut self, value: i64) {
        self.unsigned(((value << 1) ^ (value >> 63)) as u64);
    }

    /// The finished bytes.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads a state.
#[derive(Debug, Clone)]
pub struct StateReader<'a> {
    rest: &'a [u8],
    length: usize,
}

impl<'a> StateReader<'a> {
    /// Starts reading a state that must begin with `mark`.
    pub fn new(mark: [u8; 4], bytes: &'a [u8]) -> Result<Self, Error> {
        match bytes.strip_prefix(&mark) {
            Some(rest) => Ok(Self { rest, length: bytes.len() }),
            None => {
                let found = String::from_utf8_lossy(&bytes[..bytes.len().min(mark.len())])
                    .escape_default()
                    .to_string();
                let wanted = String::from_utf8_lossy(&mark).escape_default().to_string();
                Err(Error::invalid(format!("state begins with \"{found}\", not with \"{wanted}\"")))
            }
        }
    }

    /// The next unsigned integer.
    #[inline]
    pub fn unsigned(&mut self) -> Result<u64, Error> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or_else(|| self.fault("ends early"))?;
            self.rest = rest;
            if shift == 63 && byte > 1 {
                return Err(self.fault("has an integer past 64 bits"));
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.fault("has an integer past 64 bits"))
    }

    /// The next unsigned integer that must fit 32 bits.
    #[inline]
    pub fn unsigned32(&mut self) -> Result<u32, Error> {
        u32::try_from(self.unsigned()?).map_err(|_| self.fault("has an integer past 32 bits"))
    }

    /// The next signed integer.
    #[inline]
    pub fn signed(&mut self) -> Result<i64, Error> {
        let folded = self.unsigned()?;
        Ok((folded >> 1) as i64 ^ -((folded & 1) as i64))
    }

    /// A count of things that take at least `bytes_each` bytes, refused when the rest cannot hold them, so
    /// that a forged count cannot ask for memory.
    pub fn count(&mut self, bytes_each: usize) -> Result<usize, Error> {
        let count = self.unsigned()?;
        match usize::try_from(count) {
            Ok(count) if count.saturating_mul(bytes_each.max(1)) <= self.rest.len() => Ok(count),
            _ => Err(self.fault("counts more than it holds")),
        }
    }

    /// Ends reading; left-over bytes are a fault.
    pub fn finish(self) -> Result<(), Error> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.fault("goes on after its end")) }
    }

    /// An `invalid` error that says where the state is wrong.
    pub fn fault(&self, problem: &str) -> Error {
        Error::invalid(format!("state {problem} at byte {}", self.length - self.rest.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: [u8; 4] = *b"tst\x01";

    #[test]
    fn integers_survive_the_round_trip() {
        let unsigned = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX];
        let signed = [0, -1, 1, 63, -64, 64, i64::MIN, i64::MAX];
        let mut writer = StateWriter::new(MARK, 0);
        unsigned.iter().for_each(|value| writer.unsigned(*value));
        signed.iter().for_each(|value| writer.signed(*value));
        let bytes = writer.finish();
        let mut reader = StateReader::new(MARK, &bytes).expect("mark");
        assert_eq!(unsigned.map(|_| reader.unsigned().expect("unsigned")), unsigned);
        assert_eq!(signed.map(|_| reader.signed().expect("signed")), signed);
        reader.finish().expect("nothing is left");
    }

    #[test]
    fn faults_are_errors() {
        assert!(StateReader::new(MARK, b"tst\x02").is_err());
        assert!(StateReader::new(MARK, b"ts").is_err());
        let read =
            |bytes: &[u8]| StateReader::new(MARK, &[&MARK[..], bytes].concat()).expect("mark").unsigned();
        assert_eq!(read(&[0x80]).expect_err("cut off").message, "state ends early at byte 5");
        assert!(read(&[0xff; 10]).is_err());
        let mut reader = StateReader::new(MARK, b"tst\x01\x7f").expect("mark");
        assert!(reader.count(8).is_err(), "127 things of 8 bytes are not there");
        assert!(StateReader::new(MARK, b"tst\x01\x00").expect("mark").finish().is_err());
    }
}
