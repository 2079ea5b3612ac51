//! The model against what the specification says in so many words.

use crate::base::{SessionId, WallMillis, Zxid};
use crate::wire::{ErrorCode, OwnedAcl};

use super::super::identity;
use super::super::operation::{Creation, Edit, Form, Operation};
use super::*;

const RULES: Rules = Rules { extended_types: true, never_used_ms: None };
const SESSION: SessionId = SessionId(7);

fn creation(path: &str, form: Form, flags: i32) -> Edit {
    let path = path.as_bytes().to_vec();
    Edit::Create(Creation { form, path, data: None, acl: identity::open(), flags })
}

fn model() -> Model {
    let mut model = Model::new(RULES);
    model.open_session(SESSION);
    model
}

fn decide(model: &mut Model, operation: Operation) -> Outcome {
    model.decide(SESSION, WallMillis(5), &operation, &[])
}

#[test]
fn the_digest_of_a_fresh_tree_is_the_specifications() {
    assert_eq!(Model::new(RULES).digest(Zxid::ZERO), 0x51C6_D660);
}

#[test]
fn a_state_can_be_asked_for_at_every_zxid() {
    let mut model = model();
    let create = Operation::Edit(creation("/a", Form::Create, 1));
    assert!(matches!(decide(&mut model, create.clone()), Outcome::Created { .. }));
    assert_eq!(decide(&mut model, create.clone()), Outcome::Error(ErrorCode::NodeExists));
    assert_eq!(decide(&mut model, Operation::CloseSession), Outcome::SessionClosed(vec![b"/a".to_vec()]));
    assert_eq!(decide(&mut model, create), Outcome::NoSession);
    assert!(model.node(b"/a", Zxid(1)).is_none());
    assert!(model.node(b"/a", Zxid(2)).is_some() && model.node(b"/a", Zxid(3)).is_some());
    assert!(model.node(b"/a", Zxid(4)).is_none());
    model.truncate(Zxid(3));
    assert!(model.is_alive(SESSION) && model.last() == Zxid(3));
    assert_eq!(model.digest(Zxid(1)), 0x51C6_D660);
}

#[test]
fn a_multi_is_all_or_nothing() {
    let mut model = model();
    let delete = |path: &str| Edit::Delete { path: path.as_bytes().to_vec(), version: -1 };
    let create = creation("/a", Form::Create2, 0);
    let failing = Operation::Multi(vec![create.clone(), delete("/a"), delete("/b"), create.clone()]);
    let errors = [ErrorCode::Ok, ErrorCode::Ok, ErrorCode::NoNode, ErrorCode::RuntimeInconsistency];
    assert_eq!(decide(&mut model, failing), Outcome::Multi(errors.map(Outcome::Error).to_vec()));
    assert!(model.changes(Zxid(2)).is_empty());
    assert_eq!(model.digest(Zxid(2)), model.digest(Zxid(0)));
    // Later ones see what earlier ones did.
    let twice = Operation::Multi(vec![create.clone(), delete("/a"), create]);
    let Outcome::Multi(outcomes) = decide(&mut model, twice) else { panic!("a multi") };
    assert!(matches!(
        outcomes[..],
        [Outcome::Created { with_stat: true, .. }, Outcome::Deleted, Outcome::Created { .. }]
    ));
    assert_eq!(model.changes(Zxid(3)).len(), 3);
    assert_eq!(decide(&mut model, Operation::Multi(vec![])), Outcome::Multi(vec![]));
}

#[test]
fn kinds_follow_the_request_and_in_a_multi_the_flags() {
    let mut model = model();
    for (at, (form, flags, in_multi, kind)) in [
        (Form::Create, 4, false, Ok(Kind::Persistent)),
        (Form::Create, 4, true, Ok(Kind::Container)),
        (Form::Container, 1, false, Ok(Kind::Container)),
        (Form::Ttl(9), 5, false, Ok(Kind::Ttl(9))),
        (Form::Ttl(0), 5, false, Err(ErrorCode::BadArguments)),
        (Form::Ttl(9), 0, false, Err(ErrorCode::BadArguments)),
        (Form::Ttl(9), 1, true, Ok(Kind::Ephemeral(SESSION))),
        (Form::Create, 5, false, Err(ErrorCode::BadArguments)),
        (Form::Create, 7, false, Err(ErrorCode::BadArguments)),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/n{at}");
        let edit = creation(&path, form, flags);
        let operation = if in_multi { Operation::Multi(vec![edit]) } else { Operation::Edit(edit) };
        let outcome = decide(&mut model, operation);
        let made = model.node(path.as_bytes(), model.last()).map(|node| node.kind);
        match kind {
            Ok(kind) => assert_eq!(made, Some(kind), "{path}: {outcome:?}"),
            Err(code) => assert_eq!((made, outcome), (None, Outcome::Error(code)), "{path}"),
        }
    }
}

