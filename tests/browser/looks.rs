//! Narrow windows, the keyboard, names for those who do not see, light and dark.

use serde_json::{Value, json};

use crate::kit::Site;

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

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
        let wide = browser
            .run("return document.documentElement.scrollWidth", &[])
            .unwrap();
        assert!(wide.as_u64().unwrap() <= 360, "{part} is {wide} wide");
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
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": name }] });
        browser.command("Emulation.setEmulatedMedia", &features).unwrap();
        paper()
    };
    let white: Value = "rgb(255, 255, 255)".into();
    assert_eq!(scheme("light"), white);
    assert_ne!(scheme("dark"), white);
    site.assert_no_complaints(&[]);
}
