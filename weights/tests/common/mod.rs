//! What the tests share: a catalogue of one small model, archives and tools that stand in for real ones, a hub,
//! and a progress that remembers.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod hub;

use hub::Hub;
pub use hub::sha;

use escala_weights::{Catalog, Progress, Stage, Store, StoreOptions, Update};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Nothing in a test takes longer than this unless it is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

impl Hub {
    /// Serves the toy model's files.
    pub fn start() -> Self {
        let hub = Self::empty();
        hub.serve("/someone/toy/resolve/abc123/sub/weights.bin", weights());
        hub.serve("/someone/toy/resolve/abc123/config.json", CONFIG.to_vec());
        hub
    }
}

/// The model's two inputs: 300 kB that do not compress to nothing, and a small one.
pub fn weights() -> Vec<u8> {
    let mut state = 1u32;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..300_000).map(step).collect()
}

pub const CONFIG: &[u8] = b"{\"hidden\": 4}";

fn files() -> String {
    let weights = weights();
    format!(
        r#"
        name = "toy"
        version = "1"
        task = "test"
        title = "A toy"
        licence = "CC0-1.0"
        notice = "Made for tests."
        default = true
        [[files]]
        name = "weights.bin"
        bytes = {}
        sha256 = "{}"
        [[files]]
        name = "config.json"
        bytes = {}
        sha256 = "{}"
        [[outputs]]
        name = "model.bin"
        from = "weights.bin"
        convert = {{ kind = "copy" }}
        [[outputs]]
        name = "config.json"
        from = "config.json"
        convert = {{ kind = "copy" }}
        "#,
        weights.len(),
        sha(&weights),
        CONFIG.len(),
        sha(CONFIG)
    )
}

pub const HUB: &str = r#"
    [[sources]]
    kind = "hub"
    repo = "someone/toy"
    revision = "abc123"
    paths = { "weights.bin" = "sub/weights.bin", "config.json" = "config.json" }
"#;

/// A package source whose archive is `archive`.
pub fn package(kind: &str, name: &str, archive: &[u8]) -> String {
    let folder = if kind == "npm" {
        "package"
    } else {
        "toy_model"
    };
    format!(
        r#"
        [[sources]]
        kind = "{kind}"
        package = "toy-model"
        version = "1.2.3"
        archive = {{ name = "{name}", bytes = {}, sha256 = "{}" }}
        paths = {{ "weights.bin" = "{folder}/weights.bin", "config.json" = "{folder}/config.json" }}
        "#,
        archive.len(),
        sha(archive)
    )
}

pub fn catalog(sources: &[&str]) -> Catalog {
    let text = files() + &sources.concat();
    Catalog::parse([("toy.toml", text.as_str())]).unwrap()
}

pub fn wheel() -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated);
    for (name, bytes) in [
        ("../escape", &b"x"[..]),
        ("toy_model/weights.bin", &weights()),
        ("toy_model/config.json", CONFIG),
    ] {
        zip.start_file(name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

pub fn tarball() -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for (name, bytes) in [
        ("package/package.json", &b"{}"[..]),
        ("package/weights.bin", &weights()),
        ("package/config.json", CONFIG),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// A folder with a store, and programs and files that a test puts there.
pub struct Bench {
    pub root: TempDir,
}

impl Bench {
    pub fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A tool that notes its arguments in `calls` and then runs `script` with `$dest` set to the folder asked for
    /// and `$root` to this bench.
    pub fn tool(&self, script: &str) -> Vec<String> {
        let root = self.root.path().display();
        let text = format!(
            r#"
            root="{root}"
            echo "$@" >> "$root/calls"
            while [ $# -gt 0 ]; do
                case "$1" in --dest|--pack-destination) dest="$2" ;; esac
                shift
            done
            {script}
            "#
        );
        let path = self.put("tool.sh", text.as_bytes());
        vec!["sh".to_owned(), path.to_str().unwrap().to_owned()]
    }

    /// How often the tool ran, with its arguments.
    pub fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Options for a store that reaches nothing but what a test adds.
    pub fn options(&self, catalog: Catalog) -> StoreOptions {
        StoreOptions {
            dir: Some(self.path("store")),
            catalog: Some(catalog),
            hub_endpoint: Some("http://127.0.0.1:9".to_owned()),
            hub_token: Some("secret".to_owned()),
            local: Some(self.path("local")),
            pip: vec!["no-such-pip".to_owned()],
            npm: vec!["no-such-npm".to_owned()],
            ..StoreOptions::default()
        }
    }

    /// A store whose `pip` copies the wheel, and its catalogue.
    pub fn pip_store(&self, script: &str) -> Store {
        self.store_of(script, files())
    }

    /// The same with a model whose licence has to be accepted.
    pub fn consent_store(&self, script: &str) -> Store {
        self.store_of(script, files().replace("default = true", "consent = true"))
    }

    fn store_of(&self, script: &str, files: String) -> Store {
        self.put("toy.whl", &wheel());
        let pip = self.tool(script);
        let source = package("pip", "toy_model-1.2.3-py3-none-any.whl", &wheel());
        let catalog = Catalog::parse([("toy.toml", (files + &source).as_str())]).unwrap();
        Store::open(StoreOptions {
            pip,
            local: None,
            ..self.options(catalog)
        })
        .unwrap()
    }
}

pub const COPY_WHEEL: &str = "cp \"$root/toy.whl\" \"$dest/toy_model-1.2.3-py3-none-any.whl\"";

/// Remembers every change of stage.
#[derive(Default)]
pub struct Recorder {
    seen: Mutex<Vec<(Stage, String)>>,
    news: Condvar,
}

impl Recorder {
    pub fn stages(&self) -> Vec<Stage> {
        let mut stages: Vec<_> = self
            .seen
            .lock()
            .unwrap()
            .iter()
            .map(|(stage, _)| *stage)
            .collect();
        stages.dedup();
        stages
    }

    pub fn details(&self, stage: Stage) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .filter(|(s, _)| *s == stage)
            .map(|(_, detail)| detail.clone())
            .collect()
    }

    /// Waits until a stage was seen.
    pub fn wait_for(&self, stage: Stage) {
        let seen = self.seen.lock().unwrap();
        let missing = |seen: &mut Vec<(Stage, String)>| !seen.iter().any(|(s, _)| *s == stage);
        let (seen, waited) = self
            .news
            .wait_timeout_while(seen, PATIENCE, missing)
            .unwrap();
        drop(seen);
        assert!(!waited.timed_out(), "stage {stage:?} was never seen");
    }
}

impl Progress for Recorder {
    fn update(&self, update: &Update<'_>) {
        assert!(
            update.total.is_none_or(|total| update.done <= total),
            "{update:?}"
        );
        self.seen
            .lock()
            .unwrap()
            .push((update.stage, update.detail.to_owned()));
        self.news.notify_all();
    }
}

/// Waits until a file made by a program is there.
pub fn wait_for_file(path: &Path) {
    let started = Instant::now();
    while !path.exists() {
        assert!(
            started.elapsed() < PATIENCE,
            "{} never came",
            path.display()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The names of everything visible in a store: published models, not the hidden folder.
pub fn visible(store: &Store) -> Vec<String> {
    let Ok(entries) = fs::read_dir(store.dir()) else {
        return Vec::new();
    };
    let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with('.')).collect()
}

/// Everything below a folder that is a file.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|e| e.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}
