//! Settings: flags, environment, a TOML file; in this order of precedence, then the defaults.

mod parse;

pub(crate) use parse::{check_listed, required};
pub use parse::{parse_cluster, parse_duration, parse_timestamps};

use crate::fatal::Fatal;
use ::node::endpoint::Endpoint;
use ::node::hello::LOOPS_MAX;
use ::node::limits::VALUE_BYTES_MAX;
use ::node::resp::{DebugCommand, MultiKeys, Policy};
use abd::TimestampMode;
use clap::Args;
use parse::{check, check_address, choice, parse_addresses, parse_announce};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// As in Redis.
pub const DEFAULT_MAX_CLIENTS: usize = 10_000;
/// No setting is a longer time than this.
const LONGEST: Duration = Duration::from_secs(3600);

/// The default of `--op-timeout`: client libraries give up after 5 s and more, and some then send the write again.
const OP_TIMEOUT: Duration = Duration::from_secs(3);

/// Flags of `serve`.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServeArgs {
    /// This node's id, one of those in --cluster. Its data directory remembers it.
    #[arg(long, env = "ATOMIC_KV_NODE_ID")]
    pub node_id: Option<u32>,
    /// All members with their peer addresses: 1=HOST:PORT,2=HOST:PORT,3=HOST:PORT. The ids are the same on every node; a
    /// node listens for its peers at its own entry (but see --peer-listen). It is read at the first start alone; after that the
    /// data directory says who the members are.
    #[arg(long, env = "ATOMIC_KV_CLUSTER")]
    pub cluster: Option<String>,
    /// For a new node of a cluster that runs: peer addresses of its members, HOST:PORT,HOST:PORT. They say who this node is, by the
    /// address in --peer-listen, once `add` or `replace` has named that.
    #[arg(long, env = "ATOMIC_KV_JOIN")]
    pub join: Option<String>,
    /// Where to listen for Redis clients, HOST:PORT; at all addresses that a name has.
    #[arg(long, env = "ATOMIC_KV_LISTEN")]
    pub listen: Option<String>,
    /// Where clients reach this node, HOST:PORT, as CLUSTER and SENTINEL tell them: behind a port mapping, say
    /// [default: the host in --listen, or in --cluster where that is 0.0.0.0 or ::, and the port of --listen].
    #[arg(long, env = "ATOMIC_KV_ANNOUNCE")]
    pub announce: Option<String>,
    /// The name of the master in SENTINEL MASTERS. Whoever asks for a master by its name may use any [default: mymaster].
    #[arg(long, env = "ATOMIC_KV_SENTINEL_MASTER")]
    pub sentinel_master: Option<String>,
    /// Where to listen for peers when that is not the address by which they know this node: behind a port mapping, say, HOST:PORT.
    /// With --join the address that `add` or `replace` names.
    #[arg(long, env = "ATOMIC_KV_PEER_LISTEN")]
    pub peer_listen: Option<String>,
    /// Where this node keeps its data. Never share or copy it.
    #[arg(long, env = "ATOMIC_KV_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where to serve /metrics, /livez and /readyz, HOST:PORT.
    #[arg(long, env = "ATOMIC_KV_HTTP_LISTEN")]
    pub http_listen: Option<String>,
    /// How timestamps are chosen: logical (a quorum read first) or truetime (an interval clock; the same on all nodes)
    /// [default: as at the last start, or logical].
    #[arg(long, env = "ATOMIC_KV_TIMESTAMPS")]
    pub timestamps: Option<String>,
    /// TrueTime: the system clock is never off by more than this, say 2ms. Without it the kernel's own bound is used.
    #[arg(long, env = "ATOMIC_KV_CLOCK_ERROR")]
    pub clock_error: Option<String>,
    /// TrueTime: refuse a clock whose interval is wider than this [default: 250ms].
    #[arg(long, env = "ATOMIC_KV_MAX_CLOCK_WIDTH")]
    pub max_clock_width: Option<String>,
    /// How long an operation may take before it fails. Keep it below the time after which client libraries give up, often
    /// 5s: they would send a write again whose outcome they could have been told [default: 3s].
    #[arg(long, env = "ATOMIC_KV_OP_TIMEOUT")]
    pub op_timeout: Option<String>,
    /// Largest value that clients may write, in bytes; a SET also needs a majority of nodes that allow it
    /// [default: 16777216].
    #[arg(long, env = "ATOMIC_KV_MAX_VALUE_BYTES")]
    pub max_value_bytes: Option<usize>,
    /// Memory for the newest versions, in bytes; a cache, not a limit on the data. With much data, writes
    /// that are not in tables yet may take up to half as much besides, or 16 MiB [default: 402653184].
    #[arg(long, env = "ATOMIC_KV_CACHE_BYTES")]
    pub cache_bytes: Option<usize>,
    /// Client connections; fewer where the process may have fewer open files. Beyond it a client is told so and closed
    /// [default: 10000].
    #[arg(long, env = "ATOMIC_KV_MAX_CLIENTS")]
    pub max_clients: Option<usize>,
    /// Memory for all clients together, in bytes: half-sent requests, requests in flight, values found for them, replies
    /// that wait. Beyond it the connection that holds most is closed [default: four times --client-output-limit].
    #[arg(long, env = "ATOMIC_KV_CLIENTS_MEMORY")]
    pub clients_memory: Option<u64>,
    /// Bytes of replies that may wait for one client to read them. Beyond it no more is done for the client until it
    /// reads, and if it does not it is closed [default: 134217728, or twice --max-value-bytes if that is more].
    #[arg(long, env = "ATOMIC_KV_CLIENT_OUTPUT_LIMIT")]
    pub client_output_limit: Option<usize>,
    /// Event loops; more than one pays only where the node has processors to spare [default: 1].
    #[arg(long, env = "ATOMIC_KV_THREADS")]
    pub threads: Option<usize>,
    /// What becomes of requests on several keys that are atomic in Redis, such as RENAME: refuse, or per-key: they are carried
    /// out key by key, and are not atomic [default: refuse].
    #[arg(long, env = "ATOMIC_KV_MULTI_KEYS")]
    pub multi_keys: Option<String>,
    /// Who may use DEBUG: no, local (clients on this machine) or yes; for tests of clients [default: no].
    #[arg(long, env = "ATOMIC_KV_ENABLE_DEBUG_COMMAND")]
    pub enable_debug_command: Option<String>,
    /// Whether a node that has lost a part of what it stored, as blocks of its disk are damaged, gets that back from the others by
    /// itself: auto, or off [default: auto].
    #[arg(long, env = "ATOMIC_KV_HEAL")]
    pub heal: Option<String>,
    /// How long a script may run. One that takes longer ends without effect [default: 1s].
    #[arg(long, env = "ATOMIC_KV_SCRIPT_TIME_LIMIT")]
    pub script_time_limit: Option<String>,
    /// Memory of a script, in bytes; each event loop runs one at a time. One that needs more ends without effect
    /// [default: 67108864].
    #[arg(long, env = "ATOMIC_KV_SCRIPT_MEMORY")]
    pub script_memory: Option<usize>,
    /// Added to the system clock in nanoseconds; for tests of clock skew.
    #[arg(long, hide = true, allow_hyphen_values = true)]
    pub clock_offset: Option<i64>,
    /// A TOML file with any of these settings (names as the flags, without the dashes in front).
    #[arg(long, env = "ATOMIC_KV_CONFIG")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
}

