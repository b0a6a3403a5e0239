//! What hosting adds to a model's own time: one question asked directly and through an endpoint, in turns; then one endpoint with
//! 200 models of 30 MB each under a budget of 2 GB, asked as Zipf's law has it (the n-th most wanted one n times less often than
//! the first), by two who ask at the same time.
//!
//! ```text
//! cargo run --release -p escala-sagemaker --example hosting_overhead
//! ```

use escala_learn::{Channels, Parameters, Table, Unwatched, registry};
use escala_objects::memory::Memory;
use escala_sagemaker::hosting::{Hosting, Options};
use escala_sagemaker::invoke::Invocation;
use escala_sagemaker::learned::Learned;
use escala_sagemaker::served::{Asked, Container, Opener};
use escala_sagemaker::store::Store;
use escala_sagemaker::{Caller, archive};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const QUESTIONS: usize = 5000;
const MODELS: usize = 200;
const BUDGET: u64 = 2 << 30;
const ZIPF: usize = 4000;
const WIDTH: usize = 8;

/// Rows of small whole numbers, which pack well.
fn learn(
    name: &str,
    rows: usize,
    given: &[(&str, &str)],
    folder: &Path,
) -> Result<(), Box<dyn Error>> {
    let values: Vec<f32> = (0..rows * WIDTH)
        .map(|at| ((at * 7919) % 101) as f32)
        .collect();
    let labels = values.chunks(WIDTH).map(|row| row[0]).collect();
    let algorithm = registry::of_name(name).ok_or("no such algorithm")?;
    let parameters = Parameters::read(algorithm.parameters(), given.iter().copied())?;
    let channels = Channels {
        train: Table::dense(WIDTH, values)?.labelled(labels)?,
        validation: None,
        test: None,
    };
    let model = algorithm.train(&parameters, &channels, &mut Unwatched)?;
    Ok(model.write(folder)?)
}

fn at(times: &mut [Duration], share: f64) -> Duration {
    times.sort();
    times[((times.len() - 1) as f64 * share) as usize]
}

fn question() -> Asked {
    Asked {
        content_type: Some("text/csv".to_owned()),
        accept: None,
        body: "1,2,3,4,5,6,7,8".into(),
        ..Asked::default()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let place = tempfile::tempdir()?;
    let objects = Memory::default();
    let packed = |name: &str, rows: usize, given: &[(&str, &str)]| {
        let folder = place.path().join(name);
        std::fs::create_dir(&folder)?;
        learn(name, rows, given, &folder)?;
        let mut bytes = Vec::new();
        archive::pack(&folder, &mut bytes)?;
        Ok::<_, Box<dyn Error>>((folder, bytes))
    };
    let trees = [("num_round", "100"), ("objective", "reg:squarederror")];
    let (folder, bytes) = packed("xgboost", 1000, &trees)?;
    objects.put("models", "one.tar.gz", &bytes);
    let kept = [
        ("k", "5"),
        ("predictor_type", "regressor"),
        ("sample_size", "850000"),
    ];
    let (_, bytes) = packed("knn", 850_000, &kept)?;
    for one in 0..MODELS {
        objects.put("models", &format!("many/{one}.tar.gz"), &bytes);
    }

    let opener = Arc::new(Learned::new(2));
    let container = Container {
        repository: "xgboost",
        environment: &BTreeMap::new(),
        folder: Some(&folder),
    };
    let direct = opener.open(&container).ok_or("not opened")??;
    let mut options = Options::default();
    options.models.memory = BUDGET;
    let hosting = Arc::new(Hosting::open(
        Arc::new(Store::open(&place.path().join("store"))?),
        Arc::new(objects),
        place.path().join("hosting"),
        vec![opener],
        options,
        tokio::runtime::Handle::current(),
    )?);
    let caller = Caller {
        account: "000000000000".to_owned(),
        region: "us-east-1".to_owned(),
    };
    let call = |operation: &str, input: Value| {
        let said = hosting.call(&caller, operation, &input);
        said.ok_or("not an operation")?
            .map_err(|why| why.to_string())
    };
    for (name, image, data, mode) in [
        ("one", "xgboost", "one.tar.gz", "SingleModel"),
        ("many", "knn", "many/", "MultiModel"),
    ] {
        let container =
            json!({"Image": image, "Mode": mode, "ModelDataUrl": format!("s3://models/{data}")});
        call(
            "CreateModel",
            json!({"ModelName": name, "PrimaryContainer": container}),
        )?;
        let variant = json!({
            "VariantName": "AllTraffic", "ModelName": name,
            "InstanceType": "ml.m5.large", "InitialInstanceCount": 1,
        });
        call(
            "CreateEndpointConfig",
            json!({"EndpointConfigName": name, "ProductionVariants": [variant]}),
        )?;
        call(
            "CreateEndpoint",
            json!({"EndpointName": name, "EndpointConfigName": name}),
        )?;
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        while call("DescribeEndpoint", json!({"EndpointName": name}))?["EndpointStatus"]
            == "Creating"
        {
            tick.tick().await;
        }
    }

    let nothing = Invocation::default();
    let (mut alone, mut hosted) = (Vec::new(), Vec::new());
    for _ in 0..QUESTIONS {
        let began = Instant::now();
        direct.invoke(question()).await?;
        alone.push(began.elapsed());
        let began = Instant::now();
        hosting.invoke(&caller, "one", question(), &nothing).await?;
        hosted.push(began.elapsed());
    }
    for (name, times) in [("the model alone", &mut alone), ("hosted", &mut hosted)] {
        println!(
            "{name}: median {:?}, p99 {:?}",
            at(times, 0.5),
            at(times, 0.99)
        );
    }

    // The first answers again and again, the last a two hundredth as often.
    let mut shares = Vec::with_capacity(MODELS);
    let mut sum = 0.0;
    for rank in 1..=MODELS {
        sum += 1.0 / rank as f64;
        shares.push(sum);
    }
    let shares = Arc::new(shares);
    let before = hosting.counts();
    let asking = (0..2_u64).map(|seed| {
        let (hosting, caller, shares) = (hosting.clone(), caller.clone(), shares.clone());
        tokio::spawn(async move {
            let mut draw = StdRng::seed_from_u64(seed);
            let mut times = Vec::with_capacity(ZIPF / 2);
            for _ in 0..ZIPF / 2 {
                let at = draw.random::<f64>() * shares.last().copied().unwrap_or(1.0);
                let one = shares.partition_point(|share| *share < at);
                let target = Invocation {
                    target_model: Some(format!("{one}.tar.gz")),
                    ..Invocation::default()
                };
                let began = Instant::now();
                let answered = hosting.invoke(&caller, "many", question(), &target).await;
                answered.map_err(|error| error.to_string())?;
                times.push(began.elapsed());
            }
            Ok::<_, String>(times)
        })
    });
    let mut times = Vec::with_capacity(ZIPF);
    for one in asking.collect::<Vec<_>>() {
        times.extend(one.await??);
    }
    let counts = hosting.counts();
    let hits = counts.model_hits - before.model_hits;
    let loads = counts.model_loads - before.model_loads;
    println!(
        "{MODELS} models of 30 MB under {} GB, {ZIPF} questions by Zipf's law: {:.1} % found open; {} open in {} MB, {} closed; \
         median {:?}, p95 {:?}, p99 {:?}",
        BUDGET >> 30,
        100.0 * hits as f64 / (hits + loads) as f64,
        counts.models_open,
        counts.model_bytes >> 20,
        counts.model_evictions,
        at(&mut times, 0.5),
        at(&mut times, 0.95),
        at(&mut times, 0.99),
    );
    Ok(())
}
