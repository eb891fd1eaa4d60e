//! An ensemble of ZooKeeper servers, reached by its client API.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use health_metrics::ZooKeeperHealth;
use zk_snapshot::client::{BatchedClient, BatchedConfig, four_letter_word};
#[cfg(feature = "plain-client")]
use zk_snapshot::client::{PlainClient, PlainConfig};
#[cfg(feature = "plain-client")]
use zk_snapshot::tree::ClientErrorKind;
use zk_snapshot::tree::reserved::CONFIG;
use zk_snapshot::tree::{ClientError, History, Reading, ZnodePath};

use super::below::Below;
use super::members::{Teller, members, others, teller};
use super::traits::{Client, Ensemble, MembersUnknown};

/// How often what leads is asked for who follows it, where a name may be that of all of them.
const LOOKS: usize = 8;

/// The longest that a health probe waits.
const PROBE: Duration = Duration::from_secs(2);

/// Which adapter speaks to ZooKeeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Driver {
    /// The batched one, or the plain one, where it is built in, for a server older than 3.6.
    #[default]
    Auto,
    /// [`BatchedClient`]: many reads or writes in one request; ZooKeeper 3.6 or newer.
    Batched,
    /// [`PlainClient`]: plain requests, any version; knows neither TLS nor SASL.
    #[cfg(feature = "plain-client")]
    Plain,
}

/// A ZooKeeper ensemble, by its client API.
#[derive(Debug, Clone)]
pub struct ZooKeeperEnsemble {
    config: BatchedConfig,
    #[cfg_attr(not(feature = "plain-client"), allow(dead_code))] // then there is no choice
    driver: Driver,
    chroot: Option<ZnodePath>,
}

impl ZooKeeperEnsemble {
    /// Connects as `config` says, by `driver`.
    #[must_use]
    pub fn new(config: BatchedConfig, driver: Driver) -> Self {
        Self {
            config,
            driver,
            chroot: None,
        }
    }

    /// Takes `chroot` for its `/`; the root is all of it.
    #[must_use]
    pub fn below(self, chroot: ZnodePath) -> Self {
        Self {
            chroot: Some(chroot).filter(|chroot| !chroot.is_root()),
            ..self
        }
    }

    /// To the whole tree.
    async fn connect_whole(&self) -> Result<Box<dyn Client>, ClientError> {
        #[cfg(feature = "plain-client")]
        if self.driver == Driver::Plain {
            return self.plain().await;
        }
        match BatchedClient::connect(self.config.clone()).await {
            Ok(client) => Ok(Box::new(client)),
            #[cfg(feature = "plain-client")]
            Err(error) if self.may_be_plain() && error.kind() == ClientErrorKind::Unsupported => {
                log::info!("{error}: one request at a time is used");
                self.plain().await
            }
            Err(error) => Err(error),
        }
    }

    /// The plain adapter knows neither TLS nor SASL.
    #[cfg(feature = "plain-client")]
    fn may_be_plain(&self) -> bool {
        self.driver == Driver::Auto && self.config.tls.is_none() && self.config.sasl.is_none()
    }

    #[cfg(feature = "plain-client")]
    async fn plain(&self) -> Result<Box<dyn Client>, ClientError> {
        let config = PlainConfig {
            deadline: self.config.deadline,
            session_timeout: self.config.session_timeout,
            digest_auth: self.config.digest_auth.clone(),
            ..PlainConfig::new(&self.config.address)
        };
        Ok(Box::new(PlainClient::connect(config).await?))
    }

    /// The answer of the first server that gives one to the four-letter word `srvr`.
    async fn srvr(&self) -> Result<String, String> {
        let mut cause = "no address".to_owned();
        for address in self.addresses() {
            match self.srvr_of(address).await {
                Ok(answer) => return Ok(answer),
                Err(error) => cause = format!("{address}: {error}"),
            }
        }
        Err(cause)
    }

