//! getAcl, setAcl, addauth, whoami.

use serde_json::{Value, json};

use super::super::console::Console;
use super::reads::visit;
use super::{Context, Parsed, Trouble, stat_text, version};
use crate::wire::OwnedAcl;
use crate::wire::acl::perms;

/// The letters of the permissions, in the order in which they are printed.
const LETTERS: [(char, i32); 5] = [
    ('c', perms::CREATE),
    ('d', perms::DELETE),
    ('r', perms::READ),
    ('w', perms::WRITE),
    ('a', perms::ADMIN),
];

/// `scheme:id:perms,…`, cut at the first and the last colon. What isn't like that is told of and left out.
pub fn parse_acl(text: &str, console: &Console) -> Vec<OwnedAcl> {
    let mut list = Vec::new();
    // As Java splits: without empty parts at the end.
    for entry in text.trim_end_matches(',').split(',') {
        let (first, last) = (entry.find(':'), entry.rfind(':'));
        let (Some(first), Some(last)) = (first, last) else {
            console.complain(&format!("{entry} does not have the form scheme:id:perm"));
            continue;
        };
        if first == last {
            console.complain(&format!("{entry} does not have the form scheme:id:perm"));
            continue;
        }
        let mut bits = 0;
        for letter in entry[last + 1..].chars() {
            match LETTERS.iter().find(|(known, _)| *known == letter) {
                Some((_, bit)) => bits |= bit,
                None => console.complain(&format!("Unknown perm type: {letter}")),
            }
        }
        list.push(OwnedAcl::new(bits, &entry[..first], &entry[first + 1..last]));
    }
    list
}

pub fn letters(bits: i32) -> String {
    LETTERS.iter().filter(|(_, bit)| bits & bit != 0).map(|(letter, _)| *letter).collect()
}

/// The bits of letters; none if one isn't known.
pub fn perms_of(text: &str) -> Option<i32> {
    let bit = |letter| LETTERS.iter().find(|(known, _)| *known == letter).map(|(_, bit)| bit);
    text.chars().try_fold(0, |bits, letter| Some(bits | bit(letter)?))
}

pub fn acl_json(list: &[OwnedAcl]) -> Value {
    let entry = |acl: &OwnedAcl| json!({"scheme": acl.scheme, "id": acl.id, "perms": letters(acl.perms)});
    list.iter().map(entry).collect()
}

pub fn acl(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let path = parsed.argument(1).unwrap_or_default();
    let (list, stat) = context.client.acl(path)?;
    for OwnedAcl { perms, scheme, id } in &list {
        context.console.line(&format!("'{scheme},'{id}\n: {}", letters(*perms)));
    }
    if parsed.has("s") {
        context.stat(&stat);
    }
    context.console.value(&json!({"path": path, "acl": acl_json(&list), "stat": stat_text::json(&stat)}));
    Ok(())
}

pub fn set_acl(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let path = parsed.argument(1).unwrap_or_default();
    let list = parse_acl(parsed.argument(2).unwrap_or_default(), context.console);
    let version = version(parsed)?;
    let (client, console) = (&**context.client, context.console);
    if parsed.has("R") {
        return visit(client, path, false, &mut |node| {
            match client.set_acl(node, &list, version) {
                Ok(_) => console.value(&json!({ "path": node })),
                Err(failure) if console.is_json() => {
                    console.value(&json!({"path": node, "error": failure.name()}));
                }
                // Without an end of line, as in Apache's shell.
                Err(failure) => console.raw(failure.exception_text().as_bytes()),
            }
            Ok(())
        });
    }
    let stat = client.set_acl(path, &list, version)?;
    if parsed.has("s") {
        context.stat(&stat);
    }
    context.console.value(&json!({"path": path, "stat": stat_text::json(&stat)}));
    Ok(())
}

pub fn add_auth(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let auth = parsed.argument(2).unwrap_or_default();
    context.client.add_auth(parsed.argument(1).unwrap_or_default(), auth.as_bytes());
    Ok(())
}

pub fn who_am_i(context: &mut Context<'_>, _: &Parsed) -> Result<(), Trouble> {
    let identities = context.client.who_am_i()?;
    context.console.line("Auth scheme: User");
    for (scheme, user) in &identities {
        context.console.line(&format!("{scheme}: {user}"));
    }
    let identity = |(scheme, user): &(String, String)| json!({"scheme": scheme, "user": user});
    context.console.value(&identities.iter().map(identity).collect());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::console::{Colours, Form};
    use super::*;

    #[test]
    fn acls_are_cut_at_the_first_and_the_last_colon() {
        let console = Console::new(Form::Text, Colours::default());
        let parse = |text: &str| parse_acl(text, &console);
        assert_eq!(
            parse("world:anyone:cdrwa,digest:zs:hash=:r,ip:::1:rw"),
            [
                OwnedAcl::new(31, "world", "anyone"),
                OwnedAcl::new(1, "digest", "zs:hash="),
                OwnedAcl::new(3, "ip", "::1")
            ]
        );
        assert_eq!(parse("auth::rx"), [OwnedAcl::new(1, "auth", "")]);
        assert_eq!(parse("nonsense,world:anyone"), []);
        assert_eq!(letters(31), "cdrwa");
        assert_eq!(letters(5), "cr");
    }
}
