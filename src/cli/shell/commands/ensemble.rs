//! close, sync, version, config, reconfig: the session and the servers.

use serde_json::json;

use super::super::super::about::about;
use super::super::super::client::Failure;
use super::super::options::{Spec, flag, value};
use super::{Context, Parsed, Trouble, stat_text};

pub const RECONFIG: &[Spec] = &[
    flag("s", "stats"),
    value("v", "required current config version"),
    value("file", "path of config file to parse for membership"),
    value("members", "comma-separated list of config strings for non-incremental reconfig"),
    value("add", "comma-separated list of config strings for new servers"),
    value("remove", "comma-separated list of server IDs to remove"),
];

pub fn close(context: &mut Context<'_>, _: &Parsed) -> Result<(), Trouble> {
    context.client.close();
    Ok(())
}

pub fn sync(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let path = parsed.argument(1).unwrap_or_default();
    match context.client.sync(path) {
        Ok(()) => {
            context.console.line("Sync is OK");
            context.console.value(&json!({"path": path, "rc": 0}));
            Ok(())
        }
        Err(Failure::Keeper { code, .. }) => {
            context.console.line(&format!("Sync has failed. rc={code}"));
            context.console.value(&json!({"path": path, "rc": code}));
            Ok(())
        }
        Err(failure) => Err(failure.into()),
    }
}

pub fn version(context: &mut Context<'_>, _: &Parsed) -> Result<(), Trouble> {
    let version = about().full_version();
    context.console.line(&format!("ZooKeeper CLI version: {version}"));
    context.console.value(&json!({ "version": version }));
    Ok(())
}

pub fn config(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let (data, stat) = context.client.config(parsed.has("w"))?;
    let text = data.map_or_else(|| "null".to_owned(), |data| String::from_utf8_lossy(&data).into_owned());
    let shown = if parsed.has("c") { client_addresses(&text) } else { text };
    context.console.line(&shown);
    if parsed.has("s") {
        context.stat(&stat);
    }
    context.console.value(&json!({"config": shown, "stat": stat_text::json(&stat)}));
    Ok(())
}

/// The version and where clients connect: `100000000 h1:2181,h2:2181`, with nothing for a member that serves no clients.
fn client_addresses(config: &str) -> String {
    let mut version = String::new();
    let mut addresses = Vec::new();
    for (key, text) in config.lines().filter_map(|line| line.split_once('=')) {
        let (key, text) = (key.trim(), text.trim());
        if key == "version" {
            text.clone_into(&mut version);
        } else if key.starts_with("server.") {
            addresses.push(match text.split_once(';').map(|(_, address)| address.trim()) {
                None => String::new(),
                Some(port) if !port.contains(':') => format!("0.0.0.0:{port}"),
                Some(address) => address.to_owned(),
            });
        }
    }
    format!("{version} {}", addresses.join(","))
}

pub fn reconfig(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let whole = parsed.has("file") || parsed.has("members");
    let step = parsed.has("add") || parsed.has("remove");
    if !whole && !step {
        let usage = super::find("reconfig").map(super::Command::usage).unwrap_or_default();
        return Err(Trouble::usage(usage));
    }
    let version = match parsed.value("v").map(|text| i64::from_str_radix(text, 16)) {
        None => -1,
        Some(Ok(version)) => version,
        Some(Err(_)) => {
            return Err(Trouble::usage("-v must be followed by a long (configuration version)"));
        }
    };
    if whole && step {
        return Err(Trouble::usage(
            "Can't use -file or -members together with -add or -remove (mixing incremental and non-incremental modes is \
             not allowed)",
        ));
    }
    if parsed.has("file") && parsed.has("members") {
        let message = "Can't use -file and -members together (conflicting non-incremental modes)";
        return Err(Trouble::usage(message));
    }
    let lower = |option: &str| parsed.value(option).map(str::to_lowercase);
    let members = match parsed.value("file") {
        Some(file) => Some(members_of_file(file)?),
        None => lower("members"),
    };
    let (joining, leaving) = (lower("add"), lower("remove"));
    let (config, stat) =
        context.client.reconfigure(joining.as_deref(), leaving.as_deref(), members.as_deref(), version)?;
    let config = String::from_utf8_lossy(&config);
    context.console.line(&format!("Committed new configuration:\n{config}"));
    if parsed.has("s") {
        context.stat(&stat);
    }
    context.console.value(&json!({"config": config, "stat": stat_text::json(&stat)}));
    Ok(())
}

/// The lines of a configuration file that say who belongs to the ensemble. The leader checks them.
fn members_of_file(file: &str) -> Result<String, Trouble> {
    let wrong = |reason: String| Trouble::usage(format!("Error processing {file}: {reason}"));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let about_members = |line: &&str| {
        ["server.", "group.", "weight."].iter().any(|start| line.starts_with(start)) && line.contains('=')
    };
    let lines: Vec<&str> = text.lines().map(str::trim).filter(about_members).collect();
    if lines.is_empty() {
        return Err(wrong("it has no line server.N=host:port:port".to_owned()));
    }
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::client_addresses;

    #[test]
    fn client_addresses_of_a_configuration() {
        let config = "server.1=h1:2888:3888:participant;0.0.0.0:2181\nserver.2=h2:2888:3888:observer;2182\n\
                      server.3=h3:2888:3888:participant\nversion=100000000";
        assert_eq!(client_addresses(config), "100000000 0.0.0.0:2181,0.0.0.0:2182,");
        assert_eq!(client_addresses("null"), " ");
    }
}
