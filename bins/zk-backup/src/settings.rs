//! Which server or storage is meant, and by which credentials.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use self::profiles::{profile, secret};
use crate::args::Global;
use crate::exit::Failure;

mod profiles;

/// What is read of the environment. One that cannot be read must not be as if it was not set: another server would be asked.
const TEXTS: [&str; 6] = [
    "ZK_BACKUP_URL",
    "ZK_BACKUP_USERNAME",
    "ZK_BACKUP_PASSWORD",
    "ZK_BACKUP_PASSWORD_FILE",
    "ZK_BACKUP_CA",
    "ZOOKEEPER_HOST",
];

const USUAL: &str = "http://127.0.0.1:8080";

/// Where it is asked.
#[derive(Debug)]
pub(crate) enum Target {
    /// A server.
    Server {
        /// Its URL.
        url: String,
        /// Whom it lets in.
        credentials: Option<Credentials>,
        /// Whose certificates it is trusted by.
        ca: Option<PathBuf>,
    },
    /// A storage directory, here.
    Storage {
        /// Which.
        directory: PathBuf,
        /// ZooKeeper's servers, where they are known.
        zookeeper: Option<String>,
    },
}

/// A user name and a password. Debug output shows neither.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

impl Target {
    /// What the flags say; else the named profile; else the environment; else the profile `default`, if there is one.
    /// Credentials of a profile are for its URL alone.
    ///
    /// # Errors
    /// [`Exit::Usage`](crate::exit::Exit::Usage).
    pub(crate) fn new(
        global: &Global,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Failure> {
        for name in TEXTS {
            if environment(name).is_some_and(|value| value.to_str().is_none()) {
                return Err(Failure::usage(format!("{name} is no UTF-8")));
            }
        }
        let given = |name: &str| {
            let text = environment(name)?.into_string().ok()?;
            Some(text).filter(|text| !text.trim().is_empty())
        };
        check_together(global)?;
        if let Some(directory) = global.storage.clone() {
            global.config.as_deref().map(profiles::check).transpose()?;
            let zookeeper = global.zookeeper.clone().or_else(|| given("ZOOKEEPER_HOST"));
            return Ok(Self::Storage { directory, zookeeper });
        }
        let url = global.url.clone().or_else(|| match global.profile {
            Some(_) => None,
            None => given("ZK_BACKUP_URL"),
        });
        let profile = match url {
            Some(_) => {
                global.config.as_deref().map(profiles::check).transpose()?;
                None
            }
            None => profile(global, &given)?,
        };
        let Some(profile) = profile else {
            return Ok(Self::Server {
                url: url.unwrap_or_else(|| USUAL.to_owned()),
                credentials: from_environment(&given)?,
                ca: global
                    .ca
                    .clone()
                    .or_else(|| given("ZK_BACKUP_CA").map(PathBuf::from)),
            });
        };
        let password = match (profile.password, profile.password_file) {
            (None, None) => None,
            (Some(password), None) => Some(password),
            (None, Some(file)) => Some(secret(&file)?),
            (Some(_), Some(_)) => {
                return Err(Failure::usage("the profile has both password and password_file"));
            }
        };
        let credentials = match (profile.username, password) {
            (Some(user), Some(password)) => Some(Credentials { user, password }),
            (None, None) => from_environment(&given)?,
            _ => {
                return Err(Failure::usage(
                    "the profile has one of username and password without the other",
                ));
            }
        };
        Ok(Self::Server {
            url: profile.url,
            credentials,
            ca: global
                .ca
                .clone()
                .or(profile.ca)
                .or_else(|| given("ZK_BACKUP_CA").map(PathBuf::from)),
        })
    }
}

/// Refuses flags that do not go together. The parser cannot: one may stand before the command, and another after it.
fn check_together(global: &Global) -> Result<(), Failure> {
    let given = [
        ("--url", global.url.is_some()),
        ("--profile", global.profile.is_some()),
        ("--storage", global.storage.is_some()),
    ];
    let given: Vec<_> = given
        .into_iter()
        .filter(|(_, is)| *is)
        .map(|(flag, _)| flag)
        .collect();
    if given.len() > 1 {
        let why = format!("{} each say where: give one of them", given.join(" and "));
        return Err(Failure::usage(why));
    }
    if global
        .zookeeper
        .as_ref()
        .is_some_and(|hosts| hosts.trim().is_empty())
    {
        let why = "--zookeeper is empty: name ZooKeeper's servers, such as zk1,zk2:2182";
        return Err(Failure::usage(why));
    }
    if global.storage.is_none() && (global.zookeeper.is_some() || global.do_waiting) {
        let why = "--zookeeper and --do-waiting go with --storage: a server knows its own ZooKeeper";
        return Err(Failure::usage(why));
    }
    Ok(())
}

fn from_environment(given: &impl Fn(&str) -> Option<String>) -> Result<Option<Credentials>, Failure> {
    let password = match (given("ZK_BACKUP_PASSWORD"), given("ZK_BACKUP_PASSWORD_FILE")) {
        (Some(password), _) => Some(password),
        (None, Some(file)) => Some(secret(Path::new(&file))?),
        (None, None) => None,
    };
    match (given("ZK_BACKUP_USERNAME"), password) {
        (Some(user), Some(password)) => Ok(Some(Credentials { user, password })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(Failure::usage(
            "ZK_BACKUP_USERNAME is set without ZK_BACKUP_PASSWORD or ZK_BACKUP_PASSWORD_FILE",
        )),
        (None, Some(_)) => Err(Failure::usage("a password is set without ZK_BACKUP_USERNAME")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::exit::Exit;

    fn target(global: &Global, environment: &[(&str, &str)]) -> Result<Target, Failure> {
        Target::new(global, |name| {
            let found = environment.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.into())
        })
    }

    fn server(target: Target) -> (String, Option<Credentials>) {
        match target {
            Target::Server { url, credentials, .. } => (url, credentials),
            Target::Storage { .. } => panic!("a storage"),
        }
    }

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, Global) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let global = Global {
            config: Some(path),
            ..Global::default()
        };
        (directory, global)
    }

    const PROD: &str = "[profiles.prod]\nurl = 'https://prod'\nusername = 'ann'\npassword = 'canary'\n";
    const ENVIRONMENT: [(&str, &str); 3] = [
        ("ZK_BACKUP_URL", "http://env"),
        ("ZK_BACKUP_USERNAME", "bob"),
        ("ZK_BACKUP_PASSWORD", "pw"),
    ];

    #[test]
    fn a_named_profile_wins_over_the_environment_and_keeps_its_credentials() {
        let (_directory, mut global) = file(PROD, 0o600);
        let (url, credentials) = server(target(&global, &ENVIRONMENT).unwrap());
        assert_eq!((&*url, credentials.unwrap().user.as_str()), ("http://env", "bob"));
        global.profile = Some("prod".to_owned());
        let (url, credentials) = server(target(&global, &ENVIRONMENT).unwrap());
        assert_eq!(
            (&*url, credentials.unwrap().password.as_str()),
            ("https://prod", "canary")
        );
        global.profile = Some("test".to_owned());
        let failure = target(&global, &[]).unwrap_err();
        assert!(
            failure.exit == Exit::Usage && failure.message.contains("there are: prod"),
            "{failure}"
        );
    }

    #[test]
    fn without_anything_it_is_this_machine() {
        let (url, credentials) = server(target(&Global::default(), &[]).unwrap());
        assert_eq!((&*url, credentials), (USUAL, None));
        assert!(target(&Global::default(), &[("ZK_BACKUP_USERNAME", "bob")]).is_err());
    }

    #[test]
    fn what_cannot_be_read_is_not_as_if_it_was_not_said() {
        use std::os::unix::ffi::OsStringExt as _;

        for name in TEXTS {
            let odd = |asked: &str| (asked == name).then(|| OsString::from_vec(b"http://\xff".to_vec()));
            let failure = Target::new(&Global::default(), odd).unwrap_err();
            assert!(
                failure.exit == Exit::Usage && failure.message.contains(name),
                "{failure}"
            );
        }
        let (directory, mut global) = file(PROD, 0o600);
        assert!(target(&global, &ENVIRONMENT).is_ok());
        global.config = Some(directory.path().join("none.toml"));
        let failure = target(&global, &ENVIRONMENT).unwrap_err();
        assert!(
            failure.exit == Exit::Usage && failure.message.contains("none.toml"),
            "{failure}"
        );
    }

    #[test]
    fn there_is_one_place_to_ask() {
        let storage = Global {
            storage: Some("/storage".into()),
            zookeeper: Some("zk1".to_owned()),
            ..Global::default()
        };
        assert!(matches!(
            target(&storage, &ENVIRONMENT),
            Ok(Target::Storage { .. })
        ));
        let both = Global {
            url: Some(USUAL.to_owned()),
            ..storage.clone()
        };
        assert_eq!(target(&both, &[]).unwrap_err().exit, Exit::Usage);
        let empty = Global {
            zookeeper: Some(" ".to_owned()),
            ..storage.clone()
        };
        assert_eq!(target(&empty, &[]).unwrap_err().exit, Exit::Usage);
        let nowhere = Global {
            storage: None,
            ..storage
        };
        assert_eq!(target(&nowhere, &[]).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn a_password_that_others_may_read_is_refused_and_never_shown() {
        let (_directory, mut global) = file(PROD, 0o644);
        global.profile = Some("prod".to_owned());
        assert!(target(&global, &[]).unwrap_err().message.contains("chmod 600"));
        let (_directory, mut global) = file(&PROD.replace("'canary'", "'canary"), 0o600);
        global.profile = Some("prod".to_owned());
        let failure = target(&global, &[]).unwrap_err();
        assert!(
            failure.message.contains("line 4") && !failure.message.contains("canary"),
            "{failure}"
        );
    }

    #[test]
    fn a_password_comes_from_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "pw\n").unwrap();
        let environment = [
            ("ZK_BACKUP_USERNAME", "bob"),
            ("ZK_BACKUP_PASSWORD_FILE", path.to_str().unwrap()),
        ];
        let (_, credentials) = server(target(&Global::default(), &environment).unwrap());
        assert_eq!(credentials.unwrap().password, "pw");
    }
}
