use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// The filesystem below a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct StorageUsage {
    /// Bytes in all.
    pub total_space: u64,
    /// Bytes that this process may still take.
    pub free_space: u64,
    /// Inodes in all; 0 where the filesystem has no fixed number.
    pub total_inodes: u64,
    /// Inodes that are free.
    pub free_inodes: u64,
    /// Inodes that are taken.
    pub used_inodes: u64,
}

/// Measures a storage. Blocks.
pub trait StorageProbe: Send + Sync {
    /// What there is now.
    ///
    /// # Errors
    /// When the storage cannot be asked, for example because it is gone.
    fn usage(&self) -> io::Result<StorageUsage>;

    /// Whether a backup could be written now, as far as that can be told without writing.
    ///
    /// # Errors
    /// Why not: for example a filesystem that is read-only, or has neither space nor inodes left.
    fn writable(&self) -> io::Result<()> {
        Ok(())
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

impl StorageProbe for FsProbe {
    fn usage(&self) -> io::Result<StorageUsage> {
        let inodes = rustix::fs::statvfs(&self.0)?;
        Ok(StorageUsage {
            total_space: fs2::total_space(&self.0)?,
            free_space: fs2::available_space(&self.0)?,
            total_inodes: inodes.f_files,
            free_inodes: inodes.f_ffree,
            used_inodes: inodes.f_files.saturating_sub(inodes.f_ffree),
        })
    }

    fn writable(&self) -> io::Result<()> {
        use rustix::fs::Access;
        rustix::fs::access(&self.0, Access::WRITE_OK | Access::EXEC_OK)?;
        let usage = self.usage()?;
        if usage.free_space == 0 {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no space is left"));
        }
        if usage.total_inodes > 0 && usage.free_inodes == 0 {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no inodes are left"));
        }
        Ok(())
    }
}

/// A storage that always measures the same, for stores without a filesystem.
#[derive(Debug, Clone, Copy, Default)]
pub struct FixedStorage(pub StorageUsage);

impl StorageProbe for FixedStorage {
    fn usage(&self) -> io::Result<StorageUsage> {
        Ok(self.0)
    }
}

/// What this process takes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct ProcessUsage {
    /// Resident memory in bytes.
    pub memory_bytes: u64,
    /// CPU since the measurement before, in percent of one core.
    pub cpu_percent: f32,
    /// Seconds since the process started.
    pub uptime_seconds: u64,
}

/// Measures this process. Blocks for some milliseconds at most.
pub trait ProcessProbe: Send + Sync {
    /// What it takes now; zeros where the system does not tell.
    fn usage(&self) -> ProcessUsage;
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
    fn usage(&self) -> ProcessUsage {
        let mut system = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(system) = system.as_mut() else {
            return ProcessUsage::default();
        };
        let pid = Pid::from_u32(std::process::id());
        let wanted = ProcessRefreshKind::nothing().with_memory().with_cpu();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, wanted);
        system
            .process(pid)
            .map_or_else(ProcessUsage::default, |process| ProcessUsage {
                memory_bytes: process.memory(),
                cpu_percent: process.cpu_usage(),
                uptime_seconds: process.run_time(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_filesystem_and_process_measure_something() {
        let directory = tempfile::tempdir().unwrap();
        let usage = FsProbe::new(directory.path()).usage().unwrap();
        assert!(
            usage.total_space > 0 && usage.free_space <= usage.total_space,
            "{usage:?}"
        );
        assert_eq!(usage.used_inodes + usage.free_inodes, usage.total_inodes);
        assert!(SystemProcess::default().usage().memory_bytes > 100_000);
    }

    #[test]
    fn a_storage_that_is_gone_is_an_error() {
        assert!(FsProbe::new("/no/such/directory").usage().is_err());
        assert!(FsProbe::new("/no/such/directory").writable().is_err());
    }
}
