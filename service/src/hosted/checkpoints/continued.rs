//! Texts continued: what a network writes behind what it is given.
//!
//! Two containers ask in one form and differ in what they take for granted. Hugging Face's inference toolkit answers as
//! transformers' pipeline `text-generation`: the text with what follows, 256 tokens, drawn. Text Generation Inference
//! (`huggingface-pytorch-tgi-inference`) answers with what follows alone, 100 tokens, the likeliest, and with `"stream": true` token by
//! token as server-sent events. Both are also asked with messages instead of a text (`messages.rs`). Texts of all requests are
//! continued side by side ([`Together`]).

use super::super::alone::{AnswersAll, broke, broke_off};
use super::super::questions::{answers, essence, refuse, texts};
use super::chat::Chat;
use super::messages::{Head, Talk, USUAL, Unsaid};
use super::{known, open, whole};
use crate::failure::chain;
use bytes::Bytes;
use escala_models::Compute;
use escala_models::causal::{
    Choice, Chosen, Coming, Continuer, Continuing, Ended, Together, Told as Heard,
};
use escala_pipelines::task::LoadContext;
use escala_sagemaker::served::{Asked, Said, Unanswered};
use serde::Deserialize;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::mpsc::TryRecvError;

/// Most bytes of a text before it is cut into tokens.
const LONGEST: usize = 1 << 20;
/// Most texts that a request is answered with.
const MOST: usize = 256;
/// Most texts that end a text.
const STOPS: usize = 16;
/// Most bytes of keys and values that are kept of a text.
const KEPT: u64 = 1 << 30;
/// Tokens before what is new with which it is written: how a token is written depends on those before it.
const CONTEXT: usize = 6;
/// Tokens that wait for the end of a character at most: none has as many bytes.
const HELD: usize = 8;

/// Parameters that are known.
const KNOWN: [&str; 20] = [
    "max_new_tokens",
    "max_length",
    "do_sample",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "num_return_sequences",
    "return_full_text",
    "stop",
    "stop_strings",
    "seed",
    "eos_token_id",
    "details",
    "truncate",
    // Those whose values change nothing here.
    "use_cache",
    "pad_token_id",
    "clean_up_tokenization_spaces",
    "decoder_input_details",
];

/// Which container it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The toolkit with transformers' pipeline.
    Pipeline,
    /// Text Generation Inference.
    Inference,
}

/// One.
pub struct Texts {
    together: Together,
    /// How messages become a text, or why they do not.
    chat: Result<Option<Chat>, String>,
    form: Form,
}

/// How a request wants its texts continued.
struct Wanted {
    /// Most new tokens, where somebody says.
    most: Option<usize>,
    /// Most tokens in all, where somebody says.
    all: Option<usize>,
    /// Most new tokens where nobody says, if not as the container.
    usual: Option<usize>,
    /// The last tokens of the text that are read, where somebody says.
    last: Option<usize>,
    choice: Choice,
    ends: Vec<u32>,
    stops: Vec<String>,
    /// Texts for each.
    several: usize,
    full: bool,
    details: bool,
}

/// A text that was continued.
struct Made {
    /// What is new.
    text: String,
    tokens: Vec<Told>,
    why: &'static str,
}

/// A token and how it is written behind those before it.
struct Told {
    chosen: Chosen,
    text: String,
    special: bool,
}

#[derive(Deserialize)]
struct Streamed {
    #[serde(default)]
    stream: bool,
}

impl Texts {
    /// What is named, with the threads that it has.
    ///
    /// # Errors
    /// A sentence: it continues no texts, or is not there.
    pub fn load(
        reference: &str,
        form: Form,
        compute: Compute,
        context: &LoadContext<'_>,
    ) -> Result<Self, String> {
        let files = open(reference, context)?;
        let network = Continuer::load(files.dir()).map_err(|error| chain(&error))?;
        let chat = Chat::load(files.dir());
        let together = Together::new(network, compute).map_err(|error| chain(&error))?;
        Ok(Self {
            together,
            chat,
            form,
        })
    }

