//! The configuration as it is carried out, every setting of it: what `ringkeeper server --check` prints.
//!
//! Called by `cli`. The text is a configuration file again: read back it gives the same [`Config`]. Comments say where each
//! setting comes from, what isn't set, and what must not be shown. Values are taken from the [`Config`], never from what was
//! written: a value that was raised to its minimum is shown as raised.
//! Tested: effective_test.rs, which holds the list of settings against those that `keys` has as honoured.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use super::checked::{Config, Io, LogWrite};
use super::ensemble::Ensemble;
use super::fault::{Origin, Warning};
use super::lines::LogFormat;
use super::raw::Setting;

/// The winning settings, by their canonical names.
pub type Given = BTreeMap<String, Setting>;

/// A [`Config`], what is to be said of it, and what it was made of.
#[derive(Debug)]
pub struct Checked {
    pub config: Config,
    pub warnings: Vec<Warning>,
    pub(super) given: Given,
}

impl Checked {
    /// The text of a configuration file that says everything.
    pub fn effective(&self) -> String {
        let mut listing = Listing { given: &self.given, lines: BTreeMap::new() };
        listing.basics(&self.config);
        listing.storage(&self.config);
        listing.requests(&self.config);
        listing.web(&self.config);
        listing.members(&self.config);
        listing.lines(&self.config);
        listing.ours(&self.config);
        listing.without_effect(self.config.ensemble.is_some());
        listing.rendered()
    }
}

struct Listing<'a> {
    given: &'a Given,
    /// By setting: where it comes from (`None`: a default), and its line.
    lines: BTreeMap<String, (Option<Origin>, String)>,
}

