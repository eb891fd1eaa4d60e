//! The main job as a story, on a real ZooKeeper and through the REST API: back up, break, look at the diff,
//! restore, compare, evict. Each step is shown as the `curl` command that does it, and what came of it in short; `-- --json`
//! shows the answers as they are.
//!
//! Ends with exit code 0 only if every znode is, byte for byte, what it was. `-- --stay` leaves ZooKeeper and the
//! server running until Ctrl-C. `-- --s3` keeps the backups in a bucket of a real S3 server,
//! and has two servers, one of which takes over when the other is gone.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backup_engine::{Driver, Engine, ZooKeeperEnsemble};
use clap::Parser;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use zk_backup_daemon::{Access, Credentials, ServeOptions, Settings, serve};
use zk_backup_testkit::{
    BUCKET, Distribution, Http, KEY_ID, KEY_SECRET, S3Server, SUPER_PASSWORD, ZooKeeper,
};
use zk_snapshot::client::BatchedConfig;
use zookeeper_async::{Acl, CreateMode, Permission};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Back up, break and restore a ZooKeeper of its own.
#[derive(Parser)]
struct Args {
    /// Leave ZooKeeper and the server running
    #[arg(long)]
    stay: bool,
    /// Keep the backups in a bucket
    #[arg(long)]
    s3: bool,
    /// Show the answers as they come, in JSON
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let args = Args::parse();
    println!("Looking for a ZooKeeper, and starting it ...");
    let zookeeper = ZooKeeper::start(&Distribution::locate()?)?;
    let client = connect(&zookeeper.address()).await?;
    fill(&client).await?;

    let storage = tempfile::tempdir()?;
    let config = BatchedConfig {
        digest_auth: Some(format!("super:{SUPER_PASSWORD}")),
        ..BatchedConfig::new(zookeeper.address())
    };
    let s3 = args.s3.then(S3Server::start).transpose()?;
    let (stop, stopped) = watch::channel(false);
    let mut servers = Vec::new();
    match &s3 {
        None => {
            let builder = Engine::builder(Arc::new(ZooKeeperEnsemble::new(config, Driver::Auto)));
            let access = Access::new(Credentials::new("admin", "admin"), false);
            let (listener, engine) = (listen()?, builder.storage(storage.path())?.build()?);
            let address = listener.local_addr()?.to_string();
            let serving = serve(listener, engine, ServeOptions::new(access), ends(stopped));
            servers.push((address, tokio::spawn(serving)));
        }
        Some(s3) => {
            println!("An S3 server serves at {}, with the bucket {BUCKET}", s3.url());
            for name in ["one", "two"] {
                let place = storage.path().join(name);
                servers.push(one_of_several(name, &zookeeper, s3, &place, stopped.clone())?);
                wait_to_lead(&servers[0].0)?; // the first one does
            }
        }
    }
    let addresses: Vec<_> = servers.iter().map(|(address, _)| address.clone()).collect();
    println!(
        "ZooKeeper serves at {}, zk-backup at http://{}\n",
        zookeeper.address(),
        addresses.join(" and http://")
    );
    let server = addresses[0].clone();

    let shell = Shell {
        http: Http::new(&server).with_credentials("admin", "admin"),
        server,
        json: args.json,
    };
    let mut told = story(&shell, &client, s3.as_ref()).await;
    if let (Ok(()), [(_, first), (second, _)]) = (&told, &servers[..]) {
        first.abort();
        told = failover(second, args.json);
    }
    if args.stay && told.is_ok() {
        println!("Both go on running; Ctrl-C ends them.");
        tokio::signal::ctrl_c().await?;
    }
    stop.send_replace(true);
    for (_, serving) in servers {
        match serving.await {
            Err(error) if error.is_cancelled() => {}
            served => served??,
        }
    }
    told
}

fn listen() -> std::io::Result<TcpListener> {
    TcpListener::bind("127.0.0.1:8080").or_else(|_| TcpListener::bind("127.0.0.1:0"))
}

async fn ends(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await; // a sender that is gone is a stop too
}

type Serving = (String, JoinHandle<std::io::Result<()>>);

