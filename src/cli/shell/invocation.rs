//! How the shell is called: `-server`, `-timeout` and the other options of `zkCli.sh`, ours, and the command.
//!
//! Also the file of `-client-configuration`. What has no meaning here is told of, what can't be had is refused.

use std::time::Duration;

use super::console::Form;
use crate::base::limits;

pub const HELP: &str = "\
The shell of ZooKeeper, with the commands, options and texts of zkCli.sh

Usage: ringkeeper cli [OPTIONS] [COMMAND [ARGUMENTS]]

Without a command it asks for commands; `help` lists them.

Options:
  -server HOST:PORT[,HOST:PORT...][/CHROOT]   where to connect [default: localhost:2181]
  -timeout MILLISECONDS                       the session's timeout [default: 30000]
  -r                                          a server in read-only mode will do
  -waitforconnection                          connect before anything else, or fail after the timeout
  -client-configuration FILE                  properties, of which these count: zookeeper.request.timeout,
                                              jute.maxbuffer
  --output text|json                          json: a line of JSON per answer, and errors as JSON, too
  --help                                      this

Exit status: 0; 1 after an error; 127 for an unknown command; 2 for a command line that can't be understood.
";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    pub server: String,
    pub timeout: Duration,
    pub read_only: bool,
    pub wait: bool,
    pub configuration: Option<String>,
    pub output: Form,
    /// Empty: commands are asked for.
    pub command: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    Run(Invocation),
    Help,
}

impl Invocation {
    /// An error is what to say.
    pub fn parse(words: &[String]) -> Result<Asked, String> {
        let mut invocation = Invocation {
            server: "localhost:2181".to_owned(),
            timeout: Duration::from_millis(30_000),
            read_only: false,
            wait: false,
            configuration: None,
            output: Form::Text,
            command: Vec::new(),
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut argument =
                || words.next().cloned().ok_or_else(|| format!("Error: no argument found for option {word}"));
            match word.as_str() {
                "-server" | "--server" => invocation.server = argument()?,
                "-timeout" | "--timeout" => invocation.timeout = milliseconds(word, &argument()?)?,
                "-r" => invocation.read_only = true,
                "-waitforconnection" => invocation.wait = true,
                "-client-configuration" => invocation.configuration = Some(argument()?),
                "--output" => invocation.output = form(&argument()?)?,
                "-h" | "-help" | "--help" => return Ok(Asked::Help),
                option if option.starts_with("--output=") => {
                    invocation.output = form(&option["--output=".len()..])?;
                }
                option if option.starts_with('-') => {
                    return Err(format!("Error: unknown option {option}; ringkeeper cli --help lists them"));
                }
                command => {
                    invocation.command.push(command.to_owned());
                    invocation.command.extend(words.by_ref().cloned());
                }
            }
        }
        Ok(Asked::Run(invocation))
    }
}

fn milliseconds(option: &str, text: &str) -> Result<Duration, String> {
    match text.parse::<i32>() {
        Ok(number) if number > 0 => Ok(Duration::from_millis(number.unsigned_abs().into())),
        _ => Err(format!("Error: {option} wants milliseconds, and {text:?} is no such number")),
    }
}

fn form(text: &str) -> Result<Form, String> {
    match text {
        "text" => Ok(Form::Text),
        "json" => Ok(Form::Json),
        _ => Err(format!("Error: --output is text or json, and not {text:?}")),
    }
}

/// What a client's configuration file changes here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    pub request_timeout: Option<Duration>,
    pub reply_bytes_max: Option<usize>,
    /// Properties that change nothing here, each with its reason.
    pub told: Vec<String>,
}

impl Configuration {
    /// `text`: Java properties. An error says what can't be had.
    pub fn parse(text: &str) -> Result<Configuration, String> {
        let mut configuration = Configuration::default();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let (key, value) = line.split_once(['=', ':']).unwrap_or((line, ""));
            let (key, value) = (key.trim(), value.trim());
            let number = || value.parse::<i32>().map_err(|_| format!("{key}={value}: not a number"));
            match key {
                "zookeeper.request.timeout" => {
                    let millis = number()?;
                    configuration.request_timeout =
                        (millis > 0).then(|| Duration::from_millis(millis.unsigned_abs().into()));
                }
                "jute.maxbuffer" => {
                    let bytes = usize::try_from(number()?).ok().filter(|bytes| *bytes > 0);
                    let least = limits::FRAME_BYTES_DEFAULT;
                    configuration.reply_bytes_max =
                        Some(bytes.ok_or_else(|| format!("{key}={value}: at least 1, usually {least}"))?);
                }
                "zookeeper.client.secure" if value == "true" => {
                    return Err(format!(
                        "{key}={value}: this shell has no TLS; connect to the server's plain port without it"
                    ));
                }
                "zookeeper.client.secure" => {}
                "zookeeper.sasl.client" if value == "false" => {}
                _ => configuration.told.push(format!("{key} has no meaning for this shell and is ignored")),
            }
        }
        Ok(configuration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Asked, String> {
        Invocation::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_come_before_the_command_and_its_own_behind_it() {
        let Ok(Asked::Run(all)) =
            parse("-server a:1,b:2/c -timeout 500 -r -waitforconnection --output json get -s /a")
        else {
            panic!("all options are known")
        };
        assert_eq!((all.server.as_str(), all.timeout), ("a:1,b:2/c", Duration::from_millis(500)));
        assert!(all.read_only && all.wait && all.output == Form::Json);
        assert_eq!(all.command, ["get", "-s", "/a"]);
        assert_eq!(parse("--help"), Ok(Asked::Help));
        for (line, word) in [
            ("-server", "no argument found for option -server"),
            ("-timeout soon", "\"soon\""),
            ("-timeout 0", "\"0\""),
            ("-sever a:1 ls /", "-sever"),
            ("--output xml", "xml"),
        ] {
            assert!(parse(line).expect_err(line).contains(word), "{line}");
        }
    }

    #[test]
    fn client_configurations() {
        let parse = Configuration::parse;
        let found = parse("# c\nzookeeper.request.timeout=700\njute.maxbuffer = 5000\nzookeeper.x: y\n");
        let found = found.expect("good properties");
        assert_eq!(found.request_timeout, Some(Duration::from_millis(700)));
        assert_eq!(found.reply_bytes_max, Some(5000));
        assert!(found.told.len() == 1 && found.told[0].contains("zookeeper.x"), "{found:?}");
        for bad in ["zookeeper.client.secure=true", "jute.maxbuffer=0", "zookeeper.request.timeout=x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