    fn member(&self, address: &str) -> Self {
        let config = BatchedConfig {
            address: address.to_owned(),
            ..self.config.clone()
        };
        Self {
            config,
            ..self.clone()
        }
    }

    fn addresses(&self) -> impl Iterator<Item = &str> {
        self.config.address.split(',').map(str::trim)
    }

    async fn srvr_of(&self, address: &str) -> Result<String, String> {
        self.word_of(address, "srvr").await
    }

    async fn word_of(&self, address: &str, word: &str) -> Result<String, String> {
        let ask = four_letter_word(&self.config, address, word);
        match tokio::time::timeout(PROBE, ask).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }
}

#[cfg(feature = "plain-client")]
#[async_trait]
impl Client for PlainClient {
    async fn close(self: Box<Self>) {
        PlainClient::close(*self).await;
    }
}

#[async_trait]
impl Client for BatchedClient {
    async fn close(self: Box<Self>) {
        BatchedClient::close(*self).await;
    }
}

#[async_trait]
impl Ensemble for ZooKeeperEnsemble {
    fn name(&self) -> String {
        let chroot = self.chroot.as_ref().map_or("", ZnodePath::as_str);
        format!("{}{chroot}", self.config.address)
    }

    async fn connect(&self) -> Result<Box<dyn Client>, ClientError> {
        let client = self.connect_whole().await?;
        match self.chroot.clone() {
            Some(chroot) => Ok(Box::new(Below::new(client, chroot, &self.config.address).await?)),
            None => Ok(client),
        }
    }

    fn chroot(&self) -> Option<ZnodePath> {
        self.chroot.clone()
    }

    async fn probe(&self) -> ZooKeeperHealth {
        let down = |error| ZooKeeperHealth {
            error: Some(error),
            ..ZooKeeperHealth::default()
        };
        match self.srvr().await {
            Err(error) => down(error),
            Ok(answer) if answer.contains("not currently serving") => {
                down("it does not serve requests".to_owned())
            }
            Ok(answer) => {
                let after = |key: &str| after(&answer, key).map(str::to_owned);
                let version = after("Zookeeper version:")
                    .and_then(|text| text.split(['-', ',']).next().map(str::to_owned));
                // A server that does not allow the word answers all the same.
                ZooKeeperHealth {
                    reachable: true,
                    version,
                    mode: after("Mode:"),
                    ..ZooKeeperHealth::default()
                }
            }
        }
    }

    fn members(&self) -> Vec<Arc<dyn Ensemble>> {
        let members = self.addresses().map(|address| self.member(address));
        members.map(|member| Arc::new(member) as _).collect()
    }

    async fn other_members(&self) -> Result<Vec<Arc<dyn Ensemble>>, MembersUnknown> {
        let text = match self.who_tells().await.map_err(MembersUnknown::new)? {
            Teller::Alone => return Ok(Vec::new()),
            Teller::Learner(address) => match self.member(address).config_znode().await {
                Ok(Some(text)) => text,
                // Who follows is not alone.
                Ok(None) if self.addresses().count() == 1 => return Err(before_3_5(address)),
                Ok(None) => return Ok(Vec::new()),
                Err(why) => return Err(MembersUnknown::new(why)),
            },
            Teller::Leader(address) => self.conf_of_leader(address).await?,
            // Nothing better is known of whoever does not say what it is.
            Teller::Somebody => match self.config_znode().await {
                Ok(Some(text)) => text,
                // One address may be that of several.
                Ok(None) if self.addresses().count() == 1 => return Err(untold(&self.config.address)),
                Ok(None) => return Ok(Vec::new()),
                Err(why) => return Err(MembersUnknown::new(why)),
            },
        };
        let ours: BTreeSet<_> = self.addresses().collect();
        let others = others(&text, &ours, self.config.tls.is_some()).map_err(MembersUnknown::new)?;
        let others = others.iter().map(|address| self.member(address));
        Ok(others.map(|member| Arc::new(member) as _).collect())
    }

