//! Each rule of `tests/tidy.rs` fails on something bad and passes on its good twin: no rule is true of everything.

use crate::imports::{imports, table};
use crate::rules::{self, Fault};
use crate::source::{Source, test_only_modules};

const LIB: &str = "\
//! | room | does | may import |
//! |---|---|---|
//! | [`base`] | ids | nothing |
//! | [`wire`] | bytes | base |
//! | [`zab`] | agreement | base, wire::peer |
//! | [`tree`] | znodes | base, wire |
//! | [`shard`] | clients | base, tree (readers) |
//! | [`config`] | settings | base |
//! | [`io`] | system calls | base |
//! | [`server`] | threads | everything above |
//! | [`sim`] | the other driver | the pure rooms |
//! | [`bench`] | the load generator | base, io |
//! | [`cli`] | subcommands | everything above but sim |
";

fn source(path: &str, text: &str) -> Source {
    Source::new(path, text, path.starts_with("tests/") || path.ends_with("_test.rs"))
}

fn lines(faults: &[Fault]) -> Vec<usize> {
    faults.iter().map(|fault| fault.line).collect()
}

/// The lines of a file at `path` with this text on which the import rule fails.
fn import_faults(path: &str, text: &str) -> Vec<usize> {
    let table = table(LIB).expect("the table above is well formed");
    lines(&imports(&source(path, text), &table))
}

#[test]
fn imports_that_the_table_allows_pass() {
    assert!(import_faults("src/base/ids.rs", "use super::limits;\nuse crate::base::Path;").is_empty());
    assert!(import_faults("src/zab/peer.rs", "use crate::wire::peer::Message;").is_empty());
    assert!(import_faults("src/shard/reads.rs", "use crate::tree::{Reader, acl};").is_empty());
    assert!(import_faults("src/cli/mod.rs", "crate::server::run(crate::io::open())").is_empty());
    assert!(import_faults("src/sim/disk.rs", "use crate::{tree::Store, shard, config};").is_empty());
    assert!(import_faults("src/main.rs", "ringkeeper::cli::run()").is_empty());
    assert!(
        import_faults("bench/load/run.rs", "use super::load; use crate::{base, bench::load, io};").is_empty()
    );
    assert!(import_faults("bench/load/main.rs", "ringkeeper::bench::main()").is_empty());
}

#[test]
fn imports_that_the_table_does_not_allow_fail() {
    assert_eq!(import_faults("src/base/ids.rs", "//! x\nuse crate::wire::Stat;"), [2]);
    assert_eq!(import_faults("src/zab/peer.rs", "use crate::wire::client;"), [1]);
    assert_eq!(import_faults("src/shard/reads.rs", "use crate::tree::{\n    Reader, Store};"), [1]);
    assert_eq!(import_faults("src/shard/reads.rs", "use crate::tree;"), [1]);
    assert_eq!(import_faults("src/cli/mod.rs", "fn a() {\n crate::sim::run() }"), [2]);
    assert_eq!(import_faults("src/sim/disk.rs", "use crate::{base::Path, io::Uring};"), [1]);
    assert_eq!(import_faults("src/tree/node.rs", "use crate::{base::{Path, Zxid},\n server};"), [1]);
    assert_eq!(import_faults("src/main.rs", "ringkeeper::server::run()"), [1]);
    assert_eq!(import_faults("bench/load/run.rs", "use crate::wire::Stat;"), [1]);
    assert_eq!(import_faults("bench/load/run.rs", "use super::super::wire::Stat;"), [1]);
    assert_eq!(import_faults("src/util/mod.rs", "//! A room that is not on the map."), [1]);
}

#[test]
fn imports_in_comments_and_strings_are_none() {
    let text = "//! [`crate::server`]\n/* crate::io /* crate::io */ */ const A: &str = \"crate::io\";\nconst B: &str = r#\"\"crate::io\"#;";
    assert!(import_faults("src/base/ids.rs", text).is_empty());
    // A quote as a character must not hide what follows.
    assert_eq!(import_faults("src/base/ids.rs", "const Q: char = '\"'; fn f<'a>() { crate::io::x() }"), [1]);
    assert_eq!(import_faults("src/base/ids.rs", "const Q: char = '\\''; fn f<'a>() { crate::io::x() }"), [1]);
}

