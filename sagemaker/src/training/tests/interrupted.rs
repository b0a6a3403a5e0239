//! Training jobs that are stopped, run out of time, or lose their process: what they leave, and how they go on.

use super::*;

#[test]
fn what_is_stopped_leaves_what_it_learned() {
    let machine = Machine::new();
    let process = machine.start();
    let mut asked = request("long", "patient", &[("train", "data/train/")], json!({}));
    asked["AlgorithmSpecification"]["MetricDefinitions"] =
        json!([{"Name": "loss", "Regex": "loss=([0-9.]+)"}]);
    process.create(asked);
    process.until("long", |job| text(job, "SecondaryStatus") == "Training");
    process
        .call("StopTrainingJob", json!({"TrainingJobName": "long"}))
        .unwrap();
    let job = process.ended("long");
    assert_eq!(text(&job, "TrainingJobStatus"), STOPPED, "{job}");
    assert_eq!(statuses(&job).last(), Some(&"Stopped"));
    assert_eq!(job["FinalMetricDataList"][0]["MetricName"], "loss");
    assert!(
        unpacked(&artefact_of(&machine, &job))
            .path()
            .join("steps")
            .exists()
    );
    // One that has no turn yet.
    for number in 0..3 {
        process.create(request(
            &format!("many-{number}"),
            "patient",
            &[("train", "data/train/")],
            json!({}),
        ));
    }
    for number in 0..3 {
        let name = format!("many-{number}");
        process
            .call("StopTrainingJob", json!({"TrainingJobName": name}))
            .unwrap();
        assert_eq!(text(&process.ended(&name), "TrainingJobStatus"), STOPPED);
    }
}

#[test]
fn what_is_stopped_leaves_its_checkpoint_to_the_next_job() {
    let machine = Machine::new();
    let process = machine.start();
    let train = |name: &str| {
        let mut asked = request(name, "patient", &[("train", "data/train/")], json!({}));
        asked["CheckpointConfig"] = json!({"S3Uri": "s3://bucket/kept"});
        process.create(asked);
        process.until(name, |job| text(job, "SecondaryStatus") == "Training");
        let began = Instant::now();
        let before = machine.patient.load(Ordering::SeqCst);
        while machine.patient.load(Ordering::SeqCst) < before + 10 {
            assert!(began.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(5));
        }
        let stop = json!({"TrainingJobName": name});
        process.call("StopTrainingJob", stop).unwrap();
        assert_eq!(text(&process.ended(name), "TrainingJobStatus"), STOPPED);
    };
    train("first");
    assert!(
        !machine
            .objects
            .list("bucket", "kept", "", 10)
            .unwrap()
            .is_empty()
    );
    train("second");
    let goes_on = |name: &str| {
        let log = process.log(name);
        log.iter().any(|line| line.contains("last checkpoint"))
    };
    assert!(!goes_on("first") && goes_on("second"));
}

