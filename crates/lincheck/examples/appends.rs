//! How long it takes to judge 100,000 operations of an append workload: `cargo run --release -p lincheck --example appends`.

#[path = "../tests/workload/mod.rs"]
mod workload;

use std::time::Instant;

use lincheck::{DEFAULT_LIMIT, Model, Verdict, judge};

fn main() {
    for mix in workload::mixes() {
        let mut history = workload::history(mix, 100_000);
        for broken in [false, true] {
            if broken {
                workload::break_it(&mut history);
            }
            let began = Instant::now();
            let verdict = judge(&Model::register_with_updates(), &history, DEFAULT_LIMIT).verdict;
            let took = began.elapsed();
            let said = match verdict {
                Verdict::Linearizable => "linearizable".to_owned(),
                Verdict::Violation(violation) => format!("violation, window {}", violation.window.len()),
                Verdict::Unknown(_) => "unknown".to_owned(),
            };
            println!("{:24} {said:24} {took:.2?}", mix.name);
        }
    }
}
