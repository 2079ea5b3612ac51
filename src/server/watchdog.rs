//! The thread "watchdog": as long as the loops turn, whoever watches over this process hears so.
//!
//! Only where a watchdog is set (WATCHDOG_USEC; in systemd's unit WatchdogSec). It asks the loops what `/livez` asks, and is
//! silent when one doesn't answer, so that a server that hangs is ended and started again. A member that makes its tree anew
//! from the disk answers nobody meanwhile: the watchdog's time has to be longer than that. Before the server is ready
//! nobody listens for it, and nothing is said.

use std::sync::Arc;
use std::time::Duration;

use crate::io::Supervisor;
use crate::replica::ensemble::Mode;

use super::census::Ask;
use super::web::Place;
use super::{Fatal, spawn};

/// Of the time that the watchdog grants: a word may come late, and one be lost.
const WORDS_IN_TIME: u32 = 3;

pub fn start(supervisor: &Arc<Supervisor>, place: &Place) -> Result<(), Fatal> {
    let Some(granted) = supervisor.watchdog() else { return Ok(()) };
    let (supervisor, place) = (supervisor.clone(), place.clone());
    spawn("watchdog", move || run(&supervisor, &place, granted / WORDS_IN_TIME))?;
    Ok(())
}

fn run(supervisor: &Supervisor, place: &Place, pause: Duration) {
    let mut told: Option<Mode> = None;
    loop {
        if let Some(desk) = place.get()
            && let Some((in_replica, _)) = desk.inquiry.ask(Ask::PROBE)
        {
            let mut words = "WATCHDOG=1".to_owned();
            if let Some(mode) = in_replica.mode.filter(|mode| told != Some(*mode)) {
                words.push_str(&format!("\nSTATUS={}", mode.name()));
                told = Some(mode);
            }
            if let Err(error) = supervisor.tell(&words) {
                tracing::debug!("{error}");
            }
        }
        std::thread::park_timeout(pause);
    }
}
