//! Buckets that are elsewhere, in the real server: S3 is played by moto.
#![cfg(feature = "remote")]

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::cloud::Cloud;
use common::{Server, Setup, escala, golden_image, python};
use serde_json::json;
use std::path::Path;

const SECRET: &str = "not-to-be-seen";

/// A server with buckets in the cloud.
fn serve(data: &Path, cloud: &str) -> Server {
    let settings = data.join("settings.toml");
    let text = format!(
        r#"
[objects.remote.photos]
url = "s3://pictures/2026/summer"
endpoint = "{cloud}"
allow_http = true

[objects.remote.texts]
url = "s3://texts"
endpoint = "{cloud}"
allow_http = true
env_prefix = "OTHER_"
timeout = "10s"

[objects.remote.frozen]
url = "s3://pictures"
endpoint = "{cloud}"
allow_http = true
read_only = true

[objects.remote.ghost]
url = "s3://there-is-none"
endpoint = "{cloud}"
allow_http = true
"#
    );
    std::fs::write(&settings, text).expect("written");
    let path = |path: &Path| path.to_str().expect("a plain path").to_owned();
    let mut setup = Setup::default()
        .with("ESCALA_DATA_DIR", &path(data))
        .with("ESCALA_CONFIG", &path(&settings))
        .with("ESCALA_MODELS_PRELOAD", "language,labels")
        .with("ESCALA_LOG_LEVEL", "debug");
    for prefix in ["", "OTHER_"] {
        for (name, value) in [("ID", "an-id"), ("SECRET", SECRET)] {
            let variable = match (prefix, name) {
                ("", "ID") => "AWS_ACCESS_KEY_ID",
                ("", _) => "AWS_SECRET_ACCESS_KEY",
                (_, "ID") => "OTHER_AWS_ACCESS_KEY_ID",
                _ => "OTHER_AWS_SECRET_ACCESS_KEY",
            };
            setup = setup.with(variable, value);
        }
    }
    Server::start(&setup)
}

#[test]
fn boto3() {
    let data = tempfile::tempdir().expect("a folder");
    let cloud = Cloud::s3();
    cloud.buckets(&["pictures".to_owned(), "texts".to_owned()]);
    let photo = STANDARD.encode(golden_image("chelsea.png"));
    let lines = "¿Dónde está la biblioteca?\nGuten Tag, wie geht es Ihnen heute?\n";
    cloud.does(&[
        json!(["put", "pictures", "2026/summer/", ""]),
        json!(["put", "pictures", "2026/summer/cats/chelsea.png", photo]),
        json!(["put", "pictures", "2026/winter.png", photo]),
        json!(["put", "texts", "in/one.txt", STANDARD.encode(lines)]),
        json!([
            "put",
            "texts",
            "in/two.txt",
            STANDARD.encode("Bonjour tout le monde")
        ]),
    ]);
    let server = serve(data.path(), &cloud.url);
    python::script_with("remote.py", &server, &[("CLOUD_URL", &cloud.url)]);
    server.assert_sound("all of it");
    assert!(!server.log().contains(SECRET), "the log has a secret");

    // The cloud goes away: the server says so and goes on, and begins without it, too.
    drop(cloud);
    let ask = |server: &Server| {
        let image = json!({"S3Object": {"Bucket": "photos", "Name": "cats/chelsea.png"}});
        let asked = json!({"Image": image}).to_string();
        server.aws("RekognitionService.DetectLabels", asked.as_bytes())
    };
    let refused = ask(&server);
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.json()["__type"], "ServiceUnavailableException");
    let nowhere = server.s3("GET", "/texts/in/one.txt", b"");
    assert_eq!(nowhere.status, 500, "{nowhere:?}");
    assert_eq!(server.s3("PUT", "/after", b"").status, 200);
    assert_eq!(server.s3("PUT", "/after/key", b"bytes").status, 200);
    drop(server);
    let server = serve(data.path(), "http://127.0.0.1:9");
    assert_eq!(ask(&server).status, 503);
    assert_eq!(server.s3("GET", "/after/key", b"").body, b"bytes");
}

#[test]
fn what_cannot_be_ends_the_start_and_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    for (settings, variables, part) in [
        (
            "{ photos = { url = \"s3://pictures\" } }",
            &[("AWS_ACCESS_KEY_ID", "an-id")][..],
            "AWS_SECRET_ACCESS_KEY is not",
        ),
        (
            "{ photos = { url = \"s3://pictures\" } }",
            &[("AWS_PROFILE", "work")],
            "profiles are not read",
        ),
        (
            "{ photos = { url = \"ftp://pictures\" } }",
            &[],
            "`url` is s3://BUCKET",
        ),
        (
            "{ Photos = { url = \"s3://pictures\" } }",
            &[],
            "lower-case",
        ),
        (
            "{ photos = { url = \"s3://pictures\", secret_access_key = \"not-to-be-seen\" } }",
            &[],
            "unknown field `secret_access_key`",
        ),
        ("photos", &[], "inline table"),
    ] {
        let mut command = escala(folder.path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
            command.env_remove(name);
        }
        let output = command
            .args(["serve", "--listen", "127.0.0.1:0", "--preload", "", "--set"])
            .arg(format!("objects.remote={settings}"))
            .envs(variables.iter().copied())
            .output()
            .expect("runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{settings}: {said}");
        assert!(
            said.contains(part) && said.contains("objects.remote"),
            "{said}"
        );
        assert!(!said.contains(SECRET), "{said}");
    }
    let output = escala(folder.path())
        .args(["config", "--set"])
        .arg("objects.remote={ photos = { url = \"s3://pictures\", read_only = true } }")
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("s3://pictures") && !said.contains(SECRET),
        "{said}"
    );
}