#[test]
fn tests_of_the_shard_may_have_a_whole_tree() {
    let text = "use crate::tree::testing::World;";
    assert!(import_faults("src/shard/scene_test.rs", text).is_empty());
    assert_eq!(import_faults("src/shard/reads.rs", text), [1]);
    assert_eq!(import_faults("src/shard/scene_test.rs", "use crate::tree::Store;"), [1]);
    assert_eq!(import_faults("src/log/scene_test.rs", text), [1]);
}

#[test]
fn super_may_not_leave_its_room() {
    assert_eq!(import_faults("src/tree/mod.rs", "use super::server;"), [1]);
    assert_eq!(import_faults("src/tree/node.rs", "use super::super::server;"), [1]);
    assert!(import_faults("src/tree/node.rs", "mod tests { use super::super::store; }").is_empty());
    assert!(import_faults("src/tree/node_test.rs", "use super::super::store;").is_empty());
    assert_eq!(import_faults("src/tree/node_test.rs", "use super::super::super::server;"), [1]);
}

#[test]
fn a_table_that_cannot_be_read_is_an_error() {
    assert!(table("//! no table").is_err());
    assert!(table("//! | [`base`] | ids | nothing |\n//! | [`io`] | calls | the kitchen |").is_err());
    assert!(table("//! | [`base`] | ids").is_err());
}

#[test]
fn long_files_fail_and_the_list_only_shrinks() {
    let file = |lines: usize| source("src/a/b.rs", &"x\n".repeat(lines));
    assert!(rules::length(&file(500), None).is_empty());
    assert_eq!(rules::length(&file(501), None).len(), 1);
    assert!(rules::length(&file(600), Some(600)).is_empty());
    assert_eq!(rules::length(&file(601), Some(600)).len(), 1);
    assert_eq!(rules::length(&file(560), Some(600)).len(), 1, "the entry must be lowered");
    assert_eq!(rules::length(&file(500), Some(600)).len(), 1, "the entry must go");
    assert_eq!(rules::length(&file(1001), Some(2000)).len(), 1);
}

#[test]
fn long_lines_fail() {
    let width = rules::COLUMNS_MAX;
    assert!(rules::columns(&source("src/a.rs", &"é".repeat(width))).is_empty());
    assert_eq!(lines(&rules::columns(&source("src/a.rs", &format!("\n{}", "x".repeat(width + 1))))), [2]);
}

#[test]
fn a_file_without_header_fails() {
    assert!(rules::header(&source("src/a.rs", "//! What it does.\n")).is_empty());
    assert_eq!(rules::header(&source("src/a.rs", "use std::fmt;\n//! Late.")).len(), 1);
    assert_eq!(rules::header(&source("src/a.rs", "")).len(), 1);
}

#[test]
fn unfinished_code_fails() {
    let word = concat!("TO", "DO");
    assert_eq!(lines(&rules::unfinished(&source("src/a.rs", "fn a() {\n todo!() }"))), [2]);
    assert_eq!(lines(&rules::unfinished(&source("src/a.rs", "dbg!(1); unimplemented!()"))), [1, 1]);
    assert_eq!(lines(&rules::unfinished(&source("src/a.rs", &format!("// {word}: later")))), [1]);
    assert_eq!(lines(&rules::unfinished(&source("src/a.rs", &format!("// {word}(#soon)")))), [1]);
    assert!(rules::unfinished(&source("src/a.rs", &format!("// {word}(#12): later"))).is_empty());
    assert!(rules::unfinished(&source("src/a.rs", "// todo! is banned\nlet a = \"dbg!\";")).is_empty());
}

#[test]
fn features_and_asking_for_tests_fail() {
    assert_eq!(
        lines(&rules::conditional(&source("src/a.rs", "\n#[cfg( feature = \"simulator\")]\nmod sim;"))),
        [2]
    );
    assert_eq!(lines(&rules::conditional(&source("src/a.rs", "if cfg!(test) {}"))), [1]);
    assert!(rules::conditional(&source("src/a.rs", "#[cfg(loom)]\n#[cfg(test)]\nmod tests;")).is_empty());
}

