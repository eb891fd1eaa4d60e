//! Requests on their way: in which order they arrive, and what becomes of them and their answers.

use std::collections::{BTreeMap, VecDeque};

use super::{Fate, Identity, Look, Meddler, ModelTree, Rules};
use crate::tree::{AclFound, Found, Reading, WriteError, WriteOp, ZnodePath};

#[derive(Debug, Clone)]
pub(super) enum Request {
    Data(Vec<ZnodePath>),
    Children(Vec<ZnodePath>),
    Acl(ZnodePath),
    Write(Vec<WriteOp>),
    Sync,
}

pub(super) enum Reply {
    Data(Vec<Reading>),
    Children(Vec<Reading<Vec<String>>>),
    Acl(Reading<AclFound>),
    Written(Result<(), WriteError>),
    Synced,
}

/// The connection was lost, or there is none.
pub(super) struct Lost;

struct Connection {
    identity: Identity,
    session: i64,
    epoch: u64,
    /// The state that its server has, where that falls behind.
    behind: Option<i64>,
    down: u8,
}

struct Sent {
    ticket: u64,
    connection: usize,
    request: Request,
}

pub(super) struct Wire {
    pub(super) tree: ModelTree,
    pub(super) rules: Rules,
    connections: Vec<Connection>,
    meddler: Option<Box<dyn Meddler>>,
    sent: VecDeque<Sent>,
    answers: BTreeMap<u64, Result<Reply, Lost>>,
    tickets: u64,
    requests: u64,
    sessions: i64,
    order: u64,
    killed: bool,
}

