//! Answers as Arrow arrays.
//!
//! Doors show answers as JSON; [`from_json`] reads the same shapes into the types of [`crate::functions`], so that a query
//! and a request say the same.

use crate::model::Scores;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float32Builder, Int32Array, ListBuilder, StringBuilder,
    new_null_array,
};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::ReaderBuilder;
use std::sync::Arc;

/// What a model says about a row: its answer, or why there is none.
pub type Outcome<T> = Result<T, String>;

/// Answers that are objects of JSON, as values of a type: the member of the object with the name `member`, or the object
/// itself.
///
/// # Errors
/// When an answer has another shape.
pub fn from_json(
    kind: &DataType,
    member: Option<&str>,
    outcomes: Vec<Outcome<impl AsRef<[u8]>>>,
) -> Result<Scores, ArrowError> {
    let fields = match (kind, member) {
        (_, Some(member)) => vec![Arc::new(Field::new(member, kind.clone(), true))].into(),
        (DataType::Struct(fields), None) => fields.clone(),
        (other, None) => {
            let message = format!("{other} is no object");
            return Err(ArrowError::SchemaError(message));
        }
    };
    let answered = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let mut decoder = ReaderBuilder::new(Arc::new(Schema::new(fields)))
        .with_batch_size(answered.max(1))
        .build_decoder()?;
    for text in outcomes.iter().flatten() {
        let mut text = text.as_ref();
        while !text.is_empty() {
            let read = decoder.decode(text)?;
            if read == 0 {
                return Err(ArrowError::JsonError("an answer broke off".to_owned()));
            }
            text = &text[read..];
        }
    }
    let values: ArrayRef = match decoder.flush()? {
        None => new_null_array(kind, 0),
        Some(batch) if member.is_some() => batch.column(0).clone(),
        Some(batch) => Arc::new(datafusion::arrow::array::StructArray::from(batch)),
    };
    if values.len() != answered {
        let message = format!("{} answers instead of {answered}", values.len());
        return Err(ArrowError::JsonError(message));
    }
    let mut next = 0;
    let rows = outcomes.iter().map(|outcome| {
        outcome.is_ok().then(|| {
            next += 1;
            next - 1
        })
    });
    let rows: Int32Array = rows.collect();
    Ok(Scores {
        values: take(&values, &rows, None)?,
        faults: faults(outcomes),
    })
}

/// The first of each list of a list's answers; null for an empty one.
///
/// # Errors
/// When the answers are no lists.
pub fn first_of(lists: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let Some(lists) = lists.as_list_opt::<i32>() else {
        let message = format!("{} is no list", lists.data_type());
        return Err(ArrowError::SchemaError(message));
    };
    let offsets = lists.value_offsets();
    let first = (0..lists.len()).map(|row| {
        let some = lists.is_valid(row) && offsets[row] < offsets[row + 1];
        some.then(|| offsets[row])
    });
    take(lists.values(), &first.collect::<Int32Array>(), None)
}

/// Vectors.
pub fn vectors(outcomes: Vec<Outcome<Vec<f32>>>) -> Scores {
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    let mut lists = ListBuilder::new(Float32Builder::new()).with_field(item);
    for outcome in &outcomes {
        if let Ok(vector) = outcome {
            lists.values().append_slice(vector);
        }
        lists.append(outcome.is_ok());
    }
    Scores {
        values: Arc::new(lists.finish()),
        faults: faults(outcomes),
    }
}

/// Texts.
pub fn texts(outcomes: Vec<Outcome<String>>) -> Scores {
    let mut texts = StringBuilder::new();
    for outcome in &outcomes {
        texts.append_option(outcome.as_ref().ok());
    }
    Scores {
        values: Arc::new(texts.finish()),
        faults: faults(outcomes),
    }
}

fn faults<T>(outcomes: Vec<Outcome<T>>) -> Vec<Option<String>> {
    outcomes.into_iter().map(Outcome::err).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::named;
    use datafusion::arrow::datatypes::{Float32Type, Int64Type};

    #[test]
    fn answers_of_the_doors_become_arrays() {
        let function = named("entities").expect("a function");
        let outcomes = vec![
            Ok(
                r#"{"entities":[{"type":"PERSON","label":"PERSON","text":"Ada","begin":0,"end":3,"score":0.9}]}"#,
            ),
            Err("too long".to_owned()),
            Ok(r#"{"entities":[]}"#),
        ];
        let scores = from_json(&(function.answers)(), Some("entities"), outcomes).expect("answers");
        assert_eq!(scores.values.data_type(), &(function.answers)());
        assert_eq!(scores.faults, [None, Some("too long".to_owned()), None]);
        let lists = scores.values.as_list::<i32>();
        assert!(lists.is_null(1));
        assert_eq!(lists.value(2).len(), 0);
        let first = lists.value(0);
        let first = first.as_struct();
        assert_eq!(
            first
                .column_by_name("text")
                .expect("text")
                .as_string::<i32>()
                .value(0),
            "Ada"
        );
        let end = first.column_by_name("end").expect("end");
        assert_eq!(end.as_primitive::<Int64Type>().value(0), 3);
    }

    #[test]
    fn an_object_is_the_answer_itself_and_numbers_are_exact() {
        let function = named("sentiment").expect("a function");
        let score = 0.123_456_79_f32;
        let text = format!(
            r#"{{"sentiment":"MIXED","scores":{{"positive":{score},"negative":0,"neutral":0,"mixed":1}}}}"#
        );
        let scores = from_json(&(function.answers)(), None, vec![Ok(text)]).expect("answers");
        assert_eq!(scores.values.data_type(), &(function.answers)());
        let scores = scores.values.as_struct().column(1).clone();
        let positive = scores.as_struct().column(0).as_primitive::<Float32Type>();
        assert_eq!(positive.value(0), score);
    }

    #[test]
    fn an_answer_of_another_shape_is_an_error() {
        let function = named("entities").expect("a function");
        for text in [r#"{"entities":3}"#, r#"{"entities":[{"begin":"x"}]}"#, "{"] {
            assert!(
                from_json(&(function.answers)(), Some("entities"), vec![Ok(text)]).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn the_first_of_a_list_stands_for_it() {
        let vectors = vectors(vec![
            Ok(vec![1.0, 2.0]),
            Ok(Vec::new()),
            Err("none".to_owned()),
            Ok(vec![3.0]),
        ]);
        let first = first_of(&vectors.values).expect("lists");
        let first = first.as_primitive::<Float32Type>();
        assert_eq!(
            first.iter().collect::<Vec<_>>(),
            [Some(1.0), None, None, Some(3.0)]
        );
    }
}
