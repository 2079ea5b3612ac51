//! Hot standby: one runs, and the next one goes on where it was when it dies.

use recipes::hot_standby::replicators;

use crate::support::{Demo, connect, number_after, server, until};

/// Rows that a replicator says it has copied.
fn rows(lines: &[String]) -> Vec<i64> {
    let copies = lines.iter().filter(|line| line.contains("copies row"));
    copies.map(|line| number_after(line, "row")).collect()
}

/// Three replicators of one task; the one that runs is killed, twice. No row is left out. Twice can come only what was copied and not
/// yet said to be: the last row of one that was killed.
#[test]
fn the_next_one_goes_on_where_the_dead_one_was() {
    let server = server();
    let mut demos = vec![];
    for host in ["host1", "host2", "host3"] {
        let demo = Demo::start(&server, "hot_standby", &["orders", host]);
        demo.says("STANDBY");
        demos.push(demo);
    }
    let mut copied: Vec<Vec<i64>> = vec![];
    let mut tokens = vec![];
    for at in 0..3 {
        tokens.push(number_after(&demos[at].says("RUNNING"), "token"));
        until("some rows", || (rows(&demos[at].lines()).len() > 20).then_some(()));
        for standby in &demos[at + 1..] {
            assert!(!standby.has_said("RUNNING") && rows(&standby.lines()).is_empty());
        }
        demos[at].kill();
        copied.push(rows(&demos[at].lines()));
    }
    assert!(tokens.windows(2).all(|pair| pair[0] < pair[1]), "{tokens:?}");
    let mut next = 0;
    for (at, rows) in copied.iter().enumerate() {
        let again = at > 0 && rows[0] + 1 == next;
        assert!(rows[0] == next || again, "row {next} is next, {} was copied", rows[0]);
        assert!(rows.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{rows:?}");
        next = rows.last().expect("there are some") + 1;
    }
}

/// One that stands still while another one takes over moves nothing when it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_slept_moves_nothing() {
    let server = server();
    let first = Demo::start(&server, "hot_standby", &["orders", "host1"]);
    first.says("copies row 10");
    let second = Demo::start(&server, "hot_standby", &["orders", "host2"]);
    second.says("STANDBY");
    let client = connect(&server).await;
    let seen = replicators(&client, "orders").await.expect("listed");
    let expected = [("host1", "RUNNING"), ("host2", "STANDBY")];
    assert_eq!(seen, expected.map(|(host, state)| (host.to_owned(), state.to_owned())));
    first.signal("STOP");
    let from = number_after(&second.says("RUNNING"), "row");
    second.says(&format!("copies row {}", from + 10));
    let said = first.lines().len();
    first.signal("CONT");
    first.says_after(said, "begins anew");
    first.says_after(said, "STANDBY");
    // It may have been in the middle of one row; it said no more of any other.
    assert!(rows(&first.lines()[said..]).len() <= 1, "{:?}", &first.lines()[said..]);
    let copied = rows(&second.lines());
    assert!(copied.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{copied:?}");
    assert!(!second.has_said("begins anew"));
    let position = client.get_data("/replication/orders/position").await.expect("read").0;
    let position: i64 = String::from_utf8(position).expect("text").parse().expect("a number");
    assert!(position >= from + 10, "{position} is behind {from}");
}
