//! `escala embed`.

use super::output::{self, for_each_group, short};
use super::predict::{Faults, patient};
use super::{Output, Stop};
use crate::config::Config;
use crate::failure::chain;
use crate::machine::Machine;
use clap::Args;
use escala_pipelines::embeddings::{Embedding, EmbeddingInput};
use serde_json::json;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  escala embed \"a cat on a mat\" \"un gato\"
  cat lines.txt | escala embed - --json > embeddings.jsonl")]
pub struct EmbedArgs {
    /// Texts, or `-` for the lines of standard input.
    #[arg(required = true, value_name = "TEXT")]
    texts: Vec<String>,
    #[command(flatten)]
    output: Output,
}

pub fn run(config: &Config, args: EmbedArgs) -> Result<(), Stop> {
    let machine = Machine::for_commands(config)?;
    let mut faults = Faults::default();
    machine.prepare(&machine.embeddings)?;
    for_each_group(args.texts, config.limits.text.get(), |texts| {
        let inputs = texts
            .iter()
            .map(|text| EmbeddingInput { text: text.clone() })
            .collect();
        let answers = machine.embeddings.predict_many_blocking(inputs, patient());
        for (text, answer) in texts.iter().zip(answers) {
            match answer {
                Ok(embedding) => print(text, &embedding, args.output)?,
                Err(error) => faults.report(&short(text, 60), &chain(&error), args.output)?,
            }
        }
        Ok(())
    })?;
    faults.end()
}

fn print(text: &str, embedding: &Embedding, output: Output) -> Result<(), Stop> {
    if output.json {
        return output::json(&json!({
            "text": text,
            "embedding": embedding.vector,
            "tokens": embedding.tokens,
            "truncated": embedding.truncated,
        }));
    }
    let head: Vec<String> = embedding
        .vector
        .iter()
        .take(4)
        .map(|number| format!("{number:.4}"))
        .collect();
    let cut = if embedding.truncated { ", cut" } else { "" };
    output::print(&format!(
        "[{}, … {} numbers]  {} tokens{cut}  {}\n",
        head.join(", "),
        embedding.vector.len(),
        embedding.tokens,
        short(text, 60)
    ))
}
