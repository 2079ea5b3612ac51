//! Values: numbers, booleans, addresses, sizes.

use super::*;

#[test]
fn numbers() {
    let cases: &[(&str, Result<i64, &str>)] = &[
        ("5", Ok(5)),
        ("-5", Ok(-5)),
        ("+5", Ok(5)),
        ("007", Ok(7)),
        ("0x10", Ok(16)),
        ("-0X1", Ok(-1)),
        ("100", Ok(100)),
        ("101", Err("out of range; allowed: whole numbers from -5 to 100 (ms)")),
        ("-6", Err("out of range; allowed: whole numbers from -5 to 100 (ms)")),
        ("", Err("not a whole number; allowed: whole numbers from -5 to 100 (ms)")),
        ("-", Err("not a whole number; allowed: whole numbers from -5 to 100 (ms)")),
        ("--5", Err("not a whole number; allowed: whole numbers from -5 to 100 (ms)")),
        ("0x", Err("not a whole number; allowed: whole numbers from -5 to 100 (ms)")),
        ("0x-1", Err("not a whole number; allowed: whole numbers from -5 to 100 (ms)")),
        ("1.5", Err("not a whole number; allowed: whole numbers from -5 to 100 (ms)")),
        ("1 2", Err("not a whole number; allowed: whole numbers from -5 to 100 (ms)")),
        ("99999999999999999999", Err("not a whole number; allowed: whole numbers from -5 to 100 (ms)")),
        ("٣", Err("not a whole number; allowed: whole numbers from -5 to 100 (ms)")),
    ];
    for (text, expected) in cases {
        assert_eq!(number(text, &(-5..=100), "ms"), expected.map_err(str::to_owned), "{text:?}");
    }
}

#[test]
fn booleans() {
    for (text, expected) in
        [("true", Some(true)), ("FALSE", Some(false)), ("yes", None), ("1", None), ("", None)]
    {
        assert_eq!(boolean(text).ok(), expected, "{text:?}");
    }
    for (text, expected) in
        [("yes", Some(true)), ("no", Some(false)), ("No", None), ("true", None), ("on", None), ("", None)]
    {
        assert_eq!(yes_or_no(text).ok(), expected, "{text:?}");
    }
}

#[test]
fn processor_lists() {
    let cases: &[(&str, Option<&[u16]>)] = &[
        ("2", Some(&[2])),
        ("2,3", Some(&[2, 3])),
        ("3, 2 ,2", Some(&[2, 3])),
        ("0-3", Some(&[0, 1, 2, 3])),
        ("0-1,1023", Some(&[0, 1, 1023])),
        ("5-5", Some(&[5])),
        ("3-1", None),
        ("1024", None),
        ("-1", None),
        ("1-", None),
        ("", None),
        ("1,,2", None),
        ("all", None),
    ];
    for (text, expected) in cases {
        let cores = cores(text).ok().map(|cores| cores.into_iter().collect::<Vec<u16>>());
        assert_eq!(cores.as_deref(), *expected, "{text:?}");
    }
}

/// A list, whether read-only mode is on, words inside and outside of it, words nobody knows.
type Words = &'static [&'static str];
type List = (&'static str, bool, Words, Words, Words);

#[test]
fn whitelists() {
    let cases: &[List] = &[
        ("", false, &["srvr"], &["ruok", "isro", "stat"], &[]),
        ("", true, &["srvr", "isro"], &["ruok"], &[]),
        ("ruok, stat,,mntr ", false, &["srvr", "ruok", "stat", "mntr"], &["conf"], &[]),
        ("*", false, &["srvr", "ruok", "wchp", "isro"], &[], &[]),
        ("ruok,*", false, &["mntr"], &[], &[]),
        ("ruok,abcd,rouk!", false, &["ruok"], &["abcd"], &["abcd", "rouk!"]),
        ("RUOK", false, &["srvr"], &["ruok"], &["RUOK"]),
    ];
    for (list, read_only, inside, outside, unknown) in cases {
        let (whitelist, strangers) = Whitelist::new(list, *read_only);
        let contains = |word: &str| whitelist.contains(word.as_bytes().try_into().unwrap());
        assert!(inside.iter().all(|word| contains(word)), "{list:?}");
        assert!(!outside.iter().any(|word| contains(word)), "{list:?}");
        assert_eq!(&strangers, unknown, "{list:?}");
    }
}

#[test]
fn super_digests() {
    let good = "super:g9oN2HttPfn8MMWJZ2r45Np/LIA=";
    assert_eq!(SuperDigest::new(good).unwrap().reveal(), good);
    assert_eq!(format!("{:?}", SuperDigest::new(good).unwrap()), "SuperDigest(…)");
    for bad in [
        "",
        "super",
        "super:",
        "super:secret",
        ":g9oN2HttPfn8MMWJZ2r45Np/LIA=",
        "super:g9oN2HttPfn8MMWJZ2r45Np/LIAA",
        "super:g9oN2HttPfn8MMWJZ2r45Np/éA=",
        "super:g9oN2HttPfn8MMWJZ2r45Np!LIA=",
    ] {
        let problem = SuperDigest::new(bad).unwrap_err();
        assert!(bad.is_empty() || !problem.contains(bad), "{problem}");
    }
}

#[test]
fn hosts() {
    let address = |text: &str| Some(Host::Address(text.parse().unwrap()));
    let cases = [
        ("127.0.0.1", address("127.0.0.1")),
        ("::1", address("::1")),
        ("[fe80::1]", address("fe80::1")),
        ("0.0.0.0", Some(Host::All)),
        ("::", Some(Host::All)),
        ("localhost", address("127.0.0.1")),
        ("zoo-1.example.org", Some(Host::Name("zoo-1.example.org".to_owned()))),
        ("", None),
        ("a b", None),
        ("host:2181", None),
    ];
    for (text, expected) in cases {
        assert_eq!(Host::new(text), expected, "{text:?}");
    }
}
