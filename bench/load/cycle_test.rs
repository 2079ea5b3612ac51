//! Tests of `cycle`: every step of each recipe, and who comes too late.

use super::*;
use crate::bench::recorder::CountBy;

/// A cycle with what it asked last: `op` and path.
struct Scene {
    cycle: Cycle,
    recorder: Recorder,
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as i32).to_be_bytes()[..], text.as_bytes()].concat()
}

fn list(names: &[&str]) -> Vec<u8> {
    let strings: Vec<u8> = names.iter().flat_map(|name| string(name)).collect();
    [&(names.len() as i32).to_be_bytes()[..], &strings].concat()
}

impl Scene {
    fn new(cycle: Cycle) -> Scene {
        Scene { cycle, recorder: Recorder::new(CountBy::Reply, 0..1_000_000) }
    }

    /// The reply, and what is asked behind it; the op is 0 where nothing is.
    fn reply(&mut self, code: i32, body: &[u8], now: u64) -> (Step, i32, String) {
        let mut out = Vec::new();
        let step = self.cycle.on_reply(code, body, now, 5, &mut out, &mut self.recorder);
        let (op, path) = asked(&out);
        assert_eq!(op != 0, step == Step::Asked, "one request, or none");
        (step, op, path)
    }

    fn count(&self, kind: Kind) -> (u64, u64) {
        let histogram = self.recorder.histogram(kind);
        (histogram.len(), histogram.max())
    }

    fn errors(&self) -> Vec<&str> {
        self.recorder.errors_by_kind().map(|(kind, _)| kind).collect()
    }
}

fn asked(out: &[u8]) -> (i32, String) {
    let Some(op) = protocol::int_at(out, 8) else { return (0, String::new()) };
    assert_eq!(protocol::int_at(out, 4), Some(5), "the xid");
    let (path, _) = protocol::split_buffer(&out[12..]).expect("a path");
    (op, String::from_utf8_lossy(path).into_owned())
}

#[test]
fn an_ephemeral_comes_and_goes() {
    let mut scene = Scene::new(Cycle::ephemeral(10, b"/e"));
    assert_eq!(scene.reply(0, &string("/e"), 20), (Step::Asked, protocol::OP_DELETE, "/e".to_owned()));
    assert_eq!(scene.count(Kind::Ephemeral).0, 0);
    assert_eq!(scene.reply(0, &[], 40).0, Step::Ended);
    assert_eq!(scene.count(Kind::Ephemeral), (1, 30));
}

#[test]
fn the_first_contender_holds_the_lock_at_once() {
    let mut scene = Scene::new(Cycle::lock(10, b"/l"));
    assert_eq!(scene.reply(0, &string("/l/n-02"), 20).1, protocol::OP_GET_CHILDREN);
    let held = scene.reply(0, &list(&["n-03", "n-02"]), 30);
    assert_eq!(held, (Step::Asked, protocol::OP_DELETE, "/l/n-02".to_owned()));
    assert_eq!(scene.count(Kind::Lock), (1, 20), "until it is held, not until it is given back");
    assert_eq!(scene.reply(0, &[], 90).0, Step::Ended);
    assert_eq!(scene.count(Kind::Lock).0, 1);
}

#[test]
fn a_later_contender_waits_for_the_one_before_it_and_looks_again() {
    let mut scene = Scene::new(Cycle::lock(10, b"/l"));
    scene.reply(0, &string("/l/n-07"), 20);
    let waits = scene.reply(0, &list(&["n-07", "n-02", "n-05", "n-09"]), 30);
    assert_eq!(waits, (Step::Asked, protocol::OP_EXISTS, "/l/n-05".to_owned()));
    assert_eq!(scene.reply(0, &[0; 68], 40).0, Step::Waits(b"/l/n-05".to_vec()));
    let mut out = Vec::new();
    assert_eq!(scene.cycle.on_event(5, &mut out), Step::Asked);
    assert_eq!(asked(&out), (protocol::OP_GET_CHILDREN, "/l".to_owned()));
    // The one before it is gone already when it is asked about.
    scene.reply(0, &list(&["n-07", "n-02"]), 50);
    assert_eq!(scene.reply(NO_NODE, &[], 60).1, protocol::OP_GET_CHILDREN);
    assert_eq!(scene.reply(0, &list(&["n-07"]), 70).1, protocol::OP_DELETE);
    assert_eq!(scene.count(Kind::Lock), (1, 60));
    assert_eq!(scene.recorder.notes().collect::<Vec<_>>(), [(LOCK_WAITS, 1)]);
}

#[test]
fn an_item_is_put_and_the_oldest_is_taken() {
    let mut scene = Scene::new(Cycle::queue(10, b"/q"));
    assert_eq!(scene.reply(0, &string("/q/n-09"), 20).1, protocol::OP_GET_CHILDREN);
    assert_eq!(scene.count(Kind::Put), (1, 10));
    let first = scene.reply(0, &list(&["n-09", "n-04", "n-05"]), 30);
    assert_eq!(first, (Step::Asked, protocol::OP_GET_DATA, "/q/n-04".to_owned()));
    assert_eq!(scene.reply(NO_NODE, &[], 40).2, "/q/n-05", "another one was faster");
    assert_eq!(scene.reply(0, &[0; 72], 50), (Step::Asked, protocol::OP_DELETE, "/q/n-05".to_owned()));
    assert_eq!(scene.reply(NO_NODE, &[], 60).2, "/q/n-09", "and again");
    assert_eq!(scene.reply(NO_NODE, &[], 70).1, protocol::OP_GET_CHILDREN, "none is left of the list");
    scene.reply(0, &list(&["n-10"]), 80);
    scene.reply(0, &[0; 72], 90);
    assert_eq!(scene.reply(0, &[], 100).0, Step::Ended);
    assert_eq!(scene.count(Kind::Take), (1, 80));
    assert_eq!(scene.recorder.notes().collect::<Vec<_>>(), [(RACE_LOST, 3)]);
}

#[test]
fn errors_and_nonsense_end_a_cycle_and_are_counted() {
    let mut scene = Scene::new(Cycle::ephemeral(10, b"/e"));
    assert_eq!(scene.reply(-110, &[], 20).0, Step::Ended);
    let mut scene_of_lock = Scene::new(Cycle::lock(10, b"/l"));
    assert_eq!(scene_of_lock.reply(NO_NODE, &[], 20).0, Step::Ended, "the lock itself is not there");
    assert_eq!((scene.errors(), scene_of_lock.errors()), (vec!["NodeExists"], vec!["NoNode"]));
    let mut strange = Scene::new(Cycle::lock(10, b"/l"));
    strange.reply(0, &string("/l/n-07"), 20);
    assert_eq!(strange.reply(0, &list(&["n-01"]), 30).0, Step::Ended, "ours has vanished");
    assert_eq!(strange.errors(), ["a reply that can't be read"]);
}
