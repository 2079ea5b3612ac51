//! Compares two records of one stream, frame by frame and byte by byte, in their normal form.

use std::fmt::Write;

use ringkeeper::wire::client::{
    Create2Response, ExistsResponse, GetAclResponse, GetChildren2Response, GetChildrenResponse,
    GetDataResponse, GetEphemeralsResponse, MultiResults, ReplyHeader, WatcherEvent, WhoAmIResponse,
};
use ringkeeper::wire::{Decode, ErrorCode, Opcode};

use crate::item::{Action, Item, hex};
use crate::normal::{Normal, Zxids};
use crate::player::{End, Record};

/// Where the two part, for the first time.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Index of the item.
    pub item: usize,
    /// What kind of difference it is: a smaller stream shows the same one if this is equal.
    pub kind: String,
    pub text: String,
}

/// Two servers' views of one run.
#[derive(Clone, Debug)]
pub struct Comparer {
    pub theirs: Normal,
    pub ours: Normal,
}

impl Comparer {
    /// `ours` and `theirs`: the zxids of both at the beginning. `run`: when it takes place, in milliseconds since 1970.
    pub fn new(ours: i64, theirs: i64, run: (i64, i64), before_3_9: bool) -> Comparer {
        let mut normal = Normal::default();
        normal.run = run;
        normal.before_3_9 = before_3_9;
        let mut comparer = Comparer { theirs: normal.clone(), ours: normal };
        comparer.ours.zxids = Some(Zxids::starting_at(ours, theirs));
        comparer
    }

    /// `theirs` are the measure.
    pub fn compare(&mut self, items: &[Item], theirs: &[Record], ours: &[Record]) -> Option<Difference> {
        for (index, item) in items.iter().enumerate() {
            let (theirs, ours) = match (theirs.get(index), ours.get(index)) {
                (Some(theirs), Some(ours)) => (theirs, ours),
                (None, None) => return None,
                _ => unreachable!("a record that ends early ends with silence, and that is compared"),
            };
            self.note_undecodable(item, theirs, ours);
            let theirs = normal(&mut self.theirs, item, theirs);
            let ours = normal(&mut self.ours, item, ours);
            if theirs != ours {
                let kind = kind(item, &theirs, &ours);
                let text = format!(
                    "{item}\n  ZooKeeper:\n{}  Ringkeeper:\n{}",
                    describe(item, &theirs),
                    describe(item, &ours)
                );
                return Some(Difference { item: index, kind, text });
            }
            if theirs.end == End::Silent {
                let text = format!("{item}\n  neither server answers");
                return Some(Difference { item: index, kind: "both silent".to_owned(), text });
            }
        }
        None
    }

    /// The one exception to equal zxids: `normal.rs`.
    fn note_undecodable(&mut self, item: &Item, theirs: &Record, ours: &Record) {
        let writes = item.opcode().and_then(Opcode::from_i32).is_some_and(Opcode::is_write);
        let last = |record: &Record| {
            let header = ReplyHeader::parse(record.frames.last()?).ok()?;
            (header.xid != -1 && header.err == ErrorCode::MarshallingError.code()).then_some(header.zxid.0)
        };
        if writes
            && let (Some(theirs), Some(ours)) = (last(theirs), last(ours))
            && let Some(zxids) = &mut self.ours.zxids
        {
            zxids.undecodable(ours, theirs);
        }
    }
}

fn is_connect(item: &Item) -> bool {
    matches!(item.action, Action::Connect(_))
}

fn normal(view: &mut Normal, item: &Item, record: &Record) -> Record {
    let opcode = item.opcode().and_then(Opcode::from_i32);
    let handshake = record.handshake.as_ref().map(|frame| view.handshake(frame));
    let left = record.left.as_ref().map(|(frames, end)| {
        let mut frames: Vec<Vec<u8>> = frames.iter().map(|frame| view.message(None, frame)).collect();
        view.sort_closes(&mut frames);
        (frames, *end)
    });
    let message = |frame: &Vec<u8>| match is_connect(item) {
        true => view.handshake(frame),
        false => view.message(opcode, frame),
    };
    let mut frames: Vec<Vec<u8>> = record.frames.iter().map(message).collect();
    if !is_connect(item) {
        view.sort_closes(&mut frames);
    }
    Record { handshake, frames, end: record.end, left }
}