    fn network(&self) -> &Continuer {
        self.together.network()
    }

    fn wanted(&self, parameters: &Value) -> Result<Wanted, Unanswered> {
        known(parameters, &KNOWN)?;
        let said = self.network().defaults();
        // What the checkpoint says of sampling counts where the pipeline reads it.
        let own = self.form == Form::Pipeline;
        let number = |name: &str, least: f32, most: f32| -> Result<Option<f32>, Unanswered> {
            let Some(value) = parameters.get(name).filter(|value| !value.is_null()) else {
                return Ok(None);
            };
            let number = value.as_f64().map(|number| number as f32);
            match number.filter(|number| (least..=most).contains(number)) {
                Some(number) => Ok(Some(number)),
                None => Err(refuse(
                    400,
                    format!("parameters.{name} is a number from {least} to {most}"),
                )),
            }
        };
        let flag = |name: &str| -> Result<Option<bool>, Unanswered> {
            match parameters.get(name) {
                None | Some(Value::Null) => Ok(None),
                Some(Value::Bool(flag)) => Ok(Some(*flag)),
                Some(_) => Err(refuse(400, format!("parameters.{name} is true or false"))),
            }
        };
        let temperature = number("temperature", 0.0, 100.0)?;
        let top_k = whole(parameters, "top_k", 0)?;
        let top_p = number("top_p", f32::MIN_POSITIVE, 1.0)?;
        let of_checkpoint = |value: Option<f32>| value.filter(|value| own && value.is_finite());
        let draws = [temperature.is_some(), top_k.is_some(), top_p.is_some()].contains(&true);
        let sample = flag("do_sample")?.unwrap_or(match own {
            true => said.do_sample.unwrap_or(true),
            false => draws,
        });
        let cold = if own { 0.7 } else { 1.0 };
        let temperature = temperature
            .or(of_checkpoint(said.temperature))
            .unwrap_or(cold);
        let all_k = if own { 50 } else { 0 };
        let choice = Choice {
            // Nothing is as cold as the likeliest.
            sample: sample && temperature > 0.0,
            temperature: temperature.max(f32::MIN_POSITIVE),
            top_k: top_k.or(said.top_k.filter(|_| own)).unwrap_or(all_k),
            top_p: top_p
                .or(of_checkpoint(said.top_p))
                .unwrap_or(1.0)
                .clamp(f32::MIN_POSITIVE, 1.0),
            min_p: number("min_p", 0.0, 1.0)?
                .or(of_checkpoint(said.min_p))
                .unwrap_or(0.0)
                .clamp(0.0, 1.0),
            repetition_penalty: number("repetition_penalty", 1e-3, 1e3)?
                .or(of_checkpoint(said.repetition_penalty))
                .unwrap_or(1.0)
                .clamp(1e-3, 1e3),
            seed: match whole(parameters, "seed", 0)? {
                Some(seed) => seed as u64,
                None => uuid::Uuid::new_v4().as_u64_pair().0,
            },
        };
        let several = whole(parameters, "num_return_sequences", 1)?.unwrap_or(1);
        if several > 1 && !choice.sample {
            return Err(refuse(
                400,
                "parameters.num_return_sequences above 1 needs do_sample: without it all texts are the same one",
            ));
        }
        Ok(Wanted {
            most: whole(parameters, "max_new_tokens", 1)?,
            all: whole(parameters, "max_length", 1)?,
            usual: None,
            last: whole(parameters, "truncate", 1)?,
            choice,
            ends: ends(parameters.get("eos_token_id"))?,
            stops: stops(parameters)?,
            several,
            full: flag("return_full_text")?.unwrap_or(own),
            details: flag("details")?.unwrap_or(false),
        })
    }

