//! What a server writes for people: log lines and the audit log.
//!
//! Called by `checked`.

use std::path::PathBuf;
use std::time::Duration;

use super::checked::{INT_MAX, positive};
use super::defaults;
use super::fault::Severity;
use super::settings::Settings;

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

/// `ringkeeper.slowRequestMillis`.
pub fn slow_request(settings: &mut Settings) -> Duration {
    let default = defaults::SLOW_REQUEST_MS;
    let given = settings.number("ringkeeper.slowRequestMillis", 0..=INT_MAX, "milliseconds, 0: off", default);
    positive(given).map_or(Duration::MAX, Duration::from_millis)
}

/// `audit.enable`: who changed what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLog {
    /// `ringkeeper.auditFile`; `None`: standard error.
    pub file: Option<PathBuf>,
}

pub fn audit_log(settings: &mut Settings) -> Option<AuditLog> {
    const FILE: &str = "ringkeeper.auditFile";
    let is_enabled = settings.boolean("audit.enable", false);
    let file = settings.value(FILE, |text| match text {
        "" => Err("empty; allowed: the path of a file".to_owned()),
        text if text.contains('\0') => Err("has a zero byte; allowed: the path of a file".to_owned()),
        text => Ok(PathBuf::from(text)),
    });
    if file.is_some() && !is_enabled {
        let text =
            format!("{FILE} says where the audit log goes, and there is none without audit.enable=true");
        settings.warn_at(FILE, Severity::Warning, text);
    }
    is_enabled.then_some(AuditLog { file })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Raw, Refusal};

    fn check(lines: &str) -> Result<(Config, Vec<String>), Refusal> {
        let content = format!("dataDir=/data\nclientPort=2181\n{lines}\n");
        let raw = Raw::parse("zoo.cfg", content.as_bytes());
        let checked = raw.check(|_| None, &|path| panic!("{path:?} is read"));
        checked.map(|(config, warnings)| (config, warnings.iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn slow_requests_are_told_from_a_threshold_on_or_never() {
        for (lines, expected) in [
            ("", Duration::from_secs(1)),
            ("ringkeeper.slowRequestMillis=20", Duration::from_millis(20)),
            ("ringkeeper.slowRequestMillis=0", Duration::MAX),
        ] {
            assert_eq!(check(lines).expect("no fault").0.slow_request, expected, "{lines}");
        }
        assert!(check("ringkeeper.slowRequestMillis=-1").is_err());
    }

    #[test]
    fn the_audit_log_is_off_or_goes_somewhere() {
        let audit = |lines: &str| check(lines).expect("no fault").0.audit;
        assert_eq!(audit(""), None);
        assert_eq!(audit("audit.enable=false"), None);
        for prefix in ["", "zookeeper."] {
            let lines = format!("{prefix}audit.enable=true");
            assert_eq!(audit(&lines), Some(AuditLog { file: None }));
            let lines = format!("{lines}\n{prefix}ringkeeper.auditFile=/log/audit");
            assert_eq!(audit(&lines), Some(AuditLog { file: Some("/log/audit".into()) }));
        }
        let of_java = "audit.enable=true\naudit.impl.class=org.apache.zookeeper.audit.Slf4jAuditLogger";
        assert_eq!(check(of_java).expect("no fault").1, Vec::<String>::new());
    }

    #[test]
    fn a_file_without_an_audit_log_is_warned_of_and_an_empty_name_is_refused() {
        let (config, warnings) = check("ringkeeper.auditFile=/log/audit").expect("no fault");
        assert_eq!(config.audit, None);
        assert!(
            warnings.len() == 1 && warnings[0].contains("there is none without audit.enable=true"),
            "{warnings:?}"
        );
        let refusal = check("audit.enable=true\nringkeeper.auditFile=").expect_err("no such file");
        assert!(refusal.faults[0].to_string().contains("ringkeeper.auditFile"), "{}", refusal.faults[0]);
    }
}
