//! The import table of `src/lib.rs`, read from its documentation and held against every `crate::…` in the code.

use std::collections::{BTreeMap, BTreeSet};

use crate::rules::Fault;
use crate::source::{BENCH, Source, block_end, words};

/// What `shard` may take from room `tree`: "(readers)" in the table.
const READER_HALF: &[&str] = &["Reader", "Reading", "Place", "Node", "Kind", "acl"];

/// And what its tests may: a whole tree to read, which the server never hands to a shard.
const TREE_FOR_TESTS: &str = "tree::testing::";

/// The virtual cluster is a driver, as room `sim` is: it puts shards on top of replicas and shares `sim`'s disk.
const CLUSTER: &str = "src/replica/ensemble/cluster_test/";
const OF_THE_CLUSTER: &[&str] = &["shard", "sim::disk"];

/// Per room, the paths it may import: `base`, `wire::peer`.
pub type Table = BTreeMap<String, BTreeSet<String>>;

/// Reads the table of rooms from the documentation of `lib.rs`. An error says which row can't be understood.
pub fn table(lib: &str) -> Result<Table, String> {
    let mut rows: Vec<(String, String)> = Vec::new();
    for line in lib.lines().filter_map(|line| line.strip_prefix("//! | [`")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        match (cells.first(), cells.get(2)) {
            (Some(room), Some(imports)) => rows.push((
                room.trim_start_matches("mod@").trim_end_matches("`]").to_owned(),
                (*imports).to_owned(),
            )),
            _ => return Err(format!("src/lib.rs: a row of the table has no third column: {line}")),
        }
    }
    if rows.is_empty() {
        return Err("src/lib.rs: there is no table of rooms (rows begin with \"//! | [`room`]\")".to_owned());
    }
    let position = |name: &str| rows.iter().position(|(room, _)| room == name);
    let mut table = Table::new();
    for (index, (room, imports)) in rows.iter().enumerate() {
        let names =
            |range: &[(String, String)]| range.iter().map(|(room, _)| room.clone()).collect::<BTreeSet<_>>();
        let allowed = match imports.as_str() {
            "nothing" => BTreeSet::new(),
            "everything above" => names(&rows[..index]),
            "everything above but sim" => {
                names(&rows[..index]).into_iter().filter(|room| room != "sim").collect()
            }
            // Between `wire` and `shard`, and what those stand on; configuration and metrics are values too.
            "the pure rooms" => {
                let shard = position("shard").ok_or("src/lib.rs: the table has no room `shard`")?;
                let mut pure = names(&rows[..=shard]);
                pure.extend(["config".to_owned(), "admin".to_owned()]);
                pure
            }
            listed => {
                let mut allowed = BTreeSet::new();
                for name in listed.split(", ") {
                    let (name, half) = match name.strip_suffix(" (readers)") {
                        Some(name) => (name, true),
                        None => (name, false),
                    };
                    let first = name.split("::").next().unwrap_or(name);
                    if position(first).is_none() {
                        return Err(format!("src/lib.rs: room {room} may import {name:?}, which is no room"));
                    }
                    if half {
                        allowed.extend(READER_HALF.iter().map(|item| format!("{name}::{item}")));
                    } else {
                        allowed.insert(name.to_owned());
                    }
                }
                allowed
            }
        };
        table.insert(room.clone(), allowed);
    }
    Ok(table)
}

/// Imports of rooms that the table does not allow, and paths that leave a room by `super`.
pub fn imports(file: &Source, table: &Table) -> Vec<Fault> {
    let Some(room) = file.room() else { return Vec::new() };
    let paths = crate_paths(&file.code);
    match room {
        "lib" => return Vec::new(),
        "main" => {
            return words(&file.code, "ringkeeper")
                .into_iter()
                .filter(|at| !file.code[*at..].starts_with("ringkeeper::cli"))
                .map(|at| Fault::new(file, at, "main.rs may use ringkeeper::cli and nothing else".to_owned()))
                .collect();
        }
        _ => {}
    }
    let Some(allowed) = table.get(room) else {
        return vec![Fault::new(file, 0, format!("room {room} is not in the table of src/lib.rs"))];
    };
    let mut faults = Vec::new();
    for (at, path) in paths {
        let own = path == room || path.starts_with(&format!("{room}::"));
        let fits = |name: &String| path == *name || path.starts_with(&format!("{name}::"));
        let is_test = file.is_test(file.line_of(&file.code, at));
        let of_cluster = |allowed: &&str| path == **allowed || path.starts_with(&format!("{allowed}::"));
        let for_tests = room == "shard" && is_test && path.starts_with(TREE_FOR_TESTS)
            || file.path.starts_with(CLUSTER) && OF_THE_CLUSTER.iter().any(of_cluster);
        if !own && !for_tests && !allowed.iter().any(fits) {
            let message =
                format!("room {room} imports crate::{path}, which the table of src/lib.rs does not allow");
            faults.push(Fault::new(file, at, message));
        }
    }
    faults.extend(super_out_of_room(file));
    faults
}

/// Every path that begins with `crate::`, without `crate::`; groups are taken apart one level deep.
fn crate_paths(code: &str) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        expand(rest, "", at, &mut paths);
    }
    paths
}

fn expand(rest: &str, prefix: &str, at: usize, paths: &mut Vec<(usize, String)>) {
    if rest.starts_with('{') {
        let group = &rest[1..block_end(rest, 0)];
        for item in split_top_level(group) {
            expand(item.trim(), prefix, at, paths);
        }
        return;
    }
    let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':').collect();
    let trimmed = name.trim_end_matches("::");
    let path = format!("{prefix}{trimmed}");
    let behind = &rest[name.len()..];
    if name.ends_with("::") && behind.starts_with('{') {
        expand(behind, &format!("{path}::"), at, paths);
    } else if !path.is_empty() {
        paths.push((at, path));
    }
}

/// Splits at commas outside braces.
fn split_top_level(group: &str) -> Vec<&str> {
    let (mut items, mut depth, mut start) = (Vec::new(), 0usize, 0);
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                items.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(&group[start..]);
    items.retain(|item| !item.trim().is_empty());
    items
}

/// Chains of `super::` that reach the root of the crate: another room is named by `crate::`, so that it can be seen.
fn super_out_of_room(file: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    let code = &file.code;
    let mut at = 0;
    while let Some(found) = code[at..].find("super::") {
        let start = at + found;
        let mut ups = 0;
        at = start;
        while code[at..].starts_with("super::") {
            (at, ups) = (at + "super::".len(), ups + 1);
        }
        if ups >= module_depth(file, start) {
            let message = "`super` leaves the room: name another room by `crate::`".to_owned();
            faults.push(Fault::new(file, start, message));
        }
    }
    faults
}

/// How deep in the crate the code at `at` is: 1 for the top of `src/tree/mod.rs`.
fn module_depth(file: &Source, at: usize) -> usize {
    let inside = match file.path.strip_prefix(BENCH) {
        Some(inside) => format!("bench/{inside}"),
        None => file.path.trim_start_matches("src/").to_owned(),
    };
    let inside = inside.trim_end_matches(".rs").trim_end_matches("/mod");
    let mut depth = inside.split('/').count();
    // `foo_test.rs` is the module `tests` within `foo`, by a path attribute.
    if inside.ends_with("_test") {
        depth += 1;
    }
    for (start, _) in file.code.match_indices("mod ") {
        let Some(open) = file.code[start..].find(['{', ';']).map(|end| start + end) else { continue };
        if start < at && file.code[open..].starts_with('{') && block_end(&file.code, open) > at {
            depth += 1;
        }
    }
    depth
}
