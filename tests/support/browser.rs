//! Chromium as a process, driven through its own WebDriver server.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Http, Port};

/// What is waited for in a page comes within this time.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the driver says once it can be asked.
const LISTENS: &str = "started successfully";
/// The key under which WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window. Dropping it ends it, and removes all that it has kept.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    http: Http,
    session: String,
    _home: TempDir,
    _port: Port,
}

/// There is no browser, or it did not do what it was to do.
#[derive(Debug, thiserror::Error)]
pub enum BrowserError {
    /// The programs cannot be had. The message says what to install.
    #[error(
        "no browser to test with: {0}. Set CHROMIUM and CHROMEDRIVER to the programs, or install them \
         (`apt-get install chromium chromium-driver`)"
    )]
    Program(String),
    /// A process, a file or a port could not be had.
    #[error("the browser cannot be started: {0}")]
    Io(#[from] io::Error),
    /// The driver does not answer.
    #[error(transparent)]
    Http(#[from] ureq::Error),
    /// The driver has refused what it was asked, and says why.
    #[error("the browser: {0}")]
    Refused(String),
    /// What was waited for did not come; how the page was then.
    #[error("waited too long for {what}: {page}")]
    Late {
        /// What was waited for.
        what: String,
        /// The text of the page.
        page: String,
    },
}

impl Browser {
    /// Starts a browser without a screen.
    ///
    /// # Errors
    /// [`BrowserError`].
    pub fn start() -> Result<Self, BrowserError> {
        let driver = locate("CHROMEDRIVER", &["chromedriver"])?;
        let chromium = locate("CHROMIUM", &["chromium", "chromium-browser", "google-chrome"])?;
        let home = tempfile::tempdir()?;
        // Left to choose, the driver takes a port of IPv6 that somebody else may have of IPv4.
        let port = Port::take()?;
        let log = home.path().join("driver.log");
        let output = File::create(&log)?;
        let driver = Command::new(driver)
            .arg(format!("--port={}", port.number()))
            .env("HOME", home.path())
            .env("TMPDIR", home.path())
            .stdin(Stdio::null())
            .stderr(output.try_clone()?)
            .stdout(output)
            // The browser and its helpers are in the driver's group, and end with it.
            .process_group(0)
            .spawn()?;
        let mut browser = Self {
            driver,
            http: Http::new(&port.address()),
            session: String::new(),
            _home: home,
            _port: port,
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = fs::read_to_string(&log)?;
            if said.contains(LISTENS) {
                break;
            }
            if Instant::now() > deadline || browser.driver.try_wait()?.is_some() {
                return Err(BrowserError::Refused(said));
            }
            thread::sleep(Duration::from_millis(10));
        }
        let arguments = [
            "--headless=new",
            "--no-sandbox", // it cannot be had as root; what is looked at is ours
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--disable-background-networking",
            "--no-proxy-server",
            "--window-size=1200,900",
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "timeouts": { "implicit": 30_000 },
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "binary": chromium, "args": arguments },
        } } });
        let session = browser.ask("POST", "/session", &wanted)?;
        session["sessionId"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut browser.session);
        Ok(browser)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, BrowserError> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let answer = self.http.send(method, path, &body)?;
        match answer.status {
            200 => Ok(answer.json()["value"].take()),
            _ => Err(BrowserError::Refused(
                answer.json()["value"]["message"].to_string(),
            )),
        }
    }

    fn tell(&self, what: &str, body: &Value) -> Result<Value, BrowserError> {
        self.ask("POST", &format!("/session/{}/{what}", self.session), body)
    }

    /// Goes to an address, and waits until that was loaded.
    ///
    /// # Errors
    /// [`BrowserError`], also where nothing answers there.
    pub fn open(&self, url: &str) -> Result<(), BrowserError> {
        self.tell("url", &json!({ "url": url }))?;
        Ok(())
    }

    /// What `script` returns in the page. The `arguments` are its `arguments`.
    ///
    /// # Errors
    /// [`BrowserError::Refused`], with what the script has thrown.
    pub fn run(&self, script: &str, arguments: &[Value]) -> Result<Value, BrowserError> {
        self.tell("execute/sync", &json!({ "script": script, "args": arguments }))
    }

    /// Waits until `script` returns something that is neither null nor false, and answers that.
    ///
    /// # Errors
    /// [`BrowserError::Late`], with the text of the page.
    pub fn wait_for(&self, script: &str, arguments: &[Value]) -> Result<Value, BrowserError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.run(script, arguments)?;
            if !found.is_null() && found != false {
                return Ok(found);
            }
            if Instant::now() > deadline {
                let page = self.text()?;
                let what = format!("{script} {arguments:?}");
                return Err(BrowserError::Late { what, page });
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The text that the page shows.
    ///
    /// # Errors
    /// [`BrowserError`].
    pub fn text(&self) -> Result<String, BrowserError> {
        let text = self.run("return document.body.innerText", &[])?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until the page shows this text.
    ///
    /// # Errors
    /// [`BrowserError::Late`], with what it shows.
    pub fn wait_for_text(&self, text: &str) -> Result<(), BrowserError> {
        let script = "return document.body.innerText.includes(arguments[0])";
        self.wait_for(script, &[text.into()]).map(drop)
    }

    fn element(&self, xpath: &str) -> Result<String, BrowserError> {
        let found = self.tell("element", &json!({ "using": "xpath", "value": xpath }))?;
        Ok(found[ELEMENT].as_str().unwrap_or_default().to_owned())
    }

    /// Does `what` with `body` to the first element that an XPath names, as soon as it is there.
    fn act(&self, xpath: &str, what: &str, body: &Value) -> Result<(), BrowserError> {
        // The page may be drawn anew between the two.
        for _ in 0..20 {
            let element = self.element(xpath)?;
            match self.tell(&format!("element/{element}/{what}"), body) {
                Err(BrowserError::Refused(why)) if why.contains("stale element") => {}
                done => return done.map(drop),
            }
        }
        Err(BrowserError::Refused(format!("{xpath} is drawn anew each time")))
    }

    /// Clicks the first element that an XPath names, as soon as it is there.
    ///
    /// # Errors
    /// [`BrowserError::Refused`] after half a minute, or where something else would get the click.
    pub fn click(&self, xpath: &str) -> Result<(), BrowserError> {
        self.act(xpath, "click", &json!({}))
    }

    /// Clicks the first button or link with this text.
    ///
    /// # Errors
    /// As [`click`](Self::click).
    pub fn press(&self, text: &str) -> Result<(), BrowserError> {
        self.click(&format!(
            "//*[(self::button or self::a) and not(@hidden) and normalize-space()='{text}']"
        ))
    }

    /// Types into the first element that an XPath names, as soon as it is there.
    ///
    /// # Errors
    /// As [`click`](Self::click).
    pub fn type_into(&self, xpath: &str, text: &str) -> Result<(), BrowserError> {
        self.act(xpath, "value", &json!({ "text": text }))
    }

    /// Presses keys one after another, wherever the page has the focus. Keys without a character have WebDriver's, such as `\u{e004}` for Tab.
    ///
    /// # Errors
    /// [`BrowserError`].
    pub fn keys(&self, keys: &str) -> Result<(), BrowserError> {
        let strokes = keys.chars().flat_map(|key| {
            let stroke = |kind: &str| json!({ "type": kind, "value": key.to_string() });
            [stroke("keyDown"), stroke("keyUp")]
        });
        let strokes: Vec<_> = strokes.collect();
        let actions = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": strokes }] });
        self.tell("actions", &actions)?;
        Ok(())
    }

    /// Makes the inside of the window so large.
    ///
    /// # Errors
    /// [`BrowserError`].
    pub fn resize(&self, width: u32, height: u32) -> Result<(), BrowserError> {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.command("Emulation.setDeviceMetricsOverride", &metrics)
    }

    /// A command of the browser's own protocol.
    ///
    /// # Errors
    /// [`BrowserError`].
    pub fn command(&self, name: &str, parameters: &Value) -> Result<(), BrowserError> {
        self.tell("goog/cdp/execute", &json!({ "cmd": name, "params": parameters }))?;
        Ok(())
    }

    /// What the browser has noted since the last call as an error or a warning: of scripts, of the policy of the page, of requests.
    ///
    /// # Errors
    /// [`BrowserError`].
    pub fn complaints(&self) -> Result<Vec<String>, BrowserError> {
        let entries = self.tell("se/log", &json!({ "type": "browser" }))?;
        let entries = entries.as_array().into_iter().flatten();
        let bad = entries.filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        Ok(bad
            .filter_map(|entry| entry["message"].as_str().map(str::to_owned))
            .collect())
    }

    /// What is seen, as a PNG.
    ///
    /// # Errors
    /// [`BrowserError`].
    pub fn screenshot(&self) -> Result<Vec<u8>, BrowserError> {
        let png = self.ask(
            "GET",
            &format!("/session/{}/screenshot", self.session),
            &Value::Null,
        )?;
        STANDARD
            .decode(png.as_str().unwrap_or_default())
            .map_err(|error| BrowserError::Refused(error.to_string()))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            // Where it does not answer any more it is killed all the same.
            let _ = self.ask("DELETE", &format!("/session/{}", self.session), &Value::Null);
        }
        let group = format!("-{}", self.driver.id());
        let _ = Command::new("kill")
            .args(["-KILL", "--", &group])
            .stderr(Stdio::null())
            .status(); // it may have ended already
        let _ = self.driver.wait();
    }
}

fn locate(variable: &str, names: &[&str]) -> Result<PathBuf, BrowserError> {
    if let Some(program) = env::var_os(variable) {
        let program = PathBuf::from(program);
        return match program.is_file() {
            true => Ok(program),
            false => Err(BrowserError::Program(format!(
                "{variable}={} is no file",
                program.display()
            ))),
        };
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let mut candidates = names
        .iter()
        .flat_map(|name| env::split_paths(&path).map(move |folder| folder.join(name)));
    candidates
        .find(|program| program.is_file())
        .ok_or_else(|| BrowserError::Program(format!("there is no {}", names.join(", "))))
}
