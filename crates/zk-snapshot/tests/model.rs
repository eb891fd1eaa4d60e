//! The model of ZooKeeper does what every client must do, in both manners of asking.
#![allow(clippy::unwrap_used)]

use zk_snapshot::model::{Ensemble, Identity, Manner, Rules};
use zk_snapshot::{ZnodePath, conformance};

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