impl Listing<'_> {
    fn put(&mut self, key: &str, value: impl Display) {
        let origin = self.given.get(key).map(|setting| setting.origin.clone());
        self.put_from(key, value, origin);
    }

    fn put_from(&mut self, key: &str, value: impl Display, origin: Option<Origin>) {
        let line = format!("{key}={}", escaped(&value.to_string()));
        self.lines.insert(key.to_owned(), (origin, line));
    }

    /// A comment: not a line that could be read back.
    fn remark(&mut self, key: &str, remark: &str) {
        let origin = self.given.get(key).map(|setting| setting.origin.clone());
        self.lines.insert(key.to_owned(), (origin, format!("# {}: {remark}", escaped(key))));
    }

    fn basics(&mut self, config: &Config) {
        self.put("dataDir", config.data_dir.display());
        self.put("dataLogDir", config.data_log_dir.display());
        self.put("tickTime", config.tick_time.as_millis());
        self.put("minSessionTimeout", config.min_session_timeout.as_millis());
        self.put("maxSessionTimeout", config.max_session_timeout.as_millis());
        self.client_port(config);
        self.put("maxClientCnxns", config.max_client_cnxns.unwrap_or(0));
        self.put("maxCnxns", config.max_cnxns);
        self.put("4lw.commands.whitelist", &config.four_letter_words);
        self.put("skipACL", yes_or_no(config.skip_acl));
        let super_digest = if config.super_digest.is_some() { "given, not shown" } else { "nobody is super" };
        self.remark("DigestAuthenticationProvider.superDigest", super_digest);
        const SECRET: &str = "ringkeeper.sessionSecret";
        match self.given.get(SECRET) {
            // The file's name: what is in it is not shown.
            Some(file) => self.put(SECRET, file.value.clone()),
            None => self.remark(SECRET, "none: sessions' passwords are Apache's"),
        }
        self.put("readonlymode.enabled", config.read_only_mode);
        self.put("reconfigEnabled", config.reconfig_enabled);
    }

    /// A member's own line may be what names the port.
    fn client_port(&mut self, config: &Config) {
        let line = match &config.ensemble {
            Some(ensemble) => self.given.get(&format!("server.{}", ensemble.me.0)),
            None => self.given.iter().find(|(key, _)| key.starts_with("server.")).map(|(_, line)| line),
        };
        let of_line = line.map(|setting| setting.origin.clone());
        let address = config.client.socket_address();
        let given = |key: &str| self.given.get(key).map(|setting| setting.origin.clone());
        let port_origin = given("clientPort").or(of_line.clone());
        let address_origin =
            given("clientPortAddress").or(of_line.filter(|_| config.client.address.is_some()));
        self.put_from("clientPort", address.port(), port_origin);
        self.put_from("clientPortAddress", address.ip(), address_origin);
        let backlog = config.client.listen_backlog.map_or(-1, i64::from);
        self.put("clientPortListenBacklog", backlog);
    }

    fn storage(&mut self, config: &Config) {
        self.put("snapCount", config.snap_count);
        self.put("snapSizeLimitInKb", config.snap_size_limit.unwrap_or(0) >> 10);
        self.put("preAllocSize", config.pre_alloc_size >> 10);
        self.put("forceSync", yes_or_no(config.force_sync));
        self.put("fsync.warningthresholdms", config.fsync_warning_threshold.as_millis());
        let hours = config.purge.interval.map_or(0, |interval| interval.as_secs() / 3600);
        self.put("autopurge.purgeInterval", hours);
        self.put("autopurge.snapRetainCount", config.purge.snap_retain_count);
        self.put("digest.enabled", config.digest_enabled);
        self.put("extendedTypesEnabled", config.extended_types_enabled);
        self.put("enforceQuota", config.enforce_quota);
        let containers = &config.containers;
        self.put("znode.container.checkIntervalMs", containers.check_interval.as_millis());
        self.put("znode.container.maxPerMinute", containers.max_per_minute);
        let never_used = containers.max_never_used_interval.unwrap_or(Duration::ZERO);
        self.put("znode.container.maxNeverUsedIntervalMs", never_used.as_millis());
    }

    fn requests(&mut self, config: &Config) {
        self.put("jute.maxbuffer", config.jute_max_buffer);
        let large = &config.large_requests;
        match large.threshold {
            Some(bytes) => self.put("largeRequestThreshold", bytes),
            None => self.put("largeRequestThreshold", -1),
        }
        self.put("largeRequestMaxBytes", large.bytes_max);
        let throttle = &config.connection_throttle;
        self.put("connection_throttle_tokens", throttle.tokens.unwrap_or(0));
        self.put("connection_throttle_fill_time", throttle.fill_time.as_millis());
        self.put("connection_throttle_fill_count", throttle.fill_count);
        // Two settings of one limit: the lesser counts.
        const GLOBAL: &str = "globalOutstandingLimit";
        const THROTTLE: &str = "request_throttle_max_requests";
        match config.outstanding_max {
            Some(max) if self.given.contains_key(GLOBAL) => self.put(GLOBAL, max),
            _ => self.remark(GLOBAL, "no limit but the server's own"),
        }
        match config.outstanding_max {
            Some(max) if !self.given.contains_key(GLOBAL) => self.put(THROTTLE, max),
            _ => self.put(THROTTLE, 0),
        }
    }

    fn web(&mut self, config: &Config) {
        self.put("admin.enableServer", config.admin_server.is_some());
        if let Some(admin) = &config.admin_server {
            self.put("admin.serverAddress", admin.address.ip());
            self.put("admin.serverPort", admin.address.port());
            self.put("admin.commandURL", &admin.command_url);
            self.put("admin.idleTimeout", admin.idle_timeout.as_millis());
            self.put("admin.snapshot.enabled", admin.snapshot_enabled);
            self.put("admin.restore.enabled", admin.restore_enabled);
            self.put("ringkeeper.treeBrowser", admin.shows_tree);
            self.put("admin.rateLimiterIntervalInMS", admin.rate_limit.as_millis());
        }
        const PROVIDER: &str = "metricsProvider.className";
        match self.given.get(PROVIDER) {
            Some(provider) => self.put(PROVIDER, provider.value.clone()),
            None => self.remark(PROVIDER, "none, so there is no metrics port"),
        }
        if let Some(metrics) = &config.metrics_server {
            self.put("metricsProvider.httpHost", metrics.address.ip());
            self.put("metricsProvider.httpPort", metrics.address.port());
            self.put("metricsProvider.exportJvmInfo", metrics.exports_process);
        }
    }

    fn members(&mut self, config: &Config) {
        let standalone = config.ensemble.as_ref().is_none_or(|ensemble| ensemble.standalone_enabled);
        self.put("standaloneEnabled", standalone);
        const DYNAMIC: &str = "dynamicConfigFile";
        let dynamic = self.given.get(DYNAMIC).map(|file| file.value.clone());
        if let Some(file) = &dynamic {
            self.put(DYNAMIC, file);
        }
        for (key, setting) in self.given {
            if !["server.", "group.", "weight."].iter().any(|kind| key.starts_with(kind)) {
                continue;
            }
            let (origin, line) = (Some(setting.origin.clone()), format!("{key}={}", escaped(&setting.value)));
            // A file that names a dynamic one must not hold them.
            let line = if dynamic.is_some() { format!("# {line}") } else { line };
            self.lines.insert(key.clone(), (origin, line));
        }
        if let Some(ensemble) = &config.ensemble {
            self.member(ensemble);
        }
    }

    fn member(&mut self, ensemble: &Ensemble) {
        self.put("myid", ensemble.me.0);
        self.put("peerType", ensemble.peer_type);
        self.put("initLimit", ensemble.init_limit);
        self.put("syncLimit", ensemble.sync_limit);
        self.put("cnxTimeout", ensemble.connect_timeout.as_millis());
        self.put("commitLogCount", ensemble.commit_log_count);
        self.put("quorumListenOnAllIPs", ensemble.listen_on_all_ips);
        self.put("multiAddress.enabled", ensemble.multi_address);
        self.put("leaderServes", yes_or_no(ensemble.leader_serves));
        self.put("localSessionsEnabled", ensemble.local_sessions);
        self.put("localSessionsUpgradingEnabled", ensemble.local_sessions_upgrading);
        if !self.given.contains_key("dynamicConfigFile") {
            self.remark("dynamicConfigFile", "none");
        }
    }

    fn lines(&mut self, config: &Config) {
        let format = match config.log_format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        self.put("ringkeeper.logFormat", format);
        let slow = config.slow_request;
        self.put("ringkeeper.slowRequestMillis", if slow == Duration::MAX { 0 } else { slow.as_millis() });
        self.put("audit.enable", config.audit.is_some());
        const FILE: &str = "ringkeeper.auditFile";
        match config.audit.as_ref().map(|audit| audit.file.as_ref()) {
            Some(Some(file)) => self.put(FILE, file.display()),
            Some(None) => self.remark(FILE, "standard error"),
            None => self.remark(FILE, "nothing is audited"),
        }
    }

    fn ours(&mut self, config: &Config) {
        match &config.cores {
            Some(cores) => {
                let cores: Vec<String> = cores.iter().map(ToString::to_string).collect();
                self.put("ringkeeper.cores", cores.join(","));
            }
            None => self.remark("ringkeeper.cores", "by rule"),
        }
        self.put("ringkeeper.shards", config.shards.unwrap_or(0));
        self.put("ringkeeper.lookMicros", config.look.unwrap_or(Duration::ZERO).as_micros());
        let io = match config.io {
            Io::Auto => "auto",
            Io::Uring => "uring",
            Io::Epoll => "epoll",
        };
        self.put("ringkeeper.io", io);
        let log_write = match config.log_write {
            LogWrite::Direct => "direct",
            LogWrite::Mmap => "mmap",
        };
        self.put("ringkeeper.logWrite", log_write);
        self.put("ringkeeper.hugePages", config.huge_pages);
        self.put("ringkeeper.snapshotRate", config.snapshot_rate.unwrap_or(0) >> 20);
    }

    /// What was given and changes nothing must not look as if it were forgotten.
    fn without_effect(&mut self, is_member: bool) {
        for key in self.given.keys() {
            if self.lines.contains_key(key) {
                continue;
            }
            let remark = match key.as_str() {
                key if key.starts_with("admin.") => "of no effect without the admin server",
                key if key.starts_with("metricsProvider.") => "of no effect without a metrics port",
                _ if is_member => "of no effect here",
                _ => "of no effect on a standalone server",
            };
            self.remark(key, remark);
        }
    }

    /// By where they come from, in the order of the layers, each group as it was written; last the defaults.
    fn rendered(self) -> String {
        let mut lines: Vec<(Option<Origin>, String)> = self.lines.into_values().collect();
        lines.sort_by_key(|(origin, _)| place(origin.as_ref()));
        let mut text = String::new();
        let mut group = None;
        for (origin, line) in lines {
            let name = name(origin.as_ref());
            if group.as_ref() != Some(&name) {
                let blank = if group.is_some() { "\n" } else { "" };
                text.push_str(&format!("{blank}# {}\n", escaped(&name)));
                group = Some(name);
            }
            text.push_str(&line);
            text.push('\n');
        }
        text
    }
}

/// What orders the lines: the layer, the file or variable, and the line in it.
fn place(origin: Option<&Origin>) -> (u8, String, usize) {
    match origin {
        Some(Origin::BuiltIn) => (0, String::new(), 0),
        Some(Origin::File { name, line }) => (1, name.clone(), *line),
        Some(Origin::Absent { .. }) => (2, String::new(), 0),
        Some(Origin::Environment { variable }) => (3, variable.clone(), 0),
        Some(Origin::Property) => (4, String::new(), 0),
        Some(Origin::Argument) => (5, String::new(), 0),
        None => (6, String::new(), 0),
    }
}

fn name(origin: Option<&Origin>) -> String {
    match origin {
        Some(Origin::File { name, .. }) => name.clone(),
        Some(origin) => origin.to_string(),
        None => "defaults".to_owned(),
    }
}

fn yes_or_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// So that the reader of properties gets back what was meant, and no value can become a line of its own.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            // All of them lie within the first 256 characters.
            c if c.is_control() => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
#[path = "effective_test.rs"]
mod tests;
