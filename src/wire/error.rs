//! The outcomes of operations, with ZooKeeper's numbers and words (`KeeperException.Code`).

use std::fmt;

/// Declares the enum and both directions from one table.
macro_rules! error_codes {
    ($($(#[$meta:meta])* $name:ident = $code:literal,)*) => {
        /// What a request ended with. Java's client throws on numbers it doesn't know, so none is ever invented.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum ErrorCode { $($(#[$meta])* $name = $code,)* }

        impl ErrorCode {
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$name,)*];

            pub const fn from_i32(code: i32) -> Option<ErrorCode> {
                match code {
                    $($code => Some(ErrorCode::$name),)*
                    _ => None,
                }
            }

            /// ZooKeeper's word for it.
            pub const fn name(self) -> &'static str {
                match self { $(ErrorCode::$name => stringify!($name),)* }
            }
        }
    };
}

error_codes! {
    Ok = 0,
    /// Marks the range of system errors; also the answer of a server that can't write now (design: disk full).
    SystemError = -1,
    /// In a failed multi: the operations behind the one that failed.
    RuntimeInconsistency = -2,
    DataInconsistency = -3,
    /// Client side only.
    ConnectionLoss = -4,
    /// The request could not be decoded.
    MarshallingError = -5,
    Unimplemented = -6,
    /// Client side only.
    OperationTimeout = -7,
    BadArguments = -8,
    UnknownSession = -12,
    NewConfigNoQuorum = -13,
    ReconfigInProgress = -14,
    /// Marks the range of API errors.
    APIError = -100,
    NoNode = -101,
    NoAuth = -102,
    BadVersion = -103,
    NoChildrenForEphemerals = -108,
    NodeExists = -110,
    NotEmpty = -111,
    SessionExpired = -112,
    /// Client side only.
    InvalidCallback = -113,
    InvalidACL = -114,
    AuthFailed = -115,
    /// Never a reply: the connection is closed instead.
    SessionMoved = -118,
    NotReadOnly = -119,
    EphemeralOnLocalSession = -120,
    NoWatcher = -121,
    /// Client side only.
    RequestTimeout = -122,
    ReconfigDisabled = -123,
    SessionClosedRequireSaslAuth = -124,
    QuotaExceeded = -125,
    ThrottledOp = -127,
}

impl ErrorCode {
    #[inline]
    pub const fn code(self) -> i32 {
        self as i32
    }

    #[inline]
    pub const fn is_ok(self) -> bool {
        matches!(self, ErrorCode::Ok)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_go_both_ways() {
        assert_eq!(ErrorCode::ALL.len(), 32);
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_i32(code.code()), Some(*code));
        }
        for unknown in [1, -9, -99, -104, -109, -126, -128, i32::MIN, i32::MAX] {
            assert_eq!(ErrorCode::from_i32(unknown), None);
        }
        assert_eq!(ErrorCode::NoNode.code(), -101);
        assert_eq!(ErrorCode::ThrottledOp.code(), -127);
        assert_eq!(ErrorCode::NodeExists.to_string(), "NodeExists");
    }
}
