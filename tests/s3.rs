//! Objects in buckets: S3's clients, unmodified, against the real binary. What they check is in `tests/clients/s3*.py`.

mod common;

use common::{Server, Setup, golden_image, python};
use std::fs;
use std::path::Path;

fn setup(data: &Path) -> Setup {
    let set = format!("data.dir={}", data.display());
    Setup {
        arguments: ["--preload", "", "--set", &set].map(str::to_owned).to_vec(),
        ..Setup::default()
    }
}

#[test]
fn boto3() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let folder = data.path().join("objects/folder");
    fs::create_dir_all(folder.join("deep")).expect("made");
    fs::write(folder.join("top.txt"), b"top").expect("written");
    fs::write(folder.join("deep/er.txt"), b"deep").expect("written");
    fs::write(data.path().join("objects/secret"), b"secret").expect("written");
    let server = Server::start(&setup(data.path()));
    python::s3_script("s3.py", &server);
    server.assert_sound("all of it");
    let metrics = server.get("/metrics").text;
    assert!(metrics.contains("door=\"s3\""), "{metrics}");
}

#[test]
fn the_aws_cli_pyarrow_and_pandas() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(&setup(data.path()));
    python::s3_script("s3_tools.py", &server);
    server.assert_sound("all of it");
}

/// What was acknowledged is there when the server is started again, killed or not, and Rekognition reads it.
#[test]
fn objects_outlive_a_killed_server() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let mut server = Server::start(&setup(data.path()));
    let photo = golden_image("astronaut.png");
    let made = server.s3("PUT", "/photos", b"");
    assert_eq!(made.status, 200, "{made:?}");
    for (key, bytes) in [("astronaut.png", &photo[..]), ("text", b"no picture")] {
        let put = server.s3("PUT", &format!("/photos/{key}"), bytes);
        assert_eq!(put.status, 200, "{put:?}");
        // Killed: the one after it must get the lock, and find what was acknowledged.
        drop(server);
        server = Server::start(&setup(data.path()));
    }
    let got = server.s3("GET", "/photos/astronaut.png", b"");
    assert!(got.status == 200 && got.body == photo, "other bytes");
    let properties = |name: &str| {
        let asked = serde_json::json!({
            "Image": {"S3Object": {"Bucket": "photos", "Name": name}},
            "Features": ["IMAGE_PROPERTIES"],
        });
        server.aws(
            "RekognitionService.DetectLabels",
            asked.to_string().as_bytes(),
        )
    };
    let found = properties("astronaut.png").ok();
    let sharpness = &found["ImageProperties"]["Quality"]["Sharpness"];
    assert!(sharpness.is_number(), "{found}");
    for (name, code) in [
        ("text", "InvalidImageFormatException"),
        ("none", "InvalidS3ObjectException"),
    ] {
        let refused = properties(name);
        assert_eq!(refused.status, 400, "{refused:?}");
        assert_eq!(refused.json()["__type"], code, "{refused:?}");
    }
}
