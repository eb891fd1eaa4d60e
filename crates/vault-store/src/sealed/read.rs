//! Reading a sealed file by ranges: an age file, whose header is opened by age and whose chunks by their numbers.
//!
//! Behind the header and a nonce of 16 bytes the format has chunks of 64 KiB, each with a tag of 16 bytes. The nonce of a chunk is
//! its number in 11 bytes, big-endian, and a byte that is 1 in the last one (<https://c2sp.org/age>).

use std::cell::RefCell;
use std::io::Cursor;
use std::sync::Arc;

use age::secrecy::ExposeSecret as _;
use age::{DecryptError, Decryptor};
use age_core::format::{FileKey, Stanza};
use age_core::primitives::hkdf;
use chacha20poly1305::aead::AeadInPlace as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};

use super::keys::Identities;
use crate::{FileName, StoreError, VaultId, VaultRead};

const CHUNK: u64 = 64 << 10;
const TAG: u64 = 16;
const SEALED_CHUNK: u64 = CHUNK + TAG;
const NONCE: usize = 16;
/// Where a header is looked for; the second place has room for that of 100 recipients.
const HEADS: [usize; 2] = [4 << 10, 64 << 10];
/// So many chunks are read at once: of a request for more the rest comes later.
const AT_ONCE: u64 = 64;

/// A sealed file that is open.
pub(super) struct SealedRead {
    file: Arc<dyn VaultRead>,
    chunks: Chunks,
    id: VaultId,
    name: FileName,
}

/// Where the chunks are, and what opens them.
struct Chunks {
    cipher: ChaCha20Poly1305,
    /// Where the first one begins.
    begin: u64,
    count: u64,
    /// Bytes in all of them.
    size: u64,
}

impl SealedRead {
    /// Opens `file`, which is sealed to one of `identities`.
    pub(super) fn new(
        id: &VaultId,
        name: &FileName,
        file: Arc<dyn VaultRead>,
        identities: &Identities,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            chunks: chunks(id, name, &*file, identities)?,
            file,
            id: id.clone(),
            name: name.clone(),
        })
    }
}

impl VaultRead for SealedRead {
    fn size(&self) -> u64 {
        self.chunks.size
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize, StoreError> {
        let Chunks { begin, size, .. } = self.chunks;
        let end = offset.saturating_add(bytes.len() as u64).min(size);
        if offset >= end {
            return Ok(0);
        }
        let first = offset / CHUNK;
        let behind = end.div_ceil(CHUNK).min(first + AT_ONCE);
        let room = (behind - first) * SEALED_CHUNK;
        let mut sealed = vec![0; usize::try_from(room).unwrap_or(usize::MAX)];
        let there = fill(&*self.file, begin + first * SEALED_CHUNK, &mut sealed)?;
        let (mut from, mut filled) = ((offset - first * CHUNK) as usize, 0);
        for (number, chunk) in (first..).zip(sealed[..there].chunks_mut(SEALED_CHUNK as usize)) {
            let Some(opened) = self.chunks.open(number, chunk) else {
                if filled > 0 {
                    break; // what is before it is told first, so that damage is met by who asks for what it is in
                }
                let what = format!("chunk {number} is not what was sealed");
                return Err(StoreError::damaged(&self.id, &self.name, what));
            };
            let wanted = opened.get(from..).unwrap_or_default();
            let count = wanted.len().min(bytes.len() - filled);
            bytes[filled..filled + count].copy_from_slice(&wanted[..count]);
            (from, filled) = (0, filled + count);
        }
        if filled == 0 {
            return Err(StoreError::damaged(&self.id, &self.name, "it is cut"));
        }
        Ok(filled)
    }
}

impl Chunks {
    /// What is in a sealed chunk; `None` if it is not the one with this number.
    fn open<'a>(&self, number: u64, sealed: &'a mut [u8]) -> Option<&'a [u8]> {
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&number.to_be_bytes());
        nonce[11] = u8::from(number + 1 == self.count);
        let (bytes, tag) = sealed.split_at_mut(sealed.len().checked_sub(TAG as usize)?);
        let tag = chacha20poly1305::Tag::from_slice(tag);
        self.cipher
            .decrypt_in_place_detached(&nonce.into(), b"", bytes, tag)
            .ok()?;
        Some(bytes)
    }
}

fn chunks(
    id: &VaultId,
    name: &FileName,
    file: &dyn VaultRead,
    identities: &Identities,
) -> Result<Chunks, StoreError> {
    let damaged = |what: &str| StoreError::damaged(id, name, what);
    let (key, begin) = header(id, name, file, identities)?;
    let body = file.size().saturating_sub(begin);
    let count = body.div_ceil(SEALED_CHUNK);
    // Each has a tag, and only the one of an empty file has nothing else.
    let last = body - count.saturating_sub(1) * SEALED_CHUNK;
    if last < TAG || (last == TAG && count > 1) {
        return Err(damaged("it is cut"));
    }
    Ok(Chunks {
        cipher: ChaCha20Poly1305::new(&key.into()),
        begin,
        count,
        size: body - count * TAG,
    })
}

/// The key of the chunks, and where they begin.
fn header(
    id: &VaultId,
    name: &FileName,
    file: &dyn VaultRead,
    identities: &Identities,
) -> Result<([u8; 32], u64), StoreError> {
    let damaged = |what: &str| StoreError::damaged(id, name, what);
    for room in HEADS {
        let mut head = vec![0; room];
        let there = fill(file, 0, &mut head)?;
        head.truncate(there);
        let mut head = Cursor::new(head);
        let caught = Catching {
            identities,
            key: RefCell::new(None),
        };
        // Age checks with the key that the header is whole.
        let opened = Decryptor::new_buffered(&mut head)
            .and_then(|decryptor| decryptor.decrypt(std::iter::once(&caught as _)).map(drop));
        match opened {
            Ok(()) => {}
            Err(DecryptError::Io(_)) if there == room => continue,
            Err(DecryptError::NoMatchingKeys) => {
                return Err(damaged(
                    "no identity opens it, though the backup is sealed to one",
                ));
            }
            Err(error) => return Err(damaged(&format!("its header is not what was sealed: {error}"))),
        }
        let begin = head.position() as usize;
        let nonce = &head.get_ref()[begin - NONCE..begin];
        let key = caught.key.borrow();
        let key = key.as_ref().ok_or_else(|| damaged("its header has no key"))?;
        return Ok((hkdf(nonce, b"payload", key.expose_secret()), begin as u64));
    }
    Err(damaged("its header has no end"))
}

/// The identities, which keep the key of the file that they open.
struct Catching<'a> {
    identities: &'a Identities,
    key: RefCell<Option<FileKey>>,
}

impl age::Identity for Catching<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        let found = self
            .identities
            .iter()
            .find_map(|identity| identity.unwrap_stanza(stanza))?;
        Some(found.inspect(|key| {
            let copy = FileKey::new(Box::new(*key.expose_secret()));
            *self.key.borrow_mut() = Some(copy);
        }))
    }
}

/// Reads until `bytes` are full or the file ends, and says how many there are.
fn fill(file: &dyn VaultRead, offset: u64, bytes: &mut [u8]) -> Result<usize, StoreError> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(offset + filled as u64, &mut bytes[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}