    /// The tokens of a text that are read; `begun` with those of a text's beginning.
    fn read(&self, text: &str, wanted: &Wanted, begun: bool) -> Result<Arc<[u32]>, Unanswered> {
        if text.len() > LONGEST {
            return Err(refuse(400, format!("a text has more than {LONGEST} bytes")));
        }
        let tokens = self.network().tokens(text, begun);
        let mut tokens = tokens.map_err(|error| broke(&error))?;
        if let Some(last) = wanted.last {
            tokens.drain(..tokens.len().saturating_sub(last));
        }
        match tokens.is_empty() {
            true => Err(refuse(
                400,
                "there is nothing to continue: the text has no tokens",
            )),
            false => Ok(tokens.into()),
        }
    }

    /// How many tokens may follow so many.
    fn most(&self, tokens: usize, wanted: &Wanted) -> Result<usize, Unanswered> {
        let positions = self.network().config().max_position_embeddings;
        let room = positions.saturating_sub(tokens);
        let said = self.network().defaults();
        let of = |all: Option<usize>| all.map(|all| all.saturating_sub(tokens).max(1));
        let most = match wanted.most.or(of(wanted.all)) {
            Some(most) if most > room => {
                return Err(refuse(
                    400,
                    format!(
                        "{tokens} tokens and {most} that follow are more than the {positions} positions of the network"
                    ),
                ));
            }
            Some(most) => most,
            None => {
                let own = said.max_new_tokens.or(of(said.max_length));
                let usual = match self.form {
                    Form::Pipeline => own.unwrap_or(256),
                    Form::Inference => 100,
                };
                wanted.usual.unwrap_or(usual).min(room)
            }
        };
        if most == 0 {
            return Err(refuse(
                400,
                format!(
                    "{tokens} tokens leave no room in the {positions} positions of the network; parameters.truncate keeps the last of them"
                ),
            ));
        }
        if self.network().memory_of(tokens.saturating_add(most)) > KEPT {
            return Err(refuse(
                400,
                format!(
                    "{tokens} tokens and {most} that follow need more memory than a text may; ask for fewer"
                ),
            ));
        }
        Ok(most)
    }

    /// Begins to continue a text.
    fn begin(
        &self,
        asked: &Asked,
        tokens: &Arc<[u32]>,
        wanted: &Wanted,
        choice: Choice,
    ) -> Result<Coming, Unanswered> {
        let how = Continuing {
            most: self.most(tokens.len(), wanted)?,
            choice,
            ends: wanted.ends.clone(),
        };
        let given_up = asked.given_up.clone();
        let gone = move || given_up.is_so();
        Ok(self.together.begin(Arc::clone(tokens), how, gone))
    }

    /// Begins to continue the text of this number as often as is wanted, each time with draws of its own.
    fn begin_all(
        &self,
        asked: &Asked,
        tokens: &Arc<[u32]>,
        wanted: &Wanted,
        number: usize,
    ) -> Result<Vec<Coming>, Unanswered> {
        let begun = (0..wanted.several).map(|turn| {
            let own = (number * wanted.several + turn) as u64;
            let choice = Choice {
                seed: wanted.choice.seed.wrapping_add(own),
                ..wanted.choice.clone()
            };
            self.begin(asked, tokens, wanted, choice)
        });
        begun.collect()
    }

    /// Hears how a text is continued; each token is told to `tell`, which answers whether anybody still waits.
    fn hear(
        &self,
        coming: Coming,
        tokens: &[u32],
        wanted: &Wanted,
        mut tell: impl FnMut(&Told) -> bool,
    ) -> Result<Made, Unanswered> {
        let mut hearing = Hearing::new(coming, tokens, wanted);
        while hearing.why.is_none() {
            let waits = match hearing.wait(self.network())? {
                Some(told) => tell(told),
                None => true,
            };
            if !waits && hearing.why.is_none() {
                return Err(refuse(499, "nobody waits for the answer any more"));
            }
        }
        self.made(hearing)
    }

