//! Buckets elsewhere, in servers that others wrote: moto's S3 and Azurite, Microsoft's stand-in for Azure. Their own clients put
//! and look at what Escala gets and puts.
#![cfg(feature = "remote")]

#[path = "../../tests/common/cloud.rs"]
mod cloud;
#[path = "../../tests/common/port.rs"]
mod port;
#[allow(dead_code)] // other tests use the rest
#[path = "../../tests/common/venv.rs"]
mod venv;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cloud::{AZURITE, Cloud};
use escala_objects::local::About;
use escala_objects::remote::{Remote, Settings};
use escala_objects::{Described, Error, ObjectName, ObjectStore, WritableStore, suite};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

/// For what comes about by itself.
const PATIENCE: Duration = Duration::from_secs(120);

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Cloud {
    fn settings(&self, bucket: &str, folder: &str) -> Settings {
        let scheme = match self.kind {
            "s3" => "s3",
            _ => "az",
        };
        Settings {
            endpoint: Some(self.url.clone()),
            allow_http: true,
            account: (self.kind == "azure").then(|| AZURITE.0.to_owned()),
            ..Settings::of(&format!("{scheme}://{bucket}{folder}"))
        }
    }

    /// Buckets, by the names that they have here and there.
    fn remote(&self, buckets: &[(&str, String)], folder: &str) -> Remote {
        let settings: BTreeMap<&str, Settings> = buckets
            .iter()
            .map(|(name, there)| (*name, self.settings(there, folder)))
            .collect();
        let settings = settings.iter().map(|(name, settings)| (*name, settings));
        Remote::new(settings, &credentials).expect("usable")
    }

    fn reads(&self, own: &str, folder: &str) {
        suite::reads(|buckets, objects| {
            let there = |bucket: &str| format!("{own}-{}", bucket.replace('.', "-"));
            let named: Vec<(&str, String)> = buckets.iter().map(|one| (*one, there(one))).collect();
            let names: Vec<String> = named.iter().map(|(_, there)| there.clone()).collect();
            self.buckets(&names);
            let prefix = match folder.strip_prefix('/') {
                Some(folder) => format!("{folder}/"),
                None => String::new(),
            };
            let put = |(bucket, key, bytes): &(&str, &str, &[u8])| {
                json!([
                    "put",
                    there(bucket),
                    format!("{prefix}{key}"),
                    STANDARD.encode(bytes)
                ])
            };
            let puts: Vec<Value> = objects.iter().map(put).collect();
            self.does(&puts);
            self.remote(&named, folder)
        });
    }

    fn writes(&self, own: &str) {
        let make = |buckets: &[&str]| {
            let named: Vec<(&str, String)> = buckets
                .iter()
                .map(|bucket| (*bucket, format!("{own}-{bucket}")))
                .collect();
            let names: Vec<String> = named.iter().map(|(_, there)| there.clone()).collect();
            self.buckets(&names);
            self.remote(&named, "")
        };
        // Keys are paths here.
        suite::writes_keys(make, |key| {
            let bad = |part: &str| matches!(part, "" | "." | "..");
            !key.split('/').any(bad)
                && !key.bytes().any(|byte| byte.is_ascii_control())
                && (self.kind == "s3" || !key.contains('\\'))
        });
    }

    /// Objects that are uploads in parts, and what is left of those that are not finished.
    fn uploads(&self, own: &str) {
        let there = format!("{own}-large");
        self.buckets(std::slice::from_ref(&there));
        let remote = self.remote(&[("large", there.clone())], "/in/folders");
        // Not periodic in parts, so that one in the place of another is noticed.
        let bytes: Vec<u8> = (0..21_000_003_u32)
            .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let key = ObjectName::new("large", "a/b c.bin", None).expect("a name");
        let about = About {
            content_type: Some("text/x-escala".to_owned()),
            user: BTreeMap::from([("colour".to_owned(), "blue".to_owned())]),
            ..About::default()
        };
        let under_way = || self.does(&[json!(["uploads", there])])[0].clone();
        let mut dropped = remote.create(&key).expect("begun");
        dropped.write_all(&bytes).expect("written");
        assert!(matches!(remote.open(&key), Err(Error::NoKey(..))));
        if self.kind == "s3" {
            assert_eq!(under_way(), json!(1), "the upload is not one in parts");
        }
        drop(dropped);
        wait_for("the end of the upload", || under_way() == json!(0));
        assert_eq!(remote.list("large", "", "", 10).expect("listed"), []);

        let mut new = remote.create_described(&key, &about).expect("begun");
        for piece in bytes.chunks(1_234_567) {
            new.write_all(piece).expect("written");
        }
        let kept = new.commit().expect("committed");
        assert_eq!(kept.length, bytes.len() as u64);
        assert_eq!(remote.list("large", "", "", 10).expect("listed"), [kept]);
        let told = remote.describe(&key).expect("there");
        assert_eq!(told.about, about);
        let there = self.does(&[
            json!(["get", there, "in/folders/a/b c.bin"]),
            json!(["keys", there]),
        ]);
        let theirs = STANDARD.decode(there[0]["bytes"].as_str().expect("bytes"));
        assert!(theirs.expect("base64") == bytes, "other bytes there");
        assert_eq!(there[0]["type"], "text/x-escala");
        assert_eq!(there[0]["metadata"]["colour"], "blue");
        assert_eq!(there[1], json!(["in/folders/a/b c.bin"]));
        let mut ours = Vec::new();
        let mut object = remote.open(&key).expect("there");
        object.bytes.read_to_end(&mut ours).expect("read");
        assert!(ours == bytes, "other bytes here");
        let mut part = Vec::new();
        let range = 8_388_600..8_388_700;
        let mut object = remote.open_range(&key, range).expect("there");
        object.bytes.read_to_end(&mut part).expect("read");
        assert_eq!(part, bytes[8_388_600..8_388_700]);
    }

    /// What is no path there is neither listed nor read, and nothing else is lost by it.
    fn other_keys(&self, own: &str) {
        let there = format!("{own}-odd");
        let odd = ["folder/", "folder/a//b", "folder/a", "z"];
        let mut commands = vec![json!(["bucket", there])];
        commands.extend(odd.map(|key| json!(["put", there, key, ""])));
        self.does(&commands);
        let remote = self.remote(&[("odd", there)], "");
        let keys = |prefix: &str| -> Vec<String> {
            let listed = remote.list("odd", prefix, "", 10).expect("listed");
            listed.into_iter().map(|one| one.key).collect()
        };
        assert_eq!(keys(""), ["folder/a", "z"]);
        assert_eq!(keys("folder/"), ["folder/a"]);
        let marker = ObjectName::new("odd", "folder/", None).expect("a name");
        assert!(matches!(remote.open(&marker), Err(Error::NoKey(..))));
        let all = ["z".to_owned(), "nothing".to_owned()];
        remote.delete_all("odd", &all).expect("deleted");
        assert_eq!(keys(""), ["folder/a"]);
    }

    /// A bucket that is there no more, or never was.
    fn without_a_bucket(&self, own: &str) {
        let remote = self.remote(&[("gone", format!("{own}-gone"))], "");
        let name = ObjectName::new("gone", "key", None).expect("a name");
        let none = |error: Option<Error>| {
            assert!(
                matches!(&error, Some(Error::NoBucket(name)) if name == "gone"),
                "{error:?}"
            );
        };
        none(remote.open(&name).err());
        none(remote.describe(&name).err());
        none(remote.list("gone", "", "", 10).err());
        none(remote.create(&name).err());
        none(remote.delete(&name).err());
    }
}

