//! What a client says about itself: `HELLO`, `AUTH`, `RESET` and the `CLIENT` family.

use bytes::Bytes;

use super::command;
use super::response::{Protocol, Response};
use super::session::{ServerInfo, Session};
use super::table::Spec;

/// The longest name that a connection may give itself; it is kept as long as the connection lives.
const MAX_NAME_BYTES: usize = 1024;

const HELP: &[&str] = &[
    "GETNAME",
    "    Return the name of the current connection.",
    "ID",
    "    Return the ID of the current connection.",
    "INFO",
    "    Return information about the current client connection.",
    "KILL <ip:port>",
    "    Close the connection with this address.",
    "KILL <filter> <value> [<filter> <value> ...]",
    "    Close the connections that all filters fit. They are: ID <id>, ADDR <ip:port>,",
    "    LADDR <ip:port>, TYPE <type>, USER <user>, MAXAGE <seconds>, SKIPME (YES|NO).",
    "LIST [TYPE normal | ID <id> ...]",
    "    Return information about client connections.",
    "NO-EVICT (ON|OFF), NO-TOUCH (ON|OFF)",
    "    Accepted without effect.",
    "SETINFO (LIB-NAME|LIB-VER) <value>",
    "    Set the name or version of the client library.",
    "SETNAME <name>",
    "    Assign the name <name> to the current connection.",
];

/// Checks credentials. There is one user, `default`, without a password.
pub(super) fn auth(args: &[Bytes]) -> Result<Response, Response> {
    match args {
        [_password] => Err(Response::error(
            "ERR AUTH <password> called without any password configured for the default user. \
             Are you sure your configuration is correct?",
        )),
        [user, _password] => check_user(user).map(|()| Response::OK),
        _ => Err(syntax_error()),
    }
}

/// As in Redis, a user without a password may give any.
fn check_user(user: &[u8]) -> Result<(), Response> {
    if user == b"default" {
        return Ok(());
    }
    Err(Response::error("WRONGPASS invalid username-password pair or user is disabled."))
}

impl Session {
    pub(super) fn hello(&mut self, args: &[Bytes]) -> Result<Response, Response> {
        let mut protocol = self.protocol;
        let mut name = None;
        if let [version, options @ ..] = args {
            protocol = match std::str::from_utf8(version).ok().and_then(|text| text.parse::<i64>().ok()) {
                Some(2) => Protocol::Resp2,
                Some(3) => Protocol::Resp3,
                Some(_) => return Err(Response::error("NOPROTO unsupported protocol version")),
                None => {
                    return Err(Response::error("ERR Protocol version is not an integer or out of range"));
                }
            };
            let mut options = options;
            while let [option, after @ ..] = options {
                options = match after {
                    [user, _password, after @ ..] if option.eq_ignore_ascii_case(b"auth") => {
                        check_user(user)?;
                        after
                    }
                    [value, after @ ..] if option.eq_ignore_ascii_case(b"setname") => {
                        name = Some(checked("Client names", value)?);
                        after
                    }
                    _ => {
                        let shown = String::from_utf8_lossy(&option[..option.len().min(128)]);
                        return Err(Response::error(format!("ERR Syntax error in HELLO option '{shown}'")));
                    }
                };
            }
        }
        self.protocol = protocol;
        self.listed.speaks(protocol);
        if let Some(name) = name {
            self.listed.names().name = name;
        }
        Ok(self.greeting())
    }

    fn greeting(&self) -> Response {
        let fields = [
            ("server", Response::text("atomic-kv")),
            ("version", Response::text(env!("CARGO_PKG_VERSION"))),
            ("proto", Response::Integer(self.protocol.number())),
            ("id", Response::Integer(i64::try_from(self.listed.id).unwrap_or(i64::MAX))),
            ("mode", Response::text("standalone")),
            ("role", Response::text("master")),
            ("modules", Response::Array(Vec::new())),
        ];
        Response::Map(fields.into_iter().map(|(name, value)| (Response::text(name), value)).collect())
    }

    pub(super) fn reset(&mut self) -> Response {
        self.protocol = Protocol::Resp2;
        self.listed.speaks(self.protocol);
        self.listed.names().name.clear();
        Response::Simple("RESET".into())
    }

