//! Azure's object storage, as a program that stands for it. Those that stand for Google's do not know the requests that `object_store` makes.
//! `AZURITE=azurite-blob cargo test -p zk-backup-testkit --test object_storage -- --ignored azure`.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use backup_engine::job_queue::{self, ObjectJobs};
use tempfile::TempDir;
use vault_store::conformance::{self, Subject};
use vault_store::{CloudConfig, VaultStore as _};
use zk_backup_testkit::Port;

use super::{id, put};

/// The account of every Azurite, whose key is in its documentation.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// Signed with it: everything, until the end of the century.
const SIGNED: &str = "sv=2021-08-06&ss=b&srt=sco&sp=rwdlac&se=2099-12-31T00%3A00%3A00Z&spr=https%2Chttp&sig=LhS0c1E5MwTG7338FU3wl3jnq6X6FlOao5zSRFl192g%3D";

struct Program {
    process: Child,
    port: Port,
    _directory: TempDir,
}

impl Program {
    /// The program that `variable` names, once it takes connections.
    fn start(variable: &str, arguments: impl Fn(u16, &str) -> Vec<String>) -> Self {
        let program = std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set"));
        let directory = tempfile::tempdir().unwrap();
        let port = Port::take().unwrap();
        let process = Command::new(program)
            .args(arguments(port.number(), directory.path().to_str().unwrap()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Self {
            process,
            port,
            _directory: directory,
        };
        let end = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(started.port.address()).is_err() {
            assert!(Instant::now() < end, "{variable} takes no connections");
            thread::sleep(Duration::from_millis(50));
        }
        started
    }

    fn azure() -> Self {
        let started = Self::start("AZURITE", |port, directory| {
            let port = port.to_string();
            let arguments = [
                "--blobHost",
                "127.0.0.1",
                "--blobPort",
                &port,
                "--location",
                directory,
                "--silent",
                "--skipApiVersionCheck",
                "--disableTelemetry",
            ];
            arguments.map(str::to_owned).to_vec()
        });
        let container = format!("{}/backups?restype=container&{SIGNED}", started.azure_place());
        ureq::put(&container).send_empty().unwrap();
        started
    }

    fn azure_place(&self) -> String {
        format!("http://{}/{ACCOUNT}", self.port.address())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What is at `url`, with `variables`.
fn config(url: &str, variables: &[(&str, String)]) -> CloudConfig {
    let value = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| value.clone())
    };
    let config = CloudConfig::new(url).unwrap().with_values(value);
    config.with_retry_for(Duration::from_secs(1))
}

fn azure(program: &Program, prefix: &str, container: &str) -> CloudConfig {
    let variables = [
        ("azure_storage_account_name", ACCOUNT.to_owned()),
        ("azure_storage_account_key", KEY.to_owned()),
        ("azure_storage_endpoint", program.azure_place()),
    ];
    config(&format!("az://{container}/{prefix}"), &variables)
}

/// Every rule of vaults and of jobs, each below a prefix of its own, and the conditions that several servers need.
fn keeps_all_rules(at: impl Fn(&str) -> CloudConfig) {
    let count = AtomicUsize::new(0);
    let place = || at(&format!("place/{}", count.fetch_add(1, Ordering::Relaxed)));
    let vaults = place().open().unwrap();
    vaults.check().unwrap();
    assert_eq!(vaults.ignored_condition(true).unwrap(), None);
    conformance::all(|| {
        let config = place();
        Subject::new(move || config.open().unwrap())
    });
    job_queue::conformance::all(|| {
        let config = place();
        ObjectJobs::open(&config.objects().unwrap(), config.prefix()).unwrap()
    });
}

#[test]
#[ignore = "needs Azurite"]
fn an_azure_container_keeps_all_rules() {
    let program = Program::azure();
    keeps_all_rules(|prefix| azure(&program, prefix, "backups"));
}

#[test]
#[ignore = "needs Azurite"]
fn an_azure_container_has_links_and_says_what_is_wrong() {
    let program = Program::azure();
    let store = azure(&program, "links", "backups").open().unwrap();
    put(&store, b"these bytes").unwrap();
    let links = store.links(&id(), Duration::from_secs(60)).unwrap();
    let (_, link) = &links[0];
    let bytes = ureq::get(link).call().unwrap().body_mut().read_to_vec().unwrap();
    assert_eq!(bytes, b"these bytes");

    let missing = azure(&program, "", "nothing-here").open().unwrap();
    let said = missing.check().unwrap_err();
    assert!(said.to_string().contains("there is no such bucket"), "{said}");
    assert!(!said.may_pass());
    let wrong = |name: &str| match name {
        "azure_storage_account_name" => Some(ACCOUNT.to_owned()),
        "azure_storage_account_key" => Some("bm90IHRoaXMga2V5".to_owned()),
        "azure_storage_endpoint" => Some(program.azure_place()),
        _ => None,
    };
    let refused = CloudConfig::new("az://backups").unwrap().with_values(wrong);
    let said = refused.open().unwrap().ids().unwrap_err();
    assert!(said.to_string().contains("the credentials"), "{said}");
}
