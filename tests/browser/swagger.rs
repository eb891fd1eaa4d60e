//! Swagger UI, over the document that the server hands out.

use zk_backup_testkit::{PASSWORD, USER};

use crate::kit::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_is_shown_and_tried_in_the_browser() {
    let site = Site::start().await;
    site.plant(&[("/app", b"")]).await;
    let id = site.back_up();
    let address = &site.daemon.address;
    site.browser
        .open(&format!(
            "http://{USER}:{PASSWORD}@{address}/swagger-ui/#/Backups/listBackups"
        ))
        .unwrap();
    // The operation of the address is unfolded.
    site.browser
        .wait_for_text("Finished ones, failed ones too")
        .unwrap();
    site.browser
        .wait_for_text("Take them, find them, bring them back.")
        .unwrap();
    site.browser.press("Try it out").unwrap();
    site.browser.wait_for_text("Execute").unwrap();
    site.browser.press("Execute").unwrap();
    site.browser.wait_for_text(&id).unwrap();
    site.assert_no_complaints(&[]);
}
