//! A browser as a process of its own, driven by the few commands of WebDriver that the tests need.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::http::send_json;
use crate::support::server::{folder, free_port};
use crate::support::until;

/// A browser takes both cores of a small machine: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

pub const TAB: char = '\u{e004}';
pub const ENTER: char = '\u{e007}';

#[derive(Clone, Copy, Debug)]
pub enum Look {
    Desktop,
    DesktopDark,
    Phone,
    PhoneDark,
}

pub struct Browser {
    driver: Child,
    port: u16,
    /// `/session/…`
    session: String,
    profile: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

impl Browser {
    /// At the page of this port, which has shown its first figures.
    pub fn open(page: u16) -> Browser {
        let alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (port, profile) = (free_port(), folder("browser"));
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .arg(format!("--log-path={}", profile.join("driver.log").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let driver = driver.unwrap_or_else(|error| {
            panic!("chromedriver: {error}; `tests/run --prepare` installs it with Chromium")
        });
        let mut browser = Browser { driver, port, session: String::new(), profile, _alone: alone };
        until("the driver to be ready", || {
            let status = send_json(port, "GET", "/status", &json!({})).ok()?.json();
            (status["value"]["ready"] == true).then_some(())
        });
        let arguments = [
            "--headless=new",
            // A container's root has no other way; nothing strange is opened.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--no-default-browser-check",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--window-size=1280,1400",
            &format!("--user-data-dir={}", browser.profile.join("profile").display()),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "performance": "ALL", "browser": "ALL" },
        } } });
        let session = browser.call("POST", "/session", &wanted);
        browser.session = format!("/session/{}", session["sessionId"].as_str().expect("an id"));
        browser.command("/url", &json!({ "url": format!("http://127.0.0.1:{page}/") }));
        browser.wait_for("the first figures", "return document.querySelectorAll('#cards .card').length > 5");
        browser
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer =
            send_json(self.port, method, path, body).unwrap_or_else(|error| panic!("{path}: {error}"));
        let said = answer.json()["value"].take();
        assert_eq!(answer.status, 200, "{method} {path} {body}: {said}");
        said
    }

    fn command(&self, name: &str, body: &Value) -> Value {
        self.call("POST", &format!("{}{name}", self.session), body)
    }

    /// What the body of a function gives in the page.
    pub fn run(&self, script: &str) -> Value {
        self.command("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    pub fn wait_for(&self, what: &str, script: &str) {
        let mut last = Value::Null;
        until(&format!("{what} ({script})"), || {
            last = self.run(script);
            (last == true).then_some(())
        });
    }

    /// What there is to read in the first element of this selector.
    pub fn text(&self, selector: &str) -> String {
        let found = self.run(&format!("return document.querySelector({}).innerText", json!(selector)));
        found.as_str().unwrap_or_else(|| panic!("no {selector}: {found}")).to_owned()
    }

    pub fn wait_for_text(&self, selector: &str, text: &str) {
        let selector = json!(selector);
        let what = format!("{selector} to say {text}");
        let text = json!(text);
        self.wait_for(
            &what,
            &format!("return !!document.querySelector({selector})?.innerText.includes({text})"),
        );
    }

    /// As a hand does: the element has to be there, to be seen, and not to be covered.
    pub fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.command(&format!("/element/{element}/click"), &json!({}));
    }

    /// Into an input, instead of what is there.
    pub fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.command(&format!("/element/{element}/clear"), &json!({}));
        self.command(&format!("/element/{element}/value"), &json!({ "text": text }));
    }

    /// One key, to whatever has the focus.
    pub fn press(&self, key: char) {
        let strokes = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        let keys = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": strokes }] });
        self.command("/actions", &keys);
    }

    fn element(&self, selector: &str) -> String {
        let found = self.command("/element", &json!({ "using": "css selector", "value": selector }));
        let id = found.as_object().and_then(|of| of.values().next()).and_then(Value::as_str);
        id.unwrap_or_else(|| panic!("no {selector}: {found}")).to_owned()
    }

    pub fn go_to(&self, url: &str) {
        self.command("/url", &json!({ "url": url }));
    }

    pub fn look_like(&self, look: Look) {
        let (width, height, is_mobile) = match look {
            Look::Desktop | Look::DesktopDark => (1280, 1400, false),
            Look::Phone | Look::PhoneDark => (390, 844, true),
        };
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_mobile });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
        let scheme = if matches!(look, Look::DesktopDark | Look::PhoneDark) { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.command("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// The whole page, below `target/page`; in every look, and in none may it be wider than the screen.
    pub fn take_pictures(&self, name: &str) {
        for look in [Look::DesktopDark, Look::Desktop, Look::PhoneDark, Look::Phone] {
            self.look_like(look);
            let widths = "return [document.documentElement.scrollWidth, window.innerWidth]";
            let widths = self.run(widths);
            assert!(widths[0].as_f64() <= widths[1].as_f64(), "{name} {look:?} scrolls sideways: {widths}");
            let expected = if matches!(look, Look::Phone | Look::PhoneDark) { 390 } else { 1280 };
            assert_eq!(widths[1], expected, "{name} {look:?}: {widths}");
            let whole = self.devtools("Page.getLayoutMetrics", &json!({}))["cssContentSize"]["height"].take();
            let clip = json!({ "x": 0, "y": 0, "width": expected, "height": whole, "scale": 1 });
            let picture = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
            let picture = self.devtools("Page.captureScreenshot", &picture);
            let bytes = STANDARD.decode(picture["data"].as_str().expect("a picture")).expect("base64");
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("page");
            let file = folder.join(format!("{name}-{look:?}.png"));
            fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
            fs::write(&file, bytes).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
        self.look_like(Look::Desktop);
    }

    /// Every address that the page has asked for so far.
    fn requests(&self) -> Vec<String> {
        let log = self.command("/se/log", &json!({ "type": "performance" }));
        let entries = log.as_array().expect("a log").iter().map(|entry| {
            let message = entry["message"].as_str().expect("a message");
            serde_json::from_str::<Value>(message).expect("JSON")["message"].take()
        });
        // The browser's own first tab is built in, and no page of ours.
        let sent = entries.filter(|message| {
            let document = message["params"]["documentURL"].as_str().unwrap_or_default();
            message["method"] == "Network.requestWillBeSent" && !document.starts_with("chrome://")
        });
        sent.map(|message| message["params"]["request"]["url"].as_str().expect("an address").to_owned())
            .collect()
    }

    /// That it asked this port for something, and nobody else, and that the browser had nothing to find fault with.
    pub fn assert_at_home(&self, page: u16, refusals_are_expected: bool) {
        let asked = self.requests();
        let home = format!("http://127.0.0.1:{page}/");
        assert!(asked.len() > 2, "the log of requests is kept: {asked:?}");
        for address in &asked {
            assert!(address.starts_with(&home) || address.starts_with("data:"), "{address} in {asked:?}");
        }
        let log = self.command("/se/log", &json!({ "type": "browser" }));
        for entry in log.as_array().expect("a log") {
            let message = entry["message"].as_str().expect("a message");
            let is_refusal = message.contains("Failed to load resource") && refusals_are_expected;
            assert!(is_refusal, "{entry}");
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends with its session; killed with the driver it would live on.
        if !self.session.is_empty() {
            let _ended = send_json(self.port, "DELETE", &self.session, &json!({}));
        }
        let _gone = self.driver.kill();
        let _waited = self.driver.wait();
        if !std::thread::panicking() {
            let _removed = fs::remove_dir_all(&self.profile);
        }
    }
}
