//! Models of the algorithms on tables and on lines of text, behind the images that SageMaker has for them.
//!
//! An image answers under the content types that the algorithm's documentation lists. XGBoost's container has habits of its own,
//! which clients count on: it answers CSV where nothing is asked for, all rows on one line, and a row a line where
//! `SAGEMAKER_BATCH` is set, as transform jobs set it (aws/sagemaker-xgboost-container, `algorithm_mode/serve.py`).
//! `SAGEMAKER_INFERENCE_OUTPUT` selects what it tells of each row in the place of scores.

mod selected;

use crate::models::BATCH;
use crate::served::{About, Asked, Container, Opener, Said, Served, Unanswered};
use crate::threads::{Threads, unanswered};
use escala_learn::formats::{self, Accept, Format};
use escala_learn::registry::{self, ALGORITHMS, Opened, TEXT_ALGORITHMS};
use escala_learn::text::formats::Wire;
use escala_learn::text::{self, TextModel};
use escala_learn::{Answers, Error, Model, Values};
use futures_util::future::BoxFuture;
use selected::Selected;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// What XGBoost's container is told to answer with in the place of scores.
const SELECTED: &str = "SAGEMAKER_INFERENCE_OUTPUT";
/// As what XGBoost's container is told to answer where a request says nothing of it.
const ACCEPT: &str = "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT";

/// Opens what `train` wrote, and XGBoost's own files.
///
/// All models of one opener share its threads: they work on so many questions at a time.
pub struct Learned {
    threads: Arc<Threads>,
}

impl Learned {
    /// An opener whose models work on so many threads.
    pub fn new(threads: usize) -> Self {
        Self {
            threads: Arc::new(Threads::new(threads)),
        }
    }
}

/// The algorithm that an image runs.
fn algorithm(repository: &str) -> Option<&'static str> {
    match repository {
        "sagemaker-xgboost" => Some("xgboost"),
        name => registry::of_name(name).map(|algorithm| algorithm.name()),
    }
}

impl Opener for Learned {
    fn open(&self, container: &Container<'_>) -> Option<Result<Arc<dyn Served>, String>> {
        let text = registry::text_of_name(container.repository).map(|one| one.name());
        let algorithm = text.or_else(|| algorithm(container.repository))?;
        let Some(folder) = container.folder else {
            return Some(Err(format!(
                "a model of {algorithm} has no answers without model data"
            )));
        };
        let set = |name: &str| {
            let said = container.environment.get(name);
            said.filter(|said| !said.is_empty())
        };
        if set(SELECTED).is_some() && algorithm != "xgboost" {
            return Some(Err(format!(
                "{SELECTED} chooses what is told of each row, which is done of models of xgboost and not of {algorithm}: scores are told"
            )));
        }
        if text.is_some() {
            return Some(open_text(algorithm, folder).map(|model| {
                let classifying = Classifying {
                    model: Arc::from(model),
                    threads: Arc::clone(&self.threads),
                };
                Arc::new(classifying) as Arc<dyn Served>
            }));
        }
        Some(open(algorithm, folder).and_then(|(model, memory)| {
            let objective = model.objective();
            let selected = set(SELECTED).zip(objective);
            let selected = selected.map(|(said, objective)| Selected::read(said, objective));
            let tabular = Tabular {
                inner: Arc::new(Inner {
                    algorithm,
                    selected: selected.transpose()?,
                    accept: set(ACCEPT).filter(|_| algorithm == "xgboost").cloned(),
                    batch: set(BATCH).is_some(),
                    model,
                }),
                memory,
                threads: Arc::clone(&self.threads),
            };
            Ok(Arc::new(tabular) as Arc<dyn Served>)
        }))
    }

    fn knows(&self, repository: &str) -> bool {
        registry::text_of_name(repository).is_some() || algorithm(repository).is_some()
    }

    fn accepts(&self) -> String {
        let tables = ALGORITHMS.iter().map(|algorithm| algorithm.name());
        let texts = TEXT_ALGORITHMS.iter().map(|algorithm| algorithm.name());
        let names: Vec<&str> = tables.chain(texts).collect();
        format!(
            "the algorithms {} with what training left, or XGBoost's own files",
            names.join(", ")
        )
    }
}

fn open(algorithm: &'static str, folder: &Path) -> Result<(Box<dyn Model>, u64), String> {
    // The folder's own name says nothing to whoever made the model.
    let told = |why: String| why.replace(&folder.display().to_string(), "the model data");
    let files = crate::archive::files(folder).map_err(|error| told(error.to_string()))?;
    let (found, model) = registry::open(folder).map_err(|error| told(error.to_string()))?;
    if found.name() != algorithm {
        return Err(other(algorithm, found.name()));
    }
    let memory = files.iter().map(|(_, _, length)| length).sum();
    Ok((model, memory))
}

