//! The command line of the real binary, as a user or a script calls it: answers on standard output, all
//! else on standard error, and the exit status says how it went.

mod common;

use common::{escala, golden, golden_json, without};
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

struct Said {
    status: i32,
    out: String,
    err: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Self {
            status: output.status.code().expect("an exit status"),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    /// Standard output as lines of JSON, of a command that must succeed.
    #[track_caller]
    fn json(&self) -> Vec<Value> {
        assert_eq!(self.status, 0, "{}\n{}", self.out, self.err);
        self.out
            .lines()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
            })
            .collect()
    }
}

fn run(arguments: &[&str]) -> Said {
    let folder = tempfile::tempdir().expect("a temporary folder");
    run_in(folder.path(), arguments, |command| command)
}

fn run_in(
    folder: &Path,
    arguments: &[&str],
    with: impl FnOnce(&mut Command) -> &mut Command,
) -> Said {
    let mut command = escala(folder);
    Said::of(
        &with(command.args(arguments))
            .output()
            .expect("the binary runs"),
    )
}

#[test]
fn languages() {
    let said = run(&["predict", "language", "¿Dónde está la biblioteca?"]);
    assert_eq!(said.status, 0, "{}", said.err);
    assert!(said.out.starts_with("es "), "{}", said.out);
    let golden = golden_json("lid176.json");
    let items = golden["items"].as_array().expect("items");
    let mut arguments = vec!["predict", "language", "--json"];
    arguments.extend(
        items
            .iter()
            .map(|item| item["text"].as_str().expect("text")),
    );
    let lines = run(&arguments).json();
    assert_eq!(lines.len(), items.len());
    for (line, item) in lines.iter().zip(items) {
        assert_eq!(
            (&line["text"], &line["languages"][0]["code"]),
            (&item["text"], &item["top3"][0][0])
        );
    }
}

#[test]
fn readings_of_texts() {
    let golden = golden_json("spacy_en.json");
    let items = golden["items"].as_array().expect("items");
    let texts: Vec<&str> = items
        .iter()
        .map(|item| item["text"].as_str().expect("text"))
        .collect();
    let ask = |view: &str| {
        let mut arguments = vec!["predict", view, "--json"];
        arguments.extend(&texts);
        run(&arguments).json()
    };
    let strings = |list: &Value, member: &str| -> Vec<String> {
        let items = list.as_array().expect("a list").iter();
        items
            .map(|item| item[member].as_str().expect("text").to_owned())
            .collect()
    };
    for (line, item) in ask("entities").iter().zip(items) {
        assert_eq!(line["text"], item["text"]);
        let ours = without(&line["entities"], "en", "rules", "text");
        let reference = without(&item["ents"], "en", "reference", "text");
        assert_eq!(ours.len(), reference.len(), "{}", item["text"]);
        for (ours, reference) in ours.iter().zip(reference) {
            assert_eq!(
                (&ours["text"], &ours["label"]),
                (&reference["text"], &reference["label"])
            );
        }
    }
    for (line, item) in ask("syntax").iter().zip(items) {
        let mut words = item["tokens"].clone();
        let words_list = words.as_array_mut().expect("tokens");
        words_list.retain(|token| !token["text"].as_str().expect("text").trim().is_empty());
        for (ours, reference) in [
            ("text", "text"),
            ("lemma", "lemma"),
            ("tag", "tag"),
            ("dependency", "dep"),
        ] {
            assert_eq!(
                strings(&line["tokens"], ours),
                strings(&words, reference),
                "{}",
                item["text"]
            );
        }
    }
    let said = run(&["predict", "key-phrases", texts[0]]);
    assert_eq!(said.status, 0, "{}", said.err);
    assert!(said.out.contains("U.K."), "{}", said.out);
}

#[test]
fn sentiment_towards_what_texts_speak_of() {
    let text = "The soup was great but the waiter ignored us.";
    let said = run(&["predict", "targeted-sentiment", text]);
    assert_eq!(said.status, 0, "{}", said.err);
    let row = |target: &str| {
        let mut lines = said.out.lines();
        let line = lines.find(|line| line.trim_start().starts_with(target));
        line.expect(target).to_owned()
    };
    assert!(row("soup ").contains("POSITIVE"), "{}", said.out);
    assert!(row("waiter ").contains("NEGATIVE"), "{}", said.out);
}

