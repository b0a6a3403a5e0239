//! The public service models of Comprehend, Rekognition, SageMaker and CloudWatch Logs, as typed data.
//!
//! `service/aws-models/*.json` holds the facts (written by `generate.py` there). They are embedded in the
//! binary and read once; [`Models::get`] either answers all of them, every reference resolved, or says what
//! is wrong with them, so the rest of the door never meets a dangling name.

use fancy_regex::Regex;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::{LazyLock, OnceLock};

/// What can be wrong with embedded model data.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not the JSON that `generate.py` writes.
    #[error("service model `{service}` cannot be read")]
    Json {
        /// The service whose model it is.
        service: &'static str,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A name that is used but not defined.
    #[error("service model `{service}` names the shape `{shape}` but does not define it")]
    Dangling {
        /// The service whose model it is.
        service: &'static str,
        /// The missing shape.
        shape: String,
    },
    /// A shape of a type that AWS JSON does not have, or without a fact its type needs.
    #[error("service model `{service}` has a malformed shape `{shape}`")]
    Malformed {
        /// The service whose model it is.
        service: &'static str,
        /// The shape.
        shape: String,
    },
}

/// Which service; the few behaviours that differ between them hang on this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Id {
    /// Amazon Comprehend.
    Comprehend,
    /// Amazon Rekognition.
    Rekognition,
    /// Amazon SageMaker: what makes, describes and removes its resources.
    SageMaker,
    /// Amazon CloudWatch Logs.
    Logs,
}

impl Id {
    /// The lower-case word used in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Comprehend => "comprehend",
            Self::Rekognition => "rekognition",
            Self::SageMaker => "sagemaker",
            Self::Logs => "logs",
        }
    }
}

/// All models of the door.
#[derive(Debug)]
pub struct Models {
    services: [Service; 4],
}

static MODELS: LazyLock<Result<Models, Error>> = LazyLock::new(|| {
    Ok(Models {
        services: [
            Service::parse(
                Id::Comprehend,
                include_str!("../../aws-models/comprehend.json"),
            )?,
            Service::parse(
                Id::Rekognition,
                include_str!("../../aws-models/rekognition.json"),
            )?,
            Service::parse(
                Id::SageMaker,
                include_str!("../../aws-models/sagemaker.json"),
            )?,
            Service::parse(Id::Logs, include_str!("../../aws-models/logs.json"))?,
        ],
    })
});

impl Models {
    /// The embedded models, read on the first call.
    ///
    /// # Errors
    /// The embedded data is malformed: a defect of the build, reported at start.
    pub fn get() -> Result<&'static Self, &'static Error> {
        MODELS.as_ref()
    }

    /// Every service.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The service whose `X-Amz-Target` prefix this is, such as `Comprehend_20171127`.
    pub fn by_target_prefix(&self, prefix: &str) -> Option<&Service> {
        self.services
            .iter()
            .find(|service| service.target_prefix == prefix)
    }

    /// The service that signs as `name`, the fourth part of a credential scope.
    pub fn by_signing_name(&self, name: &str) -> Option<&Service> {
        self.services
            .iter()
            .find(|service| service.signing_name == name)
    }
}

/// One service.
#[derive(Debug)]
pub struct Service {
    /// Which one.
    pub id: Id,
    /// Version of its API, a date.
    pub api_version: String,
    /// Protocols it speaks, by AWS's names.
    pub protocols: Vec<String>,
    /// Prefix of `X-Amz-Target` before the dot.
    pub target_prefix: String,
    /// Name in credential scopes.
    pub signing_name: String,
    operations: BTreeMap<String, Operation>,
    /// Names of operations whose shapes are not here.
    others: Vec<String>,
    shapes: Vec<Shape>,
}

/// One operation.
#[derive(Debug)]
pub struct Operation {
    /// Its name, such as `DetectLabels`.
    pub name: String,
    /// Shape of the request.
    pub input: ShapeId,
    /// Shape of the answer.
    pub output: ShapeId,
    /// Names of the errors it declares.
    pub errors: Vec<String>,
}

impl Operation {
    /// Whether the operation declares the error `code`.
    pub fn declares(&self, code: &str) -> bool {
        self.errors.iter().any(|error| error == code)
    }
}

/// Index of a shape within its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShapeId(usize);

