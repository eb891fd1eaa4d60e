//! One znode as it is in ZooKeeper now.

use zk_snapshot::archive::Role;
use zk_snapshot::tree::{ClientError, ClientErrorKind, History, Reading, ZnodePath};

use crate::EngineError;
use crate::ensemble::Ensemble;
use crate::vaults::browse::{ZnodeContent, ZnodeInfo};

/// Data and ACL may stem from slightly different moments.
pub(crate) async fn znode(ensemble: &dyn Ensemble, path: ZnodePath) -> Result<ZnodeContent, EngineError> {
    let unreachable = |error: ClientError| EngineError::ZooKeeper(error.into());
    let client = ensemble.connect().await.map_err(unreachable)?;
    let asked = [path];
    let found = client.read_many(&asked, History::Any).await;
    let acl = client.read_acls(&asked).await;
    // Whom ZooKeeper takes us for matters where it has refused something.
    let names = match is_denied(&found) || is_denied(&acl) {
        true => client.identities().await.unwrap_or(None),
        false => None,
    };
    client.close().await;
    let [path] = asked;
    let found = single(ensemble, &path, found.map_err(unreachable)?, names.as_deref())?;
    let acl = single(ensemble, &path, acl.map_err(unreachable)?, names.as_deref())?.acl;
    Ok(ZnodeContent {
        info: ZnodeInfo {
            kind: None,
            role: Role::Captured,
            size: found.data.len(),
            children: u32::try_from(found.children.len()).unwrap_or(u32::MAX),
            stat: found.stat,
            path,
        },
        data: found.data,
        acl,
    })
}

fn is_denied<T>(readings: &Result<Vec<Reading<T>>, ClientError>) -> bool {
    matches!(readings.as_deref(), Ok([Reading::Denied]))
}

/// The reading of one znode, which is there and may be read. `names`: as whom ZooKeeper knows us, if it tells.
fn single<T>(
    ensemble: &dyn Ensemble,
    path: &ZnodePath,
    readings: Vec<Reading<T>>,
    names: Option<&[String]>,
) -> Result<T, EngineError> {
    let (why, kind) = match readings.into_iter().next() {
        Some(Reading::Found(found)) => return Ok(found),
        None | Some(Reading::Missing) => {
            return Err(EngineError::ZnodeNotFound(format!(
                "ZooKeeper has no znode {path} now"
            )));
        }
        Some(Reading::Denied) => {
            let who = names.map_or("this identity".to_owned(), |names| names.join(", "));
            let why = format!("{path} is not shown to {who}: READ is needed there");
            (why, ClientErrorKind::Credentials)
        }
        Some(Reading::Undecodable(why)) => (format!("{path}: {why}"), ClientErrorKind::Answer),
    };
    let error = ClientError::new(&ensemble.name(), why).of_kind(kind);
    Err(EngineError::ZooKeeper(error.into()))
}