/// The first frame in which they differ, if it is a frame.
fn first_difference<'a>(theirs: &'a Record, ours: &'a Record) -> (Option<&'a Vec<u8>>, Option<&'a Vec<u8>>) {
    let count = theirs.frames.len().max(ours.frames.len());
    (0..count)
        .map(|index| (theirs.frames.get(index), ours.frames.get(index)))
        .find(|(a, b)| a != b)
        .unwrap_or((None, None))
}

fn kind(item: &Item, theirs: &Record, ours: &Record) -> String {
    let name = item.opcode().map_or_else(
        || if is_connect(item) { "connect".to_owned() } else { "bytes".to_owned() },
        |opcode| opcode.to_string(),
    );
    let sort = |frame: Option<&Vec<u8>>| match frame.map(|frame| ReplyHeader::parse(frame)) {
        None => "nothing".to_owned(),
        Some(Ok(header)) if header.xid == -1 => "event".to_owned(),
        Some(Ok(header)) => format!("err {}", header.err),
        Some(Err(_)) => "other".to_owned(),
    };
    let (a, b) = first_difference(theirs, ours);
    let zxid_only = match (a, b) {
        (Some(a), Some(b)) if a.len() == b.len() && a.len() >= 16 => a[..4] == b[..4] && a[12..] == b[12..],
        _ => false,
    };
    let what = if zxid_only { "zxid" } else { "all" };
    format!("{name} {what} {}/{} {:?}/{:?}", sort(a), sort(b), theirs.end, ours.end)
}

fn describe(item: &Item, record: &Record) -> String {
    let mut out = String::new();
    let mut line = |text: String| writeln!(out, "    {text}").expect("a string takes all");
    if let Some(handshake) = &record.handshake {
        line(format!("handshake {}", hex(handshake)));
    }
    if let Some((frames, end)) = &record.left {
        frames.iter().for_each(|frame| line(format!("the old connection: {}", message(None, frame))));
        line(format!("the old connection ends {end:?}"));
    }
    for frame in &record.frames {
        match is_connect(item) {
            true => line(format!("handshake {}", hex(frame))),
            false => line(message(item.opcode(), frame)),
        }
    }
    line(format!("{:?}", record.end));
    out
}

/// A reply or event in words, and in bytes.
fn message(opcode: Option<i32>, frame: &[u8]) -> String {
    let Ok(header) = ReplyHeader::parse(frame) else { return hex(frame) };
    let body = &frame[16..];
    if header.xid == -1 {
        let event = WatcherEvent::parse(body);
        return format!("event zxid {} {event:?} [{}]", header.zxid.0, hex(frame));
    }
    let code = ErrorCode::from_i32(header.err);
    let mut text = format!("reply xid {} zxid {} err {} ({code:?}) ", header.xid, header.zxid.0, header.err);
    let record = match opcode.and_then(Opcode::from_i32) {
        _ if body.is_empty() => String::new(),
        Some(Opcode::Exists | Opcode::SetData | Opcode::SetAcl) => {
            format!("{:?}", ExistsResponse::parse(body))
        }
        Some(Opcode::GetData) => format!("{:?}", GetDataResponse::parse(body)),
        Some(Opcode::Create2 | Opcode::CreateContainer | Opcode::CreateTtl) => {
            format!("{:?}", Create2Response::parse(body))
        }
        Some(Opcode::GetAcl) => format!("{:?}", GetAclResponse::parse(body)),
        Some(Opcode::GetChildren) => format!("{:?}", GetChildrenResponse::parse(body)),
        Some(Opcode::GetChildren2) => format!("{:?}", GetChildren2Response::parse(body)),
        Some(Opcode::GetEphemerals) => format!("{:?}", GetEphemeralsResponse::parse(body)),
        Some(Opcode::WhoAmI) => format!("{:?}", WhoAmIResponse::parse(body)),
        Some(Opcode::Multi | Opcode::MultiRead) => format!("{:?}", MultiResults::parse(body)),
        _ => String::new(),
    };
    text.push_str(&record);
    write!(text, " [{}]", hex(frame)).expect("a string takes all");
    text
}
