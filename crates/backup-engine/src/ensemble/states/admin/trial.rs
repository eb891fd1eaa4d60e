//! What an AdminServer says before it is asked for a snapshot.

use std::time::Duration;

use serde_json::Value;

use super::{AdminSource, SAID, blocking, refusal};
use crate::ensemble::states::StateError;

/// The longest that it may take for that.
const SAYING: Duration = Duration::from_secs(10);

impl AdminSource {
    /// Asks what the server is, and whether it takes our authorization, without a snapshot. Says what it is.
    ///
    /// # Errors
    /// [`StateError::Unavailable`]: why it sends us none. Whether they are disabled there is not found.
    pub async fn try_out(&self) -> Result<String, StateError> {
        let source = self.clone();
        Ok(blocking(move || source.tried()).await?)
    }

    fn tried(&self) -> Result<String, String> {
        let fail = |why: &str| format!("{}: {why}", self.shown());
        let agent = self.agent(SAYING, SAYING);
        let answer = agent.get(format!("{}/commands/srvr", self.url)).call();
        let mut answer = answer.map_err(|error| fail(&error.to_string()))?;
        let text = answer.body_mut().with_config().limit(SAID).lossy_utf8(true);
        let text = text.read_to_string().map_err(|error| fail(&error.to_string()))?;
        let said: Value = serde_json::from_str(&text).unwrap_or_default();
        let Some(version) = said["version"]
            .as_str()
            .and_then(|text| text.split(['-', ',']).next())
        else {
            let why = match said["error"].as_str() {
                Some(error) => format!("it said: {}", error.escape_debug()),
                None => format!("it answered {}, and not as an AdminServer", answer.status()),
            };
            return Err(fail(&why));
        };
        if !sends_snapshots(version) {
            let version = version.escape_debug();
            return Err(fail(&format!(
                "it is of version {version}, and snapshots are sent from 3.9 on"
            )));
        }
        // A snapshot is only sent for a GET. Who may have one is looked at first.
        let mut request = agent.post(self.command());
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let answer = request.send_empty().map_err(|error| fail(&error.to_string()))?;
        match refusal(answer.status()) {
            Some(why) => Err(fail(why)),
            None => Ok(format!(
                "{} is of version {version}, and takes our authorization",
                self.shown()
            )),
        }
    }
}

fn sends_snapshots(version: &str) -> bool {
    let mut numbers = version
        .split('.')
        .map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(3), Some(9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_sent_from_3_9_on() {
        for (version, sends) in [
            ("3.9.0", true),
            ("3.10.1", true),
            ("4.0.0", true),
            ("3.8.4", false),
            ("", false),
        ] {
            assert_eq!(sends_snapshots(version), sends, "{version}");
        }
    }
}
