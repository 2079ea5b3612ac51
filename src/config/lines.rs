//! What a server writes for people: in which form.
//!
//! Called by `checked`.

/// `ringkeeper.logFormat`, or the variable `RINGKEEPER_LOG_FORMAT`: how log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object a line, for programs.
    Json,
}

pub fn log_format(text: &str) -> Result<LogFormat, String> {
    match text.to_ascii_lowercase().as_str() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("no such format; allowed: text, json".to_owned()),
    }
}
