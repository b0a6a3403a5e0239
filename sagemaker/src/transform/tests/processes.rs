//! Transform jobs and the processes that do them: what is left of one that was killed, forgotten jobs, and what a process
//! holds at most.

use super::*;

/// What is kept here and what the runner knows agree again, whatever the runner has forgotten or never knew.
#[test]
fn a_job_that_the_runner_does_not_know_is_done_or_given_up() {
    let mut ground = Ground::new(&[("data/a", b"1\n")]);
    for name in ["lost", "forgotten", "stopping"] {
        ground.completed(request(name));
    }
    let back = |name: &str, change: fn(&mut Resource)| {
        let changed = ground
            .transforms
            .store
            .update(Kind::TransformJob, name, |resource| {
                "InProgress".clone_into(&mut resource.status);
                change(resource);
                Ok::<_, Error>(())
            });
        assert_eq!(changed.unwrap(), Some(()));
    };
    back("lost", |resource| {
        resource.body.as_object_mut().unwrap().remove(SUBMITTED);
    });
    back("forgotten", |_| ());
    back("stopping", |resource| {
        "Stopping".clone_into(&mut resource.status)
    });
    ground.runner = None;
    std::fs::remove_dir_all(ground.folder.path().join("jobs")).unwrap();
    let before = ground.model.asked.lock().len();
    let place = Arc::new(ground.objects.clone());
    let options = Options::default();
    let (model, folder) = (ground.model.clone(), ground.folder.path());
    let (transforms, runner) = started(folder, place, model, options);
    ground.transforms = transforms;
    ground.runner = Some(runner);
    assert_eq!(ground.ended("lost")["TransformJobStatus"], "Completed");
    assert_eq!(ground.model.asked.lock().len(), before + 1);
    let forgotten = ground.ended("forgotten");
    assert!(
        text(&forgotten, "FailureReason").contains("forgotten"),
        "{forgotten}"
    );
    assert_eq!(ground.ended("stopping")["TransformJobStatus"], "Stopped");
}

const FOLDER: &str = "ESCALA_TEST_TRANSFORM_FOLDER";
const POINT: &str = "ESCALA_TEST_TRANSFORM_POINT";

