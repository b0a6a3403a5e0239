//! The tasks of the doors as models: an image `escala/TASK` names one. They ask the engine as every door does.

use super::questions::{Shape, answers, essence, refuse, texts};
use crate::app::App;
use crate::asked::{self, What};
use crate::failure::Failure;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use escala_pipelines::{Options, Priority};
use escala_sagemaker::served::{Asked, Container, Opener, Said, Served, Unanswered};
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::sync::Arc;
use std::time::Instant;

/// What stands before the task in an image's name.
const PREFIX: &str = "escala/";
/// The variable of the environment that says in which language texts are.
const LANGUAGE: &str = "LANGUAGE";

/// Who opens them.
pub struct Tasks(pub Arc<App>);

impl Opener for Tasks {
    fn open(&self, container: &Container<'_>) -> Option<Result<Arc<dyn Served>, String>> {
        let name = container.repository.strip_prefix(PREFIX)?;
        let opened = asked::find(name).map(|found| {
            let task: Arc<dyn Served> = Arc::new(Task {
                app: self.0.clone(),
                what: found.what,
                language: container.environment.get(LANGUAGE).cloned(),
            });
            task
        });
        Some(opened)
    }

    fn accepts(&self) -> String {
        let tasks: Vec<&str> = asked::tasks().collect();
        format!("{PREFIX}TASK, TASK being one of {}", tasks.join(", "))
    }
}

struct Task {
    app: Arc<App>,
    what: What,
    language: Option<String>,
}

/// What a container would have answered.
fn unanswered(failure: &Failure) -> Unanswered {
    refuse(failure.status.as_u16(), failure.message.clone())
}

/// The image of a request.
fn image(asked: &Asked) -> Result<Bytes, Unanswered> {
    let kind = essence(
        asked
            .content_type
            .as_deref()
            .unwrap_or("application/octet-stream"),
    );
    match kind.as_str() {
        "application/x-image" | "application/octet-stream" => Ok(asked.body.clone()),
        "application/json" => {
            let read = serde_json::from_slice::<Value>(&asked.body);
            let read = read
                .map_err(|error| refuse(400, format!("the request is not valid JSON: {error}")))?;
            let text = read
                .get("image")
                .or_else(|| read.get("inputs"))
                .and_then(Value::as_str);
            let text = text.ok_or_else(|| {
                refuse(400, "the request has no image: it is {\"image\": BASE64}")
            })?;
            let bytes = STANDARD.decode(text);
            Ok(bytes
                .map_err(|_| refuse(400, "the image is not valid base64"))?
                .into())
        }
        kind if kind.starts_with("image/") => Ok(asked.body.clone()),
        other => Err(refuse(
            415,
            format!(
                "{other} is no image here; image/jpeg, image/png, application/x-image and application/json are"
            ),
        )),
    }
}

impl Task {
    async fn answer(&self, asked: Asked) -> Result<Said, Unanswered> {
        let options = Options {
            priority: Priority::Interactive,
            deadline: Some(Instant::now() + self.app.config.limits.deadline.get()),
        };
        let accept = asked.accept.as_deref();
        let of_text = matches!(
            self.what,
            What::Feature(_) | What::Classes | What::Embedding
        );
        if !of_text {
            let found = asked::of_images(&self.app, self.what, vec![image(&asked)?], options).await;
            let found = found.into_iter().next();
            let found = found.unwrap_or_else(|| Err(Failure::invalid("there is no answer")));
            let found = found.map_err(|failure| unanswered(&failure))?;
            return answers(Shape::One, accept, &[found]);
        }
        let read = texts(asked.content_type.as_deref(), &asked.body)?;
        let language = self.language.as_deref();
        let found = asked::of_texts(&self.app, self.what, language, read.texts, options).await;
        let found = found.map_err(|failure| unanswered(&failure))?;
        let found: Result<Vec<_>, Failure> = found.into_iter().collect();
        // One text that cannot be answered fails its request, as a container's would.
        answers(
            read.shape,
            accept,
            &found.map_err(|failure| unanswered(&failure))?,
        )
    }
}

impl Served for Task {
    fn invoke(&self, asked: Asked) -> BoxFuture<'_, Result<Said, Unanswered>> {
        Box::pin(self.answer(asked))
    }

    fn memory(&self) -> u64 {
        // The engine has the model, within a budget of its own.
        0
    }
}
