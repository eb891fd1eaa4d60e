//! A whole tree in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;

use super::{
    Acl, AclFound, Changes, ClientError, Found, History, Kind, PathError, Reading, Stat, TreeWatch,
    WriteError, WriteOp, ZnodePath, ZnodeReader, ZnodeWriter,
};

/// What stands for the time: never the same twice, in any tree.
static NOW: AtomicI64 = AtomicI64::new(1);

/// A whole tree in memory, behind the same traits as a live ensemble. It knows no sessions and checks no ACLs.
#[derive(Debug)]
pub struct MemoryTree(Mutex<Nodes>);

#[derive(Debug, Default)]
struct Nodes {
    zxid: i64,
    nodes: BTreeMap<ZnodePath, (Vec<u8>, Acl, Stat)>,
    watches: Vec<Weak<Events>>,
}

/// What a watch has seen since it was asked last.
type Events = Mutex<Vec<ZnodePath>>;

impl Default for MemoryTree {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryTree {
    /// A tree that holds only its root.
    #[must_use]
    pub fn new() -> Self {
        let root = (ZnodePath::root(), (Vec::new(), Acl::open(), Stat::default()));
        Self(Mutex::new(Nodes {
            zxid: 0,
            nodes: BTreeMap::from([root]),
            watches: Vec::new(),
        }))
    }

    /// Creates or replaces the znode at `path`, with open parents where they are missing.
    ///
    /// # Errors
    /// [`PathError`] if `path` is not a znode path.
    pub fn put(&self, path: &str, data: &[u8], acl: Acl) -> Result<(), PathError> {
        let path = ZnodePath::parse(path)?;
        let mut nodes = self.lock();
        for parent in path.ancestors() {
            let _ = nodes.apply(WriteOp::Create {
                path: parent,
                data: Vec::new(),
                acl: Acl::open(),
                kind: Kind::Persistent,
            });
        }
        if nodes.nodes.contains_key(&path) {
            let _ = nodes.apply(WriteOp::SetData {
                path: path.clone(),
                data: data.to_vec(),
                version: None,
            });
            let _ = nodes.apply(WriteOp::SetAcl {
                path,
                acl,
                version: None,
            });
        } else {
            let _ = nodes.apply(WriteOp::Create {
                path,
                data: data.to_vec(),
                acl,
                kind: Kind::Persistent,
            });
        }
        Ok(())
    }

    /// Marks the znode at `path` as owned by `session`, as an ephemeral one is.
    pub fn own(&self, path: &str, session: i64) {
        if let Some((_, (_, _, stat))) = self.lock().nodes.iter_mut().find(|(p, _)| p.as_str() == path) {
            stat.ephemeral_owner = session;
        }
    }

    /// The data at `path`, or `None` where there is no such znode.
    #[must_use]
    pub fn data(&self, path: &str) -> Option<Vec<u8>> {
        let path = ZnodePath::parse(path).ok()?;
        self.lock().nodes.get(&path).map(|(data, _, _)| data.clone())
    }

