//! getChildren, getChildren2, getAllChildrenNumber, getEphemerals.
//!
//! A server that has the names one by one writes the responses with [`crate::wire::vector::VectorWriter`], which gives
//! the same bytes as these records.
//!
//! | operation | request | response |
//! |---|---|---|
//! | getChildren | [`GetChildrenRequest`] | [`GetChildrenResponse`] |
//! | getChildren2 | [`GetChildrenRequest`] | [`GetChildren2Response`] |
//! | getAllChildrenNumber | [`GetAllChildrenNumberRequest`] | [`GetAllChildrenNumberResponse`] |
//! | getEphemerals | [`GetEphemeralsRequest`] | [`GetEphemeralsResponse`] |

use crate::wire::jute::{Text, record};
use crate::wire::stat::Stat;
use crate::wire::vector::Vector;

record! {
    /// Of getChildren and getChildren2.
    pub struct GetChildrenRequest<'a> {
        pub path: Text<'a>,
        pub watch: bool,
    }
}

record! {
    pub struct GetChildrenResponse<'a> {
        /// Names, not paths; in no particular order.
        pub children: Vector<'a, Text<'a>>,
    }
}

record! {
    pub struct GetChildren2Response<'a> {
        /// Names, not paths; in no particular order.
        pub children: Vector<'a, Text<'a>>,
        pub stat: Stat,
    }
}

record! {
    pub struct GetAllChildrenNumberRequest<'a> {
        pub path: Text<'a>,
    }
}

record! {
    pub struct GetAllChildrenNumberResponse {
        /// Of all descendants.
        pub total_number: i32,
    }
}

record! {
    pub struct GetEphemeralsRequest<'a> {
        /// A plain prefix of the strings; null means all.
        pub prefix_path: Option<Text<'a>>,
    }
}

record! {
    pub struct GetEphemeralsResponse<'a> {
        /// Full paths; in no particular order.
        pub ephemerals: Vector<'a, Text<'a>>,
    }
}