#[test]
fn personal_data_of_texts() {
    let said = run(&["predict", "pii", "write to ada@example.com"]);
    assert_eq!(said.status, 0, "{}", said.err);
    assert!(said.out.contains("EMAIL") && said.out.contains("ada@example.com"));
    let lines = run(&[
        "predict",
        "pii",
        "--language",
        "es",
        "--json",
        "tengo 34 años",
    ])
    .json();
    assert_eq!(lines[0]["entities"][0]["type"], "AGE");
    assert_eq!(run(&["predict", "pii", "--language", "fr", "a"]).status, 2);
}

#[test]
fn toxicity_of_texts() {
    let said = run(&["predict", "toxicity", "You are so dumb and stupid!"]);
    assert_eq!(said.status, 0, "{}", said.err);
    // Keras answers 0.992 and, for obscene words, 0.653.
    for cells in [["TOXICITY", "0.99"], ["PROFANITY", "0.65"]] {
        let line = said.out.lines().find(|line| line.contains(cells[0]));
        assert!(
            line.is_some_and(|line| line.contains(cells[1])),
            "{}",
            said.out
        );
    }
    let lines = run(&[
        "predict",
        "toxicity",
        "--json",
        "Good morning.",
        "Shut up, fool.",
    ])
    .json();
    let toxicity = |line: usize| lines[line]["toxicity"].as_f64().expect("a number");
    assert!(toxicity(0) < 0.1 && toxicity(1) > 0.5, "{lines:?}");
}

#[test]
fn texts_are_analyzed_and_redacted() {
    let text = "Ada Lovelace was born in London. Write to ada@example.com 👩🏽‍🚀.";
    let lines = run(&[
        "predict",
        "analyze",
        "--json",
        "--features",
        "language,entities,pii",
        text,
        "Wo ist das?",
    ]);
    let lines = lines.json();
    assert_eq!(lines[0]["language"], "en");
    let said = &lines[0]["features"];
    assert_eq!(said["entities"]["entities"][0]["text"], "Ada Lovelace");
    assert_eq!(said["language"]["languages"][0]["code"], "en");
    assert_eq!(lines[1]["language"], "de");
    assert_eq!(lines[1]["features"]["pii"]["error"]["code"], "unsupported");
    let unknown = run(&["predict", "analyze", "--features", "mood", text]);
    assert_eq!(unknown.status, 2);
    assert!(unknown.err.contains("key_phrases"), "{}", unknown.err);

    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("letter.txt");
    std::fs::write(&file, text).expect("written");
    let path = file.to_str().expect("UTF-8");
    let masked = run(&["predict", "redact", path, "--types", "NAME,EMAIL"]);
    assert_eq!(
        masked.out,
        "************ was born in London. Write to *************** 👩🏽‍🚀."
    );
    let replaced = run(&[
        "predict", "redact", path, "--mode", "replace", "--types", "EMAIL", "--json",
    ])
    .json();
    assert_eq!(
        replaced[0]["text"],
        "Ada Lovelace was born in London. Write to [EMAIL] 👩🏽‍🚀."
    );
    std::fs::write(&file, "mi DNI es 12345678Z").expect("written");
    let spanish = run(&[
        "predict",
        "redact",
        path,
        "--language",
        "es",
        "--extensions",
        "--mask",
        "#",
    ]);
    assert_eq!(spanish.out, "mi DNI es #########");
    assert_eq!(
        run(&["predict", "redact", path, "--types", "SHOE"]).status,
        2
    );
    assert_eq!(run(&["predict", "redact", "not-there.txt"]).status, 1);
    let large = run(&["predict", "redact", path, "--set", "limits.rest_text=5B"]);
    assert_eq!(large.status, 1);
    assert!(large.err.contains("limits.rest_text"), "{}", large.err);
}

#[test]
fn lines_of_standard_input() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut child = escala(folder.path())
        .args(["predict", "language", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut input = child.stdin.take().expect("standard input");
    // More lines than one group holds, so that reading and answering alternate.
    let writer = std::thread::spawn(move || {
        for _ in 0..300 {
            input
                .write_all("Guten Tag, wie geht es Ihnen?\nCiao, come stai?\n".as_bytes())
                .expect("written");
        }
    });
    let output = child.wait_with_output().expect("an end");
    writer.join().expect("no panic");
    let lines = Said::of(&output).json();
    assert_eq!(lines.len(), 600);
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(
            line["languages"][0]["code"],
            ["de", "it"][index % 2],
            "line {index}"
        );
    }
}

