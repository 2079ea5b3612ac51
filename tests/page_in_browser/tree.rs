//! The tree browser: by hand, by keyboard, page by page, with and without authentication; names and data that look like code.

use ringkeeper::wire::client::{AuthPacket, SetAclRequest};
use ringkeeper::wire::vector::encode_vector;
use ringkeeper::wire::{AclList, Decode, Encode, ErrorCode, Opcode, OwnedAcl, Reader};

use crate::browser::{Browser, ENTER, TAB};
use crate::start;
use crate::support::client::{EPHEMERAL, PERSISTENT};
use crate::support::{Client, Config};

/// As clients send it: in UTF-8.
fn become_bob(client: &mut Client) {
    let mut packet = vec![];
    let shown = "bob:sécret7".as_bytes();
    AuthPacket { auth_type: 0, scheme: Some("digest".into()), auth: Some(shown) }.encode(&mut packet);
    client.send_raw(-4, Opcode::Auth.code(), &packet);
    assert_eq!(client.next_reply().code(), ErrorCode::Ok);
}

/// For the one who has authenticated, and for some others.
fn set_acl(client: &mut Client, path: &str, others: &[OwnedAcl]) {
    let mut list = vec![];
    encode_vector(&mut list, [&[OwnedAcl::new(31, "auth", "")][..], others].concat());
    let acl = AclList::decode(&mut Reader::new(&list)).expect("encoded above");
    let set = SetAclRequest { path: path.into(), acl: Some(acl), version: -1 };
    assert_eq!(client.call(Opcode::SetAcl, &set).code(), ErrorCode::Ok);
}

fn child(name: &str) -> String {
    format!("return [...document.querySelectorAll('#children a')].some(link => link.innerText === {name:?})")
}

fn click_child(browser: &Browser, name: &str) {
    browser.wait_for("the child", &child(name));
    let at = browser.run(&format!(
        "return [...document.querySelectorAll('#children a')].findIndex(link => link.innerText === {name:?}) + 1"
    ));
    browser.click(&format!("#children tr:nth-child({at}) a"));
}

#[test]
fn the_tree_is_walked_and_data_is_shown_to_who_may_see_it() {
    let (server, port) = start(Config::default());
    let mut client = Client::connect(&server);
    client.create("/app", b"a line\nand another", PERSISTENT);
    client.create("/app/bytes", b"\x00\xff\x10binary", PERSISTENT);
    client.create("/app/secret", b"hidden", PERSISTENT);
    client.create("/app/secret/below", b"", PERSISTENT);
    client.create("/app/worker", b"", EPHEMERAL);
    become_bob(&mut client);
    let anybody = OwnedAcl::new(1, "world", "anyone");
    set_acl(&mut client, "/app/secret", &[]);
    set_acl(&mut client, "/", std::slice::from_ref(&anybody));

    let browser = Browser::open(port);
    click_child(&browser, "app");
    browser.wait_for_text("#crumbs", "app");
    browser.wait_for_text("#shown", "3 children");
    browser.wait_for_text("#stat", "version");
    assert_eq!(browser.text("#acl"), "world:anyone:cdrwa");
    browser.wait_for_text("#data", "Shown to who has authenticated");
    assert_eq!(browser.text("#children tr:nth-child(2) td:nth-child(2)"), "not to be read");
    assert_eq!(browser.text("#children tr:nth-child(3) td:nth-child(2)"), "ephemeral");
    // What only bob may read is refused.
    click_child(&browser, "secret");
    browser.wait_for_text("#trouble", "Not everybody may read it: authenticate");
    assert!(browser.run("return document.getElementById('sight').hidden") == true);

    // Another's word isn't enough, and what all may see is seen nevertheless.
    browser.type_into("#user", "ann");
    browser.type_into("#password", "guess");
    browser.click("#who button");
    browser.wait_for_text("#trouble", "Not authorized");
    browser.type_into("#path", "/app");
    browser.click("#go button");
    browser.wait_for_text("#shown", "3 children");
    browser.wait_for_text("#trouble", "As ann: Not authorized");
    browser.wait_for_text("#data", "Shown to who has authenticated");

    browser.type_into("#user", "bob");
    browser.type_into("#password", "sécret7");
    browser.click("#who button");
    browser.wait_for_text("#data", "a line\nand another");
    assert!(browser.run("return document.getElementById('trouble').hidden") == true);
    assert_eq!(
        browser.run("return document.getElementById('password').value"),
        "",
        "it isn't kept in the form"
    );
    click_child(&browser, "secret");
    browser.wait_for_text("#data", "hidden");
    browser.wait_for_text("#acl", "digest:bob:");
    browser.take_pictures("tree");
    browser.run("history.back()");
    browser.wait_for_text("#shown", "3 children");
    click_child(&browser, "bytes");
    browser.wait_for_text("#data", "000000  00 ff 10 62");
    browser.click("#crumbs a:nth-child(2)");
    browser.wait_for_text("#shown", "3 children");

    browser.click("#forget");
    browser.wait_for_text("#data", "Shown to who has authenticated");
    let kept = "return [localStorage.length, sessionStorage.length, document.cookie].join()";
    assert_eq!(browser.run(kept), "0,0,");
    browser.type_into("#path", "/nowhere");
    browser.click("#go button");
    browser.wait_for_text("#trouble", "no znode at /nowhere");
    browser.type_into("#path", "nowhere/");
    browser.click("#go button");
    browser.wait_for_text("#trouble", "no path of a znode");
    browser.assert_at_home(port, true);
}

