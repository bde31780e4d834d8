//! The command line: subcommands, and who carries them out.

use super::environment::{self, Environment};
use super::{dev, serve};
use crate::config::{DevArgs, ServeArgs};
use crate::fatal::{self, Fatal};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use tools::bench::BenchArgs;
use tools::check::CheckArgs;
use tools::data::{GetArgs, KeyArgs, SetArgs};
use tools::members::{AbortArgs, AddArgs, MembersArgs, MoveArgs, RemoveArgs, ReplaceArgs};
use tools::status::StatusArgs;
use tools::verify::VerifyArgs;

const EXAMPLES: &str = "Try it: atomic-kv dev, then in another terminal: atomic-kv set greeting hello\n\
A real node: atomic-kv serve --node-id 1 --cluster 1=a:7000,2=b:7000,3=c:7000 --listen a:6380 --data-dir /var/lib/akv\n\
Exit codes: 0 done, 1 failed or outcome unknown, 2 wrong command line or configuration,\n\
4 a node that is no member of its cluster any more (serve),\n\
70 a fault in the program itself: start it again, and report what it said. A subcommand with others tells them in its help.";

/// A replicated key-value store: linearizable for every key, without a leader.
#[derive(Debug, Parser)]
#[command(name = "atomic-kv", version, about, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one node of a cluster.
    Serve(Box<ServeArgs>),
    /// Run a whole cluster in one process, for trying it out.
    Dev(DevArgs),
    /// Print a key's value. Exit code 1 if there is none.
    Get(GetArgs),
    /// Give a key a value.
    Set(SetArgs),
    /// Delete a key.
    Del(KeyArgs),
    /// Measure how fast a running cluster is. Writes keys of its own and deletes them at the end.
    Bench(BenchArgs),
    /// Show each node: reachable, boot count, keys, clock, peers.
    Status(StatusArgs),
    /// Show the members: who answers, who votes, who is synced, who is behind by how much.
    Members(MembersArgs),
    /// Have a new node take the place of a member, dead or alive. Prints what to start, and waits for the end.
    Replace(ReplaceArgs),
    /// Add nodes, and remove others with the same change if wanted. Prints what to start, and waits for the end.
    Add(AddArgs),
    /// Remove members, and add nodes with the same change if wanted.
    Remove(RemoveArgs),
    /// Give a member another peer address, without a restart of others.
    Move(MoveArgs),
    /// Give up the change of members that is under way.
    AbortChange(AbortArgs),
    /// Judge recorded histories: is there an order of operations that explains what clients saw?
    Check(CheckArgs),
    /// Drive a live cluster and judge whether what its clients saw is linearizable.
    Verify(VerifyArgs),
}

impl Cli {
    /// Reads the command line, and what the environment adds to it.
    ///
    /// # Errors
    /// Exit code 2 for what cannot be understood.
    pub fn read() -> Result<(Self, Environment), Fatal> {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        let mut command = environment::without_empty(Self::command());
        let environment = Environment::of(&Self::command(), &arguments);
        let parsed = command.try_get_matches_from_mut(arguments);
        match parsed.and_then(|matches| Self::from_arg_matches(&matches)) {
            Ok(cli) => Ok((cli, environment)),
            Err(why) => Err(environment.name_variables(fatal::command_line(&why))),
        }
    }

    /// Does what the command line says.
    ///
    /// # Errors
    /// As the subcommand.
    pub fn run(self) -> Result<(), Fatal> {
        match self.command {
            Command::Serve(args) => serve(*args),
            Command::Dev(args) => dev(args),
            Command::Get(args) => tools::data::get(&args),
            Command::Set(args) => tools::data::set(&args),
            Command::Del(args) => tools::data::del(&args),
            Command::Status(args) => tools::status::run(&args),
            Command::Members(args) => tools::members::list(&args),
            Command::Replace(args) => tools::members::replace(&args),
            Command::Add(args) => tools::members::add(&args),
            Command::Remove(args) => tools::members::remove(&args),
            Command::Move(args) => tools::members::relocate(&args),
            Command::AbortChange(args) => tools::members::abort(&args),
            Command::Check(args) => tools::check::run(&args),
            Command::Bench(args) => tools::bench::run(&args),
            Command::Verify(args) => tools::verify::run(&args),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_or_a_value_may_begin_with_a_dash() {
        let parsed = Cli::try_parse_from(["atomic-kv", "set", "-k", "-5", "--addr", "a:1"]).unwrap();
        let Command::Set(set) = parsed.command else { unreachable!() };
        assert!(set.of.key == "-k" && set.value == "-5" && set.of.addresses.addr == ["a:1"], "{set:?}");
    }

    #[test]
    fn changes_of_members_are_read_as_operators_write_them() {
        let read = |line: &str| Cli::try_parse_from(line.split(' '));
        let Ok(Cli { command: Command::Replace(replace) }) =
            read("atomic-kv replace 3 --with d:7000 --addr a:1,b:1 --json")
        else {
            panic!("it is one")
        };
        assert_eq!((replace.old, replace.with.as_str()), (3, "d:7000"));
        assert!(replace.asked.json && replace.asked.addresses.addr == ["a:1", "b:1"]);
        let Ok(Cli { command: Command::Add(add) }) = read("atomic-kv add d:1 e:1 --remove 2,3 --even") else {
            panic!("it is one")
        };
        assert_eq!(
            (add.add, add.remove, add.even),
            (vec!["d:1".to_owned(), "e:1".to_owned()], vec![2, 3], true)
        );
        let Ok(Cli { command: Command::Remove(remove) }) = read("atomic-kv remove 4 5") else {
            panic!("it is one")
        };
        assert_eq!((remove.remove, remove.add.len(), remove.even), (vec![4, 5], 0, false));
        let Ok(Cli { command: Command::Move(to) }) = read("atomic-kv move 1 d:7000") else {
            panic!("it is one")
        };
        assert_eq!((to.id, to.address.as_str()), (1, "d:7000"));
        assert!(read("atomic-kv members --json").is_ok() && read("atomic-kv abort-change").is_ok());
        for line in ["replace 3", "replace 0 --with a:1", "replace x --with a:1", "add", "remove", "move 1"] {
            assert!(read(&format!("atomic-kv {line}")).is_err(), "{line}");
        }
    }
}