/// Flags of `dev`.
#[derive(Debug, Args)]
pub struct DevArgs {
    /// How many nodes: 1 to 7.
    #[arg(long, default_value_t = 3)]
    pub nodes: u32,
    /// Client port of the first node; the others follow. Peer ports are 10000 above, HTTP ports 2000 above.
    #[arg(long, default_value_t = 6380)]
    pub port: u16,
    /// Where to keep the data; without it in a temporary directory, deleted at the end.
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// How timestamps are chosen: logical or truetime.
    #[arg(long, default_value = "logical")]
    pub timestamps: String,
    /// TrueTime: bound on the clock's error.
    #[arg(long)]
    pub clock_error: Option<String>,
    /// What becomes of requests on several keys that are atomic in Redis: refuse or per-key.
    #[arg(long, default_value = "refuse")]
    pub multi_keys: String,
    /// Who may use DEBUG: no, local or yes.
    #[arg(long, default_value = "no")]
    pub enable_debug_command: String,
}

/// An interpreter takes a part of it without any script.
const SCRIPT_MEMORY_MIN: usize = 4 << 20;

/// What a node has to be told at its first start alone.
#[derive(Clone, Debug)]
pub struct First {
    /// Its id.
    pub node_id: Option<u32>,
    /// All members with their peer addresses, by id.
    pub cluster: Option<Vec<(u32, String)>>,
    /// Peer addresses of those who say which node it is.
    pub join: Vec<String>,
    /// How timestamps are chosen.
    pub timestamps: Option<TimestampMode>,
}