#[test]
fn many_children_come_in_pages() {
    let (server, port) = start(Config::default());
    let mut client = Client::connect(&server);
    client.create("/many", b"", PERSISTENT);
    for at in 0..250 {
        client.create(&format!("/many/n{at:03}"), b"", PERSISTENT);
    }
    let browser = Browser::open(port);
    browser.type_into("#path", "/many");
    browser.press(ENTER);
    browser.wait_for_text("#shown", "100 of 250 children");
    assert!(browser.run("return document.getElementById('first').disabled") == true);
    let first = "#children tr:first-child a";
    assert_eq!(browser.text(first), "n000");
    browser.click("#next");
    browser.wait_for_text(first, "n100");
    browser.click("#next");
    browser.wait_for_text(first, "n200");
    browser.wait_for_text("#shown", "50 of 250");
    assert!(browser.run("return document.getElementById('next').disabled") == true);
    browser.type_into("#from", "n17");
    browser.press(ENTER);
    browser.wait_for_text(first, "n170");
    browser.take_pictures("many");
    browser.click("#first");
    browser.wait_for_text(first, "n000");
    browser.assert_at_home(port, false);
}

#[test]
fn the_keyboard_is_enough() {
    let (server, port) = start(Config::default());
    let mut client = Client::connect(&server);
    for path in ["/a", "/a/b", "/a/b/c"] {
        client.create(path, b"", PERSISTENT);
    }
    let browser = Browser::open(port);
    browser.wait_for("the root's children", &child("a"));
    // Down to the leaf: from where the focus is to the next child, never with a mouse.
    for (name, crumbs) in [("a", "/a"), ("b", "/a/b"), ("c", "/a/b/c")] {
        let has_focus = format!(
            "return document.activeElement.closest('#children') !== null && document.activeElement.innerText === {name:?}"
        );
        let tabs =
            (0..40).take_while(|_| browser.run(&has_focus) != true).map(|_| browser.press(TAB)).count();
        assert!(tabs < 40, "{name} is never reached");
        browser.press(ENTER);
        let there = format!("return document.getElementById('path').value === {crumbs:?}");
        browser.wait_for("the child", &there);
        browser.wait_for(
            "the focus to be in the tree",
            "return document.activeElement.closest('#tree') !== null",
        );
    }
    browser.wait_for_text("#shown", "no children");
}

#[test]
fn names_and_data_are_never_code() {
    const NAME: &str = "<img src=x onerror=window.broken=1>\"'&amp;";
    let (server, port) = start(Config::default());
    let mut client = Client::connect(&server);
    let path = format!("/{}", NAME.replace('/', ""));
    client.create(&path, b"<script>window.broken=1</script>", PERSISTENT);
    client.create(&format!("{path}/50%?from=#x y+z \u{e9}\u{4e2d}"), b"found", PERSISTENT);
    client.create(&format!("/{}", "very-long-name-".repeat(40)), &[b'x'; 3000], PERSISTENT);
    let browser = Browser::open(port);
    browser.type_into("#user", "anybody");
    browser.click("#who button");
    click_child(&browser, NAME);
    browser.wait_for_text("#data", "<script>window.broken=1</script>");
    click_child(&browser, "50%?from=#x y+z \u{e9}\u{4e2d}");
    browser.wait_for_text("#data", "found");
    assert!(browser.run("return window.broken === undefined") == true);
    browser.click("#crumbs a");
    click_child(&browser, &"very-long-name-".repeat(40));
    browser.wait_for_text("#data", "xxx");
    browser.take_pictures("long");
    browser.click("#crumbs a");
    browser.wait_for("the long name in the list", &child(&"very-long-name-".repeat(40)));
    browser.take_pictures("long-list");
    browser.assert_at_home(port, false);
}
