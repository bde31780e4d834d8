//! The commands that a node knows, as data. Names, arities and positions are those of Redis 7.

/// How a command uses the keys it names, in Redis' words.
pub(super) type KeyUse = &'static [&'static str];

/// A command or a subcommand.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) name: &'static str,
    /// The number of arguments with the name; negative means at least that many.
    pub(super) arity: i32,
    pub(super) flags: &'static [&'static str],
    /// First key, last key (negative: counted from the end) and step; zeros without keys.
    pub(super) keys: (i32, i32, i32),
    pub(super) key_use: KeyUse,
    pub(super) categories: &'static [&'static str],
    pub(super) summary: &'static str,
    pub(super) since: &'static str,
    pub(super) group: &'static str,
    pub(super) complexity: &'static str,
    pub(super) args: &'static [Arg],
    pub(super) subcommands: &'static [Spec],
}

/// An argument, as `COMMAND DOCS` describes it.
#[derive(Debug)]
pub(super) struct Arg {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) token: Option<&'static str>,
    pub(super) flags: &'static [&'static str],
    pub(super) args: &'static [Arg],
}

const fn arg(name: &'static str, kind: &'static str) -> Arg {
    Arg { name, kind, token: None, flags: &[], args: &[] }
}

impl Arg {
    const fn token(mut self, token: &'static str) -> Self {
        self.token = Some(token);
        self
    }
    const fn flags(mut self, flags: &'static [&'static str]) -> Self {
        self.flags = flags;
        self
    }
    const fn of(mut self, args: &'static [Arg]) -> Self {
        self.args = args;
        self
    }
}

const fn spec(name: &'static str, arity: i32, group: &'static str, summary: &'static str) -> Spec {
    Spec {
        name,
        arity,
        flags: &[],
        keys: (0, 0, 0),
        key_use: &[],
        categories: &[],
        summary,
        since: "1.0.0",
        group,
        complexity: "O(1)",
        args: &[],
        subcommands: &[],
    }
}

impl Spec {
    const fn flags(mut self, flags: &'static [&'static str], categories: &'static [&'static str]) -> Self {
        self.flags = flags;
        self.categories = categories;
        self
    }
    const fn keys(mut self, keys: (i32, i32, i32), key_use: KeyUse) -> Self {
        self.keys = keys;
        self.key_use = key_use;
        self
    }
    const fn args(mut self, args: &'static [Arg]) -> Self {
        self.args = args;
        self
    }
    const fn since(mut self, since: &'static str) -> Self {
        self.since = since;
        self
    }
    const fn linear(mut self) -> Self {
        self.complexity = "O(N) where N is the number of arguments or entries.";
        self
    }
    const fn subcommands(mut self, subcommands: &'static [Spec]) -> Self {
        self.subcommands = subcommands;
        self
    }
}

const READ: &[&str] = &["readonly", "fast"];
const WRITE: &[&str] = &["write"];
const SESSION: &[&str] = &["noscript", "loading", "stale", "fast"];
const OPEN: &[&str] = &["noscript", "loading", "stale", "fast", "no_auth"];
const SERVER: &[&str] = &["loading", "stale"];

const CAT_READ: &[&str] = &["@read", "@string", "@fast"];
const CAT_READ_KEY: &[&str] = &["@keyspace", "@read", "@fast"];
const CAT_WRITE: &[&str] = &["@write", "@string", "@slow"];
const CAT_WRITE_KEY: &[&str] = &["@keyspace", "@write", "@slow"];
const CAT_CONNECTION: &[&str] = &["@fast", "@connection"];
const CAT_SLOW: &[&str] = &["@slow", "@connection"];
const CAT_ADMIN: &[&str] = &["@admin", "@slow", "@dangerous"];

