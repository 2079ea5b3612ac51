//! The shell itself: runs lines, keeps the history, connects and reconnects, and knows with what the program will end.
//!
//! Called by the room's `run`, line by line. Source of the order of things: `ZooKeeperMain`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::json;

use super::super::client::{Client, Event, Listener, Settings, Target};
use super::commands::{self, Context, Follows, Trouble};
use super::console::Console;
use super::line::words;
use crate::wire::ErrorCode;

/// How long a shell that asks for commands waits for its first connection before it asks.
const GREETING: Duration = Duration::from_secs(3);
/// So many lines has `history`.
const HISTORY: usize = 11;

/// The session there is, if any: shared with what completes paths.
pub type Slot = Arc<Mutex<Option<Arc<Client>>>>;

pub struct Session {
    settings: Settings,
    pub console: Arc<Console>,
    follows: Follows,
    zone: TimeZone,
    client: Slot,
    host: String,
    history: Vec<String>,
    one_shot: bool,
    has_ephemerals: bool,
    /// The exit status, if this was the last command.
    pub status: u8,
    pub is_over: bool,
}

impl Session {
    pub fn new(settings: Settings, console: Arc<Console>, one_shot: bool) -> Session {
        Session {
            settings,
            console,
            follows: Follows::default(),
            zone: TimeZone::system(),
            client: Slot::default(),
            host: String::new(),
            history: Vec::new(),
            one_shot,
            has_ephemerals: false,
            status: 0,
            is_over: false,
        }
    }

    /// Ends the session that there is, and begins one.
    pub fn connect(&mut self, host: &str) -> Result<(), Trouble> {
        if let Some(client) = self.set_client(None) {
            client.close();
        }
        host.clone_into(&mut self.host);
        let target = Target::parse(host).map_err(Trouble::usage)?;
        let (console, follows) = (Arc::clone(&self.console), self.follows.clone());
        let listener: Listener = Box::new(move |event: &Event| {
            if !follows.take(event) {
                console.event(event);
            }
        });
        let client = Client::open(target, self.settings.clone(), listener)
            .map_err(|error| Trouble::local(format!("no thread for the connection: {error}")))?;
        self.set_client(Some(Arc::new(client)));
        Ok(())
    }

    /// Puts it in the place of the one before, which is returned.
    fn set_client(&self, client: Option<Arc<Client>>) -> Option<Arc<Client>> {
        std::mem::replace(&mut *self.client.lock().unwrap_or_else(PoisonError::into_inner), client)
    }

    fn client(&self) -> Option<Arc<Client>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// For completion.
    pub fn slot(&self) -> Slot {
        Arc::clone(&self.client)
    }

    /// For `-waitforconnection`.
    pub fn wait_until_connected(&mut self) -> Result<(), Trouble> {
        let bound = self.settings.timeout;
        let Some(client) = self.client() else { return Ok(()) };
        if client.wait_until_connected(bound) {
            return Ok(());
        }
        let reason = client.complaint().map(|reason| format!(" ({reason})")).unwrap_or_default();
        Err(Trouble {
            name: ErrorCode::ConnectionLoss.name(),
            path: None,
            message: format!(
                "KeeperErrorCode = ConnectionLoss: no connection within {} ms{reason}",
                bound.as_millis()
            ),
            status: 1,
        })
    }

    /// Before the first prompt: so that it says where we are.
    pub fn greet(&self) {
        if let Some(client) = self.client() {
            client.settle(GREETING);
        }
    }

    pub fn prompt(&self) -> String {
        let state = self.client().map_or("NOT_CONNECTED", |client| client.state().name());
        format!("[zk: {}({state}) {}] ", self.host, self.history.len())
    }

    /// A line that was typed or piped.
    pub fn line(&mut self, line: &str) {
        let words = words(line);
        if words.is_empty() {
            return;
        }
        self.history.push(line.to_owned());
        self.execute(&words);
    }