/// One shape with its constraints.
#[derive(Debug)]
pub struct Shape {
    /// Its name.
    pub name: String,
    /// Its type, with what the type consists of.
    pub kind: Kind,
    /// Least length (text, list, map, blob) or value (number).
    pub min: Option<f64>,
    /// Most length or value.
    pub max: Option<f64>,
    /// AWS keeps its values out of messages.
    pub sensitive: bool,
    /// For error shapes: the HTTP status.
    pub error_status: Option<u16>,
}

/// The types of AWS JSON.
#[derive(Debug)]
pub enum Kind {
    /// Named members, in the order of the model.
    Structure(Vec<Member>),
    /// Elements of one shape.
    List(ShapeId),
    /// Keys and values.
    Map(ShapeId, ShapeId),
    /// Text.
    String(Text),
    /// Bytes, base64 on the wire.
    Blob,
    /// 32-bit whole number.
    Integer,
    /// 64-bit whole number.
    Long,
    /// 32-bit number.
    Float,
    /// 64-bit number.
    Double,
    /// `true` or `false`.
    Boolean,
    /// Seconds since 1970 as a number.
    Timestamp,
}

/// A member of a structure.
#[derive(Debug)]
pub struct Member {
    /// Name on the wire, such as `LanguageCode`.
    pub name: String,
    /// Name in messages, such as `languageCode`.
    pub label: String,
    /// Its shape.
    pub shape: ShapeId,
    /// Whether a request must have it.
    pub required: bool,
}

/// Constraints of text beyond its length.
#[derive(Debug)]
pub struct Text {
    /// The values allowed, in the order AWS prints them; empty when any text is allowed.
    pub values: Vec<String>,
    /// A Java regular expression that the whole text must match, as AWS prints it.
    pub pattern: Option<String>,
    compiled: OnceLock<Option<Regex>>,
}

impl Text {
    /// Whether the text matches the pattern; `true` without one.
    pub fn matches(&self, text: &str) -> bool {
        let Some(pattern) = &self.pattern else {
            return true;
        };
        let compiled = self.compiled.get_or_init(|| match compile(pattern) {
            Ok(regex) => Some(regex),
            Err(error) => {
                tracing::error!(%error, pattern, "pattern of a service model cannot be compiled; it is not checked");
                None
            }
        });
        // A pattern that gives up (backtracking limit) has not matched.
        compiled
            .as_ref()
            .is_none_or(|regex| regex.is_match(text).unwrap_or(false))
    }
}

impl Service {
    /// Reads one model.
    fn parse(id: Id, json: &str) -> Result<Self, Error> {
        let service = id.name();
        let raw: raw::Service =
            serde_json::from_str(json).map_err(|source| Error::Json { service, source })?;
        let index: HashMap<&str, usize> = raw
            .shapes
            .keys()
            .enumerate()
            .map(|(i, name)| (name.as_str(), i))
            .collect();
        let find = |name: &str| {
            index
                .get(name)
                .map(|&i| ShapeId(i))
                .ok_or_else(|| Error::Dangling {
                    service,
                    shape: name.to_owned(),
                })
        };
        let shapes = raw
            .shapes
            .iter()
            .map(|(name, shape)| Shape::build(service, name, shape, &find))
            .collect::<Result<Vec<_>, _>>()?;
        let operations = raw
            .operations
            .into_iter()
            .map(|(name, operation)| {
                for error in &operation.errors {
                    find(error)?;
                }
                let built = Operation {
                    name: name.clone(),
                    input: find(&operation.input)?,
                    output: find(&operation.output)?,
                    errors: operation.errors,
                };
                Ok((name, built))
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self {
            id,
            api_version: raw.api_version,
            protocols: raw.protocols,
            target_prefix: raw.target_prefix,
            signing_name: raw.signing_name,
            operations,
            others: raw.others,
            shapes,
        })
    }

    /// The shape behind an index of this service.
    pub fn shape(&self, id: ShapeId) -> &Shape {
        &self.shapes[id.0]
    }

    /// The shape of that name.
    pub fn shape_named(&self, name: &str) -> Option<&Shape> {
        self.shapes.iter().find(|shape| shape.name == name)
    }

    /// The operation of that name; names are case-sensitive, as at AWS.
    pub fn operation(&self, name: &str) -> Option<&Operation> {
        self.operations.get(name)
    }

    /// The name, where AWS has an operation of it whose shapes are not here.
    pub fn other(&self, name: &str) -> Option<&str> {
        let mut others = self.others.iter().map(String::as_str);
        others.find(|other| *other == name)
    }

    /// All operations by name.
    pub fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.operations.values()
    }
}

