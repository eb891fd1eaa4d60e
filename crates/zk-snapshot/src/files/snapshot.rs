//! Snapshot files (`FileSnap`, `SnapStream`): reading those of any release, and writing clean ones.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read};

use simd_adler32::Adler32;

use super::acls::{Acls, OPEN_ID};
use super::jute::{Input, Persisted, put_buffer};
use super::tree::{FileTree, Span};
use super::{Fault, FileError};

const MAGIC: &[u8; 4] = b"ZKSN";
const GZIP: &[u8] = &[0x1f, 0x8b];
/// The Java library's own framing of snappy, not the standard one.
const XERIAL: &[u8] = b"\x82SNAPPY\0";
/// Ends the znodes and every checksum: a string, `/`.
const END: &[u8] = &[0, 0, 0, 1, b'/'];
const DIGEST_VERSION: i32 = 2;
/// About as much is handed on at once.
const PART: usize = 1 << 20;

/// A snapshot as it was loaded.
pub(super) struct Loaded {
    pub(super) tree: FileTree,
    /// The zxid and the digest that the server knew when it had written the last znode.
    pub(super) digest: Option<(i64, u64)>,
    /// The newest change that may be in it; up to there it needs the logs.
    pub(super) end: i64,
}

/// Loads the snapshot `name`, taken at `zxid`, packed or not. Every byte is checked.
pub(super) fn load(name: &str, zxid: i64, bytes: Vec<u8>) -> Result<Loaded, FileError> {
    let bytes = unpack(bytes).map_err(|fault| FileError::new(name, 0, fault))?;
    let mut at = 0;
    parse(bytes, zxid, &mut at).map_err(|fault| FileError::new(name, at, fault))
}

fn unpack(bytes: Vec<u8>) -> Result<Vec<u8>, Fault> {
    let packed = |error: io::Error| Fault::Packed(error.to_string());
    let mut plain = Vec::new();
    if bytes.starts_with(GZIP) {
        flate2::read::MultiGzDecoder::new(&bytes[..])
            .read_to_end(&mut plain)
            .map_err(packed)?;
        Ok(plain)
    } else if bytes.starts_with(XERIAL) {
        let mut input = Input::new(bytes.get(16..).ok_or(Fault::Truncated)?);
        let mut decoder = snap::raw::Decoder::new();
        while input.left() > 0 {
            let block = decoder
                .decompress_vec(input.string()?)
                .map_err(|error| Fault::Packed(error.to_string()))?;
            plain.extend_from_slice(&block);
        }
        Ok(plain)
    } else {
        Ok(bytes)
    }
}

/// `at` is where it is, for the error.
fn parse(bytes: Vec<u8>, zxid: i64, at: &mut usize) -> Result<Loaded, Fault> {
    let mut input = Input::new(&bytes);
    if input.take(4) != Ok(MAGIC) {
        return Err(Fault::Magic("a snapshot"));
    }
    input.take(12)?; // version and dbid, which no reader looks at
    let mut sessions = HashMap::new();
    for _ in 0..input.count(12)? {
        sessions.insert(input.long()?, input.int()?);
    }
    let mut acls = Acls::default();
    let mut numbers = HashMap::from([(OPEN_ID, Acls::OPEN)]);
    for _ in 0..input.count(12)? {
        *at = input.at();
        numbers.insert(input.long()?, acls.number(input.acl()?));
    }
    *at = input.at();
    let mut tree = FileTree::over(bytes, zxid, sessions, acls);
    let mut end = zxid;
    let mut ancestors: Vec<u32> = Vec::new();
    let mut last = (OPEN_ID, Acls::OPEN);
    loop {
        let mut input = Input::new(&tree.arena()[*at..]);
        let path = input.string()?;
        if path == b"/" {
            *at += input.at();
            break;
        }
        let spans = {
            let data = input.buffer()?;
            let after = *at + input.at();
            let data_at = after - data.map_or(0, <[u8]>::len);
            (
                Span::new(*at + 4, Some(path.len())),
                Span::new(data_at, data.map(<[u8]>::len)),
            )
        };
        let id = input.long()?;
        if id != last.0 {
            last = (id, numbers.get(&id).copied().unwrap_or(Acls::UNKNOWN));
        }
        let stat = Persisted::read(&mut input)?;
        let next = *at + input.at();
        // Servers write depth first, so the parent is near.
        while let Some(above) = ancestors.last()
            && !tree.is_parent(*above, path)
        {
            ancestors.pop();
        }
        let above = ancestors.last().copied();
        end = end.max(stat.newest_zxid());
        ancestors.push(tree.put(spans, last.1, stat, above)?);
        *at = next;
    }
    let (digest, trailer) = trailers(tree.arena(), at)?;
    let end = end
        .max(digest.map_or(0, |(zxid, _)| zxid))
        .max(trailer.unwrap_or(0));
    Ok(Loaded { tree, digest, end })
}

