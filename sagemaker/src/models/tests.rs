//! Models: as resources, as files, and open.

use super::*;
use crate::archive;
use crate::refusal::Result;
use crate::testing::{self, caller};
use escala_objects::memory::Memory;
use serde_json::json;
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::Ordering;

struct Place {
    models: Models,
    objects: Memory,
    _folder: tempfile::TempDir,
}

fn place(memory: u64) -> Place {
    let options = Options {
        memory,
        disk: 1,
        ..Options::default()
    };
    place_of(options)
}

fn place_of(options: Options) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let objects = Memory::default();
    objects.bucket("models");
    let models = Models::new(
        Arc::new(Store::open(&folder.path().join("store")).unwrap()),
        Arc::new(objects.clone()),
        vec![Arc::new(crate::learned::Learned::new(1))],
        folder.path().join("unpacked"),
        options,
    );
    Place {
        models: models.unwrap(),
        objects,
        _folder: folder,
    }
}

impl Place {
    fn call(&self, operation: &str, input: Value) -> Result<Value> {
        self.models.call(&caller(), operation, &input).unwrap()
    }

    fn create(&self, name: &str, container: Value) -> Result<Value> {
        self.call(
            "CreateModel",
            json!({"ModelName": name, "PrimaryContainer": container}),
        )
    }
}

#[test]
fn models_are_made_described_listed_and_deleted() {
    let place = place(1 << 30);
    let container = json!({
        "Image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1",
        "ModelDataUrl": "s3://models/not/there.tar.gz",
        "Environment": {"A": "b"},
    });
    let made = place.create("m", container.clone()).unwrap();
    let arn = "arn:aws:sagemaker:us-east-1:000000000000:model/m";
    assert_eq!(made, json!({"ModelArn": arn}));
    let again = place.create("m", container).unwrap_err();
    assert_eq!(
        again.message,
        format!("Cannot create already existing model \"{arn}\".")
    );
    let said = place
        .call("DescribeModel", json!({"ModelName": "m"}))
        .unwrap();
    assert_eq!(said["PrimaryContainer"]["Mode"], "SingleModel");
    assert_eq!(said["PrimaryContainer"]["Environment"]["A"], "b");
    assert!(said["CreationTime"].as_f64().unwrap() > 1e9);
    let listed = place.call("ListModels", json!({})).unwrap();
    assert_eq!(listed["Models"][0]["ModelArn"], arn);
    let error = place.models.open("m").err().unwrap();
    assert!(
        matches!(&error, Unopened::Absent(why) if why.contains("Could not find model data at s3://models/not/there")),
        "{error}"
    );
    let gone = json!({"ModelName": "m"});
    assert_eq!(place.call("DeleteModel", gone.clone()).unwrap(), json!({}));
    for operation in ["DeleteModel", "DescribeModel"] {
        let absent = place.call(operation, gone.clone()).unwrap_err();
        assert_eq!(absent.message, format!("Could not find model \"{arn}\"."));
    }
}

#[test]
fn what_cannot_be_a_model_is_refused_in_sentences() {
    let place = place(1 << 30);
    let source = |data, compression| json!({"S3DataSource": {"S3Uri": "s3://models/x", "S3DataType": data, "CompressionType": compression}});
    for (container, why) in [
        (json!({}), "needs an Image"),
        (
            json!({"Image": "xgboost", "ModelPackageName": "p"}),
            "no model packages",
        ),
        (
            json!({"Image": "xgboost", "ModelDataUrl": "https://models/x"}),
            "s3://BUCKET/KEY",
        ),
        (
            json!({"Image": "xgboost", "ModelDataUrl": "s3://models"}),
            "s3://BUCKET/KEY",
        ),
        (
            json!({"Image": "xgboost", "Mode": "MultiModel"}),
            "needs a ModelDataUrl",
        ),
        (
            json!({"Image": "xgboost", "ModelDataUrl": "s3://m/x", "ModelDataSource": source("S3Object", "Gzip")}),
            "only one of",
        ),
        (
            json!({"Image": "xgboost", "ModelDataSource": source("S3Prefix", "Gzip")}),
            "S3DataType is S3Object",
        ),
    ] {
        let refused = place.create("m", container).unwrap_err();
        assert!(refused.message.contains(why), "{}", refused.message);
    }
    let one = json!({"Image": "xgboost"});
    for input in [
        json!({"ModelName": "m"}),
        json!({"ModelName": "m", "Containers": [one, one]}),
        json!({"ModelName": "m", "PrimaryContainer": one, "Containers": [one]}),
    ] {
        place.call("CreateModel", input).unwrap_err();
    }
    place
        .call(
            "CreateModel",
            json!({"ModelName": "m", "Containers": [one]}),
        )
        .unwrap();
    let unknown = place.create("x", json!({"Image": "tensorflow-inference:2"}));
    let error = unknown.unwrap_err().message;
    assert!(
        error.starts_with(
            "Requested image tensorflow-inference:2 not found: what is run: the algorithms xgboost"
        ),
        "{error}"
    );
}

