//! What is said of a bucket, and the client that is made of it.
//!
//! Credentials are variables of the environment, those that the clouds' own tools read:
//!
//! | service | variables |
//! | --- | --- |
//! | S3 | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`; `AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ROLE_ARN`, `AWS_ROLE_SESSION_NAME`; `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`, `AWS_CONTAINER_CREDENTIALS_FULL_URI`, `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`; else the role of the machine |
//! | Google | `GOOGLE_APPLICATION_CREDENTIALS`, `GOOGLE_SERVICE_ACCOUNT` (files), `GOOGLE_SERVICE_ACCOUNT_KEY` (its text); else what `gcloud auth application-default login` left, or the machine's account |
//! | Azure | `AZURE_STORAGE_ACCOUNT_KEY` or `AZURE_STORAGE_KEY`, `AZURE_STORAGE_SAS_TOKEN`; `AZURE_TENANT_ID`, `AZURE_CLIENT_ID`, `AZURE_CLIENT_SECRET`, `AZURE_FEDERATED_TOKEN_FILE`, `AZURE_AUTHORITY_HOST`; else the machine's identity |
//!
//! Profiles (`AWS_PROFILE`, `~/.aws/credentials`) and connection strings are not read. Addresses are not taken from variables:
//! `AWS_ENDPOINT_URL` is often this server's own.

use super::keys::Connector;
use super::{RETRIES, Service, keys};
use crate::bucket_rules;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey as S3};
use object_store::azure::{AzureConfigKey as Azure, MicrosoftAzureBuilder};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use std::time::Duration;
use url::Url;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// The region of those that have none.
const REGION: &str = "us-east-1";

/// Variables of S3's credentials. The first that are all there are used.
const S3_VARIABLES: [(&str, S3); 9] = [
    ("AWS_ACCESS_KEY_ID", S3::AccessKeyId),
    ("AWS_SECRET_ACCESS_KEY", S3::SecretAccessKey),
    ("AWS_SESSION_TOKEN", S3::Token),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", S3::WebIdentityTokenFile),
    ("AWS_ROLE_ARN", S3::RoleArn),
    ("AWS_ROLE_SESSION_NAME", S3::RoleSessionName),
    (
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        S3::ContainerCredentialsRelativeUri,
    ),
    (
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        S3::ContainerCredentialsFullUri,
    ),
    (
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        S3::ContainerAuthorizationTokenFile,
    ),
];

const AZURE_VARIABLES: [(&str, Azure); 8] = [
    ("AZURE_STORAGE_ACCOUNT_KEY", Azure::AccessKey),
    ("AZURE_STORAGE_KEY", Azure::AccessKey),
    ("AZURE_STORAGE_SAS_TOKEN", Azure::SasKey),
    ("AZURE_TENANT_ID", Azure::AuthorityId),
    ("AZURE_CLIENT_ID", Azure::ClientId),
    ("AZURE_CLIENT_SECRET", Azure::ClientSecret),
    ("AZURE_FEDERATED_TOKEN_FILE", Azure::FederatedTokenFile),
    ("AZURE_AUTHORITY_HOST", Azure::AuthorityHost),
];

/// What is said of a bucket that is somewhere else. Nothing of it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `s3://bucket`, `gs://bucket` or `az://container`, and behind a slash the folder that all keys are in.
    pub url: String,
    /// The address of a service that is like S3 (MinIO and others), or of a stand-in for Google's or Azure's.
    pub endpoint: Option<String>,
    /// S3's region; `AWS_REGION`, `AWS_DEFAULT_REGION` or `us-east-1` when absent.
    pub region: Option<String>,
    /// Azure's storage account; `AZURE_STORAGE_ACCOUNT_NAME` or `AZURE_STORAGE_ACCOUNT` when absent.
    pub account: Option<String>,
    /// What the variables with the credentials have before their names: `ARCHIVE_` for `ARCHIVE_AWS_ACCESS_KEY_ID`.
    pub env_prefix: String,
    /// Ask without credentials.
    pub anonymous: bool,
    /// Ask without TLS.
    pub allow_http: bool,
    /// Of S3: whether the bucket is in the path of addresses, not in their host. Where an endpoint is named it is, when absent.
    pub path_style: Option<bool>,
    /// Refuse to write.
    pub read_only: bool,
    /// Longest time for one request.
    pub timeout: Duration,
}