#[test]
fn labels() {
    let image = golden("images").join("coffee.png");
    let said = run(&[
        "predict",
        "labels",
        &image.display().to_string(),
        "--max-labels",
        "5",
    ]);
    assert_eq!(said.status, 0, "{}", said.err);
    assert!(said.out.contains("Espresso"), "{}", said.out);
    let lines = run(&[
        "predict",
        "labels",
        "--json",
        "--properties",
        "--min-confidence",
        "50",
        &image.display().to_string(),
    ])
    .json();
    let espresso = lines[0]["labels"]
        .as_array()
        .expect("labels")
        .iter()
        .find(|label| label["name"] == "Espresso")
        .expect("espresso");
    let confidence = espresso["confidence"].as_f64().expect("a number");
    // The reference network gives 95.112 %.
    assert!((confidence - 95.112).abs() < 0.5, "{confidence}");
    assert!(lines[0]["properties"]["dominant_colors"][0]["hex"].is_string());
}

#[test]
fn a_bad_file_fails_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("no-image.jpg"), b"hello").expect("written");
    let image = golden("images").join("chelsea.png").display().to_string();
    let said = run_in(
        folder.path(),
        &["predict", "labels", "no-image.jpg", "not-there.png", &image],
        |command| command,
    );
    assert_eq!(said.status, 1, "{}", said.err);
    assert!(
        said.err.contains("no-image.jpg") && said.err.contains("not-there.png"),
        "{}",
        said.err
    );
    assert!(said.out.contains("Cat"), "{}", said.out);
}

/// A folder with two golden images, one of them in a folder inside, and a file that is no image.
fn album() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let photos = folder.path().join("photos");
    std::fs::create_dir_all(photos.join("more")).expect("made");
    for (from, to) in [("chelsea.png", "cat.png"), ("coffee.png", "more/cup.PNG")] {
        std::fs::copy(golden("images").join(from), photos.join(to)).expect("copied");
    }
    std::fs::write(photos.join("notes.txt"), "no image").expect("written");
    folder
}

fn picture(path: &Path) -> image::RgbImage {
    let file = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let decoded = image::load_from_memory_with_format(&file, image::ImageFormat::Png);
    decoded.expect("a PNG file").into_rgb8()
}

#[test]
fn folders_of_images() {
    let folder = album();
    let command = [
        "predict",
        "labels",
        "--json",
        "--min-confidence",
        "50",
        "photos",
    ];
    let flat = run_in(folder.path(), &command, |command| command).json();
    assert_eq!(flat.len(), 1, "{flat:?}");
    assert_eq!(flat[0]["file"], "photos/cat.png");
    let deep = [&command[..], &["--recursive"]].concat();
    let said = run_in(folder.path(), &deep, |command| command);
    // Nothing but answers, and no bar where there is no terminal.
    assert_eq!(said.err, "");
    let lines = said.json();
    let files: Vec<&Value> = lines.iter().map(|line| &line["file"]).collect();
    assert_eq!(files, ["photos/cat.png", "photos/more/cup.PNG"]);
    let cat = lines[0]["labels"].as_array().expect("labels").iter();
    let cat = cat
        .clone()
        .find(|label| label["name"] == "Cat")
        .expect("Cat");
    // The reference detector's box, inside the image of 451 x 300.
    let place = &cat["instances"][0]["box"];
    for (side, wanted) in [
        ("left", 0.2),
        ("top", 0.0),
        ("width", 449.1),
        ("height", 297.6),
    ] {
        let got = place[side].as_f64().expect("a number");
        assert!((got - wanted).abs() < 1.5, "{side}: {got} is not {wanted}");
    }
}

