//! The `ringkeeper` binary: argv to `cli`, and nothing else.

#[global_allocator]
static ALLOCATOR: ringkeeper::cli::Allocator = ringkeeper::cli::Allocator;

fn main() -> std::process::ExitCode {
    ringkeeper::cli::run()
}
