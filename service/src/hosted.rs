//! What is hosted: models of SageMaker's endpoints that are not learned from tables (the tasks of the doors by their names, and
//! checkpoints in Hugging Face's layout), and endpoints as other doors ask them.
//!
//! | file | what |
//! | --- | --- |
//! | `tasks.rs` | `escala/sentiment`, `escala/labels`, …: an image's name names the task |
//! | `checkpoints.rs` | `huggingface-…` images: checkpoints of classifiers and encoders |
//! | `onnx.rs` | `onnx` images: networks, and what scikit-learn, XGBoost and LightGBM export |
//! | `alone.rs` | how requests come to models: one at a time, or all that wait |
//! | `rows.rs` | endpoints asked about rows, for flows and others that have many |
//! | `questions.rs` | what both read of a request, and how they write answers |

mod alone;
mod checkpoints;
mod onnx;
mod questions;
pub mod rows;
mod tasks;

pub use alone::{Alone, Answers, told};
pub use checkpoints::{Checkpoints, TRAINED};
pub use onnx::Onnx;
pub use questions::{answers, images, refuse};
pub use tasks::Tasks;

use escala_sagemaker::SageMaker;
use escala_sagemaker::hosting::{Counts, VariantCounts};
use std::sync::{Arc, OnceLock};

/// What is trained and hosted, where a server has opened it: all apps of a server share the place.
pub type Hosted = Arc<OnceLock<Arc<SageMaker>>>;

/// What is counted of hosted models, in the text format of Prometheus. Names of endpoints and variants are letters, digits and
/// dashes.
pub fn write_metrics(counts: &Counts, text: &mut String) {
    type Of = fn(&VariantCounts) -> f64;
    let of_variants: [(&str, &str, Of); 3] = [
        ("invocations_total", "Questions to hosted models.", |one| {
            one.invocations as f64
        }),
        (
            "invocation_errors_total",
            "Questions that their model refused or failed on.",
            |one| one.errors as f64,
        ),
        (
            "invocation_seconds_total",
            "Seconds that hosted models took.",
            |one| one.took.as_secs_f64(),
        ),
    ];
    for (name, help, value) in of_variants {
        let name = format!("escala_endpoint_{name}");
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} counter\n"));
        for one in &counts.variants {
            let (endpoint, variant, value) = (&one.endpoint, &one.variant, value(one));
            text.push_str(&format!(
                "{name}{{endpoint=\"{endpoint}\",variant=\"{variant}\"}} {value}\n"
            ));
        }
    }
    for (name, kind, help, value) in [
        (
            "models_open",
            "gauge",
            "Hosted models that are open.",
            counts.models_open,
        ),
        (
            "model_bytes",
            "gauge",
            "Bytes of memory that they hold, about.",
            counts.model_bytes,
        ),
        (
            "model_hits_total",
            "counter",
            "Hosted models that were asked for and open.",
            counts.model_hits,
        ),
        (
            "model_loads_total",
            "counter",
            "Hosted models that were opened.",
            counts.model_loads,
        ),
        (
            "model_failures_total",
            "counter",
            "Hosted models that could not be opened.",
            counts.model_failures,
        ),
        (
            "model_evictions_total",
            "counter",
            "Hosted models that were closed.",
            counts.model_evictions,
        ),
        (
            "async_waiting",
            "gauge",
            "Questions that wait to be answered later.",
            counts.later_waiting,
        ),
        (
            "async_done_total",
            "counter",
            "Questions that were answered later.",
            counts.later_done,
        ),
        (
            "async_failed_total",
            "counter",
            "Questions that failed later.",
            counts.later_failed,
        ),
        (
            "captured_total",
            "counter",
            "Records of data capture that were written.",
            counts.captured,
        ),
        (
            "uncaptured_total",
            "counter",
            "Records of data capture that were left out.",
            counts.uncaptured,
        ),
        (
            "unshadowed_total",
            "counter",
            "Copies for shadows that were left out.",
            counts.unshadowed,
        ),
    ] {
        let name = format!("escala_hosted_{name}");
        text.push_str(&format!(
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
        ));
    }
}
