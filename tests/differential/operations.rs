//! Draws the ordinary operations with their bodies.

use ringkeeper::wire::Opcode;

use crate::body::Body;
use crate::generator::Plan;
use crate::groups::Group;
use crate::item::{Moment, ROOT};
use crate::values::Values;

pub struct Drawn {
    pub opcode: i32,
    pub body: Body,
    /// The zxid at the beginning of the body.
    pub zxid: Option<Moment>,
}

/// Weights. Without a group: always.
const OPERATIONS: &[(u64, Option<Group>, Opcode)] = &[
    (14, None, Opcode::Create),
    (6, None, Opcode::Create2),
    (8, None, Opcode::Delete),
    (7, None, Opcode::Exists),
    (7, None, Opcode::GetData),
    (8, None, Opcode::SetData),
    (4, None, Opcode::GetChildren),
    (4, None, Opcode::GetChildren2),
    (3, None, Opcode::GetAcl),
    (2, None, Opcode::SetAcl),
    (2, None, Opcode::Sync),
    (2, None, Opcode::Ping),
    (9, Some(Group::Multi), Opcode::Multi),
    (4, Some(Group::Multi), Opcode::MultiRead),
    (3, Some(Group::Containers), Opcode::CreateContainer),
    (3, Some(Group::Ttl), Opcode::CreateTtl),
    (2, Some(Group::Auth), Opcode::WhoAmI),
    (2, Some(Group::Watches), Opcode::SetWatches),
    (3, Some(Group::Watches), Opcode::SetWatches2),
    (5, Some(Group::Watches), Opcode::AddWatch),
    (3, Some(Group::Watches), Opcode::RemoveWatches),
    (3, Some(Group::Watches), Opcode::CheckWatches),
    (2, Some(Group::Lists), Opcode::GetEphemerals),
    (2, Some(Group::Lists), Opcode::GetAllChildrenNumber),
];

pub fn draw(values: &mut Values, plan: &Plan) -> Drawn {
    let enabled = |(_, group, opcode): &&(u64, Option<Group>, Opcode)| {
        let is_other_in_3_8 = matches!(opcode, Opcode::AddWatch | Opcode::CheckWatches);
        group.is_none_or(|group| plan.groups.has(group)) && !(plan.before_3_9 && is_other_in_3_8)
    };
    let total = OPERATIONS.iter().filter(enabled).map(|(weight, ..)| weight).sum();
    let mut left = values.below(total);
    let (_, _, opcode) = OPERATIONS
        .iter()
        .filter(enabled)
        .find(|(weight, ..)| {
            let found = left < *weight;
            left = left.saturating_sub(*weight);
            found
        })
        .expect("the draw is below the sum of the weights");
    let mut zxid = None;
    let body = match opcode {
        Opcode::SetWatches | Opcode::SetWatches2 => {
            let ago = values.below(60) as usize;
            zxid = Some(values.one(&[
                Moment::Zero,
                Moment::RepliesAgo(0),
                Moment::RepliesAgo(3),
                Moment::RepliesAgo(ago),
                Moment::RepliesAgo(ago),
                Moment::Future,
            ]));
            set_watches(values, plan, *opcode == Opcode::SetWatches2)
        }
        Opcode::Multi | Opcode::MultiRead => multi(values, plan, *opcode == Opcode::MultiRead),
        _ => plain(values, plan, *opcode, Body::default(), false),
    };
    Drawn { opcode: opcode.code(), body, zxid }
}

fn set_watches(values: &mut Values, plan: &Plan, second: bool) -> Body {
    let mut body = Body::default().long(0);
    for vector in 0..if second { 5 } else { 3 } {
        if plan.before_3_9 && vector >= 3 {
            body = body.strings(&[]);
            continue;
        }
        if values.percent(1) {
            body = body.count(-1);
            continue;
        }
        let count = values.one(&[0, 0, 1, 1, 2, 3]);
        let paths: Vec<Vec<u8>> = (0..count).map(|_| values.path()).collect();
        body = body.strings(&paths);
    }
    body
}

/// The flags of a create: mostly known ones.
fn flags(values: &mut Values, plan: &Plan) -> i32 {
    let flags = values.one(&[0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, -1, 8, 256, i32::MIN]);
    if !plan.groups.has(Group::Ttl) && matches!(flags, 5 | 6) { 0 } else { flags }
}

