//! Several ZooKeeper servers that are one ensemble.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::{Distribution, Port, Setup, StartError, ZooKeeper};

/// Three servers that are one ensemble.
#[derive(Debug)]
pub struct Ensemble {
    servers: Vec<ZooKeeper>,
    ports: Vec<u16>,
    /// Where they reach each other.
    _among: Vec<Port>,
}

impl Ensemble {
    /// Starts them as `setup` says, and waits until all serve.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(distribution: &Distribution, setup: &Setup) -> Result<Self, StartError> {
        // As a server alone.
        match Self::start_once(distribution, setup) {
            Err(StartError::Ended(_)) => Self::start_once(distribution, setup),
            outcome => outcome,
        }
    }

    fn start_once(distribution: &Distribution, setup: &Setup) -> Result<Self, StartError> {
        let among = (0..6).map(|_| Port::take()).collect::<io::Result<Vec<_>>>()?;
        let lines: Vec<_> = (1..)
            .zip(among.chunks(2))
            .map(|(id, ports)| format!("server.{id}={}:{}", ports[0].address(), ports[1].number()))
            .collect();
        let members = (1..=3).map(|id| {
            let mut setup = setup.clone();
            setup.quorum = true;
            setup.config += &format!("initLimit=20\nsyncLimit=10\n{}\n", lines.join("\n"));
            setup.files.push(("data/myid".to_owned(), id.to_string()));
            ZooKeeper::prepare(distribution, &setup)
        });
        let (servers, ports) = members
            .collect::<Result<Vec<_>, StartError>>()?
            .into_iter()
            .unzip();
        let mut ensemble = Self {
            servers,
            ports,
            _among: among,
        };
        ensemble.start_again(|_| true)?;
        Ok(ensemble)
    }

    /// Its servers.
    #[must_use]
    pub fn servers(&self) -> &[ZooKeeper] {
        &self.servers
    }

    /// What `{port}` stood for, and where the AdminServer is if there is one, for each server.
    #[must_use]
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// All addresses, with commas between.
    #[must_use]
    pub fn address(&self) -> String {
        let addresses: Vec<_> = self.servers.iter().map(ZooKeeper::address).collect();
        addresses.join(",")
    }

    /// The server that leads, as soon as there is one; `None` if there is none within a minute.
    #[must_use]
    pub fn leader(&self) -> Option<&ZooKeeper> {
        let leads = |server: &&ZooKeeper| {
            let answer = server.four_letter("srvr");
            answer.is_ok_and(|answer| answer.contains("Mode: leader"))
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let leader = self.servers.iter().find(leads);
            if leader.is_some() || Instant::now() > deadline {
                return leader;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Kills those that `which` names.
    pub fn kill(&mut self, which: impl Fn(&ZooKeeper) -> bool) {
        let killed = self.servers.iter_mut().filter(|server| which(server));
        killed.for_each(ZooKeeper::kill);
    }

    /// Stops those that `which` names in the middle of what they do. Others notice only that they say nothing.
    ///
    /// # Errors
    /// When a process cannot be stopped.
    pub fn suspend(&self, which: impl Fn(&ZooKeeper) -> bool) -> io::Result<()> {
        let mut suspended = self.servers.iter().filter(|server| which(server));
        suspended.try_for_each(ZooKeeper::suspend)
    }

    /// Starts those again that `which` names, with the data they had, and waits until they serve.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start_again(&mut self, which: impl Fn(&ZooKeeper) -> bool) -> Result<(), StartError> {
        let mut servers: Vec<_> = self.servers.iter_mut().filter(|server| which(server)).collect();
        servers.iter_mut().try_for_each(|server| server.spawn())?;
        servers.iter_mut().try_for_each(|server| server.wait())
    }

    /// Kills every server and removes all that it had.
    ///
    /// # Errors
    /// When files cannot be removed.
    pub fn lose_everything(&mut self) -> Result<(), StartError> {
        for server in &mut self.servers {
            server.kill();
            fs::remove_dir_all(server.data_directory())?;
            fs::create_dir_all(server.data_directory())?;
        }
        Ok(())
    }

    /// Has every server begin anew with the files in `directory`.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn begin_with(&mut self, directory: &Path) -> Result<(), StartError> {
        for server in &mut self.servers {
            server.replace_data(directory)?;
        }
        self.start_again(|_| true)
    }
}
