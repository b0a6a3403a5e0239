//! Requests that come again because their answer was lost: each names itself with a token, is done once, and is answered
//! as it was.
//!
//! A request with a token is done by a task of its own, so that it is known what it was answered also where nobody waited
//! for that; who comes with the same token in the meantime waits for the same answer. A request that failed did nothing:
//! one that comes again is done. Tokens are kept in memory, the latest ones; a server that was started again knows none.

use parking_lot::Mutex;
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::watch;
use tracing::Instrument;

/// Most tokens that are kept, each with a request and an answer of some kilobytes.
const MOST: usize = 2_000;

/// Most requests that are being done.
const BEGUN: usize = 1_000;

/// What was answered, by token, and what is being done.
#[derive(Clone, Default)]
pub struct Repeated(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    answers: HashMap<String, (String, Value)>,
    /// The oldest first.
    order: VecDeque<String>,
    /// Requests that are being done, each with what is closed when it is.
    begun: HashMap<String, (String, watch::Receiver<()>)>,
}

/// Why a request is not done.
#[derive(Debug, PartialEq)]
pub enum Refusal {
    /// Another one came with its token.
    Another,
    /// Too many are being done.
    TooMany,
    /// What did it ended without an answer; a defect, with what is known of it.
    Lost(String),
}

/// What there is to do for a request.
enum Found {
    /// Nothing: it was answered so.
    Answered(Value),
    /// To wait for its end: it is being done.
    Begun(watch::Receiver<()>),
    /// To do it.
    New(Begun),
}

/// A request that is being done; when this goes, it is not any more.
struct Begun {
    repeated: Repeated,
    token: String,
    /// Closed behind all else, so that who waits finds what there is.
    _open: watch::Sender<()>,
}

impl Repeated {
    /// Answers a request with a token as it was answered; else has `work` do it, which goes on when the caller does not wait
    /// for it any more. `request` is all that makes it what it is.
    ///
    /// # Errors
    /// A [`Refusal`] outside; the work's own inside.
    pub async fn once<E: Send + 'static>(
        &self,
        token: &str,
        request: String,
        work: impl Future<Output = Result<Value, E>> + Send + 'static,
    ) -> Result<Result<Value, E>, Refusal> {
        let begun = loop {
            match self.find(token, &request)? {
                Found::Answered(answer) => return Ok(Ok(answer)),
                Found::New(begun) => break begun,
                // Nothing is sent: it ends in an error, which is what is waited for.
                Found::Begun(mut open) => drop(open.changed().await),
            }
        };
        let done = async move {
            let answer = work.await;
            if let Ok(answer) = &answer {
                begun.answered(request, answer.clone());
            }
            answer
        };
        let done = tokio::spawn(done.in_current_span());
        done.await.map_err(|error| Refusal::Lost(error.to_string()))
    }

    fn find(&self, token: &str, request: &str) -> Result<Found, Refusal> {
        let mut kept = self.0.lock();
        if let Some((before, answer)) = kept.answers.get(token) {
            return match before == request {
                true => Ok(Found::Answered(answer.clone())),
                false => Err(Refusal::Another),
            };
        }
        if let Some((before, open)) = kept.begun.get(token) {
            return match before == request {
                true => Ok(Found::Begun(open.clone())),
                false => Err(Refusal::Another),
            };
        }
        if kept.begun.len() >= BEGUN {
            return Err(Refusal::TooMany);
        }
        let (sender, open) = watch::channel(());
        kept.begun
            .insert(token.to_owned(), (request.to_owned(), open));
        Ok(Found::New(Begun {
            repeated: self.clone(),
            token: token.to_owned(),
            _open: sender,
        }))
    }
}

