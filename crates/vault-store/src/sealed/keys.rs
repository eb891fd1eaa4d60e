//! Public keys that vaults are sealed to, and the secret keys that open them.

use std::fmt;
use std::str::FromStr;

use age::x25519;

/// So many recipients a header can name, and is still read in two requests.
const MOST: usize = 100;

/// Public keys of age (X25519, `age1…`). Who holds the identity of one of them can open what is sealed; who holds these alone cannot.
///
/// They are read from text: separated by white space or commas, with comments from `#` to the end of a line. There are 1 to 100.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipients(Vec<x25519::Recipient>);

/// Secret keys of age (X25519, `AGE-SECRET-KEY-1…`): each opens what is sealed to its recipient. `Debug` shows the recipients only.
///
/// They are read from text such as `age-keygen` writes, with comments from `#` to the end of a line.
#[derive(Clone)]
pub struct Identities {
    secret: Vec<x25519::Identity>,
    /// The public key of each.
    public: Vec<String>,
}

/// A text is none of keys. The message names the line and never what stands there, which may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(String);

impl Recipients {
    /// Each as text, `age1…`.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// With those of `identities`.
    pub(super) fn and(&self, identities: &Identities) -> Self {
        let mut all = self.0.clone();
        for ours in identities.secret.iter().map(x25519::Identity::to_public) {
            if !all.contains(&ours) {
                all.push(ours);
            }
        }
        Self(all)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &dyn age::Recipient> {
        self.0.iter().map(|recipient| recipient as _)
    }
}

impl Identities {
    /// The public key of each, as text.
    #[must_use]
    pub fn recipients(&self) -> &[String] {
        &self.public
    }

    /// Whether one of them opens what is sealed to `recipients`.
    #[must_use]
    pub fn open(&self, recipients: &[String]) -> bool {
        self.public.iter().any(|ours| recipients.contains(ours))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.secret.iter().map(|identity| identity as _)
    }
}

impl FromStr for Recipients {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let keys: Vec<x25519::Recipient> = keys(text, "public key (age1…)", |word| {
            if word.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
                return Err("a secret key stands where a public one is expected: take it away from here");
            }
            word.parse()
                .map_err(|_| "it is no X25519 public key of age (age1…)")
        })?;
        if keys.len() > MOST {
            return Err(KeyError(format!(
                "{} public keys are given, and {MOST} can be",
                keys.len()
            )));
        }
        Ok(Self(keys))
    }
}

impl FromStr for Identities {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let parse = |word: &str| {
            word.parse()
                .map_err(|_| "it is no X25519 identity of age (AGE-SECRET-KEY-1…)")
        };
        let secret: Vec<x25519::Identity> = keys(text, "identity (AGE-SECRET-KEY-1…)", parse)?;
        let public = secret.iter().map(|identity| identity.to_public().to_string());
        Ok(Self {
            public: public.collect(),
            secret,
        })
    }
}

/// Every key in `text`, which has one at least.
fn keys<K>(
    text: &str,
    what: &str,
    parse: impl Fn(&str) -> Result<K, &'static str>,
) -> Result<Vec<K>, KeyError> {
    let mut keys = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        for word in line.split([',', ' ', '\t', '\r']).filter(|word| !word.is_empty()) {
            let key = parse(word).map_err(|why| KeyError(format!("line {}: {why}", number + 1)))?;
            keys.push(key);
        }
    }
    if keys.is_empty() {
        return Err(KeyError(format!("there is no {what}")));
    }
    Ok(keys)
}

impl fmt::Display for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(", "))
    }
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "identities of {}", self.recipients().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
    const SECRET: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

    #[test]
    fn keys_are_read_with_comments_and_refused_without_being_shown() {
        let text = format!("# created: today\n# public key: {PUBLIC}\n{SECRET}\n");
        let identities: Identities = text.parse().unwrap();
        assert_eq!(identities.recipients(), [PUBLIC]);
        assert!(!format!("{identities:?}").contains("SECRET"));
        let recipients: Recipients = format!("{PUBLIC},{PUBLIC} # twice\n\n{PUBLIC}").parse().unwrap();
        assert_eq!(recipients.names(), [PUBLIC; 3]);
        assert!(identities.open(&recipients.names()) && !identities.open(&[]));

        for (text, why) in [
            ("", "no public key"),
            ("# nothing", "no public key"),
            (SECRET, "line 1: a secret key stands"),
            (&format!("{PUBLIC}\nage1yubikey1qgfx7"), "line 2: it is no X25519"),
        ] {
            let refused = text.parse::<Recipients>().unwrap_err().to_string();
            assert!(refused.contains(why) && !refused.contains("1GQ9778"), "{refused}");
        }
        let cut = SECRET[..SECRET.len() - 1].parse::<Identities>().unwrap_err();
        assert!(!cut.to_string().contains("1GQ9778"), "{cut}");
    }
}
