//! What `docs/TUTORIAL.md` has done in the browser, after all that it has typed before: by the words that stand there.

use std::time::Duration;

use zk_backup_testkit::{Browser, Distribution, Http, Walk, ZooKeeper, blocks};
use zookeeper_client::Client;

use crate::kit::turn;

const TUTORIAL: &str = include_str!("../../docs/TUTORIAL.md");
const SECTION: &str = "## 6. The same in a browser\n";

/// The words of a text between two marks, in their order: what the page says is `*emphasised*`, what is typed or chosen `quoted`.
struct Words(Vec<String>);

impl Words {
    fn between(mark: char, text: &str) -> Self {
        let mut words: Vec<_> = text.split(mark).skip(1).step_by(2).map(str::to_owned).collect();
        words.reverse();
        Self(words)
    }

    fn next(&mut self) -> String {
        self.0.pop().expect("the tutorial does not name it")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_znode_is_looked_at_and_restored_as_the_tutorial_says() {
    let _turn = turn().await;
    let zookeeper = ZooKeeper::start(&Distribution::locate().unwrap()).unwrap();
    let connector = Client::connector().with_session_timeout(Duration::from_secs(30));
    let outside = connector.connect(&zookeeper.address()).await.unwrap();
    let prices = || async { outside.get_data("/shop/prices").await.unwrap().0 };
    let place = tempfile::tempdir().unwrap();
    let programs = [
        env!("CARGO_BIN_EXE_cli-under-test"),
        env!("CARGO_BIN_EXE_daemon-under-test"),
    ];
    let instead = vec![("localhost:2181", zookeeper.address())];
    let walk = Walk::new(place.path(), programs, instead);
    walk.install_zookeeper_client();

    // What is typed before, and what happens then.
    let all = blocks(TUTORIAL);
    let typed: Vec<_> = all.iter().filter(|(kind, _)| *kind == "sh tour").collect();
    walk.run(typed[0].1, "");
    let (_, start) = all.iter().find(|(kind, _)| *kind == "sh server").unwrap();
    let daemon = walk.server(start);
    daemon.health_with_zookeeper().unwrap();
    let url = format!("http://{}", daemon.address);
    let before: String = typed[1..].iter().map(|(_, text)| *text).collect();
    walk.run(&before, &url);
    let [accident, look] = all
        .iter()
        .filter(|(kind, _)| *kind == "sh browser")
        .map(|(_, text)| *text)
        .collect::<Vec<_>>()[..]
    else {
        panic!("an accident and a look afterwards are expected");
    };
    walk.run(accident, &url);
    assert_eq!(prices().await, br#"{"tea":0}"#);

    let (_, section) = TUTORIAL.split_once(SECTION).unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let steps: Vec<_> = section.split("```").step_by(2).collect();
    let steps = steps.concat();
    let (mut says, mut typed) = (Words::between('*', &steps), Words::between('`', &steps));
    let browser = Browser::start().unwrap();
    let page = typed.next().replace("localhost:8080", &daemon.address);
    let [user, password] = [typed.next(), typed.next()];
    browser
        .open(&page.replace("://", &format!("://{user}:{password}@")))
        .unwrap();
    browser.press(&says.next()).unwrap();
    browser.wait_for_text("Last success").unwrap();

    browser.press(&says.next()).unwrap();
    let row = "//main//tbody/tr[last()]";
    let held = says.next();
    browser
        .click(&format!("{row}[contains(., '{held}')]//a"))
        .unwrap();
    for _ in 0..2 {
        let name = format!("*[@class='name' and .='{}']", typed.next());
        browser
            .click(&format!("//*[@role='treeitem'][.//{name}]"))
            .unwrap();
    }
    for what in [
        "/shop/prices",
        "\"tea\": 3,",
        "\"coffee\": 4",
        "ACL",
        "world",
        "Changed",
    ] {
        browser.wait_for_text(what).unwrap();
    }
    let id = "return new URLSearchParams(location.hash.split('?')[1]).get('id')";
    let id = browser.run(id, &[]).unwrap().as_str().unwrap().to_owned();

    let of_znode = |word: &str| format!("//article//*[self::a or self::button][.='{word}']");
    browser.click(&of_znode(&says.next())).unwrap();
    browser.wait_for_text("there in the first backup").unwrap();
    browser.wait_for_text("other data").unwrap();
    browser.click("//main//tbody/tr[1]//a").unwrap();
    browser.click(&of_znode(&says.next())).unwrap();

    // The page before has none.
    let subtrees = browser.wait_for("return document.querySelector('textarea')?.value", &[]);
    assert_eq!(subtrees.unwrap(), typed.next());
    let next = says.next();
    browser.press(&next).unwrap();
    browser.wait_for_text("To the same place").unwrap();
    browser.press(&next).unwrap();
    browser.wait_for_text("Only what is missing").unwrap();
    browser.press(&next).unwrap();
    browser.wait_for_text(&says.next()).unwrap();
    assert_eq!(prices().await, br#"{"tea":0}"#, "it is a plan");

    browser.press(&says.next()).unwrap();
    browser.type_into("//input[@type='text']", &id).unwrap();
    // Not the link in the menu.
    browser
        .click(&format!("//form//button[.='{}']", says.next()))
        .unwrap();
    browser.wait_for_text(&says.next()).unwrap();
    assert_eq!(prices().await, br#"{"tea":3,"coffee":4}"#);
    let first = "return [...document.querySelectorAll('.result p')]\
        .find((one) => one.innerText.startsWith('What was there before')).querySelector('a').innerText";
    let first = browser.run(first, &[]).unwrap().as_str().unwrap().to_owned();
    let api = Http::new(&daemon.address).with_credentials(&user, &password);
    let first = api.get(&format!("/listbackups/{first}")).unwrap().json();
    assert_eq!(
        (&first["before_restore_of"], &first["pinned"]),
        (&id.into(), &true.into()),
        "{first}"
    );
    // The terminal knows what was typed there before.
    let exports: Vec<_> = before
        .lines()
        .filter(|line| line.starts_with("export "))
        .collect();
    walk.run(&format!("{}\n{look}", exports.join("\n")), &url);
    assert_eq!((says.0, typed.0), (vec![], vec![]), "what nothing was done with");
    assert_eq!(browser.complaints().unwrap(), [""; 0]);
}