const KEY: &[Arg] = &[arg("key", "key")];
const KEYS: &[Arg] = &[arg("key", "key").flags(&["multiple"])];
const KEY_VALUE: &[Arg] = &[arg("key", "key"), arg("value", "string")];
const NAMES: &[Arg] = &[arg("command-name", "string").flags(&["optional", "multiple"])];
const SWITCH: &[Arg] =
    &[arg("enabled", "oneof")
        .of(&[arg("on", "pure-token").token("ON"), arg("off", "pure-token").token("OFF")])];

const fn client(name: &'static str, arity: i32, summary: &'static str) -> Spec {
    spec(name, arity, "connection", summary).flags(SESSION, CAT_SLOW)
}

const fn help(group: &'static str) -> Spec {
    spec("help", 2, group, "Returns helpful text about the subcommands.")
        .since("5.0.0")
        .flags(SERVER, CAT_SLOW)
}

const CLIENT: &[Spec] = &[
    client("getname", 2, "Returns the name of the connection.").since("2.6.9"),
    help("connection"),
    client("id", 2, "Returns the unique ID of the connection.").since("5.0.0"),
    client("info", 2, "Returns information about the connection.").since("6.2.0"),
    client("kill", -3, "Closes connections.").since("2.4.0").linear().args(&[
        arg("ip:port", "string").flags(&["optional"]),
        arg("filter", "block")
            .flags(&["optional", "multiple"])
            .of(&[arg("name", "string"), arg("value", "string")]),
    ]),
    client("list", -2, "Lists open connections.").since("2.4.0").linear().args(&[
        arg("client-type", "oneof")
            .token("TYPE")
            .flags(&["optional"])
            .of(&[arg("normal", "pure-token").token("normal")]),
        arg("client-id", "integer").token("ID").flags(&["optional", "multiple"]),
    ]),
    client("no-evict", 3, "Accepted without effect: no client is ever evicted.").since("7.0.0").args(SWITCH),
    client("no-touch", 3, "Accepted without effect: reads leave no trace on keys.")
        .since("7.2.0")
        .args(SWITCH),
    client("setinfo", 4, "Sets the name or version of the client library.")
        .since("7.2.0")
        .args(&[arg("attr", "oneof")
            .of(&[arg("libname", "string").token("LIB-NAME"), arg("libver", "string").token("LIB-VER")])]),
    client("setname", 3, "Sets the name of the connection.")
        .since("2.6.9")
        .args(&[arg("connection-name", "string")]),
];

const fn about(name: &'static str, arity: i32, summary: &'static str) -> Spec {
    spec(name, arity, "server", summary).flags(SERVER, CAT_SLOW)
}

const COMMAND: &[Spec] = &[
    about("count", 2, "Returns a count of commands.").since("2.8.13"),
    about("docs", -2, "Returns documentary information about commands.").since("7.0.0").linear().args(NAMES),
    about("getkeys", -3, "Extracts the key names from an arbitrary command.")
        .since("2.8.13")
        .linear()
        .args(&[arg("command", "string"), arg("arg", "string").flags(&["optional", "multiple"])]),
    help("server"),
    about("info", -2, "Returns information about commands.").since("2.8.13").linear().args(NAMES),
    about("list", -2, "Returns a list of command names.").since("7.0.0").linear().args(&[arg(
        "filterby", "oneof",
    )
    .token("FILTERBY")
    .flags(&["optional"])
    .of(&[
        arg("module-name", "string").token("MODULE"),
        arg("category", "string").token("ACLCAT"),
        arg("pattern", "pattern").token("PATTERN"),
    ])]),
];

const CONFIG: &[Spec] = &[
    spec("get", -3, "server", "Returns the effective values of configuration parameters.")
        .since("2.0.0")
        .flags(&["admin", "noscript", "loading", "stale"], CAT_ADMIN)
        .linear()
        .args(&[arg("parameter", "string").flags(&["multiple"])]),
    help("server"),
    spec("set", -4, "server", "Not supported: returns an error.")
        .since("2.0.0")
        .flags(&["admin", "noscript", "loading", "stale"], CAT_ADMIN)
        .args(&[arg("data", "block")
            .flags(&["multiple"])
            .of(&[arg("parameter", "string"), arg("value", "string")])]),
];

