//! Where ZooKeeper's own programs come from.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>zk-backup</groupId><artifactId>zookeeper-for-tests</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.zookeeper</groupId><artifactId>zookeeper</artifactId><version>3.9.5</version></dependency>
    <dependency><groupId>io.dropwizard.metrics</groupId><artifactId>metrics-core</artifactId><version>4.1.12.1</version></dependency>
    <dependency><groupId>org.eclipse.jetty</groupId><artifactId>jetty-server</artifactId><version>9.4.57.v20241219</version></dependency>
    <dependency><groupId>org.eclipse.jetty</groupId><artifactId>jetty-servlet</artifactId><version>9.4.57.v20241219</version></dependency>
    <dependency><groupId>com.fasterxml.jackson.core</groupId><artifactId>jackson-databind</artifactId><version>2.15.2</version></dependency>
    <dependency><groupId>org.xerial.snappy</groupId><artifactId>snappy-java</artifactId><version>1.1.10.5</version></dependency>
  </dependencies>
</project>
"#;

/// A ZooKeeper that can be started: its class path.
#[derive(Debug, Clone)]
pub struct Distribution {
    pub(crate) class_path: String,
}

/// No ZooKeeper could be had. The message says what to install.
#[derive(Debug, thiserror::Error)]
#[error(
    "no ZooKeeper to test with: {0}. Set ZOOKEEPER_HOME, or install Maven (`apt-get install maven`) \
     or Debian's ZooKeeper (`apt-get install libzookeeper-java`), and a Java runtime"
)]
pub struct LocateError(String);

impl Distribution {
    /// Finds one: `ZOOKEEPER_HOME`, a copy fetched before under `target/`, Maven Central, Debian's package.
    ///
    /// # Errors
    /// [`LocateError`] when none of them works.
    pub fn locate() -> Result<Self, LocateError> {
        if let Some(home) = env::var_os("ZOOKEEPER_HOME") {
            let home = PathBuf::from(home);
            let has_jars = |directory: PathBuf| {
                let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap_or_default();
                let mut names = fs::read_dir(directory).into_iter().flatten().flatten().map(name);
                names.any(|name| name.starts_with("zookeeper") && name.ends_with(".jar"))
            };
            if !has_jars(home.join("lib")) && !has_jars(home.clone()) {
                let what = format!("ZOOKEEPER_HOME={} holds no zookeeper*.jar", home.display());
                return Err(LocateError(what));
            }
            return Ok(Self {
                class_path: format!("{0}/lib/*:{0}/*", home.display()),
            });
        }
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
            PathBuf::from,
        );
        let copy = target.join("zookeeper-3.9.5-admin");
        let fetched = if copy.is_dir() {
            Ok(())
        } else {
            fetch(&target, &copy)
        };
        match (fetched, Self::debian()) {
            (Ok(()), _) => Ok(Self {
                class_path: format!("{}/*", copy.display()),
            }),
            (Err(_), Some(debian)) => Ok(debian),
            (Err(error), None) => Err(LocateError(error.to_string())),
        }
    }

    /// For `java -cp`. ZooKeeper's own command line, `org.apache.zookeeper.ZooKeeperMain`, is in a whole distribution and in Debian's, and lacks a
    /// library in what comes from Maven Central.
    #[must_use]
    pub fn class_path(&self) -> &str {
        &self.class_path
    }

    /// Debian's 3.8.0, where its package is installed.
    #[must_use]
    pub fn debian() -> Option<Self> {
        let jars = Path::new("/usr/share/java");
        let wanted = [
            "zookeeper",
            "slf4j-api",
            "slf4j-nop",
            "netty",
            "metrics-core",
            "snappy-java",
            "commons-cli",
        ];
        if !jars.join("zookeeper.jar").is_file() {
            return None;
        }
        let entries = fs::read_dir(jars).ok()?.flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut paths: Vec<_> = names
            .filter(|name| name.ends_with(".jar") && wanted.iter().any(|prefix| name.starts_with(prefix)))
            .map(|name| jars.join(name).display().to_string())
            .collect();
        paths.sort();
        Some(Self {
            class_path: paths.join(":"),
        })
    }
}

/// Copies the jars with Maven next to where they belong, and renames them into place once they are complete.
fn fetch(target: &Path, copy: &Path) -> io::Result<()> {
    fs::create_dir_all(target)?;
    let stage = tempfile::tempdir_in(target)?;
    fs::write(stage.path().join("pom.xml"), POM)?;
    let jars = stage.path().join("jars");
    let output = Command::new("mvn")
        .args([
            "-q",
            "-B",
            "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies",
        ])
        .arg(format!("-DoutputDirectory={}", jars.display()))
        .current_dir(stage.path())
        .output()
        .map_err(|error| io::Error::other(format!("mvn does not start: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        return Err(io::Error::other(format!(
            "mvn failed: {}",
            said.lines().take(3).collect::<Vec<_>>().join(" ")
        )));
    }
    match fs::rename(&jars, copy) {
        Err(error) if !copy.is_dir() => Err(error),
        _ => Ok(()), // ours, or that of another process which was faster
    }
}
