//! One node as a process.

use super::client::Connection;
use super::ports::Port;
use super::privileged::with_names;
use super::{PATIENCE, eventually, program, program_at};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitOptions, getrlimit, kill_process, prlimit, waitpid,
};
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

/// A node: where it listens, where its data is, and the process while it runs.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its id.
    pub(crate) id: u32,
    /// Its data directory.
    pub(crate) data: PathBuf,
    /// Extra flags for the next start.
    pub(crate) flags: Vec<String>,
    /// Environment variables for the next start.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// A file of names and addresses that it sees in place of the machine's, if it may; see `may_change_names`.
    pub(crate) names: Option<PathBuf>,
    /// The host that it listens at for clients and HTTP.
    pub(crate) host: &'static str,
    /// How many files it may have open at the next start, if that is to be less than for this process.
    pub(crate) open_files: Option<u64>,
    /// The program, if it is not the one under test.
    pub(crate) program: Option<PathBuf>,
    /// The value of `--cluster`.
    pub(crate) cluster: String,
    /// Whether its command line says who it is, and who is in the cluster.
    pub(crate) says_who_it_is: bool,
    client: Port,
    http: Port,
    log: PathBuf,
    child: Option<Child>,
}

impl Node {
    /// A node that is not started yet; its log is put beside its data.
    pub(crate) fn new(id: u32, cluster: String, directory: &Path) -> Self {
        Self {
            id,
            data: directory.join(format!("node-{id}")),
            flags: Vec::new(),
            environment: Vec::new(),
            names: None,
            host: "127.0.0.1",
            open_files: None,
            program: None,
            cluster,
            says_who_it_is: true,
            client: Port::free(),
            http: Port::free(),
            log: directory.join(format!("node-{id}.log")),
            child: None,
        }
    }

    /// The command line that starts it.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.program.as_deref().map_or_else(program, program_at);
        command.arg("serve");
        if self.says_who_it_is {
            command.args(["--node-id", &self.id.to_string(), "--cluster", &self.cluster]);
        }
        command
            .args(["--listen", &format!("{}:{}", self.host, self.client.number())])
            .args(["--http-listen", &format!("{}:{}", self.host, self.http.number())])
            .arg("--data-dir")
            .arg(&self.data)
            .args(&self.flags)
            .envs(self.environment.iter().cloned());
        if !self.flags.iter().any(|flag| flag == "--op-timeout") {
            // Longer than the default: on a machine that is busy with other things slow is not wrong.
            command.args(["--op-timeout", "20s"]);
        }
        if let Some(limit) = self.open_files {
            command = limited(&command, limit);
        }
        match &self.names {
            Some(names) => with_names(&command, names),
            None => command,
        }
    }

    /// From now on it may have so many files open, or as many as this process if that is `None`.
    pub(crate) fn limit_open_files(&self, limit: Option<u64>) {
        let own = getrlimit(Resource::Nofile);
        let limit = Rlimit { current: limit.or(own.maximum), maximum: own.maximum };
        prlimit(Some(self.process()), Resource::Nofile, limit).unwrap();
    }

    /// Starts the process. Its log goes on where that of its last run ended.
    pub(crate) fn start(&mut self) {
        let log = OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        self.start_logging_to(log);
    }

    /// Starts the process with its log going elsewhere.
    pub(crate) fn start_logging_to(&mut self, log: impl Into<Stdio>) {
        self.start_with(log, &[]);
    }

    /// The same, with something in its environment.
    pub(crate) fn start_with(&mut self, log: impl Into<Stdio>, environment: &[(&str, &str)]) {
        assert!(self.child.is_none(), "node {} runs already", self.id);
        let mut command = self.command();
        command.envs(environment.iter().copied()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// Bytes of memory that the process has (`VmRSS`), or had at the most (`VmHWM`).
    pub(crate) fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Whether it was started and not ended since.
    pub(crate) fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.process(), signal).unwrap();
    }

    fn process(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap()
    }

    /// kill -9, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGSTOP: it stands still, its connections stay open. Waits until its last thread has stopped.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
        let (_, status) = waitpid(Some(self.process()), WaitOptions::UNTRACED).unwrap().unwrap();
        assert!(status.stopped(), "node {} ended; its log:\n{}", self.id, self.log());
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGTERM.
    pub(crate) fn tell_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGTERM, and waits for the graceful end.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.tell_to_stop();
        self.wait()
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                self.child = None;
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "node {} does not end; its log:\n{}", self.id, self.log());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// All that it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until its log has a line with all of these in it.
    pub(crate) fn wait_for_log(&self, parts: &[&str]) {
        eventually(&format!("node {} logs {parts:?}", self.id), || {
            self.log().lines().any(|line| parts.iter().all(|part| line.contains(part)))
        });
    }

    /// Where its clients connect.
    pub(crate) fn address(&self) -> String {
        self.client.address()
    }

    /// Where a member listens to the others, according to `--cluster`.
    pub(crate) fn peer_address(&self, id: u32) -> &str {
        let own = format!("{id}=");
        self.cluster.split(',').find_map(|member| member.strip_prefix(&own)).unwrap()
    }

    /// Where it serves HTTP.
    pub(crate) fn http_address(&self) -> String {
        self.http.address()
    }

    /// A new connection; waits until the node listens.
    pub(crate) fn connect(&self) -> Connection {
        let address = self.address();
        let mut connection = None;
        eventually(&format!("node {} listens", self.id), || {
            connection = Connection::open(&address).ok();
            connection.is_some()
        });
        connection.unwrap()
    }

    /// A field of `INFO`.
    pub(crate) fn info(&self, field: &str) -> String {
        self.connect().info(field)
    }

    /// Waits until it votes and sees a majority.
    pub(crate) fn wait_ready(&self) {
        eventually(&format!("node {} is ready", self.id), || {
            Connection::open(&self.address())
                .is_ok_and(|mut connection| connection.try_info("ready").is_ok_and(|ready| ready == "1"))
        });
    }
}

/// The same command, with so many open files.
fn limited(command: &Command, open_files: u64) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("ulimit -n {open_files} && exec \"$0\" \"$@\""));
    shell.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A paused process is killed just the same.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- log of node {} ---\n{}", self.id, self.log());
        }
    }
}
