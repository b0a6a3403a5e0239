//! What is kept of models that are being learned, so that another process goes on with them.

use super::{Run, State};
use crate::linear::descent::Descent;
use crate::linear::lbfgs::Lbfgs;
use crate::store::{self, Numbers};
use std::collections::VecDeque;

/// The version of checkpoints.
const CHECKPOINT: u32 = 1;

impl Run<'_> {
    /// All models as they are.
    pub(super) fn checkpoint(&self) -> std::result::Result<Vec<u8>, String> {
        let size = self.settings.classes * self.width;
        let mut shapes = Vec::new();
        let mut lists: Vec<(String, Vec<f64>)> = Vec::new();
        for (at, candidate) in self.candidates.iter().enumerate() {
            let ended = f64::from(u8::from(candidate.ended));
            let mut numbers = vec![candidate.best, candidate.waited as f64, ended];
            let mut vectors: Vec<&[f64]> = Vec::new();
            match &candidate.state {
                State::Search(search) => {
                    numbers.extend([
                        search.value,
                        search.step,
                        f64::from(search.tries),
                        f64::from(u8::from(search.done)),
                        f64::from(u8::from(search.started)),
                    ]);
                    vectors.extend([
                        &search.point[..],
                        &search.trial,
                        &search.slopes,
                        &search.direction,
                    ]);
                    for (moved, bent) in &search.past {
                        vectors.extend([&moved[..], bent]);
                    }
                }
                State::Descent(descent) => {
                    numbers.push(descent.steps as f64);
                    vectors.extend([&descent.weights[..], &descent.mean, &descent.square]);
                }
                State::Solved(_) => return Err("there is nothing to go on with".to_owned()),
            }
            if !candidate.kept.is_empty() {
                vectors.push(&candidate.kept);
            }
            shapes.push((numbers.len(), vectors.len(), !candidate.kept.is_empty()));
            lists.push((format!("numbers.{at}"), numbers));
            lists.push((format!("vectors.{at}"), vectors.concat()));
        }
        let sizes: Vec<[usize; 1]> = lists.iter().map(|(_, list)| [list.len()]).collect();
        let tensors: Vec<store::Kept> = lists
            .iter()
            .zip(&sizes)
            .map(|((name, list), size)| (name.as_str(), &size[..], Numbers::F64(list)))
            .collect();
        store::bytes(
            "linear-learner checkpoint",
            CHECKPOINT,
            &(self.epoch, size, shapes),
            &tensors,
        )
    }

    /// Goes back to what was kept.
    ///
    /// # Errors
    /// It is of something else.
    pub(super) fn restore(&mut self, bytes: &[u8]) -> std::result::Result<(), String> {
        type Header = (u64, usize, Vec<(usize, usize, bool)>);
        let (header, tensors) =
            store::open::<Header>("linear-learner checkpoint", CHECKPOINT, bytes)?;
        let (epoch, size, shapes) = header;
        if size != self.settings.classes * self.width || shapes.len() != self.candidates.len() {
            return Err("it is of another table or other hyperparameters".to_owned());
        }
        let mut states = Vec::new();
        for (at, (count, vectors, kept)) in shapes.into_iter().enumerate() {
            if vectors > 64 || count > 64 {
                return Err("it holds more than a model has".to_owned());
            }
            let numbers = tensors.f64(&format!("numbers.{at}"), &[count])?;
            let all = tensors.f64(&format!("vectors.{at}"), &[vectors * size])?;
            let mut lists: VecDeque<Vec<f64>> =
                all.chunks_exact(size.max(1)).map(<[f64]>::to_vec).collect();
            let kept = if kept {
                lists.pop_back().unwrap_or_default()
            } else {
                Vec::new()
            };
            let flag = |number: f64| number != 0.0;
            let [best, waited, ended, rest @ ..] = numbers.as_slice() else {
                return Err("numbers are missing".to_owned());
            };
            let mut next = || lists.pop_front().ok_or("vectors are missing");
            let state = match (&self.candidates[at].state, rest) {
                (State::Search(_), [value, step, tries, done, started]) => {
                    let mut search = Lbfgs::new(next()?);
                    search.trial = next()?;
                    search.slopes = next()?;
                    search.direction = next()?;
                    (search.value, search.step, search.tries) = (*value, *step, *tries as u32);
                    (search.done, search.started) = (flag(*done), flag(*started));
                    while let (Some(moved), Some(bent)) = (lists.pop_front(), lists.pop_front()) {
                        search.past.push_back((moved, bent));
                    }
                    State::Search(search)
                }
                (State::Descent(_), [steps]) => {
                    let mut descent = Descent::new(next()?);
                    descent.mean = next()?;
                    descent.square = next()?;
                    descent.steps = *steps as u64;
                    State::Descent(descent)
                }
                _ => return Err("it is of another optimizer".to_owned()),
            };
            states.push((state, kept, *best, *waited as u64, flag(*ended)));
        }
        for (candidate, (state, kept, best, waited, ended)) in
            self.candidates.iter_mut().zip(states)
        {
            (candidate.state, candidate.kept, candidate.best) = (state, kept, best);
            (candidate.waited, candidate.ended) = (waited, ended);
        }
        self.epoch = epoch;
        Ok(())
    }
}