impl Shape {
    fn build(
        service: &'static str,
        name: &str,
        raw: &raw::Shape,
        find: &impl Fn(&str) -> Result<ShapeId, Error>,
    ) -> Result<Self, Error> {
        let malformed = || Error::Malformed {
            service,
            shape: name.to_owned(),
        };
        let part = |part: &Option<String>| find(part.as_deref().ok_or_else(malformed)?);
        let kind = match raw.kind.as_str() {
            "structure" => {
                if raw
                    .required
                    .iter()
                    .any(|required| !raw.members.contains_key(required))
                {
                    return Err(malformed());
                }
                let member = |(name, shape): (&String, &String)| {
                    Ok(Member {
                        name: name.clone(),
                        label: lower_first(name),
                        shape: find(shape)?,
                        required: raw.required.contains(name),
                    })
                };
                Kind::Structure(
                    raw.members
                        .iter()
                        .map(member)
                        .collect::<Result<_, Error>>()?,
                )
            }
            "list" => Kind::List(part(&raw.member)?),
            "map" => Kind::Map(part(&raw.key)?, part(&raw.value)?),
            "string" => Kind::String(Text {
                values: printed_order(&raw.values),
                pattern: raw.pattern.clone(),
                compiled: OnceLock::new(),
            }),
            "blob" => Kind::Blob,
            "integer" => Kind::Integer,
            "long" => Kind::Long,
            "float" => Kind::Float,
            "double" => Kind::Double,
            "boolean" => Kind::Boolean,
            "timestamp" => Kind::Timestamp,
            _ => return Err(malformed()),
        };
        let error_status = raw
            .exception
            .then(|| raw.status.unwrap_or(if raw.fault { 500 } else { 400 }));
        Ok(Self {
            name: name.to_owned(),
            kind,
            min: raw.min,
            max: raw.max,
            sensitive: raw.sensitive,
            error_status,
        })
    }
}

/// `LanguageCode` is `languageCode` in AWS's messages.
fn lower_first(name: &str) -> String {
    let mut chars = name.chars();
    chars
        .next()
        .map(|first| first.to_ascii_lowercase().to_string() + chars.as_str())
        .unwrap_or_default()
}

/// The order in which AWS prints the values of an enum.
///
/// The services keep them in a hash table of Java, so real messages show hash order, for instance `[hi, de,
/// zh-TW, ko, pt, en, it, fr, zh, es, ar, ja]` for Comprehend's `LanguageCode`. `String.hashCode` modulo 32
/// explains every message of Comprehend, Kinesis, DynamoDB and IoT found; values of one bucket stand in the
/// reverse of the model's order. (Enums of more than 24 values are assumed to have more buckets.)
fn printed_order(values: &[String]) -> Vec<String> {
    let buckets = (values.len() * 4 / 3 + 1).next_power_of_two().max(32) as u32;
    let bucket = |text: &str| {
        text.encode_utf16().fold(0_u32, |hash, unit| {
            hash.wrapping_mul(31).wrapping_add(u32::from(unit))
        }) % buckets
    };
    let mut printed: Vec<String> = values.iter().rev().cloned().collect();
    printed.sort_by_key(|value| bucket(value));
    printed
}

/// Compiles a Java regular expression that has to match the whole text.
fn compile(pattern: &str) -> Result<Regex, Box<fancy_regex::Error>> {
    Regex::new(&format!(r"\A(?:{})\z", translate(pattern))).map_err(Box::new)
}

