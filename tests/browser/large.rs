//! A znode with 100,000 children.

use crate::kit::Site;

const CHILDREN: usize = 100_000;
const END: &str = "\u{e010}";
const DOWN: &str = "\u{e015}";
const RIGHT: &str = "\u{e014}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_children_as_there_are_cost_as_many_rows_as_are_seen() {
    let site = Site::start().await;
    let browser = &site.browser;
    site.plant_many(CHILDREN).await;
    let id = site.back_up();

    site.sign_in();
    site.show(&format!("backup?id={id}"));
    browser.wait_for_text("100,000 below").unwrap();
    browser
        .run("document.querySelector('.rows').focus()", &[])
        .unwrap();
    browser.keys(DOWN).unwrap();
    browser.keys(RIGHT).unwrap();
    let open = "return document.querySelector('.row[aria-setsize=\"100000\"] .name') !== null";
    browser.wait_for(open, &[]).unwrap();
    let rows = "return document.querySelectorAll('.row').length";
    assert!(browser.run(rows, &[]).unwrap().as_u64().unwrap() < 100);
    browser.keys(END).unwrap();
    let last = "return [...document.querySelectorAll('.row[aria-posinset=\"100000\"] .name')].map((name) => name.textContent)[0]";
    let last = browser.wait_for(last, &[]).unwrap();
    assert!(last.as_str().unwrap().starts_with('n'), "{last}");
    assert!(browser.run(rows, &[]).unwrap().as_u64().unwrap() < 100);
    // What was not in sight was not asked for.
    let asked = "return performance.getEntriesByType('resource').filter((entry) => entry.name.includes('/znodes')).length";
    let asked = browser.run(asked, &[]).unwrap();
    assert!(asked.as_u64().unwrap() < 10, "{asked}");
    site.assert_no_complaints(&[]);
}
