//! A script ends, within its memory, whatever it does; and the next one runs as if it had not been.

mod common;

use common::{Bench, LIMITS, TOO_LONG, with_stack};
use node::resp::Response;
use script::Limits;
use std::time::{Duration, Instant};

/// Scripts that never end by themselves, or not for hours.
const ENDLESS: [&str; 22] = [
    "while true do end",
    "repeat until false",
    "local function f() return f() end return f()",
    "while true do pcall(function() while true do end end) end",
    "while true do xpcall(function() while true do end end, function(e) while true do end end) end",
    "while true do pcall(error) end",
    "local co = coroutine.wrap(function() while true do coroutine.yield() end end) while true do co() end",
    "coroutine.wrap(function() while true do end end)()",
    "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
    "return string.find(('a'):rep(100000), ('a*'):rep(50) .. 'b')",
    "return string.match(('a'):rep(100000), '.-.-.-.-.-b')",
    "return string.gsub(('a'):rep(100000), ('a*'):rep(50) .. 'b', '')",
    "for w in string.gmatch(('a'):rep(100000), ('a-'):rep(50) .. 'b') do end",
    "local s = ('a'):rep(1000000) return string.find(s, s:sub(1, 500000) .. 'b', 1, true)",
    "return string.find(('('):rep(1000000), '%b()')",
    "for i = 1, 1e9 do redis.call('ping') end",
    "for i = 1, 1e9 do redis.pcall('nosuch') end",
    "local t = {} for i = 1, 1e9 do t[i % 10] = cjson.encode({i}) end",
    "table.sort({3, 1, 2}, function(a, b) while true do end end)",
    "string.gsub('a', 'a', function() while true do end end)",
    "local t = setmetatable({}, {__index = function() while true do end end}) return t.x",
    "load(function() while true do end end)",
];

#[test]
fn scripts_without_an_end_are_ended() {
    with_stack(|| {
        let mut bench = Bench::new();
        for source in ENDLESS {
            let begun = Instant::now();
            let response = bench.run_for(source.as_bytes(), &[], &[], Duration::from_millis(50));
            assert_eq!(response, Response::error(TOO_LONG), "{source}");
            assert!(bench.stopped, "{source}");
            assert!(begun.elapsed() < Duration::from_secs(10), "{source} took {:?}", begun.elapsed());
            assert_eq!(bench.text("return 'next'"), "next", "after {source}");
        }
    });
}

/// Scripts each of whose instructions takes long, as they work on large strings.
const HEAVY: [&str; 23] = [
    "local s = ('x'):rep(2e7) while true do redis.sha1hex(s) end",
    "local s = ('x'):rep(1e7) while true do s:upper() end",
    "local s = ('x'):rep(1e7) while true do s:reverse() end",
    "local s = ('x'):rep(1e7) while true do s:sub(2) end",
    "local s = ('x'):rep(8e6) while true do local t = s .. 'y' end",
    "local s = ('x'):rep(8e6) local a, b = s .. 'y', s .. 'z' while true do local c = a < b end",
    "local s = 'x' while #s < 8e6 do s = s .. s end while true do local t = s .. 'y' end",
    "local s = ('x'):rep(5e6) while true do string.format('%s%q', s, s) end",
    "local s = ('x'):rep(1e6) while true do table.concat({s, s, s, s, s, s}) end",
    "local s = ('x'):rep(8e6) while true do redis.pcall('echo', s) end",
    "local s = ('x'):rep(8e6) while true do redis.pcall('set', 'k', s) end",
    "local s = ('x'):rep(8e6) while true do redis.error_reply(s) end",
    "local s = ('x'):rep(8e6) while true do redis.status_reply(s) end",
    "local s = ('x'):rep(8e6) while true do cjson.decode(cjson.encode(s)) end",
    "local s = ('x'):rep(8e6) while true do cmsgpack.unpack(cmsgpack.pack(s)) end",
    "local s = ('x'):rep(8e6) while true do struct.unpack('c8000000', struct.pack('c8000000', s)) end",
    "return struct.pack(('x'):rep(3e7))",
    "local s = 'return {' .. ('1,'):rep(1e5) .. '}' while true do loadstring(s) end",
    "local t = {} for i = 1, 1e5 do t[i] = {} end while true do collectgarbage() end",
    "local t = {1, 1, [3] = 1} for i = 1, 26 do t[3 * 2 ^ i] = 1 end while true do table.remove(t, 1) end",
    "local t = {} for i = 1, 5e5 do t[i] = 1 end while true do table.foreachi(t, type) end",
    "local t = {} for i = 1, 2e5 do t[i] = {} end while true do table.sort(t, rawequal) end",
    "for i = 1, 1e9 do ('x'):rep(1e6):gsub('x', ('y'):rep(30)) end",
];

#[test]
fn scripts_whose_instructions_take_long_are_ended_in_time() {
    with_stack(|| {
        let mut bench = Bench::with(Limits { memory_bytes: 128 << 20, ..LIMITS });
        for source in HEAVY {
            let begun = Instant::now();
            let response = bench.run_for(source.as_bytes(), &[], &[], Duration::from_millis(20));
            let took = begun.elapsed();

            assert_eq!(response, Response::error(TOO_LONG), "{source}");
            // A machine that does much else has as much again for each instruction.
            assert!(took < Duration::from_millis(800), "{source} took {took:?}");
        }
    });
}

