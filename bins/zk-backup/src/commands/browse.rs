//! `zk-backup browse`.

mod indented;

use std::io::IsTerminal as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use serde_json::json;
use time::OffsetDateTime;

use self::indented::indented;
use super::tops;
use crate::api::{Api, Stat, Told, Znode};
use crate::exit::{Exit, Failure};
use crate::text::{Look, Screen, bytes, clean, clean_json, clean_text, count, exact};

/// Where to look.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The backup, or `latest`
    id: String,
    /// A znode in it; without it, all that it has
    path: Option<String>,
    /// How many levels of the tree to show
    #[arg(long, short, value_name = "LEVELS", default_value_t = 2)]
    depth: usize,
    /// How many children of each znode to show
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000)]
    limit: usize,
    /// Show the znode's data this way, instead of the tree
    #[arg(long = "as", value_enum, value_name = "FORM")]
    form: Option<Form>,
    /// As --as raw
    #[arg(long, conflicts_with = "form")]
    raw: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// As text; what moves the cursor is escaped
    Text,
    /// As JSON, indented
    Json,
    /// Byte by byte
    Hex,
    /// In base64
    Base64,
    /// As they are, never to a terminal
    Raw,
}

pub(crate) fn run(args: &Args, api: &Api, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let id = api.resolve(&args.id)?;
    for path in tops(api, &id, args.path.as_deref())? {
        at(args, api, &id, &path, screen)?;
    }
    Ok(Exit::Done)
}

/// Shows the znode at `path`, or the tree from there on.
fn at(args: &Args, api: &Api, id: &str, path: &str, screen: &mut Screen<'_>) -> Result<(), Failure> {
    if args.raw || args.form == Some(Form::Raw) {
        if std::io::stdout().is_terminal() {
            return Err(Failure::usage(
                "raw data are not for a terminal: > FILE, or --as text",
            ));
        }
        let znode = api.znode(id, path)?.view;
        check_read(&znode)?;
        return Ok(screen.raw(&znode.bytes()?)?);
    }
    let znode = api.znode(id, path)?;
    if args.form.is_some() {
        check_read(&znode.view)?;
    }
    let is_leaf = znode.view.children == 0;
    if is_leaf || args.form.is_some() {
        if screen.is_json() {
            screen.json("znode", znode.json)?;
        } else {
            show(&znode.view, args.form, screen)?;
        }
        return Ok(());
    }
    if !screen.is_json() {
        screen.line(&clean(path), Some(Look::Head))?;
    }
    tree(args, api, id, path, 1, screen)
}

fn tree(
    args: &Args,
    api: &Api,
    id: &str,
    path: &str,
    level: usize,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    if level > args.depth {
        return Ok(());
    }
    let indent = "  ".repeat(level);
    let mut offset = 0;
    loop {
        let mut page = api.znodes(id, path, offset)?;
        page.znodes.truncate(args.limit - offset.min(args.limit));
        offset += page.znodes.len();
        let is_last = page.znodes.is_empty() || offset >= page.total.min(args.limit);
        for json in page.znodes {
            let Told { view, json } = Told::<Znode>::of(json)?;
            if screen.is_json() {
                screen.json("znode", json)?;
            } else {
                screen.line(&format!("{indent}{}", row(&view)), None)?;
            }
            if view.children > 0 {
                tree(args, api, id, &view.path, level + 1, screen)?;
            }
        }
        if is_last {
            let left = page.total.saturating_sub(offset);
            if left > 0 && screen.is_json() {
                screen.json("more", json!({ "path": path, "left": left }))?;
            } else if left > 0 {
                let more = format!("{indent}… {} more (--limit)", count(left as u64));
                screen.line(&more, Some(Look::Dim))?;
            }
            return Ok(());
        }
    }
}

/// One znode of a tree on a line.
fn row(znode: &Znode) -> String {
    let mut facts = Vec::new();
    if znode.size > 0 {
        facts.push(bytes(znode.size));
    }
    if znode.children > 0 {
        facts.push(format!("{} children", count(znode.children)));
    }
    if let Some(kind) = znode.kind.as_deref().filter(|kind| *kind != "persistent") {
        facts.push(clean(kind).into_owned());
    }
    if znode.role != "captured" {
        facts.push(clean(&znode.role).into_owned());
    }
    let name = clean(&znode.name);
    match facts.is_empty() {
        true => name.into_owned(),
        false => format!("{name}  ({})", facts.join(", ")),
    }
}

/// Whether it is only known that the znode was there: its data, its ACL and what is below it are not.
fn is_unreadable(znode: &Znode) -> bool {
    znode.role == "unreadable"
}

