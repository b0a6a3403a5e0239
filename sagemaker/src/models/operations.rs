//! `CreateModel`, `DescribeModel`, `ListModels` and `DeleteModel`.

use super::{Definition, Models, name};
use crate::lists;
use crate::names::{Caller, Kind, now, repository, seconds};
use crate::refusal::{Refusal, Result};
use crate::store::{Error as StoreError, Resource};
use serde_json::{Map, Value, json};

impl Models {
    /// `CreateModel`, `DescribeModel`, `ListModels`, `DeleteModel`; none of the others.
    pub fn call(&self, caller: &Caller, operation: &str, input: &Value) -> Option<Result<Value>> {
        match operation {
            "CreateModel" => Some(self.create(caller, input)),
            "DescribeModel" => Some(self.describe(caller, input)),
            "ListModels" => Some(self.list(input)),
            "DeleteModel" => Some(self.delete(caller, input)),
            _ => None,
        }
    }

    fn create(&self, caller: &Caller, input: &Value) -> Result<Value> {
        let name = name(input, "ModelName");
        let several = input.get("Containers").and_then(Value::as_array);
        let container = match (input.get("PrimaryContainer"), several.map(Vec::as_slice)) {
            (Some(container), None | Some([])) | (None, Some([container])) => container,
            (None, Some([_, _, ..])) => {
                return Err(Refusal::validation(
                    "A model has one container here, as PrimaryContainer or as the only one of Containers; inference \
                     pipelines of several containers are not run.",
                ));
            }
            _ => {
                return Err(Refusal::validation(
                    "Exactly one of PrimaryContainer and Containers must be given.",
                ));
            }
        };
        let definition = Definition::read(&name, container)?;
        let repository = repository(&definition.image);
        if !self.openers.iter().any(|opener| opener.knows(repository)) {
            return Err(Refusal::validation(format!(
                "Requested image {} not found: {}",
                definition.image,
                self.accepted()
            )));
        }
        let arn = caller.arn(Kind::Model, &name);
        let mut body = input.clone();
        let tags = crate::tags::taken(&mut body)?;
        let model = Resource {
            kind: Kind::Model,
            created: now(),
            modified: now(),
            status: String::new(),
            arn: arn.clone(),
            name,
            body,
        };
        match self.store.create(&model, &tags) {
            Ok(()) => Ok(json!({"ModelArn": arn})),
            Err(StoreError::Exists(arn)) => Err(Refusal::exists(Kind::Model.words(), &arn)),
            Err(error) => Err(error.into()),
        }
    }

    /// The model of a name.
    ///
    /// # Errors
    /// "Could not find".
    pub fn get(&self, caller: &Caller, name: &str) -> Result<Resource> {
        let found = self.store.get(Kind::Model, name)?;
        let absent = || Refusal::absent(Kind::Model.words(), &caller.arn(Kind::Model, name));
        found.ok_or_else(absent)
    }

    fn describe(&self, caller: &Caller, input: &Value) -> Result<Value> {
        let model = self.get(caller, &name(input, "ModelName"))?;
        let mut answer = match model.body {
            Value::Object(body) => body,
            _ => Map::new(),
        };
        if let Some(Value::Object(container)) = answer.get_mut("PrimaryContainer") {
            container.entry("Mode").or_insert("SingleModel".into());
        }
        answer
            .entry("EnableNetworkIsolation")
            .or_insert(false.into());
        answer.insert("ModelArn".into(), model.arn.into());
        answer.insert("CreationTime".into(), seconds(model.created));
        Ok(Value::Object(answer))
    }

    fn list(&self, input: &Value) -> Result<Value> {
        let page = lists::page(&self.store, Kind::Model, input, "")?;
        Ok(lists::answer("Models", &page, |model| {
            json!({
                "ModelName": model.name,
                "ModelArn": model.arn,
                "CreationTime": seconds(model.created),
            })
        }))
    }

    fn delete(&self, caller: &Caller, input: &Value) -> Result<Value> {
        let name = name(input, "ModelName");
        match self.store.delete(Kind::Model, &name)? {
            true => Ok(json!({})),
            false => Err(Refusal::absent(
                Kind::Model.words(),
                &caller.arn(Kind::Model, &name),
            )),
        }
    }
}
