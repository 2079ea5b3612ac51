//! Why an operation failed, in the words of ZooKeeper's shell.
//!
//! Source of the texts: operations.md §6.2, and Apache's shell 3.9.5 where that is silent.

use std::fmt;

use crate::wire::ErrorCode;

/// What an operation ended with instead of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An error code of the protocol; the server's, or the client's own such as ConnectionLoss.
    Keeper { code: i32, path: Option<String> },
    /// No server was asked: what is wrong with the arguments.
    Argument(String),
}

impl Failure {
    pub fn new(code: i32, path: Option<&str>) -> Failure {
        Failure::Keeper { code, path: path.map(str::to_owned) }
    }

    pub fn of(code: ErrorCode, path: Option<&str>) -> Failure {
        Failure::new(code.code(), path)
    }

    pub fn is(&self, wanted: ErrorCode) -> bool {
        matches!(self, Failure::Keeper { code, .. } if *code == wanted.code())
    }

    /// The error's name, for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Failure::Keeper { code, .. } => ErrorCode::from_i32(*code).map_or("Unknown", ErrorCode::name),
            Failure::Argument(_) => "BadArguments",
        }
    }

    /// As Java's exception says it.
    pub fn exception_text(&self) -> String {
        match self {
            Failure::Keeper { code, path } => match path.as_deref() {
                None | Some("") => format!("KeeperErrorCode = {}", code_text(*code)),
                Some(path) => format!("KeeperErrorCode = {} for {path}", code_text(*code)),
            },
            Failure::Argument(text) => text.clone(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure::Keeper { code, path } = self else { return f.write_str(&self.exception_text()) };
        let path = path.as_deref().unwrap_or("null");
        match ErrorCode::from_i32(*code) {
            Some(ErrorCode::NoNode) => write!(f, "Node does not exist: {path}"),
            Some(ErrorCode::NoChildrenForEphemerals) => write!(f, "Ephemerals cannot have children: {path}"),
            Some(ErrorCode::NodeExists) => write!(f, "Node already exists: {path}"),
            Some(ErrorCode::NotEmpty) => write!(f, "Node not empty: {path}"),
            Some(ErrorCode::NotReadOnly) => write!(f, "Not a read-only call: {path}"),
            Some(ErrorCode::InvalidACL) => write!(f, "Acl is not valid : {path}"),
            Some(ErrorCode::NoAuth) => write!(f, "Insufficient permission : {path}"),
            Some(ErrorCode::BadArguments) => write!(f, "Arguments are not valid : {path}"),
            Some(ErrorCode::BadVersion) => write!(f, "version No is not valid : {path}"),
            Some(ErrorCode::QuotaExceeded) => write!(f, "Quota has exceeded : {path}"),
            Some(ErrorCode::ReconfigInProgress) => {
                f.write_str("Another reconfiguration is in progress -- concurrent reconfigs not supported (yet)")
            }
            Some(ErrorCode::NewConfigNoQuorum) => f.write_str(
                "No quorum of new config is connected and up-to-date with the leader of last commmitted config - \
                 try invoking reconfiguration after new servers are connected and synced",
            ),
            _ => f.write_str(&self.exception_text()),
        }
    }
}

/// The word of an error code in a message, which isn't always its name.
fn code_text(code: i32) -> String {
    let Some(known) = ErrorCode::from_i32(code) else { return format!("Unknown error {code}") };
    match known {
        ErrorCode::Ok => "ok",
        ErrorCode::NotEmpty => "Directory not empty",
        ErrorCode::SessionExpired => "Session expired",
        ErrorCode::InvalidCallback => "Invalid callback",
        ErrorCode::SessionMoved => "Session moved",
        ErrorCode::NotReadOnly => "Not a read-only call",
        ErrorCode::EphemeralOnLocalSession => "Ephemeral node on local session",
        ErrorCode::NoWatcher => "No such watcher",
        ErrorCode::ReconfigDisabled => "Reconfig is disabled",
        ErrorCode::SessionClosedRequireSaslAuth => "Session closed because client failed to authenticate",
        ErrorCode::QuotaExceeded => "Quota has exceeded",
        ErrorCode::ThrottledOp => "Op throttled due to high load",
        ErrorCode::UnknownSession | ErrorCode::RequestTimeout => return format!("Unknown error {code}"),
        other => other.name(),
    }
    .to_owned()
}