#[test]
fn data_are_archives_files_or_one_file() {
    let place = place(1 << 30);
    let folder = tempfile::tempdir().unwrap();
    testing::learn("kmeans", folder.path());
    for (name, path, _) in archive::files(folder.path()).unwrap() {
        let bytes = std::fs::read(path).unwrap();
        place
            .objects
            .put("models", &format!("files/{name}"), &bytes);
        place.objects.put("models", "files/folder/", b"");
        let source = json!({"S3DataSource": {"S3Uri": format!("s3://models/files/{name}"), "S3DataType": "S3Object", "CompressionType": "None"}});
        place
            .create(
                "file",
                json!({"Image": "kmeans", "ModelDataSource": source}),
            )
            .unwrap();
    }
    place
        .objects
        .put("models", "a.tar.gz", &testing::archive("kmeans"));
    place
        .objects
        .put("models", "broken.tar.gz", b"this is no archive");
    let source = json!({"S3DataSource": {"S3Uri": "s3://models/files/", "S3DataType": "S3Prefix", "CompressionType": "None"}});
    place
        .create(
            "files",
            json!({"Image": "kmeans", "ModelDataSource": source}),
        )
        .unwrap();
    place
        .create(
            "archive",
            json!({"Image": "kmeans", "ModelDataUrl": "s3://models/a.tar.gz"}),
        )
        .unwrap();
    place
        .create(
            "broken",
            json!({"Image": "kmeans", "ModelDataUrl": "s3://models/broken.tar.gz"}),
        )
        .unwrap();
    for name in ["files", "archive", "file"] {
        place.models.open(name).unwrap();
        place.models.open(name).unwrap();
    }
    let counts = &place.models.counts;
    assert_eq!(counts.loads.load(Ordering::Relaxed), 3);
    assert_eq!(counts.hits.load(Ordering::Relaxed), 3);
    let error = place.models.open("broken").err().unwrap().to_string();
    assert!(
        error.starts_with("s3://models/broken.tar.gz: it is no gzipped tar archive"),
        "{error}"
    );
}

