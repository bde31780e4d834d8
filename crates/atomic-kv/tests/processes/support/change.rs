//! Changes of the members as an operator makes them: the commands, also beside a test that goes on, and the nodes that come.

use super::client::Response;
use super::cluster::Cluster;
use super::node::Node;
use super::{PATIENCE, eventually, program};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Instant;

/// A command that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Its exit code.
    pub(crate) code: Option<i32>,
    /// Its standard output.
    pub(crate) stdout: String,
    /// Its standard error.
    pub(crate) stderr: String,
}

/// A command that runs beside the test; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    shown: String,
    output: [PathBuf; 2],
}

fn text(path: &Path) -> String {
    let mut text = String::new();
    File::open(path).and_then(|mut file| file.read_to_string(&mut text)).unwrap();
    text
}

impl Running {
    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until it has printed this, to either output.
    pub(crate) fn wait_for(&mut self, part: &str) {
        eventually(&format!("{} prints {part}", self.shown), || {
            let has_ended = self.has_ended();
            let told = self.output.each_ref().map(|path| text(path));
            let is_told = told.iter().any(|text| text.contains(part));
            assert!(is_told || !has_ended, "{} has ended: {told:?}", self.shown);
            is_told
        });
    }

    /// Ctrl-C.
    pub(crate) fn interrupt(&self) {
        let process = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(process, Signal::INT).unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ended {
        let start = Instant::now();
        while !self.has_ended() {
            let told = || self.output.each_ref().map(|path| text(path));
            assert!(start.elapsed() < PATIENCE, "{} does not end: {:?}", self.shown, told());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let code = self.child.wait().unwrap().code();
        let [stdout, stderr] = self.output.each_ref().map(|path| text(path));
        Ended { code, stdout, stderr }
    }

    /// Waits for its end, which must be that it is done.
    #[track_caller]
    pub(crate) fn done(self) -> Ended {
        let ended = self.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Cluster {
    /// A cluster whose nodes have told each other how they stand, so that each of them may be asked for a change.
    pub(crate) fn acquainted(count: u32) -> Self {
        let cluster = Self::start(count, &[]);
        cluster.wait_acquainted();
        cluster
    }

    /// Waits until the nodes have told each other how they stand.
    pub(crate) fn wait_acquainted(&self) {
        for node in &self.nodes {
            eventually(&format!("everybody has told node {} how it stands", node.id), || {
                let Response::Bulk(Some(told)) = node.connect().call("MEMBERS LIST") else { return false };
                !String::from_utf8(told).unwrap().contains("\"lost_ranges\":null")
            });
        }
    }

    /// Starts a command about members, of these words, that asks these client addresses.
    pub(crate) fn command_at(&self, words: &str, addresses: &str) -> Running {
        let output = ["stdout", "stderr"].map(|name| {
            let (_, path) =
                tempfile::Builder::new().prefix(name).tempfile_in(self.directory()).unwrap().keep().unwrap();
            path
        });
        let mut command = program();
        command.args(words.split_whitespace()).args(["--addr", addresses]);
        let [out, err] = output.each_ref().map(|path| Stdio::from(File::create(path).unwrap()));
        let child = command.stdout(out).stderr(err).spawn().unwrap();
        Running { child, shown: words.to_owned(), output }
    }

    /// The same, at all nodes: the first that answers is asked.
    pub(crate) fn command(&self, words: &str) -> Running {
        self.command_at(words, &self.address_list())
    }

    /// A node that is to join, the last one from now on; its id is the next one. It is not started.
    pub(crate) fn add_newcomer(&mut self) -> &mut Node {
        let port = self.new_peer_port();
        self.add_newcomer_at(&port)
    }

    /// The same at a peer address that belongs to the cluster already.
    pub(crate) fn add_newcomer_at(&mut self, peer_address: &str) -> &mut Node {
        let members: Vec<&str> = self.nodes.iter().map(|node| node.peer_address(node.id)).collect();
        let members = members.join(",");
        let id = u32::try_from(self.nodes.len()).unwrap() + 1;
        let mut node = Node::new(id, format!("{id}={peer_address}"), self.directory());
        node.says_who_it_is = false;
        node.flags = ["--join", &members, "--peer-listen", peer_address].map(str::to_owned).to_vec();
        self.nodes.push(node);
        self.nodes.last_mut().unwrap()
    }

    /// The node with this id.
    pub(crate) fn node(&mut self, id: u32) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.id == id).unwrap()
    }

    /// Waits until a node has installed a configuration of this stage.
    pub(crate) fn wait_for_stage(&mut self, id: u32, stage: &str) {
        let node = self.node(id);
        eventually(&format!("node {id} is in stage {stage}"), || node.info("stage") == stage);
    }

    /// Waits until these nodes, which run, say that the members are these, and that nothing is under way.
    pub(crate) fn wait_for_members(&self, ids: &[u32]) {
        let expected = ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        for node in self.nodes.iter().filter(|node| ids.contains(&node.id) && node.runs()) {
            eventually(&format!("node {} says that the members are {expected}", node.id), || {
                node.info("members") == expected && node.info("stage") == "stable"
            });
            node.wait_ready();
        }
    }
}
