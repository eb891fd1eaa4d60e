//! Where the bytes of a snapshot are, packed or not.

use std::io::{self, BufReader, Cursor, Read, Seek};
use std::sync::{Arc, Mutex, PoisonError};

const GZIP: &[u8] = &[0x1f, 0x8b];
/// The Java library's own framing of snappy, not the standard one.
const XERIAL: &[u8] = b"\x82SNAPPY\0";
const XERIAL_HEADER: usize = 16;
/// No block of snappy is longer.
const LONGEST_BLOCK: u32 = 1 << 30;
/// Three bytes of Snappy stand for 64 at most.
const MOST_PACKED: usize = 22;

/// Whatever can be read from any place, by one thread after another.
pub(super) trait ReadSeek: Read + Seek + Send {}

impl<R: Read + Seek + Send> ReadSeek for R {}

/// Where the bytes of a snapshot are. They can be read more than once, also after the file has been purged.
#[derive(Clone)]
pub(super) enum Source {
    File(Arc<Mutex<dyn ReadSeek>>),
    #[cfg(any(fuzzing, test))]
    Bytes(Arc<Vec<u8>>),
}

impl Source {
    /// Reads from the beginning.
    pub(super) fn open<T, E: From<io::Error>>(
        &self,
        read: impl FnOnce(Unpacked<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        match self {
            #[cfg(any(fuzzing, test))]
            Self::Bytes(bytes) => read(unpacked(&bytes[..])?),
            Self::File(file) => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.rewind()?;
                read(unpacked(&mut *file)?)
            }
        }
    }
}

/// A snapshot's bytes.
pub(super) struct Unpacked<'a> {
    pub(super) input: Box<dyn Read + 'a>,
    /// Whether they were packed.
    pub(super) packed: bool,
}

fn unpacked<'a>(mut input: impl Read + 'a) -> io::Result<Unpacked<'a>> {
    let mut begin = Vec::new();
    input
        .by_ref()
        .take(XERIAL_HEADER as u64)
        .read_to_end(&mut begin)?;
    let gzip = begin.starts_with(GZIP);
    if begin.starts_with(XERIAL) {
        let blocks = Xerial {
            input: BufReader::new(input),
            packed: Vec::new(),
            block: Vec::new(),
            taken: 0,
        };
        return Ok(Unpacked {
            input: Box::new(blocks),
            packed: true,
        });
    }
    let whole = Cursor::new(begin).chain(input);
    let input: Box<dyn Read + 'a> = if gzip {
        let packed = BufReader::with_capacity(64 << 10, whole);
        Box::new(flate2::bufread::MultiGzDecoder::new(packed))
    } else {
        Box::new(whole)
    };
    Ok(Unpacked { input, packed: gzip })
}

struct Xerial<R> {
    input: BufReader<R>,
    packed: Vec<u8>,
    block: Vec<u8>,
    taken: usize,
}

impl<R: Read> Read for Xerial<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.block.len() {
            let mut length = Vec::new();
            match self.input.by_ref().take(4).read_to_end(&mut length)? {
                0 => return Ok(0),
                4 => {}
                _ => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
            let length = u32::from_be_bytes(length.try_into().unwrap_or_default());
            if length > LONGEST_BLOCK {
                return Err(io::Error::other(format!("a block of {length} bytes cannot be")));
            }
            self.packed.clear();
            let wanted = u64::from(length);
            if self.input.by_ref().take(wanted).read_to_end(&mut self.packed)? as u64 != wanted {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // What it says to unpack to is reserved at once.
            let says = snap::raw::decompress_len(&self.packed).map_err(io::Error::other)?;
            if says > self.packed.len().saturating_mul(MOST_PACKED) {
                return Err(io::Error::other(format!(
                    "{length} bytes cannot unpack to {says}"
                )));
            }
            self.block = snap::raw::Decoder::new()
                .decompress_vec(&self.packed)
                .map_err(io::Error::other)?;
            self.taken = 0;
        }
        let count = (&self.block[self.taken..]).read(buffer)?;
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_cannot_claim_more_than_its_bytes_can_stand_for() {
        let packed = |block: &[u8]| {
            let mut file = XERIAL.to_vec();
            file.resize(XERIAL_HEADER, 0);
            file.extend_from_slice(&(block.len() as u32).to_be_bytes());
            file.extend_from_slice(block);
            let mut out = Vec::new();
            let mut unpacked = unpacked(Cursor::new(file)).unwrap();
            unpacked.input.read_to_end(&mut out).map(|_| out.len())
        };
        let zeros = snap::raw::Encoder::new().compress_vec(&[0; 1 << 20]).unwrap();
        assert_eq!(packed(&zeros).unwrap(), 1 << 20);
        let claims = packed(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]).unwrap_err();
        assert!(
            claims.to_string().contains("cannot unpack to 4294967295"),
            "{claims}"
        );
    }
}