/// Refuses to hand out as empty what the backup could not read.
fn check_read(znode: &Znode) -> Result<(), Failure> {
    match is_unreadable(znode) {
        true => Err(Failure::failed(format!(
            "the backup could not read {}: that it was there is all that is known of it",
            znode.path
        ))),
        false => Ok(()),
    }
}

/// A znode with everything that is known of it.
fn show(znode: &Znode, form: Option<Form>, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let data = znode.bytes()?;
    if let Some(form) = form {
        return write(&data, form, screen);
    }
    screen.line(&clean(&znode.path), Some(Look::Head))?;
    match &*znode.role {
        "captured" => {}
        "unreadable" => {
            let why = "unreadable: the backup could not read it; its data, its ACL and what is below it are not known";
            screen.line(&format!("role      {why}"), Some(Look::Bad))?;
            return Ok(());
        }
        role => screen.line(&format!("role      {}", clean(role)), Some(Look::Dim))?,
    }
    let kind = match (znode.kind.as_deref(), znode.ttl_ms) {
        (Some(kind), Some(ms)) => format!("{} {ms} ms", clean(kind)),
        (Some(kind), None) => clean(kind).into_owned(),
        (None, _) => "as clients are shown it".to_owned(),
    };
    screen.line(&format!("kind      {kind}"), None)?;
    for entry in znode.acl.iter().flatten() {
        screen.line(&format!("acl       {}", clean(&entry.to_string())), None)?;
    }
    if znode.acl.as_ref().is_some_and(Vec::is_empty) {
        screen.line("acl       -", None)?;
    }
    if znode.stat.is_known(&znode.path) {
        show_stat(znode, screen)?;
    } else {
        screen.line("changed   -", None)?;
        screen.line("version   -", None)?;
    }
    screen.line(&format!("data      {}", bytes(znode.size)), None)?;
    if data.is_empty() {
        return Ok(());
    }
    let form = match std::str::from_utf8(&data) {
        Ok(_) => Form::Text,
        Err(_) => Form::Hex,
    };
    write(&data, form, screen)
}

/// When it was written last, and how often.
fn show_stat(znode: &Znode, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let changed = OffsetDateTime::from_unix_timestamp_nanos(i128::from(znode.stat.mtime) * 1_000_000);
    if let Ok(changed) = changed {
        screen.line(&format!("changed   {}", exact(changed)), None)?;
    }
    let Stat {
        version,
        czxid,
        mzxid,
        ..
    } = znode.stat;
    screen.line(
        &format!("version   {version} (czxid 0x{czxid:x}, mzxid 0x{mzxid:x})"),
        None,
    )?;
    Ok(())
}

fn write(data: &[u8], form: Form, screen: &mut Screen<'_>) -> Result<(), Failure> {
    match form {
        Form::Text => screen.line(
            clean_text(&String::from_utf8_lossy(data)).trim_end_matches('\n'),
            None,
        )?,
        Form::Base64 => screen.line(&STANDARD.encode(data), None)?,
        Form::Json => {
            let text = indented(data)
                .map_err(|why| Failure::failed(format!("the data are no JSON ({why}): --as text or hex")))?;
            screen.line(&clean_json_lines(&text), None)?;
        }
        Form::Hex => {
            for (index, line) in data.chunks(16).enumerate() {
                screen.line(&hex(index * 16, line), None)?;
            }
        }
        Form::Raw => screen.raw(data)?,
    }
    Ok(())
}

fn clean_json_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(clean_json).collect();
    lines.join("\n")
}

/// As `hexdump -C` has it.
fn hex(offset: usize, line: &[u8]) -> String {
    let mut digits = String::new();
    for (index, byte) in line.iter().enumerate() {
        let gap = if index == 8 { " " } else { "" };
        digits += &format!("{gap}{byte:02x} ");
    }
    let shown = line.iter().map(|byte| match byte {
        0x20..=0x7e => char::from(*byte),
        _ => '.',
    });
    format!("{offset:08x}  {digits:49} |{}|", shown.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(data: &[u8], form: Form) -> String {
        let mut out = Vec::new();
        write(data, form, &mut Screen::plain(&mut out, false)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn data_are_shown_in_any_form_and_never_raw_to_people() {
        assert_eq!(shown(b"\x1b[2J\xff\nab", Form::Text), "\\u{1b}[2J\u{fffd}\nab\n");
        assert_eq!(
            shown(&[0, 65, 27], Form::Hex),
            "00000000  00 41 1b                                          |.A.|\n"
        );
        assert_eq!(
            shown(br#"{"a":["\u009b"]}"#, Form::Json),
            "{\n  \"a\": [\n    \"\\u009b\"\n  ]\n}\n"
        );
        assert_eq!(shown(b"\0", Form::Base64), "AA==\n");
    }
}
