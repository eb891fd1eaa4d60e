//! Narrow windows, the keyboard, names for those who do not see, light and dark.

use serde_json::{Value, json};
use zk_backup_testkit::Browser;

use crate::kit::Site;

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

/// Texts that stand out too little from what is behind them, with how much: WCAG asks for 4.5.
const FAINT: &str = "const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
    const light = (color) => numbers(color).slice(0, 3).map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
      .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
    const paper = (element) => {
      for (let one = element; one; one = one.parentElement) {
        const color = getComputedStyle(one).backgroundColor;
        if (numbers(color)[3] !== 0) return color;
      }
      return 'rgb(255, 255, 255)';
    };
    const faint = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const element = texts.currentNode.parentElement;
      if (!texts.currentNode.data.trim() || !element.checkVisibility() || element.disabled) continue;
      const [one, other] = [light(getComputedStyle(element).color), light(paper(element))].sort((a, b) => b - a);
      const contrast = (one + 0.05) / (other + 0.05);
      if (contrast < 4.5) faint.push([texts.currentNode.data, contrast]);
    }
    return faint;";

/// As who has chosen `light` or `dark` sees the page.
fn prefer(browser: &Browser, scheme: &str) {
    let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
    browser.command("Emulation.setEmulatedMedia", &features).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_part_fits_a_telephone_and_has_names_for_what_can_be_used() {
    let site = Site::start().await;
    let browser = &site.browser;
    let long = format!("/{}", "a-name-without-a-place-to-break".repeat(8));
    site.plant(&[("/config", b"1"), (&long, b"2")]).await;
    let id = site.back_up();
    site.sign_in();
    browser.resize(360, 740).unwrap();
    let parts = [
        ("overview", "Last success"),
        ("backups", "1 shown"),
        (&format!("backup?id={id}&path=/config"), "Permissions"),
        (&format!("diff?from={id}&to=live"), "Nothing differs."),
        (&format!("history?path={long}"), "there in the first backup"),
        ("restore", "Consistency"),
        ("jobs", "Successful"),
        (&format!("job?id={id}"), "Look into it"),
        ("retention", "1 stay"),
    ];
    for (part, text) in parts {
        site.show(part);
        browser.wait_for_text(text).unwrap();
        site.assert_fits(360, part);
        for scheme in ["light", "dark"] {
            prefer(browser, scheme);
            assert_eq!(browser.run(FAINT, &[]).unwrap(), json!([]), "{part}, {scheme}");
        }
        let nameless = "return [...document.querySelectorAll('input, select, textarea, button, a, progress, svg[role], [role=tree]')].filter(
            (element) => !element.labels?.length && !element.getAttribute('aria-label') && !element.textContent.trim()
        ).map((element) => element.outerHTML)";
        assert_eq!(browser.run(nameless, &[]).unwrap(), json!([]), "{part}");
        let landmarks =
            "return ['main', 'nav[aria-label]', 'h1', '[aria-live]', 'a[aria-current=page]'].filter(
            (landmark) => document.querySelectorAll(landmark).length !== 1)";
        assert_eq!(browser.run(landmarks, &[]).unwrap(), json!([]), "{part}");
    }
    site.assert_no_complaints(&[]);
}

/// What takes more lines than it should: words of tables, and badges, ids and buttons there.
const BROKEN: &str =
    "const lines = (range) => new Set([...range.getClientRects()].map(({ top }) => Math.round(top))).size;
    const broken = [];
    for (const cell of document.querySelectorAll('main table th, main table td')) {
        const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
        while (texts.nextNode()) {
            const text = texts.currentNode;
            // A path or a list of names has no bounds, and may be broken.
            if (text.parentElement.closest('code, .holds, .short')) continue;
            for (const { 0: word, index } of text.data.matchAll(/[^\\s/-]+/g)) {
                const range = document.createRange();
                range.setStart(text, index);
                range.setEnd(text, index + word.length);
                if (lines(range) > 1) broken.push(word);
            }
        }
    }
    for (const one of document.querySelectorAll('main .badge, main .id, main td button')) {
        const range = document.createRange();
        range.selectNodeContents(one);
        if (lines(range) > 1) broken.push(one.textContent);
    }
    return broken";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_word_of_a_table_is_broken_where_it_is_narrow() {
    let site = Site::start().await;
    let browser = &site.browser;
    let long = "a-name-without-a-place-to-break".repeat(5);
    site.plant(&[("/config", b"1"), (&format!("/{long}"), b"2")])
        .await;
    site.back_up();
    let some = json!({ "dbs": [long, "config"] }).to_string();
    assert_eq!(site.daemon.do_job("/backup", &some).unwrap().1.status, 200);
    site.client.set_data("/config", b"2", None).await.unwrap();
    site.back_up();
    // A job's id of its own, and one with a message.
    assert_eq!(site.daemon.do_job("/verify", "").unwrap().1.status, 200);
    let failed = json!({ "vault": "latest", "dbs": ["nowhere"] }).to_string();
    assert_eq!(site.daemon.do_job("/restore", &failed).unwrap().1.status, 500);
    site.sign_in();
    for width in [390, 768, 1200] {
        browser.resize(width, 800).unwrap();
        for (part, there) in [
            ("backups", "3 shown"),
            ("jobs", "Successful"),
            ("history?path=/config", "Compare"),
            ("retention", "stays"),
        ] {
            site.show(part);
            browser.wait_for_text(there).unwrap();
            let broken = browser.run(BROKEN, &[]).unwrap();
            assert_eq!(broken, json!([]), "{part} at {width}");
            site.assert_fits(width, part);
        }
    }
    site.assert_no_complaints(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keyboard_is_enough_and_night_is_dark() {
    let site = Site::start().await;
    let browser = &site.browser;
    site.plant(&[("/config", b"1")]).await;
    site.sign_in();
    browser.keys(TAB).unwrap();
    let on = |what: &str| {
        browser
            .run(&format!("return document.activeElement.{what}"), &[])
            .unwrap()
    };
    assert_eq!(on("id"), "skip");
    browser.keys(ENTER).unwrap();
    assert_eq!(on("id"), "main");
    browser.keys(TAB).unwrap();
    assert_eq!(on("textContent"), "Back up now");
    let seen = "return getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(
        browser.run(seen, &[]).unwrap(),
        "solid",
        "where the focus is can be seen"
    );
    browser.keys(ENTER).unwrap();
    browser.wait_for_text("Look into it").unwrap();
    // What has become of it is told to those who do not see it.
    browser
        .wait_for(
            "return document.querySelector('[aria-live]')?.textContent.includes('Successful')",
            &[],
        )
        .unwrap();

    let paper = || {
        browser
            .run("return getComputedStyle(document.body).backgroundColor", &[])
            .unwrap()
    };
    let scheme = |name: &str| {
        prefer(browser, name);
        paper()
    };
    let white: Value = "rgb(255, 255, 255)".into();
    assert_eq!(scheme("light"), white);
    assert_ne!(scheme("dark"), white);
    site.assert_no_complaints(&[]);
}
