//! What can be told of a zip archive before its list is read.

use std::io::{self, Read, Seek, SeekFrom};

/// How many files the end of an archive says that there are, before anything is made of their list: an entry takes more memory than its line. Refused are
/// more than `most`, and a list of more than `longest` bytes.
///
/// The end is the last that there is, without a comment, and the list is right before it. Then no reader looks for another one,
/// whatever the files have in them.
///
/// # Errors
/// That of the file, and one in words where it is no such archive.
pub fn check_zip_list(file: &mut (impl Read + Seek), most: u64, longest: u64) -> io::Result<u64> {
    const END: u64 = 22;
    const LOCATOR: u64 = 20;
    const END_64: u64 = 56;
    const ENTRY: u64 = 46;
    let none = || io::Error::other("it is no zip archive, is cut, or has something behind its list");
    let at = file.seek(SeekFrom::End(0))?.checked_sub(END).ok_or_else(none)?;
    let end = piece(file, at, END)?;
    if !end.starts_with(b"PK\x05\x06") || number(&end[20..]) != 0 {
        return Err(none());
    }
    let told = [number(&end[10..12]), number(&end[12..16]), number(&end[16..20])];
    let locator = match at.checked_sub(LOCATOR) {
        Some(at) => Some(piece(file, at, LOCATOR)?).filter(|bytes| bytes.starts_with(b"PK\x06\x07")),
        None => None,
    };
    let ([entries, list, begin], end) = match locator {
        None => (told, at),
        Some(locator) => {
            let at = number(&locator[8..16]);
            let end = piece(file, at, END_64).map_err(|_| none())?;
            let told_64 = [number(&end[32..40]), number(&end[40..48]), number(&end[48..56])];
            let full = [u64::from(u16::MAX), u64::from(u32::MAX), u64::from(u32::MAX)];
            let agree = (0..3).all(|field| [full[field], told_64[field]].contains(&told[field]));
            if !end.starts_with(b"PK\x06\x06") || !agree {
                return Err(none());
            }
            (told_64, at)
        }
    };
    if entries > most || list > longest {
        return Err(io::Error::other(format!("it has more than {most} files")));
    }
    match begin.checked_add(list) == Some(end) && entries <= list / ENTRY {
        true => Ok(entries),
        false => Err(none()),
    }
}

fn piece(file: &mut (impl Read + Seek), at: u64, length: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    file.by_ref().take(length).read_to_end(&mut bytes)?;
    match bytes.len() as u64 == length {
        true => Ok(bytes),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// A number as archives have it, the lowest byte first.
fn number(field: &[u8]) -> u64 {
    let digits = field.iter().rev();
    digits.fold(0, |number, byte| number << 8 | u64::from(*byte))
}