fn open_text(algorithm: &'static str, folder: &Path) -> Result<Box<dyn TextModel>, String> {
    let told = |why: String| why.replace(&folder.display().to_string(), "the model data");
    match registry::open_any(folder).map_err(|error| told(error.to_string()))? {
        Opened::Text(found, model) if found.name() == algorithm => Ok(model),
        Opened::Text(found, _) => Err(other(algorithm, found.name())),
        Opened::Table(found, _) => Err(other(algorithm, found.name())),
    }
}

fn other(algorithm: &str, found: &str) -> String {
    format!("the image is of {algorithm}, and the model data are of {found}")
}

/// A model of texts.
struct Classifying {
    model: Arc<dyn TextModel>,
    threads: Arc<Threads>,
}

impl Served for Classifying {
    fn about(&self) -> About {
        About::Texts
    }

    fn invoke(&self, asked: Asked) -> BoxFuture<'_, Result<Said, Unanswered>> {
        let model = Arc::clone(&self.model);
        Box::pin(self.threads.run(asked.haste, move || {
            let said = asked.content_type.as_deref().unwrap_or("application/json");
            let Some(wire) = Wire::of(said) else {
                let known = "application/json and application/jsonlines";
                return Err(unanswered(
                    415,
                    format!(
                        "Content-Type {said} is not supported. A classifier of texts reads {known}."
                    ),
                ));
            };
            let accepted = asked.accept.as_deref().unwrap_or("*/*");
            let accepted = accepted
                .split(',')
                .find_map(|one| match one.split(';').next() {
                    Some("" | "*/*" | "application/*") => Some(wire),
                    _ => Wire::of(one.trim()),
                });
            let Some(accepted) = accepted else {
                let accept = asked.accept.as_deref().unwrap_or_default();
                return Err(unanswered(
                    406,
                    format!("Accept type {accept} is not supported."),
                ));
            };
            let questions =
                text::formats::asked(wire, &asked.body).map_err(|error| told(&error))?;
            Ok(Said {
                content_type: accepted.content_type().to_owned(),
                body: text::formats::answered(&*model, &questions, accepted).into(),
            })
        }))
    }

    fn memory(&self) -> u64 {
        self.model.memory()
    }
}

struct Tabular {
    inner: Arc<Inner>,
    memory: u64,
    threads: Arc<Threads>,
}

struct Inner {
    algorithm: &'static str,
    model: Box<dyn Model>,
    /// What is told of each row in the place of scores.
    selected: Option<Selected>,
    /// As what, where nothing is asked for and not in the algorithm's own way.
    accept: Option<String>,
    batch: bool,
}

impl Served for Tabular {
    fn invoke(&self, asked: Asked) -> BoxFuture<'_, Result<Said, Unanswered>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(self.threads.run(asked.haste, move || inner.answer(&asked)))
    }

    fn memory(&self) -> u64 {
        self.memory
    }
}

/// The content type of what XGBoost's container writes as CSV.
const CSV: &str = "text/csv; charset=utf-8";

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As the formats have it.
    Plain(Accept),
    /// XGBoost's: rows with this between them.
    Rows(&'static str),
}

impl Inner {
    fn answer(&self, asked: &Asked) -> Result<Said, Unanswered> {
        let xgboost = self.algorithm == "xgboost";
        let format = self.format(asked)?;
        let (form, verbose) = self.form(asked.accept.as_deref())?;
        let table = formats::read(format, "the body", &asked.body[..]);
        let table = table.map_err(|error| told(&error))?;
        let answers = match verbose {
            true => self.model.predict_verbose(&table),
            false => self.model.predict(&table),
        };
        let answers = answers.map_err(|error| match (&error, xgboost) {
            // In the words that the container has for it.
            (Error::Input(why), true) => {
                unanswered(400, format!("Unable to evaluate payload provided: {why}"))
            }
            _ => told(&error),
        })?;
        let (content_type, body) = match (form, &self.selected) {
            (Form::Plain(accept), Some(selected)) => {
                let body = selected.write(&answers, accept, self.batch)?;
                (accept.content_type(), body)
            }
            (Form::Rows(_), Some(selected)) => {
                let body = selected.write(&answers, Accept::Csv, self.batch)?;
                (CSV, body)
            }
            (Form::Plain(accept), None) => {
                let body = formats::render(&answers, accept).map_err(|error| told(&error))?;
                (accept.content_type(), body)
            }
            (Form::Rows(between), None) => (CSV, rows(&answers, between)?),
        };
        Ok(Said {
            content_type: content_type.to_owned(),
            body: body.into(),
        })
    }

