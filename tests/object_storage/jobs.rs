//! Jobs in a bucket, and the lease of who does them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backup_engine::job_queue::{JobStore, Lease, LeaseTiming, ObjectJobs, conformance};
use zk_backup_testkit::S3Server;

use crate::config;

/// Those below `prefix`, as another process opens them. A machine that is busy makes no call fail.
fn open(server: &S3Server, prefix: &str) -> ObjectJobs {
    let objects = config(server).objects().unwrap();
    ObjectJobs::open_within(&(objects as _), prefix, Duration::from_secs(600)).unwrap()
}

#[test]
fn jobs_in_a_bucket_conform() {
    let (server, count) = (S3Server::start().unwrap(), AtomicUsize::new(0));
    conformance::all(|| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        open(&server, &format!("some/where/{number}"))
    });
}

#[test]
fn jobs_in_a_bucket_outlive_the_process() {
    let server = S3Server::start().unwrap();
    conformance::what_is_told_outlives_the_process(|| open(&server, "some/where"));
}

#[test]
fn no_two_claims_of_several_processes_get_the_same_job() {
    let server = S3Server::start().unwrap();
    let stores = [(); 3].map(|()| open(&server, "some/where"));
    conformance::no_two_claims_get_the_same_job(&stores.each_ref().map(|jobs| jobs as &dyn JobStore));
}

#[tokio::test]
async fn one_of_two_holds_the_lease_of_a_bucket_until_it_gives_it_away() {
    let server = S3Server::start().unwrap();
    let lease = |name: &str| {
        let objects = config(&server).objects().unwrap();
        // Time stands still: nothing runs out.
        let uptime = Arc::new(|| Duration::from_secs(100));
        Lease::new(objects, "some/where", name, "", LeaseTiming::default(), uptime)
    };
    let (one, two) = (lease("one"), lease("two"));
    for term in 1..=20 {
        let (first, second) = tokio::join!(one.acquire(), two.acquire());
        let (holds, waits, name) = match (first.unwrap(), second.unwrap()) {
            (true, false) => (&one, &two, "one"),
            (false, true) => (&two, &one, "two"),
            both => panic!("who holds it: {both:?}"),
        };
        assert!(holds.renew().await.unwrap());
        assert!(!waits.acquire().await.unwrap());
        let seen = waits.holder().unwrap();
        assert_eq!((&*seen.name, seen.term), (name, term));
        holds.release().await.unwrap();
    }
}
