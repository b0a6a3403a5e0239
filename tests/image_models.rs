//! Image networks that users bring, through the real binary: every way to name one, every door that answers with it, and
//! what is said where it does not fit. The numbers of all networks are held to their references in
//! `pipelines/tests/image_models.rs`; here it is some of them.

mod common;
#[allow(dead_code, clippy::unwrap_used)] // a part is used; a test fails by panicking
#[path = "../weights/tests/common/hub.rs"]
mod hub;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use common::image_models::{Checkpoint, checkpoint, export, written};
use common::{Server, Setup, escala, golden, golden_image};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// What a command prints on its standard output, or on its standard error.
fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().expect("runs");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    }
}

/// The binary with models of its own and no network.
fn alone(folder: &Path) -> Command {
    let mut command = escala(folder);
    command
        .env("ESCALA_MODELS_DIR", folder.join("models"))
        .env("ESCALA_MODELS_OFFLINE", "true")
        .env_remove("HF_ENDPOINT");
    command
}

fn lines(text: &str) -> Vec<Value> {
    let line = |line: &str| serde_json::from_str(line).expect("JSON");
    text.lines().map(line).collect()
}

fn near(got: &Value, want: f32, tolerance: f64, what: &str) {
    let got = got.as_f64().unwrap_or_else(|| panic!("{what}: {got}"));
    assert!(
        (got - f64::from(want)).abs() < tolerance,
        "{what}: {got}, not {want}"
    );
}

/// The score of each class in an answer is its share.
fn are(answer: &Value, names: &[String], shares: &[f32], what: &str) {
    let classes = answer["classes"].as_array().expect("classes");
    assert_eq!(classes.len(), shares.len(), "{answer}");
    for (name, share) in names.iter().zip(shares) {
        let class = classes.iter().find(|class| class["name"] == **name);
        near(&class.expect("a class")["score"], *share, 2e-5, what);
    }
}

fn serve(hub: &hub::Hub, repo: &str, files: &[(String, Vec<u8>)]) {
    let listed: Vec<Value> = files
        .iter()
        .map(|(name, _)| json!({"rfilename": name}))
        .collect();
    let listing = json!({"sha": "0123abcd", "siblings": listed}).to_string();
    hub.serve(
        &format!("/api/models/{repo}/revision/main"),
        listing.into_bytes(),
    );
    for (name, bytes) in files {
        hub.serve(&format!("/{repo}/resolve/0123abcd/{name}"), bytes.clone());
    }
}

#[test]
fn every_door_classifies_images_with_the_checkpoint_that_is_named() {
    let vit = checkpoint("vit");
    let folder = vit.folder();
    let names = vit.classes();
    let named = format!("image-classes={}", folder.path().display());
    let nowhere = tempfile::tempdir().expect("a folder");
    let files: Vec<_> = vit
        .cases
        .iter()
        .map(|case| golden("images").join(&case.image))
        .collect();
    let printed = output(
        alone(nowhere.path())
            .args(["predict", "classify-image", "--json", "--model", &named])
            .args(&files),
    );
    let printed = lines(&printed.expect("answers"));
    for (case, answer) in vit.cases.iter().zip(&printed) {
        are(answer, &names, &case.shares, "the command line");
        assert!(
            answer["file"]
                .as_str()
                .expect("a name")
                .ends_with(&case.image)
        );
    }
    let table = output(
        alone(nowhere.path())
            .args([
                "predict",
                "classify-image",
                "--max-classes",
                "1",
                "--model",
                &named,
            ])
            .arg(&files[0]),
    );
    let table = table.expect("a table");
    assert!(
        table.contains("zebra") && !table.contains("tabby"),
        "{table}"
    );

    let server = Server::start(&Setup {
        arguments: ["--preload", "", "--model", &named]
            .map(str::to_owned)
            .to_vec(),
        ..Setup::default()
    });
    for case in &vit.cases {
        let image = golden_image(&case.image);
        let answer = server.post("/v1/images/classify", "image/png", &image).ok();
        are(&answer, &names, &case.shares, "the image as body");
        let body = json!({"image": BASE64_STANDARD.encode(&image), "max_classes": 2});
        let answer = server.post_json("/v1/images/classify", &body).ok();
        let classes = answer["classes"].as_array().expect("classes");
        assert_eq!(classes.len(), 2);
        near(&classes[0]["score"], case.shares[2], 2e-5, "the likeliest");
    }
    let image = golden_image("chelsea.png");
    for (path, media, body, code) in [
        (
            "/v1/images/classify?max_classes=0",
            "image/png",
            &image[..],
            "invalid_input",
        ),
        (
            "/v1/images/classify?classes=1",
            "image/png",
            &image,
            "invalid_input",
        ),
        (
            "/v1/images/classify",
            "image/png",
            b"no image",
            "invalid_image",
        ),
        (
            "/v1/images/classify",
            "application/json",
            br#"{"image": "", "colour": 1}"#,
            "invalid_input",
        ),
    ] {
        server
            .post(path, media, body)
            .assert_rest_error(400, code, path);
    }
    let document = server.get("/openapi.json").ok();
    assert!(document["paths"]["/v1/images/classify"]["post"].is_object());
}

