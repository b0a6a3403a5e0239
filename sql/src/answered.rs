//! What rows had answers, as AWS counts them: each row for itself, whatever was asked about once for several.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::DataType;
use std::ops::AddAssign;

/// Characters of a unit, and the fewest units of a text, as AWS bills texts.
const UNIT: u64 = 100;
const FEWEST_UNITS: u64 = 3;

/// The units of a text with so many characters.
pub fn units(characters: u64) -> u64 {
    characters.div_ceil(UNIT).max(FEWEST_UNITS)
}

/// Rows with an answer of a function.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answered {
    /// How many.
    pub rows: u64,
    /// Characters (code points) of their texts; images have none.
    pub characters: u64,
    /// Units as AWS bills them: [`units`] of a text, one of an image.
    pub units: u64,
}

impl Answered {
    /// Of rows with these arguments, of which the first is what is asked about; those with a fault have no answer.
    pub(crate) fn of(arguments: &[ArrayRef], faults: &[(usize, String)]) -> Self {
        let mut answered = Self::default();
        let Some(about) = arguments.first() else {
            return answered;
        };
        let mut faults = faults.iter().peekable();
        for row in 0..about.len() {
            let failed = faults.next_if(|(at, _)| *at == row).is_some();
            if failed || arguments.iter().any(|argument| argument.is_null(row)) {
                continue;
            }
            answered.rows += 1;
            answered.units += match about.data_type() {
                DataType::Utf8 => {
                    let characters = about.as_string::<i32>().value(row).chars().count() as u64;
                    answered.characters += characters;
                    units(characters)
                }
                _ => 1,
            };
        }
        answered
    }
}

impl AddAssign for Answered {
    fn add_assign(&mut self, more: Self) {
        self.rows += more.rows;
        self.characters += more.characters;
        self.units += more.units;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{BinaryArray, StringArray};
    use std::sync::Arc;

    #[test]
    fn rows_with_an_answer_are_counted_as_aws_bills_them() {
        let long = "ä".repeat(301);
        let texts = [Some("ab"), None, Some(&*long), Some("failed"), Some("ab")];
        let texts: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
        let language: ArrayRef = Arc::new(StringArray::from(vec!["en"; 5]));
        let faults = [(3, "why".to_owned())];
        let mut answered = Answered::of(&[texts, language], &faults);
        let expected = Answered {
            rows: 3,
            characters: 305,
            units: 3 + 4 + 3,
        };
        assert_eq!(answered, expected);
        let images: ArrayRef = Arc::new(BinaryArray::from(vec![Some(b"x".as_slice()), None]));
        answered += Answered::of(&[images], &[]);
        assert_eq!((answered.rows, answered.units), (4, 11));
        assert_eq!(Answered::of(&[], &[]), Answered::default());
    }
}
