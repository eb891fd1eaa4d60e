//! Answers that come late, that are others by then, or that do not come.

use zookeeper_client::{Acl, Acls, AuthId, CreateMode, Permission};

use crate::kit::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_answer_does_not_choose_the_backup() {
    let site = Site::start().await;
    let browser = &site.browser;
    site.plant(&[("/config", b"")]).await;
    let [first, second] = [(); 2].map(|()| site.back_up());
    site.sign_in();
    site.show(&format!("restore?id={second}"));
    browser.wait_for_text("Consistency").unwrap();
    let hold = "const [held, id] = arguments; const real = window.fetch; const gate = new Promise((open) => { window.open_gate = open; });
        window.fetch = async (url, init) => {
            const answer = await real(url, init);
            if (String(url).endsWith(held)) await gate;
            return answer;
        };
        window.choose = (id) => {
            const backups = document.querySelector('main select');
            backups.value = id;
            backups.dispatchEvent(new Event('change'));
        };
        window.choose(held); window.choose(id);";
    browser.run(hold, &[(&*first).into(), (&*second).into()]).unwrap();
    browser.wait_for_text("Consistency").unwrap();
    browser.run("window.open_gate()", &[]).unwrap();
    for text in [
        "To where it was.",
        "Only what is missing",
        "as in the backup already",
    ] {
        browser.press("Next").unwrap();
        browser.wait_for_text(text).unwrap();
    }
    browser.press("Next").unwrap();
    browser.wait_for_text("To go on, type the id").unwrap();
    let shown = browser.text().unwrap();
    assert!(shown.contains(&second) && !shown.contains(&first), "{shown}");
    browser.run(LOST, &["/restore".into()]).unwrap();
    browser.type_into("//input[@type='text']", &second).unwrap();
    browser.click("//form//button[.='Restore']").unwrap();
    browser
        .wait_for_text("It may have accepted this all the same. Look at Jobs")
        .unwrap();
    site.assert_no_complaints(&[]);
}

