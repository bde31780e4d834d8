//! What scripts can reach, and what they leave.

mod common;

use common::{Bench, with_stack};
use node::resp::{Protocol, Response};
use script::LogLevel;

#[test]
fn the_globals_are_those_of_redis() {
    with_stack(|| {
        let mut bench = Bench::new();
        // Each is there: a missing one would be an error.
        let names = "assert collectgarbage coroutine error gcinfo getmetatable ipairs load loadstring math next pairs \
                     pcall rawequal rawget rawset redis select setmetatable string struct table tonumber tostring \
                     type unpack xpcall _G _VERSION bit cjson cmsgpack KEYS ARGV os";
        for name in names.split_ascii_whitespace() {
            assert_ne!(bench.text(&format!("return type({name})")), "nil", "{name}");
        }
        // What reaches files, other processes, other environments, or the collector.
        for name in
            "io print require dofile loadfile debug module package getfenv setfenv newproxy".split(' ')
        {
            let text = bench.text(&format!("return {name}"));
            let wanted =
                format!("ERR user_script:1: Script attempted to access nonexistent global variable '{name}'");
            assert!(text.starts_with(&wanted), "{text}");
        }
        assert_eq!(bench.text("local t = {} for k in pairs(getmetatable('').__index == string and {1} or {}) do t[k] = 1 end return #t"), "Integer(1)");
        assert_eq!(
            bench.text("return type(os.clock()) .. type(os.time) .. type(os.execute)"),
            "numbernilnil"
        );
    });
}

/// Scripts that try to leave something, and one that looks for it. It finds nothing.
const TRACES: [(&str, &str); 14] = [
    ("rawset(_G, 'trace', 1)", "return rawget(_G, 'trace')"),
    ("rawset(redis, 'trace', 1)", "return redis.trace"),
    ("pcall(table.insert, redis, 1)", "return redis[1]"),
    ("pcall(rawset, string, 'trace', 1)", "return ('').trace"),
    ("pcall(function() getmetatable('').__index = {} end)", "return ('').trace"),
    ("pcall(function() getmetatable(redis).trace = 1 end)", "return getmetatable(redis).trace"),
    ("table.setn = nil", "return redis.trace"),
    ("KEYS.trace = 1", "return KEYS.trace"),
    ("rawset(KEYS, 'trace', 1)", "return KEYS.trace"),
    ("cjson.encode_max_depth(1)", "return cjson.encode({{}}) ~= '[{}]' or nil"),
    ("redis.setresp(3)", "return redis.call('get', 'x') == nil or nil"),
    ("math.randomseed(1) trace = math.random()", "return nil"),
    ("collectgarbage('stop')", "return nil"),
    ("pcall(load, function() return 'trace = 1' end)", "return rawget(_G, 'trace')"),
];

#[test]
fn scripts_leave_nothing_behind() {
    with_stack(|| {
        for (leave, look) in TRACES {
            let mut bench = Bench::new();
            bench.run(leave);
            assert_eq!(bench.run(look), Response::Null, "after {leave}");
        }
    });
}

#[test]
fn a_seed_lasts_for_its_script() {
    with_stack(|| {
        let numbers = |seed: &str| {
            let mut bench = Bench::new();
            bench.run(seed);
            bench.text("return tostring(math.random())")
        };
        assert_eq!(numbers("math.randomseed(1)"), numbers("math.randomseed(2)"));
    });
}

#[test]
fn compiled_code_is_not_loaded() {
    with_stack(|| {
        let mut bench = Bench::new();
        assert_eq!(bench.text("return (loadstring(string.dump(function() return 1 end)))"), "Null");
        assert!(bench.text("\x1bLua").starts_with("ERR Error compiling script"), "{}", bench.text("\x1bLua"));
        let pieces = "local d, n = string.dump(function() end), 0 return (load(function() n = n + 1 return d:sub(n, n) end))";
        assert_eq!(bench.text(pieces), "Null");
    });
}