#[test]
fn containers_go_when_they_had_children_and_ttl_nodes_when_their_time_is_over() {
    let mut model = model();
    for edit in [
        creation("/c", Form::Container, 0),
        creation("/c/x", Form::Create, 0),
        creation("/t", Form::Ttl(100), 5),
    ] {
        decide(&mut model, Operation::Edit(edit));
    }
    assert!(model.reap(WallMillis(1_000), b"/c").is_err());
    decide(&mut model, Operation::Edit(Edit::Delete { path: b"/c/x".to_vec(), version: -1 }));
    assert_eq!(model.overdue(WallMillis(105)).collect::<Vec<_>>(), [b"/c"]);
    assert!(model.reap(WallMillis(105), b"/t").is_err());
    assert_eq!(model.reap(WallMillis(106), b"/t"), Ok(Outcome::Deleted));
    assert_eq!(model.reap(WallMillis(106), b"/c"), Ok(Outcome::Deleted));
    assert_eq!(model.overdue(WallMillis(900)).count(), 0);
}

#[test]
fn a_list_is_normalised_and_asked() {
    let anna = identity::digest_of("anna");
    let entry = |perms, scheme: &str, id: &str| OwnedAcl::new(perms, scheme, id);
    let auth = vec![entry(31, "auth", "")];
    assert_eq!(identity::normalised(&auth, &[]), Err(ErrorCode::InvalidACL));
    assert_eq!(identity::normalised(&[], &[]), Err(ErrorCode::InvalidACL));
    let hers = identity::normalised(&auth, std::slice::from_ref(&anna)).expect("she has shown herself");
    assert_eq!(identity::entries_of(&hers), [entry(31, "digest", &anna)]);
    assert!(identity::may(&hers, identity::READ, std::slice::from_ref(&anna)));
    assert!(!identity::may(&hers, identity::READ, &[identity::digest_of("ben")]));
    assert_eq!(identity::shown(&hers, &[]), [entry(31, "digest", "anna:x")]);
    let open = [entry(31, "world", "anyone"), entry(31, "world", "anyone")];
    assert_eq!(identity::normalised(&open, &[]), Ok(None));
}

#[test]
fn a_statistic_counts_its_subtree_and_then_what_is_done_there() {
    let mut model = model();
    let stats = b"/zookeeper/quota/a/zookeeper_stats".to_vec();
    let mut said = |operation: Operation| {
        decide(&mut model, operation);
        let node = model.now(&stats)?;
        assert_eq!((node.version, node.mzxid), (0, node.czxid), "nobody wrote it");
        Some(String::from_utf8_lossy(node.data.as_deref().unwrap_or_default()).into_owned())
    };
    let create = |path: &str, data: &str| {
        let (path, data) = (path.as_bytes().to_vec(), Some(data.as_bytes().to_vec()));
        Operation::Edit(Edit::Create(Creation {
            form: Form::Create,
            path,
            data,
            acl: identity::open(),
            flags: 0,
        }))
    };
    for path in ["/a", "/a/x", "/zookeeper/quota/a"] {
        said(create(path, "four"));
    }
    let made = said(create("/zookeeper/quota/a/zookeeper_stats", "count=9,bytes=9"));
    assert_eq!(made.as_deref(), Some("count=2,bytes=8"));
    assert_eq!(
        said(create("/a/y", "12")).as_deref(),
        Some("count=2,bytes=8"),
        "without a limit nothing counts"
    );
    said(create("/zookeeper/quota/a/zookeeper_limits", "count=1,bytes=-1"));
    assert_eq!(said(create("/a/z", "12")).as_deref(), Some("count=3,bytes=10"));
    assert_eq!(said(create("/ab", "12")).as_deref(), Some("count=3,bytes=10"));
    let longer = Edit::SetData { path: b"/a".to_vec(), data: Some(b"longer".to_vec()), version: -1 };
    assert_eq!(said(Operation::Edit(longer)).as_deref(), Some("count=3,bytes=12"));
    let delete = Edit::Delete { path: b"/a/z".to_vec(), version: -1 };
    assert_eq!(said(Operation::Edit(delete)).as_deref(), Some("count=2,bytes=10"));
}
