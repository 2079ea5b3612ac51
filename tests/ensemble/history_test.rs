//! The judge: what it must see.

use super::*;
use crate::reads::Found;

#[test]
fn the_judge_sees_what_is_lost_resurrected_or_out_of_order() {
    let told = |zxid: i64| Acknowledged { zxid, begun: zxid as u64 * 10, ended: zxid as u64 * 10 + 5 };
    let path = |number: i64| format!("/w/n{number}");
    let history = || {
        let story = Story {
            batches: vec![(1..=4).map(path).collect()],
            created: (1..=2).map(|number| (path(number), told(number))).collect(),
            counter_acknowledged: 2,
            counter_sent: 4,
            ..Story::default()
        };
        History { stories: BTreeMap::from([("/w".to_owned(), story)]), ..History::default() }
    };
    let tree = |numbers: &[i64], counter: &str| {
        let znode = |number: i64| Znode { data: Some(path(number).into_bytes()), stat: [number; 9] };
        let mut tree: BTreeMap<_, _> = numbers.iter().map(|number| (path(*number), znode(*number))).collect();
        let data = Some(counter.as_bytes().to_vec());
        tree.insert("/w/counter".to_owned(), Znode { data, stat: [0; 9] });
        tree
    };
    let fault =
        |numbers: &[i64], counter: &str| history().judge(&tree(numbers, counter)).expect_err("a fault");
    assert_eq!(history().judge(&tree(&[1, 2], "2")), Ok(()));
    assert_eq!(history().judge(&tree(&[1, 2, 3], "4")), Ok(()));
    assert!(fault(&[1], "2").contains("is lost"));
    assert!(fault(&[1, 2, 4], "2").contains("one before it"));
    assert!(fault(&[1, 2, 3, 4, 5], "2").contains("nobody"));
    assert!(fault(&[1, 2], "1").contains("counter"));
    assert!(fault(&[1, 2], "refused").contains("counter"));
    let mut seen = history();
    assert_eq!(seen.judge(&tree(&[1, 2], "2")), Ok(()));
    assert!(seen.judge(&tree(&[1, 2, 3], "2")).is_err_and(|fault| fault.contains("was there")));
    let mut other = tree(&[1, 2], "2");
    other.get_mut("/w/n2").expect("just made").stat[0] = 7;
    assert!(history().judge(&other).is_err_and(|fault| fault.contains("told")));
    // What reads are held to is in `reads.rs`; here, that they are.
    let mut stale = history();
    let counter = "/w/counter".to_owned();
    let found = Some(Found { mzxid: 1, value: 1 });
    let read = Read { path: counter.clone(), zxid: 1, found, synced: Some(99), own: 0 };
    stale.stories.get_mut("/w").expect("just made").reads.push(read.clone());
    assert!(stale.judge(&tree(&[1, 2], "2")).is_err_and(|fault| fault.contains("is stale")));
    let mut lost = history();
    let read = Read { zxid: 9, found: Some(Found { mzxid: 9, value: 4 }), ..read };
    lost.stories.get_mut("/w").expect("just made").reads.push(read);
    assert!(lost.judge(&tree(&[1, 2], "2")).is_err_and(|fault| fault.contains("is lost")));
    assert!(linearizable([told(3), told(3)].iter()).is_err());
    let late = Acknowledged { zxid: 1, begun: 99, ended: 100 };
    assert!(linearizable([told(2), late].iter()).is_err_and(|fault| fault.contains("began when")));
}
