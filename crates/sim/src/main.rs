//! `cargo sim`.

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mutant = arguments.get(2).and_then(|name| sim::mutant::find(name));
    let (from, to): (u64, u64) = (arguments[0].parse().unwrap(), arguments[1].parse().unwrap());
    let start = std::time::Instant::now();
    let mut ops = 0;
    let mut events = 0;
    for seed in from..to {
        let plan = sim::run::plan(seed, mutant);
        let one = to == from + 1;
        if one {
            print!("{plan}");
        }
        let report = sim::run::run(&plan, sim::run::lies(mutant), one);
        if one {
            print!("{}", report.trace);
        }
        ops += report.stats.answered;
        events += report.stats.events;
        if report.verdict != sim::checks::Verdict::Fine {
            println!("seed {seed}: {} {:?}", report.verdict, report.stats);
            if mutant.is_some() { break }
        }
    }
    println!("{} runs {ops} ops {events} events in {:?}", to - from, start.elapsed());
}
