//! Whom the server tells of what it does, and what it runs around jobs.

use std::time::Duration;

use backup_engine::Hook;

use super::values::{SettingsError, given, number};
use crate::Args;

/// Who is told of what happens. Not shown with its URL, which may hold a secret.
#[derive(Clone)]
pub struct Webhook {
    /// Where it listens.
    pub url: String,
    /// What requests are signed with.
    pub secret: Option<String>,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").finish_non_exhaustive()
    }
}

/// What `WEBHOOK_URL` and `WEBHOOK_SECRET` say. The URL that is in a file of secrets wins, as every secret does; a flag wins over what settings are from.
pub(super) fn webhook(
    args: &Args,
    filed_url: Option<String>,
    secret: impl Fn(&str) -> Result<Option<String>, SettingsError>,
) -> Result<Option<Webhook>, SettingsError> {
    let signs = secret("WEBHOOK_SECRET")?;
    let url = match filed_url.or_else(|| given(args.webhook_url.as_ref())) {
        None => secret("WEBHOOK_URL")?,
        url => url,
    };
    let Some(url) = url else {
        return match signs {
            None => Ok(None),
            Some(_) => Err(SettingsError(
                "WEBHOOK_SECRET is given without WEBHOOK_URL".to_owned(),
            )),
        };
    };
    let parsed = reqwest::Url::parse(&url).ok();
    let is_http = parsed.is_some_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
    if !is_http {
        // It may hold a secret, and is not shown.
        let why = "WEBHOOK_URL: a URL that begins with http:// or https:// is expected";
        return Err(SettingsError(why.to_owned()));
    }
    Ok(Some(Webhook { url, secret: signs }))
}

/// A command: words with blanks between, or a JSON array of texts where a word has blanks in it.
pub(super) fn hook(name: &str, value: Option<&String>) -> Result<Option<Hook>, SettingsError> {
    let Some(text) = given(value) else {
        return Ok(None);
    };
    let bad = |why: &dyn std::fmt::Display| {
        SettingsError(format!(
            "{name}: a program and its arguments, or a JSON array of them, is expected: {why}"
        ))
    };
    let words: Vec<String> = match text.starts_with('[') {
        true => serde_json::from_str(&text).map_err(|error| bad(&error))?,
        false => text.split_whitespace().map(str::to_owned).collect(),
    };
    if words.iter().any(|word| word.contains('\0')) {
        return Err(bad(&"no word can hold the byte 0"));
    }
    let mut words = words.into_iter();
    let program = words.next().filter(|program| !program.is_empty());
    Ok(Some(Hook {
        name: name.to_owned(),
        program: program.ok_or_else(|| bad(&"there is no program"))?,
        arguments: words.collect(),
    }))
}

pub(super) fn hook_timeout(args: &Args) -> Result<Duration, SettingsError> {
    let (name, value) = ("HOOK_TIMEOUT", args.hook_timeout.as_ref());
    let seconds = number(name, value, 60, "seconds from 1 to 86400", |seconds| {
        (1..=86_400).contains(seconds)
    })?;
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_words_and_no_shell_reads_them() {
        let words = |text: &str| hook("HOOK_AFTER", Some(&text.to_owned()));
        let of = |text: &str| {
            let hook = words(text).unwrap().unwrap();
            (hook.program, hook.arguments)
        };
        assert_eq!(
            of(" /bin/a  b $c"),
            ("/bin/a".into(), vec!["b".into(), "$c".into()])
        );
        assert_eq!(of(r#"["/bin/a", "b c"]"#), ("/bin/a".into(), vec!["b c".into()]));
        assert_eq!(words(" ").unwrap(), None);
        for bad in ["[]", "[1]", r#"["" ]"#, r#"["a", "b\u0000"]"#, "[a b]"] {
            let why = words(bad).unwrap_err().to_string();
            assert!(why.starts_with("HOOK_AFTER: a program"), "{why}");
        }
    }

    #[test]
    fn a_url_is_refused_without_being_shown() {
        let of = |url: &str, secret: Option<&str>| {
            let args = Args {
                webhook_url: Some(url.to_owned()),
                ..Args::default()
            };
            webhook(&args, None, |name| {
                Ok(secret.filter(|_| name == "WEBHOOK_SECRET").map(str::to_owned))
            })
        };
        assert!(of("", None).unwrap().is_none());
        assert!(
            of("", Some("s"))
                .unwrap_err()
                .to_string()
                .contains("without WEBHOOK_URL")
        );
        for bad in ["ftp://canary", "canary", "http://"] {
            let why = of(bad, None).unwrap_err().to_string();
            assert!(
                why.starts_with("WEBHOOK_URL: ") && !why.contains("canary"),
                "{why}"
            );
        }
        let good = of("https://hooks.example/T0/canary", Some("s")).unwrap().unwrap();
        assert_eq!(good.secret.as_deref(), Some("s"));
        assert!(!format!("{good:?}").contains("canary"));
    }
}
