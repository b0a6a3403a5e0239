//! Lists in JSON bodies, read so that a hostile one takes no more memory than its bytes.
//!
//! A list of empty texts takes three bytes an item on the wire and twenty-four once parsed; a body of the
//! largest size would grow to hundreds of megabytes before anyone could count its items. So items are kept
//! up to a bound, and only counted after that.

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// Most items that are kept; `limits.texts` cannot be more.
pub const MOST: usize = 1 << 16;

/// A list of which at most [`MOST`] items are kept.
#[derive(Debug, PartialEq, Eq)]
pub struct List<T> {
    items: Vec<T>,
    sent: usize,
}

impl<T> List<T> {
    /// How many items the caller sent.
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// The items: all of them, unless more than [`MOST`] were sent.
    pub fn items(&self) -> &[T] {
        &self.items
    }

    /// The items, owned.
    pub fn into_items(self) -> Vec<T> {
        self.items
    }

    /// The list with each item (and its number) made into another.
    ///
    /// # Errors
    /// The first that `make` answers.
    pub fn try_map<U, E>(self, make: impl Fn(usize, T) -> Result<U, E>) -> Result<List<U>, E> {
        let items = self.items.into_iter().enumerate();
        Ok(List {
            items: items
                .map(|(index, item)| make(index, item))
                .collect::<Result<_, _>>()?,
            sent: self.sent,
        })
    }

    /// Reads a list of a sequence.
    ///
    /// # Errors
    /// When an item that is kept is not a `T`, or one that is not kept is not JSON.
    pub fn read<'de, A: SeqAccess<'de>>(mut sequence: A) -> Result<Self, A::Error>
    where
        T: Deserialize<'de>,
    {
        let mut items = Vec::new();
        while items.len() < MOST {
            match sequence.next_element()? {
                Some(item) => items.push(item),
                None => break,
            }
        }
        let mut sent = items.len();
        if sent == MOST {
            while sequence.next_element::<IgnoredAny>()?.is_some() {
                sent += 1;
            }
        }
        Ok(Self { items, sent })
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self::from(Vec::new())
    }
}

impl<T> From<Vec<T>> for List<T> {
    fn from(items: Vec<T>) -> Self {
        let sent = items.len();
        Self { items, sent }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<List<T>, A::Error> {
                List::read(sequence)
            }
        }
        deserializer.deserialize_seq(Items(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> serde_json::Result<List<String>> {
        serde_json::from_str(json)
    }

    #[test]
    fn small_lists_are_kept_whole() {
        let list = read(r#"["a","b"]"#).expect("a list");
        assert_eq!(list, List::from(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(read("[]").expect("empty").sent(), 0);
        for json in ["1", "{}", r#""a""#, "[1]", "[", r#"["a""#] {
            assert!(read(json).is_err(), "{json}");
        }
    }

    #[test]
    fn of_a_huge_list_a_part_is_kept_and_all_is_counted() {
        let many = MOST + 1000;
        let list = read(&format!("[{}\"\"]", "\"\",".repeat(many - 1))).expect("a list");
        assert_eq!((list.items().len(), list.sent()), (MOST, many));
        let broken = format!("[{}", "\"\",".repeat(many));
        assert!(read(&broken).is_err(), "what is not kept is still read");
    }
}
