//! A tar in which every znode is a directory with its data and its ACL.

use std::io::Write;

use serde::Deserialize;
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use super::Sink;
use crate::api::{Told, Znode};
use crate::exit::{Failure, about};

/// What a znode's directory holds. A child of such a name is told apart by [`name`].
const DATA: &str = "data";
const ACL: &str = "acl.json";

/// What is handed on as it came, whatever the server says in it.
#[derive(Deserialize)]
struct AsItCame {
    #[serde(default)]
    acl: Value,
    stat: Value,
}

pub(super) struct Tar<W: Write>(Builder<W>);

impl<W: Write> Tar<W> {
    pub(super) fn new(out: W) -> Self {
        Self(Builder::new(out))
    }

    fn entry(&mut self, path: &str, bytes: &[u8], mtime: u64) -> Result<(), Failure> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o600);
        header.set_size(bytes.len() as u64);
        header.set_mtime(mtime);
        Ok(self.0.append_data(&mut header, path, bytes)?)
    }
}

impl<W: Write> Sink for Tar<W> {
    fn add(&mut self, znode: &Told<Znode>) -> Result<(), Failure> {
        let view = &znode.view;
        let directory = directory(&view.path);
        let mtime = u64::try_from(view.stat.mtime / 1_000).unwrap_or(0);
        self.entry(&format!("{directory}{DATA}"), &view.bytes()?, mtime)?;
        let AsItCame { acl, stat } = AsItCame::deserialize(&znode.json).map_err(about(&view.path))?;
        let facts =
            json!({ "path": view.path, "acl": acl, "kind": view.kind, "ttl_ms": view.ttl_ms, "stat": stat });
        self.entry(
            &format!("{directory}{ACL}"),
            format!("{facts:#}\n").as_bytes(),
            mtime,
        )
    }

    fn finish(mut self: Box<Self>) -> Result<(), Failure> {
        self.0.finish()?;
        Ok(self.0.get_mut().flush()?)
    }
}

/// The directory of a znode, with a slash at its end; nothing for the root.
fn directory(path: &str) -> String {
    let names = path.split('/').filter(|name| !name.is_empty());
    names.map(|name| self::name(name) + "/").collect()
}

/// A znode's name as the name of a directory. Written as in URLs is what a filesystem, a terminal or the entries of the
/// parent could take for something else.
fn name(name: &str) -> String {
    let is_taken = name == DATA || name == ACL;
    let mut out = String::new();
    for (index, c) in name.chars().enumerate() {
        let is_plain = !(c.is_control() || matches!(c, '%' | '\\' | ':' | '\u{2028}'..='\u{202e}'));
        if is_plain && !(is_taken && index == 0) {
            out.push(c);
            continue;
        }
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn znode(path: &str) -> Told<Znode> {
        let told = json!({
            "path": path, "name": "", "kind": null, "role": "captured", "size": 1, "children": 0,
            "stat": { "mtime": 5_000 }, "data": "YQ==", "acl": [{ "perms": 31, "scheme": "world", "id": "anyone" }],
        });
        Told::of(told).unwrap()
    }

    #[test]
    fn names_that_clash_are_told_apart() {
        assert_eq!(directory("/"), "");
        assert_eq!(directory("/a/data/acl.json/b"), "a/%64ata/%61cl.json/b/");
        assert_eq!(directory("/a%b/\u{1b}[2J/..x"), "a%25b/%1B[2J/..x/");
    }

    #[test]
    fn every_znode_has_its_data_and_its_acl() {
        let mut out = Vec::new();
        let mut tar = Box::new(Tar::new(&mut out));
        let long = format!("/{}", "x/".repeat(150) + "data");
        for path in ["/", "/a", "/a/data", &long] {
            tar.add(&znode(path)).unwrap();
        }
        (tar as Box<dyn Sink>).finish().unwrap();
        let mut found = Vec::new();
        for entry in tar::Archive::new(&*out).entries().unwrap() {
            let mut entry = entry.unwrap();
            let (path, mut text) = (entry.path().unwrap().display().to_string(), String::new());
            entry.read_to_string(&mut text).unwrap();
            match path.ends_with("/data") || path == "data" {
                true => assert_eq!(text, "a"),
                false => assert!(text.contains("\"anyone\""), "{text}"),
            }
            assert_eq!(entry.header().mtime().unwrap(), 5);
            found.push(path);
        }
        assert_eq!(
            found[..6],
            [
                "data",
                "acl.json",
                "a/data",
                "a/acl.json",
                "a/%64ata/data",
                "a/%64ata/acl.json"
            ]
        );
        assert_eq!(found.len(), 8);
    }
}