fn plain(values: &mut Values, plan: &Plan, opcode: Opcode, body: Body, in_multi: bool) -> Body {
    let watch = |values: &mut Values| values.one(&[0, 0, 1, 1, 2, 0xff]);
    match opcode {
        Opcode::Create | Opcode::Create2 | Opcode::CreateContainer => {
            let path = values.new_path();
            let data = values.data();
            let acl = values.acl();
            let flags = match opcode {
                Opcode::CreateContainer if values.percent(80) => 4,
                _ => flags(values, plan),
            };
            // A list without one bad operation now and then is rare otherwise.
            let flags = if in_multi && values.percent(70) { flags & 3 } else { flags };
            body.path(&path).stretch(data.as_deref()).acl(acl.as_deref()).int(flags)
        }
        Opcode::CreateTtl => {
            let path = values.new_path();
            let data = values.data();
            let acl = values.acl();
            let year = 365 * 24 * 3_600_000;
            let ttl =
                values.one(&[year, year, year, year, 0, -1, 1 << 40, (1 << 40) - 1, i64::MAX, i64::MIN]);
            let flags = values.one(&[5, 5, 5, 6, 6, 0, 1, 4, 7, -1]);
            // The request that kills ZooKeeper: no TTL flag and a negative ttl.
            let ttl = if matches!(flags, 5 | 6) { ttl } else { ttl.max(0) };
            body.path(&path).stretch(data.as_deref()).acl(acl.as_deref()).int(flags).long(ttl)
        }
        Opcode::Delete | Opcode::Check => {
            let path = values.path();
            // Nothing can be said about an episode without its root.
            let path = if path == ROOT.as_bytes() { b"/".to_vec() } else { path };
            body.path(&path).int(values.version())
        }
        Opcode::SetData => {
            let path = values.path();
            let data = values.data();
            body.path(&path).stretch(data.as_deref()).int(values.version())
        }
        Opcode::SetAcl => {
            let path = values.path();
            // What all episodes share stays open.
            let shared = !path.starts_with(ROOT.as_bytes()) || path == ROOT.as_bytes();
            let closed = if shared { 0 } else { 60 };
            let before = std::mem::replace(&mut values.closed_percent, closed);
            let acl = values.acl();
            values.closed_percent = before;
            body.path(&path).acl(acl.as_deref()).int(values.version())
        }
        Opcode::Exists | Opcode::GetData | Opcode::GetChildren | Opcode::GetChildren2 => {
            let path = values.path();
            body.path(&path).byte(watch(values))
        }
        Opcode::AddWatch => {
            let path = if values.percent(3) { b"/".to_vec() } else { values.path() };
            let mode = values.one(&[0, 0, 0, 1, 1, 1, 2, -1, i32::MAX]);
            body.path(&path).int(mode)
        }
        Opcode::RemoveWatches | Opcode::CheckWatches => {
            let path = values.path();
            let kind = values.one(&[1, 2, 3, 3, 4, 5, 0, 6, -1]);
            let kind = if plan.before_3_9 && matches!(kind, 4 | 5) { 3 } else { kind };
            body.path(&path).int(kind)
        }
        Opcode::GetEphemerals => match values.below(8) {
            0 => body.stretch(None),
            1 => body.stretch(Some(b"")),
            2 => body.stretch(Some(b"/")),
            3 => body.stretch(Some(b"  ")),
            _ => {
                let mut path = values.path();
                if values.percent(20) {
                    path.pop();
                }
                body.path(&path)
            }
        },
        Opcode::Sync if values.percent(10) => body.stretch(None),
        Opcode::GetAcl | Opcode::Sync | Opcode::GetAllChildrenNumber => {
            let path = values.path();
            body.path(&path)
        }
        _ => body,
    }
}

fn multi(values: &mut Values, plan: &Plan, reads: bool) -> Body {
    let mut body = Body::default();
    let count = values.one(&[0, 1, 1, 2, 2, 3, 4, 6, 10]);
    // Seldom, or hardly a list would be valid.
    let odd = values.percent(6);
    for _ in 0..count {
        let opcode = if reads {
            values.one(&[Opcode::GetData, Opcode::GetChildren])
        } else {
            values.one(&[
                Opcode::Create,
                Opcode::Create,
                Opcode::Create2,
                Opcode::Create,
                Opcode::CreateContainer,
                Opcode::CreateTtl,
                Opcode::Delete,
                Opcode::Delete,
                Opcode::SetData,
                Opcode::SetData,
                Opcode::Check,
                Opcode::Check,
            ])
        };
        let opcode = match opcode {
            Opcode::CreateContainer if !plan.groups.has(Group::Containers) => Opcode::Create,
            Opcode::CreateTtl if !plan.groups.has(Group::Ttl) => Opcode::Create,
            opcode => opcode,
        };
        let wrong = odd && values.percent(30);
        let kind = if wrong {
            values.one(&[4, 8, 1, 5, 7, 3, 12, 14, 16, 20, 22, 0, -1, 99])
        } else {
            opcode.code()
        };
        body = body.operation(kind, values.one(&[-1, -1, 0, 7]));
        // A list of operations that all succeed is what clients send: valid paths and open lists.
        let percent = std::mem::replace(&mut values.closed_percent, 3);
        body = plain(values, plan, opcode, body, true);
        values.closed_percent = percent;
    }
    if odd && values.percent(20) { body } else { body.end() }
}