/// Every command, by name.
pub(super) const COMMANDS: &[Spec] = &[
    spec("auth", -2, "connection", "Authenticates the connection.")
        .flags(OPEN, CAT_CONNECTION)
        .args(&[arg("username", "string").flags(&["optional"]), arg("password", "string")]),
    spec("client", -2, "connection", "A container for client connection commands.")
        .since("2.4.0")
        .flags(&[], CAT_SLOW)
        .subcommands(CLIENT),
    spec("command", -1, "server", "Returns detailed information about all commands.")
        .since("2.8.13")
        .flags(SERVER, CAT_SLOW)
        .linear()
        .subcommands(COMMAND),
    spec("config", -2, "server", "A container for server configuration commands.")
        .since("2.0.0")
        .flags(&[], CAT_ADMIN)
        .subcommands(CONFIG),
    spec("del", -2, "generic", "Deletes keys, each by itself, and counts those seen present.")
        .flags(WRITE, CAT_WRITE_KEY)
        .keys((1, -1, 1), &["RM", "delete"])
        .linear()
        .args(KEYS),
    spec("echo", 2, "connection", "Returns the given string.")
        .flags(SESSION, CAT_CONNECTION)
        .args(&[arg("message", "string")]),
    spec("exists", -2, "generic", "Counts those of the keys that exist, each looked at by itself.")
        .flags(READ, CAT_READ_KEY)
        .keys((1, -1, 1), &["RO"])
        .linear()
        .args(KEYS),
    spec("get", 2, "string", "Returns the value of a key.")
        .flags(READ, CAT_READ)
        .keys((1, 1, 1), &["RO", "access"])
        .args(KEY),
    spec("hello", -1, "connection", "Handshakes with the server.")
        .since("6.0.0")
        .flags(OPEN, CAT_CONNECTION)
        .args(&[arg("arguments", "block").flags(&["optional"]).of(&[
            arg("protover", "integer"),
            arg("auth", "block")
                .token("AUTH")
                .flags(&["optional"])
                .of(&[arg("username", "string"), arg("password", "string")]),
            arg("clientname", "string").token("SETNAME").flags(&["optional"]),
        ])]),
    spec("info", -1, "server", "Returns information and statistics about the node.")
        .flags(SERVER, &["@slow", "@dangerous"])
        .args(&[arg("section", "string").flags(&["optional", "multiple"])]),
    spec("mget", -2, "string", "Returns the values of keys, each read by itself; up to 64 MiB of them.")
        .flags(READ, CAT_READ)
        .keys((1, -1, 1), &["RO", "access"])
        .linear()
        .args(KEYS),
    spec("ping", -1, "connection", "Returns PONG, or the message.")
        .flags(&["fast"], CAT_CONNECTION)
        .args(&[arg("message", "string").flags(&["optional"])]),
    spec("quit", -1, "connection", "Closes the connection.").flags(OPEN, CAT_CONNECTION),
    spec("reset", 1, "connection", "Resets the connection.").since("6.2.0").flags(OPEN, CAT_CONNECTION),
    spec("select", 2, "connection", "Selects the database; there is only 0.")
        .flags(&["loading", "stale", "fast"], CAT_CONNECTION)
        .args(&[arg("index", "integer")]),
    spec("set", -3, "string", "Sets the value of a key, creating it if it does not exist.")
        .flags(&["write", "denyoom"], CAT_WRITE)
        .keys((1, 1, 1), &["OW", "update"])
        .args(KEY_VALUE),
    spec("strlen", 2, "string", "Returns the length of a value.")
        .since("2.2.0")
        .flags(READ, CAT_READ)
        .keys((1, 1, 1), &["RO"])
        .args(KEY),
    spec("unlink", -2, "generic", "Deletes keys, as DEL does.")
        .since("4.0.0")
        .flags(&["write", "fast"], &["@keyspace", "@write", "@fast"])
        .keys((1, -1, 1), &["RM", "delete"])
        .linear()
        .args(KEYS),
];
