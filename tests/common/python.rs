//! A Python with the SDKs that users have, in a virtual environment that the tests make once per machine.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The scripts and their requirements.
fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join("clients")
}

/// The interpreter of the virtual environment with exactly the requirements of `tests/clients`.
///
/// Several test processes may ask at the same time: a file lock lets one of them make it.
fn interpreter() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| {
        PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache")
    });
    let (venv, lock) = (
        cache.join("escala").join("test-venv"),
        cache.join("escala").join("test-venv.lock"),
    );
    fs::create_dir_all(cache.join("escala")).expect("the cache folder can be made");
    let lock = File::create(lock).expect("the lock file can be made");
    lock.lock().expect("the lock can be taken");
    let (python, stamp) = (
        venv.join("bin").join("python"),
        venv.join("requirements.txt"),
    );
    let wanted = fs::read_to_string(clients().join("requirements.txt")).expect("requirements");
    if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return python;
    }
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&venv));
    let requirements = clients().join("requirements.txt");
    run(Command::new(&python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
        ])
        .arg(requirements));
    // Written last: an interrupted installation starts over.
    fs::write(stamp, wanted).expect("the stamp can be written");
    python
}

fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{command:?}: {}\n{out}\n{err}",
        output.status
    );
    out.into_owned()
}

/// Runs a script of `tests/clients` against a server; it must succeed and say that it checked something.
pub fn script(name: &str, server: &super::Server) {
    let mut command = Command::new(interpreter());
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
    let out = run(command
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("PYTHONDONTWRITEBYTECODE", "1"));
    let passed = out.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(passed > 0, "{name} checked nothing:\n{out}");
    println!("{out}");
}
