//! What a model says of rows, in columns, before it takes the form that a caller wants.

/// Numbers of rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// One for each row.
    Numbers(Vec<f32>),
    /// As many for each row as `width` says, row by row.
    Vectors {
        /// Numbers of a row.
        width: usize,
        /// `rows * width` numbers.
        values: Vec<f32>,
    },
}

/// One thing that is said of each row.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name, such as `score` or `predicted_label`.
    pub name: &'static str,
    /// What is said.
    pub values: Values,
}

/// What is said of rows.
///
/// SageMaker's algorithms answer in JSON with one list of objects, one for each row: `{"predictions": [{"score": 0.4}]}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Answers {
    /// The name of that list: `predictions`, `projections`, `scores`.
    pub list: &'static str,
    /// What each object has, in order.
    pub fields: Vec<Field>,
}