    /// A command, and what becomes of it.
    pub fn execute(&mut self, words: &[String]) {
        self.status = match self.command(words) {
            // `quit` ends with the status of the command before.
            Ok(()) if self.is_over => self.status,
            Ok(()) => 0,
            Err(trouble) => self.report(&trouble),
        };
        if self.console.is_gone() {
            self.is_over = true;
            self.status = self.status.max(1);
        }
    }

    /// Says what is wrong; the exit status of it.
    pub fn report(&self, trouble: &Trouble) -> u8 {
        let lost = trouble.name == ErrorCode::ConnectionLoss.name();
        let reason = self.client().and_then(|client| client.complaint()).filter(|_| lost);
        if let (Some(reason), false) = (reason, self.console.is_json()) {
            self.console.complain(&format!("({reason})"));
        }
        if trouble.message.is_empty() {
            return trouble.status;
        }
        self.console.failure(trouble.name, trouble.path.as_deref(), &trouble.message);
        trouble.status
    }

    fn command(&mut self, words: &[String]) -> Result<(), Trouble> {
        let Some(name) = words.first().map(String::as_str) else { return Ok(()) };
        let argument = words.get(1).map(String::as_str);
        match name {
            "quit" => {
                self.is_over = true;
                return Ok(());
            }
            "redo" => self.redo(argument)?,
            "history" => self.tell_history(),
            "printwatches" => match argument {
                None => {
                    let now = if self.console.prints_watches() { "on" } else { "off" };
                    self.console.line(&format!("printwatches is {now}"));
                    self.console.value(&json!({ "printwatches": now }));
                }
                Some(wanted) => self.console.print_watches(wanted == "on"),
            },
            "connect" => {
                let host = argument.unwrap_or(&self.host).to_owned();
                self.connect(&host)?;
            }
            "help" => {
                self.console.line(&commands::help());
                self.console.value(&json!({ "commands": commands::names() }));
                return Ok(());
            }
            _ => {}
        }
        let is_builtin = commands::BUILTIN.iter().any(|(builtin, _)| *builtin == name);
        let command = commands::find(name);
        if command.is_none() && !is_builtin {
            if !self.console.is_json() {
                self.console.note(&commands::usage());
            }
            return Err(Trouble::not_found(name));
        }
        let Some(client) = self.client().filter(|client| client.state().is_alive()) else {
            self.console.line("Not connected");
            self.console.value(&json!({ "error": "NotConnected" }));
            return Ok(());
        };
        let Some(command) = command else { return Ok(()) };
        let mut context = Context {
            client: &client,
            console: &self.console,
            zone: &self.zone,
            follows: &self.follows,
            one_shot: self.one_shot,
            has_ephemerals: &mut self.has_ephemerals,
        };
        command.run(&mut context, words)
    }

    fn redo(&mut self, number: Option<&str>) -> Result<(), Trouble> {
        let Some(text) = number else { return Ok(()) };
        let number: i64 = text.parse().map_err(|_| {
            Trouble::usage(format!("redo wants a number of the history, and {text:?} is none"))
        })?;
        // The newest line is this redo.
        let past = self.history.len().saturating_sub(1);
        let Some(index) = usize::try_from(number).ok().filter(|index| *index < past) else {
            return Err(Trouble::usage("Command index out of range"));
        };
        let line = self.history[index].clone();
        let again = words(&line);
        if again.first().is_some_and(|name| name == "redo") {
            return Err(Trouble::usage("No redoing redos"));
        }
        if let Some(newest) = self.history.last_mut() {
            *newest = line;
        }
        self.execute(&again);
        Ok(())
    }

    fn tell_history(&self) {
        let first = self.history.len().saturating_sub(HISTORY);
        for (number, line) in self.history.iter().enumerate().skip(first) {
            self.console.line(&format!("{number} - {line}"));
        }
        self.console.value(&json!({ "history": self.history[first..] }));
    }

    /// Ends the session, unless ephemerals were made: these live on for a session timeout, as after Apache's shell.
    pub fn end(&mut self, asked: bool) {
        self.console.leave();
        let Some(client) = self.set_client(None) else { return };
        if asked || !self.has_ephemerals {
            client.close();
        } else {
            client.abandon();
        }
    }
}
