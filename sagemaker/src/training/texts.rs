//! The algorithms of [`escala_learn`] on lines of text as trainers.

use super::channels::Channel;
use super::trainer::{Failure, Lesson, Trainer};
use crate::served::Container;
use escala_learn::registry::{self, TEXT_ALGORITHMS};
use escala_learn::text::formats::{Form, read};
use escala_learn::text::{Line, Texts as Lines};
use escala_learn::{Parameters, Watch};
use std::io::BufReader;

/// All of them.
pub struct Texts;

fn lines(lesson: &Lesson<'_>, channel: &Channel) -> Result<Vec<Line>, Failure> {
    let mut all = Vec::new();
    let kind = channel.content_type.as_deref().unwrap_or_default();
    let manifest = !channel.attributes.is_empty() || kind.starts_with("application/jsonlines");
    for file in &channel.files {
        let form = match manifest || file.key.ends_with(".jsonl") || file.key.ends_with(".manifest")
        {
            true => Form::Manifest,
            false => Form::Labelled,
        };
        let bytes = BufReader::new(lesson.open(channel, file)?);
        read(bytes, form, &file.to_string(), &mut all)?;
    }
    Ok(all)
}

impl Trainer for Texts {
    fn repositories(&self) -> Vec<&'static str> {
        TEXT_ALGORITHMS.iter().map(|one| one.name()).collect()
    }

    fn images(&self) -> bool {
        false
    }

    fn train(
        &self,
        container: &Container<'_>,
        lesson: &Lesson<'_>,
        watch: &mut dyn Watch,
    ) -> Result<(), Failure> {
        let Some(algorithm) = registry::text_of_name(container.repository) else {
            return Err(Failure::Algorithm(format!(
                "there is no algorithm {}",
                container.repository
            )));
        };
        let parameters = Parameters::read(algorithm.parameters(), lesson.given())?;
        let train = lesson.train_channel(&["train", "validation"])?;
        lesson.check_size()?;
        let texts = Lines {
            train: lines(lesson, train)?,
            validation: match lesson.channel("validation") {
                Some(channel) => Some(lines(lesson, channel)?),
                None => None,
            },
        };
        watch.log(&format!("{} lines to learn from", texts.train.len()));
        lesson.learning();
        let model = algorithm.train(&parameters, &texts, watch)?;
        Ok(model.write(lesson.folder)?)
    }
}
