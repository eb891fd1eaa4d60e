//! The model of ZooKeeper does what every client must do, in both manners of asking.
#![allow(clippy::unwrap_used)]

use zk_snapshot::conformance;
use zk_snapshot::model::{Ensemble, Identity, Manner, Rules};
use zk_snapshot::tree::ZnodePath;

fn run(identity: Identity, ordered: bool) {
    let connections = if ordered { 1 } else { 3 };
    let manner = Manner {
        ordered,
        connections,
        ..Manner::default()
    };
    let client = Ensemble::new(Rules {
        order: 7,
        ..Rules::default()
    })
    .client(identity, manner);
    let root = ZnodePath::parse("/conformance").unwrap();
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(conformance::run(&client, &root));
}

#[test]
fn the_model_is_what_servers_are() {
    for ordered in [true, false] {
        run(Identity::superuser(), ordered);
        run(Identity::digest("bob", "ZWxzZXdoZXJlIQ=="), ordered);
    }
}

#[test]
fn who_may_do_what_is_as_on_servers() {
    for (ordered, hides) in [(true, true), (true, false), (false, true)] {
        let ensemble = Ensemble::new(Rules {
            hides,
            ..Rules::default()
        });
        let manner = Manner {
            ordered,
            ..Manner::default()
        };
        let owner = ensemble.client(Identity::superuser(), manner.clone());
        let other = ensemble.client(Identity::digest("bob", "aGFzaA=="), manner);
        let root = ZnodePath::parse("/conformance").unwrap();
        let told = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(conformance::guards(&owner, &other, &root));
        assert_eq!(told, ordered.then_some(hides));
    }
}
