//! Tests of `mix`: what is read, refused, and drawn.

use super::*;

#[test]
fn operations_are_read_and_wrong_ones_named() {
    assert_eq!("get".parse(), Ok(Work::Mix(Mix::only(Op::Get))));
    assert_eq!("getchildren".parse(), Ok(Work::Mix(Mix::only(Op::Children))));
    assert_eq!("watch".parse(), Ok(Work::Watch));
    assert_eq!("connect".parse(), Ok(Work::Connect));
    for wrong in ["", "mixed", "mixed:1.1", "mixed:x", "get:1", "lokc"] {
        assert!(wrong.parse::<Work>().is_err(), "{wrong}");
    }
    for work in ["mixed:0.9", "getChildren", "watch"] {
        assert_eq!(work.parse::<Work>().expect("right").to_string(), work);
    }
}

#[test]
fn mixes_are_read_and_wrong_ones_named() {
    assert!(parse_mix("get=90, set=8.5,lock=0").expect("right").has(&[Op::Set]));
    assert!(!parse_mix("get=90,lock=0").expect("right").has(&[Op::Lock]));
    for (wrong, named) in [
        ("get", "OP=SHARE"),
        ("get=x", "share of get"),
        ("get=-1,set=2", "share of get"),
        ("get=0,set=0", "all shares"),
        ("get=1,get=2", "two shares"),
        ("gte=1", "gte"),
        ("get=NaN", "share of get"),
        ("watch=1", "watch"),
    ] {
        let error = parse_mix(wrong).expect_err(wrong);
        assert!(error.contains(named), "{wrong}: {error}");
    }
}

#[test]
fn each_operation_gets_its_share() {
    let mix = parse_mix("get=90,set=8,create=1,delete=1").expect("right");
    let mut rng = Prng::new(7);
    let mut counts = [0; 4];
    for _ in 0..100_000 {
        let drawn = mix.draw(&mut rng);
        let ops = [Op::Get, Op::Set, Op::Create, Op::Delete];
        counts[ops.iter().position(|op| *op == drawn).expect("one of the four")] += 1;
    }
    for (count, expected) in counts.into_iter().zip([90_000, 8_000, 1_000, 1_000]) {
        assert!((expected * 9 / 10..expected * 11 / 10).contains(&count), "{counts:?}");
    }
}

#[test]
fn the_ends_of_a_share_are_kept() {
    let mut rng = Prng::new(1);
    for (text, op) in [("mixed:1", Op::Get), ("mixed:0", Op::Set)] {
        let Ok(Work::Mix(mix)) = text.parse() else { panic!("{text} is a mix") };
        assert!((0..1000).all(|_| mix.draw(&mut rng) == op), "{text}");
    }
}
