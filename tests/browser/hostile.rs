//! Znodes whose names and data are made to be taken for something else.

use crate::kit::Site;

const IMAGE: &str = "<img src=x onerror=\"document.title='owned';alert(1)\">";
/// No name has a slash; this one looks like it.
const SCRIPT: &str = "<script>document.title='owned'<\u{2215}script>";
/// Turns what comes after it round.
const TURNED: &str = "safe\u{202e}gpj.exe";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_znodes_hold_is_text_and_nothing_else() {
    let site = Site::start().await;
    let browser = &site.browser;
    let [image, script, turned] = [IMAGE, SCRIPT, TURNED].map(|name| format!("/{name}"));
    let value = b"</script><script>alert(1)</script><img src=x onerror=alert(1)>\0\x1b[2J";
    site.plant(&[
        (&*image, value),
        (&*script, b"\0\0\xff"),
        (&*turned, b"\xe2\x80\xaereverse"),
    ])
    .await;
    site.plant(&[(&format!("{image}/below"), b"{\"a\": \"<b>\"}")])
        .await;
    // Set out, this would have hundreds of megabytes.
    let deep = [b"[".repeat(17_000), b"]".repeat(17_000)].concat();
    site.plant(&[("/deep", &deep)]).await;
    let id = site.back_up();

    site.sign_in();
    site.show(&format!("backup?id={id}&path=/deep"));
    browser.wait_for_text("Show all of it").unwrap();
    browser.press("Hex").unwrap();
    browser.wait_for_text("00000000  5b 5b 5b 5b").unwrap();
    site.show(&format!("backup?id={id}"));
    let parts = "return [...document.querySelectorAll('.row .name')].map((name) => name.textContent)";
    browser.wait_for_text("<img src=x").unwrap();
    let names = browser.run(parts, &[]).unwrap();
    let names: Vec<_> = names
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|name| name.as_str())
        .collect();
    assert!(names.contains(&IMAGE) && names.contains(&SCRIPT), "{names:?}");
    assert!(
        names.contains(&"safe\\u{202e}gpj.exe"),
        "it is shown by its number: {names:?}"
    );
    browser
        .click("//*[@role='treeitem'][contains(., 'img src')]")
        .unwrap();
    browser
        .wait_for("return document.querySelector('.znode pre')", &[])
        .unwrap();
    browser.press("Text").unwrap();
    let shown = browser
        .run("return document.querySelector('.znode pre').textContent", &[])
        .unwrap();
    assert_eq!(
        shown, "</script><script>alert(1)</script><img src=x onerror=alert(1)>\\u{0}\\u{1b}[2J",
        "every byte is seen"
    );
    browser.press("Hex").unwrap();
    browser
        .wait_for_text("00000000  3c 2f 73 63 72 69 70 74")
        .unwrap();

    site.client.set_data(&image, b"<b>other</b>", None).await.unwrap();
    site.show(&format!("diff?from={id}&to=live"));
    browser
        .click("//*[@role='treeitem'][contains(., 'img src')]")
        .unwrap();
    browser.wait_for_text("+ <b>other</b>").unwrap();
    let path = "restore?id=latest&path=%2F%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E";
    site.show(path);
    browser.wait_for_text("Only these subtrees").unwrap();
    site.show("history?path=%2F%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E");
    browser.wait_for_text("None of these has it.").unwrap();
    site.show("backup?id=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E");
    browser.wait_for_text("not found").unwrap();

    let made = "return document.querySelectorAll('img, main script, iframe, b').length";
    assert_eq!(browser.run(made, &[]).unwrap(), 0, "no markup came of it");
    assert_eq!(
        browser.run("return document.title", &[]).unwrap(),
        "Backup · zk-backup"
    );
    // The last one asked for what is no id. An alert would have failed whatever came after it.
    site.assert_no_complaints(&["/listbackups/%3Cimg"]);
}

/// The page's policy holds even where the page itself would do wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_of_the_page_lets_nothing_in() {
    let site = Site::start().await;
    let browser = &site.browser;
    site.sign_in();
    let inline = "const made = document.createElement('script'); try { made.text = 'document.title = \"owned\"'; \
                  document.head.append(made); } catch (error) { return 'refused'; } return document.title;";
    assert_ne!(browser.run(inline, &[]).unwrap(), "owned");
    let markup =
        "try { document.body.innerHTML = '<p>x</p>'; return 'taken'; } catch (error) { return 'refused'; }";
    assert_eq!(browser.run(markup, &[]).unwrap(), "refused");
    let complaints = browser.complaints().unwrap();
    assert!(
        !complaints.is_empty(),
        "the browser says that it has refused something"
    );
}
