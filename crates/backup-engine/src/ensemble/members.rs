//! Which servers an ensemble consists of, as it tells itself.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// The servers in the answer to the word `conf`, or in `/zookeeper/config`, such as `server.1=zk-1:2888:3888:participant;0.0.0.0:2181`, where clients
/// reach them; `None` for one that has no host there: a server may be told to listen on all addresses, `0.0.0.0`, and says so of itself.
pub(crate) fn members<'a>(answer: &'a str, usual: &'a str) -> impl Iterator<Item = Option<String>> + 'a {
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
        let bare = host.trim_matches(['[', ']']);
        let is_any = bare.parse().is_ok_and(|host: IpAddr| host.is_unspecified());
        Some((!is_any).then(|| format!("{host}:{client}")))
    })
}

/// Who can tell which servers there are now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Teller<'a> {
    /// One that follows or observes: it writes the configuration that it runs with into its `/zookeeper/config`, also
    /// where it has begun with another ensemble's snapshot.
    Learner(&'a str),
    /// A leader leaves that znode as its snapshot has it, unless `reconfigEnabled`. It answers the word `conf`, where it may.
    Leader(&'a str),
    /// None needs to: each is alone.
    Alone,
    /// None says what it is, as where the word `srvr` is not allowed.
    Somebody,
}

/// Chooses by what each of the addresses says that it is, to the word `srvr`.
///
/// # Errors
/// Where none can tell, why.
pub(crate) fn teller<'a>(modes: &[(&'a str, Option<String>)]) -> Result<Teller<'a>, String> {
    let first = |wanted: &[&str]| {
        let is_so = |mode: &Option<String>| mode.as_deref().is_some_and(|mode| wanted.contains(&mode));
        let found = modes.iter().find(|(_, mode)| is_so(mode));
        found.map(|(address, _)| *address)
    };
    if let Some(address) = first(&["follower", "observer"]) {
        return Ok(Teller::Learner(address));
    }
    if let Some(address) = first(&["leader"]) {
        return Ok(Teller::Leader(address));
    }
    let is_other = |mode: &Option<String>| mode.as_deref() != Some("standalone");
    match modes.iter().find(|(_, mode)| is_other(mode)) {
        None => Ok(Teller::Alone),
        Some((address, Some(mode))) => Err(format!("{address} is {mode}")),
        Some((_, None)) => Ok(Teller::Somebody),
    }
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
    let named: Vec<_> = members(config, usual).map(|known| known.map(with_port)).collect();
    if named.is_empty() {
        return Err("it does not say which servers it has".to_owned());
    }
    let without = named.iter().filter(|known| known.is_none()).count();
    let distinct: BTreeSet<_> = named.iter().flatten().map(String::as_str).collect();
    let others: Vec<_> = distinct
        .difference(ours)
        .map(|address| (*address).to_owned())
        .collect();
    // Where there are as many, all of them may go by other names here.
    let known = others.is_empty() || others.len() == distinct.len();
    let as_many = named.len() <= ours.len();
    if known && as_many {
        return Ok(Vec::new());
    }
    // Whoever has no host there is the server that said so, which is one of ours; which one is not known.
    if distinct.len() + without < named.len() || without > 0 && !as_many {
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
        let found: Vec<_> = members(answer, "2999").map(Option::unwrap).collect();
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

    /// Such as Bitnami's, where each server has `0.0.0.0` in its own line.
    #[test]
    fn a_server_that_names_no_host_for_itself_is_one_of_ours() {
        for any in ["0.0.0.0", "[::]", "[0:0:0:0:0:0:0:0]"] {
            let config = format!(
                "server.1={any}:2888:3888:participant;0.0.0.0:2181\nserver.2=zk-2:2888:3888:participant;0.0.0.0:2181\n\
                 server.3=zk-3:2888:3888:participant;0.0.0.0:2181\nversion=0"
            );
            let others = |ours: &[&str]| others(&config, &ours.iter().copied().collect(), false);
            let none = Ok(Vec::new());
            assert_eq!(others(&["zk-1:2181", "zk-2:2181", "zk-3:2181"]), none);
            assert_eq!(others(&["10.0.0.1:2181", "10.0.0.2:2181", "10.0.0.3:2181"]), none);
            // Two of them by the names that they have there, and one by another.
            let mixed = others(&["zk-1:2181", "zk-2:2181", "third:2181"]);
            assert_eq!(mixed, Ok(vec!["zk-3:2181".to_owned()]));
            for fewer in [&["zk:2181"][..], &["zk-2:2181", "zk-3:2181"]] {
                let why = others(fewer).unwrap_err();
                assert!(why.contains("it has 3 servers"), "{why}");
            }
        }
        let alone = "server.1=0.0.0.0:2888:3888:participant;0.0.0.0:2181\nversion=0";
        assert_eq!(others(alone, &["zk:2181"].into(), false), Ok(Vec::new()));
    }

    #[test]
    fn a_text_without_servers_does_not_say_that_there_are_none() {
        assert!(others("", &["zk:2181"].into(), false).is_err());
    }

    #[test]
    fn who_has_its_own_configuration_is_asked() {
        let teller_of = |modes: &[&'static str]| {
            let mode = |mode: &&str| Some((*mode).to_owned()).filter(|mode| !mode.is_empty());
            let named = ["a", "b", "c"];
            let modes: Vec<_> = named.into_iter().zip(modes.iter().map(mode)).collect();
            teller(&modes)
        };
        assert_eq!(teller_of(&["leader", "", "follower"]), Ok(Teller::Learner("c")));
        assert_eq!(
            teller_of(&["leader", "observer", "follower"]),
            Ok(Teller::Learner("b"))
        );
        assert_eq!(teller_of(&["", "leader"]), Ok(Teller::Leader("b")));
        assert_eq!(teller_of(&["standalone"]), Ok(Teller::Alone));
        for modes in [&["standalone", ""][..], &[""]] {
            assert_eq!(teller_of(modes), Ok(Teller::Somebody), "{modes:?}");
        }
        assert!(teller_of(&["read-only"]).is_err());
    }
}
