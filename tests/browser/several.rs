//! Several backups: which of them are shown, and what differs between two.

use std::fs;

use serde_json::json;
use zookeeper_client::{Acl, Acls, AuthId, CreateMode, Permission};

use crate::kit::Site;

/// Takes what a choice offers, by the label of the choice.
fn choose(site: &Site, label: &str, value: &str) {
    let option = format!("//p[label[.='{label}']]//option[@value='{value}']");
    site.browser.click(&option).unwrap();
}

/// Chooses a znode of those that differ.
fn pick(site: &Site, name: &str) {
    let row = format!("//*[@role='treeitem'][.//*[@class='name' and .='{name}']]");
    site.browser.click(&row).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_backups_are_compared_down_to_their_lines() {
    let site = Site::start().await;
    let browser = &site.browser;
    site.plant(&[
        ("/config", b""),
        ("/config/gone", b"was there"),
        ("/config/hosts", b"a\nb\nc"),
        ("/config/open", b"1"),
    ])
    .await;
    let first = site.back_up();
    site.client.delete("/config/gone", None).await.unwrap();
    site.client
        .set_data("/config/hosts", b"a\nB\nc\nd", None)
        .await
        .unwrap();
    site.client
        .set_acl("/config/open", &Acls::anyone_read(), None)
        .await
        .unwrap();
    site.plant(&[("/config/new", b"came later")]).await;
    let second = site.back_up();
    // Neither of them has this.
    site.client.set_data("/config/hosts", b"now", None).await.unwrap();

    site.sign_in();
    site.show("diff");
    choose(&site, "From", &first);
    choose(&site, "To", &second);
    browser.press("Compare").unwrap();
    for what in ["1 added", "1 removed", "1 with other data", "1 with another ACL"] {
        browser.wait_for_text(what).unwrap();
    }
    let rows =
        "return [...document.querySelectorAll('.row:not(.same)')].map((row) => row.textContent).sort()";
    assert_eq!(
        browser.run(rows, &[]).unwrap(),
        json!([
            "+newadded",
            "~hostsother data",
            "~openanother ACL",
            "−goneremoved"
        ])
    );
    let lines = "return [...document.querySelectorAll('.lines')].map((lines) => lines.textContent)[0]";
    pick(&site, "hosts");
    assert_eq!(browser.wait_for(lines, &[]).unwrap(), "  a\n- b\n+ B\n  c\n+ d\n");
    pick(&site, "open");
    let acls = format!(
        "return document.querySelector('.detail h2')?.textContent === '/config/open' && (() => {{ {lines} }})()"
    );
    assert_eq!(
        browser.wait_for(&acls, &[]).unwrap(),
        "- world:anyone:rwcda\n+ world:anyone:r\n"
    );
    for (name, what, data) in [
        ("gone", "It is gone. It was:", "was there"),
        ("new", "It is new:", "came later"),
    ] {
        pick(&site, name);
        browser.wait_for_text(what).unwrap();
        browser.wait_for_text(data).unwrap();
    }
    site.assert_no_complaints(&[]);
}

/// A transactional backup of the predecessor.
const LEFT: &str = "20240105T100000";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_backups_those_are_shown_that_are_asked_for() {
    let site = Site::start().await;
    let browser = &site.browser;
    site.plant(&[("/config", b"1"), ("/other", b"2")]).await;
    let take = |body: &str, status| {
        let (id, state) = site.daemon.do_job("/backup", body).unwrap();
        assert_eq!(state.status, status, "{}", state.text);
        id
    };
    let some = take(r#"{"dbs": ["config"]}"#, 200);
    let failed = take(r#"{"dbs": ["gone"]}"#, 500);
    let good = take("", 200);
    let pinned = take("", 200);
    let pin = format!("/listbackups/{pinned}/pin");
    assert_eq!(site.daemon.http.post(&pin, "").unwrap().status, 200);
    let damaged = take("", 200);
    fs::write(site.storage.path().join(&damaged).join("archive.zst"), "").unwrap();
    let theirs = [Acl::new(Permission::ALL, AuthId::new("digest", "other:x1="))];
    let hidden = CreateMode::Persistent.with_acls(Acls::new(&theirs));
    site.client.create("/hidden", b"", &hidden).await.unwrap();
    let partial = take("", 500);
    let left = site.storage.path().join(LEFT);
    fs::create_dir(&left).unwrap();
    fs::write(left.join(".metrics"), r#"{"exit_code": 0, "spent_time": 9}"#).unwrap();
    fs::write(left.join("snapshot.0"), "x").unwrap();

    site.sign_in();
    site.show("backups");
    let shown = "return JSON.stringify([...document.querySelectorAll('main tbody .id')].map((id) => id.textContent)) === arguments[0]";
    let shows = |ids: &[&str]| {
        browser.wait_for(shown, &[json!(ids).to_string().into()]).unwrap();
    };
    let [some, failed, good, pinned, damaged, partial] =
        [&*some, &*failed, &*good, &*pinned, &*damaged, &*partial];
    // The newest first.
    for (kind, ids) in [
        ("good", &[pinned, good, some, LEFT][..]),
        ("bad", &[partial, damaged, failed]),
        ("pinned", &[pinned]),
        ("full", &[partial, damaged, pinned, good, LEFT]),
        ("granular", &[failed, some]),
        ("transactional", &[LEFT]),
        ("", &[partial, damaged, pinned, good, failed, some, LEFT]),
    ] {
        choose(&site, "Show", kind);
        shows(ids);
    }
    // Where two are chosen, each says how it is, and the newest good one is taken.
    site.show("diff");
    for id in [failed, partial, damaged] {
        let told = "const told = [...document.querySelectorAll('main option')].filter((option) => option.value === arguments[0]);
            return told.length === 2 && told.every((option) => option.textContent.startsWith(`${arguments[0]}, `))";
        browser.wait_for(told, &[id.into()]).unwrap();
    }
    let first = browser.run("return document.querySelector('main select').value", &[]);
    assert_eq!(first.unwrap(), pinned);
    site.show("backups");
    // Both must be so.
    choose(&site, "Show", "granular");
    browser.type_into("//input[@type='search']", "CONFIG").unwrap();
    shows(&[some]);
    site.assert_no_complaints(&[]);
}
