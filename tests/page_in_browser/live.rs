//! Figures that move, an ensemble and its members, a server that goes and comes back.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::browser::Browser;
use crate::support::admin::members;
use crate::support::client::PERSISTENT;
use crate::support::{Client, Config, Server, until};
use crate::{start, with_admin};

/// Reads and writes at this server until it is told to stop.
fn load(server: &Server, stop: &AtomicBool) {
    let mut client = Client::connect(server);
    client.create("/load", b"", PERSISTENT);
    while !stop.load(Relaxed) {
        client.set_data("/load", &[b'x'; 100], -1).expect("a write");
        for _ in 0..4 {
            assert_eq!(client.data("/load").len(), 100);
        }
    }
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// The value on a card.
fn card(browser: &Browser, name: &str) -> String {
    let cards = browser.text("#cards");
    let mut lines = cards.lines().skip_while(|line| *line != name);
    lines.nth(1).unwrap_or_else(|| panic!("no {name} in {cards}")).to_owned()
}

/// The number behind a word of a plot's caption, with its unit.
fn is_moving(browser: &Browser, plot: usize, word: &str) {
    let labels = format!("document.querySelectorAll('#plots figure')[{plot}].querySelectorAll('span')");
    // Not "reads 0" and not "reads –".
    let script = format!("return [...{labels}].some(label => /^{word} ?[1-9]/.test(label.innerText))");
    browser.wait_for("a figure of the load", &script);
    let points = format!(
        "return document.querySelectorAll('#plots svg')[{plot}].querySelector('polyline').points.numberOfItems > 3"
    );
    browser.wait_for("a line of it", &points);
}

#[test]
fn figures_move_under_load() {
    let (server, port) = start(Config::default());
    let browser = Browser::open(port);
    browser.wait_for_text("#state", "standalone");
    let before = (card(&browser, "zxid"), card(&browser, "znodes"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| load(&server, &stop));
        is_moving(&browser, 0, "writes");
        is_moving(&browser, 0, "reads");
        is_moving(&browser, 1, "writes");
        is_moving(&browser, 1, "reads");
        is_moving(&browser, 2, "");
        is_moving(&browser, 3, "in");
        is_moving(&browser, 3, "out");
        until("the cards to follow", || {
            let now = (card(&browser, "zxid"), card(&browser, "znodes"));
            (now.0 != before.0 && now.1 != before.1).then_some(())
        });
        browser.wait_for(
            "the threads' shares",
            "return [...document.querySelectorAll('#threads td')].some(cell => /^[1-9][\\d.]* %$/.test(cell.innerText))",
        );
        for name in ["sessions", "watches", "connections", "disk left", "log", "memory"] {
            assert!(card(&browser, name).starts_with(|first: char| first.is_ascii_digit()), "{name}");
        }
        // Long enough for lines to be seen in the pictures.
        browser.wait_for(
            "some more of the lines",
            "return document.querySelector('#plots polyline').points.numberOfItems > 8",
        );
        browser.take_pictures("standalone");
    });
    assert!(
        browser.run("return document.getElementById('ensemble').hidden") == true,
        "a lone server has none"
    );
    browser.assert_at_home(port, false);
}

#[test]
fn a_server_that_goes_and_comes_back_is_seen() {
    let (mut server, port) = start(Config::default());
    let browser = Browser::open(port);
    browser.wait_for_text("#state", "standalone");
    server.kill();
    browser.wait_for_text("#state", "no answer");
    assert!(browser.run("return document.body.className") == "stale");
    server.restart();
    browser.wait_for_text("#state", "standalone");
    assert!(browser.run("return document.body.className") == "");
}

#[test]
fn every_member_of_an_ensemble_is_shown() {
    let (mut ensemble, ports) = members(|_, config| with_admin(config));
    ensemble.launch_all();
    let leader = ensemble.settle();
    let follower = ensemble.follower(leader);
    let page = ports[leader + 1];
    let browser = Browser::open(page);
    browser.wait_for_text("#state", "leader");
    browser.wait_for("all members", "return document.querySelectorAll('#members tr').length === 4");
    let cell = |row: usize, column: usize| {
        browser.text(&format!("#members tr:nth-child({}) td:nth-child({column})", row + 1))
    };
    assert_eq!((cell(leader, 1), cell(leader, 2)), (format!("{} (this)", leader + 1), "leader".to_owned()));
    assert_eq!((cell(follower, 2), cell(follower, 3)), ("follower".to_owned(), "in step".to_owned()));
    assert_eq!((cell(3, 2), cell(3, 3)), ("observer".to_owned(), "in step".to_owned()));
    let quorum = format!("127.0.0.1:{}", ensemble.quorum_ports[follower]);
    assert_eq!(cell(follower, 6), quorum);
    assert!(card(&browser, "epoch").parse::<u64>().is_ok_and(|epoch| epoch > 0));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| load(&ensemble.servers[follower], &stop));
        browser.wait_for_text(&format!("#members tr:nth-child({}) td:nth-child(5)", follower + 1), "0x");
        let before = cell(follower, 5);
        until("its zxid to rise", || (cell(follower, 5) != before).then_some(()));
        assert!(cell(follower, 4).parse::<u64>().is_ok(), "transactions behind: {}", cell(follower, 4));
        browser.take_pictures("leader");
    });
    ensemble.servers[follower].kill();
    browser
        .wait_for_text(&format!("#members tr:nth-child({}) td:nth-child(3)", follower + 1), "not connected");
    browser.assert_at_home(page, false);

    let observer = ports[4];
    browser.go_to(&format!("http://127.0.0.1:{observer}/"));
    browser.wait_for_text("#state", "observer");
    browser.wait_for_text("#of-others", &format!("their leader {} shows", leader + 1));
    browser.wait_for("a second look", "return document.querySelectorAll('#threads td').length > 2");
    browser.take_pictures("observer");
}
