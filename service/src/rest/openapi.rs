//! The OpenAPI 3.1 document, made from the handlers themselves.

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
        (name = "openai", description = "For clients of OpenAI's embeddings"),
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
        super::labels::labels,
        super::images::faces,
        super::images::compare,
        super::images::text,
        super::images::moderation,
        super::classify_image::classify_image,
        crate::openai::embeddings::embeddings,
        crate::openai::models::list,
        crate::openai::models::one,
        crate::ops::healthz,
        crate::ops::readyz,
        crate::ops::metrics,
    )
)]
struct Document;

/// The document as JSON.
pub fn json() -> String {
    Document::openapi().to_json().expect("the document is JSON")
}
