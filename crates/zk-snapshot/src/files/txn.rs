//! What a record of a transaction log says.

use super::Fault;
use super::jute::Input;
use super::paths::name_of;

/// `TxnHeader`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) session: i64,
    pub(super) zxid: i64,
    /// ms since the Unix epoch.
    pub(super) time: i64,
    kind: i32,
}

/// One transaction.
pub(super) struct Txn<'a> {
    pub(super) header: Header,
    pub(super) op: Op<'a>,
    /// The tree's digest after it.
    pub(super) digest: Option<u64>,
}

/// What a transaction does.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Op<'a> {
    CreateSession(i32),
    /// With the ephemeral znodes it had, where the release writes them.
    CloseSession(Vec<&'a [u8]>),
    Create(Create<'a>),
    Delete(&'a [u8]),
    SetData {
        path: &'a [u8],
        data: Option<&'a [u8]>,
        version: i32,
    },
    SetAcl {
        path: &'a [u8],
        acl: &'a [u8],
        version: i32,
    },
    Multi(Vec<Op<'a>>),
    /// It has failed.
    Error,
    /// It changes nothing.
    Check,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Create<'a> {
    pub(super) path: &'a [u8],
    pub(super) data: Option<&'a [u8]>,
    pub(super) acl: &'a [u8],
    pub(super) parent_cversion: i32,
    pub(super) kind: Created,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Created {
    Persistent,
    Ephemeral,
    Container,
    Ttl(i64),
}

const DIGEST_LENGTH: usize = 12;

impl<'a> Txn<'a> {
    /// Decodes the bytes between a record's length and its end mark.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut input = Input::new(bytes);
        let session = input.long()?;
        input.int()?; // cxid
        let header = Header {
            session,
            zxid: input.long()?,
            time: input.long()?,
            kind: input.int()?,
        };
        let op = Op::decode(header.kind, &mut input, true)?;
        let digest = match input.left() {
            0 => None,
            DIGEST_LENGTH => {
                input.int()?;
                Some(input.long()?.cast_unsigned())
            }
            left => return Err(Fault::Trailing(left as u64)),
        };
        Ok(Self { header, op, digest })
    }
}

impl<'a> Op<'a> {
    fn decode(kind: i32, input: &mut Input<'a>, top: bool) -> Result<Self, Fault> {
        Ok(match kind {
            -10 if top => Self::CreateSession(input.int()?),
            -11 if top => Self::CloseSession(closed(input)?),
            -1 if top => {
                input.int()?;
                Self::Error
            }
            // A leader whose followers are faster than its own disk logs a failed multi when it has processed it, which
            // turns the types of all parts into errors and leaves their bodies (`DataTree.processTxn`).
            -1 => {
                input.take(input.left())?;
                Self::Error
            }
            1 | 15 | 19 | 21 => Self::Create(create(kind, input)?),
            2 | 20 => Self::Delete(below_root(input)?),
            5 => set_data(input)?,
            16 if top => set_data(input)?,
            7 if top => Self::SetAcl {
                path: input.string()?,
                acl: input.acl()?,
                version: input.int()?,
            },
            13 => {
                input.string()?;
                input.int()?;
                Self::Check
            }
            14 if top => {
                let count = input.count(8)?;
                let mut ops = Vec::new();
                for _ in 0..count {
                    let kind = input.int()?;
                    let mut body = Input::new(input.string()?);
                    ops.push(Self::decode(kind, &mut body, false)?);
                    if body.left() > 0 {
                        return Err(Fault::Trailing(body.left() as u64));
                    }
                }
                Self::Multi(ops)
            }
            kind => return Err(Fault::Type(kind)),
        })
    }
}

fn set_data<'a>(input: &mut Input<'a>) -> Result<Op<'a>, Fault> {
    Ok(Op::SetData {
        path: input.string()?,
        data: input.buffer()?,
        version: input.int()?,
    })
}

fn create<'a>(kind: i32, input: &mut Input<'a>) -> Result<Create<'a>, Fault> {
    let (path, data, acl) = (below_root(input)?, input.buffer()?, input.acl()?);
    let ephemeral = matches!(kind, 1 | 15) && input.boolean()?;
    // The first releases ended here, and a digest came later than the number of creations.
    let parent_cversion = if input.left() == 0 && kind == 1 {
        -1
    } else {
        input.int()?
    };
    Ok(Create {
        path,
        data,
        acl,
        parent_cversion,
        kind: match kind {
            19 => Created::Container,
            21 => Created::Ttl(input.long()?),
            _ if ephemeral => Created::Ephemeral,
            _ => Created::Persistent,
        },
    })
}

