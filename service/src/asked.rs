//! Tasks by their names on the command line, asked as the REST door asks them: what flows and queries share.

use crate::app::{App, one};
use crate::failure::Failure;
use crate::located::located;
use crate::rest::analyze::{self, Feature, Outcome};
use crate::rest::call::predict_list;
use crate::rest::classify::{ClassesAnswer, NO_CLASSIFIER};
use crate::rest::embeddings::EmbeddingAnswer;
use crate::rest::images::bodies::BodiesAnswer;
use crate::rest::images::check_image;
use crate::rest::images::classify::{DEFAULT_CLASSES, NO_CLASSIFIER as NO_IMAGE_CLASSIFIER};
use crate::rest::images::faces::FacesAnswer;
use crate::rest::images::labels::LabelsResponse;
use crate::rest::images::moderation::{self, Judged, ModerationAnswer};
use crate::rest::images::text::ImageTextAnswer;
use bytes::Bytes;
use escala_pipelines::bodies::{BodiesInput, MOST};
use escala_pipelines::embeddings::EmbeddingInput;
use escala_pipelines::faces::{FacesInput, FacesOptions};
use escala_pipelines::image::dimensions;
use escala_pipelines::labels::{LabelsInput, LabelsOptions};
use escala_pipelines::moderation::ModerationInput;
use escala_pipelines::ocr::OcrInput;
use escala_pipelines::{Kind, Options};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use std::sync::Arc;

/// Images that are asked about at a time.
const IMAGES: usize = 8;

/// The language of texts when nobody says one, as everywhere.
pub const LANGUAGE: &str = "en";
/// The word for a language that is detected for each text.
pub const DETECTED: &str = "auto";

/// A task that can be asked.
#[derive(Clone, Copy)]
pub struct Asked {
    /// Its name on the command line.
    pub name: &'static str,
    /// The task of the configuration whose model answers.
    pub task: &'static str,
    /// What is asked.
    pub what: What,
}

/// What is asked about a text or an image.
#[derive(Clone, Copy)]
pub enum What {
    /// About a text.
    Text(OfText),
    /// About an image.
    Image(OfImage),
}

/// What is asked about a text.
#[derive(Clone, Copy)]
pub enum OfText {
    /// A feature of `/v1/text/analyze`.
    Feature(&'static str),
    /// Its classes.
    Classes,
    /// Its embedding.
    Embedding,
}

/// What is asked about an image.
#[derive(Clone, Copy)]
pub enum OfImage {
    /// Its labels.
    Labels,
    /// Faces in it.
    Faces,
    /// Text in it.
    Text,
    /// What a moderator should see of it.
    Moderation,
    /// People in it.
    Bodies,
    /// Its classes.
    Classes,
}

const ASKED: [Asked; 16] = [
    feature("language", "language", "language"),
    feature("entities", "syntax", "entities"),
    feature("key-phrases", "syntax", "key_phrases"),
    feature("syntax", "syntax", "syntax"),
    feature("pii", "pii", "pii"),
    feature("sentiment", "sentiment", "sentiment"),
    feature(
        "targeted-sentiment",
        "targeted-sentiment",
        "targeted_sentiment",
    ),
    feature("toxicity", "toxicity", "toxicity"),
    asked("classify", "classify", What::Text(OfText::Classes)),
    asked("embeddings", "embeddings", What::Text(OfText::Embedding)),
    asked("labels", "labels", What::Image(OfImage::Labels)),
    asked("faces", "faces", What::Image(OfImage::Faces)),
    asked("image-text", "image-text", What::Image(OfImage::Text)),
    asked("moderation", "moderation", What::Image(OfImage::Moderation)),
    asked("bodies", "bodies", What::Image(OfImage::Bodies)),
    asked(
        "classify-image",
        "image-classes",
        What::Image(OfImage::Classes),
    ),
];

const fn feature(name: &'static str, task: &'static str, feature: &'static str) -> Asked {
    asked(name, task, What::Text(OfText::Feature(feature)))
}

const fn asked(name: &'static str, task: &'static str, what: What) -> Asked {
    Asked { name, task, what }
}

/// The names of the tasks.
pub fn tasks() -> impl Iterator<Item = &'static str> {
    ASKED.iter().map(|asked| asked.name)
}

/// The task with a name.
///
/// # Errors
/// The tasks that there are.
pub fn find(name: &str) -> Result<Asked, String> {
    let found = ASKED.iter().find(|asked| asked.name == name);
    found.copied().ok_or_else(|| {
        let name: String = name.chars().take(40).collect();
        let known: Vec<&str> = tasks().collect();
        format!("there is no task `{name}`; there are {}", known.join(", "))
    })
}