#[test]
fn two_hundred_models_share_a_budget() {
    let archive = testing::archive("kmeans");
    let probe = place(1 << 30);
    probe.objects.put("models", "p", &archive);
    probe
        .create(
            "p",
            json!({"Image": "kmeans", "ModelDataUrl": "s3://models/p"}),
        )
        .unwrap();
    let one = probe.models.open("p").unwrap().memory();
    let place = place(one * 5);
    for at in 0..200 {
        place
            .objects
            .put("models", &format!("many/{at}.tar.gz"), &archive);
    }
    place
        .create(
            "many",
            json!({"Image": "kmeans", "Mode": "MultiModel", "ModelDataUrl": "s3://models/many/"}),
        )
        .unwrap();
    let pinned = place.models.open_target("many", "0.tar.gz").unwrap();
    for at in 0..200 {
        place
            .models
            .open_target("many", &format!("{at}.tar.gz"))
            .unwrap();
        assert!(place.models.held().0 <= one * 5);
    }
    let counts = &place.models.counts;
    assert_eq!(place.models.held(), (one * 5, 5));
    assert_eq!(counts.evictions.load(Ordering::Relaxed), 195);
    assert_eq!(counts.hits.load(Ordering::Relaxed), 1);
    // Unpacked folders beyond the disk's share go, too: those of open models and those that are pinned stay.
    let folders = || std::fs::read_dir(&place.models.folder).unwrap();
    let open = counts.loads.load(Ordering::Relaxed) - counts.evictions.load(Ordering::Relaxed);
    let all: HashSet<String> = folders()
        .map(|folder| folder.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(all.len(), 200);
    place.models.clear(|| None);
    place.models.clear(|| Some(all));
    assert_eq!(folders().count(), 200);
    place.models.clear(|| Some(HashSet::new()));
    assert_eq!(folders().count() as u64, open);
    let held: Vec<_> = (195..199)
        .map(|at| {
            place
                .models
                .open_target("many", &format!("{at}.tar.gz"))
                .unwrap()
        })
        .collect();
    let full = place.models.open_target("many", "7.tar.gz");
    assert!(matches!(full, Err(Unopened::Full(_))));
    drop((held, pinned));
    place.models.open_target("many", "7.tar.gz").unwrap();
    let absent = place.models.open_target("many", "x.tar.gz");
    assert!(matches!(absent, Err(Unopened::Absent(_))));
    assert!(matches!(
        place.models.open("many"),
        Err(Unopened::Absent(_))
    ));
    let before = place.models.held().1;
    place.models.sweep(Duration::ZERO);
    assert_eq!(place.models.held().1, before);
}

/// A model whose place was given up while somebody waited for it has it again: its memory counts.
#[test]
fn a_model_is_open_only_where_its_memory_counts() {
    let place = place(1 << 30);
    place
        .objects
        .put("models", "a", &testing::archive("kmeans"));
    let container = json!({"Image": "kmeans", "ModelDataUrl": "s3://models/a"});
    place.create("a", container).unwrap();
    let models = &place.models;
    let what = models.definition("a").unwrap();
    let first = models.open_as(&what, None, Keep::Room).unwrap();
    let slot = models.slots.lock()[&what.key(None)].clone();
    let open = slot.open.lock();
    let waited = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| models.open_as(&what, None, Keep::Room).unwrap());
        // It has the place and waits for what is in it.
        while Arc::strong_count(&slot) < 3 {
            std::thread::yield_now();
        }
        models.slots.lock().clear();
        drop(open);
        waiting.join().unwrap()
    });
    assert!(Arc::ptr_eq(&first, &waited));
    assert_eq!(models.held(), (first.memory(), 1));
    let again = models.open_as(&what, None, Keep::Room).unwrap();
    assert!(Arc::ptr_eq(&first, &again));
}

#[test]
fn unpacked_models_that_nobody_uses_do_not_stay() {
    let unpacked = |after: Duration| {
        let place = place_of(Options {
            unpacked: after,
            ..Options::default()
        });
        let archive = testing::archive("kmeans");
        place.objects.put("models", "a", &archive);
        let container = json!({"Image": "kmeans", "ModelDataUrl": "s3://models/a"});
        place.create("a", container).unwrap();
        let open = place.models.open_for_batch("a", &BTreeMap::new()).unwrap();
        let mut pinned = place.models.definition("a").unwrap();
        place.models.pin(&mut pinned).unwrap();
        let folders = || std::fs::read_dir(&place.models.folder).unwrap().count();
        let sweep = |pinned: Option<Vec<String>>| {
            place.models.sweep(Duration::ZERO);
            place.models.clear(|| pinned.map(HashSet::from_iter));
            folders()
        };
        let while_open = sweep(Some(Vec::new()));
        drop(open);
        // What an endpoint was deployed with stays, and all where nobody knows what that is.
        let untold = sweep(None);
        let deployed = sweep(Some(vec![pinned.pinned.unwrap()]));
        let after = sweep(Some(vec!["another".to_owned()]));
        // It is fetched again.
        place.models.open("a").unwrap();
        [while_open, untold, deployed, after, folders()]
    };
    assert_eq!(unpacked(Duration::ZERO), [1, 1, 1, 0, 1]);
    assert_eq!(unpacked(Duration::from_secs(3600)), [1; 5]);
}

