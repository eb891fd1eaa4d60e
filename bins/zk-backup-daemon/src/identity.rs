//! Whether ZooKeeper has taken the identity that the settings give us.

use zk_snapshot::client::BatchedConfig;

/// What is to be said where it has not: it tells `identities`, such as `ip:127.0.0.1`, and none of them is one that was given.
pub(crate) fn untaken(config: &BatchedConfig, identities: &[String]) -> Option<String> {
    let setting = match (&config.sasl, &config.digest_auth) {
        (Some(_), _) => "ZOOKEEPER_ADMIN_USERNAME",
        (None, Some(_)) => "ZOOKEEPER_DIGEST_USERNAME",
        (None, None) => return None,
    };
    let is_of_the_connection =
        |identity: &String| identity.starts_with("ip:") || identity.starts_with("x509:");
    (!identities.is_empty() && identities.iter().all(is_of_the_connection))
        .then(|| format!("it has not taken {setting}: does it know such users at all?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_that_was_given_and_is_not_told_was_not_taken() {
        let given = |digest: Option<&str>, sasl: Option<(&str, &str)>| BatchedConfig {
            digest_auth: digest.map(str::to_owned),
            sasl: sasl.map(|(user, password)| (user.to_owned(), password.to_owned())),
            ..BatchedConfig::new("zk1:2181")
        };
        let told = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect::<Vec<_>>();
        let (none, sasl) = (given(None, None), given(None, Some(("ann", "x"))));
        assert_eq!(untaken(&none, &told(&["ip:127.0.0.1"])), None);
        let said = untaken(&sasl, &told(&["ip:127.0.0.1"])).unwrap();
        assert!(said.contains("ZOOKEEPER_ADMIN_USERNAME"), "{said}");
        assert_eq!(untaken(&sasl, &told(&["ip:127.0.0.1", "sasl:ann"])), None);
        assert_eq!(untaken(&sasl, &[]), None);
        let digest = given(Some("ann:x"), None);
        assert_eq!(untaken(&digest, &told(&["digest:ann"])), None);
        assert!(untaken(&digest, &told(&["x509:CN=a", "ip:10.0.0.1"])).is_some());
    }
}