/// A server of the settings, which shares the bucket with others.
fn one_of_several(
    name: &str,
    zookeeper: &ZooKeeper,
    s3: &S3Server,
    storage: &Path,
    stopped: watch::Receiver<bool>,
) -> Outcome<Serving> {
    let given = |text: &str| Some(text.to_owned());
    let args = zk_backup_daemon::Args {
        zookeeper_host: given(&zookeeper.address()),
        zookeeper_timeout: given("3"),
        storage: given(&storage.display().to_string()),
        backup_schedule: given("None"),
        s3_enabled: given("true"),
        s3_url: given(&s3.url()),
        s3_bucket: given(BUCKET),
        ha: given("true"),
        ha_name: given(name),
        // 30 where nobody waits for the end of the story.
        ha_lease_seconds: given("6"),
        ..zk_backup_daemon::Args::default()
    };
    let secret = |name: &str| {
        Some(OsString::from(match name {
            "S3_KEY_ID" => KEY_ID,
            "S3_KEY_SECRET" => KEY_SECRET,
            "ZOOKEEPER_DIGEST_USERNAME" => "super",
            "ZOOKEEPER_DIGEST_PASSWORD" => SUPER_PASSWORD,
            "BACKUP_DAEMON_API_CREDENTIALS_USERNAME" | "BACKUP_DAEMON_API_CREDENTIALS_PASSWORD" => "admin",
            _ => return None,
        }))
    };
    let settings = Settings::new(&args, secret)?;
    let listener = listen()?;
    let address = listener.local_addr()?;
    let (builder, peers) = zk_backup_daemon::join(zk_backup_daemon::builder(&settings)?, &settings, address)?;
    let options = ServeOptions {
        peers,
        ..ServeOptions::new(settings.access)
    };
    let serving = serve(listener, builder.build()?, options, ends(stopped));
    Ok((address.to_string(), tokio::spawn(serving)))
}

