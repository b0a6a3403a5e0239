//! Virtual environments of Python that the tests make once per machine, in the user's cache.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder of the user's cache that one process at a time fills: `make` is called if what is there was not made for
/// `wanted`. Gives the folder back.
pub fn cached(name: &str, wanted: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| {
        PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache")
    });
    let cache = cache.join("escala");
    let folder = cache.join(name);
    fs::create_dir_all(&cache).expect("the cache folder can be made");
    let lock = File::create(cache.join(format!("{name}.lock"))).expect("the lock file can be made");
    lock.lock().expect("the lock can be taken");
    let stamp = folder.join("requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return folder;
    }
    make(&folder);
    // Written last: an interrupted installation starts over.
    fs::write(stamp, wanted).expect("the stamp can be written");
    folder
}

/// The interpreter of the virtual environment `name` with exactly these requirements.
pub fn interpreter(name: &str, requirements: &Path) -> PathBuf {
    let wanted = fs::read_to_string(requirements).expect("requirements");
    let python = |venv: &Path| venv.join("bin").join("python");
    let venv = cached(name, &wanted, |venv| {
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(venv));
        run(Command::new(python(venv))
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "-r",
            ])
            .arg(requirements));
    });
    python(&venv)
}

/// What the command writes; it must succeed.
pub fn run(command: &mut Command) -> String {
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

/// Runs a script that prints `ok NAME` for each check; it must succeed and have checked something.
pub fn checks(command: &mut Command) {
    let out = run(command);
    let passed = out.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(passed > 0, "{command:?} checked nothing:\n{out}");
    println!("{out}");
}
