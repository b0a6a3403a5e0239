//! The OpenAPI 3.1 document, made from the handlers themselves.

use serde_json::Value;
use utoipa::OpenApi;

/// Everything but the AWS wire, which AWS's own models describe.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Escala",
        description = "Predictions of real models on your own machine. The AWS wire protocol is on the same port: set the endpoint of any AWS SDK to it.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "text", description = "Language and meaning of texts"),
        (name = "images", description = "What images show"),
        (name = "collections", description = "Faces that are kept, and whose they are"),
        (name = "celebrities", description = "People whom you made known"),
        (name = "streams", description = "Flows: predictions from topic to topic"),
        (name = "topics", description = "Records of the event log, which Kafka's clients read and write too"),
        (name = "jobs", description = "Work on more documents than somebody waits for"),
        (name = "endpoints", description = "Hosted models, which SageMaker's operations make"),
        (name = "openai", description = "For clients of OpenAI's embeddings and conversations"),
        (name = "operations", description = "Health and metrics"),
    ),
    paths(
        super::language::language,
        super::syntax::entities,
        super::syntax::key_phrases,
        super::syntax::syntax,
        super::sentiment::sentiment,
        super::targeted::targeted_sentiment,
        super::pii::pii,
        super::toxicity::toxicity,
        super::classify::classify,
        super::redact::redact,
        super::analyze::analyze_texts,
        super::embeddings::embeddings,
        super::collections::list,
        super::collections::create,
        super::collections::describe,
        super::collections::delete,
        super::collections::tags,
        super::collections::index,
        super::collections::faces,
        super::collections::delete_faces,
        super::collections::search,
        super::collections::users,
        super::collections::create_user,
        super::collections::delete_user,
        super::collections::associate,
        super::collections::disassociate,
        super::collections::search_users,
        super::celebrities::recognise,
        super::celebrities::list,
        super::celebrities::add,
        super::celebrities::describe,
        super::celebrities::remove,
        super::topics::list,
        super::topics::create,
        super::topics::describe,
        super::topics::change,
        super::topics::delete,
        super::topics::write,
        super::topics::read,
        super::topics::groups,
        super::topics::group,
        super::images::labels::labels,
        super::images::faces::faces,
        super::images::compare::compare,
        super::images::text::text,
        super::images::moderation::moderation,
        super::images::bodies::bodies,
        super::images::classify::classify,
        super::streams::list,
        super::streams::create,
        super::streams::describe,
        super::streams::delete,
        super::streams::pause,
        super::streams::resume,
        super::streams::reset,
        super::jobs::list,
        super::jobs::create,
        super::jobs::describe,
        super::jobs::events,
        super::jobs::cancel,
        super::endpoints::list,
        super::endpoints::predict,
        crate::openai::chat::completions,
        crate::openai::embeddings::embeddings,
        crate::openai::models::list,
        crate::openai::models::one,
        crate::ops::healthz,
        crate::ops::readyz,
        crate::ops::metrics,
    ),
    components(schemas(super::error::ErrorBody))
)]
struct Document;

/// What is there with the feature `sql`.
#[cfg(feature = "sql")]
#[derive(OpenApi)]
#[openapi(
    tags((name = "sql", description = "Queries over data, with models as functions")),
    paths(super::sql::sql),
)]
struct Queries;

fn document() -> utoipa::openapi::OpenApi {
    let document = Document::openapi();
    #[cfg(feature = "sql")]
    let document = document.merge_from(Queries::openapi());
    document
}

/// The document as JSON.
pub fn json() -> String {
    let mut document = serde_json::to_value(document()).expect("the document is JSON");
    told(&mut document);
    document.to_string()
}

/// Descriptions as callers read them: without what is for those who read the source.
fn told(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                match value {
                    Value::String(text) if name == "description" || name == "summary" => {
                        let said = text.split("# Errors").next().unwrap_or_default();
                        *text = said
                            .replace("[`", "`")
                            .replace("`]", "`")
                            .trim_end()
                            .to_owned();
                    }
                    value => told(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(told),
        _ => {}
    }
}
