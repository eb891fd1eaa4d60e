//! Somebody who goes through `docs/OPERATIONS.md` as it stands there: what is typed, in one shell after the other, and what comes of it.

use std::cell::RefCell;
use std::path::Path;

use zk_backup_testkit::{Daemon, Walk, blocks};

const GUIDE: &str = include_str!("../../../docs/OPERATIONS.md");

/// Printed before what the shell remembers.
const REMEMBERED: &str = "\n-- what is remembered --\n";

/// Somebody who goes through the guide.
pub(crate) struct Operator<'a> {
    walk: &'a Walk<'a>,
    url: String,
    /// `id`, `task` and `before` of the shell.
    remembered: RefCell<[String; 3]>,
    /// What stands in place of the guide's placeholders.
    instead: RefCell<Vec<(&'static str, String)>>,
}

impl<'a> Operator<'a> {
    pub(crate) fn new(walk: &'a Walk<'a>, daemon: &Daemon, instead: Vec<(&'static str, String)>) -> Self {
        Self {
            walk,
            url: format!("http://{}", daemon.address),
            remembered: RefCell::default(),
            instead: instead.into(),
        }
    }

    /// Of a server that serves HTTPS there, with a certificate of `ca.crt`.
    pub(crate) fn over_https(walk: &'a Walk<'a>, address: &str) -> Self {
        Self {
            walk,
            url: format!("https://{address}"),
            remembered: RefCell::default(),
            instead: RefCell::default(),
        }
    }

    /// Runs the blocks of a section from `first` on, as many as there are in `shown`, and returns what the last one prints. Each of `shown` must be
    /// in what its block prints; and so must what the guide shows below it.
    pub(crate) fn does<const N: usize>(&self, section: &str, first: usize, shown: [&str; N]) -> String {
        let all = blocks(part(section));
        let mut at = all
            .iter()
            .enumerate()
            .filter(|(_, (kind, _))| *kind == "sh")
            .skip(first);
        let mut out = String::new();
        for shown in shown {
            let (index, (_, script)) = at.next().expect("a block");
            out = self.types(script);
            assert!(
                out.contains(shown),
                "{shown} is not in what {script}\nprints: {out}"
            );
            if let Some((_, example)) = all.get(index + 1).filter(|(kind, _)| *kind == "json") {
                assert_like(&self.filled(example), &out);
            }
        }
        out
    }

    fn filled(&self, text: &str) -> String {
        let instead = self.instead.borrow();
        instead
            .iter()
            .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    /// In a shell that was set up as the guide says.
    pub(crate) fn types(&self, script: &str) -> String {
        let set_up = blocks(part("Set up the shell"))[0].1;
        let [id, task, before] = self.remembered.borrow().clone();
        let mut set_up = set_up.replace("http://localhost:8080", &self.url);
        if self.url.starts_with("https:") {
            set_up = set_up.replace("curl ", "curl --cacert ca.crt ");
        }
        let script = format!(
            "{set_up}\nid='{id}' task='{task}' before='{before}'\n{}\nprintf '{REMEMBERED}%s\\n%s\\n%s\\n' \"$id\" \"$task\" \"$before\"",
            self.filled(script)
        );
        let out = self.walk.run(&script, &self.url);
        let (out, remembered) = out.split_once(REMEMBERED).expect("what is remembered");
        let mut lines = remembered.lines().map(str::to_owned);
        *self.remembered.borrow_mut() = std::array::from_fn(|_| lines.next().expect("a line"));
        out.to_owned()
    }

    /// What a placeholder of the guide stands for from here on.
    pub(crate) fn means(&self, placeholder: &'static str, what: &str) {
        self.instead.borrow_mut().push((placeholder, what.to_owned()));
    }

    pub(crate) fn id(&self) -> String {
        self.remembered.borrow()[0].clone()
    }
}

/// What stands below a heading, up to the next one.
pub(crate) fn part(heading: &str) -> &'static str {
    let mut parts = GUIDE.split("\n## ").flat_map(|part| part.split("\n### "));
    parts
        .find(|part| part.lines().next() == Some(heading))
        .unwrap_or_else(|| panic!("no {heading}"))
}

/// The script of a section that has `what`.
pub(crate) fn script(section: &str, what: &str) -> &'static str {
    let mut scripts = blocks(part(section)).into_iter().map(|(_, script)| script);
    scripts
        .find(|script| script.contains(what))
        .unwrap_or_else(|| panic!("no {what}"))
}

/// Those of its lines that have `what`.
pub(crate) fn lines(script: &str, what: &str) -> String {
    let lines = script.lines().map(str::trim).filter(|line| line.contains(what));
    lines.map(|line| format!("{line}\n")).collect()
}

/// What an example shows came in that order; `…` stands for whatever comes there, and so does the id of a backup.
fn assert_like(example: &str, out: &str) {
    let mut rest = out;
    // Lines of an example are broken for its readers.
    let mut example: String = example.lines().map(str::trim).collect();
    while let Some(at) = example.find("\"2026") {
        example.replace_range(at + 1..at + 1 + "20261126T022515".len(), "…");
    }
    for piece in example.split('…').map(|piece| piece.trim_matches([' ', ','])) {
        let Some(at) = rest.find(piece) else {
            panic!("{piece}\nis not in\n{rest}\nof\n{out}");
        };
        rest = &rest[at + piece.len()..];
    }
}

/// A server with the API's credentials that the guide has.
pub(crate) fn daemon(walk: &Walk<'_>, zookeeper: &str, storage: &Path, more: &str) -> Daemon {
    let script = format!(
        "export BACKUP_DAEMON_API_CREDENTIALS_USERNAME=admin BACKUP_DAEMON_API_CREDENTIALS_PASSWORD=admin\n\
         export ZOOKEEPER_HOST={zookeeper} STORAGE='{}' BACKUP_SCHEDULE=None {more}\nzk-backup-daemon\n",
        storage.display()
    );
    walk.server(&script)
}