#[test]
fn pictures_of_answers() {
    let folder = album();
    let path = |name: &str| folder.path().join(name);
    let run = |arguments: &[&str]| run_in(folder.path(), arguments, |command| command);
    let said = run(&[
        "predict",
        "labels",
        "photos/cat.png",
        "--render",
        "deep/drawn.png",
    ]);
    assert_eq!(said.status, 0, "{}", said.err);
    assert!(
        said.out.starts_with("photos/cat.png -> deep/drawn.png\n"),
        "{}",
        said.out
    );
    let (before, after) = (
        picture(&path("photos/cat.png")),
        picture(&path("deep/drawn.png")),
    );
    assert_eq!(before.dimensions(), after.dimensions());
    assert!(before != after);
    // A folder of pictures; a bad file among them fails alone.
    std::fs::write(path("photos/broken.jpg"), b"hello").expect("written");
    let said = run(&[
        "predict",
        "labels",
        "--json",
        "photos",
        "--recursive",
        "--render",
        "drawn",
    ]);
    assert_eq!(said.status, 1, "{}", said.err);
    let lines: Vec<Value> = said
        .out
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 3, "{}", said.out);
    assert!(lines[0]["error"].is_string() && said.err.contains("photos/broken.jpg"));
    assert_eq!(lines[1]["picture"], "drawn/cat.png");
    assert_eq!(lines[2]["picture"], "drawn/more/cup.png");
    assert_eq!(picture(&path("drawn/cat.png")), after);
    assert!(picture(&path("drawn/more/cup.png")) != picture(&path("photos/more/cup.PNG")));
    assert!(!path("drawn/broken.png").exists());
    // Never over an image.
    let original = std::fs::read(path("photos/cat.png")).expect("readable");
    for to in ["photos", "photos/cat.png"] {
        let said = run(&["predict", "labels", "photos/cat.png", "--render", to]);
        assert_eq!(said.status, 2, "{to}: {}", said.err);
    }
    assert_eq!(
        std::fs::read(path("photos/cat.png")).expect("readable"),
        original
    );
    let said = run(&["predict", "labels", "photos", "--render", "one.png"]);
    assert_eq!(said.status, 2, "{}", said.err);
    assert!(said.err.contains("folder"), "{}", said.err);
}

#[test]
fn folders_without_images_are_said_to_be() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir_all(folder.path().join("empty/inside")).expect("made");
    let said = run_in(folder.path(), &["predict", "labels", "empty"], |command| {
        command
    });
    assert_eq!(said.status, 1);
    assert!(
        said.err.contains("no images") && said.err.contains("--recursive"),
        "{}",
        said.err
    );
}

#[test]
fn faces_are_compared() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let image = |name: &str| golden("images").join(name).display().to_string();
    let (astronaut, cat) = (image("astronaut.png"), image("chelsea.png"));
    let run = |arguments: &[&str]| run_in(folder.path(), arguments, |command| command);
    let to = [
        "predict", "compare", &astronaut, &astronaut, "--render", "both.png", "--json",
    ];
    let lines = run(&to).json();
    let similarity = lines[0]["faces"][0]["similarity"]
        .as_f64()
        .expect("a number");
    assert!(similarity > 99.0, "{similarity}");
    assert_eq!(lines[0]["picture"], "both.png");
    let both = picture(&folder.path().join("both.png"));
    assert!(both.width() > 1024 && both.height() == 512);
    let other = image("grace_hopper.jpg");
    let apart = [
        "predict",
        "compare",
        &astronaut,
        &other,
        "--threshold",
        "80",
        "--json",
    ];
    assert_eq!(run(&apart).json()[0]["faces"], Value::Array(Vec::new()));
    let page = image("ocr_synthetic.png");
    let read = |more: &[&str]| {
        let all = [&["predict", "image-text", &page, "--json"], more].concat();
        let found = run(&all).json();
        found[0]["lines"].as_array().expect("lines").len()
    };
    let upper = ["--region", "0,0,1,0.3", "--min-confidence", "10"];
    assert!((1..read(&[])).contains(&read(&upper)));
    let none = run(&["predict", "compare", &cat, &astronaut]);
    assert_eq!(none.status, 1);
    assert!(none.err.contains("the source has no face"), "{}", none.err);
    assert_eq!(run(&["predict", "compare", &cat]).status, 2);
}

#[test]
fn bodies_in_images() {
    let image = golden("images").join("astronaut.png").display().to_string();
    let said = run(&["predict", "bodies", &image]);
    assert_eq!(said.status, 0, "{}", said.err);
    assert!(said.out.contains("FACE HEAD"), "{}", said.out);
}