/// Whether a node heals that has lost a part of what it stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Heal {
    /// By itself.
    #[default]
    Auto,
    /// Not before it is started otherwise.
    Off,
}

impl Heal {
    fn named(name: &str) -> Option<Self> {
        match name {
            "auto" => Some(Self::Auto),
            "off" => Some(Self::Off),
            _ => None,
        }
    }

    /// As in `--heal`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Off => "off",
        }
    }
}

/// Everything that a node needs to know, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What its data directory says better, once it has one.
    pub first: First,
    /// Where clients connect.
    pub listen: String,
    /// Where clients are told that they reach this node, if that is not for it to say.
    pub announce: Option<Endpoint>,
    /// The name of the master in SENTINEL MASTERS.
    pub sentinel_master: String,
    /// Where peers connect, if not at this node's entry in `cluster`.
    pub peer_listen: Option<String>,
    /// Where the data is.
    pub data_dir: PathBuf,
    /// Where HTTP is served, if at all.
    pub http_listen: Option<String>,
    /// How timestamps are chosen.
    pub timestamps: TimestampMode,
    /// Bound on the system clock's error; `None` is the kernel's own.
    pub clock_error: Option<Duration>,
    /// Widest interval that TrueTime accepts.
    pub max_clock_width: Duration,
    /// Added to the system clock, in nanoseconds.
    pub clock_offset: i64,
    /// How long an operation may take.
    pub op_timeout: Duration,
    /// Largest value in bytes.
    pub max_value_bytes: usize,
    /// Memory for the newest versions, in bytes.
    pub cache_bytes: usize,
    /// Client connections that there may be.
    pub max_clients: usize,
    /// Bytes of memory that all clients may hold together.
    pub clients_memory: u64,
    /// Bytes of replies that may wait for one client.
    pub client_output_limit: usize,
    /// Event loops.
    pub threads: usize,
    /// What commands may do.
    pub policy: Policy,
    /// Whether it heals.
    pub heal: Heal,
    /// How long a script may run.
    pub script_time_limit: Duration,
    /// Memory of a script, in bytes.
    pub script_memory: usize,
}

impl Settings {
    /// `logical` or `truetime`.
    pub fn timestamps_name(&self) -> &'static str {
        match self.timestamps {
            TimestampMode::Logical => "logical",
            TimestampMode::TrueTime => "truetime",
        }
    }
}

