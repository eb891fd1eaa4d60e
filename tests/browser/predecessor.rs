//! A backup that the predecessor left.

use std::fs::{self, File};
use std::io::Write as _;

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::kit::Site;

const ID: &str = "20240105T100000";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_did_not_keep_is_said_and_not_shown_as_a_number() {
    let site = Site::start().await;
    let left = site.storage.path().join(ID);
    fs::create_dir(&left).unwrap();
    fs::write(left.join(".metrics"), r#"{"exit_code": 0, "spent_time": 9}"#).unwrap();
    let mut zip = ZipWriter::new(File::create(left.join("znodes.zip")).unwrap());
    zip.start_file("shop/content", SimpleFileOptions::default())
        .unwrap();
    zip.write_all(b"open").unwrap();
    zip.finish().unwrap();

    site.sign_in();
    site.show(&format!("backup?id={ID}&path=/shop"));
    site.browser
        .wait_for_text("The backup has neither its ACL, nor its versions and times.")
        .unwrap();
    let shown = site
        .browser
        .run("return document.querySelector('.znode').innerText", &[])
        .unwrap();
    let shown = shown.as_str().unwrap();
    assert!(
        shown.contains("4 B") && !shown.contains("1970") && !shown.contains("version 0"),
        "{shown}"
    );
    site.assert_no_complaints(&[]);
}