/// The answer to this path is lost.
const LOST: &str = "const [lost] = arguments; const real = window.fetch;
    window.fetch = async (url, init) => {
        const answer = await real(url, init);
        if (new URL(url).pathname === lost) throw new TypeError('network');
        return answer;
    };";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_removes_nothing_but_what_was_shown() {
    let site = Site::start().await;
    let browser = &site.browser;
    site.sign_in();
    // What would go is another than before from the second plan on.
    let plans = "const real = window.fetch; window.sent = 0; let asked = 0;
        const plan = (id) => [{ id, action: 'evict', reason: 'too old' }];
        window.fetch = async (url, init) => {
            const { pathname, search } = new URL(url);
            if (pathname !== '/evict') return real(url, init);
            if (search === '') window.sent += 1;
            else asked += 1;
            return new Response(JSON.stringify(search === '' ? 'Ok' : plan(asked === 1 ? '20200101T000000' : '20210101T000000')));
        };
        location.hash = '#/retention';";
    browser.run(plans, &[]).unwrap();
    browser.wait_for_text("20200101T000000").unwrap();
    let on = || {
        browser
            .run("return document.activeElement.textContent", &[])
            .unwrap()
    };
    browser.press("Evict now…").unwrap();
    assert_eq!(on(), "Leave them");
    browser.press("Leave them").unwrap();
    assert_eq!(on(), "Evict now…");
    browser.press("Evict now…").unwrap();
    browser.press("Remove 1 backup for good").unwrap();
    browser
        .wait_for_text("The plan is another now, so nothing was removed.")
        .unwrap();
    browser.wait_for_text("20210101T000000").unwrap();
    let new_plan = on().as_str().unwrap().starts_with("The plan is another now");
    assert!(new_plan, "its button is gone: {}", on());
    assert_eq!(browser.run("return window.sent", &[]).unwrap(), 0);
    browser.press("Evict now…").unwrap();
    browser.press("Remove 1 backup for good").unwrap();
    browser.wait_for("return window.sent === 1", &[]).unwrap();

    // The plan of the policies that are set comes after that of others, which were tried meanwhile.
    let late = "const before = window.fetch; const gate = new Promise((open) => { window.open_gate = open; });
        window.fetch = async (url, init) => {
            const { pathname } = new URL(url);
            if (pathname === '/evictionpolicy' && init.method === 'POST') return new Response(JSON.stringify([{ id: '20190101T000000', action: 'keep', reason: 'tried' }]));
            const answer = await before(url, init);
            if (pathname !== '/evict') return answer;
            await gate;
            setTimeout(() => { window.is_late = true; }, 500);
            return answer;
        };
        location.hash = '#/overview';";
    browser.run(late, &[]).unwrap();
    browser.wait_for_text("Last success").unwrap();
    browser.run("location.hash = '#/retention'", &[]).unwrap();
    browser
        .wait_for_text("Another policy is only tried here")
        .unwrap();
    let tried = "document.querySelector('main form input').value = '5d/delete'; document.querySelector('main form').requestSubmit();";
    browser.run(tried, &[]).unwrap();
    browser.wait_for_text("20190101T000000").unwrap();
    browser.run("window.open_gate()", &[]).unwrap();
    browser.wait_for("return window.is_late", &[]).unwrap();
    let shown = browser.text().unwrap();
    assert!(
        shown.contains("20190101T000000") && !shown.contains("Evict now"),
        "{shown}"
    );
    site.assert_no_complaints(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_difference_is_left_out_between_two_pages() {
    let site = Site::start().await;
    let browser = &site.browser;
    site.plant(&[("/config", b"")]).await;
    let id = site.back_up();
    site.sign_in();
    // Two differences a page. But for the first page, answers wait until they are let through.
    let pages = "const real = window.fetch; window.waiting = []; window.paths = ['/a', '/b', '/c', '/d', '/e'];
        window.fetch = async (url, init) => {
            const { pathname, searchParams } = new URL(url);
            if (pathname !== '/diff') return real(url, init);
            const at = Number(searchParams.get('offset'));
            if (at > 0) await new Promise((open) => window.waiting.push(open));
            const differences = window.paths.slice(at, at + 2).map((path) => ({ path, change: 'added' }));
            const counts = { added: 5, removed: 0, data_changed: 0, acl_changed: 0, unknown: 0, unknown_paths: [] };
            return new Response(JSON.stringify({ ...counts, differences, within: ['/config'] }));
        };
        window.more = () => {
            const more = [...document.querySelectorAll('main button')].find((button) => button.textContent.startsWith('Show the next'));
            more.click();
            more.click();
            window.waiting.splice(0).forEach((open) => open());
        };
        location.hash = `#/diff?from=${arguments[0]}&to=${arguments[0]}`;";
    browser.run(pages, &[(&*id).into()]).unwrap();
    let shows = |names: &str| {
        let shown = "return [...document.querySelectorAll('.row .name')].map((name) => name.textContent).join('') === arguments[0]";
        browser.wait_for(shown, &[names.into()]).unwrap();
    };
    shows("/ab");
    browser
        .wait_for_text("Only what both are of was compared: /config.")
        .unwrap();
    for names in ["/abcd", "/abcde"] {
        browser.run("window.more()", &[]).unwrap();
        shows(names);
    }
    // What lives is compared anew for each page, and may be another by then.
    let live = "location.hash = `#/diff?from=${arguments[0]}&to=live`";
    browser.run(live, &[(&*id).into()]).unwrap();
    shows("/ab");
    browser.run("window.more()", &[]).unwrap();
    shows("/abc");
    browser
        .run("window.paths.unshift('/new'); window.more()", &[])
        .unwrap();
    browser.wait_for_text("compare again").unwrap();
    shows("/abc");
    site.assert_no_complaints(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_read_is_not_shown_as_empty() {
    let site = Site::start().await;
    let browser = &site.browser;
    let theirs = [Acl::new(Permission::ALL, AuthId::new("digest", "other:x1="))];
    let hidden = CreateMode::Persistent.with_acls(Acls::new(&theirs));
    site.client.create("/hidden", b"theirs", &hidden).await.unwrap();
    site.plant(&[("/config", b""), ("/config/topics", b"")]).await;
    let (id, _) = site.daemon.do_job("/backup", "").unwrap();
    let some = site
        .daemon
        .do_job("/backup", r#"{"dbs": ["config/topics"]}"#)
        .unwrap()
        .0;
    site.sign_in();
    site.show(&format!("backup?id={id}&path=/hidden"));
    browser.wait_for_text("It could not be read").unwrap();
    let shown = browser.text().unwrap();
    assert!(!shown.contains("Permissions"), "{shown}");
    site.show(&format!("backup?id={some}&path=/config"));
    browser.wait_for_text("It was not asked for").unwrap();
    site.show(&format!("diff?from={id}&to=live"));
    browser.wait_for_text("Nothing is known to differ.").unwrap();
    site.assert_no_complaints(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_comes_late_does_not_take_the_place_of_a_newer_one() {
    let site = Site::start().await;
    let browser = &site.browser;
    site.plant(&[("/config", b"")]).await;
    site.back_up();
    site.sign_in();
    site.show("backups");
    browser.wait_for_text("1 shown").unwrap();
    let hold = "const real = window.fetch; const gate = new Promise((open) => { window.open_gate = open; });
        window.held = 0;
        window.fetch = async (url, init) => {
            const isList = new URL(url).pathname === '/listbackups';
            const isFirst = isList && window.held === 0;
            if (isFirst) window.held = 1;
            const answer = await real(url, init);
            if (!isFirst) return answer;
            window.held = 2;
            await gate;
            setTimeout(() => { window.held = 3; }, 500);
            return answer;
        };";
    browser.run(hold, &[]).unwrap();
    site.back_up();
    browser.wait_for("return window.held === 2", &[]).unwrap();
    site.back_up();
    browser.wait_for_text("3 shown").unwrap();
    browser.run("window.open_gate()", &[]).unwrap();
    browser.wait_for("return window.held === 3", &[]).unwrap();
    assert!(browser.text().unwrap().contains("3 shown"));
    site.assert_no_complaints(&[]);
}