impl Wire {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            tree: ModelTree::new(),
            order: rules.order,
            rules,
            connections: Vec::new(),
            meddler: None,
            sent: VecDeque::new(),
            answers: BTreeMap::new(),
            tickets: 0,
            requests: 0,
            sessions: 0,
            killed: false,
        }
    }

    pub(super) fn epoch(&self, connection: usize) -> u64 {
        self.connections[connection].epoch
    }

    pub(super) fn session(&self, connection: usize) -> i64 {
        self.connections[connection].session
    }

    /// The state that the connection's server has.
    pub(super) fn view(&mut self, connection: usize) -> i64 {
        self.connections[connection].behind.unwrap_or(self.tree.zxid)
    }

    /// One more connection, with a session of its own.
    pub(super) fn connect(&mut self, identity: Identity) {
        self.sessions += 1;
        self.connections.push(Connection {
            identity,
            session: self.sessions,
            epoch: 0,
            behind: None,
            down: 0,
        });
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Lets `meddler` act from now on: everything begins anew but the tree and the sessions.
    pub(super) fn begin(&mut self, meddler: Option<Box<dyn Meddler>>) {
        self.meddler = meddler;
        self.requests = 0;
        self.killed = false;
        self.sent.clear();
        for connection in &mut self.connections {
            (connection.behind, connection.down) = (None, 0);
        }
    }

    /// How many requests have arrived.
    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    pub(super) fn is_killed(&self) -> bool {
        self.killed
    }

    /// Sends `request`, whose answer belongs to the number that is returned.
    pub(super) fn send(&mut self, connection: usize, request: Request) -> u64 {
        self.tickets += 1;
        self.sent.push_back(Sent {
            ticket: self.tickets,
            connection,
            request,
        });
        self.tickets
    }

    /// Carries out what was sent until `ticket` has its answer; `None` if the client is ended before.
    pub(super) fn answer(&mut self, ticket: u64) -> Option<Result<Reply, Lost>> {
        loop {
            if self.killed {
                return None;
            }
            if let Some(answer) = self.answers.remove(&ticket) {
                return Some(answer);
            }
            let next = self.next();
            let Some(sent) = self.sent.remove(next) else {
                return Some(Err(Lost));
            };
            self.arrive(sent);
        }
    }

    /// Requests of one connection arrive in order, those of several in any.
    fn next(&mut self) -> usize {
        self.order = self
            .order
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let mut firsts = Vec::new();
        for (index, sent) in self.sent.iter().enumerate() {
            let earlier = |first: &usize| self.sent[*first].connection == sent.connection;
            if !firsts.iter().any(earlier) {
                firsts.push(index);
            }
        }
        let turn = usize::try_from(self.order >> 33).unwrap_or(0);
        firsts.get(turn % firsts.len().max(1)).copied().unwrap_or(0)
    }

    fn arrive(&mut self, sent: Sent) {
        let number = self.requests;
        self.requests += 1;
        let fate = match self.meddler.as_mut() {
            Some(meddler) => meddler.meddle(number, &mut self.tree),
            None => Fate::default(),
        };
        let at = sent.connection;
        if let Some(lags) = fate.lags {
            self.connections[at].behind = lags.then_some(self.tree.zxid);
        }
        if let Some(carried_out) = fate.kill {
            if carried_out {
                self.carry_out(at, sent.request);
                while let Some(sent) = self.sent.pop_front() {
                    self.carry_out(sent.connection, sent.request);
                }
            }
            self.sent.clear();
            self.killed = true;
            return;
        }
        let connection = &mut self.connections[at];
        if connection.down > 0 {
            connection.down -= 1;
            self.answers.insert(sent.ticket, Err(Lost));
            return;
        }
        let too_large = size(&sent.request) > self.rules.max_request;
        match fate.cut {
            None if !too_large => {
                let answer = self.carry_out(at, sent.request);
                self.answers.insert(sent.ticket, Ok(answer));
            }
            cut => {
                let looks = self.tree.looks.len();
                if cut == Some(true) && !too_large {
                    self.carry_out(at, sent.request);
                }
                self.tree.looks.truncate(looks);
                self.answers.insert(sent.ticket, Err(Lost));
                self.lose(at, fate.down);
            }
        }
    }

    /// What else was under way on the connection is lost with it. The next one has caught up, as clients see to.
    fn lose(&mut self, at: usize, down: u8) {
        self.sessions += 1;
        let connection = &mut self.connections[at];
        connection.epoch += 1;
        connection.session = self.sessions;
        connection.behind = None;
        connection.down = down;
        for sent in std::mem::take(&mut self.sent) {
            if sent.connection == at {
                self.answers.insert(sent.ticket, Err(Lost));
            } else {
                self.sent.push_back(sent);
            }
        }
    }

    fn carry_out(&mut self, at: usize, request: Request) -> Reply {
        let view = self.view(at);
        let by = self.session(at);
        let identity = self.connections[at].identity.clone();
        let after = self.tree.log.len();
        let looked = |path: &ZnodePath, what| Look {
            by,
            path: path.clone(),
            zxid: view,
            what,
            after,
        };
        match request {
            Request::Data(paths) => {
                let looks: Vec<_> = paths.iter().map(|path| looked(path, "data")).collect();
                self.tree.looks.extend(looks);
                let read = |path| match self.tree.at(path, view) {
                    Some(znode) if identity.may(&znode.acl, 1) => Reading::Found(Found {
                        data: znode.data.clone(),
                        stat: znode.stat,
                        children: Vec::new(),
                    }),
                    Some(_) => Reading::Denied,
                    None => Reading::Missing,
                };
                Reply::Data(paths.iter().map(read).collect())
            }
            Request::Children(paths) => {
                let looks: Vec<_> = paths.iter().map(|path| looked(path, "children")).collect();
                self.tree.looks.extend(looks);
                let list = |path| match self.tree.at(path, view) {
                    Some(znode) if identity.may(&znode.acl, 1) => {
                        Reading::Found(self.tree.children(path, view))
                    }
                    Some(_) => Reading::Denied,
                    None => Reading::Missing,
                };
                Reply::Children(paths.iter().map(list).collect())
            }
            Request::Acl(path) => {
                let look = looked(&path, "acl");
                self.tree.looks.push(look);
                Reply::Acl(match self.tree.at(&path, view) {
                    Some(znode) if identity.may(&znode.acl, 1 | 16) => Reading::Found(AclFound {
                        acl: identity.shown(&znode.acl),
                        stat: znode.stat,
                    }),
                    Some(_) => Reading::Denied,
                    None => Reading::Missing,
                })
            }
            Request::Write(ops) => {
                let outcome = self.tree.commit(by, 0, &identity, &ops);
                // A server that answers a write has it, and all before it.
                let zxid = self.tree.zxid;
                let behind = &mut self.connections[at].behind;
                *behind = behind.map(|_| zxid);
                Reply::Written(outcome)
            }
            Request::Sync => {
                let zxid = self.tree.zxid;
                let behind = &mut self.connections[at].behind;
                *behind = behind.map(|_| zxid);
                Reply::Synced
            }
        }
    }
}

fn size(request: &Request) -> usize {
    let paths = |paths: &[ZnodePath]| paths.iter().map(|path| path.as_str().len() + 16).sum();
    match request {
        Request::Data(list) | Request::Children(list) => paths(list),
        Request::Acl(path) => path.as_str().len() + 16,
        Request::Sync => 16,
        Request::Write(ops) => ops.iter().map(op_size).sum(),
    }
}

/// What it takes as a request, nearly.
fn op_size(op: &WriteOp) -> usize {
    let acl = |acl: &crate::tree::Acl| -> usize {
        let entries = acl.entries().iter();
        entries
            .map(|entry| entry.scheme.len() + entry.id.len() + 12)
            .sum()
    };
    let body = match op {
        WriteOp::Create { data, acl: list, .. } => data.len() + acl(list) + 12,
        WriteOp::SetData { data, .. } => data.len() + 8,
        WriteOp::SetAcl { acl: list, .. } => acl(list) + 8,
        WriteOp::Delete { .. } => 4,
    };
    op.path().as_str().len() + body + 12
}
