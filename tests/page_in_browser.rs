//! The page at `/` of the admin port in a real browser: Chromium without a window, driven over WebDriver.
//!
//! `tests/run --prepare` installs it on Debian; where it is missing that is a failure, with the remedy. Nothing but 127.0.0.1
//! can be reached by this browser, and what it tried to reach is asked of it. Screenshots of each test go to `target/page`.
#![allow(
    clippy::disallowed_methods,
    reason = "these tests drive real processes in real time, with threads of their own"
)]

#[path = "support/mod.rs"]
mod support;

#[path = "page_in_browser/browser.rs"]
mod browser;
#[path = "page_in_browser/live.rs"]
mod live;
#[path = "page_in_browser/tree.rs"]
mod tree;

use support::admin::{start, with_admin};
