//! `zk-backup diff`.

use serde_json::json;

use super::{absolute, is_within};
use crate::api::{Api, Diff, Difference, LIVE};
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
    if args.from == LIVE {
        return Err(Failure::usage(
            "`live` comes second: `zk-backup diff ID live` tells what became of the backup since",
        ));
    }
    let before = api.describe(&api.resolve(&args.from)?)?.view;
    let (from, to) = (before.id.clone(), api.resolve(&args.to)?);
    if !screen.is_json() {
        let of = clean(&before.extent()).into_owned();
        let line = format!("from {} (of {of}) to {}", clean(&from), clean(&to));
        screen.line(&line, Some(Look::Dim))?;
    }
    let root = absolute(args.path.as_deref().unwrap_or("/"));
    let mut listed = 0;
    let diff = api.diff(&from, &to, |difference| {
        if !is_within(&difference.path, &root) {
            return Ok(());
        }
        listed += 1;
        print(difference, screen)?;
        if args.data && !screen.is_json() && difference.has_other_data() {
            let old = api.znode(&from, &difference.path)?.view.bytes()?;
            let new = api.znode(&to, &difference.path)?.view.bytes()?;
            lines(&old, &new, screen)?;
        }
        Ok(())
    })?;
    let left_out = not_compared(&before.roots(), diff.view.within.as_deref(), &root);
    // What only the later one has would have been listed: a path that neither has is refused, unless the earlier one is of it, or of what is below it.
    if listed == 0
        && root != "/"
        && diff.view.unknown == 0
        && let Err(absent) = api.znode(&from, &root)
        && !before.roots().iter().any(|asked| is_within(asked, &root))
    {
        return Err(absent);
    }
    if screen.is_json() {
        let mut summary = diff.json;
        if let Some(fields) = summary.as_object_mut() {
            fields.remove("differences");
            fields.insert("listed".to_owned(), listed.into());
            fields.insert("from".to_owned(), from.into());
            fields.insert("to".to_owned(), to.into());
            let roots = Some(before.roots()).filter(|roots| !roots.is_empty() || !before.is_granular);
            fields.insert("roots".to_owned(), roots.into());
        }
        screen.json("summary", summary)?;
    } else {
        sum_up(&diff.view, &root, screen)?;
        if let Some(line) = only(&left_out, diff.view.within.as_deref()) {
            screen.line(&line, Some(Look::Changed))?;
        }
    }
    Ok(match args.exit_code {
        true if listed > 0 => Exit::Failed,
        true if may_differ(&diff.view, &root) || !left_out.is_empty() => Exit::Partial,
        _ => Exit::Done,
    })
}

fn print(difference: &Difference, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let (path, change) = (&*difference.path, &*difference.change);
    if screen.is_json() {
        return Ok(screen.json("difference", json!({ "path": path, "change": change }))?);
    }
    let (mark, look, words) = match change {
        "added" => ('+', Look::Good, ""),
        "removed" => ('-', Look::Bad, ""),
        "data_changed" => ('~', Look::Changed, "  (data)"),
        "acl_changed" => ('~', Look::Changed, "  (ACL)"),
        _ => ('~', Look::Changed, "  (data, ACL)"),
    };
    Ok(screen.line(&format!("{mark} {}{words}", clean(path)), Some(look))?)
}

fn sum_up(diff: &Diff, root: &str, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let counts = format!(
        "{} added, {} removed, {} with other data, {} with another ACL",
        count(diff.added),
        count(diff.removed),
        count(diff.data_changed),
        count(diff.acl_changed),
    );
    let of = if root == "/" { "" } else { "in all: " };
    screen.line(&format!("{of}{counts}"), Some(Look::Dim))?;
    if diff.unknown > 0 {
        let unknown = count(diff.unknown);
        let line = format!("{unknown} may differ, as one side could not read them:");
        screen.line(&line, Some(Look::Changed))?;
    }
    for path in &diff.unknown_paths {
        screen.line(&format!("? {}", clean(path)), Some(Look::Changed))?;
    }
    Ok(())
}