impl Settings {
    /// A bucket with everything else as usual.
    pub fn of(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            endpoint: None,
            region: None,
            account: None,
            env_prefix: String::new(),
            anonymous: false,
            allow_http: false,
            path_style: None,
            read_only: false,
            timeout: Duration::from_secs(30),
        }
    }
}

/// A bucket cannot be what its settings say.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the bucket `{bucket}`: {why}")]
pub struct Unusable {
    /// The bucket's name here.
    pub bucket: String,
    /// A sentence.
    pub why: String,
}

/// What is made of settings.
pub(super) struct Client {
    pub root: String,
    pub service: Box<dyn Service>,
    pub azure: bool,
    pub ordered: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    S3,
    Google,
    Azure,
}

/// The service, the bucket's name there, and what its keys begin with.
fn located(url: &str) -> Result<(Kind, &str, String), &'static str> {
    let wanted = "`url` is s3://BUCKET, gs://BUCKET or az://CONTAINER, with a folder behind a slash or without";
    let (scheme, rest) = url.split_once("://").ok_or(wanted)?;
    let kind = match scheme {
        "s3" => Kind::S3,
        "gs" => Kind::Google,
        "az" => Kind::Azure,
        _ => return Err(wanted),
    };
    let (bucket, folder) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.contains(['@', ':']) || url.contains(['?', '#']) {
        return Err(
            "`url` has credentials or a question in it: credentials come from the environment",
        );
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if bucket.is_empty() || !bucket.bytes().all(plain) {
        return Err(wanted);
    }
    if bucket.ends_with("--x-s3") {
        return Err("directory buckets (S3 Express One Zone) are not supported");
    }
    let cut = folder.strip_suffix('/').filter(|cut| !cut.is_empty());
    let folder = cut.unwrap_or(folder);
    if folder.is_empty() {
        return Ok((kind, bucket, String::new()));
    }
    match keys::path(folder) {
        Some(_) => Ok((kind, bucket, format!("{folder}/"))),
        None => Err("the folder of `url` has empty parts, `.`, `..` or control characters"),
    }
}

impl Settings {
    /// What can be wrong with them without looking at the environment.
    ///
    /// # Errors
    /// What is wrong first.
    pub fn check(&self, name: &str) -> Result<(), Unusable> {
        let unusable = |why: &str| Unusable {
            bucket: name.to_owned(),
            why: why.to_owned(),
        };
        bucket_rules(name).map_err(unusable)?;
        let (kind, ..) = located(&self.url).map_err(unusable)?;
        if let Some(endpoint) = &self.endpoint {
            let endpoint = Url::parse(endpoint).ok();
            let endpoint = endpoint.filter(|endpoint| endpoint.has_host());
            let Some(endpoint) = endpoint else {
                return Err(unusable(
                    "`endpoint` is not an address such as https://host:9000",
                ));
            };
            if !endpoint.username().is_empty()
                || endpoint.password().is_some()
                || endpoint.query().is_some()
                || endpoint.fragment().is_some()
            {
                return Err(unusable(
                    "`endpoint` has credentials or a question in it: credentials come from the environment",
                ));
            }
            match endpoint.scheme() {
                "https" => (),
                "http" if self.allow_http => (),
                "http" => {
                    return Err(unusable(
                        "`endpoint` is without TLS, which `allow_http = true` allows",
                    ));
                }
                _ => return Err(unusable("`endpoint` begins with https:// or http://")),
            }
        }
        for (set, of, key) in [
            (self.region.is_some(), Kind::S3, "region"),
            (self.path_style.is_some(), Kind::S3, "path_style"),
            (self.account.is_some(), Kind::Azure, "account"),
        ] {
            if set && kind != of {
                return Err(unusable(&format!(
                    "`{key}` means nothing to a bucket of {kind:?}"
                )));
            }
        }
        if self.timeout < Duration::from_millis(100) {
            return Err(unusable("`timeout` is at least 100ms"));
        }
        Ok(())
    }

