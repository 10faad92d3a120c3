//! File systems that tests mount, fill, freeze and break. Where mounting is not permitted there is none, and the reason is printed.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// A file system of our own. Unmounted when dropped.
#[derive(Debug)]
pub struct Disk {
    dir: TempDir,
    mounted: bool,
}

impl Disk {
    /// In memory, so large.
    #[must_use]
    pub fn tmpfs(mib: u32) -> Option<Self> {
        let mut disk = Self { dir: TempDir::new().unwrap(), mounted: false };
        disk.mount(&["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"])?;
        Some(disk)
    }

    /// In a file, with a journal; so large.
    #[must_use]
    pub fn ext4(mib: u32) -> Option<Self> {
        let mut disk = Self { dir: TempDir::new().unwrap(), mounted: false };
        let image = disk.dir.path().join("image");
        std::fs::File::create(&image).unwrap().set_len(u64::from(mib) * 1024 * 1024).unwrap();
        permitted(run("mke2fs", &["-q", "-t", "ext4", &text(&image)]))?;
        disk.mount(&["-o", "loop", &text(&image)])?;
        Some(disk)
    }

    fn mount(&mut self, args: &[&str]) -> Option<()> {
        std::fs::create_dir_all(self.path()).unwrap();
        permitted(run("mount", &[args, &[&text(&self.path())]].concat()))?;
        self.mounted = true;
        Some(())
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// Mounts it anew with `option`.
    pub fn remount(&self, option: &str) {
        run("mount", &["-o", &format!("remount,{option}"), &text(&self.path())]).unwrap();
    }

    /// Leaves no room.
    pub fn fill(&self) {
        let mut file = std::fs::File::create(self.path().join("filler")).unwrap();
        for piece in [vec![0; 64 * 1024], vec![0; 512]] {
            while file.write_all(&piece).is_ok() {}
        }
    }

    /// Takes back what [`fill`](Self::fill) did.
    pub fn empty(&self) {
        std::fs::remove_file(self.path().join("filler")).unwrap();
    }

    /// Lets every write hang, until the answer is dropped. To be dropped before whoever writes.
    #[must_use]
    pub fn freeze(&self) -> Option<Frozen> {
        let path = text(&self.path());
        permitted(run("fsfreeze", &["-f", &path]))?;
        Some(Frozen(path))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            run("umount", &["-l", &text(&self.path())]).ok();
        }
    }
}

/// A disk whose writes hang.
#[derive(Debug)]
pub struct Frozen(String);

impl Drop for Frozen {
    fn drop(&mut self) {
        run("fsfreeze", &["-u", &self.0]).ok();
    }
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

/// `None`, with the reason printed, if it failed.
#[allow(clippy::print_stdout, reason = "a test that was skipped says why")]
fn permitted(outcome: Result<(), String>) -> Option<()> {
    outcome.inspect_err(|reason| println!("skipped: {reason}")).ok()
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
