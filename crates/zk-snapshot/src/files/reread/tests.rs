//! What is read of a tree that changes meanwhile, told by a tree that changes as the test says.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::tree::{Acl, AclFound, Stat};

/// A tree whose znodes have a number each; what happens to it next, and is told, after each time that all of it was
/// read at once.
struct Fake {
    numbers: Mutex<BTreeMap<ZnodePath, i64>>,
    next: Mutex<VecDeque<Vec<(&'static str, i64)>>>,
    told: Mutex<Vec<ZnodePath>>,
    /// How many can be read at once.
    most: usize,
}

fn path(text: &str) -> ZnodePath {
    ZnodePath::parse(text).unwrap()
}

impl Fake {
    fn new(most: usize, next: Vec<Vec<(&'static str, i64)>>) -> Self {
        Self {
            numbers: Mutex::new(BTreeMap::from([(path("/"), 0)])),
            next: Mutex::new(next.into()),
            told: Mutex::default(),
            most,
        }
    }

    fn go_on(&self) {
        for (text, number) in self.next.lock().unwrap().pop_front().unwrap_or_default() {
            self.numbers.lock().unwrap().insert(path(text), number);
            self.told.lock().unwrap().push(path(text));
        }
    }

    fn stat(&self, path: &ZnodePath) -> Option<Stat> {
        let number = *self.numbers.lock().unwrap().get(path)?;
        Some(Stat {
            mzxid: number,
            ..Stat::default()
        })
    }
}

#[async_trait]
impl ZnodeReader for Fake {
    async fn read_many(&self, paths: &[ZnodePath], _: History) -> Result<Vec<Reading>, ClientError> {
        let readings = paths.iter().map(|path| match self.stat(path) {
            None => Reading::Missing,
            Some(stat) => Reading::Found(Found {
                data: Vec::new(),
                stat,
                children: Vec::new(),
            }),
        });
        Ok(readings.collect())
    }

    async fn read_acls(&self, paths: &[ZnodePath]) -> Result<Vec<Reading<AclFound>>, ClientError> {
        let found = paths.iter().map(|path| match self.stat(path) {
            None => Reading::Missing,
            Some(stat) => Reading::Found(AclFound {
                acl: Acl::open(),
                stat,
            }),
        });
        Ok(found.collect())
    }

    fn batch_size(&self) -> usize {
        1
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

    async fn read_at_once(&self, paths: &[ZnodePath]) -> Result<Option<Vec<Reading>>, ClientError> {
        if paths.len() > self.most {
            return Ok(None);
        }
        let readings = self.read_many(paths, History::One).await?;
        if paths.contains(&ZnodePath::root()) {
            self.go_on();
        }
        Ok(Some(readings))
    }
}

struct Told<'a>(&'a Fake);

impl TreeWatch for Told<'_> {
    fn take(&mut self) -> Changes {
        Changes::Of(std::mem::take(&mut *self.0.told.lock().unwrap()))
    }
}

async fn numbers(fake: &Fake) -> (bool, Vec<(String, i64)>) {
    let (mut reread, mut told) = (Reread::default(), Told(fake));
    let dirty = BTreeSet::from([ZnodePath::root()]);
    let quiet = reread.until_quiet(fake, &mut told, dirty);
    quiet.await.unwrap();
    let numbers = reread
        .there()
        .map(|(path, later)| (path.to_string(), later.stat.mzxid));
    (reread.at_once, numbers.collect())
}

#[tokio::test]
async fn what_was_read_at_once_is_of_that_moment() {
    // The root is read alone before it is read at once.
    let next = [
        vec![("/a", 1)],
        vec![],
        vec![("/a", 2), ("/b", 2)],
        vec![("/a", 3)],
    ];
    let (at_once, found) = numbers(&Fake::new(10, next.into())).await;
    assert!(at_once);
    let expected = [("/".to_owned(), 0), ("/a".to_owned(), 2), ("/b".to_owned(), 2)];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn what_was_passed_over_is_read_where_it_cannot_be_read_at_once_any_more() {
    // `/a` changes together with `/b`, which is one too many.
    let next = [vec![("/a", 1)], vec![], vec![("/a", 2), ("/b", 2)]];
    let (at_once, found) = numbers(&Fake::new(2, next.into())).await;
    assert!(!at_once);
    let expected = [("/".to_owned(), 0), ("/a".to_owned(), 2), ("/b".to_owned(), 2)];
    assert_eq!(found, expected);
}
