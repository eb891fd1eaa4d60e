//! `zk-backup diff`.

use serde_json::json;

use super::{absolute, is_within};
use crate::api::Api;
use crate::exit::{Exit, Failure};
use crate::text::{Look, Screen, clean, clean_text, count};

/// What to compare.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The earlier backup, or `latest`
    from: String,
    /// The later one, or `live` for ZooKeeper as it is now
    to: String,
    /// Only this znode and what is below it
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Show the lines of text that changed, too (between two backups)
    #[arg(long)]
    data: bool,
    /// Exit with 1 where anything differs, as diff does
    #[arg(long)]
    exit_code: bool,
}

impl Args {
    /// Whether ZooKeeper is asked.
    pub(crate) fn is_live(&self) -> bool {
        self.to == LIVE
    }

    /// Whether the exit code tells what was found.
    pub(crate) fn is_judging(&self) -> bool {
        self.exit_code
    }
}

pub(crate) fn run(args: &Args, api: &Api, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    if args.data && args.is_live() {
        return Err(Failure::usage(
            "--data is for two backups: take one with `zk-backup backup --wait` first",
        ));
    }
    let from = api.resolve(&args.from)?;
    let to = api.resolve(&args.to)?;
    let root = absolute(args.path.as_deref().unwrap_or("/"));
    let mut listed = 0;
    let diff = api.diff(&from, &to, |path, change| {
        if !is_within(path, &root) {
            return Ok(());
        }
        listed += 1;
        if screen.is_json() {
            screen.json("difference", json!({ "path": path, "change": change }))?;
            return Ok(());
        }
        let (mark, look, words) = match change {
            "added" => ('+', Look::Good, ""),
            "removed" => ('-', Look::Bad, ""),
            "data_changed" => ('~', Look::Changed, "  (data)"),
            "acl_changed" => ('~', Look::Changed, "  (ACL)"),
            _ => ('~', Look::Changed, "  (data, ACL)"),
        };
        screen.line(&format!("{mark} {}{words}", clean(path)), Some(look))?;
        if args.data && matches!(change, "data_changed" | "both_changed") {
            let old = api.znode(&from, path)?.view.bytes()?;
            let new = api.znode(&to, path)?.view.bytes()?;
            lines(&old, &new, screen)?;
        }
        Ok(())
    })?;
    let view = &diff.view;
    if listed == 0 && root != "/" && view.unknown == 0 {
        // What only the later one has would have been listed: a path that neither has is refused, unless the earlier one is of it, or of what is below it.
        if let Err(absent) = api.znode(&from, &root) {
            let roots = api.describe(&from)?.view.roots();
            if !roots.iter().any(|asked| is_within(asked, &root)) {
                return Err(absent);
            }
        }
    }
    if screen.is_json() {
        let mut summary = diff.json;
        if let Some(fields) = summary.as_object_mut() {
            fields.remove("differences");
            fields.insert("listed".to_owned(), listed.into());
        }
        screen.json("summary", summary)?;
    } else {
        let counts = format!(
            "{} added, {} removed, {} with other data, {} with another ACL",
            count(view.added),
            count(view.removed),
            count(view.data_changed),
            count(view.acl_changed),
        );
        let of = if root == "/" { "" } else { "in all: " };
        screen.line(&format!("{of}{counts}"), Some(Look::Dim))?;
        if view.unknown > 0 {
            screen.line(
                &format!(
                    "{} may differ, as one side could not read them:",
                    count(view.unknown)
                ),
                Some(Look::Changed),
            )?;
            for path in &view.unknown_paths {
                screen.line(&format!("? {}", clean(path)), Some(Look::Changed))?;
            }
        }
    }
    Ok(match args.exit_code && listed > 0 {
        true => Exit::Failed,
        false => Exit::Done,
    })
}

/// The lines between the first and the last that differ: first the old, then the new.
fn lines(old: &[u8], new: &[u8], screen: &mut Screen<'_>) -> Result<(), Failure> {
    let (Ok(old), Ok(new)) = (std::str::from_utf8(old), std::str::from_utf8(new)) else {
        screen.line("    (no text)", Some(Look::Dim))?;
        return Ok(());
    };
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[same..], &new[same..]);
    let tail = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take_while(|(old, new)| old == new)
        .count();
    for line in &old[..old.len() - tail] {
        screen.line(&format!("    - {}", clean_text(line)), Some(Look::Bad))?;
    }
    for line in &new[..new.len() - tail] {
        screen.line(&format!("    + {}", clean_text(line)), Some(Look::Good))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_that_differ_are_shown() {
        let mut out = Vec::new();
        let mut screen = Screen::plain(&mut out, false);
        lines(b"a\nb\nc\nz", b"a\nB\nc\nd\nz", &mut screen).unwrap();
        lines(b"a\na", b"a", &mut screen).unwrap();
        lines(b"\xff", b"a", &mut screen).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "    - b\n    - c\n    + B\n    + c\n    + d\n    - a\n    (no text)\n"
        );
    }
}
