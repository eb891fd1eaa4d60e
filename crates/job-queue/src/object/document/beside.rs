//! Objects beside a document, under names that it tells: written once, and removed when it names them no more.

use object_store::path::Path;
use object_store::{Error, ObjectStoreExt as _, PutMode, PutPayload};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::super::failures::queue_error;
use super::{Document, FIRST_PAUSE, failed, in_time, is_missing, may_pass};
use crate::QueueError;

impl<T: Clone + Default + PartialEq + Serialize + DeserializeOwned> Document<T> {
    /// Writes `bytes` as an object beside this one, under a name that nobody has used, and returns the name.
    pub(in crate::object) async fn put_beside(
        &self,
        folder: &str,
        bytes: Vec<u8>,
    ) -> Result<String, QueueError> {
        let name = self.token();
        let path = self.beside(folder, &name);
        let payload = PutPayload::from(bytes);
        let (deadline, mut pause) = (Instant::now() + self.patience, FIRST_PAUSE);
        loop {
            let put = in_time(
                deadline,
                self.store
                    .put_opts(&path, payload.clone(), PutMode::Create.into()),
            );
            match put.await {
                // The same bytes, if an answer was lost: nobody else has the name.
                Ok(_) | Err(Error::AlreadyExists { .. }) => return Ok(name),
                Err(error) if may_pass(&error) => self
                    .wait(&mut pause, deadline)
                    .await
                    .map_err(|_| failed(&path, error))?,
                Err(error) => return Err(failed(&path, error)),
            }
        }
    }

    /// `None` if there is none, such as one that was not needed any more.
    pub(in crate::object) async fn get_beside(
        &self,
        folder: &str,
        name: &str,
    ) -> Result<Option<Vec<u8>>, QueueError> {
        let path = self.beside(folder, name);
        let (deadline, mut pause) = (Instant::now() + self.patience, FIRST_PAUSE);
        loop {
            let got = in_time(deadline, async { self.store.get(&path).await?.bytes().await });
            match got.await {
                Ok(bytes) => return Ok(Some(bytes.into())),
                Err(error) if is_missing(&error) => return Ok(None),
                Err(error) if may_pass(&error) => self
                    .wait(&mut pause, deadline)
                    .await
                    .map_err(|_| failed(&path, error))?,
                Err(error) => return Err(failed(&path, error)),
            }
        }
    }

    /// Removes what nothing names any more. What stays takes room, and is of no other consequence.
    pub(in crate::object) async fn remove_beside(&self, folder: &str, names: &[String]) {
        let deadline = Instant::now() + self.patience;
        for name in names {
            let path = self.beside(folder, name);
            if let Err(error) = in_time(deadline, self.store.delete(&path)).await {
                log::warn!(
                    "{path} is not needed any more, and stays: {}",
                    queue_error(&error)
                );
            }
        }
    }

    fn beside(&self, folder: &str, name: &str) -> Path {
        let mut parts: Vec<_> = self.path.parts().collect();
        parts.pop();
        let above: Path = parts.into_iter().collect();
        above.join(folder).join(format!("{name}.json"))
    }
}
