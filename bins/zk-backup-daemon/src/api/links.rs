//! `GET /backup/s3/<id>`.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

/// Links to the files of a backup.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Links {
    /// By the names of the files.
    ByFile(BTreeMap<String, String>),
    /// As the predecessor's clients expect them.
    List(LinkList),
}

/// Links without the names of the files.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkList {
    urls: Vec<String>,
}

impl Links {
    /// Of files and their links. `is_list`: without the names of the files.
    pub(crate) fn new(links: Vec<(String, String)>, is_list: bool) -> Self {
        match is_list {
            true => Self::List(LinkList {
                urls: links.into_iter().map(|(_, link)| link).collect(),
            }),
            false => Self::ByFile(links.into_iter().collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_told_with_the_names_of_files_or_as_a_list() {
        let told = |is_list| {
            let links = ["b", "a"].map(|name| (name.to_owned(), format!("https://{name}")));
            serde_json::to_string(&Links::new(links.into(), is_list)).unwrap()
        };
        assert_eq!(told(false), r#"{"a":"https://a","b":"https://b"}"#);
        assert_eq!(told(true), r#"{"urls":["https://b","https://a"]}"#);
    }
}
