//! Requests that come again because their answer was lost: each names itself with a token, and is answered as it was.
//!
//! Tokens are kept in memory, the latest ones; a server that was started again knows none.

use parking_lot::Mutex;
use serde_json::Value;
use std::collections::{HashMap, VecDeque};

/// Most tokens that are kept, each with a request and an answer of some kilobytes.
const MOST: usize = 2_000;

/// What was answered, by token.
#[derive(Default)]
pub struct Repeated(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    answers: HashMap<String, (String, Value)>,
    /// The oldest first.
    order: VecDeque<String>,
}

/// Whether a request came before.
#[derive(Debug, PartialEq)]
pub enum Seen {
    /// It did not.
    Never,
    /// It did, and was answered so.
    Answered(Value),
    /// Another one came with its token.
    Another,
}

impl Repeated {
    /// Whether a request with this token was answered; `request` is all that makes it what it is.
    pub fn seen(&self, token: &str, request: &str) -> Seen {
        match self.0.lock().answers.get(token) {
            None => Seen::Never,
            Some((before, answer)) if before == request => Seen::Answered(answer.clone()),
            Some(_) => Seen::Another,
        }
    }

    /// Notes how it was answered.
    pub fn answered(&self, token: String, request: String, answer: Value) {
        let mut kept = self.0.lock();
        if kept
            .answers
            .insert(token.clone(), (request, answer))
            .is_none()
        {
            kept.order.push_back(token);
        }
        if kept.order.len() > MOST
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.answers.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_latest_tokens_are_kept() {
        let repeated = Repeated::default();
        assert_eq!(repeated.seen("a", "x"), Seen::Never);
        repeated.answered("a".to_owned(), "x".to_owned(), json!({"n": 1}));
        assert_eq!(repeated.seen("a", "x"), Seen::Answered(json!({"n": 1})));
        assert_eq!(repeated.seen("a", "y"), Seen::Another);
        for number in 0..MOST {
            repeated.answered(number.to_string(), "x".to_owned(), json!({}));
        }
        assert_eq!(repeated.seen("a", "x"), Seen::Never, "the oldest went");
        assert_eq!(repeated.seen("0", "x"), Seen::Answered(json!({})));
        assert_eq!(repeated.0.lock().answers.len(), MOST);
    }
}
