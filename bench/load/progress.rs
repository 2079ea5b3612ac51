//! How far a run has come, drawn on standard error if that is a terminal; nothing anywhere else.
//!
//! Called by `run`.

use crate::bench::load::Progress;
use crate::bench::summary;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;

/// A bar, and what moves it.
pub type Drawn = (ProgressBar, Box<dyn FnMut(Progress)>);

/// Between two pictures: a load has turns of microseconds.
const PICTURE_NS: u64 = 50_000_000;
const NS_PER_MS: u64 = 1_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// A bar of `total` operations: a tree that is made.
pub fn of_operations(what: &str, total: u64) -> Drawn {
    let bar = bar("{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}", total);
    bar.set_message(what.to_owned());
    draw(bar, |bar, progress| bar.set_position(progress.replies))
}

/// A bar of so many nanoseconds, with what was reached in the last second.
pub fn of_time(what: &str, total_ns: u64) -> Drawn {
    let bar = bar("{prefix} {wide_bar} {msg}", total_ns / NS_PER_MS);
    bar.set_prefix(what.to_owned());
    let mut last = Progress { replies: 0, elapsed_ns: 0 };
    draw(bar, move |bar, progress| {
        bar.set_position(progress.elapsed_ns / NS_PER_MS);
        let since = progress.elapsed_ns.saturating_sub(last.elapsed_ns);
        if since >= SECOND_NS {
            let rate = progress.replies.saturating_sub(last.replies) as f64 * 1e9 / since as f64;
            bar.set_message(format!("{} op/s", summary::count(rate)));
            last = progress;
        }
    })
}

fn draw(bar: ProgressBar, mut picture: impl FnMut(&ProgressBar, Progress) + 'static) -> Drawn {
    if bar.is_hidden() {
        return (bar, Box::new(|_| ()));
    }
    let drawn = bar.clone();
    let mut next_ns = 0;
    let on_progress = move |progress: Progress| {
        if progress.elapsed_ns >= next_ns {
            next_ns = progress.elapsed_ns + PICTURE_NS;
            picture(&drawn, progress);
        }
    };
    (bar, Box::new(on_progress))
}

fn bar(template: &str, total: u64) -> ProgressBar {
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(total) } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template(template).expect("a template of ours"));
    bar
}