#[test]
fn the_keyspace_ends_a_script_that_tries_to_catch_it() {
    with_stack(|| {
        let mut bench = Bench::new();
        for source in [
            "redis.call('stop') return 1",
            "redis.pcall('stop') return 1",
            "pcall(redis.call, 'stop') return 1",
            "xpcall(function() redis.call('stop') end, function() return 1 end) return 1",
            "coroutine.resume(coroutine.create(function() redis.call('stop') end)) return 1",
            "coroutine.wrap(function() redis.call('stop') end)() return 1",
            "string.gsub('a', 'a', function() redis.call('stop') end) return 1",
            "pcall(pcall, pcall, redis.call, 'stop') return 1",
            "table.sort({2, 1}, function() redis.call('stop') end) return 1",
            "return tostring(setmetatable({}, {__tostring = function() redis.call('stop') end}))",
        ] {
            assert_eq!(bench.run(source), Response::error("ERR stopped by the keyspace"), "{source}");
        }
    });
}

#[test]
fn replies_become_values_of_lua() {
    with_stack(|| {
        let mut bench = Bench::new();
        for (kind, resp2, resp3) in [
            ("string", "r", "r"),
            ("integer", "r", "r"),
            ("double", "r", "r.double"),
            ("null", "tostring(r)", "tostring(r)"),
            ("array", "r[1] .. r[3]", "r[1] .. r[3]"),
            ("set", "r[1] .. r[3]", "tostring(r.set[0]) .. tostring(r.set[3])"),
            ("map", "r[1] .. r[4]", "tostring(r.map[0]) .. tostring(r.map[1])"),
            ("bignum", "r", "r.big_number"),
            ("true", "r", "tostring(r)"),
            ("verbatim", "r", "r.verbatim_string.format .. r.verbatim_string.string"),
        ] {
            let ask = format!("local r = redis.call('debug', 'protocol', '{kind}') return tostring(");
            let answers = [
                bench.text(&format!("{ask}{resp2})")),
                bench.text(&format!("redis.setresp(3) {ask}{resp3})")),
            ];
            let wanted = match kind {
                "string" => ["Hello World", "Hello World"],
                "integer" => ["12345", "12345"],
                "double" => ["3.141", "3.141"],
                "null" => ["false", "nil"],
                "array" => ["02", "02"],
                "set" => ["02", "truenil"],
                "map" => ["01", "falsetrue"],
                "bignum" => ["1234567999999999999999999999999999999"; 2],
                "true" => ["1", "true"],
                _ => ["This is a verbatim\nstring", "txtThis is a verbatim\nstring"],
            };
            assert_eq!(answers, wanted, "{kind}");
        }
    });
}

#[test]
fn what_resp3_answers_goes_back_as_it_came() {
    with_stack(|| {
        let mut bench = Bench::new();
        for kind in ["string", "integer", "double", "null", "array", "bignum", "true", "false", "verbatim"] {
            let source = format!("redis.setresp(3) return redis.call('debug', 'protocol', '{kind}')");
            let mut store = common::Store::default();
            let arguments = ["debug", "protocol", kind].map(|text| text.to_owned().into()).to_vec();
            let direct = script::Keyspace::call(&mut store, arguments, Protocol::Resp3);
            assert_eq!(Ok(bench.run(&source)), direct, "{kind}");
        }
    });
}

#[test]
fn a_script_writes_to_the_log() {
    with_stack(|| {
        let mut bench = Bench::new();
        bench.run("redis.log(redis.LOG_WARNING, 'a', 1, {}, 'b') redis.log(redis.LOG_DEBUG, 'c')");
        let lines = [(LogLevel::Warning, "a 1 b".to_owned()), (LogLevel::Debug, "c".to_owned())];
        assert_eq!(bench.store.log, lines);
    });
}

#[test]
fn a_source_that_is_no_script_is_told_when_it_is_compiled() {
    with_stack(|| {
        let mut bench = Bench::new();
        let script = |source| script::Script { source, sha: "0123456789" };
        assert_eq!(bench.interpreter.compile(&script(b"return 1")), Ok(()));
        let wrong = script::Script { source: b"return (", sha: "9876543210" };
        let text = "ERR Error compiling script (new function): user_script:1: unexpected symbol near '<eof>'";
        assert_eq!(bench.interpreter.compile(&wrong), Err(Response::error(text)));
    });
}