/// Whether something at or below `root` may differ, as one side could not read it. Only the first of these are named.
fn may_differ(diff: &Diff, root: &str) -> bool {
    let paths = &diff.unknown_paths;
    let is_near = |path: &String| is_within(path, root) || is_within(root, path);
    diff.unknown > paths.len() as u64 || paths.iter().any(is_near)
}

/// What is the servers' own, and not compared unless it is asked for.
const RESERVED: &str = "/zookeeper";

/// What is wanted at and below `root` of a backup of `roots`, all if there are none, and is not among what was compared.
fn not_compared(roots: &[String], within: Option<&[String]>, root: &str) -> Vec<String> {
    let Some(within) = within else {
        return Vec::new();
    };
    let mut wanted: Vec<_> = roots.iter().map(String::as_str).collect();
    wanted.retain(|of| is_within(of, root) && (!is_within(of, RESERVED) || is_within(root, RESERVED)));
    // A part of what it has, or of what it does not.
    if wanted.is_empty() {
        wanted.push(root);
    }
    wanted.retain(|path| !within.iter().any(|compared| is_within(path, compared)));
    wanted.into_iter().map(str::to_owned).collect()
}

/// What to say where some was not compared.
fn only(left_out: &[String], within: Option<&[String]>) -> Option<String> {
    let clean_all = |paths: &[String]| paths.iter().map(|path| clean(path)).collect::<Vec<_>>().join(" ");
    let left_out = Some(left_out).filter(|paths| !paths.is_empty()).map(clean_all)?;
    Some(
        match within.map(clean_all).filter(|compared| !compared.is_empty()) {
            Some(compared) => format!("? {left_out}: only {compared} was compared, of which both are"),
            None => {
                "? nothing was compared: there is nothing that both are of, but for what is below /zookeeper"
                    .to_owned()
            }
        },
    )
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
    fn what_could_not_be_read_may_differ_where_it_is_asked_for() {
        let of = |unknown: u64, root: &str| {
            let unknown_paths = vec!["/secure".to_owned()];
            let diff = Diff {
                unknown,
                unknown_paths,
                ..Diff::default()
            };
            may_differ(&diff, root)
        };
        assert!(of(1, "/") && of(1, "/secure") && of(1, "/secure/below"));
        assert!(!of(1, "/other"));
        assert!(of(2, "/other"), "the second one is not named");
        assert!(!may_differ(&Diff::default(), "/"));
    }

    #[test]
    fn what_one_of_them_is_not_of_was_not_compared() {
        let texts = |some: &[&str]| some.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let of = |roots: &[&str], within: &[&str], root: &str| {
            not_compared(&texts(roots), Some(&texts(within)), root)
        };
        assert_eq!(of(&[], &["/a"], "/"), ["/"]);
        assert_eq!(of(&[], &["/a"], "/b"), ["/b"]);
        assert_eq!(of(&[], &["/a"], "/a/x"), [""; 0]);
        assert_eq!(of(&["/a"], &["/a"], "/"), [""; 0], "what the first one is of");
        assert_eq!(of(&["/a", "/b"], &["/a"], "/"), ["/b"]);
        assert_eq!(of(&["/a", "/b"], &["/a"], "/a"), [""; 0]);
        assert_eq!(of(&["/a"], &[], "/"), ["/a"]);
        assert_eq!(of(&["/a", "/zookeeper/quota"], &["/a"], "/"), [""; 0]);
        assert_eq!(of(&["/zookeeper/quota"], &[], "/"), ["/"]);
        let quota = "/zookeeper/quota";
        assert_eq!(of(&["/a", quota], &["/a"], quota), [quota]);
        assert!(not_compared(&texts(&["/a"]), None, "/").is_empty());

        let said = |within: &[&str]| only(&texts(&["/b"]), Some(&texts(within)));
        assert_eq!(
            said(&["/a"]).unwrap(),
            "? /b: only /a was compared, of which both are"
        );
        assert!(said(&[]).unwrap().contains("nothing was compared"));
        assert_eq!(only(&[], Some(&texts(&["/a"]))), None);
    }

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
