//! Backups as the Qubership backup daemon leaves them, written from what is known of its directories.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Bytes from 0x80 on in code page 437.
const UPPER: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀\
αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// One backup.
pub(crate) struct Left {
    pub(crate) directory: PathBuf,
}

impl Left {
    /// A directory with the marks of a backup that ended well.
    pub(crate) fn new(storage: &Path, id: &str) -> Self {
        let left = Self {
            directory: storage.join(id),
        };
        fs::create_dir_all(&left.directory).unwrap();
        left.mark(".console", "[Backup] Backup completed successfully.\n");
        left.mark(".custom_vars", &json!({ "mode": "hierarchical" }).to_string());
        left.metrics(&json!({ "exit_code": 0, "spent_time": 9_312, "size": 25_283 }));
        left
    }

    pub(crate) fn mark(&self, name: &str, text: &str) -> &Self {
        fs::write(self.directory.join(name), text).unwrap();
        self
    }

    pub(crate) fn metrics(&self, metrics: &serde_json::Value) -> &Self {
        self.mark(".metrics", &metrics.to_string())
    }

    /// `znodes.zip` with these below the root: a directory for each, and a file where there are data.
    pub(crate) fn znodes(&self, znodes: &[(&str, &[u8])]) -> &Self {
        let mut entries = Vec::new();
        for (path, data) in znodes {
            let name = path.trim_start_matches('/');
            if !name.is_empty() {
                entries.push((format!("{name}/"), None));
            }
            if !data.is_empty() {
                let place = if name.is_empty() {
                    String::new()
                } else {
                    format!("{name}/")
                };
                entries.push((format!("{place}content"), Some(in_code_page(data))));
            }
        }
        self.zip(&entries)
    }

    /// `znodes.zip` with these entries: directories, and files with their text.
    pub(crate) fn zip(&self, entries: &[(String, Option<String>)]) -> &Self {
        let file = File::create(self.directory.join("znodes.zip")).unwrap();
        let mut zip = ZipWriter::new(file);
        let options = SimpleFileOptions::default();
        for (name, text) in entries {
            match text {
                None => zip.add_directory(name.as_str(), options).unwrap(),
                Some(text) => {
                    zip.start_file(name.as_str(), options).unwrap();
                    zip.write_all(text.as_bytes()).unwrap();
                }
            }
        }
        zip.finish().unwrap();
        self
    }

    /// All that is in the directory, byte by byte.
    pub(crate) fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(&self.directory).unwrap();
        let entries = entries.map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        });
        entries.collect()
    }
}

/// Data as it keeps them.
fn in_code_page(data: &[u8]) -> String {
    let upper: Vec<_> = UPPER.chars().collect();
    let character = |byte: &u8| match byte {
        0..0x80 => char::from(*byte),
        _ => upper[usize::from(*byte) - 0x80],
    };
    data.iter().map(character).collect()
}