    /// Every path with its data and ACL, in path order.
    #[must_use]
    pub fn dump(&self) -> Vec<(String, Vec<u8>, Acl)> {
        let nodes = self.lock();
        nodes
            .nodes
            .iter()
            .map(|(p, (d, a, _))| (p.to_string(), d.clone(), a.clone()))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Nodes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Nodes {
    fn children(&self, path: &ZnodePath) -> Vec<String> {
        let below = self.nodes.range(path.clone()..).skip(1);
        below
            .map_while(|(p, _)| p.as_str().strip_prefix(path.as_str()))
            .filter_map(|rest| {
                if path.is_root() {
                    Some(rest)
                } else {
                    rest.strip_prefix('/')
                }
            })
            .filter(|name| !name.contains('/'))
            .map(str::to_owned)
            .collect()
    }

    /// As a server does it: twice the creations so far, less the children, is what `cversion` shows.
    fn touch_parent(&mut self, path: &ZnodePath, by: i32) {
        let zxid = self.zxid;
        let Some(parent) = path.parent() else { return };
        if let Some((_, _, stat)) = self.nodes.get_mut(&parent) {
            stat.pzxid = zxid;
            stat.cversion += 1;
            stat.num_children += by;
        }
        self.tell(path);
        self.tell(&parent);
    }

    fn tell(&mut self, path: &ZnodePath) {
        self.watches.retain(|watch| match watch.upgrade() {
            Some(events) => {
                events
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(path.clone());
                true
            }
            None => false,
        });
    }

    fn apply(&mut self, op: WriteOp) -> Result<(), WriteError> {
        self.zxid += 1;
        let zxid = self.zxid;
        match op {
            WriteOp::Create { path, data, acl, .. } => {
                let parent = path.parent().and_then(|parent| self.nodes.get(&parent));
                match parent {
                    _ if self.nodes.contains_key(&path) => return Err(WriteError::NodeExists),
                    None => return Err(WriteError::NoNode),
                    Some((_, _, stat)) if stat.is_ephemeral() => return Err(WriteError::EphemeralParent),
                    Some(_) => {}
                }
                let stat = Stat {
                    ctime: NOW.fetch_add(1, Ordering::Relaxed),
                    czxid: zxid,
                    mzxid: zxid,
                    pzxid: zxid,
                    ..Stat::default()
                };
                self.nodes.insert(path.clone(), (data, acl, stat));
                self.touch_parent(&path, 1);
            }
            WriteOp::SetData { path, data, version } => {
                let node = self.nodes.get_mut(&path).ok_or(WriteError::NoNode)?;
                unchanged(version, node.2.version)?;
                node.0 = data;
                node.2.mzxid = zxid;
                node.2.version += 1;
                self.tell(&path);
            }
            WriteOp::SetAcl { path, acl, version } => {
                let node = self.nodes.get_mut(&path).ok_or(WriteError::NoNode)?;
                unchanged(version, node.2.aversion)?;
                node.1 = acl;
                node.2.aversion += 1;
            }
            WriteOp::Delete { path, version } => {
                let node = self.nodes.get(&path).ok_or(WriteError::NoNode)?;
                unchanged(version, node.2.version)?;
                if !self.children(&path).is_empty() {
                    return Err(WriteError::NotEmpty);
                }
                self.nodes.remove(&path);
                self.touch_parent(&path, -1);
            }
        }
        Ok(())
    }
}

fn unchanged(wanted: Option<i32>, there: i32) -> Result<(), WriteError> {
    match wanted {
        Some(wanted) if wanted != there => Err(WriteError::Changed),
        _ => Ok(()),
    }
}

#[async_trait]
impl ZnodeReader for MemoryTree {
    async fn read_many(&self, paths: &[ZnodePath], _history: History) -> Result<Vec<Reading>, ClientError> {
        let nodes = self.lock();
        let read = |path| match nodes.nodes.get(path) {
            Some((data, _, stat)) => Reading::Found(Found {
                data: data.clone(),
                stat: *stat,
                children: nodes.children(path),
            }),
            None => Reading::Missing,
        };
        Ok(paths.iter().map(read).collect())
    }

    async fn read_acls(&self, paths: &[ZnodePath]) -> Result<Vec<Reading<AclFound>>, ClientError> {
        let nodes = self.lock();
        let read = |path| match nodes.nodes.get(path) {
            Some((_, acl, stat)) => Reading::Found(AclFound {
                acl: acl.clone(),
                stat: *stat,
            }),
            None => Reading::Missing,
        };
        Ok(paths.iter().map(read).collect())
    }

    fn batch_size(&self) -> usize {
        64
    }

    fn batches_in_flight(&self) -> usize {
        1
    }

    fn epoch(&self) -> u64 {
        0
    }

    async fn sync(&self) -> Result<bool, ClientError> {
        Ok(true)
    }

    async fn reads_everything(&self) -> Result<bool, ClientError> {
        Ok(true)
    }

    async fn read_at_once(&self, paths: &[ZnodePath]) -> Result<Option<Vec<Reading>>, ClientError> {
        let mut readings = self.read_many(paths, History::One).await?;
        for reading in &mut readings {
            if let Reading::Found(found) = reading {
                found.children.clear();
            }
        }
        Ok(Some(readings))
    }

    async fn watch(&self, _roots: &[ZnodePath]) -> Result<Option<Box<dyn TreeWatch>>, ClientError> {
        let watch = MemoryWatch::default();
        self.lock().watches.push(Arc::downgrade(&watch.0));
        Ok(Some(Box::new(watch)))
    }
}

/// Everything that happens in a tree, wherever it does.
#[derive(Default)]
struct MemoryWatch(Arc<Events>);

impl TreeWatch for MemoryWatch {
    fn take(&mut self) -> Changes {
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Changes::Of(std::mem::take(&mut *events))
    }
}

#[async_trait]
impl ZnodeWriter for MemoryTree {
    async fn write_many(&self, ops: &[WriteOp]) -> Vec<Result<(), WriteError>> {
        let mut nodes = self.lock();
        ops.iter().map(|op| nodes.apply(op.clone())).collect()
    }

    fn keeps_order(&self) -> bool {
        true
    }

    fn working_acl(&self) -> Acl {
        Acl::open()
    }
}
