//! The `ringkeeper-load` binary: what `ringkeeper bench` runs, under a name of its own, as the scripts of `perf/` call it.

#[global_allocator]
static ALLOCATOR: ringkeeper::bench::Allocator = ringkeeper::bench::Allocator;

fn main() -> std::process::ExitCode {
    ringkeeper::bench::main()
}
