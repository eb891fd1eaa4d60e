//! ZooKeeper's wire and disk encoding: big-endian fields one after another (`BinaryInputArchive`).

use super::Fault;

/// Reads fields off a run of bytes.
#[derive(Clone)]
pub(super) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Where the next field begins.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let end = self.at.checked_add(length).ok_or(Fault::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(Fault::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| Fault::Truncated)
    }

    pub(super) fn boolean(&mut self) -> Result<bool, Fault> {
        Ok(self.array::<1>()? != [0])
    }

    pub(super) fn int(&mut self) -> Result<i32, Fault> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub(super) fn long(&mut self) -> Result<i64, Fault> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// Bytes with their length before them; -1 stands for none.
    pub(super) fn buffer(&mut self) -> Result<Option<&'a [u8]>, Fault> {
        match self.int()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| Fault::Length(length.into()))?;
                self.take(length).map(Some)
            }
        }
    }

    pub(super) fn string(&mut self) -> Result<&'a [u8], Fault> {
        self.buffer()?.ok_or(Fault::Length(-1))
    }

    /// The number of elements of a vector, of which each takes at least `least` bytes.
    pub(super) fn count(&mut self, least: usize) -> Result<usize, Fault> {
        let count = self.int()?;
        let known = usize::try_from(count).map_err(|_| Fault::Length(count.into()))?;
        match known.checked_mul(least) {
            Some(bytes) if bytes <= self.left() => Ok(known),
            _ => Err(Fault::Truncated),
        }
    }

    /// An access control list, as it is.
    pub(super) fn acl(&mut self) -> Result<&'a [u8], Fault> {
        let begin = self.at;
        for _ in 0..self.count(12)? {
            self.int()?;
            self.buffer()?;
            self.buffer()?;
        }
        Ok(&self.bytes[begin..self.at])
    }
}

pub(super) fn put_buffer(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
        Some(bytes) => {
            // No buffer is longer: lengths are read from an int, or bounded by a request.
            let length = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(bytes);
        }
    }
}

/// `StatPersisted`: what a server keeps of a `Stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Persisted {
    pub(super) czxid: i64,
    pub(super) mzxid: i64,
    pub(super) ctime: i64,
    pub(super) mtime: i64,
    pub(super) version: i32,
    /// Creations of children so far; a client is shown another number.
    pub(super) cversion: i32,
    pub(super) aversion: i32,
    pub(super) owner: i64,
    pub(super) pzxid: i64,
}

impl Persisted {
    pub(super) fn read(input: &mut Input<'_>) -> Result<Self, Fault> {
        let mut fields = Input::new(input.take(60)?);
        Ok(Self {
            czxid: fields.long()?,
            mzxid: fields.long()?,
            ctime: fields.long()?,
            mtime: fields.long()?,
            version: fields.int()?,
            cversion: fields.int()?,
            aversion: fields.int()?,
            owner: fields.long()?,
            pzxid: fields.long()?,
        })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut fields = [0; 60];
        fields[..8].copy_from_slice(&self.czxid.to_be_bytes());
        fields[8..16].copy_from_slice(&self.mzxid.to_be_bytes());
        fields[16..24].copy_from_slice(&self.ctime.to_be_bytes());
        fields[24..32].copy_from_slice(&self.mtime.to_be_bytes());
        fields[32..36].copy_from_slice(&self.version.to_be_bytes());
        fields[36..40].copy_from_slice(&self.cversion.to_be_bytes());
        fields[40..44].copy_from_slice(&self.aversion.to_be_bytes());
        fields[44..52].copy_from_slice(&self.owner.to_be_bytes());
        fields[52..].copy_from_slice(&self.pzxid.to_be_bytes());
        out.extend_from_slice(&fields);
    }

    /// In the order in which the tree's digest takes them (`DigestCalculator`).
    pub(super) fn for_digest(&self) -> [u8; 60] {
        let mut fields = [0; 60];
        fields[..8].copy_from_slice(&self.czxid.to_be_bytes());
        fields[8..16].copy_from_slice(&self.mzxid.to_be_bytes());
        fields[16..24].copy_from_slice(&self.pzxid.to_be_bytes());
        fields[24..32].copy_from_slice(&self.ctime.to_be_bytes());
        fields[32..40].copy_from_slice(&self.mtime.to_be_bytes());
        fields[40..44].copy_from_slice(&self.version.to_be_bytes());
        fields[44..48].copy_from_slice(&self.cversion.to_be_bytes());
        fields[48..52].copy_from_slice(&self.aversion.to_be_bytes());
        fields[52..].copy_from_slice(&self.owner.to_be_bytes());
        fields
    }

    /// The newest zxid that it speaks of.
    pub(super) fn newest_zxid(&self) -> i64 {
        self.czxid.max(self.mzxid).max(self.pzxid)
    }
}
