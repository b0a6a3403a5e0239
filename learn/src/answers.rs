//! What a model says of rows, in columns, before it takes the form that a caller wants.

/// Numbers of rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// One for each row.
    Numbers(Vec<f32>),
    /// A whole number for each row, such as that of a class.
    Whole(Vec<u32>),
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

impl Values {
    /// How many numbers each row has.
    pub fn width(&self) -> usize {
        match self {
            Self::Numbers(_) | Self::Whole(_) => 1,
            Self::Vectors { width, .. } => (*width).max(1),
        }
    }

    /// Of how many rows they are.
    pub fn rows(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Whole(values) => values.len(),
            Self::Vectors { values, .. } => values.len() / self.width(),
        }
    }
}

impl Answers {
    /// Of how many rows something is said. Every field is of as many.
    pub fn rows(&self) -> usize {
        self.fields.first().map_or(0, |field| field.values.rows())
    }
}

/// The numbers of the first field, for models that measure themselves by it.
pub(crate) fn numbers(answers: &Answers) -> Vec<f32> {
    match answers.fields.first().map(|field| &field.values) {
        Some(Values::Numbers(values) | Values::Vectors { values, .. }) => values.clone(),
        Some(Values::Whole(values)) => values.iter().map(|one| *one as f32).collect(),
        None => Vec::new(),
    }
}
