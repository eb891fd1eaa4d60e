//! Where an ensemble is, as ZooKeeper's own clients are told.

use std::net::Ipv6Addr;

use zk_snapshot::tree::ZnodePath;
use zk_snapshot::tree::reserved::is_reserved;

/// Where an ensemble is, as ZooKeeper's own clients are told: `zk1:2181,zk2:2181/kafka`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectString {
    /// `host:port` of each server, with commas between; IPv6 addresses are in brackets.
    pub servers: String,
    /// The znode that stands for `/`.
    pub chroot: ZnodePath,
}

impl ConnectString {
    /// Reads `text`; servers without a port of their own get `port`.
    ///
    /// # Errors
    /// What is wrong with which part of it.
    pub fn parse(text: &str, port: u16) -> Result<Self, String> {
        if text.contains("://") {
            return Err("it is a URL: only host names or addresses and their ports are expected".to_owned());
        }
        let (hosts, chroot) = match text.split_once('/') {
            Some((hosts, "")) => (hosts, ZnodePath::root()),
            Some((hosts, chroot)) => (hosts, chroot_of(chroot)?),
            None => (text, ZnodePath::root()),
        };
        let servers: Result<Vec<_>, _> = hosts.split(',').map(|host| server(host.trim(), port)).collect();
        Ok(Self {
            servers: servers?.join(","),
            chroot,
        })
    }
}

fn chroot_of(text: &str) -> Result<ZnodePath, String> {
    if text.contains([',', '"', '\'']) || text.contains(char::is_whitespace) {
        return Err(format!(
            "/{text}: a chroot is expected to stand once, after the last server, without quotes and blanks"
        ));
    }
    let chroot = ZnodePath::parse(&format!("/{text}")).map_err(|error| error.to_string())?;
    match is_reserved(&chroot) {
        true => Err(format!("{chroot} is the server's own, and no chroot")),
        false => Ok(chroot),
    }
}

fn server(text: &str, port: u16) -> Result<String, String> {
    if text.is_empty() {
        return Err("a host is empty".to_owned());
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok(format!("[{text}]:{port}"));
    }
    let (host, own_port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, after)) => {
            if address.parse::<Ipv6Addr>().is_err() {
                return Err(format!("{text:?} holds no IPv6 address"));
            }
            match after.strip_prefix(':') {
                _ if after.is_empty() => (format!("[{address}]"), None),
                Some(own_port) => (format!("[{address}]"), Some(own_port)),
                None => return Err(format!("{text:?}: a port is expected after the bracket")),
            }
        }
        None => match text.split_once(':') {
            Some((host, own_port)) => (host.to_owned(), Some(own_port)),
            None => (text.to_owned(), None),
        },
    };
    let in_a_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if host.is_empty() || !host.starts_with('[') && !host.chars().all(in_a_name) {
        return Err(format!("{text:?} begins with no host"));
    }
    match own_port.map_or(Ok(port), str::parse) {
        Ok(port) if port > 0 && !own_port.is_some_and(|text| text.starts_with('+')) => {
            Ok(format!("{host}:{port}"))
        }
        _ => Err(format!("{text:?}: its port is none from 1 to 65535")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_get_the_port_and_the_chroot_is_told_apart() {
        for (text, servers, chroot) in [
            (
                "zk1, zk2:2182,::1,[::2]:2183,[fd00::3]",
                "zk1:2181,zk2:2182,[::1]:2181,[::2]:2183,[fd00::3]:2181",
                "/",
            ),
            ("h:1,h:2/kafka", "h:1,h:2", "/kafka"),
            ("h/kafka", "h:2181", "/kafka"),
            ("h:1/a/b", "h:1", "/a/b"),
            ("h:1/", "h:1", "/"),
            ("10.0.0.1:2181/zookeepers", "10.0.0.1:2181", "/zookeepers"),
        ] {
            let read = ConnectString::parse(text, 2181).unwrap();
            assert_eq!(
                (&*read.servers, read.chroot.as_str()),
                (servers, chroot),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_connect_string_is_refused() {
        for text in [
            "\"zk1\"",
            "'zk1:2181'",
            "zk1:2181,",
            ",zk1",
            "zk1,,zk2",
            "",
            "zk1:",
            ":2181",
            "zk1:0",
            "zk1:+1",
            "zk1:70000",
            "zk1:2181:2182",
            "zk1:port",
            "http://zk1:2181",
            "zookeeper://zk1/kafka",
            "zk1 zk2",
            "zk1;zk2",
            "user@zk1",
            "[::1]2181",
            "[zk1]:2181",
            "[::1",
            "zk1/kafka,zk2/kafka",
            "zk1/kafka,zk2:2181",
            "zk1/kafka/",
            "zk1//kafka",
            "zk1/../x",
            "/kafka",
            "zk1/kafka\"",
            "zk1/zookeeper",
            "zk1/zookeeper/quota",
        ] {
            assert!(ConnectString::parse(text, 2181).is_err(), "{text}");
        }
    }
}