#[test]
fn without_a_classifier_the_doors_say_how_to_name_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let said = output(alone(folder.path()).args(["predict", "classify-image", "x.png"]));
    let said = said.expect_err("none is named");
    assert!(said.contains("--model image-classes="), "{said}");
    let server = Server::start(&Setup {
        arguments: ["--preload", ""].map(str::to_owned).to_vec(),
        ..Setup::default()
    });
    let answer = server.post(
        "/v1/images/classify",
        "image/png",
        &golden_image("coffee.png"),
    );
    answer.assert_rest_error(400, "unsupported", "no classifier");
    assert!(answer.text.contains("--model image-classes="), "{answer:?}");
}

/// What `DetectLabels` says of an image.
fn detect_labels(server: &Server, image: &str) -> Value {
    let body = json!({"Image": {"Bytes": BASE64_STANDARD.encode(golden_image(image))}, "MinConfidence": 0});
    let target = "RekognitionService.DetectLabels";
    server.aws(target, body.to_string().as_bytes()).ok()
}

fn label<'v>(answer: &'v Value, name: &str) -> &'v Value {
    let labels = answer["Labels"].as_array().expect("labels");
    let found = labels.iter().find(|label| label["Name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {answer}"))
}

#[test]
fn a_detector_and_a_classifier_of_ones_own_answer_detect_labels() {
    let (yolo, vit) = (export("yolo8"), checkpoint("vit"));
    let (detector, classifier) = (yolo.folder(), vit.folder());
    let server = Server::start(&Setup {
        arguments: [
            "--preload".to_owned(),
            String::new(),
            "--model".to_owned(),
            format!("objects={}", detector.path().display()),
            "--model".to_owned(),
            format!("labels={}", classifier.path().display()),
        ]
        .to_vec(),
        ..Setup::default()
    });
    for (found, shares) in yolo.cases.iter().zip(&vit.cases) {
        let answer = detect_labels(&server, &found.image);
        let espresso = label(&answer, "Espresso");
        near(
            &espresso["Confidence"],
            100.0 * shares.shares[1],
            2e-3,
            "espresso",
        );
        let parents: Vec<&Value> = espresso["Parents"]
            .as_array()
            .expect("parents")
            .iter()
            .map(|p| &p["Name"])
            .collect();
        assert_eq!(parents, ["Beverage", "Coffee", "Food"]);
        let own = label(&answer, "a thing of its own");
        near(
            &own["Confidence"],
            100.0 * shares.shares[3],
            2e-3,
            "a class",
        );
        assert_eq!(
            (&own["Parents"], &own["Categories"]),
            (&json!([]), &json!([]))
        );

        let gadget = label(&answer, "gadget");
        let instances = gadget["Instances"].as_array().expect("instances");
        assert_eq!(instances.len(), found.detections.len());
        let image = image::load_from_memory(&golden_image(&found.image)).expect("an image");
        let (width, height) = (image.width() as f32, image.height() as f32);
        for (instance, wanted) in instances.iter().zip(&found.detections) {
            let [left, top, right, bottom] = wanted.edges;
            near(
                &instance["Confidence"],
                100.0 * wanted.score,
                5e-3,
                "an instance",
            );
            let place = &instance["BoundingBox"];
            near(&place["Left"], left / width, 2e-4, "left");
            near(&place["Top"], top / height, 2e-4, "top");
            near(&place["Width"], (right - left) / width, 2e-4, "width");
            near(&place["Height"], (bottom - top) / height, 2e-4, "height");
        }
    }
    let answer = server.post(
        "/v1/images/labels?min_confidence=0",
        "image/png",
        &golden_image("coffee.png"),
    );
    let answer = answer.ok();
    assert_eq!(
        answer["model_version"],
        classifier.path().to_str().expect("UTF-8")
    );
}