    /// Hears how texts are continued that were begun in this order. Of each, what has come is heard while the first is waited
    /// for, and which has ended is let go at once: it leaves its place to others.
    fn hear_all(
        &self,
        asked: &Asked,
        begun: Vec<(Coming, &[u32])>,
        wanted: &Wanted,
    ) -> Result<Vec<Made>, Unanswered> {
        let hearings = begun
            .into_iter()
            .map(|(coming, tokens)| Hearing::new(coming, tokens, wanted));
        let mut hearings: Vec<Hearing> = hearings.collect();
        for first in 0..hearings.len() {
            // Places are given in order, so that none behind the first keeps it from one.
            let (first, others) = match hearings[first..].split_first_mut() {
                Some(parts) => parts,
                None => break,
            };
            while first.why.is_none() {
                first.wait(self.network())?;
                for other in &mut *others {
                    other.catch_up(self.network())?;
                }
                if asked.given_up.is_so() {
                    return Err(refuse(499, "nobody waits for the answer any more"));
                }
            }
        }
        hearings
            .into_iter()
            .map(|hearing| self.made(hearing))
            .collect()
    }

    fn made(&self, hearing: Hearing) -> Result<Made, Unanswered> {
        Ok(Made {
            text: self.new_text(hearing.tokens, &hearing.told)?,
            tokens: hearing.told,
            why: hearing.why.unwrap_or("length"),
        })
    }

    /// Continues a text once.
    fn make(
        &self,
        asked: &Asked,
        tokens: &Arc<[u32]>,
        wanted: &Wanted,
        tell: impl FnMut(&Told) -> bool,
    ) -> Result<Made, Unanswered> {
        let coming = self.begin(asked, tokens, wanted, wanted.choice.clone())?;
        self.hear(coming, tokens, wanted, tell)
    }

    /// What was written behind a text: as transformers, what all is as a text behind as many characters as the text has.
    fn new_text(&self, tokens: &[u32], new: &[Told]) -> Result<String, Unanswered> {
        let both = tokens.iter().copied();
        let both: Vec<u32> = both
            .chain(new.iter().map(|told| told.chosen.token))
            .collect();
        let text = |tokens: &[u32]| self.network().text(tokens).map_err(|error| broke(&error));
        let before = text(tokens)?.chars().count();
        Ok(text(&both)?.chars().skip(before).collect())
    }

    /// An answer's object.
    fn row(&self, prompt: &str, made: &Made, wanted: &Wanted) -> Value {
        let text = match wanted.full {
            true => format!("{prompt}{}", made.text),
            false => made.text.clone(),
        };
        let mut row = json!({ "generated_text": text });
        if wanted.details {
            row["details"] = json!({
                "finish_reason": made.why,
                "generated_tokens": made.tokens.len(),
                "seed": wanted.choice.sample.then_some(wanted.choice.seed),
                "prefill": [],
                "tokens": made.tokens.iter().map(token).collect::<Vec<_>>(),
            });
        }
        row
    }

    /// Token by token, as server-sent events.
    fn stream(&self, asked: &Asked, prompt: &str, wanted: &Wanted) -> Result<Said, Unanswered> {
        let tokens = self.read(prompt, wanted, true)?;
        // Whatever is wrong is said before anything else is.
        self.most(tokens.len(), wanted)?;
        let mut events = Events::new(asked);
        let mut say = |event: Value| events.say(format!("data:{event}\n\n"));
        // The last token comes with the whole.
        let mut held: Option<Value> = None;
        let mut at = 0;
        let made = self.make(asked, &tokens, wanted, |told| {
            at += 1;
            let event =
                json!({"index": at, "token": token(told), "generated_text": null, "details": null});
            held.replace(event).is_none_or(&mut say)
        })?;
        if let Some(mut last) = held {
            last["generated_text"] = self.row(prompt, &made, wanted)["generated_text"].take();
            last["details"] = json!({
                "finish_reason": made.why,
                "generated_tokens": made.tokens.len(),
                "seed": wanted.choice.sample.then_some(wanted.choice.seed),
                "input_length": tokens.len(),
            });
            say(last);
        }
        Ok(events.said())
    }

