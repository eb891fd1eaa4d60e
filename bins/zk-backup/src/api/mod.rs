//! The server's API, as the commands use it.

mod answers;
mod diff;
mod events;
mod health;
mod http;
mod lenient;
mod refusals;
mod requests;
mod results;
mod tls;

pub(crate) use answers::{
    AclEntry, Backup, Eviction, FindPage, Found, Job, NotLooked, Progress, Stat, Told, Znode, ZnodePage,
    is_stat_known,
};
pub(crate) use diff::{Diff, Difference};
pub(crate) use events::Events;
pub(crate) use health::{Health, Newest};
pub(crate) use http::Http;
pub(crate) use requests::{BackupRequest, RaiseEpoch, RestoreRequest};
pub(crate) use results::{Damaged, Report, Restored, Verified};

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use self::answers::Jobs;
use crate::exit::{Exit, Failure};

/// How many children or differences are asked for at once.
const AT_ONCE: usize = 10_000;

/// How many jobs are asked for at once.
const JOBS_AT_ONCE: usize = 1_000;
/// How many differences to ZooKeeper are asked for at once: it is read anew for each answer.
const AS_MANY_AS_MAY: usize = 100_000;

/// In place of the id of a later backup, ZooKeeper as it is now.
pub(crate) const LIVE: &str = "live";

/// In place of an id, the newest valid backup.
pub(crate) const LATEST: &str = "latest";

/// A server of the API, in this process or elsewhere.
#[derive(Debug)]
pub(crate) struct Api {
    http: Http,
    is_here: bool,
}

impl Api {
    /// Over the network.
    #[must_use]
    pub(crate) fn of_server(http: Http) -> Self {
        Self { http, is_here: false }
    }

    /// In this process: what it does ends with it.
    #[must_use]
    pub(crate) fn of_this_process(http: Http) -> Self {
        Self { http, is_here: true }
    }

    /// Whether jobs end with this process.
    #[must_use]
    pub(crate) fn is_here(&self) -> bool {
        self.is_here
    }

    /// The ids of all finished backups, oldest first.
    ///
    /// # Errors
    /// The server cannot be asked; so with all of these.
    pub(crate) fn list(&self) -> Result<Vec<String>, Failure> {
        read(self.http.get("/listbackups", &[])?)
    }

    /// What is known of a backup.
    ///
    /// # Errors
    /// [`Exit::NotFound`].
    pub(crate) fn describe(&self, id: &str) -> Result<Told<Backup>, Failure> {
        Told::of(self.http.get(&format!("/listbackups/{}", segment(id)), &[])?)
    }