    async fn committed_zxid(&self) -> Option<i64> {
        let committed = self.processed_zxid().await?;
        if committed & 0xffff_ffff > 0 {
            return Some(committed);
        }
        // A leader that has just been elected: how far the epoch before went it does not tell. The session's own
        // transaction follows whatever there was.
        match self.connect_whole().await {
            Ok(session) => session.close().await,
            Err(error) => {
                log::warn!("all that is known is that 0x{committed:x} is committed: {error}");
            }
        }
        self.processed_zxid().await
    }
}

impl ZooKeeperEnsemble {
    async fn who_tells(&self) -> Result<Teller<'_>, String> {
        let mode = async |address| {
            let answer = self.srvr_of(address).await;
            let mode = answer.as_ref().ok().and_then(|answer| after(answer, "Mode:"));
            ((address, mode.map(str::to_owned)), answer.err())
        };
        let mut tries = LOOKS;
        loop {
            tries -= 1;
            let asked = join_all(self.addresses().map(mode)).await;
            let (modes, silent): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
            match (teller(&modes), silent.into_iter().flatten().next()) {
                // One address may be that of all of them.
                (Ok(Teller::Leader(_)), _) if self.addresses().count() == 1 && tries > 0 => {}
                // Who did not answer may be the leader: only who answers, and does not say what it is, is somebody.
                (Ok(Teller::Somebody), Some(_)) if tries > 0 => {}
                (Ok(Teller::Somebody), Some(why)) => return Err(why),
                (told, _) => return told,
            }
        }
    }

    /// What `/zookeeper/config` says; `None` where there is no such znode.
    async fn config_znode(&self) -> Result<Option<String>, String> {
        let words = |error: ClientError| error.to_string();
        let path = ZnodePath::parse(CONFIG).map_err(|error| error.to_string())?;
        let client = self.connect_whole().await.map_err(words)?;
        let readings = client.read_many(&[path], History::Any).await;
        client.close().await;
        match readings.map_err(words)?.pop() {
            Some(Reading::Found(found)) => Ok(Some(String::from_utf8_lossy(&found.data).into_owned())),
            Some(Reading::Denied) => Err(format!("we may not read {CONFIG}")),
            Some(Reading::Undecodable(why)) => Err(format!("{CONFIG} cannot be understood: {why}")),
            Some(Reading::Missing) | None => Ok(None),
        }
    }

    /// What a leader says to `conf`, of whom no follower is named to us.
    async fn conf_of_leader(&self, address: &str) -> Result<String, MembersUnknown> {
        match self.word_of(address, "conf").await {
            Ok(answer) if members(&answer, "").next().is_some() => Ok(answer),
            Ok(_) | Err(_) => Err(MembersUnknown::new(format!(
                "{address} leads, and its {CONFIG} may be that of the backup: the address must name one that follows it \
                 as well, or it must be allowed to answer the word `conf`"
            ))),
        }
    }

    /// The newest zxid that any server has processed: it was committed, whichever server that is.
    async fn processed_zxid(&self) -> Option<i64> {
        let answers = join_all(self.addresses().map(|address| self.srvr_of(address))).await;
        let zxid = |answer: String| i64::from_str_radix(after(&answer, "Zxid: 0x")?, 16).ok();
        answers.into_iter().filter_map(|answer| zxid(answer.ok()?)).max()
    }
}

fn before_3_5(follower: &str) -> MembersUnknown {
    MembersUnknown::new(format!(
        "{follower} has no {CONFIG}, as a server before 3.5, and does not say which others there are: the address must \
         name them all"
    ))
}

fn untold(address: &str) -> MembersUnknown {
    MembersUnknown::new(format!(
        "{address} has no {CONFIG}, as a server before 3.5, and may not say whether it is alone: it must be allowed to answer the \
         word `srvr`, or the address must name all servers"
    ))
}

/// What follows `key` in a line of the answer to `srvr`.
fn after<'a>(answer: &'a str, key: &str) -> Option<&'a str> {
    let line = answer.lines().find_map(|line| line.strip_prefix(key));
    line.map(str::trim)
}