#[test]
fn what_a_job_says_of_the_environment_goes_before_what_the_model_says() {
    let place = place(1 << 30);
    let archive = testing::archive("kmeans");
    place.objects.put("models", "a", &archive);
    // Which is refused where it is not empty.
    let selected = "SAGEMAKER_INFERENCE_OUTPUT";
    let opened = |of_model: &str, of_job: Option<&str>| {
        let container = json!({
            "Image": "kmeans", "ModelDataUrl": "s3://models/a", "Environment": {selected: of_model},
        });
        let name = format!("m{of_model}");
        let _ = place.create(&name, container);
        let said = of_job.map(|said| (selected.to_owned(), said.to_owned()));
        let opened = place
            .models
            .open_for_batch(&name, &said.into_iter().collect());
        opened.map(drop).map_err(|error| error.to_string())
    };
    for (of_model, of_job, is) in [
        ("", None, true),
        ("", Some("score"), false),
        ("score", None, false),
        ("score", Some(""), true),
    ] {
        let opened = opened(of_model, of_job);
        assert_eq!(opened.is_ok(), is, "{of_model:?} {of_job:?}");
        assert!(opened.err().is_none_or(|why| why.contains(selected)));
    }
}

#[test]
fn a_model_that_a_script_answers_for_is_refused() {
    let place = place(1 << 30);
    let folder = tempfile::tempdir().unwrap();
    testing::learn("kmeans", folder.path());
    std::fs::create_dir(folder.path().join("code")).unwrap();
    let pack = || {
        let mut bytes = Vec::new();
        archive::pack(folder.path(), &mut bytes).unwrap();
        bytes
    };
    // What lies there and is no script that answers is left alone.
    std::fs::write(folder.path().join("code/requirements.txt"), "numpy").unwrap();
    place.objects.put("models", "plain", &pack());
    std::fs::write(
        folder.path().join("code/inference.py"),
        "def predict_fn(): ...",
    )
    .unwrap();
    place.objects.put("models", "scripted", &pack());
    std::fs::rename(
        folder.path().join("code/inference.py"),
        folder.path().join("code/serve.py"),
    )
    .unwrap();
    place.objects.put("models", "named", &pack());
    let program = |name: &str| json!({"SAGEMAKER_PROGRAM": name, "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"});
    let elsewhere = json!({"SAGEMAKER_PROGRAM": "a.py", "SAGEMAKER_SUBMIT_DIRECTORY": "s3://models/code.tar.gz"});
    for (name, data, environment, script) in [
        ("a", "plain", json!({}), None),
        ("b", "plain", program(""), None),
        ("c", "named", json!({}), None),
        ("d", "scripted", json!({}), Some("inference.py")),
        ("e", "named", program("serve.py"), Some("serve.py")),
        ("f", "plain", elsewhere, Some("a.py")),
    ] {
        let container = json!({
            "Image": "kmeans", "ModelDataUrl": format!("s3://models/{data}"), "Environment": environment
        });
        place.create(name, container).unwrap();
        match (place.models.open(name), script) {
            (Ok(_), None) => {}
            (Err(Unopened::Failed(why)), Some(script)) => {
                assert!(
                    why.contains(script) && why.contains("not run here"),
                    "{why}"
                );
            }
            (opened, _) => panic!("{name}: {:?}", opened.err()),
        }
    }
}

#[test]
fn a_model_that_many_ask_for_is_opened_once() {
    let place = place(1 << 30);
    place
        .objects
        .put("models", "a", &testing::archive("kmeans"));
    place
        .create(
            "a",
            json!({"Image": "kmeans", "ModelDataUrl": "s3://models/a"}),
        )
        .unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| place.models.open("a").map(|_| ()).unwrap());
        }
    });
    assert_eq!(place.models.counts.loads.load(Ordering::Relaxed), 1);
}