    fn format(&self, asked: &Asked) -> Result<Format, Unanswered> {
        let said = asked.content_type.as_deref();
        let said = said.unwrap_or("application/octet-stream");
        let kind = said.split(';').next().unwrap_or_default().trim();
        let xgboost = self.algorithm == "xgboost";
        let known = match xgboost {
            true => {
                // JSON is more than its container reads: flows and other doors have rows in it.
                "text/csv, text/libsvm, text/x-libsvm, application/x-recordio-protobuf, application/x-npy, application/json, application/jsonlines"
                    .to_owned()
            }
            false => {
                "text/csv, application/json, application/jsonlines, application/x-recordio-protobuf, application/x-npy"
                    .to_owned()
            }
        };
        if !known
            .split(", ")
            .any(|known| kind.eq_ignore_ascii_case(known))
        {
            return Err(unanswered(
                415,
                format!(
                    "Content-Type {said} is not supported. {} reads {known}.",
                    self.algorithm
                ),
            ));
        }
        Format::of(said, false).map_err(|error| told(&error))
    }

    fn form(&self, accept: Option<&str>) -> Result<(Form, bool), Unanswered> {
        let rows = Form::Rows(match self.batch {
            true => "\n",
            false => ",",
        });
        let xgboost = self.algorithm == "xgboost";
        let asked = accept.map(str::trim).filter(|accept| !accept.is_empty());
        let asked = match asked {
            None | Some("*/*") => self.accept.as_deref().or(asked),
            asked => asked,
        };
        match asked {
            None | Some("*/*") if xgboost => Ok((rows, false)),
            None => Ok((Form::Plain(Accept::Json), false)),
            Some(accept) => match Accept::of(accept) {
                Ok((Accept::Csv, false)) if xgboost => Ok((rows, false)),
                Ok((accept, verbose)) => Ok((Form::Plain(accept), verbose)),
                Err(_) => Err(unanswered(
                    406,
                    format!(
                        "Accept type {accept} is not supported. {} writes text/csv, application/json, \
                         application/jsonlines, application/x-recordio-protobuf, application/x-npy.",
                        self.algorithm
                    ),
                )),
            },
        }
    }
}

fn told(error: &Error) -> Unanswered {
    let status = match error {
        Error::Input(_) => 400,
        _ => 500,
    };
    unanswered(status, error.to_string())
}