/// The detector's weights are random: where it sees helmets is no more than that, but what it sees must come through.
#[test]
fn a_detector_of_covers_says_what_people_wear() {
    let mut files = export("yolo8").contents();
    for (old, new) in [
        ("person", "hard-hat"),
        ("cat", "Safety_Glove"),
        ("sofa", "no helmet"),
        ("gadget", "mask"),
        ("cup", "boots"),
    ] {
        let declared = String::from_utf8(files[0].1.clone()).expect("UTF-8");
        files[0].1 = declared
            .replace(&format!("\"{old}\""), &format!("\"{new}\""))
            .into_bytes();
    }
    let folder = written(&files);
    let serve = |task: &str| {
        Server::start(&Setup {
            arguments: [
                "--preload".to_owned(),
                String::new(),
                "--model".to_owned(),
                format!("{task}={}", folder.path().display()),
            ]
            .to_vec(),
            ..Setup::default()
        })
    };
    let (dressing, seeing) = (serve("covers"), serve("objects"));
    let seen = detect_labels(&seeing, "astronaut.png");
    let boxes = |name: &str| -> Vec<Value> {
        let labels = seen["Labels"].as_array().expect("labels").iter();
        let mut named = labels.filter(|label| label["Name"] == name);
        let instances = named.next().map(|label| label["Instances"].clone());
        let instances = instances.unwrap_or_default();
        let instances = instances.as_array().cloned().unwrap_or_default();
        instances
            .iter()
            .map(|one| one["BoundingBox"].clone())
            .collect()
    };
    let types = ["HEAD_COVER", "HAND_COVER", "FACE_COVER"];
    let known = [
        (types[0], boxes("hard-hat"), &["HEAD"][..]),
        (
            types[1],
            boxes("Safety_Glove"),
            &["LEFT_HAND", "RIGHT_HAND"],
        ),
        (types[2], boxes("mask"), &["FACE"]),
    ];
    let body = json!({
        "Image": {"Bytes": BASE64_STANDARD.encode(golden_image("astronaut.png"))},
        "SummarizationAttributes": {"MinConfidence": 50, "RequiredEquipmentTypes": types},
    });
    let target = "RekognitionService.DetectProtectiveEquipment";
    let answer = dressing.aws(target, body.to_string().as_bytes()).ok();
    let persons = answer["Persons"].as_array().expect("persons");
    assert_eq!(persons.len(), 1, "{answer}");
    let mut found = 0;
    for part in persons[0]["BodyParts"].as_array().expect("parts") {
        for worn in part["EquipmentDetections"].as_array().expect("covers") {
            let mut of = known.iter().filter(|one| worn["Type"] == one.0);
            let (_, boxes, parts) = of.next().expect("a type that was seen");
            assert!(boxes.contains(&worn["BoundingBox"]), "{worn} of {boxes:?}");
            assert!(parts.iter().any(|name| part["Name"] == *name), "{part}");
            found += 1;
        }
    }
    assert!(found > 0, "nothing is worn: {answer}, {seen}");
    // What is worn is known now: nobody is left undecided whose parts are seen.
    let summary = &answer["Summary"];
    let lists = ["With", "Without"].map(|which| {
        let list = summary[format!("Persons{which}RequiredEquipment")].as_array();
        list.map_or(0, Vec::len)
    });
    assert_eq!(lists.iter().sum::<usize>(), 1, "{summary}");
    let rest = dressing
        .post(
            "/v1/images/bodies",
            "image/png",
            &golden_image("astronaut.png"),
        )
        .ok();
    let parts = rest["persons"][0]["parts"]
        .as_array()
        .expect("parts")
        .iter();
    let worn = parts.filter_map(|part| part["equipment"].as_array());
    assert_eq!(worn.map(Vec::len).sum::<usize>(), found, "{rest}");
}