/// Java's spelling in Rust's: Java's `\d`, `\w` and `\s` are ASCII, its `.` stops at five line ends.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    let mut in_class = false;
    while let Some(first) = rest.chars().next() {
        // Classes that Rust does not have, or has for all scripts.
        let named = [
            (r"\p{ASCII}", r"[\x00-\x7F]"),
            (r"\p{Alnum}", "[A-Za-z0-9]"),
        ];
        if let Some((tail, class)) = named
            .iter()
            .find_map(|(name, class)| Some((rest.strip_prefix(name)?, class)))
        {
            out.push_str(class);
            rest = tail;
            continue;
        }
        let length = if first == '\\' {
            let escaped = rest[1..].chars().next().unwrap_or('\\');
            match escaped {
                'd' => out.push_str("[0-9]"),
                'w' => out.push_str("[A-Za-z0-9_]"),
                's' => out.push_str(r"[ \t\n\x0B\x0C\r]"),
                'S' => out.push_str(r"[^ \t\n\x0B\x0C\r]"),
                // Four hexadecimal digits: the braces are the spelling that every part of the engine knows.
                'u' if rest
                    .get(2..6)
                    .is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit())) =>
                {
                    out.push_str(&format!(r"\x{{{}}}", &rest[2..6]));
                    rest = &rest[6..];
                    continue;
                }
                // Escapes that mean the character itself, which Rust would refuse for some.
                '/' | '_' | '%' | '@' => out.push(escaped),
                _ => out.push_str(&rest[..1 + escaped.len_utf8()]),
            }
            1 + escaped.len_utf8()
        } else {
            match first {
                '.' if !in_class => out.push_str(r"[^\n\r\x{85}\x{2028}\x{2029}]"),
                '[' if in_class => out.push_str(r"\["),
                '[' => {
                    in_class = true;
                    out.push('[');
                }
                ']' => {
                    in_class = false;
                    out.push(']');
                }
                other => out.push(other),
            }
            first.len_utf8()
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    out
}

/// The file as it is written.
mod raw {
    use super::{BTreeMap, Deserialize};

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub struct Service {
        pub api_version: String,
        pub protocols: Vec<String>,
        pub target_prefix: String,
        pub signing_name: String,
        #[serde(default)]
        pub others: Vec<String>,
        pub operations: BTreeMap<String, Operation>,
        pub shapes: BTreeMap<String, Shape>,
    }

