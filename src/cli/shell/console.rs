//! Where the shell writes: text or JSON, with colours on a terminal only, and never between the letters of a line that is
//! being typed.
//!
//! Shared by the shell's thread and the connection's, which prints events. What can't be written, because nobody reads any
//! more, is remembered: the shell ends then, quietly.

use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::super::client::Event;
use crate::wire::client::EventType;

/// Writes above the line that is being edited.
pub type Above = Box<dyn FnMut(String) -> bool + Send>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Text,
    Json,
}

/// Which of the two outputs is looked at by a person who wants colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Colours {
    pub output: bool,
    pub errors: bool,
}

pub struct Console {
    form: Form,
    colours: Colours,
    /// Whether events are printed (`printwatches`).
    watches: AtomicBool,
    /// Nothing is printed of the session's own end when we end it.
    leaving: AtomicBool,
    gone: AtomicBool,
    above: Mutex<Option<Above>>,
}

impl Console {
    pub fn new(form: Form, colours: Colours) -> Console {
        Console {
            form,
            colours,
            watches: AtomicBool::new(true),
            leaving: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            above: Mutex::new(None),
        }
    }

    pub fn is_json(&self) -> bool {
        self.form == Form::Json
    }

    /// Whether nobody reads any more.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    pub fn prints_watches(&self) -> bool {
        self.watches.load(Ordering::Relaxed)
    }

    pub fn print_watches(&self, on: bool) {
        self.watches.store(on, Ordering::Relaxed);
    }

    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// From here on events are printed with this.
    pub fn set_above(&self, above: Option<Above>) {
        *self.above.lock().unwrap_or_else(PoisonError::into_inner) = above;
    }

    /// Bytes as they are to standard output: data needn't be text.
    pub fn raw(&self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) else { return };
        // Who reads no more wants no more. Anything else leaves an answer cut, as on a full disk.
        if !self.gone.swap(true, Ordering::Relaxed) && error.kind() != ErrorKind::BrokenPipe {
            self.complain(&format!("the answer can't be written: {error}"));
        }
    }

    /// A line of a command's answer. In JSON form it is [`Console::value`] that counts.
    pub fn line(&self, text: &str) {
        if self.form == Form::Text {
            self.raw(format!("{text}\n").as_bytes());
        }
    }

    /// What Apache's shell says on standard error although nothing is wrong.
    pub fn note(&self, text: &str) {
        if self.form == Form::Text {
            complain(text);
        }
    }

    /// Something is wrong, and the command goes on.
    pub fn complain(&self, text: &str) {
        match self.form {
            Form::Text => complain(&paint(self.colours.errors, RED, text)),
            Form::Json => complain(&json!({ "warning": text }).to_string()),
        }
    }

    /// The answer for programs: one line per command, or per item of a long answer.
    pub fn value(&self, value: &Value) {
        if self.form == Form::Json {
            self.raw(format!("{value}\n").as_bytes());
        }
    }

    /// The end of a command that failed.
    pub fn failure(&self, name: &str, path: Option<&str>, message: &str) {
        match self.form {
            Form::Text => self.complain(message),
            Form::Json => {
                let mut value = json!({"error": name, "message": message});
                if let Some(path) = path {
                    value["path"] = path.into();
                }
                complain(&value.to_string());
            }
        }
    }

    /// What the connection's thread calls.
    pub fn event(&self, event: &Event) {
        if !self.prints_watches() || self.leaving.load(Ordering::Relaxed) {
            return;
        }
        let text = match self.form {
            // A session's comings and goings are no answer to anything a program has asked.
            Form::Json if event.kind == EventType::None => return,
            Form::Json => format!("{}\n", json!({ "event": event_json(event) })),
            Form::Text => {
                let line = self.painted(YELLOW, &event_text(event));
                format!("\nWATCHER::\n\n{line}\n")
            }
        };
        self.apart(text);
    }

    /// Prints beside what is being typed.
    pub fn apart(&self, text: String) {
        let mut above = self.above.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *above {
            Some(print) => {
                if !print(text) {
                    self.gone.store(true, Ordering::Relaxed);
                }
            }
            None => self.raw(text.as_bytes()),
        }
    }

    /// In colour, if a person looks.
    pub fn painted(&self, colour: &str, text: &str) -> String {
        paint(self.colours.output, colour, text)
    }

    pub fn colours(&self) -> Colours {
        self.colours
    }
}

fn paint(wanted: bool, colour: &str, text: &str) -> String {
    if wanted { format!("{colour}{text}\x1b[0m") } else { text.to_owned() }
}

pub const RED: &str = "\x1b[31m";
pub const YELLOW: &str = "\x1b[33m";
pub const GREEN: &str = "\x1b[32m";
pub const BLUE: &str = "\x1b[34m";

fn complain(text: &str) {
    // Standard error may be closed, too; then there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn event_text(event: &Event) -> String {
    let Event { kind, state, path, zxid } = event;
    let path = path.as_deref().unwrap_or("null");
    format!("WatchedEvent state:{state:?} type:{kind:?} path:{path} zxid: {zxid}")
}

pub fn event_json(event: &Event) -> Value {
    let Event { kind, state, path, zxid } = event;
    json!({"type": format!("{kind:?}"), "state": format!("{state:?}"), "path": path, "zxid": zxid})
}
