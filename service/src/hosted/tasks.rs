//! The tasks of the doors as models: an image `escala/TASK` names one. They ask the engine as every door does.

use super::questions::{answers, images, refuse, texts};
use crate::app::App;
use crate::asked::{self, What};
use crate::failure::Failure;
use escala_pipelines::{Options, Priority};
use escala_sagemaker::served::{About, Asked, Container, Haste, Opener, Said, Served, Unanswered};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What stands before the task in an image's name.
const PREFIX: &str = "escala/";
/// The variable of the environment that says in which language texts are.
const LANGUAGE: &str = "LANGUAGE";
/// How long a question for whose answer nobody waits may wait for its turn.
const PATIENCE: Duration = Duration::from_secs(600);

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

    fn knows(&self, repository: &str) -> bool {
        let name = repository.strip_prefix(PREFIX);
        name.is_some_and(|name| asked::find(name).is_ok())
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

impl Task {
    async fn answer(&self, asked: Asked) -> Result<Said, Unanswered> {
        let (priority, patience) = match asked.haste {
            Haste::Now => (Priority::Interactive, self.app.config.limits.deadline.get()),
            Haste::Behind => (Priority::Batch, PATIENCE),
        };
        let options = Options {
            priority,
            deadline: Some(Instant::now() + patience),
        };
        let accept = asked.accept.as_deref();
        let what = match self.what {
            What::Text(what) => what,
            What::Image(what) => {
                let read = images(&asked)?;
                let shape = read.answered();
                let found = asked::of_images(&self.app, what, read.items, options).await;
                let found: Result<Vec<_>, Failure> = found.into_iter().collect();
                let found = found.map_err(|failure| unanswered(&failure))?;
                return answers(shape, accept, &found);
            }
        };
        let read = texts(asked.content_type.as_deref(), &asked.body)?;
        let language = self.language.as_deref();
        let found = asked::of_texts(&self.app, what, language, read.items, options).await;
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
    fn about(&self) -> About {
        match self.what {
            What::Text(_) => About::Texts,
            What::Image(_) => About::Images,
        }
    }

    fn invoke(&self, asked: Asked) -> BoxFuture<'_, Result<Said, Unanswered>> {
        Box::pin(self.answer(asked))
    }

    fn memory(&self) -> u64 {
        // The engine has the model, within a budget of its own.
        0
    }
}