fn credentials(name: &str) -> Option<String> {
    let value = match name {
        "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => "anything",
        "AZURE_STORAGE_ACCOUNT_KEY" => AZURITE.1,
        _ => return None,
    };
    Some(value.to_owned())
}

#[test]
fn s3() {
    let cloud = Cloud::s3();
    cloud.reads("reads", "");
    cloud.reads("reads-deep", "/in/a folder");
    cloud.writes("writes");
    cloud.uploads("uploads");
    cloud.other_keys("keys");
    cloud.without_a_bucket("without");
}

#[test]
fn azure() {
    let Some(cloud) = Cloud::azure() else {
        return;
    };
    cloud.reads("reads-deep", "/in/a folder");
    cloud.writes("writes");
    cloud.uploads("uploads");
    cloud.other_keys("keys");
    cloud.without_a_bucket("without");
}

#[test]
fn what_may_only_be_read_is_not_written() {
    let cloud = Cloud::s3();
    cloud.buckets(&["reading".to_owned()]);
    let settings = Settings {
        read_only: true,
        ..cloud.settings("reading", "")
    };
    let remote = Remote::new([("reading", &settings)], &credentials).expect("usable");
    let name = ObjectName::new("reading", "key", None).expect("a name");
    assert!(matches!(remote.create(&name).err(), Some(Error::Denied)));
    assert!(matches!(remote.delete(&name), Err(Error::Denied)));
    assert_eq!(remote.list("reading", "", "", 10).expect("listed"), []);
}