    /// The client.
    pub(super) fn client(
        &self,
        name: &str,
        variables: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Client, Unusable> {
        self.check(name)?;
        let unusable = |why: String| Unusable {
            bucket: name.to_owned(),
            why,
        };
        let (kind, bucket, root) = located(&self.url).map_err(|why| unusable(why.to_owned()))?;
        let variable = |name: &str| {
            let value = variables(&format!("{}{name}", self.env_prefix));
            value.filter(|value| !value.is_empty())
        };
        let service = match kind {
            Kind::S3 => self.s3(bucket, &variable),
            Kind::Google => self.google(bucket, &variable),
            Kind::Azure => self.azure(bucket, &variable),
        };
        Ok(Client {
            root,
            service: service.map_err(unusable)?,
            azure: kind == Kind::Azure,
            ordered: kind != Kind::Azure,
        })
    }

    fn options(&self) -> ClientOptions {
        ClientOptions::new()
            .with_allow_http(self.allow_http)
            .with_timeout(self.timeout)
            .with_connect_timeout(CONNECT.min(self.timeout))
    }

    fn retry(&self) -> RetryConfig {
        RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(2),
                base: 2.0,
            },
            max_retries: RETRIES,
            retry_timeout: self.timeout.saturating_mul(RETRIES as u32 + 1),
        }
    }

    /// How a variable is called.
    fn named(&self, name: &str) -> String {
        format!("{}{name}", self.env_prefix)
    }

    fn s3(
        &self,
        bucket: &str,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Box<dyn Service>, String> {
        let region = self.region.clone();
        let region = region
            .or_else(|| variable("AWS_REGION"))
            .or_else(|| variable("AWS_DEFAULT_REGION"))
            .unwrap_or_else(|| REGION.to_owned());
        let path_style = self.path_style.unwrap_or_else(|| {
            // A certificate for all buckets is none for names with dots.
            self.endpoint.is_some() || bucket.contains('.')
        });
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(region)
            .with_virtual_hosted_style_request(!path_style)
            .with_skip_signature(self.anonymous)
            .with_client_options(self.options())
            .with_retry(self.retry())
            .with_http_connector(Connector::default());
        if let Some(endpoint) = &self.endpoint {
            let endpoint = endpoint.trim_end_matches('/');
            builder = builder.with_endpoint(match (path_style, endpoint.split_once("://")) {
                (false, Some((scheme, host))) => format!("{scheme}://{bucket}.{host}"),
                _ => endpoint.to_owned(),
            });
        }
        if self.anonymous {
            return finished(builder.build());
        }
        let given = S3_VARIABLES.map(|(name, key)| (key, variable(name)));
        let mut any = false;
        for (key, value) in given {
            if let Some(value) = value {
                (builder, any) = (builder.with_config(key, value), true);
            }
        }
        let has = |name: &str| variable(name).is_some();
        let (id, secret) = (has("AWS_ACCESS_KEY_ID"), has("AWS_SECRET_ACCESS_KEY"));
        if id != secret {
            let (one, other) = match id {
                true => ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
                false => ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
            };
            let (one, other) = (self.named(one), self.named(other));
            return Err(format!(
                "{one} is set in the environment and {other} is not"
            ));
        }
        let keys = format!(
            "set {} and {} in the environment, or `anonymous = true`",
            self.named("AWS_ACCESS_KEY_ID"),
            self.named("AWS_SECRET_ACCESS_KEY")
        );
        if !any && has("AWS_PROFILE") {
            return Err(format!(
                "{} is set, and profiles are not read: {keys}",
                self.named("AWS_PROFILE")
            ));
        }
        let machine = !self.env_prefix.is_empty()
            || variable("AWS_EC2_METADATA_DISABLED").is_some_and(|is| is == "true");
        if !any && machine {
            return Err(format!("there are no credentials: {keys}"));
        }
        finished(builder.build())
    }

    fn google(
        &self,
        bucket: &str,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Box<dyn Service>, String> {
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_bucket_name(bucket)
            .with_skip_signature(self.anonymous)
            .with_client_options(self.options())
            .with_retry(self.retry())
            .with_http_connector(Connector::default());
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_base_url(endpoint.trim_end_matches('/'));
        }
        if self.anonymous {
            return finished(builder.build());
        }
        let file = ["GOOGLE_SERVICE_ACCOUNT", "GOOGLE_APPLICATION_CREDENTIALS"];
        let file = file
            .into_iter()
            .find_map(|name| Some((name, variable(name)?)));
        let mut from = "what `gcloud auth application-default login` left".to_owned();
        if let Some((name, path)) = file {
            let name = self.named(name);
            std::fs::File::open(&path)
                .map_err(|error| format!("the file that {name} names cannot be read: {error}"))?;
            from = format!("the file that {name} names");
            builder = builder.with_application_credentials(path);
        } else if let Some(text) = variable("GOOGLE_SERVICE_ACCOUNT_KEY") {
            from = self.named("GOOGLE_SERVICE_ACCOUNT_KEY");
            builder = builder.with_service_account_key(text);
        } else if !self.env_prefix.is_empty() {
            return Err(format!(
                "there are no credentials: set {} in the environment, or `anonymous = true`",
                self.named("GOOGLE_APPLICATION_CREDENTIALS")
            ));
        }
        // What the crate says of it may have parts of it.
        let built = builder.build();
        built.map(boxed).map_err(|_| {
            format!("{from} is not a key of a service account or a login of Google's tools")
        })
    }

    fn azure(
        &self,
        container: &str,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Box<dyn Service>, String> {
        let account = self.account.clone();
        let account = account
            .or_else(|| variable("AZURE_STORAGE_ACCOUNT_NAME"))
            .or_else(|| variable("AZURE_STORAGE_ACCOUNT"))
            .ok_or_else(|| {
                let name = self.named("AZURE_STORAGE_ACCOUNT_NAME");
                format!("neither `account` nor {name} says which storage account it is in")
            })?;
        let mut builder = MicrosoftAzureBuilder::new()
            .with_account(account)
            .with_container_name(container)
            .with_skip_signature(self.anonymous)
            .with_client_options(self.options())
            .with_retry(self.retry())
            .with_http_connector(Connector::default());
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
        }
        let mut any = self.anonymous;
        for (name, key) in AZURE_VARIABLES {
            if let Some(value) = variable(name) {
                (builder, any) = (builder.with_config(key, value), true);
            }
        }
        if !any && !self.env_prefix.is_empty() {
            return Err(format!(
                "there are no credentials: set {} in the environment, or `anonymous = true`",
                self.named("AZURE_STORAGE_ACCOUNT_KEY")
            ));
        }
        let built = builder.build();
        built.map(boxed).map_err(|_| {
            "the credentials in the environment are not what Azure's are: a key in base64, or a signature `sv=…&sig=…`"
                .to_owned()
        })
    }
}

