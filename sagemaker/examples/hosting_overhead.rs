//! What hosting adds to a model's own time: one question asked directly and through an endpoint, in turns; then one endpoint with
//! 200 models of which a part fits into memory.
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
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const QUESTIONS: usize = 5000;
const MODELS: usize = 200;
const FIT: u64 = 50;

fn learn(folder: &Path) -> Result<(), Box<dyn Error>> {
    let values: Vec<f32> = (0..8000).map(|at| ((at * 7919) % 101) as f32).collect();
    let labels = values.chunks(8).map(|row| row[0]).collect();
    let algorithm = registry::of_name("xgboost").ok_or("no xgboost")?;
    let given = [("num_round", "100"), ("objective", "reg:squarederror")];
    let parameters = Parameters::read(algorithm.parameters(), given)?;
    let channels = Channels {
        train: Table::dense(8, values)?.labelled(labels)?,
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
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let place = tempfile::tempdir()?;
    let folder = place.path().join("model");
    std::fs::create_dir(&folder)?;
    learn(&folder)?;
    let mut bytes = Vec::new();
    archive::pack(&folder, &mut bytes)?;
    let objects = Memory::default();
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
    options.models.memory = direct.memory() * FIT;
    let hosting = Hosting::open(
        Arc::new(Store::open(&place.path().join("store"))?),
        Arc::new(objects),
        place.path().join("hosting"),
        vec![opener],
        options,
        tokio::runtime::Handle::current(),
    )?;
    let caller = Caller {
        account: "000000000000".to_owned(),
        region: "us-east-1".to_owned(),
    };
    let call = |operation: &str, input: Value| {
        let said = hosting.call(&caller, operation, &input);
        said.ok_or("not an operation")?
            .map_err(|why| why.to_string())
    };
    for (name, data, mode) in [
        ("one", "many/0.tar.gz", "SingleModel"),
        ("many", "many/", "MultiModel"),
    ] {
        let container = json!({"Image": "xgboost", "Mode": mode, "ModelDataUrl": format!("s3://models/{data}")});
        call(
            "CreateModel",
            json!({"ModelName": name, "PrimaryContainer": container}),
        )?;
        let variant = json!({"VariantName": "AllTraffic", "ModelName": name});
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

    let (mut open, mut closed) = (Vec::new(), Vec::new());
    for round in 0..2 * MODELS {
        let target = |one: usize| Invocation {
            target_model: Some(format!("{one}.tar.gz")),
            ..Invocation::default()
        };
        for (one, times) in [(round % MODELS, &mut closed), (round % MODELS, &mut open)] {
            let began = Instant::now();
            hosting
                .invoke(&caller, "many", question(), &target(one))
                .await?;
            times.push(began.elapsed());
        }
    }
    let counts = hosting.counts();
    println!(
        "{MODELS} models of which {FIT} fit: {} open in {} bytes, {} loads, {} evictions; median of one to be opened {:?}, of an open one {:?}",
        counts.models_open,
        counts.model_bytes,
        counts.model_loads,
        counts.model_evictions,
        at(&mut closed, 0.5),
        at(&mut open, 0.5)
    );
    Ok(())
}
