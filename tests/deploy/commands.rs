//! Commands in the documents are ones that the programs take, and requests in them ones that the API describes. What of them can be
//! run is run in `tests/integration` and by `guide::` (docs/TESTING.md).

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use clap::Parser as _;
use clap::error::ErrorKind;
use serde_json::Value;
use zk_backup_testkit::blocks;

use crate::shell::{commands, without_placeholders};
use crate::{files, read, workspace};

/// Those of curl's flags that take a value, as far as the documents use them.
const WITH_VALUE: [&str; 9] = [
    "-u",
    "-w",
    "-o",
    "-sSo",
    "-H",
    "-F",
    "--cacert",
    "--cert",
    "--data-binary",
];

/// What is wrong with a command, or nothing. `None` where it is none of ours. A `mention` in a sentence may leave values out.
fn check(words: &[String], is_mention: bool, api: &Value) -> Option<Result<(), String>> {
    let (program, rest) = words.split_first()?;
    let told = |error: clap::Error| {
        let is_open = match error.kind() {
            ErrorKind::MissingRequiredArgument | ErrorKind::MissingSubcommand => true,
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => true,
            ErrorKind::InvalidValue => rest.last().is_some_and(|last| last.starts_with('-')),
            _ => false,
        };
        match error.use_stderr() && !(is_mention && is_open) {
            true => Err(error.to_string()),
            false => Ok(()),
        }
    };
    match &**program {
        "zk-backup" => Some(zk_backup::Cli::try_parse_from(words).map(drop).or_else(told)),
        "zk-backup-daemon" => Some(
            zk_backup_daemon::Cli::try_parse_from(words)
                .map(drop)
                .or_else(told),
        ),
        // As OPERATIONS defines them.
        "get" => Some(request(api, "get", rest.first()?, None)),
        "post" => Some(request(
            api,
            "post",
            rest.first()?,
            rest.get(1).map(|body| &**body),
        )),
        "curl" => Some(curl(rest, is_mention, api)),
        _ => None,
    }
}

fn curl(arguments: &[String], is_mention: bool, api: &Value) -> Result<(), String> {
    let (mut method, mut url, mut body) = (None, None, None);
    let mut left = arguments.iter();
    while let Some(argument) = left.next() {
        match &**argument {
            "-X" => method = left.next().map(|method| method.to_lowercase()),
            "-d" => body = left.next(),
            flag if WITH_VALUE.contains(&flag) => drop(left.next()),
            flag if flag.starts_with('-') => {}
            _ => url = Some(argument),
        }
        if argument == "-F" {
            method.get_or_insert_with(|| "post".to_owned());
        }
    }
    let Some(url) = url else {
        return if is_mention {
            Ok(())
        } else {
            Err("there is no URL".to_owned())
        };
    };
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => url.strip_prefix("$url").ok_or("a URL is expected")?,
    };
    // As `get` and `post` are defined.
    if path == "$1" {
        return Ok(());
    }
    let sends = if body.is_some() { "post" } else { "get" };
    request(
        api,
        method.as_deref().unwrap_or(sends),
        path,
        body.map(|body| &**body),
    )
}