/// The names of what is listed, and the detector in force.
fn listed(command: &mut Command) -> (Vec<String>, String) {
    let printed = output(command.args(["models", "list"])).expect("a list");
    let names = printed.lines().skip(1);
    let names = names.map_while(|line| line.split_whitespace().next().map(str::to_owned));
    let detector = printed
        .lines()
        .find_map(|line| line.strip_prefix("objects are found by "));
    (names.collect(), detector.expect("the detector").to_owned())
}

#[test]
fn checkpoints_come_from_a_hub_once_and_are_looked_after() {
    let hub = hub::Hub::empty();
    let (vit, yolo) = (checkpoint("vit"), export("yolo8"));
    serve(&hub, "org/tiny-vit", &vit.contents());
    serve(&hub, "org/tiny-yolo", &yolo.contents());
    serve(
        &hub,
        "org/bare",
        &[("model.onnx".to_owned(), yolo.network())],
    );
    let mut wrong = yolo.contents();
    wrong[0].1 = b"task = \"object-detector\"\ncolour = 1\n".to_vec();
    serve(&hub, "org/wrong", &wrong);
    let folder = tempfile::tempdir().expect("a folder");
    let online = || {
        let mut command = escala(folder.path());
        command
            .env("HF_ENDPOINT", hub.endpoint())
            .env("ESCALA_MODELS_DIR", folder.path().join("models"));
        command
    };
    let pulled = output(online().args(["models", "pull", "org/tiny-vit", "org/tiny-yolo"]));
    assert_eq!(pulled.expect("pulled").matches("ready").count(), 2);
    let asked = hub.requests().len();

    let (names, detector) = listed(&mut alone(folder.path()));
    assert!(
        names.contains(&"org/tiny-vit".to_owned()) && names.contains(&"org/tiny-yolo".to_owned())
    );
    assert_eq!(detector, "nanodet-g");
    let classified = output(
        alone(folder.path())
            .args([
                "predict",
                "classify-image",
                "--json",
                "--model",
                "image-classes=org/tiny-vit",
            ])
            .arg(golden("images").join(&vit.cases[0].image)),
    );
    are(
        &lines(&classified.expect("answers"))[0],
        &vit.classes(),
        &vit.cases[0].shares,
        "from a hub",
    );
    let (_, detector) = listed(alone(folder.path()).args(["--model", "objects=org/tiny-yolo"]));
    assert_eq!(detector, "org/tiny-yolo");
    let verified = output(alone(folder.path()).args(["models", "verify"])).expect("verified");
    assert!(
        verified.contains("org/tiny-vit: every checksum holds (3 files"),
        "{verified}"
    );
    assert!(
        verified.contains("org/tiny-yolo: every checksum holds (2 files"),
        "{verified}"
    );
    assert_eq!(
        hub.requests().len(),
        asked,
        "nothing more is asked of the hub"
    );
    output(alone(folder.path()).args(["models", "rm", "org/tiny-vit"])).expect("removed");
    let (names, _) = listed(&mut alone(folder.path()));
    assert!(!names.contains(&"org/tiny-vit".to_owned()), "{names:?}");

    for (repo, says) in [
        ("org/bare", "no model.toml that says what it reads"),
        ("org/wrong", "unknown field `colour`"),
        ("org/absent", "404"),
        ("org/a/b", "no model named"),
    ] {
        let said = output(online().args(["models", "pull", repo])).expect_err(repo);
        assert!(said.contains(says), "{repo}: {said}");
    }
}

