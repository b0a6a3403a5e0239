//! kcat of the system's packages.

use super::venv;
use std::fs;
use std::process::Command;

/// Whether there is one, after trying to install it. Without apt-get nothing can be tried.
pub fn is_there() -> bool {
    let there = || Command::new("kcat").arg("-V").output().is_ok();
    if there() {
        return true;
    }
    if Command::new("apt-get").arg("--version").output().is_err() {
        eprintln!("WARNING: kcat and apt-get are missing: nothing was checked with kcat");
        return false;
    }
    venv::cached("kcat", "kcat", |folder| {
        fs::create_dir_all(folder).expect("the folder can be made");
        let install = || {
            let mut install = Command::new("apt-get");
            install.args(["install", "-y", "-qq", "kcat"]);
            install
        };
        if !install()
            .output()
            .is_ok_and(|output| output.status.success())
        {
            venv::run(Command::new("apt-get").args(["update", "-qq"]));
            venv::run(&mut install());
        }
    });
    assert!(there(), "kcat was installed and does not run");
    true
}
