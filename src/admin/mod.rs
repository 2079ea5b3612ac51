//! What operators ask: four-letter words, commands of the admin port and metrics, request to response.
//!
//! Called by `server`, which recognises a word on a fresh connection, gathers the facts that the word needs (see
//! [`Command::needs`]), sends the text and closes; `cli` makes [`About`] once. Pure: every number is handed in.
//!
//! Invariants: texts are byte for byte ZooKeeper 3.9's, so that scripts and monitoring go on working. `mntr` shows
//! only what is measured here: a name of ZooKeeper's that stands for nothing here is left out, never invented. The
//! same goes for the `java.*` lines of `envi`.
//! Tested: commands_test.rs, four_letter_words_test.rs (golden texts of a ZooKeeper server, with our version), metrics_test.rs, text.rs.

mod commands;
mod ensemble_commands;
mod exposition;
mod facts;
mod figures;
mod four_letter_words;
mod json;
mod metrics;
mod text;

pub use commands::{AdminCommand, Answer, fields, links, run, trace_mask};
pub use ensemble_commands::{ENSEMBLE, ensemble};
pub use exposition::{CONTENT_TYPE, exposition};
pub use facts::{
    ConnectionFacts, DirectoryFacts, EnsembleFacts, Facts, LearnerFacts, MemberFacts, Mode, PathsOfSession,
    ProcessFacts, ServerFacts, SessionFacts, SessionOfConnection, SnapshotFacts, WatchCounts, operation_code,
};
pub use figures::{Figure, Sheet};
pub use four_letter_words::{Command, Effect, Needs, TRACE_MASK_DEFAULT, answer, recognise};
pub use metrics::{ClientMetrics, Distribution, ResponseSize, StoreMetrics, Summary};
pub use text::{build_date, date_time};

/// We are 3.9: clients and scripts read the numbers before the first dash.
pub const VERSION: &str = concat!("3.9.5-ringkeeper-", env!("CARGO_PKG_VERSION"));

/// What doesn't change while a server runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// When this binary was built, as `2026-07-17 17:37 UTC`.
    pub built: String,
    /// Lines of `envi` after `zookeeper.version`, in ZooKeeper's order: `host.name`, `os.name`, …
    pub environment: Vec<(&'static str, String)>,
}

impl About {
    /// As `srvr`, `stat` and `mntr` show it.
    pub fn full_version(&self) -> String {
        format!("{VERSION}, built on {}", self.built)
    }
}