    /// Answers a conversation.
    fn talk(&self, asked: &Asked, talk: &Talk) -> Result<Said, Unanswered> {
        let chat = self.chat.as_ref().map_err(|why| refuse(400, why.clone()))?;
        let chat = chat.as_ref().ok_or_else(|| {
            refuse(
                400,
                "the checkpoint has no chat template (chat_template.jinja, or in tokenizer_config.json), so that it \
                 knows no messages; `inputs` are texts",
            )
        })?;
        let prompt = chat.prompt(&talk.sent).map_err(|why| refuse(400, why))?;
        let mut wanted = self.wanted(&talk.parameters)?;
        if wanted.several > MOST {
            return Err(refuse(400, format!("n is at most {MOST}")));
        }
        if wanted.several > 1 && (talk.stream || talk.model.is_none()) {
            return Err(refuse(
                400,
                "a conversation that is streamed, or given as inputs, is answered once: n is 1",
            ));
        }
        if talk.model.is_some() {
            wanted.usual = Some(USUAL);
        }
        // The template writes what begins a text.
        let tokens = self.read(&prompt, &wanted, false)?;
        self.most(tokens.len(), &wanted)?;
        let Some(model) = &talk.model else {
            if talk.stream {
                return Err(refuse(
                    400,
                    "inputs that are messages have no stream; ask with `messages`",
                ));
            }
            let waits = |_: &Told| !asked.given_up.is_so();
            let made = self.make(asked, &tokens, &wanted, waits)?;
            let mut said = talk.messages.clone();
            if let Value::Array(list) = &mut said {
                list.push(json!({"role": "assistant", "content": made.text}));
            }
            let text = if wanted.full { said } else { json!(made.text) };
            return Ok(written(&json!([{ "generated_text": text }])));
        };
        let head = Head::new(model);
        if !talk.stream {
            let begun = self.begin_all(asked, &tokens, &wanted, 0)?;
            let begun = begun.into_iter().map(|coming| (coming, &*tokens));
            let made = self.hear_all(asked, begun.collect(), &wanted)?;
            let texts: Vec<(&str, &str)> = made
                .iter()
                .map(|made| (without_stop(made, &wanted), made.why))
                .collect();
            let new = made.iter().map(|made| made.tokens.len()).sum();
            return Ok(written(&head.completion(&texts, tokens.len(), new)));
        }
        let mut events = Events::new(asked);
        let mut first = true;
        let mut unsaid = Unsaid::new(&wanted.stops);
        let made = self.make(asked, &tokens, &wanted, |told| {
            let text = unsaid.hear(&told.text);
            if text.is_empty() && !first {
                return !asked.given_up.is_so();
            }
            let part = head.chunk(&text, std::mem::take(&mut first), None);
            events.say(format!("data: {part}\n\n"))
        })?;
        let last = head.chunk(&unsaid.rest(), first, Some(made.why));
        events.say(format!("data: {last}\n\n"));
        if talk.usage {
            let part = head.counted(tokens.len(), made.tokens.len());
            events.say(format!("data: {part}\n\n"));
        }
        events.say("data: [DONE]\n\n".to_owned());
        Ok(events.said())
    }
}

/// What is new, up to a text that ended it.
fn without_stop<'a>(made: &'a Made, wanted: &Wanted) -> &'a str {
    let stops = wanted.stops.iter().filter(|_| made.why == "stop_sequence");
    let end = stops.filter_map(|stop| made.text.find(stop.as_str())).min();
    &made.text[..end.unwrap_or(made.text.len())]
}

fn written(answer: &Value) -> Said {
    Said {
        content_type: "application/json".to_owned(),
        body: answer.to_string().into(),
    }
}

/// Sends a server-sent event, and keeps it for who reads the whole.
struct Events<'a> {
    asked: &'a Asked,
    body: Vec<u8>,
}

impl<'a> Events<'a> {
    fn new(asked: &'a Asked) -> Self {
        if let Some(parts) = &asked.parts {
            parts.head().content_type.get_or_init(|| EVENTS.to_owned());
        }
        let body = Vec::new();
        Self { asked, body }
    }