/// The better detector becomes the default where it lies already, and only there.
#[test]
fn rt_detr_is_the_detector_wherever_it_is() {
    let tiny = checkpoint("rt_detr");
    let hub = hub::Hub::empty();
    serve(&hub, "PekingU/rtdetr_r18vd", &tiny.contents());
    let folder = tempfile::tempdir().expect("a folder");
    let models = folder.path().join("models");
    assert_eq!(listed(&mut alone(folder.path())).1, "nanodet-g");

    let local = tempfile::tempdir().expect("a folder");
    let lying = local.path().join("rtdetr_r50vd");
    std::fs::create_dir(&lying).expect("a folder");
    for (name, bytes) in tiny.contents() {
        std::fs::write(lying.join(name), bytes).expect("written");
    }
    let local = local.path().to_str().expect("UTF-8");
    let (_, detector) = listed(alone(folder.path()).args(["--local-dir", local]));
    assert_eq!(Path::new(&detector), lying);
    serves_boxes(tiny, &models, &["--local-dir", local], &detector);

    let pulled = output(
        escala(folder.path())
            .env("HF_ENDPOINT", hub.endpoint())
            .env("ESCALA_MODELS_DIR", &models)
            .args(["models", "pull", "PekingU/rtdetr_r18vd"]),
    );
    pulled.expect("pulled");
    assert_eq!(listed(&mut alone(folder.path())).1, "PekingU/rtdetr_r18vd");
    serves_boxes(tiny, &models, &[], "PekingU/rtdetr_r18vd");
    // Whoever names another has that one.
    let (_, detector) = listed(alone(folder.path()).args(["--model", "objects=nanodet-g"]));
    assert_eq!(detector, "nanodet-g");
}

/// A server with these models says which detector is in force and answers with its boxes.
fn serves_boxes(tiny: &Checkpoint, models: &Path, arguments: &[&str], detector: &str) {
    let classifier = checkpoint("vit").folder();
    let labels = format!("labels={}", classifier.path().display());
    let mut all = vec!["--offline", "--preload", "objects", "--model", &labels];
    all.extend(arguments);
    let setup = Setup {
        arguments: all.into_iter().map(str::to_owned).collect(),
        ..Setup::default()
    };
    let server = Server::start(&setup.with("ESCALA_MODELS_DIR", models.to_str().expect("UTF-8")));
    let log = server.log();
    assert!(
        log.contains(&format!("objects is ready ({detector})")),
        "{log}"
    );
    let case = &tiny.cases[0];
    let answer = detect_labels(&server, &case.image);
    let surest = case
        .detections
        .iter()
        .find(|found| found.label == 3)
        .expect("gadgets");
    let instances = label(&answer, "gadget")["Instances"]
        .as_array()
        .expect("instances")
        .clone();
    near(
        &instances[0]["Confidence"],
        100.0 * surest.score,
        5e-3,
        "the surest",
    );
    // Its classes have the labels of COCO's kinds, whatever the list calls them.
    assert!(
        !label(&answer, "Couch")["Instances"]
            .as_array()
            .expect("instances")
            .is_empty()
    );
}

/// An entry of an operator's catalogue: the network in a folder beside it.
fn entry(name: &str, network: &[u8], declaration: &str) -> String {
    let declaration = declaration
        .replace("[input]", "[declaration.input]")
        .replace("[detections]", "[declaration.detections]");
    format!(
        r#"name = "{name}"
version = "1"
task = "image classes"
title = "A network of ours"
licence = "MIT"
notice = "Ours."

[[files]]
name = "net.onnx"
bytes = {}
sha256 = "{}"

[[sources]]
kind = "folder"
folder = "networks"
paths = {{ "net.onnx" = "{name}.onnx" }}

[[outputs]]
name = "model.onnx"
from = "net.onnx"
convert = {{ kind = "copy" }}

[declaration]
{declaration}"#,
        network.len(),
        hub::sha(network),
    )
}