/// What a trainer keeps as files is in the bucket when the job has ended, and there for the next one that trains the same, on
/// whichever machine.
#[test]
fn what_is_stopped_leaves_the_files_of_its_checkpoint_to_the_next_job() {
    let machine = Machine::new();
    let train = |process: &Process, name: &str, given: Value| {
        machine.patient.store(0, Ordering::SeqCst);
        let mut asked = request(name, "filing", &[("train", "data/train/")], given);
        asked["CheckpointConfig"] = json!({"S3Uri": "s3://bucket/kept"});
        process.create(asked);
        let began = Instant::now();
        while machine.patient.load(Ordering::SeqCst) == 0 {
            assert!(began.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let stop = |process: &Process, name: &str| {
        let asked = json!({"TrainingJobName": name});
        process.call("StopTrainingJob", asked).unwrap();
        assert_eq!(text(&process.ended(name), "TrainingJobStatus"), STOPPED);
        machine.patient.load(Ordering::SeqCst)
    };
    let begins = |process: &Process, name: &str| -> Vec<usize> {
        let log = process.log(name);
        let lines = log.iter().filter_map(|line| {
            let line = line.strip_prefix("begins after ")?;
            line.strip_suffix(" steps")?.parse().ok()
        });
        lines.collect()
    };
    let process = machine.start();
    train(&process, "first", json!({}));
    let first = stop(&process, "first");
    let kept = machine.left("kept/");
    let [file] = kept.as_slice() else {
        panic!("{kept:?}");
    };
    assert!(file.key.starts_with("kept/escala-") && file.key.ends_with("/steps"));
    let name = ObjectName::new("bucket", &file.key, None).unwrap();
    let mut said = String::new();
    let mut object = machine.objects.open(&name).unwrap();
    object.bytes.read_to_string(&mut said).unwrap();
    assert_eq!(said, first.to_string());
    assert!(!machine.folder.path().join("checkpoints/first").exists());

    train(&process, "second", json!({}));
    let second = stop(&process, "second");
    assert_eq!(begins(&process, "second"), [first]);
    let log = process.log("second");
    assert!(log.iter().any(|line| line.contains("last checkpoint")));

    // Another training has a checkpoint of its own.
    train(&process, "other", json!({"rate": "2"}));
    stop(&process, "other");
    assert_eq!(begins(&process, "other"), [0]);
    assert_eq!(machine.left("kept/").len(), 2);

    // The process ends, and what it had on its disk is gone.
    train(&process, "third", json!({}));
    process.runner.rest();
    let third = machine.patient.load(Ordering::SeqCst);
    drop(process);
    std::fs::remove_dir_all(machine.folder.path().join("checkpoints")).unwrap();
    let process = machine.start();
    let began = Instant::now();
    while begins(&process, "third").len() < 2 {
        assert!(began.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
    stop(&process, "third");
    assert_eq!(begins(&process, "third"), [second, third]);
}

#[test]
fn a_training_has_so_much_time_and_no_more() {
    let machine = Machine::new();
    let process = machine.start();
    let mut asked = request("long", "patient", &[("train", "data/train/")], json!({}));
    asked["StoppingCondition"]["MaxRuntimeInSeconds"] = json!(1);
    process.create(asked);
    let job = process.ended("long");
    assert_eq!(text(&job, "TrainingJobStatus"), STOPPED, "{job}");
    assert_eq!(text(&job, "SecondaryStatus"), "MaxRuntimeExceeded");
    assert!(!artefact_of(&machine, &job).is_empty());

    // It may be that there is nothing to keep.
    let nothing = json!({"nothing": "1"});
    let mut asked = request("none", "patient", &[("train", "data/train/")], nothing);
    asked["StoppingCondition"]["MaxRuntimeInSeconds"] = json!(1);
    process.create(asked);
    let job = process.ended("none");
    assert_eq!(text(&job, "TrainingJobStatus"), STOPPED, "{job}");
    assert_eq!(text(&job, "SecondaryStatus"), "MaxRuntimeExceeded");
    assert_eq!(job.get("FailureReason"), None);

    // What was learned in it and cannot be put anywhere is a failure as ever.
    let mut asked = request("lost", "patient", &[("train", "data/train/")], json!({}));
    asked["StoppingCondition"]["MaxRuntimeInSeconds"] = json!(1);
    asked["OutputDataConfig"]["S3OutputPath"] = json!("s3://nowhere/x");
    process.create(asked);
    let job = process.ended("lost");
    assert_eq!(text(&job, "TrainingJobStatus"), FAILED, "{job}");
    assert!(text(&job, "FailureReason").contains("nowhere"), "{job}");
}

#[test]
fn a_training_goes_on_in_the_next_process() {
    let machine = Machine::new();
    let process = machine.start();
    process.create(request(
        "long",
        "patient",
        &[("train", "data/train/")],
        json!({}),
    ));
    let began = Instant::now();
    while machine.patient.load(Ordering::SeqCst) < 10 {
        assert!(began.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
    process.runner.rest();
    assert_eq!(
        text(&process.describe("long"), "TrainingJobStatus"),
        IN_PROGRESS
    );
    drop(process);
    let before = machine.patient.load(Ordering::SeqCst);
    let process = machine.start();
    process.until("long", |job| {
        statuses(job)
            .iter()
            .filter(|one| **one == "Training")
            .count()
            == 2
    });
    // It is said when the algorithm asks for it, which is after the job says that it trains.
    let began = Instant::now();
    while !process
        .log("long")
        .iter()
        .any(|line| line.contains("last checkpoint"))
    {
        assert!(began.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
    process
        .call("StopTrainingJob", json!({"TrainingJobName": "long"}))
        .unwrap();
    let job = process.ended("long");
    assert!(statuses(&job).contains(&"Restarting"), "{job}");
    let folder = unpacked(&artefact_of(&machine, &job));
    let steps = std::fs::read_to_string(folder.path().join("steps")).unwrap();
    assert!(
        steps.parse::<usize>().unwrap() > before,
        "{steps} after {before}"
    );
    assert!(!machine.folder.path().join("checkpoints/long").exists());
}

/// It is asked to stop, and the process ends before it has: the next one leaves what was learned.
#[test]
fn what_was_stopping_when_the_process_ended_leaves_its_checkpoint() {
    let machine = Machine::new();
    let process = machine.start();
    for name in ["long", "early"] {
        let train = [("train", "data/train/")];
        process.create(request(name, "patient", &train, json!({})));
    }
    process.until("long", |job| text(job, "SecondaryStatus") == "Training");
    process.runner.rest();
    let store = process.trainings.0.store.clone();
    for name in ["long", "early"] {
        let stopping = store.update(Kind::TrainingJob, name, |found| {
            found.status = STOPPING.to_owned();
            // Long ago: the server was down meanwhile.
            found.modified -= 2 * GRACE;
            let at = found.modified;
            transit(&mut found.body, at, "Stopping", "Stopping the training job");
            Ok::<_, store::Error>(())
        });
        stopping.unwrap();
    }
    drop((process, store));
    let kept = |name: &str| machine.folder.path().join("checkpoints").join(name);
    // It may not have had a turn.
    let _ = std::fs::remove_dir_all(kept("early"));
    let state = std::fs::read(kept("long").join("state")).unwrap();
    let steps: usize = String::from_utf8_lossy(&state[32..]).parse().unwrap();
    let process = machine.start();
    let job = process.ended("long");
    assert_eq!(text(&job, "TrainingJobStatus"), STOPPED, "{job}");
    let last = statuses(&job);
    assert_eq!(last[last.len() - 2..], ["Stopping", "Stopped"], "{job}");
    let folder = unpacked(&artefact_of(&machine, &job));
    let left = std::fs::read_to_string(folder.path().join("steps")).unwrap();
    assert_eq!(left.parse::<usize>().unwrap(), steps + 1);
    assert!(!kept("long").exists());
    // One without a checkpoint has nothing to leave.
    let job = process.ended("early");
    assert_eq!(text(&job, "TrainingJobStatus"), STOPPED, "{job}");
    assert!(machine.left("models/early/").is_empty());
}

#[test]
fn a_job_that_was_made_in_the_moment_of_a_crash_is_handed_on() {
    let machine = Machine::new();
    let process = machine.start();
    process.create(request(
        "long",
        "patient",
        &[("train", "data/train/")],
        json!({"steps": "2"}),
    ));
    process.ended("long");
    let store = process.trainings.0.store.clone();
    // The moment before the runner knew.
    let made = store.get(Kind::TrainingJob, "long").unwrap().unwrap();
    let mut lost = made.clone();
    lost.name = "lost".to_owned();
    lost.arn = caller().arn(Kind::TrainingJob, "lost");
    lost.status = IN_PROGRESS.to_owned();
    lost.body =
        json!({"request": made.body["request"], "transitions": [], "job": Runner::new_id()});
    lost.body["request"]["TrainingJobName"] = json!("lost");
    store.create(&lost, &[]).unwrap();
    drop((process, store));
    let process = machine.start();
    let job = process.ended("lost");
    assert_eq!(text(&job, "TrainingJobStatus"), COMPLETED, "{job}");
}
