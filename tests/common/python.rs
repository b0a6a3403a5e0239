//! A Python with the SDKs that users have, in a virtual environment that the tests make once per machine.

use super::venv;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The scripts and their requirements.
fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join("clients")
}

/// Runs a script of `tests/clients` against a server; it must succeed and say that it checked something.
pub fn script(name: &str, server: &super::Server) {
    script_with(name, server, &[]);
}

/// [`script`] with variables of the environment.
pub fn script_with(name: &str, server: &super::Server, variables: &[(&str, &str)]) {
    run("test-venv", "requirements.txt", name, server, variables);
}

/// [`script`] with what people use objects with.
pub fn s3_script(name: &str, server: &super::Server) {
    run("s3-venv", "s3-requirements.txt", name, server, &[]);
}

/// [`script`] with a version of the SageMaker SDK.
pub fn sagemaker_script(version: u8, name: &str, server: &super::Server) {
    sagemaker_script_with(version, name, server, &[]);
}

/// [`sagemaker_script`] with variables of the environment.
pub fn sagemaker_script_with(
    version: u8,
    name: &str,
    server: &super::Server,
    variables: &[(&str, &str)],
) {
    let requirements = format!("sagemaker-v{version}-requirements.txt");
    let venv = format!("sagemaker-v{version}-venv");
    run(&venv, &requirements, name, server, variables);
}

fn run(
    venv: &str,
    requirements: &str,
    name: &str,
    server: &super::Server,
    variables: &[(&str, &str)],
) {
    let python = venv::interpreter(venv, &clients().join(requirements));
    let mut command = Command::new(python);
    command
        .arg(clients().join(name))
        .arg(server.url(""))
        .arg(super::golden(""));
    // No proxy and none of the caller's AWS settings may come between the SDK and the server.
    for (variable, _) in std::env::vars() {
        if variable.starts_with("AWS_")
            || variable.starts_with("OPENAI_")
            || variable.to_ascii_lowercase().ends_with("_proxy")
        {
            command.env_remove(variable);
        }
    }
    venv::checks(
        command
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .envs(variables.iter().copied()),
    );
}