    /// Answers `CLIENT` with the arguments after the subcommand.
    pub(super) fn client(
        &mut self,
        subcommand: Option<&Spec>,
        args: &[Bytes],
        server: &dyn ServerInfo,
    ) -> Result<Response, Response> {
        Ok(match subcommand.map_or("help", |sub| sub.name) {
            "id" => Response::Integer(i64::try_from(self.listed.id).unwrap_or(i64::MAX)),
            "getname" => match self.listed.names().name.as_str() {
                "" => Response::Null,
                name => Response::text(name),
            },
            "setname" => {
                self.listed.names().name = checked("Client names", &args[0])?;
                Response::OK
            }
            "setinfo" => self.set_info(&args[0], &args[1])?,
            "info" => Response::Verbatim(format!("{}\n", self.listed.describe(server.uptime())).into()),
            "list" => self.list(args, server)?,
            "no-evict" | "no-touch" => match args[0].to_ascii_lowercase().as_slice() {
                b"on" | b"off" => Response::OK,
                _ => return Err(syntax_error()),
            },
            _ => command::help("CLIENT", HELP),
        })
    }

    fn set_info(&mut self, attribute: &[u8], value: &[u8]) -> Result<Response, Response> {
        if attribute.eq_ignore_ascii_case(b"lib-name") {
            self.listed.names().library = checked("lib-name", value)?;
        } else if attribute.eq_ignore_ascii_case(b"lib-ver") {
            self.listed.names().library_version = checked("lib-ver", value)?;
        } else {
            let shown = String::from_utf8_lossy(&attribute[..attribute.len().min(128)]);
            return Err(Response::error(format!("ERR Unrecognized option '{shown}'")));
        }
        Ok(Response::OK)
    }

    fn list(&self, args: &[Bytes], server: &dyn ServerInfo) -> Result<Response, Response> {
        let mut clients = server.clients();
        clients.sort_unstable_by_key(|client| client.id);
        match args {
            [] => {}
            [word, kind] if word.eq_ignore_ascii_case(b"type") => {
                if !is_normal(kind)? {
                    clients.clear();
                }
            }
            [word, ids @ ..] if word.eq_ignore_ascii_case(b"id") && !ids.is_empty() => {
                let wanted = ids
                    .iter()
                    .map(|id| std::str::from_utf8(id).ok()?.parse::<u64>().ok())
                    .collect::<Option<std::collections::HashSet<u64>>>()
                    .ok_or_else(|| Response::error("ERR Invalid client ID"))?;
                clients.retain(|client| wanted.contains(&client.id));
            }
            _ => return Err(syntax_error()),
        }
        let now = server.uptime();
        let lines = clients.iter().map(|client| client.describe(now) + "\n");
        Ok(Response::Verbatim(lines.collect::<String>().into()))
    }
}

/// Whether a type of client in `CLIENT LIST` and `CLIENT KILL` is the only one that there is here.
pub(super) fn is_normal(kind: &[u8]) -> Result<bool, Response> {
    match kind.to_ascii_lowercase().as_slice() {
        b"normal" => Ok(true),
        b"master" | b"replica" | b"slave" | b"pubsub" => Ok(false),
        _ => {
            let shown = String::from_utf8_lossy(&kind[..kind.len().min(128)]);
            Err(Response::error(format!("ERR Unknown client type '{shown}'")))
        }
    }
}

/// A name that fits into a line of `CLIENT LIST`.
fn checked(what: &str, name: &[u8]) -> Result<String, Response> {
    if name.len() > MAX_NAME_BYTES {
        return Err(Response::error(format!("ERR {what} cannot be longer than {MAX_NAME_BYTES} bytes")));
    }
    if !name.iter().all(u8::is_ascii_graphic) {
        return Err(Response::error(format!(
            "ERR {what} cannot contain spaces, newlines or special characters."
        )));
    }
    Ok(String::from_utf8_lossy(name).into_owned())
}

pub(super) fn syntax_error() -> Response {
    Response::error("ERR syntax error")
}