type Trailers = (Option<(i64, u64)>, Option<i64>);

/// What follows the znodes: a checksum, and up to two more numbers with a checksum each, of all bytes before it.
fn trailers(bytes: &[u8], at: &mut usize) -> Result<Trailers, Fault> {
    let mut input = Input::new(bytes);
    input.take(*at)?;
    let mut adler = Adler32::new();
    let mut checked = 0;
    let mut seal = |input: &mut Input<'_>| {
        adler.write(&bytes[checked..input.at()]);
        checked = input.at();
        let (expected, found) = (input.long()?.cast_unsigned(), u64::from(adler.finish()));
        if expected != found {
            return Err(Fault::Checksum { expected, found });
        }
        if input.take(END.len())? != END {
            return Err(Fault::Truncated);
        }
        Ok(())
    };
    seal(&mut input)?;
    let (mut digest, mut zxid) = (None, None);
    *at = input.at();
    if matches!(input.left(), 33 | 54) {
        let at_zxid = input.long()?;
        input.int()?; // 2 in every release
        digest = Some((at_zxid, input.long()?.cast_unsigned()));
        seal(&mut input)?;
    }
    *at = input.at();
    if input.left() == 21 {
        zxid = Some(input.long()?);
        seal(&mut input)?;
    }
    *at = input.at();
    match input.left() {
        0 => Ok((digest, zxid)),
        left => Err(Fault::Trailing(left as u64)),
    }
}

impl FileTree {
    /// Writes the tree as a snapshot that every release since 3.4 can start from, with the checksums and the
    /// digest that newer ones look for; its name must be `snapshot.` and the zxid in lower-case hex. Hands on
    /// parts that begin and end between znodes, with the number of znodes in each.
    ///
    /// # Errors
    /// What `sink` gave.
    pub fn write(&self, mut sink: impl FnMut(&[u8], u64) -> io::Result<()>) -> io::Result<()> {
        let mut out = Vec::with_capacity(PART + (PART >> 1));
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&2_i32.to_be_bytes());
        out.extend_from_slice(&(-1_i64).to_be_bytes());
        out.extend_from_slice(&0_i32.to_be_bytes()); // sessions
        let used: BTreeSet<u32> = self.seen().map(|seen| seen.node.acl).collect();
        let used: Vec<_> = used.into_iter().filter(|number| *number != Acls::OPEN).collect();
        self.acls.write(&used, &mut out);
        let mut adler = Adler32::new();
        let mut count = 0;
        for seen in self.seen() {
            if out.len() >= PART || count == 0 {
                adler.write(&out);
                sink(&out, count)?;
                out.clear();
                count = 0;
            }
            put_buffer(&mut out, Some(seen.path));
            put_buffer(&mut out, seen.data);
            out.extend_from_slice(&Acls::id(seen.node.acl).to_be_bytes());
            seen.node.stat.write(&mut out);
            count += 1;
        }
        adler.write(&out);
        sink(&out, count)?;
        out.clear();
        out.extend_from_slice(END);
        let mut sealed = 0;
        let mut seal = |out: &mut Vec<u8>| {
            adler.write(&out[sealed..]);
            sealed = out.len();
            out.extend_from_slice(&u64::from(adler.finish()).to_be_bytes());
            out.extend_from_slice(END);
        };
        seal(&mut out);
        out.extend_from_slice(&self.zxid().to_be_bytes());
        out.extend_from_slice(&DIGEST_VERSION.to_be_bytes());
        out.extend_from_slice(&self.digest().to_be_bytes());
        seal(&mut out);
        out.extend_from_slice(&self.zxid().to_be_bytes());
        seal(&mut out);
        sink(&out, 0)
    }

    /// The name of the snapshot that [`write`](Self::write) writes.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("snapshot.{:x}", self.zxid())
    }
}
