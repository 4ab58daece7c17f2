//! A headless Chromium, spoken to by the Chrome `DevTools` Protocol over a pair of pipes (`--remote-debugging-pipe`: a JSON object, then a NUL).

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base64::Engine as _;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A hang guard: Chromium starts in two seconds or so.
const SECONDS: &str = "120";

/// A browser with one page. It ends when dropped.
pub struct Browser {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    asked: u64,
    session: Option<String>,
    /// Loaders of pages that are loaded.
    loaded: Vec<String>,
    /// What the page complained of: exceptions, refused scripts and styles.
    pub complaints: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    /// Opens a page, and waits until it is loaded.
    pub fn open(url: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let flags = "--headless=new --no-sandbox --disable-gpu --remote-debugging-pipe --no-first-run --disable-background-networking --window-size=1300,1000";
        // Its pipes are descriptors 3 and 4.
        let script = format!(
            "exec timeout {SECONDS} chromium {flags} \"--user-data-dir=$0\" about:blank 3<&0 4>&1 >/dev/null 2>&1"
        );
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .arg(profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let (asked, session, complaints) = (0, None, Vec::new());
        let mut browser =
            Self { child, input, output, asked, session, loaded: Vec::new(), complaints, _profile: profile };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached = browser.call("Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true}));
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Log", "Runtime", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.call("Page.setLifecycleEventsEnabled", json!({"enabled": true}));
        browser.go(url);
        browser
    }

    /// Goes to another page.
    pub fn go(&mut self, url: &str) {
        let done = self.call("Page.navigate", json!({"url": url}));
        // Without a loader it is another place of the same page.
        let Some(loader) = done["loaderId"].as_str() else { return };
        while !self.loaded.iter().any(|loaded| loaded == loader) {
            let said = self.listen();
            self.hear(&said);
        }
    }

    /// The value of an expression in the page; of a promise, what comes of it.
    pub fn eval(&mut self, expression: &str) -> Value {
        let done = self
            .call("Runtime.evaluate", json!({"expression": expression, "returnByValue": true, "awaitPromise": true}));
        assert!(done.get("exceptionDetails").is_none(), "{expression}: {done}");
        done["result"]["value"].clone()
    }

    /// Presses a key: a character, or `Tab`, `Enter`, `Escape`.
    pub fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            other => (0, other),
        };
        let down = json!({"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text});
        self.call("Input.dispatchKeyEvent", down);
        self.call(
            "Input.dispatchKeyEvent",
            json!({"type": "keyUp", "key": key, "code": key, "windowsVirtualKeyCode": code}),
        );
    }

    /// Prefers `light` or `dark` from now on.
    pub fn prefer(&mut self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// What is seen, as PNG.
    pub fn picture(&mut self) -> Vec<u8> {
        let shot = self.call("Page.captureScreenshot", json!({"format": "png"}));
        base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().unwrap()).unwrap()
    }

    fn call(&mut self, method: &str, params: impl Into<Value>) -> Value {
        self.asked += 1;
        let mut message = json!({"id": self.asked, "method": method, "params": params.into()});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.write_all(&bytes).unwrap();
        loop {
            let mut said = self.listen();
            if said["id"] == self.asked {
                assert!(said.get("error").is_none(), "{method}: {said}");
                return said["result"].take();
            }
            self.hear(&said);
        }
    }

    fn listen(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.output.read_until(0, &mut bytes).unwrap();
        assert_eq!(bytes.pop(), Some(0), "Chromium ended: is it installed (Debian: apt-get install chromium)?");
        serde_json::from_slice(&bytes).unwrap()
    }

    fn hear(&mut self, event: &Value) {
        let complaint = match event["method"].as_str().unwrap_or_default() {
            "Page.lifecycleEvent" => {
                if event["params"]["name"] == "load" {
                    self.loaded.extend(event["params"]["loaderId"].as_str().map(str::to_owned));
                }
                return;
            }
            "Log.entryAdded" => &event["params"]["entry"]["text"],
            "Runtime.exceptionThrown" => &event["params"]["exceptionDetails"],
            "Network.requestWillBeSent" => {
                let url = &event["params"]["request"]["url"];
                if url.as_str().is_some_and(|url| url.starts_with("file:") && url.contains(".html")) {
                    return;
                }
                url
            }
            _ => return,
        };
        self.complaints.push(complaint.to_string());
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
