//! Which servers an ensemble consists of, as it tells itself.

use std::collections::BTreeSet;

/// The servers in the answer to the word `conf`, or in `/zookeeper/config`, such as `server.1=zk-1:2888:3888:participant;0.0.0.0:2181`, where clients
/// reach them.
pub(crate) fn members<'a>(answer: &'a str, usual: &'a str) -> impl Iterator<Item = String> + 'a {
    let servers = answer
        .lines()
        .filter_map(|line| line.trim().strip_prefix("server."));
    servers.filter_map(move |line| {
        let (addresses, client) = match line.split_once('=')?.1.split_once(';') {
            Some((addresses, client)) => (addresses, client.rsplit(':').next().unwrap_or(usual)),
            None => (line.split_once('=')?.1, usual),
        };
        // Several addresses of one server are separated by bars; an IPv6 address is in brackets.
        let first = addresses.split('|').next()?;
        let host = match first.split_once(']') {
            Some((host, _)) => format!("{host}]"),
            None => first.split(':').next()?.to_owned(),
        };
        Some(format!("{host}:{client}"))
    })
}

/// Where clients reach the servers in `config` (as in `/zookeeper/config`) that are not among `ours`. The ports in it are not
/// those for `tls`.
///
/// # Errors
/// Where that is not known.
pub(crate) fn others(config: &str, ours: &BTreeSet<&str>, tls: bool) -> Result<Vec<String>, String> {
    let usual = ours.first().and_then(|address| address.rsplit_once(':'));
    let usual = usual.map_or("2181", |(_, port)| port);
    let with_port = |address: String| match address.rsplit_once(':') {
        Some((host, _)) if tls => format!("{host}:{usual}"),
        _ => address,
    };
    let named: Vec<_> = members(config, usual).map(with_port).collect();
    let distinct: BTreeSet<_> = named.iter().map(String::as_str).collect();
    let others: Vec<_> = distinct
        .difference(ours)
        .map(|address| (*address).to_owned())
        .collect();
    // Where there are as many, all of them may go by other names here.
    let known = others.is_empty() || others.len() == distinct.len();
    if known && named.len() <= ours.len() {
        return Ok(Vec::new());
    }
    if distinct.len() < named.len() {
        return Err(format!(
            "it has {} servers, and where clients reach each of them is not known: its address must name them all",
            named.len()
        ));
    }
    Ok(others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_are_those_that_conf_names() {
        let answer = "clientPort=2181\nserverId=1\nserver.1=zk-1:2888:3888:participant;0.0.0.0:2182\n\
                      server.2=zk-2:2888:3888:participant\nserver.3=10.0.0.3:2888:3888|10.1.0.3:2888:3888:observer;2181\n\
                      server.4=[fd00::4]:2888:3888:participant;[::]:2181\nmembership: \nversion=0";
        let found: Vec<_> = members(answer, "2999").collect();
        assert_eq!(
            found,
            ["zk-1:2182", "zk-2:2999", "10.0.0.3:2181", "[fd00::4]:2181"]
        );
    }

    #[test]
    fn every_server_that_is_not_ours_is_another() {
        let config = "server.1=zk-1:2888:3888:participant;0.0.0.0:2181\n\
                      server.2=zk-2:2888:3888:participant;0.0.0.0:2181\nserver.3=zk-3:2888:3888:observer\nversion=1";
        let others = |ours: &[&str], tls| others(config, &ours.iter().copied().collect(), tls).unwrap();
        let all = ["zk-1:2181", "zk-2:2181", "zk-3:2181"];
        assert_eq!(others(&all, false), [""; 0]);
        assert_eq!(others(&["zk:2181"], false), all);
        assert_eq!(
            others(&["zk:2281"], true),
            ["zk-1:2281", "zk-2:2281", "zk-3:2281"]
        );
        assert_eq!(
            others(&["zk:2181", "zk-1:2181", "zk-2:2181"], false),
            ["zk-3:2181"]
        );
        // By other names.
        assert_eq!(
            others(&["10.0.0.1:2181", "10.0.0.2:2181", "10.0.0.3:2181"], false),
            [""; 0]
        );
    }

    #[test]
    fn servers_that_cannot_be_told_apart_are_an_error() {
        let config = "server.1=127.0.0.1:2888:3888:participant\nserver.2=127.0.0.1:2889:3889:participant";
        assert!(others(config, &["127.0.0.1:2181"].into(), false).is_err());
    }
}