#[test]
fn embeddings() {
    let golden = golden_json("minilm.json");
    let item = &golden["items"][0];
    let lines = run(&["embed", "--json", item["text"].as_str().expect("text")]).json();
    let vector = lines[0]["embedding"].as_array().expect("a vector");
    assert_eq!(vector.len(), 384);
    for (got, want) in vector
        .iter()
        .zip(item["embedding_first8"].as_array().expect("numbers"))
    {
        let (got, want) = (
            got.as_f64().expect("a number"),
            want.as_f64().expect("a number"),
        );
        assert!((got - want).abs() <= 2e-5, "{got} is not {want}");
    }
    assert_eq!(
        lines[0]["tokens"],
        item["input_ids"].as_array().expect("ids").len()
    );
}

#[test]
fn embeddings_in_eight_bits() {
    let text = golden_json("minilm.json")["items"][0]["text"].clone();
    let vector = |precision: &str| -> Vec<f64> {
        let arguments = ["embed", "--json", "--precision", precision];
        let said = run(&[&arguments[..], &[text.as_str().expect("text")]].concat());
        let numbers = said.json()[0]["embedding"].clone();
        serde_json::from_value(numbers).expect("a vector")
    };
    let (full, short) = (vector("full"), vector("int8"));
    assert_ne!(full, short);
    // Both are of length 1.
    let cosine: f64 = full.iter().zip(&short).map(|(a, b)| a * b).sum();
    assert!(cosine > 0.99, "{cosine}");
    let said = run(&["embed", "--precision", "fp16", "a text"]);
    assert_eq!(said.status, 2);
    assert!(said.err.contains("use full or int8"), "{}", said.err);
}

#[test]
fn models_are_pulled_verified_and_removed() {
    // A folder of its own, so that what other tests use is not removed under them.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let models = folder.path().join("models").display().to_string();
    let run = |arguments: &[&str]| {
        run_in(
            folder.path(),
            &[&["--models-dir", &models], arguments].concat(),
            |command| command,
        )
    };
    let status = |name: &str| {
        let lines = run(&["models", "list", "--json"]).json();
        lines
            .iter()
            .find(|line| line["name"] == name)
            .unwrap_or_else(|| panic!("no {name} in {lines:?}"))["status"]
            .clone()
    };
    assert_eq!(status("lid.176"), "missing");
    assert_eq!(
        run(&["models", "pull", "lid.176", "--json"]).json()[0]["status"],
        "ready"
    );
    assert_eq!(status("lid.176"), "ready");
    let verified = run(&["models", "verify", "lid.176", "--json"]).json();
    assert_eq!(verified[0]["status"], "verified");
    assert!(verified[0]["files"].as_u64().expect("files") >= 1);

    // Damage is noticed, and pulling repairs it.
    let largest = walk(Path::new(&models))
        .into_iter()
        .max_by_key(|(_, length)| *length)
        .expect("files")
        .0;
    let mut bytes = std::fs::read(&largest).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(&largest).expect("removable");
    std::fs::write(&largest, bytes).expect("writable");
    let damaged = run(&["models", "verify", "lid.176"]);
    assert_eq!(damaged.status, 1, "{}", damaged.out);
    assert!(damaged.err.contains("lid.176"), "{}", damaged.err);

    assert_eq!(
        run(&["models", "rm", "lid.176", "--json"]).json()[0]["status"],
        "removed"
    );
    assert_eq!(status("lid.176"), "missing");
    let unknown = run(&["models", "pull", "no-such-model"]);
    assert_eq!(unknown.status, 2);
    assert!(unknown.err.contains("no-such-model"), "{}", unknown.err);
}

fn walk(folder: &Path) -> Vec<(std::path::PathBuf, u64)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        match entry.file_type().expect("a type").is_dir() {
            true => files.extend(walk(&entry.path())),
            false => files.push((entry.path(), entry.metadata().expect("metadata").len())),
        }
    }
    files
}

#[test]
fn without_weights_and_network_it_says_what_is_missing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let said = run_in(
        folder.path(),
        &[
            "predict",
            "language",
            "hello",
            "--offline",
            "--models-dir",
            "empty",
        ],
        |command| command,
    );
    assert_eq!(said.status, 1, "{}", said.out);
    assert!(
        said.err.contains("lid.176") && said.err.contains("offline"),
        "{}",
        said.err
    );
    assert!(said.out.is_empty(), "{}", said.out);
}

