//! What the server tells a service manager.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use std::time::Duration;

use crate::common::daemons::daemon;
use crate::common::servers::nobody;

/// By a file, and by a name that is none.
#[test]
fn a_service_manager_is_told_of_the_start_and_of_the_end() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("notify");
    let name = format!("zk-backup-test-{}", std::process::id());
    let by_name = SocketAddr::from_abstract_name(&name).unwrap();
    for (socket, address) in [
        (
            file.display().to_string(),
            SocketAddr::from_pathname(&file).unwrap(),
        ),
        (format!("@{name}"), by_name),
    ] {
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let told = || {
            let mut text = [0; 100];
            let length = manager.recv(&mut text).unwrap();
            String::from_utf8_lossy(&text[..length]).into_owned()
        };
        let storage = tempfile::tempdir().unwrap();
        let mut server = daemon(&nobody(), storage.path(), &[("NOTIFY_SOCKET", &socket)]);
        assert_eq!(told(), "READY=1");
        assert_eq!(server.http.get("/health/live").unwrap().status, 200);
        let pid = server.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(told(), "STOPPING=1");
        assert!(server.wait_for_end().unwrap().success());
    }
}

#[test]
fn a_service_manager_that_is_gone_keeps_nobody_from_starting() {
    let storage = tempfile::tempdir().unwrap();
    let mut server = daemon(&nobody(), storage.path(), &[("NOTIFY_SOCKET", "/nowhere/notify")]);
    server
        .wait_for_line("NOTIFY_SOCKET: READY=1 cannot be told")
        .unwrap();
    assert_eq!(server.http.get("/health/live").unwrap().status, 200);
}
