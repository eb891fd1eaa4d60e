//! Which servers an ensemble consists of, as it tells itself.

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
}
