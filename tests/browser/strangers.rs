//! Other sites, and whoever may only look.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use zk_backup_testkit::Http;

use crate::kit::{READER, Site};

/// Serves this page to whoever asks, and answers its port.
fn other_site(page: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let page = page.clone();
            // A browser also connects for later, and says nothing.
            std::thread::spawn(move || {
                let _ = socket.read(&mut [0; 4_096]); // whatever it is, the answer is the page
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    page.len()
                );
                // Who went away needs no answer.
                let _ = socket.write_all((head + &page).as_bytes());
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_site_changes_nothing_with_the_credentials_of_the_browser() {
    let mut site = Site::start().await;
    site.sign_in();
    let ours = format!("http://{}", site.daemon.address);
    let page = format!(
        "<title>other</title><form method=post enctype=text/plain action='{ours}/backup'><button>Win</button></form>
         <script>Promise.allSettled(['/backup', '/evict'].map((path) => fetch('{ours}' + path, {{
            method: 'POST', mode: 'no-cors', credentials: 'include', body: '{{}}' }}))).then(() => {{ document.title = 'tried'; }});</script>"
    );
    let port = other_site(page);
    // Another port of the same host, and another host.
    for host in ["127.0.0.1", "localhost"] {
        site.browser.open(&format!("http://{host}:{port}/")).unwrap();
        site.browser
            .wait_for("return document.title === 'tried'", &[])
            .unwrap();
        site.browser.press("Win").unwrap();
        site.browser.wait_for_text("foreign_site").unwrap();
    }
    for path in ["/backup", "/evict"] {
        site.daemon.wait_for_line(&format!("POST {path} 403")).unwrap();
    }
    let jobs = site.daemon.http.get("/jobs").unwrap().json();
    assert_eq!(jobs["total"], 0, "{jobs}");
    // From the page itself the same is done.
    site.show("overview");
    site.browser.press("Back up now").unwrap();
    site.browser.wait_for_text("Look into it").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_looks_sees_everything_and_changes_nothing() {
    let site = Site::start().await;
    let browser = &site.browser;
    site.plant(&[("/config", b"seen")]).await;
    let id = site.back_up();
    let [(_, user), (_, password)] = READER;
    let reader = Http::new(&site.daemon.address).with_credentials(user, password);
    for path in ["/backup", "/restore", "/evict", "/terminate/x", "/verify"] {
        let answer = reader.post(path, "").unwrap();
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (403, &"read_only".into()),
            "{path}"
        );
    }

    site.sign_in_as(user, password);
    browser
        .wait_for_text("these credentials look, and change nothing")
        .unwrap();
    let parts = [
        ("overview", "Last success"),
        ("backups", "1 shown"),
        (&format!("backup?id={id}&path=/config"), "seen"),
        ("jobs", "Successful"),
        (&format!("diff?from={id}&to=live"), "Nothing differs."),
        ("history?path=/config", "there in the first backup"),
        ("retention", "The plan is shown to credentials"),
    ];
    for (part, text) in parts {
        site.show(part);
        browser.wait_for_text(text).unwrap();
        let offered =
            "return [...document.querySelectorAll('main button, main a')].map((one) => one.textContent)";
        let offered = browser.run(offered, &[]).unwrap();
        for change in ["Back up now", "Pin", "Restore…", "Verify", "Cancel", "Evict now…"] {
            let offered = offered.as_array().unwrap();
            assert!(!offered.contains(&change.into()), "{part}: {offered:?}");
        }
    }
    site.show("restore");
    browser
        .wait_for_text("a restore needs those of the operator")
        .unwrap();
    let asked = "return fetch('../backup', { method: 'POST' }).then((answer) => answer.text())";
    let answer = browser.run(asked, &[]).unwrap();
    assert!(answer.as_str().unwrap().contains("read_only"), "{answer}");
    let jobs = site.daemon.http.get("/jobs").unwrap().json();
    assert_eq!(jobs["total"], 1, "{jobs}");
    site.assert_no_complaints(&["/backup "]);
}
