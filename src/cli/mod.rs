//! Subcommands of the `ringkeeper` binary.

/// Runs the program as the command line says.
pub fn run() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
