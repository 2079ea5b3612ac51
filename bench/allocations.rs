//! Allocations of each operation of `bench/micro`, counted: the same on every machine, however noisy.
//!
//! `cargo bench --bench allocations`. Its output is a table; what may not allocate is checked, and the program fails if it does.
//! `bench/micro` and the servers run on another allocator: what is counted is how often any is asked.

#[path = "micro/operations.rs"]
#[allow(dead_code, reason = "bench/micro uses the rest")]
mod operations;

use std::process::ExitCode;

/// The first ones grow buffers.
const WARM: usize = 200;
const COUNTED: u64 = 1_000;
/// Per operation, on the way of every read and write. What is not here may allocate as it needs.
const MOST: &[(&str, u64)] = &[
    ("decode getData", 0),
    ("lookup", 0),
    ("list 1000 children", 0),
    ("prep setData", 0),
    ("prep setData, digest foretold", 0),
    ("apply setData", 0),
    // The path, as there is no znode to share it with.
    ("match a watch", 1),
    ("append setData to the log, groups of 64", 0),
    // As many as it takes now, so that it doesn't become more unseen.
    ("propose and commit, 2 followers", 5),
];

fn main() -> ExitCode {
    println!("{:<44} {:>12} {:>12}", "operation", "allocations", "bytes");
    let mut failed = vec![];
    for (name, set_up) in operations::ALL {
        let mut operation = set_up();
        let is_long = name.contains("10,000");
        let (warm, counted) = if is_long { (1, 3) } else { (WARM, COUNTED) };
        (0..warm).for_each(|_| operation());
        let info = allocation_counter::measure(|| (0..counted).for_each(|_| operation()));
        let each = info.count_total as f64 / counted as f64;
        println!("{name:<44} {each:>12.2} {:>12.0}", info.bytes_total as f64 / counted as f64);
        let most = MOST.iter().find(|(other, _)| other == name).map(|(_, most)| *most);
        // Amortised growth of a table now and then is no allocation of the operation.
        if most.is_some_and(|most| each >= most as f64 + 0.1) {
            failed.push(format!("{name}: {each:.2} allocations, at most {} are allowed", most.unwrap_or(0)));
        }
    }
    for fault in &failed {
        eprintln!("{fault}");
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