/// What a task says about texts, in order; those that are too long are not asked about.
///
/// # Errors
/// What is wrong with the machine, or with the question.
pub async fn of_texts(
    app: &App,
    what: OfText,
    language: Option<&str>,
    texts: Vec<String>,
    options: Options,
) -> Result<Vec<Outcome>, Failure> {
    let limits = &app.config.limits;
    // Those that are too long are not asked about.
    let most = match what {
        OfText::Feature(_) => limits.rest_text.get(),
        _ => limits.text.get(),
    };
    let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(texts.len());
    let mut short = Vec::with_capacity(texts.len());
    for text in texts {
        outcomes.push(match text.len() as u64 > most {
            false => {
                short.push(text);
                None
            }
            true => {
                let bytes = text.len();
                let why = format!("the text has {bytes} bytes; at most {most} are taken");
                Some(Err(Failure::of_kind(Kind::TooLarge, why)))
            }
        });
    }
    let mut answers = short_texts(app, what, language, short, options)
        .await?
        .into_iter();
    let unanswered = || {
        Err(Failure::of_kind(
            Kind::Internal,
            "the prediction has no answer",
        ))
    };
    Ok(outcomes
        .into_iter()
        .map(|outcome| outcome.unwrap_or_else(|| answers.next().unwrap_or_else(unanswered)))
        .collect())
}

async fn short_texts(
    app: &App,
    what: OfText,
    language: Option<&str>,
    texts: Vec<String>,
    options: Options,
) -> Result<Vec<Outcome>, Failure> {
    match what {
        OfText::Feature(name) => {
            let feature = feature_named(name)?;
            let texts: Vec<Arc<str>> = texts.into_iter().map(Arc::from).collect();
            let language = language.unwrap_or(LANGUAGE);
            let language = Some(language).filter(|language| *language != DETECTED);
            analyze::ask(app, &texts, language, feature, options).await
        }
        OfText::Classes => {
            let Some(classify) = &app.classify else {
                return Err(Failure::of_kind(Kind::Unsupported, NO_CLASSIFIER));
            };
            let inputs = texts.iter().map(|text| Arc::from(text.as_str())).collect();
            let found = predict_list(&**classify, inputs, options).await?;
            let answer = |found: Result<_, Failure>| {
                raw(found.map(|classes| ClassesAnswer::of("", classes)))
            };
            Ok(found.into_iter().map(answer).collect())
        }
        OfText::Embedding => {
            let inputs = texts.into_iter().map(|text| EmbeddingInput { text });
            let found = predict_list(&*app.embeddings, inputs.collect(), options).await?;
            let answer = |found: Result<_, Failure>| raw(found.map(EmbeddingAnswer::from));
            Ok(found.into_iter().map(answer).collect())
        }
    }
}

/// What a task says about images, in order.
pub async fn of_images(
    app: &App,
    what: OfImage,
    images: Vec<Bytes>,
    options: Options,
) -> Vec<Outcome> {
    let ask = |image: Bytes| of_image(app, what, image, options);
    stream::iter(images.into_iter().map(ask))
        .buffered(IMAGES)
        .collect()
        .await
}

/// The pixels of an image as its file has them, whatever part of them a task decodes; none where it is no image.
pub fn pixels(image: &[u8]) -> u64 {
    let (width, height) = dimensions(image).unwrap_or_default();
    u64::from(width) * u64::from(height)
}

async fn of_image(app: &App, what: OfImage, image: Bytes, options: Options) -> Outcome {
    check_image(&image, &app.config.limits)?;
    match what {
        OfImage::Faces => {
            let options_of = FacesOptions {
                looks: true,
                gaze: true,
                ..FacesOptions::default()
            };
            let input = FacesInput {
                image,
                options: options_of,
            };
            let found = one(&*app.images.faces, input, options).await;
            shown(found.map(FacesAnswer::from))
        }
        OfImage::Text => {
            let found = one(&*app.images.text, OcrInput { image }, options).await;
            shown(found.map(ImageTextAnswer::from))
        }
        OfImage::Moderation => {
            let image = image.into();
            let found = one(&*app.images.moderation, ModerationInput { image }, options).await;
            let least = moderation::LEAST;
            shown(found.map(|found| ModerationAnswer::from(Judged { found, least })))
        }
        OfImage::Bodies => {
            let input = BodiesInput { image, most: MOST };
            let found = one(&*app.images.bodies, input, options).await;
            shown(found.map(BodiesAnswer::from))
        }
        OfImage::Classes => {
            let Some(classes) = &app.images.classes else {
                return Err(Failure::of_kind(Kind::Unsupported, NO_IMAGE_CLASSIFIER));
            };
            let found = one(&**classes, image, options).await;
            shown(found.map(|mut classes| {
                classes.truncate(DEFAULT_CLASSES);
                ClassesAnswer::of("", classes)
            }))
        }
        OfImage::Labels => {
            let input = LabelsInput {
                image: image.into(),
                options: LabelsOptions::default(),
            };
            let objects = app.images.objects.as_deref();
            let found = located(&*app.labels, objects, input, options).await;
            shown(found.map(LabelsResponse::from))
        }
    }
}

/// A feature of `/v1/text/analyze`.
///
/// # Errors
/// 400 when there is none with this name.
pub fn feature_named(name: &'static str) -> Result<&'static Feature, Failure> {
    let found = analyze::features(&[name.to_owned()])?;
    found
        .into_iter()
        .next()
        .ok_or_else(|| Failure::invalid(name))
}

fn raw<A: Serialize>(answer: Result<A, Failure>) -> Outcome {
    analyze::raw(answer)
}

fn shown<A: Serialize>(answer: escala_pipelines::Result<A>) -> Outcome {
    raw(answer.map_err(Failure::from))
}
