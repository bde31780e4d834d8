//! What a command line, an environment and a file come to.

use super::*;
use clap::Parser;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: ServeArgs,
}

fn serve(arguments: &[&str]) -> Result<Settings, Fatal> {
    let line = Line::try_parse_from(["serve"].iter().chain(arguments));
    line.map_err(|why| Fatal::usage(why.to_string()))?.args.settle()
}

const GOOD: [&str; 8] =
    ["--node-id", "1", "--cluster", "1=a:1,2=b:2,3=c:3", "--listen", "127.0.0.1:1", "--data-dir", "x"];

#[test]
fn a_full_command_line_is_understood() {
    let settings =
        serve(&[&GOOD[..], &["--clock-error", "2ms", "--timestamps", "truetime"]].concat()).unwrap();
    assert_eq!(settings.clock_error, Some(Duration::from_millis(2)));
    assert_eq!(settings.first.cluster.unwrap().len(), 3);
    let joins = serve(&[&GOOD[4..], &["--join", "a:1, b:2"]].concat()).unwrap();
    assert_eq!((joins.first.join, joins.first.node_id), (vec!["a:1".to_owned(), "b:2".to_owned()], None));
    assert_eq!(settings.op_timeout, Duration::from_secs(3));
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    for (extra, part) in [
        (&["--timestamps", "guess"][..], "neither logical nor truetime"),
        (&["--clock-error", "2"], "not a duration"),
        (&["--clock-error", "1s"], "wider than"),
        (&["--clock-error", "18000000000000000000s"], "wider than"),
        (&["--op-timeout", "18000000000000000000s"], "longer than an hour"),
        (&["--http-listen", "nowhere"], "not HOST:PORT"),
        (&["--join", "a"], "not HOST:PORT"),
        (&["--join", ","], "names nobody"),
        (&["--threads", "0"], "between 1 and 64"),
        (&["--max-clients", "0"], "at least 1"),
        (&["--client-output-limit", "1000"], "no client could read"),
        (&["--clients-memory", "1000"], "raise the one or lower the other"),
        (&["--multi-keys", "maybe"], "refuse or per-key"),
        (&["--heal", "never"], "auto or off"),
        (&["--script-time-limit", "4s"], "--op-timeout"),
        (&["--script-memory", "1000"], "between"),
        (&["--enable-debug-command", "on"], "no, local or yes"),
        (&["--config", "/does/not/exist"], "cannot read"),
    ] {
        let wrong = serve(&[&GOOD[..], extra].concat()).unwrap_err();
        assert_eq!(wrong.code, 2);
        assert!(wrong.message.contains(part) && !wrong.message.contains('\n'), "{}", wrong.message);
    }
    assert!(serve(&GOOD[..6]).unwrap_err().message.contains("--data-dir is missing"));
    assert!(parse_cluster("1=a:1,1=b:1").unwrap_err().message.contains("twice"));
    assert!(parse_cluster("1=a:1,2=a:1").unwrap_err().message.contains("two nodes"));
    assert!(parse_cluster("0=a:1").is_err() && parse_cluster("a:1").is_err() && parse_cluster("").is_err());
}

#[test]
fn a_flag_wins_over_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node.toml");
    std::fs::write(&path, "op-timeout = \"1s\"\ncache-bytes = 5\nthreads = 2\n").unwrap();
    let file = path.to_str().unwrap();
    let settings = serve(&[&GOOD[..], &["--config", file, "--op-timeout", "2s"]].concat()).unwrap();
    assert_eq!((settings.op_timeout, settings.cache_bytes), (Duration::from_secs(2), 5));
    std::fs::write(&path, "op_timeout = \"1s\"").unwrap();
    let wrong = serve(&[&GOOD[..], &["--config", file]].concat()).unwrap_err();
    assert!(wrong.message.contains("line 1: unknown field `op_timeout`"), "{wrong}");
    assert!(!wrong.message.contains('\n'));
}