/// Whether the API knows the method and the path, every parameter behind it, and every key of the body.
fn request(api: &Value, method: &str, target: &str, body: Option<&str>) -> Result<(), String> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let is_it = |template: &str| {
        let (template, path) = (template.split('/'), path.split('/'));
        template.clone().count() == path.clone().count()
            && template
                .zip(path)
                .all(|(known, given)| known == given || (known.starts_with('{') && !given.is_empty()))
    };
    let paths = api["paths"].as_object().unwrap();
    // What is named itself comes before what any name stands for.
    let exact = paths.get(path);
    let found = exact.or_else(|| {
        paths
            .iter()
            .find(|(known, _)| is_it(known))
            .map(|(_, found)| found)
    });
    let operation = &found.ok_or(format!("{path}: there is no such path"))?[method];
    if operation.is_null() {
        return Err(format!("{method} {path}: there is no such method"));
    }
    for name in query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split('=').next().unwrap())
    {
        let known = operation["parameters"].as_array();
        let mut known = known.into_iter().flatten();
        if !known.any(|one| one["name"] == name && one["in"] == "query") {
            return Err(format!("{target}: there is no parameter {name}"));
        }
    }
    let Some(body) = body.filter(|body| !body.is_empty() && !body.starts_with("${")) else {
        return Ok(());
    };
    let body: Value = serde_json::from_str(body).map_err(|error| format!("{body}: {error}"))?;
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let schema = match schema["$ref"].as_str() {
        Some(name) => api.pointer(name.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    let unknown = body.as_object().into_iter().flatten();
    let mut unknown = unknown.filter(|(key, _)| schema["properties"][*key].is_null());
    match unknown.next() {
        Some((key, _)) => Err(format!("{method} {path}: there is no key {key}")),
        None => Ok(()),
    }
}

fn documents() -> Vec<PathBuf> {
    let mut documents = files("docs", ".md");
    documents.extend(files("examples/deploy", ".md"));
    documents.push(workspace().join("README.md"));
    documents
}

/// Everything in a document that is typed: the blocks of shell, and what is `quoted` in a sentence, which is told, and begins as a command does.
fn typed(document: &str) -> Vec<(String, bool)> {
    let shell = blocks(document).into_iter();
    let shell = shell.filter(|(kind, _)| kind.split(' ').next() == Some("sh"));
    let mut typed: Vec<_> = shell.map(|(_, text)| (text.to_owned(), false)).collect();
    let sentences = document.split("```").step_by(2);
    for line in sentences.flat_map(str::lines) {
        let quoted = line.split('`').skip(1).step_by(2);
        let is_typed = |text: &&str| {
            let begins = ["zk-backup ", "zk-backup-daemon ", "post ", "get ", "curl "];
            begins.iter().any(|begin| text.starts_with(begin))
        };
        typed.extend(quoted.filter(is_typed).map(|text| (text.to_owned(), true)));
    }
    typed
}

#[test]
fn every_command_is_one_that_the_programs_take() {
    let api: Value = serde_json::from_str(&read("docs/openapi.json")).unwrap();
    let (mut wrong, mut seen, mut checked) = (Vec::new(), BTreeSet::new(), 0);
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for (typed, is_mention) in typed(&text) {
            for words in commands(&without_placeholders(&typed)) {
                let Some(found) = check(&words, is_mention, &api) else {
                    continue;
                };
                checked += 1;
                seen.insert(words[0].clone());
                if let Err(why) = found {
                    wrong.push(format!("{}: {}\n    {why}", path.display(), words.join(" ")));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 100, "{checked}: they are not found any more");
    let every: BTreeSet<_> = ["curl", "get", "post", "zk-backup", "zk-backup-daemon"].into();
    assert_eq!(seen.iter().map(|name| &**name).collect::<BTreeSet<_>>(), every);
}

/// What is told of because it is not there.
const NONE: [&str; 2] = ["GET /terminate/<id>", "GET /health/<anything>"];

/// `GET /health` and the like, in sentences. Decisions tell of other programs' too.
#[test]
fn every_request_is_one_that_the_api_describes() {
    let api: Value = serde_json::from_str(&read("docs/openapi.json")).unwrap();
    let (mut wrong, mut checked) = (Vec::new(), 0);
    let is_decision = |path: &PathBuf| path.parent() == Some(&workspace().join("docs/decisions"));
    for path in documents().into_iter().filter(|path| !is_decision(path)) {
        let text = fs::read_to_string(&path).unwrap();
        let sentences = text.split("```").step_by(2).flat_map(str::lines);
        for quoted in sentences.flat_map(|line| line.split('`').skip(1).step_by(2)) {
            let Some((methods, target)) = quoted.split_once(" /").filter(|_| !NONE.contains(&quoted)) else {
                continue;
            };
            for method in methods.split('|') {
                if !["GET", "POST", "DELETE", "PUT"].contains(&method) {
                    continue;
                }
                checked += 1;
                let target = format!("/{}", without_placeholders(target));
                if let Err(why) = request(&api, &method.to_lowercase(), &target, None) {
                    wrong.push(format!("{}: {quoted}\n    {why}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 50, "{checked}: they are not found any more");
}

/// Clients compare them.
#[test]
fn the_documents_name_every_status_of_api_v1() {
    let api: Value = serde_json::from_str(&read("docs/openapi.json")).unwrap();
    let statuses = api["components"]["schemas"]["JobV1Status"]["enum"].as_array();
    let statuses: Vec<_> = statuses.unwrap().iter().filter_map(Value::as_str).collect();
    for (path, line) in [
        ("docs/API.md", "The answers have `status` ("),
        ("docs/MIGRATION.md", "| `/api/v1` `status` |"),
    ] {
        let text = read(path);
        let named = text.lines().find_map(|found| found.strip_prefix(line)).unwrap();
        let named = named.split('`').skip(1).step_by(2).take(statuses.len());
        assert_eq!(named.collect::<Vec<_>>(), statuses, "{path}");
    }
}