#[test]
fn unwrap_fails_outside_tests_only() {
    assert_eq!(lines(&rules::unwraps(&source("src/a.rs", "fn a() {\n b().unwrap() }"))), [2]);
    assert!(rules::unwraps(&source("src/a.rs", "fn a() { b().unwrap_or(1) }")).is_empty());
    assert!(rules::unwraps(&source("src/a_test.rs", "fn a() { b().unwrap() }")).is_empty());
    let mixed = "#[cfg(test)]\nmod tests {\n fn a() { b().unwrap() }\n}\nfn c() { d().unwrap() }";
    assert_eq!(lines(&rules::unwraps(&source("src/a.rs", mixed))), [5]);
    let negated = "#[cfg(not(test))]\nmod real {\n fn a() { b().unwrap() }\n}";
    assert_eq!(lines(&rules::unwraps(&source("src/a.rs", negated))), [3]);
}

#[test]
fn unsafe_fails_outside_its_rooms() {
    let text = "fn a() {\n unsafe { b() } }";
    assert_eq!(lines(&rules::unsafe_code(&source("src/tree/node.rs", text))), [2]);
    assert_eq!(lines(&rules::unsafe_code(&source("tests/crash.rs", text))), [2]);
    assert!(rules::unsafe_code(&source("src/io/uring.rs", text)).is_empty());
    assert!(rules::unsafe_code(&source("src/lockfree/ring.rs", text)).is_empty());
    assert!(rules::unsafe_code(&source("src/tree/node.rs", "#![deny(unsafe_code)] // unsafe")).is_empty());
}

#[test]
fn printing_fails_outside_programs_and_tests() {
    let text = "fn a() {\n println!(\"x\") }";
    assert_eq!(lines(&rules::printing(&source("src/server/mod.rs", text))), [2]);
    assert_eq!(lines(&rules::printing(&source("src/server/mod.rs", "eprint!(\"x\")"))), [1]);
    assert!(rules::printing(&source("src/cli/mod.rs", text)).is_empty());
    assert!(rules::printing(&source("src/server/mod_test.rs", text)).is_empty());
    assert_eq!(lines(&rules::printing(&source("bench/load/run.rs", text))), [2]);
    assert!(rules::printing(&source("bench/load/main.rs", text)).is_empty());
}

#[test]
fn sleeping_tests_fail() {
    let text = "fn a() {\n thread::sleep(second) }";
    assert_eq!(lines(&rules::sleeps(&source("tests/a.rs", text), 0)), [2]);
    assert_eq!(lines(&rules::sleeps(&source("src/a_test.rs", text), 0)), [2]);
    assert_eq!(lines(&rules::sleeps(&source("tests/clients/a.py", "time.sleep(1)"), 0)), [1]);
    assert!(rules::sleeps(&source("src/a.rs", text), 0).is_empty(), "production code may wait");
    assert!(rules::sleeps(&source("tests/a.rs", text), 1).is_empty());
    assert_eq!(rules::sleeps(&source("tests/a.rs", text), 2).len(), 1, "the list may only shrink");
    assert!(rules::sleeps(&source("src/a_test.rs", "doorbell.prepare_sleep()"), 0).is_empty());
    assert!(rules::sleeps(&source("src/a_test.rs", "fn sleep() {} bell.sleep()"), 0).is_empty());
}

#[test]
fn missing_bans_are_found() {
    let toml = "disallowed-methods = [\n  { path = \"a::b\" },\n # { path = \"c::d\" },\n]";
    assert_eq!(rules::missing(toml, &["a::b", "c::d"]), ["c::d"]);
    assert!(rules::missing(toml, &["a::b"]).is_empty());
}

#[test]
fn modules_for_tests_only_are_recognised() {
    let text = "mod a;\n#[cfg(test)]\nmod model_disk;\n#[cfg(all(test, not(loom)))]\n#[path = \"b_test.rs\"]\n\
                mod tests;\n#[cfg(loom)]\nmod c;";
    let found: Vec<String> = test_only_modules("src/log/mod.rs", text).into_iter().collect();
    assert_eq!(found, ["src/log/b_test.rs", "src/log/model_disk.rs"]);
    let child: Vec<String> =
        test_only_modules("src/log/entry.rs", "#[cfg(test)]\nmod naive;").into_iter().collect();
    assert_eq!(child, ["src/log/entry/naive.rs"]);
}
