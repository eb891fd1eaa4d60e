//! Backups in a bucket.

use serde_json::json;
use zk_backup_testkit::{BUCKET, KEY_ID, KEY_SECRET, S3Server};

use crate::kit::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_overview_names_the_bucket_which_has_no_size() {
    let bucket = S3Server::start().unwrap();
    let url = bucket.url();
    let site = Site::start_with(&[
        ("S3_ENABLED", "true"),
        ("S3_URL", &url),
        ("S3_BUCKET", BUCKET),
        ("S3_KEY_ID", KEY_ID),
        ("S3_KEY_SECRET", KEY_SECRET),
    ])
    .await;
    site.plant(&[("/config", b"1")]).await;
    site.back_up();
    site.sign_in();
    let card = "const card = [...document.querySelectorAll('.card')].find((card) => card.querySelector('h2').textContent === 'Storage');
        return card?.innerText.includes('1 backup, ') && card.innerText";
    let told = site.browser.wait_for(card, &[]).unwrap();
    let told = told.as_str().unwrap();
    let health = site.daemon.http.get("/health").unwrap().json();
    let place = health["storage"]["where"].as_str().unwrap();
    assert!(told.contains(place), "{place}: {told}");
    assert!(!told.contains("free"), "{told}");
    let page = site.browser.text().unwrap();
    assert!(!page.contains("NaN") && !page.contains("undefined"), "{page}");
    site.assert_no_complaints(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_backup_says_in_which_of_several_storages_it_is() {
    let bucket = S3Server::start().unwrap();
    let aliases = tempfile::tempdir().unwrap();
    let archive = json!({
        "bucketName": BUCKET, "s3Url": bucket.url(), "accessKeyId": KEY_ID, "accessKeySecret": KEY_SECRET, "region": "us-east-1",
    });
    let file = aliases.path().join("s3_aliases.json");
    std::fs::write(file, json!({ "archive": archive }).to_string()).unwrap();
    let directory = aliases.path().to_str().unwrap();
    let site = Site::start_with(&[("S3_ALIASES_USED", "true"), ("ALIASES_PATH", directory)]).await;
    site.plant(&[("/config", b"1")]).await;
    let usual = site.back_up();
    let body = r#"{"storageName": "archive", "blobPath": "p", "databases": ["config"]}"#;
    let queued = site.daemon.http.post("/api/v1/backup", body).unwrap().json();
    let archived = queued["backupId"].as_str().unwrap();
    site.daemon.wait_for_job(archived).unwrap();
    site.sign_in();
    site.show("backups");
    let row = "const [id] = arguments; const row = [...document.querySelectorAll('tbody tr')].find((row) => row.innerText.includes(id));
        return row?.innerText";
    let told = |id: &str| {
        let told = site.browser.wait_for(row, &[id.into()]).unwrap();
        told.as_str().unwrap().to_owned()
    };
    assert!(told(archived).contains("in archive"), "{}", told(archived));
    assert!(told(&usual).contains("in default"), "{}", told(&usual));
    site.show(&format!("backup?id={archived}"));
    let fact = "return [...document.querySelectorAll('dt')].find((name) => name.innerText === 'Storage')?.nextElementSibling.innerText";
    assert_eq!(site.browser.wait_for(fact, &[]).unwrap(), "archive");
    site.assert_no_complaints(&[]);
}
