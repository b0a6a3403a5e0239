//! `AddTags`, `ListTags`, `DeleteTags`, and the tags of what is made.

use crate::refusal::{NOT_FOUND, Refusal, Result};
use crate::store::Store;
use serde_json::{Value, json};

/// The most tags that a resource has.
pub const MOST: usize = 50;

/// The tags of a request that makes something, taken out of it.
///
/// # Errors
/// As [`call`].
pub fn taken(body: &mut Value) -> Result<Vec<(String, String)>> {
    let tags = body
        .as_object_mut()
        .and_then(|body| body.remove("Tags"))
        .unwrap_or_default();
    let tags = read(&tags)?;
    match tags.len() > MOST {
        true => Err(many()),
        false => Ok(tags),
    }
}

fn many() -> Refusal {
    Refusal::validation(format!("A resource can have at most {MOST} tags."))
}

fn read(tags: &Value) -> Result<Vec<(String, String)>> {
    let mut all: Vec<(String, String)> = Vec::new();
    for tag in tags.as_array().into_iter().flatten() {
        let text = |name: &str| tag.get(name).and_then(Value::as_str).unwrap_or_default();
        let key = text("Key");
        if key
            .get(..4)
            .is_some_and(|four| four.eq_ignore_ascii_case("aws:"))
        {
            return Err(Refusal::validation(format!(
                "The tag key \"{key}\" begins with aws:, which is AWS's own."
            )));
        }
        if all.iter().any(|(other, _)| other == key) {
            return Err(Refusal::validation(format!(
                "Duplicate tag keys found: \"{key}\". Tag keys must be unique."
            )));
        }
        all.push((key.to_owned(), text("Value").to_owned()));
    }
    Ok(all)
}

/// What a store's tags come to in an answer.
fn written(tags: &[(String, String)]) -> Value {
    let tag = |(key, value): &(String, String)| json!({"Key": key, "Value": value});
    tags.iter().map(tag).collect()
}

/// The operations on tags; none of the others.
///
/// Tags are of any ARN in the store. There are at most [`MOST`] of one, so that a list is always one page.
pub fn call(store: &Store, operation: &str, input: &Value) -> Option<Result<Value>> {
    let arn = input.get("ResourceArn").and_then(Value::as_str);
    let arn = arn.unwrap_or_default();
    match operation {
        "AddTags" => Some(add(store, arn, input)),
        "ListTags" => Some(list(store, arn, input)),
        "DeleteTags" => Some(delete(store, arn, input)),
        _ => None,
    }
}

fn there(store: &Store, arn: &str) -> Result<()> {
    match store.of_arn(arn)? {
        Some(_) => Ok(()),
        None => Err(Refusal::new(
            NOT_FOUND,
            format!("Could not find resource \"{arn}\"."),
        )),
    }
}

fn add(store: &Store, arn: &str, input: &Value) -> Result<Value> {
    let tags = read(input.get("Tags").unwrap_or(&Value::Null))?;
    there(store, arn)?;
    match store.tag(arn, &tags, &[], MOST)? > MOST {
        true => Err(many()),
        false => Ok(json!({"Tags": written(&store.tags(arn)?)})),
    }
}

fn list(store: &Store, arn: &str, input: &Value) -> Result<Value> {
    if input.get("NextToken").is_some() {
        return Err(Refusal::validation("Invalid NextToken."));
    }
    there(store, arn)?;
    Ok(json!({"Tags": written(&store.tags(arn)?)}))
}

fn delete(store: &Store, arn: &str, input: &Value) -> Result<Value> {
    there(store, arn)?;
    let keys = input.get("TagKeys").and_then(Value::as_array);
    let keys = keys.into_iter().flatten().filter_map(Value::as_str);
    let keys: Vec<String> = keys.map(str::to_owned).collect();
    store.tag(arn, &[], &keys, MOST)?;
    Ok(json!({}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{Kind, now};
    use crate::store::Resource;

    #[test]
    fn tags_are_put_listed_and_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let arn = "arn:aws:sagemaker:us-east-1:000000000000:model/m";
        let call = |operation: &str, input: Value| {
            let mut input = input;
            input["ResourceArn"] = arn.into();
            super::call(&store, operation, &input).unwrap()
        };
        let absent = call("ListTags", json!({})).unwrap_err();
        assert!(absent.message.contains("Could not find"));
        let model = Resource {
            kind: Kind::Model,
            name: "m".to_owned(),
            arn: arn.to_owned(),
            created: now(),
            modified: now(),
            status: String::new(),
            body: json!({}),
        };
        store.create(&model, &[]).unwrap();
        let tag = |key: &str| json!({"Key": key, "Value": "v"});
        let said = call("AddTags", json!({"Tags": [tag("b"), tag("a")]})).unwrap();
        assert_eq!(said, json!({"Tags": [tag("a"), tag("b")]}));
        for (tags, why) in [
            (json!([tag("aws:x")]), "AWS's own"),
            (json!([tag("AWS:x")]), "AWS's own"),
            (json!([tag("c"), tag("c")]), "Duplicate"),
            (
                (0..50).map(|at| tag(&at.to_string())).collect(),
                "at most 50",
            ),
        ] {
            let refused = call("AddTags", json!({"Tags": tags})).unwrap_err();
            assert!(refused.message.contains(why), "{}", refused.message);
        }
        call("DeleteTags", json!({"TagKeys": ["a", "never"]})).unwrap();
        let left = call("ListTags", json!({})).unwrap();
        assert_eq!(left, json!({"Tags": [tag("b")]}));
        assert!(super::call(&store, "ListModels", &json!({})).is_none());
    }
}