/// Scripts that want more memory than there is.
const GREEDY: [&str; 17] = [
    "return ('x'):rep(1e9)",
    "local s = 'x' while true do s = s .. s end",
    "local t = {} while true do t[#t + 1] = {} end",
    "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end",
    "pcall(function() local s = 'x' while true do s = s .. s end end) return 'caught'",
    "local t = {} for i = 1, 22 do t = {t, t} end return t",
    "local t = {} for i = 1, 40 do t = {t, t} end return cjson.encode(t)",
    "local t = {} for i = 1, 1000 do t[i] = 1 end for d = 1, 5 do local n = {} for i = 1, 1000 do n[i] = t end t = n end return cmsgpack.pack(t)",
    "local s = ('x'):rep(1e6) local t = {} for i = 1, 100 do t[i] = s end return t",
    "local s = ('x'):rep(1e6) local t = {} for i = 1, 100 do t[i] = s end return redis.call('echo', unpack(t))",
    "local s = ('x'):rep(1e6) local t = {} for i = 1, 100 do t[i] = s end return table.concat(t)",
    "return (('x'):rep(1e6):gsub('x', ('y'):rep(1000)))",
    "return (('x'):rep(10000):gsub('(x)', ('%1'):rep(10000)))",
    "cjson.encode_sparse_array(false, 0) return cjson.encode({[1e9] = 1})",
    "return struct.pack(('c1000000'):rep(100), unpack((function() local s, t = ('x'):rep(1e6), {} for i = 1, 100 do t[i] = s end return t end)()))",
    "load(function() return ('x'):rep(1e6) end)",
    "local s = ('x'):rep(1e6) local a = {} for i = 1, 200 do a[i] = s end return redis.log(2, unpack(a))",
];

#[test]
fn scripts_that_want_too_much_memory_end_with_an_error_that_names_the_setting() {
    with_stack(|| {
        let mut bench = Bench::with(Limits { memory_bytes: 4 << 20, ..LIMITS });
        for source in GREEDY {
            let response = bench.run(source);
            let Response::Error(text) = &response else {
                panic!("{source} answered {response:?}");
            };
            assert!(bench.stopped, "{source}");
            assert!(text.starts_with("ERR ") && text.contains("--script-memory"), "{source}: {text}");
            assert_eq!(bench.text("return 'next'"), "next", "after {source}");
            assert!(
                bench.interpreter.memory_bytes() < 2 << 20,
                "{source} left {}",
                bench.interpreter.memory_bytes()
            );
        }
    });
}

/// Scripts that look for the end of some stack, or for what C does not check.
const DEEP: [&str; 17] = [
    "local function f() return f() + 1 end return f()",
    "local function f() local co = coroutine.wrap(f) return co() end return f()",
    "local function f(s) return s:gsub('.', f) end return f('x')",
    "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end return t.x",
    "local t = {} t.t = t return t",
    "local t = {} t[1] = t return t",
    "local t = {} for i = 1, 10000 do t = {t} end return t",
    "return cjson.decode(('['):rep(100000))",
    "return cmsgpack.unpack(('\\145'):rep(100000))",
    "return string.find(('a'):rep(1000), ('a?'):rep(100000))",
    "return string.find('a', ('('):rep(100000))",
    "return loadstring('return ' .. ('('):rep(100000))",
    "return loadstring(('do '):rep(100000))",
    "return unpack({}, -2147483648, 2147483647)",
    "return unpack({}, 0/0, 2147483647)",
    "table.insert({}, -2147483648, 1)",
    "local function f() return pcall(f) end return f()",
];

#[test]
fn no_stack_ends_before_its_bound() {
    with_stack(|| {
        let mut bench = Bench::new();
        for source in DEEP {
            let begun = Instant::now();
            // An answer or an error: it is an answer.
            let _ = bench.run(source);
            assert!(begun.elapsed() < Duration::from_secs(10), "{source} took {:?}", begun.elapsed());
            assert_eq!(bench.text("return 'next'"), "next", "after {source}");
        }
    });
}

#[test]
fn sorting_asks_whether_it_may_go_on() {
    with_stack(|| {
        let mut bench = Bench::new();
        bench.run("local t = {} for i = 1, 100000 do t[i] = i * 7919 % 100003 end table.sort(t) return t[1]");
        assert!(bench.store.questions > 1000, "it has asked {} times", bench.store.questions);
    });
}

#[test]
fn garbage_does_not_count() {
    with_stack(|| {
        let mut bench = Bench::with(Limits { memory_bytes: 8 << 20, ..LIMITS });
        let source = "local s for i = 1, 2000 do s = ('x'):rep(100000) .. i end return #s";
        assert_eq!(bench.run(source), Response::Integer(100_004));
    });
}

#[test]
fn sources_that_are_kept_are_bounded() {
    with_stack(|| {
        let mut bench = Bench::with(Limits { chunks: 10, ..LIMITS });
        let before = bench.interpreter.memory_bytes();
        for number in 0..2000 {
            let source = format!("local t = {{{}}} return #t + {number}", "1, ".repeat(300));
            assert_eq!(bench.run(&source), Response::Integer(300 + number));
        }
        assert!(
            bench.interpreter.memory_bytes() < before + (4 << 20),
            "{}",
            bench.interpreter.memory_bytes()
        );
    });
}