    /// Whether anybody still waits.
    fn say(&mut self, event: String) -> bool {
        let event = Bytes::from(event);
        self.body.extend_from_slice(&event);
        let parts = self.asked.parts.as_ref();
        parts.is_none_or(|parts| parts.send(event)) && !self.asked.given_up.is_so()
    }

    fn said(self) -> Said {
        Said {
            content_type: EVENTS.to_owned(),
            body: self.body.into(),
        }
    }
}

/// Server-sent events.
const EVENTS: &str = "text/event-stream";

fn token(told: &Told) -> Value {
    json!({
        "id": told.chosen.token,
        "text": told.text,
        "logprob": told.chosen.logarithm,
        "special": told.special,
    })
}

/// Tokens that end a text.
fn ends(value: Option<&Value>) -> Result<Vec<u32>, Unanswered> {
    let wrong = || {
        refuse(
            400,
            "parameters.eos_token_id is the number of a token, or several",
        )
    };
    let one = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(ids)) if ids.len() <= STOPS => {
            ids.iter().map(|id| one(id).ok_or_else(wrong)).collect()
        }
        Some(id) => Ok(vec![one(id).ok_or_else(wrong)?]),
    }
}

/// Texts that end a text.
fn stops(parameters: &Value) -> Result<Vec<String>, Unanswered> {
    let mut stops = Vec::new();
    for name in ["stop", "stop_strings"] {
        let listed = match parameters.get(name) {
            None | Some(Value::Null) => continue,
            Some(Value::Array(listed)) => listed.as_slice(),
            Some(one) => std::slice::from_ref(one),
        };
        for stop in listed {
            match stop.as_str().filter(|stop| !stop.is_empty()) {
                Some(stop) if stops.len() < STOPS => stops.push(stop.to_owned()),
                _ => {
                    return Err(refuse(
                        400,
                        format!("parameters.{name} is at most {STOPS} texts"),
                    ));
                }
            }
        }
    }
    Ok(stops)
}

/// A text as it is heard while it is continued.
struct Hearing<'a> {
    /// Until it has ended.
    coming: Option<Coming>,
    tokens: &'a [u32],
    stops: &'a [String],
    /// Bytes of the longest of them.
    longest: usize,
    spoken: Spoken,
    told: Vec<Told>,
    written: String,
    /// Why it ended, once it has.
    why: Option<&'static str>,
}

impl<'a> Hearing<'a> {
    fn new(coming: Coming, tokens: &'a [u32], wanted: &'a Wanted) -> Self {
        Self {
            coming: Some(coming),
            tokens,
            stops: &wanted.stops,
            longest: wanted.stops.iter().map(String::len).max().unwrap_or(0),
            spoken: Spoken::new(tokens),
            told: Vec::new(),
            written: String::new(),
            why: None,
        }
    }

    /// Waits for the next token; none of a text that has ended.
    fn wait(&mut self, network: &Continuer) -> Result<Option<&Told>, Unanswered> {
        let Some(coming) = &self.coming else {
            return Ok(None);
        };
        // Nothing comes for whoever gave up, either; nobody reads this then.
        let heard = coming.recv().map_err(|_| broke_off())?;
        self.take(network, heard)?;
        Ok(self.told.last())
    }

    /// Hears what has come.
    fn catch_up(&mut self, network: &Continuer) -> Result<(), Unanswered> {
        while let Some(coming) = &self.coming {
            match coming.try_recv() {
                Ok(heard) => self.take(network, heard)?,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Err(broke_off()),
            }
        }
        Ok(())
    }