fn boxed(service: impl Service) -> Box<dyn Service> {
    Box::new(service)
}

/// Of a builder that was given nothing secret, or nothing that it looks into.
fn finished(built: object_store::Result<impl Service>) -> Result<Box<dyn Service>, String> {
    built.map(boxed).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::Remote;

    fn made(settings: &Settings, variables: &[(&str, &str)]) -> Result<Remote, String> {
        let variables = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Remote::new([("photos", settings)], &variables).map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_are_taken_apart() {
        for (url, wanted) in [
            ("s3://bucket", (Kind::S3, "bucket", "")),
            ("s3://my.bucket/", (Kind::S3, "my.bucket", "")),
            ("gs://Bucket_1/a", (Kind::Google, "Bucket_1", "a/")),
            ("az://c/a/größe b/", (Kind::Azure, "c", "a/größe b/")),
        ] {
            let (kind, bucket, root) = located(url).expect(url);
            assert_eq!((kind, bucket, root.as_str()), wanted);
        }
        for url in [
            "",
            "bucket",
            "s3:/bucket",
            "s3://",
            "https://bucket",
            "file:///etc",
            "s3://a/../b",
            "s3://a//b",
            "s3://a//",
            "s3://bü/",
            "s3://b--use1-az4--x-s3",
        ] {
            assert!(located(url).is_err(), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_says_so_and_nothing_secret() {
        let s3 = Settings::of("s3://bucket");
        let keys = [
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "geheim"),
        ];
        let bad = |change: fn(&mut Settings)| {
            let mut settings = Settings::of("s3://bucket");
            change(&mut settings);
            settings
        };
        let azure = Settings::of("az://container");
        type Case<'a> = (Settings, Vec<(&'a str, &'a str)>, &'a str);
        let cases: Vec<Case<'_>> = vec![
            (
                Settings::of("s3://id:geheim@bucket"),
                keys.to_vec(),
                "come from the environment",
            ),
            (
                Settings::of("az://c?sig=geheim"),
                keys.to_vec(),
                "come from the environment",
            ),
            (
                bad(|s| s.endpoint = Some("https://id:geheim@host".to_owned())),
                keys.to_vec(),
                "come from the environment",
            ),
            (
                bad(|s| s.endpoint = Some("http://host".to_owned())),
                keys.to_vec(),
                "allow_http",
            ),
            (
                bad(|s| s.endpoint = Some("host:9000".to_owned())),
                keys.to_vec(),
                "`endpoint`",
            ),
            (
                bad(|s| s.account = Some("mine".to_owned())),
                keys.to_vec(),
                "`account`",
            ),
            (
                bad(|s| s.timeout = Duration::ZERO),
                keys.to_vec(),
                "`timeout`",
            ),
            (
                s3.clone(),
                keys[..1].to_vec(),
                "AWS_SECRET_ACCESS_KEY is not",
            ),
            (s3.clone(), keys[1..].to_vec(), "AWS_ACCESS_KEY_ID is not"),
            (
                s3.clone(),
                vec![("AWS_PROFILE", "work")],
                "profiles are not read",
            ),
            (
                s3.clone(),
                vec![("AWS_EC2_METADATA_DISABLED", "true")],
                "there are no credentials",
            ),
            // With a prefix the variables without it are another account's.
            (
                bad(|s| s.env_prefix = "ARCHIVE_".to_owned()),
                keys.to_vec(),
                "ARCHIVE_AWS_ACCESS_KEY_ID",
            ),
            (azure.clone(), vec![], "AZURE_STORAGE_ACCOUNT_NAME"),
            (
                azure.clone(),
                vec![
                    ("AZURE_STORAGE_ACCOUNT", "a"),
                    ("AZURE_STORAGE_KEY", "geheim!"),
                ],
                "base64",
            ),
            (
                Settings::of("gs://bucket"),
                vec![("GOOGLE_SERVICE_ACCOUNT_KEY", "{\"geheim\": 1}")],
                "GOOGLE_SERVICE_ACCOUNT_KEY is not a key",
            ),
            (
                Settings::of("gs://bucket"),
                vec![("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/geheim")],
                "cannot be read",
            ),
        ];
        for (settings, variables, part) in cases {
            let error = made(&settings, &variables).expect_err(part);
            assert!(
                error.contains(part) && error.contains("`photos`"),
                "{error}"
            );
            assert!(!error.contains("geheim"), "{error}");
        }
        let error = Remote::new([("Photos", &s3)], &|_| None).expect_err("no name of S3's");
        assert!(error.to_string().contains("lower-case"), "{error}");
    }

    #[test]
    fn what_can_be_is_made_without_asking_anybody() {
        let two = [
            ("ARCHIVE_AWS_ACCESS_KEY_ID", "id"),
            ("ARCHIVE_AWS_SECRET_ACCESS_KEY", "geheim"),
        ];
        let prefixed = Settings {
            env_prefix: "ARCHIVE_".to_owned(),
            endpoint: Some("https://minio.example:9000/".to_owned()),
            path_style: Some(false),
            ..Settings::of("s3://bucket/folder")
        };
        let open = |url: &str| Settings {
            anonymous: true,
            ..Settings::of(url)
        };
        let azure = [
            ("AZURE_STORAGE_ACCOUNT_NAME", "account"),
            ("AZURE_STORAGE_SAS_TOKEN", "sv=2024&sig=geheim"),
        ];
        for (settings, variables) in [
            (prefixed, &two[..]),
            (open("s3://bucket"), &[][..]),
            (open("gs://bucket"), &[]),
            (Settings::of("az://container"), &azure),
        ] {
            let remote = made(&settings, variables).expect("usable");
            assert_eq!(remote.names().collect::<Vec<_>>(), ["photos"]);
            assert!(!format!("{remote:?}").contains("geheim"));
        }
    }
}
