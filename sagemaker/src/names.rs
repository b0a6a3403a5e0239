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

/// What [`s3`] reads, in words.
pub const ADDRESSES: &str = "s3://BUCKET/KEY, https://BUCKET.s3.REGION.amazonaws.com/KEY or https://s3.REGION.amazonaws.com/BUCKET/KEY";

/// A bucket and a key or the beginning of keys, of an address in S3: one of [`ADDRESSES`], with a region or without.
///
/// ```
/// use escala_sagemaker::names::s3;
/// let found = Some(("photos", "2026/a.png"));
/// assert_eq!(s3("s3://photos/2026/a.png"), found);
/// assert_eq!(s3("https://photos.s3.eu-west-1.amazonaws.com/2026/a.png"), found);
/// assert_eq!(s3("https://s3.amazonaws.com/photos/2026/a.png"), found);
/// assert_eq!(s3("https://example.com/photos/2026/a.png"), None);
/// ```
pub fn s3(address: &str) -> Option<(&str, &str)> {
    let halves = |path| str::split_once(path, '/').unwrap_or((path, ""));
    let (bucket, key) = match address.strip_prefix("s3://") {
        Some(path) => halves(path),
        None => {
            let rest = address.strip_prefix("https://")?;
            // A version or a signature would be left out.
            if rest.contains(['?', '#']) {
                return None;
            }
            let (host, path) = halves(rest);
            match of_host(host)? {
                "" => halves(path),
                bucket => (bucket, path),
            }
        }
    };
    (!bucket.is_empty()).then_some((bucket, key))
}

/// The bucket that a host of S3's stands for, which may have dots; empty where the path names it.
fn of_host(host: &str) -> Option<&str> {
    let host = host.strip_suffix(".amazonaws.com")?;
    let of = |service: &str| match service {
        "s3" => Some(0),
        _ => {
            let bucket = service.strip_suffix(".s3")?;
            (!bucket.is_empty()).then_some(bucket.len())
        }
    };
    let with_region = || of(host.rsplit_once('.')?.0);
    of(host).or_else(with_region).map(|end| &host[..end])
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_s3() {
        for (address, found) in [
            ("s3://b", Some(("b", ""))),
            ("s3://b/a?b#c", Some(("b", "a?b#c"))),
            ("https://b.s3.amazonaws.com", Some(("b", ""))),
            ("https://b.s3.us-east-1.amazonaws.com/", Some(("b", ""))),
            (
                "https://a.s3.b.s3.us-east-1.amazonaws.com/k/l",
                Some(("a.s3.b", "k/l")),
            ),
            ("https://a.s3.s3.amazonaws.com/k", Some(("a.s3", "k"))),
            (
                "https://s3.us-east-1.amazonaws.com/b/k/l",
                Some(("b", "k/l")),
            ),
            ("https://s3.amazonaws.com/b", Some(("b", ""))),
            ("https://s3.amazonaws.com/", None),
            ("https://s3.amazonaws.com", None),
            ("https://.s3.amazonaws.com/k", None),
            ("https://b.s3.amazonaws.com/k?versionId=1", None),
            ("https://ec2.us-east-1.amazonaws.com/b/k", None),
            ("https://amazonaws.com/b/k", None),
            ("https://b.s3.amazonaws.com.example.com/k", None),
            ("http://b.s3.amazonaws.com/k", None),
            ("s3:///k", None),
            ("b/k", None),
        ] {
            assert_eq!(s3(address), found, "{address}");
        }
    }
}
