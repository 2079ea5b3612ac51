//! The `ringkeeper` binary: argv to `cli`, and nothing else.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    ringkeeper::cli::run()
}
