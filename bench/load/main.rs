//! `ringkeeper-load`: the load generator, and the floor server to compare with.
//!
//! One thread, so that what it costs is known and stays below what the server costs. `session`, `load`, `workload` and
//! `recorder` are pure; `poll_driver` and `ring_driver` move the bytes; `floor` is the other side.
//! Exit codes: 0 measured, no errors; 1 measured, with errors; 2 not measured.

mod arguments;
mod clock;
mod connection;
mod floor;
mod load;
mod poll_driver;
mod process;
mod protocol;
mod recorder;
mod report;
mod ring_driver;
mod run;
mod session;
mod workload;

use arguments::{Arguments, Command};
use clap::Parser;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: ringkeeper::io::Allocator = ringkeeper::io::Allocator;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.command {
        Some(Command::Floor(floor)) => serve_floor(floor).map(|()| 0),
        Some(Command::Wait(wait)) => run::wait(wait).map(|()| 0),
        None => run::run(&arguments.load),
    };
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(errors) => {
            eprintln!("ringkeeper-load: {errors} errors");
            ExitCode::from(1)
        }
        Err(error) => {
            eprintln!("ringkeeper-load: {error}");
            ExitCode::from(2)
        }
    }
}

fn serve_floor(arguments: &arguments::FloorArguments) -> Result<(), String> {
    let options = floor::Options {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port)),
        file: arguments.file.clone(),
        file_bytes: arguments.file_bytes,
        data_bytes: arguments.bytes,
    };
    floor::serve(&options, |address| println!("floor ready on {address}")).map_err(|error| {
        format!("floor on port {} with {}: {error}", arguments.port, arguments.file.display())
    })
}

#[cfg(test)]
mod tests;
