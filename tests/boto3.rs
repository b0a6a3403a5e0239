//! Unmodified SDKs against the real binary: boto3 for Comprehend and Rekognition, and the openai client.
//!
//! What they check is in `tests/clients/*.py`; the tests make the Python environment for it themselves.

mod common;

use common::{Server, Setup, python};
use std::sync::OnceLock;

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(&Setup::default()))
}

#[test]
fn comprehend() {
    python::script("comprehend.py", server());
}

#[test]
fn rekognition() {
    python::script("rekognition.py", server());
}

#[test]
fn openai() {
    python::script("openai_embeddings.py", server());
}