impl ServeArgs {
    /// Takes what is missing from the file, then the defaults, and checks everything.
    ///
    /// # Errors
    /// Exit code 2 with one line that says what is wrong.
    pub fn settle(mut self) -> Result<Settings, Fatal> {
        if let Some(path) = self.config.take() {
            let shown = path.display();
            let text = std::fs::read_to_string(&path)
                .map_err(|why| Fatal::usage(format!("cannot read the configuration file {shown}: {why}")))?;
            let file: Self = toml::from_str(&text).map_err(|why| {
                let at = why.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
                let line = at.matches('\n').count() + 1;
                Fatal::usage(format!("{shown}, line {line}: {}", why.message().replace('\n', " ")))
            })?;
            self = self.or(file);
        }
        let first = First {
            node_id: self.node_id,
            cluster: self.cluster.map(|text| parse_cluster(&text)).transpose()?,
            join: self.join.map_or(Ok(Vec::new()), |text| parse_addresses("--join", &text))?,
            timestamps: self.timestamps.map(|text| parse_timestamps(&text)).transpose()?,
        };
        if let (Some(node_id), Some(cluster)) = (first.node_id, &first.cluster) {
            check_listed(node_id, cluster)?;
        }
        let clock_error = self.clock_error.map(|text| parse_duration("--clock-error", &text)).transpose()?;
        let max_clock_width = self
            .max_clock_width
            .map_or(Ok(Duration::from_millis(250)), |text| parse_duration("--max-clock-width", &text))?;
        if let Some(error) = clock_error
            && error.saturating_mul(2) > max_clock_width
        {
            return Err(Fatal::usage(format!(
                "--clock-error {error:?} makes an interval wider than --max-clock-width {max_clock_width:?}; lower \
                 the one or raise the other"
            )));
        }
        let op_timeout =
            self.op_timeout.map_or(Ok(OP_TIMEOUT), |text| parse_duration("--op-timeout", &text))?;
        for (flag, duration) in [("--op-timeout", op_timeout), ("--max-clock-width", max_clock_width)] {
            let wrong = || format!("{flag} {duration:?} is longer than an hour; choose less");
            check(duration <= LONGEST, wrong)?;
        }
        let threads = self.threads.unwrap_or(1);
        check((1..=usize::from(LOOPS_MAX)).contains(&threads), || {
            format!("--threads {threads} is not between 1 and {LOOPS_MAX}")
        })?;
        let max_value_bytes = self.max_value_bytes.unwrap_or(16 << 20);
        check((1..=VALUE_BYTES_MAX).contains(&max_value_bytes), || {
            format!("--max-value-bytes must be between 1 and {VALUE_BYTES_MAX}")
        })?;
        let client_output_limit = self.client_output_limit.unwrap_or((128 << 20).max(2 * max_value_bytes));
        check(client_output_limit >= max_value_bytes, || {
            format!(
                "--client-output-limit {client_output_limit} is less than --max-value-bytes {max_value_bytes}: no client \
                 could read the largest value"
            )
        })?;
        let clients_memory = self.clients_memory.unwrap_or(4 * client_output_limit as u64);
        check(clients_memory >= client_output_limit as u64, || {
            format!(
                "--clients-memory {clients_memory} is less than --client-output-limit {client_output_limit}: raise the one \
                 or lower the other"
            )
        })?;
        let max_clients = self.max_clients.unwrap_or(DEFAULT_MAX_CLIENTS);
        check(max_clients > 0, || "--max-clients must be at least 1".to_owned())?;
        let script_time_limit =
            self.script_time_limit.map_or(Ok(Duration::from_secs(1).min(op_timeout)), |text| {
                parse_duration("--script-time-limit", &text)
            })?;
        check((Duration::from_millis(1)..=op_timeout).contains(&script_time_limit), || {
            format!(
                "--script-time-limit {script_time_limit:?} is not between 1ms and --op-timeout {op_timeout:?}"
            )
        })?;
        let script_memory = self.script_memory.unwrap_or(64 << 20);
        check((SCRIPT_MEMORY_MIN..=4 << 30).contains(&script_memory), || {
            format!("--script-memory {script_memory} is not between {SCRIPT_MEMORY_MIN} and 4294967296")
        })?;
        Ok(Settings {
            timestamps: first.timestamps.unwrap_or(TimestampMode::Logical),
            first,
            listen: check_address("--listen", required(self.listen, "--listen")?)?,
            announce: self.announce.map(parse_announce).transpose()?,
            sentinel_master: self.sentinel_master.unwrap_or_else(|| "mymaster".to_owned()),
            peer_listen: self.peer_listen.map(|text| check_address("--peer-listen", text)).transpose()?,
            data_dir: required(self.data_dir, "--data-dir")?,
            http_listen: self.http_listen.map(|text| check_address("--http-listen", text)).transpose()?,
            clock_error,
            max_clock_width,
            clock_offset: self.clock_offset.unwrap_or(0),
            op_timeout,
            max_value_bytes,
            cache_bytes: self.cache_bytes.unwrap_or(store::CACHE_BYTES),
            max_clients,
            clients_memory,
            client_output_limit,
            threads,
            policy: Policy {
                multi_keys: choice("--multi-keys", self.multi_keys, MultiKeys::named, "refuse or per-key")?,
                debug_command: choice(
                    "--enable-debug-command",
                    self.enable_debug_command,
                    DebugCommand::named,
                    "no, local or yes",
                )?,
            },
            heal: choice("--heal", self.heal, Heal::named, "auto or off")?,
            script_time_limit,
            script_memory,
        })
    }

    fn or(self, file: Self) -> Self {
        macro_rules! first {
            ($($setting:ident)*) => { Self { $($setting: self.$setting.or(file.$setting),)* config: None } };
        }
        first! {
            node_id cluster join listen announce sentinel_master peer_listen data_dir http_listen timestamps clock_error max_clock_width
            clock_offset op_timeout max_value_bytes cache_bytes max_clients clients_memory client_output_limit
            threads multi_keys enable_debug_command heal script_time_limit script_memory
        }
    }
}

#[cfg(test)]
mod tests;