    #[derive(Deserialize)]
    pub struct Operation {
        pub input: String,
        pub output: String,
        pub errors: Vec<String>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Shape {
        #[serde(rename = "type")]
        pub kind: String,
        #[serde(default)]
        pub members: BTreeMap<String, String>,
        #[serde(default)]
        pub required: Vec<String>,
        pub member: Option<String>,
        pub key: Option<String>,
        pub value: Option<String>,
        pub min: Option<f64>,
        pub max: Option<f64>,
        pub pattern: Option<String>,
        #[serde(default, rename = "enum")]
        pub values: Vec<String>,
        #[serde(default)]
        pub sensitive: bool,
        #[serde(default)]
        pub exception: bool,
        #[serde(default)]
        pub fault: bool,
        pub status: Option<u16>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_models_load_with_all_operations() {
        let models = Models::get().expect("models are well-formed");
        let count = |prefix| {
            models
                .by_target_prefix(prefix)
                .map(|service| service.operations().count())
        };
        assert_eq!(count("Comprehend_20171127"), Some(85));
        assert_eq!(count("RekognitionService"), Some(75));
        let sagemaker = models.by_target_prefix("SageMaker").expect("known");
        assert_eq!(sagemaker.operations().count() + sagemaker.others.len(), 425);
        assert!(
            sagemaker.other("CreatePipeline").is_some() && sagemaker.other("CreateModel").is_none()
        );
        assert!(models.by_target_prefix("Logs_20140328").is_some());
        assert!(
            models
                .by_signing_name("comprehend")
                .is_some_and(|service| service.id == Id::Comprehend)
        );
        assert!(models.by_target_prefix("DynamoDB_20120810").is_none());
    }

    #[test]
    fn error_shapes_have_the_status_of_the_model() {
        let models = Models::get().expect("models are well-formed");
        let status = |service: usize, name| {
            models.services()[service]
                .shape_named(name)
                .and_then(|s| s.error_status)
        };
        assert_eq!(status(0, "InternalServerException"), Some(500));
        assert_eq!(status(0, "TextSizeLimitExceededException"), Some(400));
        assert_eq!(status(1, "InternalServerError"), Some(500));
        assert_eq!(status(1, "ImageTooLargeException"), Some(400));
        assert_eq!(status(0, "LanguageCode"), None);
    }

    /// Messages of the real service, as users quoted them.
    #[test]
    fn enum_values_are_listed_in_the_order_of_the_real_service() {
        let models = Models::get().expect("models are well-formed");
        let values = |name| match models.services()[0]
            .shape_named(name)
            .map(|shape| &shape.kind)
        {
            Some(Kind::String(text)) => text.values.join(", "),
            other => panic!("{name} is {other:?}"),
        };
        assert_eq!(values("SyntaxLanguageCode"), "de, pt, en, it, fr, es");
        assert_eq!(
            values("LanguageCode"),
            "hi, de, zh-TW, ko, pt, en, it, fr, zh, es, ar, ja"
        );
        // Other services of the same framework.
        let order = |values: &str| {
            let mut sorted: Vec<String> = values.split(", ").map(str::to_owned).collect();
            sorted.sort();
            assert_eq!(printed_order(&sorted).join(", "), values);
        };
        order("AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, TRIM_HORIZON");
        order("SPECIFIC_ATTRIBUTES, COUNT, ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES");
        order("ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW");
    }

    #[test]
    fn every_pattern_compiles() {
        let mut patterns = 0;
        for service in Models::get().expect("models are well-formed").services() {
            for shape in &service.shapes {
                if let Kind::String(Text {
                    pattern: Some(pattern),
                    ..
                }) = &shape.kind
                {
                    compile(pattern)
                        .unwrap_or_else(|error| panic!("{} `{pattern}`: {error}", shape.name));
                    patterns += 1;
                }
            }
        }
        assert!(patterns > 60, "only {patterns} patterns found");
    }

    #[test]
    fn patterns_mean_what_they_mean_in_java() {
        let matches = |pattern: &str, text: &str| {
            compile(pattern)
                .expect("compiles")
                .is_match(text)
                .expect("ends")
        };
        // The whole text, never a part of it.
        assert!(matches("[0-9]+", "42") && !matches("[0-9]+", "42a") && !matches("[0-9]+", "42\n"));
        assert!(!matches("a|b", "ab"));
        // ASCII classes.
        assert!(matches(r"\d+", "7") && !matches(r"\d+", "٧"));
        assert!(matches(r"^\p{ASCII}+$", "plain") && !matches(r"^\p{ASCII}+$", "café"));
        let arn = r"arn:[\p{Alnum}\-]+:x";
        assert!(matches(arn, "arn:aws-cn:x") && !matches(arn, "arn:ä:x"));
        assert!(matches(r"^\P{C}*$", "café") && !matches(r"^\P{C}*$", "bell\u{7}"));
        assert!(
            matches(r"[\u0009\u000A\u000D\u0020-\u00FF]+", "tab\tend")
                && !matches(r"[\u0020-\u00FF]+", "\u{100}")
        );
        // Lookahead.
        assert!(
            matches(r"^(?!aws:)[\p{L}_.:]*$", "mine")
                && !matches(r"^(?!aws:)[\p{L}_.:]*$", "aws:x")
        );
        assert!(matches(".{1,}", "line") && !matches(".{1,}", "two\r\nlines"));
    }

    #[test]
    fn a_broken_model_is_refused_with_its_reason() {
        let model = |shapes: &str| {
            let json = format!(
                r#"{{"apiVersion":"1","protocols":["json"],"targetPrefix":"T","signingName":"t",
                   "operations":{{"Do":{{"input":"In","output":"In","errors":[]}}}},"shapes":{shapes}}}"#
            );
            Service::parse(Id::Comprehend, &json)
                .map(|_| ())
                .map_err(|error| error.to_string())
        };
        assert_eq!(model(r#"{"In":{"type":"structure","members":{}}}"#), Ok(()));
        let refused = |shapes| model(shapes).expect_err("refused");
        assert!(refused("{}").contains("names the shape `In`"));
        assert!(
            refused(r#"{"In":{"type":"structure","members":{"A":"Gone"}}}"#).contains("`Gone`")
        );
        assert!(
            refused(r#"{"In":{"type":"structure","members":{},"required":["A"]}}"#)
                .contains("malformed shape `In`")
        );
        assert!(refused(r#"{"In":{"type":"list"}}"#).contains("malformed shape `In`"));
        assert!(refused(r#"{"In":{"type":"document"}}"#).contains("malformed shape `In`"));
        assert!(refused("[]").contains("cannot be read"));
    }
}