fn wait_to_lead(server: &str) -> Outcome<()> {
    let (http, begun) = (Http::new(server), Instant::now());
    while http.get("/health")?.json()["role"] != "leader" {
        if begun.elapsed() > Duration::from_secs(60) {
            return Err(format!("{server} does not take the lead").into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// What becomes of it when the server that works is gone.
fn failover(server: &str, json: bool) -> Outcome<()> {
    println!("# 6. The server that works is gone, as by a crash. The other one takes over.");
    let shell = Shell {
        http: Http::new(server).with_credentials("admin", "admin"),
        server: server.to_owned(),
        json,
    };
    let begun = Instant::now();
    wait_to_lead(server)?;
    println!("# It works after {:.1} s.", begun.elapsed().as_secs_f64());
    let id = shell.post("/backup", "")?;
    shell.wait(&id)?;
    shell.get("/listbackups", |ids| vec![row("backups", ids)])
}

async fn story(shell: &Shell, client: &zookeeper_async::ZooKeeper, s3: Option<&S3Server>) -> Outcome<()> {
    println!("# 1. Back up everything.");
    let before = tree(client).await?;
    let id = shell.post("/backup", "")?;
    shell.wait(&id)?;
    shell.get("/listbackups", |ids| vec![row("backups", ids)])?;
    shell.get(&format!("/listbackups/{id}"), of_backup)?;

    if let Some(s3) = s3 {
        let files: Vec<_> = files(&s3.bucket())?
            .iter()
            .map(|key| row("key", &json!(key)))
            .collect();
        println!("# What is in the bucket now:\n{}", table(&files));
    }

    println!("# 2. Somebody deletes topics, opens a secret to everybody and changes a setting.");
    break_something(client).await?;
    println!("# What a restore would do:");
    let dry = shell.post("/restore", &json!({"vault": id, "dry_run": true}).to_string())?;
    let plan = shell.wait(&dry)?;
    println!("{}", table(&of_plan(&plan["result"]["report"])));

    println!("# 3. Restore.");
    let task = shell.post("/restore", &json!({"vault": id}).to_string())?;
    shell.wait(&task)?;
    if tree(client).await? != before {
        return Err("the tree is not what it was".into());
    }
    println!(
        "# Compared {} znodes: every path, byte and ACL is what it was.\n",
        before.len()
    );

    println!("# 4. Back up one root znode, and evict that backup; what would the policies evict?");
    let config = shell.post("/backup", r#"{"dbs":["config"]}"#)?;
    shell.wait(&config)?;
    shell.post(&format!("/evict/{config}"), "")?;
    shell.ask("POST", "/evict?dry_run=true", "", of_decisions)?;

    println!("# 5. How is it?");
    shell.get("/health", of_health)?;
    Ok(())
}

/// The keys of a bucket, which the server keeps as files.
fn files(bucket: &Path) -> Outcome<Vec<String>> {
    let (mut keys, mut left) = (Vec::new(), vec![bucket.to_owned()]);
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true => left.push(path),
                false => keys.push(path.strip_prefix(bucket)?.display().to_string()),
            }
        }
    }
    keys.retain(|key| !key.starts_with('.'));
    keys.sort();
    Ok(keys)
}

/// What is shown of an answer: names and values.
type Rows = Vec<(String, String)>;

/// Prints each request as the command that does it, and what came of it.
struct Shell {
    http: Http,
    server: String,
    json: bool,
}

impl Shell {
    fn get(&self, path: &str, shown: impl Fn(&Value) -> Rows) -> Outcome<()> {
        self.ask("GET", path, "", shown).map(drop)
    }

    /// A request whose answer is one line: an id, or a word.
    fn post(&self, path: &str, body: &str) -> Outcome<String> {
        self.ask("POST", path, body, |_| Vec::new())
    }

    fn ask(&self, method: &str, path: &str, body: &str, shown: impl Fn(&Value) -> Rows) -> Outcome<String> {
        let (how, data) = match (method, body) {
            ("GET", _) => ("", String::new()),
            (_, "") => ("-X POST -u admin:admin ", String::new()),
            _ => ("-X POST -u admin:admin ", format!(" -d '{body}'")),
        };
        println!("curl {how}http://{}{path}{data}", self.server);
        let answer = match method {
            "GET" => self.http.get(path)?,
            _ => self.http.post(path, body)?,
        };
        if answer.status != 200 {
            return Err(format!("{path} was answered {}: {}", answer.status, answer.text).into());
        }
        let rows = if self.json {
            Vec::new()
        } else {
            serde_json::from_str(&answer.text).map_or_else(|_| Vec::new(), |value| shown(&value))
        };
        match rows.is_empty() {
            true => println!("{}\n", answer.text),
            false => println!("{}", table(&rows)),
        }
        Ok(answer.text)
    }

    fn wait(&self, id: &str) -> Outcome<Value> {
        println!("curl http://{}/jobstatus/{id}", self.server);
        loop {
            let answer = self.http.get(&format!("/jobstatus/{id}"))?;
            if answer.status == 206 {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            let state = answer.json();
            if self.json {
                println!("{}\n", answer.text);
            } else {
                println!("{}", table(&[row("status", &state["status"])]));
            }
            return match answer.status {
                200 => Ok(state),
                _ => Err(format!("job {id} failed: {}", answer.text).into()),
            };
        }
    }
}

fn row(name: &str, value: &Value) -> (String, String) {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values
            .iter()
            .map(|value| row("", value).1)
            .collect::<Vec<_>>()
            .join(", "),
        Value::Object(_) => row("", &value["newest"]).1, // a zxid
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    (name.to_owned(), text)
}

/// Names on the left, values on the right.
fn table(rows: &[(String, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = rows
        .iter()
        .map(|(name, value)| format!("    {name:width$}  {value}\n"));
    lines.collect()
}

fn of_backup(backup: &Value) -> Rows {
    [
        "id",
        "mode",
        "valid",
        "consistency",
        "zxid",
        "znodes",
        "size",
        "evictable",
    ]
    .iter()
    .filter(|name| !backup[**name].is_null())
    .map(|name| row(name, &backup[*name]))
    .collect()
}

fn of_plan(report: &Value) -> Rows {
    let counts = ["created", "data_changed", "acl_changed", "deleted", "unchanged"];
    let first = report["differences"].as_array().into_iter().flatten().take(4);
    let counts = counts.iter().map(|kind| row(kind, &report[*kind]));
    counts
        .chain(first.map(|found| row(found["change"].as_str().unwrap_or_default(), &found["path"])))
        .collect()
}

fn of_decisions(decisions: &Value) -> Rows {
    let decisions = decisions.as_array().into_iter().flatten();
    let line = |decision: &Value| {
        let (_, action) = row("", &decision["action"]);
        let (_, reason) = row("", &decision["reason"]);
        (row("", &decision["id"]).1, format!("{action}: {reason}"))
    };
    decisions.map(line).collect()
}

fn of_health(health: &Value) -> Rows {
    let (storage, zookeeper) = (&health["storage"], &health["zookeeper"]);
    let mut rows = vec![
        row("status", &health["status"]),
        row("backups", &storage["dump_count"]),
        row("bytes", &storage["size"]),
        row("newest", &storage["last"]["id"]),
        row(
            "seconds since the last good one",
            &health["seconds_since_success"],
        ),
        row("ZooKeeper", &json!([zookeeper["version"], zookeeper["mode"]])),
        row("jobs that wait", &health["backup_queue_size"]),
    ];
    if let Value::String(place) = &storage["where"] {
        rows.push(("in".to_owned(), place.clone()));
    }
    rows
}

async fn connect(address: &str) -> Outcome<zookeeper_async::ZooKeeper> {
    let session = Duration::from_secs(20);
    let nothing = |_: zookeeper_async::WatchedEvent| {};
    let client = zookeeper_async::ZooKeeper::connect(address, session, nothing).await?;
    let identity = format!("super:{SUPER_PASSWORD}").into_bytes();
    client.add_auth("digest", identity).await?;
    Ok(client)
}

/// Brokers with live sessions, topics, settings, and a secret, as many clusters have them.
async fn fill(client: &zookeeper_async::ZooKeeper) -> Outcome<()> {
    let open = Acl::open_unsafe();
    let secret = [Acl {
        perms: Permission::ALL,
        scheme: "digest".into(),
        id: "app:ZWxzZXdoZXJlIQ==".into(),
    }];
    let create = |path: String, data: Vec<u8>, acl: Vec<Acl>, mode: CreateMode| async move {
        client.create(&path, data, acl, mode).await.map(drop)
    };
    let keep = CreateMode::Persistent;
    for path in ["/brokers", "/brokers/ids", "/brokers/topics", "/config"] {
        create(path.into(), vec![], open.clone(), keep).await?;
    }
    create("/secrets".into(), vec![], secret.to_vec(), keep).await?;
    create("/secrets/key".into(), (0..=255).collect(), secret.to_vec(), keep).await?;
    create("/config/retries".into(), b"3\r\n".to_vec(), open.clone(), keep).await?;
    for broker in 0..3 {
        let data = format!(r#"{{"host":"broker-{broker}"}}"#).into_bytes();
        create(
            format!("/brokers/ids/{broker}"),
            data,
            open.clone(),
            CreateMode::Ephemeral,
        )
        .await?;
    }
    let topics = (0..2_000).map(|topic| {
        let data = format!(r#"{{"version":2,"partitions":{{"0":[{}]}}}}"#, topic % 3);
        create(
            format!("/brokers/topics/t{topic}"),
            data.into_bytes(),
            open.clone(),
            keep,
        )
    });
    futures::future::try_join_all(topics).await?;
    Ok(())
}

async fn break_something(client: &zookeeper_async::ZooKeeper) -> Outcome<()> {
    client.set_data("/config/retries", b"0".to_vec(), None).await?;
    client
        .set_acl("/secrets/key", Acl::open_unsafe().clone(), None)
        .await?;
    client
        .create(
            "/config/typo",
            vec![],
            Acl::open_unsafe().clone(),
            CreateMode::Persistent,
        )
        .await?;
    for topic in 0..500 {
        client.delete(&format!("/brokers/topics/t{topic}"), None).await?;
    }
    Ok(())
}

/// Path → data and ACL of everything outside `/zookeeper`, read straight from ZooKeeper.
async fn tree(client: &zookeeper_async::ZooKeeper) -> Outcome<BTreeMap<String, (Vec<u8>, String)>> {
    let mut tree = BTreeMap::new();
    let mut waiting = vec!["/".to_owned()];
    while let Some(path) = waiting.pop() {
        let (data, _) = client.get_data(&path, false).await?;
        let (acl, _) = client.get_acl(&path).await?;
        let children = client.get_children(&path, false).await?;
        let prefix = if path == "/" { "" } else { &path };
        let below = children.iter().map(|name| format!("{prefix}/{name}"));
        waiting.extend(below.filter(|child| child != "/zookeeper"));
        let acl = acl.iter().map(|e| format!("{}:{}:{}", e.perms, e.scheme, e.id));
        let acl = acl.collect::<Vec<_>>().join(" ");
        tree.insert(path, (data, acl));
    }
    Ok(tree)
}