    /// The id that is meant: that of the newest valid backup by `latest`.
    ///
    /// # Errors
    /// [`Exit::NotFound`] where no backup is valid.
    pub(crate) fn resolve(&self, id: &str) -> Result<String, Failure> {
        if id != LATEST {
            return Ok(id.to_owned());
        }
        match self.describe(id) {
            Ok(newest) => Ok(newest.view.id),
            Err(failure) if failure.exit == Exit::NotFound => {
                let why = "there is no valid backup: take one with `zk-backup backup --wait`";
                Err(Failure::new(Exit::NotFound, why))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Some of the children of a znode in a backup, from the `offset`th on.
    ///
    /// # Errors
    /// [`Exit::NotFound`].
    pub(crate) fn znodes(&self, id: &str, path: &str, offset: usize) -> Result<ZnodePage, Failure> {
        let (offset, limit) = (offset.to_string(), AT_ONCE.to_string());
        let query = [("path", path), ("offset", &offset), ("limit", &limit)];
        read(
            self.http
                .get(&format!("/listbackups/{}/znodes", segment(id)), &query)?,
        )
    }

    /// Calls `each` with all children of a znode in a backup, with data and ACL.
    ///
    /// # Errors
    /// [`Exit::NotFound`], and what `each` says.
    pub(crate) fn for_each_child(
        &self,
        id: &str,
        path: &str,
        mut each: impl FnMut(Told<Znode>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let (mut offset, at) = (0, format!("/listbackups/{}/znodes", segment(id)));
        let limit = AT_ONCE.to_string();
        loop {
            let start = offset.to_string();
            let query = [
                ("path", path),
                ("data", "true"),
                ("offset", &start),
                ("limit", &limit),
            ];
            let page: ZnodePage = read(self.http.get(&at, &query)?)?;
            offset += page.znodes.len();
            let is_last = page.znodes.is_empty() || offset >= page.total;
            for znode in page.znodes {
                each(Told::of(znode)?)?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// A znode in a backup, with data and ACL.
    ///
    /// # Errors
    /// [`Exit::NotFound`].
    pub(crate) fn znode(&self, id: &str, path: &str) -> Result<Told<Znode>, Failure> {
        let path = [("path", path)];
        Told::of(
            self.http
                .get(&format!("/listbackups/{}/znode", segment(id)), &path)?,
        )
    }

    /// Backups that have a znode, newest first, from the `offset`th backup on.
    ///
    /// # Errors
    /// The server has no such endpoint.
    pub(crate) fn find(&self, path: &str, offset: usize) -> Result<FindPage, Failure> {
        let offset = offset.to_string();
        read(self.http.get("/find", &[("path", path), ("offset", &offset)])?)
    }

    /// Takes a zip of a backup in, and returns what the server says.
    ///
    /// # Errors
    /// The file cannot be read; it is no backup, or one with its id is there.
    pub(crate) fn import(&self, file: &Path, granular: bool, force: bool) -> Result<String, Failure> {
        let kind = if granular { "granular" } else { "full" };
        let query = [
            ("type", kind),
            ("allow_overwriting", if force { "true" } else { "false" }),
        ];
        let answer = self.http.upload("/restore/backup", &query, file)?;
        Ok(serde_json::from_str(&answer).unwrap_or(answer))
    }

    /// Calls `each` with every difference, and returns the counts.
    ///
    /// # Errors
    /// [`Exit::NotFound`], what `each` says, and where `to` is [`LIVE`] that it changed between two looks at it.
    pub(crate) fn diff(
        &self,
        from: &str,
        to: &str,
        each: impl FnMut(&Difference) -> Result<(), Failure>,
    ) -> Result<Told<Diff>, Failure> {
        let is_live = to == LIVE;
        let limit = if is_live { AS_MANY_AS_MAY } else { AT_ONCE }.to_string();
        let ask = |offset: usize| {
            let start = offset.to_string();
            let query = [("from", from), ("to", to), ("offset", &start), ("limit", &limit)];
            Told::of(self.http.get("/diff", &query)?)
        };
        match is_live {
            true => diff::compared_anew(ask, each),
            false => diff::compared(ask, each),
        }
    }

    /// Asks for a job, such as at `/backup`, and returns its id.
    ///
    /// # Errors
    /// What the server refuses.
    pub(crate) fn start(&self, path: &str, body: &impl Serialize) -> Result<String, Failure> {
        let answer = self.http.post(path, body)?;
        let id = answer.trim().trim_matches('"');
        let is_id = !id.is_empty() && id.chars().all(|c| c.is_ascii_graphic());
        match is_id {
            true => Ok(id.to_owned()),
            false => Err(Failure::failed(
                "the server answered no job's id: is it a zk-backup server?",
            )),
        }
    }

    /// A job.
    ///
    /// # Errors
    /// [`Exit::NotFound`].
    pub(crate) fn job(&self, id: &str) -> Result<Told<Job>, Failure> {
        Told::of(self.http.job(&format!("/jobstatus/{}", segment(id)))?)
    }

    /// The newest `most` jobs that the server tells of, newest first, and how many there are in all.
    ///
    /// # Errors
    /// The server has no such endpoint.
    pub(crate) fn jobs(&self, most: usize) -> Result<(Vec<Told<Job>>, usize), Failure> {
        let mut found: Vec<Value> = Vec::new();
        let total = loop {
            let (offset, limit) = (
                found.len().to_string(),
                (most - found.len()).min(JOBS_AT_ONCE).to_string(),
            );
            let (total, jobs) = match read(
                self.http
                    .get("/jobs", &[("offset", &offset), ("limit", &limit)])?,
            )? {
                Jobs::Page { total, jobs } => (total, jobs),
                Jobs::All(jobs) => (jobs.len(), jobs),
            };
            let is_last = jobs.is_empty();
            found.extend(jobs);
            if is_last || found.len() >= most.min(total) {
                break total.max(found.len());
            }
        };
        found.truncate(most);
        let jobs: Result<_, _> = found.into_iter().map(Told::of).collect();
        Ok((jobs?, total))
    }

    /// Calls a job off.
    ///
    /// # Errors
    /// [`Exit::NotFound`]; it has ended.
    pub(crate) fn cancel(&self, id: &str) -> Result<(), Failure> {
        self.http
            .post(&format!("/terminate/{}", segment(id)), &json!({}))
            .map(drop)
    }

    /// What eviction would do: by policy, or of one backup.
    ///
    /// # Errors
    /// [`Exit::NotFound`], [`Exit::InUse`].
    pub(crate) fn would_evict(&self, id: Option<&str>) -> Result<Vec<Told<Eviction>>, Failure> {
        let answer = self.http.post(&evict(id), &json!({ "dry_run": true }))?;
        let answer: Value = serde_json::from_str(&answer).map_err(not_understood)?;
        let decisions: Vec<Value> = read(answer)?;
        decisions.into_iter().map(Told::of).collect()
    }

    /// Evicts: by policy, or one backup.
    ///
    /// # Errors
    /// [`Exit::NotFound`], [`Exit::InUse`].
    pub(crate) fn evict(&self, id: Option<&str>) -> Result<(), Failure> {
        self.http.post(&evict(id), &json!({})).map(drop)
    }

    /// Pins a backup, or takes its pin away.
    ///
    /// # Errors
    /// [`Exit::NotFound`], [`Exit::InUse`].
    pub(crate) fn pin(&self, id: &str, pinned: bool) -> Result<Told<Backup>, Failure> {
        let verb = if pinned { "pin" } else { "unpin" };
        let path = format!("/listbackups/{}/{verb}", segment(id));
        let answer = self.http.post(&path, &json!({}))?;
        Told::of(serde_json::from_str(&answer).map_err(not_understood)?)
    }

    /// How everything is.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub(crate) fn health(&self) -> Result<Told<Health>, Failure> {
        Told::of(self.http.get("/health", &[])?)
    }

    /// That the server answers.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn live(&self) -> Result<Value, Failure> {
        self.http.get("/health/live", &[])
    }
}

fn evict(id: Option<&str>) -> String {
    id.map_or_else(|| "/evict".to_owned(), |id| format!("/evict/{}", segment(id)))
}

fn not_understood(error: impl std::fmt::Display) -> Failure {
    Failure::failed(format!(
        "the server's answer is not understood: {error}; is it a zk-backup server of this version?"
    ))
}

fn read<T: DeserializeOwned>(json: Value) -> Result<T, Failure> {
    serde_json::from_value(json).map_err(not_understood)
}

/// `text` as one segment of a URL's path.
pub(crate) fn segment(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => out.push(char::from(byte)),
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stays_one_segment() {
        assert_eq!(segment("20261123T140000"), "20261123T140000");
        assert_eq!(segment("../health?a#ł"), "%2E%2E%2Fhealth%3Fa%23%C5%82");
    }
}
