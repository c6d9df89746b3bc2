//! One headless Chromium behind one ChromeDriver. It resolves no name but this machine's.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use actix_web::rt::time;
use fantoccini::{
    Client, ClientBuilder, Locator,
    key::Key,
    wd::{Capabilities, WindowHandle},
};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use crate::stage::Stage;

/// Far more than anything here takes, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const MISSING: &str = "chromium and chromedriver are not installed: apt-get install chromium chromium-driver";
/// Where `make test` puts what the page is checked with.
const AXE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/target/browser-tools/node_modules/axe-core/axe.min.js");

/// How the browser presents itself to the page.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Look {
    Desktop,
    Dark,
    ReducedMotion,
    Phone,
}

/// A browser with a page in it. Dropping it ends both processes, also when a test has panicked.
pub(crate) struct Page {
    client: Client,
    browser: Option<Browser>,
    _driver: Driver,
}

/// The browser's process, which outlives a driver that was killed.
struct Browser(u64);

struct Driver {
    process: Child,
    url: String,
    _profile: tempfile::TempDir,
}

impl Page {
    /// None where there is no browser, which only a developer's machine may lack.
    pub(crate) async fn start(look: Look) -> Option<Self> {
        let Some(driver) = Driver::start() else {
            assert!(std::env::var_os("CI").is_none(), "{MISSING}");
            println!("skipped: {MISSING}");
            return None;
        };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let client = builder.capabilities(driver.capabilities(look)).connect(&driver.url).await.unwrap();
        let browser =
            client.capabilities().and_then(|said| said.get("goog:processID")?.as_u64()).map(Browser);
        assert!(browser.is_some(), "chromedriver does not say which process its browser is");
        Some(Self { client, browser, _driver: driver })
    }

    pub(crate) async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// Signs in without the sandbox's page, and waits until events come.
    pub(crate) async fn sign_in(&self, stage: &Stage, login: &str) {
        self.open(&stage.sign_in_url(login)).await;
        self.until_live().await;
    }

    pub(crate) async fn until_live(&self) {
        self.until("a live stream", "document.querySelectorAll('.hop')[3]?.querySelector('.state').textContent === 'live' && document.querySelector('.card')").await;
    }

    /// Looks at the page until an expression in it is true.
    pub(crate) async fn until(&self, what: &str, expression: &str) {
        let looking = async {
            // While the page changes under the question, there is no answer.
            let mut looks = time::interval(LOOK_AGAIN);
            while self.ask(&format!("Boolean({expression})")).await != Some(json!(true)) {
                looks.tick().await;
            }
        };
        if time::timeout(PATIENCE, looking).await.is_err() {
            self.picture("failed").await;
            panic!("{what} did not come. The page says: {}", self.value("document.body.innerText").await);
        }
    }

    /// What an expression in the page gives.
    pub(crate) async fn value(&self, expression: &str) -> Value {
        self.ask(expression).await.unwrap()
    }

    pub(crate) async fn run(&self, script: &str) {
        self.client.execute(script, vec![]).await.unwrap();
    }

    async fn ask(&self, expression: &str) -> Option<Value> {
        self.client.execute(&format!("return {expression}"), vec![]).await.ok()
    }

    pub(crate) async fn click(&self, selector: &str) {
        self.client.find(Locator::Css(selector)).await.unwrap().click().await.unwrap();
    }

    pub(crate) async fn type_in(&self, selector: &str, text: &str) {
        self.client.find(Locator::Css(selector)).await.unwrap().send_keys(text).await.unwrap();
    }

    /// Presses a key, such as `Key::Enter`, wherever the focus is.
    pub(crate) async fn press(&self, key: Key) {
        self.client.active_element().await.unwrap().send_keys(&String::from(char::from(key))).await.unwrap();
    }

    pub(crate) async fn tab(&self) -> WindowHandle {
        self.client.window().await.unwrap()
    }

    /// Opens an address in a new tab and goes there.
    pub(crate) async fn new_tab(&self, url: &str) -> WindowHandle {
        let tab = self.client.new_window(true).await.unwrap().handle;
        self.client.switch_to_window(tab.clone()).await.unwrap();
        self.open(url).await;
        tab
    }

    /// Closes one tab and goes to another.
    pub(crate) async fn close_tab(&self, tab: WindowHandle, next: WindowHandle) {
        self.client.switch_to_window(tab).await.unwrap();
        self.client.close_window().await.unwrap();
        self.client.switch_to_window(next).await.unwrap();
    }

    pub(crate) async fn picture(&self, name: &str) {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("screens");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{name}.png")), self.client.screenshot().await.unwrap()).unwrap();
    }

    /// Lets axe-core look for what would shut people out. <https://github.com/dequelabs/axe-core>
    pub(crate) async fn assert_accessible(&self) {
        let Ok(axe) = fs::read_to_string(AXE) else {
            assert!(std::env::var_os("CI").is_none(), "axe-core is not at {AXE}: make test installs it");
            return;
        };
        let script = format!(
            "const done = arguments[arguments.length - 1]; {axe}; axe.run().then(({{ violations }}) => \
             done(violations.map(({{ id, nodes }}) => `${{id}}: ${{nodes.map(({{ target }}) => target)}}`)))"
        );
        let found = self.client.execute_async(&script, vec![]).await.unwrap();
        assert_eq!(found, json!([]));
    }

    pub(crate) async fn close(mut self) {
        self.client.clone().close().await.unwrap();
        // It has ended, and its id may be another's by now.
        std::mem::forget(self.browser.take());
    }
}

impl Driver {
    fn start() -> Option<Self> {
        let mut process = Command::new(find("chromedriver")?)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let said = BufReader::new(process.stdout.take()?);
        let port = said.lines().map_while(Result::ok).find_map(|line| {
            let port = line.split_once("successfully on port ")?.1;
            Some(port.trim_end_matches('.').to_owned())
        });
        let url = format!("http://127.0.0.1:{}", port?);
        Some(Self { process, url, _profile: tempfile::tempdir().unwrap() })
    }

    fn capabilities(&self, look: Look) -> Capabilities {
        let mut arguments = vec![
            "--headless".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--window-size=1280,860".to_owned(),
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1".to_owned(),
            format!("--user-data-dir={}", self._profile.path().display()),
        ];
        let mut options = json!({});
        match look {
            Look::Desktop => {}
            Look::Dark => arguments.push("--blink-settings=preferredColorScheme=0".to_owned()),
            Look::ReducedMotion => arguments.push("--force-prefers-reduced-motion".to_owned()),
            Look::Phone => {
                options["mobileEmulation"] =
                    json!({ "deviceMetrics": { "width": 360, "height": 740, "pixelRatio": 2 } });
            }
        }
        options["args"] = json!(arguments);
        Capabilities::from_iter([("goog:chromeOptions".to_owned(), options)])
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-s", "KILL", &self.0.to_string()]).status();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}
