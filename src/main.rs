//! The `ringkeeper` binary: argv to `cli`, and nothing else.

#[global_allocator]
static ALLOCATOR: ringkeeper::io::Allocator = ringkeeper::io::Allocator;

fn main() -> std::process::ExitCode {
    ringkeeper::cli::run()
}
