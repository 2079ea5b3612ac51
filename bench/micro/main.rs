//! Micro-benchmarks: the operations of the pure rooms ([`operations`], [`closing`]), what is counted on their way ([`metrics`]), and
//! what a write waits for in the kernel ([`kernel`]).
//!
//! `cargo bench --bench micro` measures time; with `-- --test` each runs once, so that they can't rot.
//! `cargo bench --bench micro -- repeat NAME COUNT` only does one so often, for tools that count instructions:
//! perf/instructions.py, whose figures hold on a noisy machine.

mod closing;
mod kernel;
mod metrics;
mod operations;

use std::process::ExitCode;

use criterion::{Criterion, criterion_group};

#[global_allocator]
static ALLOCATOR: ringkeeper::io::Allocator = ringkeeper::io::Allocator;

fn pure(c: &mut Criterion) {
    for (name, set_up) in operations::ALL {
        let mut operation = set_up();
        c.bench_function(name, |b| b.iter(&mut operation));
    }
}

fn with_the_kernel(c: &mut Criterion) {
    for (name, set_up) in kernel::ALL {
        match set_up() {
            Some(mut operation) => _ = c.bench_function(name, |b| b.iter(&mut operation)),
            None => eprintln!("{name}: not measured"),
        }
    }
}

criterion_group!(benches, metrics::count, metrics::scrape, pure, closing::close_session, with_the_kernel);

/// `repeat list`: the names, a line each.
fn repeat(arguments: &[String]) -> Result<(), String> {
    if arguments == ["list"] {
        operations::ALL.iter().for_each(|(name, _)| println!("{name}"));
        return Ok(());
    }
    let usage = || "repeat NAME COUNT, or repeat list".to_owned();
    let [name, count] = arguments else { return Err(usage()) };
    let count: u64 = count.parse().map_err(|_| usage())?;
    let found = operations::ALL.iter().find(|(other, _)| other == name);
    let (_, set_up) = found.ok_or_else(|| format!("no operation is named {name:?}: see repeat list"))?;
    let mut operation = set_up();
    (0..count).for_each(|_| operation());
    Ok(())
}

fn main() -> ExitCode {
    // Cargo adds --bench.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let Some((first, rest)) = arguments.split_first()
        && first == "repeat"
    {
        return match repeat(rest) {
            Ok(()) => ExitCode::SUCCESS,
            Err(fault) => {
                eprintln!("micro: {fault}");
                ExitCode::FAILURE
            }
        };
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
    ExitCode::SUCCESS
}
