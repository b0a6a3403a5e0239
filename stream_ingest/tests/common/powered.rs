//! Power cuts, where root allows.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of its own, in a file, whose power can be cut: what was not synced is gone, as after a real cut. A process
/// that is killed tells nothing about syncing, because the system still has what it wrote.
pub struct Powered {
    image: PathBuf,
    place: PathBuf,
}

impl Powered {
    /// `Err` with why there is none: it takes root and the right to mount.
    pub fn new(folder: &Path) -> Result<Self, String> {
        let powered = Self {
            image: folder.join("image"),
            place: folder.join("mounted"),
        };
        std::fs::create_dir(&powered.place).expect("a folder");
        let file = std::fs::File::create(&powered.image).expect("a file");
        file.set_len(400 << 20).expect("room for it");
        run("mkfs.ext4", &[Path::new("-q"), &powered.image])?;
        powered.mount()?;
        Ok(powered)
    }

    /// Its folder.
    pub fn place(&self) -> &Path {
        &self.place
    }

    fn mount(&self) -> Result<(), String> {
        run("mount", &[Path::new("-oloop"), &self.image, &self.place])
    }

    /// `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`.
    pub fn cut(&self) {
        let program = "import fcntl, os, struct, sys; \
             fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";
        let arguments = [Path::new("-c"), Path::new(program), &self.place];
        run("python3", &arguments).expect("the power is cut");
    }

    /// The power is back.
    pub fn restore(&self) {
        run("umount", &[&self.place]).expect("it is unmounted");
        self.mount().expect("it is mounted");
    }
}

impl Drop for Powered {
    fn drop(&mut self) {
        // What cannot be unmounted was not mounted.
        let _ = run("umount", &[&self.place]);
    }
}

fn run(program: &str, arguments: &[&Path]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}
