//! What a model is: what is read of its container, and what it is known by while it is open.

use crate::names::{ADDRESSES, s3};
use crate::refusal::{Refusal, Result};
use crate::store::Resource;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// What a model is, as it was when somebody took it up: it may be deleted meanwhile.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Definition {
    /// The model's name.
    pub name: String,
    /// Its image, as it was given.
    pub image: String,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
    /// Where its data are; none where it has none.
    pub data: Option<Data>,
    /// Whether the data are a prefix of many archives, of which a request names one.
    pub many: bool,
    /// Which data they were when they were taken up, as [`Models::pin`] found them: others may be put in their place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<String>,
}

/// Where the data of a model are.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Data {
    /// `s3://…`.
    pub address: String,
    /// How they are to be read.
    pub form: Form,
}

/// What the data of a model are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Form {
    /// One gzipped tar.
    Archive,
    /// All objects whose keys begin so are its files.
    Files,
    /// One file.
    File,
}

impl Definition {
    /// What a model is that was kept.
    pub fn of(model: &Resource) -> Option<Self> {
        let container = container(&model.body)?;
        Self::read(&model.name, container).ok()
    }

    pub(super) fn read(name: &str, container: &Value) -> Result<Self> {
        let text = |value: &Value, name: &str| value.get(name)?.as_str().map(str::to_owned);
        for (member, why) in [
            (
                "ModelPackageName",
                "There are no model packages here: give Image and ModelDataUrl or ModelDataSource.",
            ),
            (
                "AdditionalModelDataSources",
                "A model has one data source here: leave AdditionalModelDataSources out.",
            ),
        ] {
            let given = container.get(member);
            if given.is_some_and(|given| given.as_array().is_none_or(|list| !list.is_empty())) {
                return Err(Refusal::validation(why));
            }
        }
        let image = text(container, "Image");
        let image = image.ok_or_else(|| Refusal::validation("A container needs an Image."))?;
        let environment = container.get("Environment").and_then(Value::as_object);
        let environment = environment
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect();
        let url = text(container, "ModelDataUrl").filter(|url| !url.is_empty());
        let source = container.pointer("/ModelDataSource/S3DataSource");
        let many = text(container, "Mode").as_deref() == Some("MultiModel");
        let data = match (url, source) {
            (Some(_), Some(_)) => {
                return Err(Refusal::validation(
                    "You can specify only one of ModelDataUrl and ModelDataSource.",
                ));
            }
            (Some(address), None) => Some(Data {
                address,
                form: Form::Archive,
            }),
            (None, Some(source)) => {
                for member in ["HubAccessConfig", "ManifestS3Uri"] {
                    if source.get(member).is_some() {
                        return Err(Refusal::validation(format!(
                            "ModelDataSource.S3DataSource.{member} is not known here: S3Uri says where the data are."
                        )));
                    }
                }
                let gzip = text(source, "CompressionType").as_deref() == Some("Gzip");
                let prefix = text(source, "S3DataType").as_deref() == Some("S3Prefix");
                let form = match (gzip, prefix) {
                    (true, true) if !many => {
                        return Err(Refusal::validation(
                            "A compressed model is one object: with CompressionType Gzip, S3DataType is S3Object.",
                        ));
                    }
                    (true, _) => Form::Archive,
                    (false, true) => Form::Files,
                    (false, false) => Form::File,
                };
                let address = text(source, "S3Uri").unwrap_or_default();
                Some(Data { address, form })
            }
            (None, None) => None,
        };
        if let Some(data) = &data {
            let named = s3(&data.address);
            let whole = |key: &str| many || data.form == Form::Files || !key.is_empty();
            if !named.is_some_and(|(_, key)| whole(key)) {
                return Err(Refusal::validation(format!(
                    "Invalid model data location \"{}\": it is an address like {ADDRESSES}.",
                    data.address
                )));
            }
        }
        if many && data.as_ref().is_none_or(|data| data.form != Form::Archive) {
            return Err(Refusal::validation(
                "A MultiModel container needs a ModelDataUrl: the prefix of the archives that requests name.",
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            image,
            environment,
            data,
            many,
            pinned: None,
        })
    }

    /// What is the same for all that is opened alike.
    pub(super) fn key(&self, target: Option<&str>) -> Key {
        let target = target.map(|target| target.trim_start_matches('/'));
        let mut all = Sha256::new();
        all.update(json!([self, target]).to_string());
        all.finalize().into()
    }
}

/// The one container of a model that was kept.
fn container(body: &Value) -> Option<&Value> {
    let first = body.pointer("/Containers/0");
    body.get("PrimaryContainer").or(first)
}

pub(super) type Key = [u8; 32];
