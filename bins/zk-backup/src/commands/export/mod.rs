//! `zk-backup export`.

mod tar;

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::tops;
use crate::api::{Api, Told, Znode};
use crate::exit::{Exit, Failure, about};
use crate::interrupt;
use crate::text::{Bar, Screen, clean, clean_json, count};

/// After so many znodes it is told how far an export is.
const SO_MANY: u64 = 100;

/// What to write, and where.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The backup, or `latest`
    id: String,
    /// Only this znode and what is below it
    path: Option<String>,
    /// A file that ends with .tar, .json or .jsonl; `-` writes JSON lines to stdout
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
}

impl Args {
    /// Whether what is in the backup is printed, and no file written.
    pub(crate) fn is_to_stdout(&self) -> bool {
        self.output.as_os_str() == "-"
    }
}

/// What znodes are written into.
trait Sink {
    fn add(&mut self, znode: &Told<Znode>) -> Result<(), Failure>;
    fn finish(self: Box<Self>) -> Result<(), Failure>;
}

pub(crate) fn run(args: &Args, api: &Api, screen: &mut Screen<'_>, quiet: bool) -> Result<Exit, Failure> {
    let extension = args.output.extension().and_then(|extension| extension.to_str());
    let is_tar = match (args.output.to_str(), extension) {
        (Some("-"), _) | (_, Some("json" | "jsonl")) => false,
        (_, Some("tar")) => true,
        _ => {
            return Err(Failure::usage(
                "-o FILE has to end with .tar, .json or .jsonl, or be `-`",
            ));
        }
    };
    let id = api.resolve(&args.id)?;
    // What the backup lacks the export lacks.
    let backup = api.describe(&id)?.view;
    let exit = match backup.lacks() {
        true => Exit::Partial,
        false => Exit::Done,
    };
    let tops = tops(api, &id, args.path.as_deref())?;
    if args.is_to_stdout() {
        walk(api, &id, &tops, &mut OnScreen(screen), |_| {})?;
        return Ok(exit);
    }
    let at = args.output.display().to_string();
    let at = clean(&at);
    if args.output.exists() && !args.force {
        return Err(Failure::usage(format!(
            "{at} is there already: add --force to replace it"
        )));
    }
    // For this user alone, under a name that nobody else has; it goes with what is dropped.
    let part = tempfile::NamedTempFile::new_in(beside(&args.output)).map_err(about(args.output.display()))?;
    interrupt::remove(part.path());
    let file = BufWriter::new(part.reopen().map_err(about(args.output.display()))?);
    let mut sink: Box<dyn Sink> = match is_tar {
        true => Box::new(tar::Tar::new(file)),
        false => Box::new(Lines(file)),
    };
    let bar = (!quiet && !screen.is_json()).then(Bar::on_terminal).flatten();
    let expected = backup.znodes.filter(|_| args.path.is_none());
    let znodes = walk(api, &id, &tops, &mut *sink, |znodes| {
        if let Some(bar) = &bar {
            bar.show(znodes, expected, format!("{} znodes", count(znodes)));
        }
    })?;
    drop(bar);
    sink.finish()?;
    // What a full disk or a quota refuses may show only here.
    part.as_file().sync_all().map_err(about(args.output.display()))?;
    match args.force {
        true => part.persist(&args.output),
        false => part.persist_noclobber(&args.output),
    }
    .map_err(about(args.output.display()))?;
    match screen.is_json() {
        true => {
            let told = match &tops[..] {
                [path] => json!({ "id": id, "paths": tops, "path": path, "znodes": znodes }),
                _ => json!({ "id": id, "paths": tops, "znodes": znodes }),
            };
            screen.json("exported", told)?;
        }
        false => {
            let lacks = match exit {
                Exit::Partial => "; the backup lacks some, `zk-backup show` names them",
                _ => "",
            };
            screen.line(
                &format!("{} znodes of {} are in {at}{lacks}", count(znodes), clean(&id)),
                None,
            )?;
        }
    }
    Ok(exit)
}

/// The directory where a file is written until it is whole: that of `output`.
fn beside(output: &Path) -> &Path {
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// Hands every znode at and below the `tops` to `sink`, parents first, and counts them, also to `so_far` now and then. What the backup only knows to
/// be there is left out.
fn walk(
    api: &Api,
    id: &str,
    tops: &[String],
    sink: &mut dyn Sink,
    so_far: impl Fn(u64),
) -> Result<u64, Failure> {
    let mut written = 0;
    let mut take = |znode: Told<Znode>| -> Result<Option<String>, Failure> {
        if znode.view.role == "captured" {
            sink.add(&znode)?;
            written += 1;
            if written % SO_MANY == 0 {
                so_far(written);
            }
        }
        Ok((znode.view.children > 0).then_some(znode.view.path))
    };
    for top in tops {
        // Those whose children are still to come.
        let mut left: Vec<String> = take(api.znode(id, top)?)?.into_iter().collect();
        while let Some(path) = left.pop() {
            let at = left.len();
            api.for_each_child(id, &path, |child| {
                left.extend(take(child)?);
                Ok(())
            })?;
            left[at..].reverse();
        }
    }
    Ok(written)
}

/// A znode a line, as the API has it.
struct Lines<W: Write>(W);

impl<W: Write> Sink for Lines<W> {
    fn add(&mut self, znode: &Told<Znode>) -> Result<(), Failure> {
        Ok(writeln!(self.0, "{}", clean_json(&znode.json.to_string()))?)
    }

    fn finish(mut self: Box<Self>) -> Result<(), Failure> {
        Ok(self.0.flush()?)
    }
}

struct OnScreen<'a, 'b>(&'a mut Screen<'b>);

impl Sink for OnScreen<'_, '_> {
    fn add(&mut self, znode: &Told<Znode>) -> Result<(), Failure> {
        Ok(self.0.json("znode", znode.json.clone())?)
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        Ok(())
    }
}
