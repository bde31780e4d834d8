//! What only root may do: small file systems, power cuts, failing system calls.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Says loudly that a test did nothing, past the test harness's capture.
pub(crate) fn skipped(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {why}");
}

/// Whether this is root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether [`with_names`] works.
pub(crate) fn may_change_names() -> bool {
    succeeds(Command::new("unshare").args(["--mount", "true"]))
}

/// The same command, which sees a file of names and addresses in place of the machine's.
pub(crate) fn with_names(command: &Command, names: &Path) -> Command {
    let mut changed = Command::new("unshare");
    changed.args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""]).arg(names);
    changed.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => changed.env(name, value),
            None => changed.env_remove(name),
        };
    }
    changed
}

fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// A mounted file system; unmounted when dropped.
#[derive(Debug)]
pub(crate) struct Mount {
    place: TempDir,
    /// The file with the blocks.
    image: Option<(TempDir, PathBuf)>,
    options: &'static str,
}

impl Mount {
    /// A file system of this size in memory; `None` without the permission.
    pub(crate) fn small(megabytes: u32) -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let mounted = succeeds(
            Command::new("mount")
                .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"])
                .arg(place.path()),
        );
        mounted.then_some(Self { place, image: None, options: "" })
    }

    /// An ext4 on a loop device, mounted with these options, whose power can be cut; `None` without the permission.
    pub(crate) fn disk(megabytes: u64, options: &'static str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        std::fs::File::create(&image).unwrap().set_len(megabytes << 20).unwrap();
        let made = succeeds(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image));
        let mount = Self { place: tempfile::tempdir().unwrap(), image: Some((directory, image)), options };
        (made && mount.attach()).then_some(mount)
    }

    fn attach(&self) -> bool {
        let (_, image) = self.image.as_ref().unwrap();
        succeeds(Command::new("mount").args(["-o", self.options]).arg(image).arg(self.path()))
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }

    /// The power is gone: whatever was not synced is lost. The file system fails every access from now on.
    #[allow(unsafe_code, reason = "this ioctl has no safe wrapper")]
    pub(crate) fn cut_power(&self) {
        /// `EXT4_IOC_SHUTDOWN`, and its flag to lose even the journal's own buffer.
        const SHUTDOWN: u32 = 0x8004_587d;
        const WITHOUT_LOG_FLUSH: u32 = 2;
        let flag = WITHOUT_LOG_FLUSH;
        let root = std::fs::File::open(self.path()).unwrap();
        // SAFETY: the call reads one u32 behind the pointer, which lives through it.
        let result = unsafe { libc::ioctl(root.as_raw_fd(), libc::c_ulong::from(SHUTDOWN), &raw const flag) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }

    /// Power is back: the file system is mounted anew. All processes that used it must be gone.
    pub(crate) fn restore_power(&self) {
        assert!(succeeds(Command::new("umount").arg(self.path())), "cannot unmount {:?}", self.path());
        assert!(self.attach(), "cannot mount {:?} again", self.path());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = succeeds(Command::new("umount").arg("-l").arg(self.path()));
    }
}

/// strace, bending the system calls of a running process; the process goes on alone when this is dropped.
#[derive(Debug)]
pub(crate) struct Tracer(Child);

impl Tracer {
    /// Makes each of these system calls of the process and its threads, `fdatasync,fsync` say, fail with an input/output error
    /// from now on, on one file or all. `None` when strace is missing or may not do this.
    pub(crate) fn fail(process: u32, calls: &str, file: Option<&Path>) -> Option<Self> {
        let child = Command::new("strace")
            .args(file.into_iter().flat_map(|file| [Path::new("-P"), file]))
            .args(["-f", "-q", "-o", "/dev/null", "-e", &format!("trace={calls}")])
            .args(["-e", &format!("inject={calls}:error=EIO"), "-p", &process.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut tracer = Self(child);
        let status = PathBuf::from(format!("/proc/{process}/status"));
        let mut attached = false;
        super::eventually("strace attaches or gives up", || {
            attached = std::fs::read_to_string(&status).is_ok_and(|text| {
                text.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
            });
            attached || tracer.0.try_wait().unwrap().is_some()
        });
        attached.then_some(tracer)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A file that nobody can write, not even through a handle that is open, until this is dropped.
pub(crate) struct Unwritable(PathBuf);

impl Unwritable {
    /// `None` without the right to do so, or where the file system cannot.
    pub(crate) fn file(path: &Path) -> Option<Self> {
        succeeds(Command::new("chattr").arg("+i").arg(path)).then(|| Self(path.to_path_buf()))
    }
}

impl Drop for Unwritable {
    fn drop(&mut self) {
        succeeds(Command::new("chattr").arg("-i").arg(&self.0));
    }
}
