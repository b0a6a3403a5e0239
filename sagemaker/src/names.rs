//! Who asks, the ARNs of what there is, and the names of images.

/// Who asks: an account in a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Twelve digits.
    pub account: String,
    /// Such as `us-east-1`: that of the request's signature.
    pub region: String,
}

impl Caller {
    /// The ARN of something of SageMaker's.
    pub fn arn(&self, kind: Kind, name: &str) -> String {
        let Self { account, region } = self;
        format!(
            "arn:aws:sagemaker:{region}:{account}:{}/{name}",
            kind.in_arn()
        )
    }
}

/// Kinds of what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A training job.
    TrainingJob,
    /// A transform job.
    TransformJob,
    /// A model: where its files are and what runs them.
    Model,
    /// Which models an endpoint has, and how.
    EndpointConfig,
    /// Models that answer.
    Endpoint,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::TrainingJob,
        Self::TransformJob,
        Self::Model,
        Self::EndpointConfig,
        Self::Endpoint,
    ];

    /// Its word in ARNs, and where it is kept.
    pub fn in_arn(self) -> &'static str {
        match self {
            Self::TrainingJob => "training-job",
            Self::TransformJob => "transform-job",
            Self::Model => "model",
            Self::EndpointConfig => "endpoint-config",
            Self::Endpoint => "endpoint",
        }
    }

    /// Its word in sentences.
    pub fn words(self) -> &'static str {
        match self {
            Self::TrainingJob => "training job",
            Self::TransformJob => "transform job",
            Self::Model => "model",
            Self::EndpointConfig => "endpoint configuration",
            Self::Endpoint => "endpoint",
        }
    }
}

/// The repository that an image's URI names: what stands for an algorithm or a runtime, in any account and region and with
/// any tag. A name without a registry is one already.
///
/// ```
/// use escala_sagemaker::names::repository;
/// assert_eq!(repository("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"), "sagemaker-xgboost");
/// assert_eq!(repository("811284229777.dkr.ecr.eu-west-1.amazonaws.com/kmeans@sha256:00"), "kmeans");
/// assert_eq!(repository("xgboost"), "xgboost");
/// ```
pub fn repository(image: &str) -> &str {
    let path = match image.split_once('/') {
        // What has a dot or a port before the first slash is a registry's address.
        Some((registry, path)) if registry.contains(['.', ':']) || registry == "localhost" => path,
        _ => image,
    };
    let path = path.split_once('@').map_or(path, |(path, _)| path);
    path.split_once(':').map_or(path, |(path, _)| path)
}

/// A bucket and a key or the beginning of keys, of an address like `s3://bucket/key`.
pub fn s3(address: &str) -> Option<(&str, &str)> {
    let rest = address.strip_prefix("s3://")?;
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    (!bucket.is_empty()).then_some((bucket, key))
}

/// Milliseconds since 1970.
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// A time as AWS JSON has it: seconds since 1970, to the millisecond.
pub fn seconds(milliseconds: i64) -> serde_json::Value {
    serde_json::json!(milliseconds as f64 / 1000.0)
}
