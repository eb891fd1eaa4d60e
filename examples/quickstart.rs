//! The main job as a story, on a real ZooKeeper and through the REST API: back up, break, look at the diff,
//! restore, compare, evict. Each step is shown as the `curl` command that does it.
//!
//! Ends with exit code 0 only if every znode is, byte for byte, what it was. `-- --stay` leaves ZooKeeper and the
//! server running until Ctrl-C.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::error::Error;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use backup_engine::{Driver, Engine, ZooKeeperEnsemble};
use clap::Parser;
use serde_json::json;
use zk_backup_daemon::{Access, Credentials, ServeOptions, serve};
use zk_backup_testkit::{Distribution, Http, SUPER_PASSWORD, ZooKeeper};
use zk_snapshot::client::BatchedConfig;
use zookeeper_async::{Acl, CreateMode, Permission};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Back up, break and restore a ZooKeeper of its own.
#[derive(Parser)]
struct Args {
    /// Leave ZooKeeper and the server running
    #[arg(long)]
    stay: bool,
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
    let engine = Engine::builder(Arc::new(ZooKeeperEnsemble::new(config, Driver::Auto)))
        .storage(storage.path())?
        .build()?;
    let listener = TcpListener::bind("127.0.0.1:8080").or_else(|_| TcpListener::bind("127.0.0.1:0"))?;
    let server = listener.local_addr()?.to_string();
    let access = Access::new(Credentials::new("admin", "admin"), false);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async {
        let _ = stopped.await; // a sender that is gone is a stop too
    };
    let serving = tokio::spawn(serve(listener, engine, ServeOptions::new(access), shutdown));
    println!(
        "ZooKeeper serves at {}, zk-backup at http://{server}\n",
        zookeeper.address()
    );

    let shell = Shell {
        http: Http::new(&server).with_credentials("admin", "admin"),
        server,
    };
    let told = story(&shell, &client).await;
    if args.stay && told.is_ok() {
        println!("Both go on running; Ctrl-C ends them.");
        tokio::signal::ctrl_c().await?;
    }
    let _ = stop.send(()); // it may have ended already
    serving.await??;
    told
}

async fn story(shell: &Shell, client: &zookeeper_async::ZooKeeper) -> Outcome<()> {
    println!("# 1. Back up everything.");
    let before = tree(client).await?;
    let id = shell.post("/backup", "")?;
    shell.wait(&id)?;
    shell.get("/listbackups")?;
    shell.get(&format!("/listbackups/{id}"))?;

    println!("# 2. Somebody deletes topics, opens a secret to everybody and changes a setting.");
    break_something(client).await?;
    println!("# What a restore would do:");
    let dry = shell.post("/restore", &json!({"vault": id, "dry_run": true}).to_string())?;
    let plan = shell.wait(&dry)?;
    let report = &plan["result"]["report"];
    for kind in ["created", "data_changed", "acl_changed", "deleted", "unchanged"] {
        println!("#   {kind}: {}", report[kind]);
    }
    let first = report["differences"].as_array().into_iter().flatten().take(4);
    for difference in first {
        println!("#   {} {}", difference["change"], difference["path"]);
    }
    println!("#   ...\n");

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
    shell.post("/evict?dry_run=true", "")?;

    println!("# 5. How is it?");
    shell.get("/health")?;
    Ok(())
}

/// Prints each request as the command that does it, and what came of it.
struct Shell {
    http: Http,
    server: String,
}

impl Shell {
    fn get(&self, path: &str) -> Outcome<()> {
        println!("curl http://{}{path}", self.server);
        println!("{}\n", self.http.get(path)?.text);
        Ok(())
    }

    fn post(&self, path: &str, body: &str) -> Outcome<String> {
        let data = if body.is_empty() {
            String::new()
        } else {
            format!(" -d '{body}'")
        };
        println!("curl -X POST -u admin:admin http://{}{path}{data}", self.server);
        let answer = self.http.post(path, body)?;
        println!("{}\n", answer.text);
        if answer.status == 200 {
            Ok(answer.text)
        } else {
            Err(format!("{path} was answered {}", answer.status).into())
        }
    }

    fn wait(&self, id: &str) -> Outcome<serde_json::Value> {
        println!("curl http://{}/jobstatus/{id}", self.server);
        loop {
            let answer = self.http.get(&format!("/jobstatus/{id}"))?;
            if answer.status != 206 {
                let mut state = answer.json();
                let whole = state.clone();
                if let Some(state) = state.as_object_mut() {
                    state.remove("result"); // shown where it matters
                }
                println!("{state}\n");
                return if answer.status == 200 {
                    Ok(whole)
                } else {
                    Err(format!("job {id} failed").into())
                };
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
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
