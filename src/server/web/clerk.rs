//! The thread "facts": takes one question at a time, asks the loops, makes the answer.

use std::fs::File;

use crossbeam::channel::{Receiver, RecvTimeoutError};
use hyper::StatusCode;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::admin::{self, AdminCommand, Answer, Effect, Mode, Needs};
use crate::base::{Instant, Zxid};
use crate::config::Config;
use crate::io::Clock;
use crate::log::snapshot_file_name;
use crate::messages::{AclRef, Identity};
use crate::shard::Look;
use crate::tree::acl;
use crate::wire::acl::perms;

use super::super::ReadSnapshot;
use super::super::census::Ask;
use super::super::facts::Gathered;
use super::super::lines::{self, Lines};
use super::request::{Answered, Asked, BYTES, Command, Question, Reply, SnapshotWanted, Walk, Wanted, reply};
use super::restore::Restorer;
use super::silence::{Silence, busy_or_dead};
use super::{Desk, Place, tree};

/// Between two pieces of looks at the tree, whoever asks for them: the loops have other work.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A look at a list which takes longer than that is given up: it changes faster than it can be gone through.
const LOOK_MAX: Duration = Duration::from_secs(60);

pub struct Clerk {
    place: Place,
    super_digest: Option<String>,
    skips_acl: bool,
    silence: Arc<Silence>,
    /// The last that was asked for.
    snapshot_begun: Option<Instant>,
    restore_begun: Option<Instant>,
    restorer: Restorer,
    shows_tree: bool,
    /// When the last piece of a look was asked for.
    looked: Option<Instant>,
    lines: Lines,
}

impl Clerk {
    pub fn new(
        config: &Config,
        place: Place,
        silence: Arc<Silence>,
        lines: Lines,
        read_snapshot: ReadSnapshot,
    ) -> Clerk {
        Clerk {
            place,
            silence,
            super_digest: config.super_digest.as_ref().map(|digest| digest.reveal().to_owned()),
            skips_acl: config.skip_acl,
            snapshot_begun: None,
            restore_begun: None,
            restorer: Restorer::new(read_snapshot),
            shows_tree: config.admin_server.as_ref().is_some_and(|admin| admin.shows_tree),
            looked: None,
            lines,
        }
    }