#[test]
fn an_operators_catalogue_adds_models() {
    let convnext = export("convnext");
    let network = convnext.network();
    let catalog = written(&[(
        "ours.toml".to_owned(),
        entry("ours", &network, &convnext.declaration).into_bytes(),
    )]);
    let networks = catalog.path().join("networks");
    std::fs::create_dir(&networks).expect("a folder");
    std::fs::write(networks.join("ours.onnx"), &network).expect("written");
    let folder = tempfile::tempdir().expect("a folder");
    let path = catalog.path().to_str().expect("UTF-8").to_owned();
    let with = || {
        let mut command = alone(folder.path());
        command.args(["--catalog", &path]);
        command
    };
    let printed = output(with().args(["models", "list", "--json"])).expect("a list");
    let listed = lines(&printed);
    let ours = listed
        .iter()
        .find(|line| line["name"] == "ours")
        .expect("is listed");
    assert_eq!(
        (&ours["status"], &ours["licence"]),
        (&json!("missing"), &json!("MIT"))
    );
    let ask = || {
        output(
            with()
                .args([
                    "predict",
                    "classify-image",
                    "--json",
                    "--model",
                    "image-classes=ours",
                ])
                .arg(golden("images").join(&convnext.cases[1].image)),
        )
    };
    let names = ["tabby", "espresso", "zebra", "a", "b"].map(str::to_owned);
    are(
        &lines(&ask().expect("answers"))[0],
        &names,
        &convnext.cases[1].shares,
        "from the catalogue",
    );
    let listed = lines(&output(with().args(["models", "list", "--json"])).expect("a list"));
    assert!(
        listed
            .iter()
            .any(|line| line["name"] == "ours" && line["status"] == "ready")
    );

    // Another file than the pinned one is not used.
    output(with().args(["models", "rm", "ours"])).expect("removed");
    std::fs::write(networks.join("ours.onnx"), &network[1..]).expect("written");
    let said = ask().expect_err("another file");
    assert!(said.contains("bytes, not"), "{said}");

    // An entry that cannot be used is said at once, with its file and key.
    for (at, with_text, says) in [
        (
            "[declaration.input]",
            "[declaration.input]\ncolour = 1",
            "unknown field `colour`",
        ),
        ("width = 32", "width = 0", "`input.width` is 0"),
        (
            "name = \"ours\"",
            "name = \"nanodet-g\"",
            "a second model named \"nanodet-g\"",
        ),
        (
            "name = \"model.onnx\"",
            "name = \"other.onnx\"",
            "declaration names \"model.onnx\"",
        ),
        ("ours.onnx", "../ours.onnx", "must be relative and plain"),
    ] {
        let text = entry("ours", &network, &convnext.declaration);
        assert!(text.contains(at), "{at}");
        std::fs::write(
            catalog.path().join("ours.toml"),
            text.replacen(at, with_text, 1),
        )
        .expect("written");
        let said = output(with().args(["models", "list"])).expect_err(with_text);
        assert!(
            said.contains(says) && said.contains("ours.toml"),
            "{with_text}: {said}"
        );
    }
    let said = output(alone(folder.path()).args(["models", "list", "--catalog", "/nowhere"]));
    assert!(said.expect_err("no folder").contains("/nowhere"));
}

#[test]
fn what_cannot_take_a_place_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let yolo = export("yolo8").folder();
    let image = golden("images").join("coffee.png");
    let ask = |task: &str, model: &Path, command: &str| {
        let named = format!("{task}={}", model.display());
        output(
            alone(folder.path())
                .args(["predict", command, "--model", &named])
                .arg(&image),
        )
        .expect_err("refused")
    };
    let said = ask("image-classes", yolo.path(), "classify-image");
    assert!(
        said.contains("it is an object detector, not an image classifier"),
        "{said}"
    );
    let said = ask("labels", yolo.path(), "labels");
    assert!(
        said.contains("it is an object detector, not an image classifier"),
        "{said}"
    );
    // The warm-up shows what no file does.
    let text = export("convnext")
        .declaration
        .replace("\"a\", \"b\"", "\"a\"");
    let convnext = export("convnext").folder();
    std::fs::write(convnext.path().join("model.toml"), text).expect("written");
    let said = ask("image-classes", convnext.path(), "classify-image");
    assert!(
        said.contains("the network gives 5 scores for 4 classes"),
        "{said}"
    );
    std::fs::write(
        convnext.path().join("model.toml"),
        "task = \"image-classifier\"\nfile = \"/etc/passwd\"\n",
    )
    .expect("written");
    let said = ask("image-classes", convnext.path(), "classify-image");
    assert!(said.contains("model.toml"), "{said}");
    let said = ask(
        "image-classes",
        &folder.path().join("nothing"),
        "classify-image",
    );
    assert!(said.contains("is no checkpoint"), "{said}");
    let said = output(alone(folder.path()).args(["models", "list", "--model", "faces=x"]));
    assert!(said.expect_err("no such key").contains("unknown key"));
    let said = output(alone(folder.path()).args(["serve", "--preload", "image-classes"]));
    assert!(
        said.expect_err("none is named")
            .contains("`checkpoints.image_classes`")
    );
}