/// The path of a znode that comes or goes. Each of its names has some character; which ones they may have, servers
/// before 3.5 did not look at.
fn below_root<'a>(input: &mut Input<'a>) -> Result<&'a [u8], Fault> {
    let path = input.string()?;
    let mut names = path.split(|byte| *byte == b'/');
    let absolute = names.next().is_some_and(<[u8]>::is_empty) && path.len() > 1;
    match absolute && names.all(|name| !name.is_empty()) {
        true => Ok(path),
        false => Err(Fault::Path(name_of(path))),
    }
}

/// The paths of a closed session. Releases that write none may still write a digest, of 12 bytes, which begins
/// with its version, 2; 12 bytes that are a list begin with its length, 1.
fn closed<'a>(input: &mut Input<'a>) -> Result<Vec<&'a [u8]>, Fault> {
    let bare_digest = input.left() == DIGEST_LENGTH && input.clone().int()? == 2;
    if input.left() == 0 || bare_digest {
        return Ok(Vec::new());
    }
    let count = input.count(4)?;
    (0..count).map(|_| below_root(input)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: i32, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 28];
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    fn text(text: &str) -> Vec<u8> {
        let mut bytes = (text.len() as i32).to_be_bytes().to_vec();
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }

    #[test]
    fn a_closed_session_may_have_a_list_a_digest_both_or_neither() {
        let (one, digest) = (
            [1_i32.to_be_bytes().to_vec(), text("/abc")].concat(),
            [0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7],
        );
        assert_eq!(one.len(), DIGEST_LENGTH);
        for (body, paths, found) in [
            (Vec::new(), 0, None),
            (digest.to_vec(), 0, Some(7)),
            (vec![0; 4], 0, None),
            ([&[0; 4][..], &digest].concat(), 0, Some(7)),
            (one.clone(), 1, None),
            ([&one[..], &digest].concat(), 1, Some(7)),
        ] {
            let bytes = record(-11, &body);
            let txn = Txn::decode(&bytes).unwrap();
            let Op::CloseSession(list) = txn.op else {
                panic!("{:?}", txn.op);
            };
            assert_eq!((list.len(), txn.digest), (paths, found), "{body:?}");
        }
    }

    #[test]
    fn the_oldest_create_ends_without_the_parents_creations() {
        let body = [text("/a"), vec![0xff; 4], vec![0; 4], vec![0]].concat();
        let bytes = record(1, &body);
        let Op::Create(create) = Txn::decode(&bytes).unwrap().op else {
            panic!();
        };
        assert_eq!((create.parent_cversion, create.data), (-1, None));
    }

    #[test]
    fn parts_of_a_failed_multi_may_be_called_errors_and_have_other_bodies() {
        let create = [text("/a"), vec![0xff; 4], vec![0; 4], vec![0], vec![0; 4]].concat();
        let mut body = 2_i32.to_be_bytes().to_vec();
        for part in [&create[..], &(-101_i32).to_be_bytes()] {
            body.extend_from_slice(&(-1_i32).to_be_bytes());
            body.extend_from_slice(&(part.len() as i32).to_be_bytes());
            body.extend_from_slice(part);
        }
        body.extend_from_slice(&[0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7]);
        let bytes = record(14, &body);
        let txn = Txn::decode(&bytes).unwrap();
        assert_eq!(txn.op, Op::Multi(vec![Op::Error, Op::Error]));
        assert_eq!(txn.digest, Some(7));
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        assert_eq!(Txn::decode(&record(99, &[])).err(), Some(Fault::Type(99)));
        let delete = [text("/a"), vec![1, 2, 3]].concat();
        assert_eq!(Txn::decode(&record(2, &delete)).err(), Some(Fault::Trailing(3)));
        assert_eq!(Txn::decode(&[0; 20]).err(), Some(Fault::Truncated));
        for path in ["/", "", "a", "a/b", "//a", "/a/", "/a//b"] {
            let fault = Txn::decode(&record(2, &text(path))).err();
            let path = if path.is_empty() { "/" } else { path };
            assert_eq!(fault, Some(Fault::Path(path.to_owned())));
        }
        assert!(Txn::decode(&record(2, &text("/a/b\u{1}"))).is_ok());
        let nested = [&1_i32.to_be_bytes()[..], &14_i32.to_be_bytes(), &text("")].concat();
        assert_eq!(Txn::decode(&record(14, &nested)).err(), Some(Fault::Type(14)));
    }
}
