//! A short run of every fuzz target: its corpus, each input mutated with a fixed seed, and plain noise.

use abd::wire::{put_frame, put_reply, put_request};
use abd::{CallId, Content, NodeId, Reply, Request, Scope, StampedValue, Timestamp, TimestampMode, Version};
use bytes::BytesMut;
use fuzz_targets::TARGETS;
use node::configuration::Configuration;
use node::endpoint::Endpoint;
use node::hello::{About, Hello, LaneId, LaneKind, Limits, Met, Refused, Service, Versions, Welcome};
use node::introduction::{Introduction, Present, Proof};
use node::nonce::{Nonce, Tag};

const INPUTS: u64 = 20_000;

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn bytes(&mut self, longest: usize) -> Vec<u8> {
        (0..self.below(longest + 1)).map(|_| self.byte()).collect()
    }
}

/// What is valid, so that mutations get past the first check.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    match target {
        "frames" => messages(),
        "resp" => [
            &b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"[..],
            b"PING\r\nSET \"a b\" 'c'\r\n\r\nECHO \"\\x00\\n\"\r\n",
            b"*1\r\n$300\r\n",
            b"*-1\r\n*0\r\n*2\r\n$4\r\nMGET\r\n$0\r\n\r\n",
        ]
        .map(<[u8]>::to_vec)
        .to_vec(),
        "keys" => {
            let version = |time| Version::of_write(Timestamp { time, node: 1, boot: 1 });
            [&b"ab"[..], b"\0", b"a\0\xffb", b"\0\x01", b""]
                .iter()
                .flat_map(|user_key| {
                    let mut pair = vec![2];
                    pair.extend(version(7).to_bytes());
                    pair.extend(version(1 << 40).to_bytes());
                    pair.extend_from_slice(user_key);
                    [pair, store::key::encode(user_key, version(7)).to_vec()]
                })
                .collect()
        }
        "histories" => drawn_histories(),
        _ => panic!("no corpus for {target}"),
    }
}

fn messages() -> Vec<Vec<u8>> {
    let call = CallId { operation: 7, phase: 1 };
    let stamped_version = Version::of_write(Timestamp { time: 9, node: 1, boot: 1 });
    let stamped = StampedValue::plain(stamped_version, Content::Value("value".into()));
    let request = Request::LocalWrite { key: "key".into(), stamped };
    let mut bodies = vec![BytesMut::new(), BytesMut::new()];
    put_request(&mut bodies[0], call, 1_000, Scope::FIRST, &request);
    put_reply(&mut bodies[1], call, &Reply::Written { previous: Some((stamped_version, true)) });
    let mut stream = BytesMut::new();
    for body in &bodies {
        put_frame(&mut stream, |out| out.extend_from_slice(body));
    }
    bodies.push(stream);
    let configuration = Configuration::first([(NodeId(1), "a:1".into())], TimestampMode::Logical);
    let proof = |boot| Proof { boot, tag: Tag([1; 16]), masked: Nonce([2; 16]) };
    let said = |present| Introduction {
        node: 1,
        disk: [1; 16],
        boot: 2,
        sequence: 5,
        present,
        proofs: vec![proof(2), proof(1)],
        configuration: Some(configuration.encoded()),
    };
    let about = About {
        cluster: "1=a:1".into(),
        timestamps: "logical".into(),
        member: Some(1),
        challenge: [4; 16],
        admitted: true,
        limits: Limits { key: 1, value: 2, frame: 3 },
        loops: 1,
        endpoint: Endpoint::new("a", 1),
        epoch: Some(3),
    };
    let lane = Some(LaneId { kind: LaneKind::Small, pair: 0 });
    let (versions, service, address) = (Versions::OURS, Service::Replica, Some("a:1".into()));
    let hello = Hello { versions, service, lane, about: about.clone(), address };
    let welcome = Welcome { version: 6, about, configuration: Some(configuration.clone()) };
    for put in [
        &|out: &mut BytesMut| hello.put(out),
        &|out: &mut BytesMut| welcome.put(out),
        &|out: &mut BytesMut| Refused::Mismatch("why".into()).put(out),
        &|out: &mut BytesMut| Refused::Impostor("why".into(), vec![Tag([5; 16])]).put(out),
        &|out: &mut BytesMut| Refused::Retired(configuration.encoded(), vec![Tag([5; 16])]).put(out),
        &|out: &mut BytesMut| said(Present::Clear(Nonce([3; 16]))).put(out),
        &|out: &mut BytesMut| said(Present::Sealed(Tag([3; 16]), Nonce([4; 16]))).put(out),
        &|out: &mut BytesMut| Met.put(out),
    ] as [&dyn Fn(&mut BytesMut); 8]
    {
        let mut body = BytesMut::new();
        put(&mut body);
        bodies.push(body);
    }
    bodies.into_iter().map(|bytes| bytes.to_vec()).collect()
}

/// The small histories of the checker.
fn drawn_histories() -> Vec<Vec<u8>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../lincheck/tests/histories");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the checker's histories")
        .map(|entry| entry.expect("can be listed").path())
        .collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).expect("can be read")).collect()
}

/// Fragments that mean something to one of the parsers.
const TOKENS: [&[u8]; 16] = [
    b"\r\n",
    b"*",
    b"$-1\r\n",
    b"99999999999999999999",
    b"[",
    b"]",
    b"{",
    b"}",
    b"\"",
    b"\\u",
    b":value",
    b"null",
    b"\0\xff",
    b"\0\x01",
    b"\xff\xff\xff\xff",
    b"#_",
];

fn mutate(random: &mut Random, input: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() + 1);
        match random.below(7) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = random.byte(),
            2 => input.truncate(at),
            3 => drop(input.drain(at..(at + random.below(16)).min(input.len()))),
            4 => drop(input.splice(at..at, TOKENS[random.below(TOKENS.len())].iter().copied())),
            5 => {
                let from = random.below(other.len() + 1);
                let piece = &other[from..(from + random.below(64)).min(other.len())];
                drop(input.splice(at..at, piece.iter().copied()));
            }
            _ => input.push(random.byte()),
        }
    }
}

#[test]
fn every_target_survives_mutated_inputs() {
    for (name, target) in TARGETS {
        let corpus = corpus(name);
        corpus.iter().for_each(|input| target(input));
        for seed in 0..INPUTS {
            let mut random = Random(seed);
            let mut input = corpus[random.below(corpus.len())].clone();
            let other = &corpus[random.below(corpus.len())];
            if seed % 10 == 0 {
                input = random.bytes(64);
            } else {
                mutate(&mut random, &mut input, other);
            }
            let survived = std::panic::catch_unwind(|| target(&input));
            assert!(survived.is_ok(), "{name}, seed {seed}: \"{}\"", input.escape_ascii());
        }
    }
}

/// The folder of `cargo fuzz` has one driver for each target and no other.
#[test]
fn every_target_has_a_driver() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/fuzz_targets");
    let mut drivers: Vec<String> = std::fs::read_dir(folder)
        .expect("the drivers")
        .map(|entry| entry.expect("can be listed").file_name().to_string_lossy().replace(".rs", ""))
        .collect();
    drivers.sort();
    let mut targets = TARGETS.map(|(name, _)| name.to_owned());
    targets.sort();
    assert_eq!(drivers, targets);
}