impl Begun {
    /// Notes how it was answered.
    fn answered(&self, request: String, answer: Value) {
        let mut kept = self.repeated.0.lock();
        let token = self.token.clone();
        kept.answers.insert(token.clone(), (request, answer));
        kept.order.push_back(token);
        if kept.order.len() > MOST
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.answers.remove(&oldest);
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.repeated.0.lock().begun.remove(&self.token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::oneshot;

    /// Answers to a request that is done at once.
    async fn ask(repeated: &Repeated, token: &str, request: &str, n: usize) -> Outcome {
        let work = async move { Ok::<_, ()>(json!({ "n": n })) };
        repeated.once(token, request.to_owned(), work).await
    }

    type Outcome = Result<Result<Value, ()>, Refusal>;

    fn is(n: usize) -> Outcome {
        Ok(Ok(json!({ "n": n })))
    }

    /// Begins a request that ends when it is told how, and leaves without waiting for it.
    async fn begin(repeated: &Repeated, token: &str) -> oneshot::Sender<Result<Value, ()>> {
        let (tell, told) = oneshot::channel();
        let work = async move { told.await.expect("is told") };
        let request = repeated.once(token, "x".to_owned(), work);
        tokio::select! {
            biased;
            answer = request => panic!("answered: {answer:?}"),
            () = async {} => tell,
        }
    }

    #[tokio::test]
    async fn the_latest_tokens_are_kept() {
        let repeated = Repeated::default();
        assert_eq!(ask(&repeated, "a", "x", 1).await, is(1));
        assert_eq!(ask(&repeated, "a", "x", 2).await, is(1));
        assert_eq!(ask(&repeated, "a", "y", 3).await, Err(Refusal::Another));
        for number in 0..MOST {
            assert_eq!(ask(&repeated, &number.to_string(), "x", 4).await, is(4));
        }
        assert_eq!(repeated.0.lock().answers.len(), MOST);
        assert_eq!(ask(&repeated, "1", "x", 5).await, is(4));
        assert_eq!(ask(&repeated, "a", "y", 6).await, is(6), "the oldest went");
    }

    #[tokio::test]
    async fn a_request_is_done_and_known_though_its_caller_has_left() {
        let repeated = Repeated::default();
        let tell = begin(&repeated, "a").await;
        assert_eq!(ask(&repeated, "a", "y", 2).await, Err(Refusal::Another));
        let again = ask(&repeated, "a", "x", 2);
        tokio::pin!(again);
        tokio::select! {
            biased;
            answer = &mut again => panic!("it does not wait: {answer:?}"),
            () = async {} => (),
        }
        tell.send(Ok(json!({"n": 1}))).expect("goes on");
        assert_eq!(again.await, is(1));
        assert_eq!(ask(&repeated, "a", "x", 3).await, is(1));
        assert!(repeated.0.lock().begun.is_empty());
    }

    #[tokio::test]
    async fn what_failed_is_done_again_by_one_of_those_who_wait() {
        let repeated = Repeated::default();
        let tell = begin(&repeated, "a").await;
        let done = Arc::new(AtomicUsize::new(0));
        let asking: Vec<_> = (0..5)
            .map(|_| {
                let (repeated, done) = (repeated.clone(), done.clone());
                tokio::spawn(async move {
                    let work = async move {
                        done.fetch_add(1, Ordering::SeqCst);
                        Ok::<_, ()>(json!({"n": 1}))
                    };
                    repeated.once("a", "x".to_owned(), work).await
                })
            })
            .collect();
        tell.send(Err(())).expect("goes on");
        for asked in asking {
            assert_eq!(asked.await.expect("asks"), is(1));
        }
        assert_eq!(done.load(Ordering::SeqCst), 1);
        // Nor is one waited for that ends in a defect.
        let lost = async { panic!("a defect") };
        let lost: Outcome = repeated.once("b", "x".to_owned(), lost).await;
        assert!(matches!(lost, Err(Refusal::Lost(_))), "{lost:?}");
        assert_eq!(ask(&repeated, "b", "y", 2).await, is(2));
    }

    #[tokio::test]
    async fn no_more_are_begun_than_may_be() {
        let repeated = Repeated::default();
        let mut tell = Vec::new();
        for number in 0..BEGUN {
            tell.push(begin(&repeated, &number.to_string()).await);
        }
        assert_eq!(ask(&repeated, "a", "x", 1).await, Err(Refusal::TooMany));
        for tell in tell {
            tell.send(Ok(json!({"n": 0}))).expect("goes on");
        }
        assert_eq!(ask(&repeated, "0", "x", 1).await, is(0));
        assert_eq!(ask(&repeated, "1", "x", 1).await, is(0));
        assert_eq!(ask(&repeated, "a", "x", 1).await, is(1));
    }
}
