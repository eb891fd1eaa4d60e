//! What the overview tells at a glance.

use crate::kit::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_next_backup_comes_and_what_the_last_test_found_is_told() {
    let site = Site::start_with(&[("BACKUP_SCHEDULE", "30 4 1 1 *")]).await;
    let browser = &site.browser;
    site.plant(&[("/config", b"1")]).await;
    let [first, second] = [(); 2].map(|()| site.back_up());
    site.sign_in();
    let card = |title: &str, text: &str| {
        let told = "const [title, text] = arguments;
            const card = [...document.querySelectorAll('.card')].find((card) => card.querySelector('h2').textContent === title);
            return card?.innerText.includes(text)";
        browser.wait_for(told, &[title.into(), text.into()]).unwrap();
    };
    card("Next run", "-01-01 04:30:00 UTC (in ");
    card("Next run", "30 4 1 1 * (UTC)");
    card("Last restore test", "No backup was restored for a test.");

    // Seen at once, although the overview asks seldom for what it knows.
    let test = format!("/restoretest/{first}");
    assert_eq!(site.daemon.do_job(&test, "").unwrap().1.status, 200);
    let exact = |id: &str| {
        let told = site.daemon.describe(id).unwrap();
        format!("exact: {} znodes compared", told["tested"]["znodes"])
    };
    card("Last restore test", &first);
    card("Last restore test", &exact(&first));

    // Begun in the page.
    site.show(&format!("backup?id={second}"));
    browser.press("Restore for a test").unwrap();
    let done = "return document.querySelector('.result')?.innerText.includes('Successful')";
    browser.wait_for(done, &[]).unwrap();
    browser.press("Overview").unwrap();
    card("Last restore test", &second);
    card("Last restore test", &exact(&second));
    site.assert_no_complaints(&[]);
}
