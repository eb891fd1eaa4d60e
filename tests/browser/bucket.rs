//! Backups in a bucket.

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