    pub fn run(mut self, questions: &Receiver<Question>) {
        loop {
            let next = match self.lines.to_come(Clock::instant()) {
                Some((_, time)) => questions.recv_timeout(time),
                None => questions.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            self.lines.lapse(Clock::instant());
            match next {
                // Who asked is gone: then so is his wish.
                Ok(Question { answer, .. }) if answer.is_closed() => {}
                Ok(Question { asked, answer }) => {
                    let _ = answer.send(self.answer(asked));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn answer(&mut self, asked: Asked) -> Answered {
        let place = self.place.clone();
        let desk = place.get();
        Answered::Reply(match asked {
            Asked::Command(command) => match self.answer_command(&command, desk) {
                Ok(answer) => reply(&answer),
                Err(more) => return more,
            },
            Asked::Live => self.live(desk),
            Asked::Ready => self.ready(desk),
            Asked::Metrics => self.metrics(desk),
            Asked::Again(Wanted::Snapshot(wanted)) => return self.snapshot(desk, wanted),
            Asked::Again(Wanted::Look(walk)) => match self.look(desk, walk) {
                Ok(answer) => reply(&answer),
                Err(wanted) => return Answered::Later(wanted),
            },
        })
    }

    /// `None`: a loop doesn't answer.
    fn gather(&mut self, desk: &Desk, ask: Ask) -> Option<(Gathered, Option<AclRef>)> {
        let asked = Clock::instant();
        let Some((mut in_replica, shards)) = desk.inquiry.ask(ask) else {
            self.silence.began(asked);
            return None;
        };
        self.silence.ended();
        let root_acl = in_replica.root_acl.take();
        let mut gathered = desk.background.gather(in_replica, shards);
        desk.background.look_further(&mut gathered);
        Some((gathered, root_acl))
    }

    /// What has to be waited for, or a body that is wanted, where it isn't an answer.
    fn answer_command(&mut self, asked: &Command, desk: Option<&Desk>) -> Result<Answer, Answered> {
        let name = &asked.name;
        match name.as_str() {
            tree::NAME => return self.show_tree(asked, desk).map_err(Answered::Later),
            admin::ENSEMBLE => return Ok(self.show_ensemble(asked, desk)),
            _ => {}
        }
        let Some(command) = AdminCommand::find(name) else { return Ok(Answer::unknown(name)) };
        let Some(desk) = desk else { return Ok(Answer::not_serving(name)) };
        let ask = Ask {
            needs: command.needs(),
            // An effect is not to be had by a method that is refused.
            effect: if asked.is_post { Effect::None } else { command.effect() },
        };
        let Some((gathered, root_acl)) = self.gather(desk, ask) else {
            return Ok(Answer::refused(name, 503, "the server doesn't answer in time"));
        };
        if command.needs_service() && gathered.mode().is_none() {
            return Ok(Answer::not_serving(name));
        }
        if command.is_privileged()
            && let Err((status, why)) = self.admit(asked, root_acl.as_ref())
        {
            return Ok(Answer::refused(name, status, why));
        }
        if command.is_posted() != asked.is_post {
            let method = if command.is_posted() { "POST" } else { "GET" };
            return Ok(Answer::refused(name, 405, &format!("{} is asked by {method}", command.name())));
        }
        if command == AdminCommand::Snapshot {
            return self.begin_snapshot(asked, desk).map_err(Answered::Later);
        }
        if command == AdminCommand::Restore {
            return match self.begin_restore(asked, desk) {
                Err(refused) => Ok(refused),
                Ok(begun) => Err(begun),
            };
        }
        if command == AdminCommand::LogLevel {
            return Ok(self.log_level(asked));
        }
        if ask.effect == Effect::ResetServer {
            desk.background.sync_times.reset();
        }
        if command == AdminCommand::SetTraceMask
            && let Ok(mask) = admin::trace_mask(&asked.arguments)
        {
            desk.background.trace_mask.store(mask, Relaxed);
        }
        Ok(admin::run(command, &asked.arguments, &desk.background.facts(&gathered)))
    }

    /// Who asks may do so.
    fn begin_snapshot(&mut self, asked: &Command, desk: &Desk) -> Result<Answer, Wanted> {
        const COMMAND: AdminCommand = AdminCommand::Snapshot;
        let Some(settings) = &desk.background.config.admin_server else {
            return Ok(Answer::bare(COMMAND, 503));
        };
        if !settings.snapshot_enabled {
            return Ok(Answer::bare(COMMAND, 503));
        }
        let now = Clock::instant();
        if self.snapshot_begun.is_some_and(|begun| now.since(begun) < settings.rate_limit) {
            desk.background.admin_counts.snapshots_rate_limited.fetch_add(1, Relaxed);
            return Ok(Answer::bare(COMMAND, 429));
        }
        self.snapshot_begun = Some(now);
        let ask = Ask { needs: Needs::Permissions, effect: Effect::TakeSnapshot };
        let Some((in_replica, _)) = desk.inquiry.ask(ask) else { return Ok(Answer::bare(COMMAND, 500)) };
        let given = asked.arguments.iter().find(|(name, _)| name == "streaming");
        Err(Wanted::Snapshot(SnapshotWanted {
            zxid: in_replica.facts.applied,
            failed: in_replica.facts.snapshots_failed,
            // As Java reads it: what isn't `true` is false.
            streams: given.is_none_or(|(_, value)| value.eq_ignore_ascii_case("true")),
        }))
    }

    /// Who asks may do so. An `Err` is the answer.
    fn begin_restore(&mut self, asked: &Command, desk: &Desk) -> Result<Answered, Answer> {
        const COMMAND: AdminCommand = AdminCommand::Restore;
        let config = &desk.background.config;
        let settings = config.admin_server.as_ref().filter(|settings| settings.restore_enabled);
        let settings = settings.ok_or_else(|| Answer::bare(COMMAND, 503))?;
        if config.ensemble.is_some() {
            // Its tree would be another one than the others', under the same zxids.
            return Err(Answer::refused(COMMAND.name(), 409, OF_A_MEMBER));
        }
        let now = Clock::instant();
        if self.restore_begun.is_some_and(|begun| now.since(begun) < settings.rate_limit) {
            desk.background.admin_counts.restores_rate_limited.fetch_add(1, Relaxed);
            return Err(Answer::bare(COMMAND, 429));
        }
        if self.restorer.is_busy() {
            return Err(Answer::refused(COMMAND.name(), 429, "another restore is under way"));
        }
        self.restore_begun = Some(now);
        let is_lenient = asked.arguments.iter().any(|(name, value)| name == "lenient" && value == "true");
        let upload = self.restorer.begin(self.place.clone(), asked.client, is_lenient);
        upload.map(Answered::Receive).map_err(|fatal| {
            tracing::warn!("restore: {fatal}");
            Answer::bare(COMMAND, 500)
        })
    }

    fn snapshot(&mut self, desk: Option<&Desk>, wanted: SnapshotWanted) -> Answered {
        const COMMAND: AdminCommand = AdminCommand::Snapshot;
        let failed = || Answered::Reply(reply(&Answer::bare(COMMAND, 500)));
        let Some(desk) = desk else { return failed() };
        // One that was being taken already may be too old: then the next one is waited for, which is due as long as it
        // isn't begun.
        let Some((in_replica, _)) = desk.inquiry.ask(PERMISSIONS) else { return failed() };
        let facts = &in_replica.facts;
        let Some(zxid) = facts.newest_snapshot.filter(|newest| *newest >= wanted.zxid) else {
            // Of a fresh tree there is none to be taken.
            let is_vain = facts.snapshots_failed > wanted.failed || facts.applied == Zxid::ZERO;
            return if is_vain { failed() } else { Answered::Later(Wanted::Snapshot(wanted)) };
        };
        let path = desk.background.places.snapshots.path_of(&snapshot_file_name(zxid));
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let Ok((size, file)) = opened else { return failed() };
        let headers = vec![("last_zxid", zxid.to_string()), ("snapshot_size", size.to_string())];
        Answered::Reply(if wanted.streams {
            Reply { headers, file: Some((file, size)), ..Reply::new(StatusCode::OK, BYTES, "") }
        } else {
            Reply { headers, ..reply(&Answer::bare(COMMAND, 200)) }
        })
    }

    /// `log_level?filter=F&seconds=N`: these lines are written, for so long or until further notice. Without a filter: tells.
    fn log_level(&mut self, asked: &Command) -> Answer {
        let now = Clock::instant();
        let wish = match lines::wish(&asked.arguments) {
            Ok(wish) => wish,
            Err(why) => return Answer::refused(&asked.name, 400, &why),
        };
        let before = self.lines.current().to_owned();
        if let Some((filter, time)) = wish {
            // In front of the change, which may silence it.
            tracing::warn!(client = %asked.client, from = before, to = %filter, ?time, "log level: changed by the admin port");
            self.lines.change(now, filter, time);
        }
        let to_come = self.lines.to_come(now);
        let fields = json!({
            "filter": self.lines.current(),
            "previous_filter": before,
            "falls_back_to": to_come.map(|(filter, _)| filter),
            "falls_back_in_seconds": to_come.map(|(_, time)| time.as_secs_f64().ceil() as u64),
        });
        Answer::new(AdminCommand::LogLevel, admin::fields(fields))
    }

    /// Who has all permissions at the root node; a status and the reason otherwise.
    fn admit(&self, asked: &Command, root_acl: Option<&AclRef>) -> Result<(), (u16, &'static str)> {
        let identities = self.identities(asked)?;
        let entries = root_acl.and_then(|acl| acl.as_deref());
        let may = |perm| self.skips_acl || acl::check(entries, perm, &identities).is_ok();
        let all = [perms::READ, perms::WRITE, perms::CREATE, perms::DELETE, perms::ADMIN];
        if all.into_iter().all(may) { Ok(()) } else { Err((403, "Not authorized")) }
    }

    /// Who the header says who asks is.
    fn identities(&self, asked: &Command) -> Result<Vec<Identity>, (u16, &'static str)> {
        const NOT_AUTHENTICATED: (u16, &str) = (401, "Not authenticated");
        let Some(header) = &asked.authorization else {
            return Err((401, "Auth info is missing for the command"));
        };
        // As Java splits it: blanks at the end count for nothing.
        let parts: Vec<&str> = header.trim_end_matches(' ').split(' ').collect();
        let (scheme, shown) = match parts[..] {
            [scheme] => (scheme, None),
            [scheme, shown] => (scheme, Some(shown.as_bytes())),
            _ => return Err(NOT_AUTHENTICATED),
        };
        let super_digest = self.super_digest.as_deref();
        let identities = crate::shard::identities(scheme, shown, asked.client, super_digest);
        identities.ok_or(NOT_AUTHENTICATED)
    }

    /// The ensemble as this server knows it, also while nobody is served.
    fn show_ensemble(&mut self, asked: &Command, desk: Option<&Desk>) -> Answer {
        let refused = |status, why: &str| Answer::refused(admin::ENSEMBLE, status, why);
        let Some(desk) = desk else { return Answer::not_serving(admin::ENSEMBLE) };
        if asked.is_post {
            return refused(405, "ringkeeper_ensemble is asked by GET");
        }
        let Some((gathered, _)) = self.gather(desk, Ask::PROBE) else {
            return refused(503, "the server doesn't answer in time");
        };
        admin::ensemble(&desk.background.facts(&gathered))
    }

    /// A znode with its children, or a look that has to go on.
    fn show_tree(&mut self, asked: &Command, desk: Option<&Desk>) -> Result<Answer, Wanted> {
        let refused = |status, why: &str| Ok(Answer::refused(tree::NAME, status, why));
        let Some(desk) = desk else { return Ok(Answer::not_serving(tree::NAME)) };
        if !self.shows_tree {
            return refused(503, "ringkeeper.treeBrowser=false");
        }
        if asked.is_post {
            return refused(405, "ringkeeper_tree is asked by GET");
        }
        let query = match tree::query(&asked.arguments) {
            Ok(query) => query,
            Err(why) => return refused(400, &why),
        };
        // Who shows nothing is one of the world; not even his address counts, which may be that of something in between.
        let is_authenticated = asked.authorization.is_some();
        let shown = if is_authenticated { self.identities(asked) } else { Ok(vec![]) };
        let identities = match shown {
            Ok(identities) => identities,
            Err((status, why)) => return refused(status, why),
        };
        if query.with_data {
            let Some((in_replica, _)) = desk.inquiry.ask(PERMISSIONS) else {
                return refused(503, "the server doesn't answer in time");
            };
            if let Err((status, why)) = self.admit(asked, in_replica.root_acl.as_ref()) {
                return refused(status, why);
            }
        }
        let look = Look::new(query.path, query.from, query.limit, query.with_data, identities);
        let since = Clock::instant();
        self.look(Some(desk), Walk { look: Box::new(look), since, is_authenticated })
    }

    /// One more piece of it.
    fn look(&mut self, desk: Option<&Desk>, walk: Walk) -> Result<Answer, Wanted> {
        let refused = |status, why: &str| Ok(Answer::refused(tree::NAME, status, why));
        let Some(desk) = desk else { return Ok(Answer::not_serving(tree::NAME)) };
        let now = Clock::instant();
        if self.looked.is_some_and(|last| now.since(last) < LOOK_EVERY) {
            return Err(Wanted::Look(walk));
        }
        if now.since(walk.since) > LOOK_MAX {
            return refused(503, "its children change faster than they can be listed; try again");
        }
        self.looked = Some(now);
        let Walk { look, since, is_authenticated } = walk;
        let Some(look) = desk.inquiry.look(look) else {
            return refused(503, "the server doesn't answer in time");
        };
        tree::answer(&look, is_authenticated).ok_or(Wanted::Look(Walk { look, since, is_authenticated }))
    }

    fn metrics(&mut self, desk: Option<&Desk>) -> Reply {
        let unavailable = |why: &str| Reply::line(StatusCode::SERVICE_UNAVAILABLE, why);
        let Some(desk) = desk else { return unavailable("starting") };
        let Some((gathered, _)) = self.gather(desk, Ask::PROBE) else {
            return unavailable("the server doesn't answer in time");
        };
        let with_process = desk.background.config.metrics_server.as_ref().is_none_or(|of| of.exports_process);
        let page = admin::exposition(&desk.background.facts(&gathered), with_process);
        Reply::new(StatusCode::OK, admin::CONTENT_TYPE, page)
    }

    fn live(&mut self, desk: Option<&Desk>) -> Reply {
        let Some(desk) = desk else { return Reply::line(StatusCode::OK, "ok: starting") };
        if self.gather(desk, Ask::PROBE).is_some() {
            return Reply::line(StatusCode::OK, "ok");
        }
        busy_or_dead(self.silence.lasts(Clock::instant()))
    }

    fn ready(&mut self, desk: Option<&Desk>) -> Reply {
        let not_ready =
            |why: &str| Reply::line(StatusCode::SERVICE_UNAVAILABLE, &format!("not ready: {why}"));
        let Some(desk) = desk else { return not_ready("starting") };
        match self.gather(desk, Ask::PROBE).map(|(gathered, _)| gathered.mode()) {
            None => not_ready("the server doesn't answer in time"),
            Some(None) => not_ready("not in a quorum, or not serving clients"),
            Some(Some(Mode::ReadOnly)) => not_ready("read-only: not in a quorum"),
            Some(Some(mode)) => Reply::line(StatusCode::OK, &format!("ok: {}", mode.name())),
        }
    }
}

const OF_A_MEMBER: &str = "this server is a member of an ensemble: its members have one history, and none of them may be given \
    another one alone. Stop all of them, make a data directory with `ringkeeper snapshot restore`, copy it to every voter, and \
    start them again";

/// The least that can be asked.
const PERMISSIONS: Ask = Ask { needs: Needs::Permissions, effect: Effect::None };