/// Answers as XGBoost's container writes them: the first field of each row, and brackets around rows of many numbers.
fn rows(answers: &Answers, between: &str) -> Result<Vec<u8>, Unanswered> {
    let mut out = Vec::new();
    let Some(field) = answers.fields.first() else {
        return Ok(out);
    };
    let number = |out: &mut Vec<u8>, number: f32| {
        if !number.is_finite() {
            return Err(unanswered(500, format!("an answer is {number}")));
        }
        // Writing to memory cannot fail.
        let _ = write!(out, "{number:?}");
        Ok(())
    };
    for row in 0..field.values.rows() {
        if row > 0 {
            out.extend_from_slice(between.as_bytes());
        }
        match &field.values {
            Values::Numbers(values) => number(&mut out, values[row])?,
            Values::Whole(values) => out.extend_from_slice(values[row].to_string().as_bytes()),
            Values::Vectors { width, values } => {
                out.push(b'[');
                for (at, value) in values[row * width..][..*width].iter().enumerate() {
                    if at > 0 {
                        out.extend_from_slice(b", ");
                    }
                    number(&mut out, *value)?;
                }
                out.push(b']');
            }
        }
    }
    if between == "\n" {
        out.push(b'\n');
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use std::collections::BTreeMap;

    const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../learn/tests/golden/boost");

    fn opened(repository: &str, folder: &Path, batch: bool) -> Result<Arc<dyn Served>, String> {
        let mut environment = BTreeMap::new();
        if batch {
            environment.insert("SAGEMAKER_BATCH".to_owned(), "true".to_owned());
        }
        let container = Container {
            repository,
            environment: &environment,
            folder: Some(folder),
        };
        Learned::new(1).open(&container).unwrap()
    }

    async fn ask(
        served: &Arc<dyn Served>,
        content_type: &str,
        accept: Option<&str>,
        body: &str,
    ) -> Result<(String, String), (u16, String)> {
        let asked = Asked {
            content_type: Some(content_type.to_owned()),
            accept: accept.map(str::to_owned),
            body: body.to_owned().into(),
            ..Asked::default()
        };
        match served.invoke(asked).await {
            Ok(said) => Ok((
                said.content_type,
                String::from_utf8(said.body.to_vec()).unwrap(),
            )),
            Err(error) => Err((error.status, error.message)),
        }
    }

    #[tokio::test]
    async fn every_algorithm_answers_json_where_nothing_is_asked_for() {
        for (name, list) in [
            ("linear-learner", "predictions"),
            ("kmeans", "predictions"),
            ("pca", "projections"),
            ("knn", "predictions"),
            ("randomcutforest", "scores"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            testing::learn(name, folder.path());
            let served = opened(name, folder.path(), false).unwrap();
            assert!(served.memory() > 0);
            let (kind, body) = ask(&served, "text/csv", None, "60,1\n2,3").await.unwrap();
            assert_eq!(kind, "application/json");
            let said: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(said[list].as_array().unwrap().len(), 2, "{name}: {body}");
            let json = r#"{"instances":[{"features":[60,1]},{"features":[2,3]}]}"#;
            let again = ask(&served, "application/json", Some("*/*"), json).await;
            assert_eq!(again.unwrap().1, body, "{name}");
            let (kind, lines) = ask(&served, "text/csv", Some("application/jsonlines"), "60,1")
                .await
                .unwrap();
            assert_eq!(kind, "application/jsonlines");
            assert!(lines.starts_with('{'), "{lines}");
            let refused = ask(&served, "image/png", None, "60,1").await.unwrap_err();
            assert_eq!(refused.0, 415);
            assert!(refused.1.contains("application/x-recordio-protobuf"));
            let refused = ask(&served, "text/csv", Some("image/png"), "60,1").await;
            assert_eq!(refused.unwrap_err().0, 406);
            let refused = ask(&served, "text/csv", None, "60,x").await.unwrap_err();
            assert_eq!(refused.0, 400);
            assert!(refused.1.contains("row 1: column 2"), "{}", refused.1);
            let refused = ask(&served, "text/csv", None, "1,2,3,4,5").await;
            assert_eq!(refused.unwrap_err().0, 400);
        }
    }

    #[tokio::test]
    async fn xgboost_answers_as_its_container_does() {
        let folder = tempfile::tempdir().unwrap();
        // XGBoost itself wrote this one, and what it says of every fourth row of the table.
        let golden = Path::new(GOLDEN);
        std::fs::copy(golden.join("softprob.json"), folder.path().join("a.json")).unwrap();
        let cases = std::fs::read(golden.join("cases.json")).unwrap();
        let cases: serde_json::Value = serde_json::from_slice(&cases).unwrap();
        let mut cases = cases["cases"].as_array().unwrap().iter();
        let case = cases.find(|case| case["name"] == "softprob").unwrap();
        let expected = case["predictions"].as_array().unwrap().iter();
        let expected: Vec<f64> = expected.map(|one| one.as_f64().unwrap()).collect();
        let table = std::fs::read(golden.join("wine.f32")).unwrap();
        let (numbers, _) = table.as_chunks::<4>();
        let body: String = numbers
            .chunks(13)
            .step_by(4)
            .map(|row| {
                let row = row.iter().map(|one| f32::from_le_bytes(*one).to_string());
                row.collect::<Vec<_>>().join(",") + "\n"
            })
            .collect();
        let served = opened("sagemaker-xgboost", folder.path(), false).unwrap();
        let (kind, said) = ask(&served, "text/csv", None, &body).await.unwrap();
        assert_eq!(kind, "text/csv; charset=utf-8");
        let read: Vec<Vec<f64>> = serde_json::from_str(&format!("[{said}]")).unwrap();
        assert_eq!((read.len(), read[0].len()), (45, 3));
        for (found, expected) in read.concat().iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        let batch = opened("xgboost", folder.path(), true).unwrap();
        let (_, lines) = ask(&batch, "text/csv", Some("text/csv"), &body)
            .await
            .unwrap();
        assert_eq!(lines.lines().count(), 45);
        assert_eq!(lines.trim().replace('\n', ","), said);
        let refused = ask(&served, "image/png", None, "{}").await;
        assert_eq!(refused.unwrap_err().0, 415);
        let folder = tempfile::tempdir().unwrap();
        testing::learn("xgboost", folder.path());
        let served = opened("xgboost", folder.path(), false).unwrap();
        let (_, said) = ask(&served, "text/csv", None, "90,1\n2,3").await.unwrap();
        let numbers: Vec<f32> = said.split(',').map(|one| one.parse().unwrap()).collect();
        assert!(numbers[0] > 0.5 && numbers[1] < 0.5, "{said}");
        let refused = ask(&served, "text/csv", None, "1,2,3").await.unwrap_err();
        assert!(
            refused
                .1
                .starts_with("Unable to evaluate payload provided: "),
            "{}",
            refused.1
        );
    }

    #[tokio::test]
    async fn the_environment_selects_what_xgboost_tells_of_rows() {
        let folder = tempfile::tempdir().unwrap();
        let softprob = Path::new(GOLDEN).join("softprob.json");
        std::fs::copy(softprob, folder.path().join("a.json")).unwrap();
        let open = |image: &str, given: &[(&str, &str)]| {
            let given = given.iter();
            let environment = given.map(|(name, said)| ((*name).to_owned(), (*said).to_owned()));
            let container = Container {
                repository: image,
                environment: &environment.collect(),
                folder: Some(folder.path()),
            };
            Learned::new(1).open(&container).unwrap()
        };
        let row = "13.2,1.78,2.14,11.2,100,2.65,2.76,0.26,1.28,4.38,1.05,3.4,1050\n";
        let body = row.repeat(2);
        let plain = open("xgboost", &[]).unwrap();
        let (_, said) = ask(&plain, "text/csv", None, row).await.unwrap();
        let scores: Vec<f32> = serde_json::from_str(&said).unwrap();
        // As Autopilot sets it.
        let selected = [
            (
                SELECTED,
                "predicted_label, labels,probability,probabilities",
            ),
            ("SAGEMAKER_INFERENCE_SUPPORTED", "predicted_label,labels"),
        ];
        let served = open("sagemaker-xgboost", &selected).unwrap();
        let (kind, said) = ask(&served, "text/csv", None, &body).await.unwrap();
        assert_eq!(kind, "text/csv; charset=utf-8");
        let line = format!("0,\"[0, 1, 2]\",{:?},\"{scores:?}\"", scores[0]);
        assert_eq!(said, format!("{line}\n{line}"));
        let batch = [&selected[..], &[(BATCH, "true")]].concat();
        let batch = open("xgboost", &batch).unwrap();
        let (_, lines) = ask(&batch, "text/csv", Some("text/csv"), &body)
            .await
            .unwrap();
        assert_eq!(lines, format!("{line}\n{line}\n"));
        let json = ask(&served, "text/csv", Some("application/json"), row).await;
        let (kind, json) = json.unwrap();
        assert_eq!(kind, "application/json");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let told = &json["predictions"][0];
        assert_eq!(told["labels"], serde_json::json!([0, 1, 2]));
        assert_eq!(told["predicted_label"], 0);
        let ways = [&selected[..], &[(ACCEPT, "application/jsonlines")]].concat();
        let ways = open("xgboost", &ways).unwrap();
        for accept in [None, Some("*/*")] {
            let (kind, line) = ask(&ways, "text/csv", accept, row).await.unwrap();
            assert_eq!(kind, "application/jsonlines");
            assert!(line.starts_with("{\"predicted_label\":0,"), "{line}");
        }
        let (kind, _) = ask(&ways, "text/csv", Some("text/csv"), row).await.unwrap();
        assert_eq!(kind, "text/csv; charset=utf-8");
        let refused = open("xgboost", &[(SELECTED, "label")]).err().unwrap();
        assert!(refused.contains("\"label\""), "{refused}");
    }

    #[test]
    fn what_is_another_algorithms_is_said() {
        let folder = tempfile::tempdir().unwrap();
        testing::learn("kmeans", folder.path());
        let error = opened("pca", folder.path(), false).err().unwrap();
        assert_eq!(
            error,
            "the image is of pca, and the model data are of kmeans"
        );
        let empty = tempfile::tempdir().unwrap();
        let error = opened("xgboost", empty.path(), false).err().unwrap();
        assert!(error.starts_with("the model data"), "{error}");
        let selected = BTreeMap::from([(SELECTED.to_owned(), "predicted_label".to_owned())]);
        let container = Container {
            repository: "kmeans",
            environment: &selected,
            folder: Some(folder.path()),
        };
        let error = Learned::new(1).open(&container).and_then(Result::err);
        assert!(error.unwrap().contains(SELECTED));
        let container = Container {
            repository: "pytorch-inference",
            environment: &BTreeMap::new(),
            folder: None,
        };
        assert!(Learned::new(1).open(&container).is_none());
    }
}
