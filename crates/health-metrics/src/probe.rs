//! What measures a storage and this process.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// What a storage has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StorageUsage {
    /// Bytes in all.
    pub total_bytes: u64,
    /// Bytes that this process may still take.
    pub free_bytes: u64,
    /// Its inodes, where it has a fixed number of them.
    pub inodes: Option<Inodes>,
}

/// The inodes of a filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Inodes {
    /// In all.
    pub total: u64,
    /// Those of them that are not taken.
    pub free: u64,
}

impl Inodes {
    /// Those that are taken.
    #[must_use]
    pub fn used(self) -> u64 {
        self.total.saturating_sub(self.free)
    }
}

/// Measures a storage. Blocks.
pub trait StorageProbe: Send + Sync {
    /// What there is now; `None` for a storage that knows no such figures.
    ///
    /// # Errors
    /// When the storage cannot be asked, for example because it is gone.
    fn usage(&self) -> io::Result<Option<StorageUsage>>;

    /// Whether a backup could be written now, as far as that can be told without writing.
    ///
    /// # Errors
    /// Why not: for example a filesystem that is read-only, or has neither space nor inodes left.
    fn writable(&self) -> io::Result<()> {
        Ok(())
    }

    /// What was removed and still takes room, each with why.
    fn left_over(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The filesystem that holds a directory.
#[derive(Debug, Clone)]
pub struct FsProbe(PathBuf);

impl FsProbe {
    /// Probes the filesystem that holds `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self(directory.into())
    }
}

impl FsProbe {
    fn measure(&self) -> io::Result<StorageUsage> {
        let inodes = rustix::fs::statvfs(&self.0)?;
        Ok(StorageUsage {
            total_bytes: fs2::total_space(&self.0)?,
            free_bytes: fs2::available_space(&self.0)?,
            inodes: (inodes.f_files > 0).then_some(Inodes {
                total: inodes.f_files,
                free: inodes.f_ffree,
            }),
        })
    }
}

impl StorageProbe for FsProbe {
    fn usage(&self) -> io::Result<Option<StorageUsage>> {
        self.measure().map(Some)
    }

    fn writable(&self) -> io::Result<()> {
        use rustix::fs::Access;
        rustix::fs::access(&self.0, Access::WRITE_OK | Access::EXEC_OK)?;
        let usage = self.measure()?;
        if usage.free_bytes == 0 {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no space is left"));
        }
        if usage.inodes.is_some_and(|inodes| inodes.free == 0) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no inodes are left"));
        }
        Ok(())
    }
}

/// A storage that always measures the same: nothing, if not said, as stores without a filesystem do.
#[derive(Debug, Clone, Copy, Default)]
pub struct FixedStorage(pub Option<StorageUsage>);

impl StorageProbe for FixedStorage {
    fn usage(&self) -> io::Result<Option<StorageUsage>> {
        Ok(self.0)
    }
}

/// What this process takes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ProcessUsage {
    /// Resident memory in bytes.
    pub memory_bytes: u64,
    /// CPU since the measurement before, in percent of one core.
    pub cpu_percent: f32,
    /// How long ago the process started.
    pub uptime: Duration,
}

/// Measures this process. Blocks for some milliseconds at most.
pub trait ProcessProbe: Send + Sync {
    /// What it takes now; `None` where the system does not tell.
    fn usage(&self) -> Option<ProcessUsage>;
}

/// A process that always takes the same: nothing that is known, if not said.
#[derive(Debug, Clone, Copy, Default)]
pub struct FixedProcess(pub Option<ProcessUsage>);

impl ProcessProbe for FixedProcess {
    fn usage(&self) -> Option<ProcessUsage> {
        self.0
    }
}

/// Asks the operating system.
#[derive(Debug)]
pub struct SystemProcess(Mutex<Option<System>>);

impl Default for SystemProcess {
    fn default() -> Self {
        Self(Mutex::new(System::new().ok()))
    }
}

impl ProcessProbe for SystemProcess {
    fn usage(&self) -> Option<ProcessUsage> {
        let mut system = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let system = system.as_mut()?;
        let pid = Pid::from_u32(std::process::id());
        let wanted = ProcessRefreshKind::nothing().with_memory().with_cpu();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, wanted);
        system.process(pid).map(|process| ProcessUsage {
            memory_bytes: process.memory(),
            cpu_percent: process.cpu_usage(),
            uptime: Duration::from_secs(process.run_time()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_filesystem_and_process_measure_something() {
        let directory = tempfile::tempdir().unwrap();
        let usage = FsProbe::new(directory.path()).usage().unwrap().unwrap();
        assert!(
            usage.total_bytes > 0 && usage.free_bytes <= usage.total_bytes,
            "{usage:?}"
        );
        let process = SystemProcess::default().usage().unwrap();
        assert!(process.memory_bytes > 100_000, "{process:?}");
    }

    #[test]
    fn a_storage_that_is_gone_is_an_error() {
        assert!(FsProbe::new("/no/such/directory").usage().is_err());
        assert!(FsProbe::new("/no/such/directory").writable().is_err());
    }
}