    fn take(&mut self, network: &Continuer, heard: Heard) -> Result<(), Unanswered> {
        let (chosen, ended) = match heard {
            Heard::Next(chosen, ended) => (chosen, ended),
            Heard::Failed(error) => return Err(broke(&*error)),
        };
        let text = self.spoken.hear(network, chosen.token);
        let text = text.map_err(|error| broke(&error))?;
        let special = text.is_empty() && network.is_special(chosen.token);
        // What is new may end one of them that began before.
        let from = self.written.len().saturating_sub(self.longest);
        let from = self.written.floor_char_boundary(from);
        self.written.push_str(&text);
        let recent = &self.written[from..];
        let mut stops = self.stops.iter();
        let stopped = stops.any(|stop| recent.contains(stop.as_str()));
        self.told.push(Told {
            chosen,
            text,
            special,
        });
        self.why = match ended {
            Some(Ended::Token) => Some("eos_token"),
            _ if stopped => Some("stop_sequence"),
            Some(_) => Some("length"),
            None => None,
        };
        if self.why.is_some() {
            self.coming = None;
        }
        Ok(())
    }
}

/// Writes tokens one by one. A character of several tokens comes with its last.
struct Spoken {
    tokens: Vec<u32>,
    /// What is written begins here, so that it is written as behind these.
    from: usize,
    /// Those before were written.
    written: usize,
}

impl Spoken {
    fn new(before: &[u32]) -> Self {
        let tokens = before[before.len().saturating_sub(CONTEXT)..].to_vec();
        Self {
            from: 0,
            written: tokens.len(),
            tokens,
        }
    }

    fn hear(&mut self, network: &Continuer, token: u32) -> escala_models::Result<String> {
        self.tokens.push(token);
        let before = network.text(&self.tokens[self.from..self.written])?;
        let now = network.text(&self.tokens[self.from..])?;
        let held = self.tokens.len() - self.written;
        let whole = !now.ends_with('\u{fffd}') || held > HELD;
        match now
            .get(before.len()..)
            .filter(|text| whole && !text.is_empty())
        {
            Some(text) => {
                self.from = self.written;
                self.written = self.tokens.len();
                Ok(text.to_owned())
            }
            None => Ok(String::new()),
        }
    }
}

impl AnswersAll for Texts {
    fn answer(&self, asked: &Asked) -> Result<Said, Unanswered> {
        let kind = asked.content_type.as_deref();
        let is_json = kind.is_none_or(|kind| essence(kind) == "application/json");
        if is_json && let Some(talk) = Talk::of(&asked.body)? {
            return self.talk(asked, &talk);
        }
        let asked_about = texts(asked.content_type.as_deref(), &asked.body)?;
        let wanted = self.wanted(&asked_about.parameters)?;
        let streamed = serde_json::from_slice::<Streamed>(&asked.body);
        if streamed.is_ok_and(|said| said.stream) {
            let [prompt] = asked_about.items.as_slice() else {
                return Err(refuse(
                    400,
                    "one text is continued as a stream, not several",
                ));
            };
            if wanted.several > 1 {
                return Err(refuse(
                    400,
                    "a stream is one text: num_return_sequences is 1",
                ));
            }
            return self.stream(asked, prompt, &wanted);
        }
        if asked_about.items.len().saturating_mul(wanted.several) > MOST {
            return Err(refuse(
                400,
                format!("a request is answered with at most {MOST} texts"),
            ));
        }
        let prompts = asked_about.items.iter();
        let read = prompts.map(|prompt| self.read(prompt, &wanted, true));
        let read: Vec<Arc<[u32]>> = read.collect::<Result<_, _>>()?;
        let mut begun = Vec::with_capacity(read.len() * wanted.several);
        for (number, tokens) in read.iter().enumerate() {
            let these = self.begin_all(asked, tokens, &wanted, number)?;
            begun.extend(these.into_iter().map(|coming| (coming, &**tokens)));
        }
        let made = self.hear_all(asked, begun, &wanted)?;
        let mut rows = Vec::with_capacity(read.len());
        for (prompt, made) in asked_about.items.iter().zip(made.chunks(wanted.several)) {
            let made = made.iter().map(|made| self.row(prompt, made, &wanted));
            let row = to_raw_value(&made.collect::<Vec<_>>());
            rows.push(row.map_err(|error| refuse(500, error.to_string()))?);
        }
        answers(asked_about.answered(), asked.accept.as_deref(), &rows)
    }

    fn memory(&self) -> u64 {
        self.network().memory()
    }
}
