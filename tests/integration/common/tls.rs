//! An ensemble that demands TLS with a client certificate, and what its clients hold.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use zk_backup_testkit::Setup;

/// What both sides of a TLS connection hold, in PEM.
pub(crate) struct Certificates {
    pub(crate) ca: String,
    pub(crate) server: (String, String),
    pub(crate) client: (String, String),
}

pub(crate) fn certificates() -> Certificates {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let issue = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &ca).unwrap().pem(), key.serialize_pem())
    };
    Certificates {
        server: issue(&["localhost", "127.0.0.1"]),
        client: issue(&["backup"]),
        ca: ca.pem(),
    }
}

pub(crate) fn with_tls(mut setup: Setup, certificates: &Certificates) -> Setup {
    let (certificate, key) = &certificates.server;
    setup
        .files
        .push(("server.pem".to_owned(), format!("{key}{certificate}")));
    setup.files.push(("ca.pem".to_owned(), certificates.ca.clone()));
    setup.config += "secureClientPort={port}\nsecureClientPortAddress=127.0.0.1\n\
        serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n\
        ssl.keyStore.location={dir}/server.pem\nssl.keyStore.type=PEM\n\
        ssl.trustStore.location={dir}/ca.pem\nssl.trustStore.type=PEM\nssl.clientAuth=need\n";
    setup
}

/// Where the daemon finds certificates.
pub(crate) fn certificate_files(certificates: &Certificates, with_identity: bool) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("ca.crt", &certificates.ca);
    if with_identity {
        write("tls.crt", &certificates.client.0);
        write("tls.key", &certificates.client.1);
    }
    directory
}