#[test]
fn the_configuration_in_force_and_its_origins() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(
        folder.path().join("escala.toml"),
        "[limits]\ntext = \"5KB\"\n",
    )
    .expect("written");
    let arguments = ["config", "--json", "--set", "engine.lanes=2"];
    let said = run_in(folder.path(), &arguments, |command| {
        command.env("ESCALA_LIMITS_TEXTS", "7")
    });
    let config = said.json().remove(0);
    assert_eq!(
        (
            &config["limits.text"]["value"],
            config["limits.texts"]["value"].as_i64()
        ),
        (&Value::from("5KB"), Some(7))
    );
    assert_eq!(config["engine.lanes"]["value"], 2);
    assert_eq!(config["listen"]["value"], "127.0.0.1:4566");
    let origin = |key: &str| {
        config[key]["origin"]
            .as_str()
            .expect("an origin")
            .to_owned()
    };
    assert!(origin("limits.text").contains("escala.toml"));
    assert!(origin("limits.texts").contains("ESCALA_LIMITS_TEXTS"));
    assert_eq!(origin("listen"), "default");

    // What it prints loads back as it is.
    let printed = run_in(folder.path(), &["config"], |command| command);
    std::fs::write(folder.path().join("again.toml"), &printed.out).expect("written");
    let again = run_in(
        folder.path(),
        &["config", "--json", "--config", "again.toml"],
        |command| command,
    )
    .json()
    .remove(0);
    assert_eq!(again["limits.text"]["value"], "5KB");
}

#[test]
fn secrets_are_not_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for arguments in [&["config"][..], &["config", "--json"]] {
        let said = run_in(folder.path(), arguments, |command| {
            command.env("ESCALA_MODELS_HUB_TOKEN", "hf_secret")
        });
        assert_eq!(said.status, 0, "{}", said.err);
        assert!(
            !said.out.contains("hf_secret") && !said.err.contains("hf_secret"),
            "{}",
            said.out
        );
    }
}

/// What is wrong, the arguments, a variable, and what the message must name.
type WrongSetting = (
    &'static str,
    &'static [&'static str],
    Option<(&'static str, &'static str)>,
    &'static str,
);

#[test]
fn wrong_settings_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("typo.toml"), "[limits]\ntxt = \"5KB\"\n").expect("written");
    std::fs::write(folder.path().join("broken.toml"), "[limits\n").expect("written");
    let cases: [WrongSetting; 6] = [
        (
            "an unknown key in the file",
            &["config", "--config", "typo.toml"],
            None,
            "limits.txt",
        ),
        (
            "a file that is no TOML",
            &["config", "--config", "broken.toml"],
            None,
            "broken.toml",
        ),
        (
            "a file that is not there",
            &["config", "--config", "none.toml"],
            None,
            "none.toml",
        ),
        (
            "an unknown variable",
            &["config"],
            Some(("ESCALA_LIMITS_TXT", "1")),
            "ESCALA_LIMITS_TXT",
        ),
        (
            "an unknown key by flag",
            &["config", "--set", "limits.txt=1"],
            None,
            "limits.txt",
        ),
        (
            "a wrong value",
            &["serve", "--listen", "nowhere"],
            None,
            "listen",
        ),
    ];
    for (what, arguments, variable, named) in cases {
        let said = run_in(folder.path(), arguments, |command| command.envs(variable));
        assert_eq!(said.status, 2, "{what}: {}{}", said.out, said.err);
        assert!(said.err.contains(named), "{what}: {}", said.err);
    }
}

#[test]
fn wrong_commands_are_refused_and_help_helps() {
    assert_eq!(run(&["predict", "weather"]).status, 2);
    assert_eq!(run(&["embed"]).status, 2);
    let help = run(&["--help"]);
    assert_eq!(help.status, 0);
    for command in ["serve", "predict", "embed", "models", "config"] {
        assert!(help.out.contains(command), "{command} is not in the help");
    }
    assert!(run(&["--version"]).out.contains(env!("CARGO_PKG_VERSION")));
}