/// A process that does a job, and ends in the middle of it where it is told to.
fn child(folder: &Path, point: &str) {
    let objects = local::Local::open(&folder.join("objects")).unwrap();
    for bucket in ["inputs", "out"] {
        match objects.create_bucket(bucket) {
            Ok(()) => {
                for (key, lines) in [("data/a", 40), ("data/b", 1), ("data/c", 5)] {
                    let name = ObjectName::new("inputs", key, None).unwrap();
                    let text: String = (0..lines).map(|row| format!("{key},{row}\n")).collect();
                    let text = text.replace("data/", "9").replace(['a', 'b', 'c'], "1");
                    if bucket == "inputs" {
                        let mut new = objects.create(&name).unwrap();
                        new.write_all(text.as_bytes()).unwrap();
                        new.commit().unwrap();
                    }
                }
            }
            Err(error) => assert!(folder.join("begun").exists(), "{error}"),
        }
    }
    std::fs::write(folder.join("begun"), b"").unwrap();
    let notes = std::fs::File::options()
        .append(true)
        .create(true)
        .open(folder.join("asked"))
        .unwrap();
    let model = Arc::new(Sums {
        held: AtomicBool::new(true),
        notes: Some(notes),
        ..Sums::default()
    });
    let wanted = point.to_owned();
    let reached = move |point: Point| {
        if format!("{point:?}") == wanted {
            // Without a word to anybody, as a kill does it.
            std::process::abort();
        }
    };
    let options = Options {
        cut: CUT,
        tasks: 1,
        reached: Some(Arc::new(reached)),
        ..Options::default()
    };
    let objects = Arc::new(objects);
    let (transforms, _runner) = started(folder, objects, model, options);
    let create = transforms.call(&caller(), "CreateTransformJob", &request("job"));
    match create.unwrap() {
        Ok(_) => {}
        Err(error) => assert_eq!(error.code, refusal::IN_USE),
    }
    let began = Instant::now();
    loop {
        let name = json!({"TransformJobName": "job"});
        let job = transforms.call(&caller(), "DescribeTransformJob", &name);
        let job = job.unwrap().unwrap();
        if !LIVE.contains(&text(&job, "TransformJobStatus")) {
            assert_eq!(job["TransformJobStatus"], "Completed", "{job}");
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{job}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn run(folder: &Path, point: &str) -> bool {
    again("a_killed_job_is_done_once", folder, point)
}

/// Does a test in a process of its own.
fn again(test: &str, folder: &Path, point: &str) -> bool {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("transform::tests::processes::{test}")])
        .env(FOLDER, folder)
        .env(POINT, point)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status();
    status.unwrap().success()
}

/// Of each object of the output its text, and how many requests there were.
fn results(folder: &Path) -> (Vec<String>, usize) {
    let objects = local::Local::open(&folder.join("objects")).unwrap();
    let texts = ["a", "b", "c"].map(|key| read(&objects, &format!("answers/{key}.out")));
    let asked = std::fs::read_to_string(folder.join("asked")).unwrap();
    (texts.to_vec(), asked.lines().count())
}

#[test]
fn a_killed_job_is_done_once() {
    if let (Some(folder), Ok(point)) = (std::env::var_os(FOLDER), std::env::var(POINT)) {
        return child(Path::new(&folder), &point);
    }
    let undisturbed = tempfile::tempdir().unwrap();
    assert!(run(undisturbed.path(), ""));
    let (expected, requests) = results(undisturbed.path());
    assert_eq!(requests, 46);
    assert_eq!(expected[1], "91\n");
    for (point, again) in [
        ("Planned", 0),
        // A task of at most three records.
        ("MidBatch", 3),
        ("PartWritten", 3),
        ("PartPublished", 3),
        ("MidAssembly", 0),
        ("OutputWritten", 0),
        ("BeforeCompleted", 0),
    ] {
        let folder = tempfile::tempdir().unwrap();
        assert!(!run(folder.path(), point), "{point} is reached");
        assert!(run(folder.path(), ""), "{point}");
        let (texts, asked) = results(folder.path());
        assert_eq!(texts, expected, "{point}");
        assert!(asked <= requests + again, "{point}: {asked} requests");
    }
}

/// Bytes of an object that is unpacked.
const LARGE: u64 = 400 << 20;

/// What this process held at most, in bytes.
#[cfg(target_os = "linux")]
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.unwrap().trim().strip_suffix("kB").unwrap();
    kilobytes.trim().parse::<u64>().unwrap() << 10
}

/// Its records go through, request by request.
#[cfg(target_os = "linux")]
#[test]
fn an_object_is_never_held_whole() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        let folder = tempfile::tempdir().unwrap();
        assert!(again("an_object_is_never_held_whole", folder.path(), ""));
        let held = std::fs::read_to_string(folder.path().join("held")).unwrap();
        println!("{held} bytes were held at most");
        return;
    };
    let line = [&[b'1'; 1023][..], b"\n"].concat();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..LARGE / line.len() as u64 {
        gzip.write_all(&line).unwrap();
    }
    let packed = gzip.finish().unwrap();
    let model = Sums {
        forgets: true,
        ..Sums::default()
    };
    let ground = Ground::with(&[("data/a.gz", &packed)], model, 10);
    let large = changed(
        "large",
        &[
            ("TransformInput/CompressionType", "Gzip".into()),
            (
                "TransformInput/ContentType",
                "application/x-recordio".into(),
            ),
            ("BatchStrategy", "MultiRecord".into()),
        ],
    );
    ground.completed(large);
    let written = ground.output("answers/a.gz.out");
    let lengths: Vec<u64> = written.lines().map(|line| line.parse().unwrap()).collect();
    // As many as fit into six megabytes, with their ends; the last end of each is left out.
    let [first, .., _] = lengths[..] else {
        panic!("{lengths:?}")
    };
    assert_eq!(first, (6 << 20) - 1);
    assert_eq!(lengths.iter().sum::<u64>() + lengths.len() as u64, LARGE);
    let peak = peak();
    std::fs::write(Path::new(&folder).join("held"), peak.to_string()).unwrap();
    assert!(peak < LARGE / 4, "{peak} bytes were held");
}
