//! What is said where no question can be passed on.

use crossbeam::channel::bounded;

use crate::base::Instant;

use super::*;

fn asked(asked: Asked, shared: &Shared) -> Reply {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    match runtime.block_on(ask(asked, shared)) {
        Told::Reply(reply) => reply,
        Told::Receive(_) => panic!("nobody asks for a body"),
    }
}

/// Scrapers that keep the queue full must not hide from the orchestrator that the loops answer nothing any more.
#[test]
fn a_full_queue_of_questions_is_no_sign_of_death_and_none_of_life() {
    let (questions, _held) = bounded(0);
    let shared = Shared { questions, unread: Arc::default(), silence: Arc::default() };
    assert_eq!(asked(Asked::Ready, &shared).status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(asked(Asked::Live, &shared).status, StatusCode::OK);
    let now = Clock::instant();
    shared.silence.began(Instant(now.0.saturating_sub(Duration::from_secs(3600).as_nanos() as u64)));
    // Asked again in vain: it began with the first.
    shared.silence.began(now);
    let dead = asked(Asked::Live, &shared);
    assert_eq!(dead.status, StatusCode::SERVICE_UNAVAILABLE);
    shared.silence.ended();
    shared.silence.began(now);
    assert_eq!(asked(Asked::Live, &shared).status, StatusCode::OK);
}
