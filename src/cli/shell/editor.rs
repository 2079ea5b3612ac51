//! Lines typed at a terminal: editing, history over sessions, completion of commands, options and paths, colours.
//!
//! Called by the room's `run` where input and output are a terminal. Events are printed above the line that is being typed.
//! The history is in `~/.ringkeeper_history`, readable by its owner only; lines with `addauth` are not kept, as they hold
//! passwords. What fails about that file is told once and harms nothing.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::PoisonError;

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Context, Editor, ExternalPrinter, Helper, Hinter, Validator};

use super::super::client::path;
use super::commands;
use super::console::GREEN;
use super::session::{Session, Slot};

const LINES_KEPT: usize = 1000;
const FILE: &str = ".ringkeeper_history";

/// Until `quit` (true), or the end of the input, or a terminal that is gone. An error: there is no line editor here, and
/// nothing was read.
pub fn converse(session: &mut Session) -> Result<bool, ReadlineError> {
    let config = Config::builder()
        .max_history_size(LINES_KEPT)?
        .history_ignore_dups(true)?
        .completion_type(CompletionType::List)
        .build();
    let mut editor: Editor<Helping, FileHistory> = Editor::with_config(config)?;
    editor.set_helper(Some(Helping { session: session.slot(), colours: session.console.colours().output }));
    let file = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(FILE));
    if let Some(file) = file.as_ref().filter(|file| file.exists()) {
        let loaded = editor.load_history(file);
        tell(session, file, loaded);
    }
    let mut printer = editor.create_external_printer()?;
    let (above, texts) = std::sync::mpsc::channel::<String>();
    // It waits for the editor now and then, and the editor for a reply: whoever hears the server must not wait for it.
    let _until_the_end = std::thread::Builder::new()
        .name("printer".to_owned())
        .spawn(move || texts.into_iter().try_for_each(|text| printer.print(text)))?;
    session.console.set_above(Some(Box::new(move |text| above.send(text).is_ok())));
    while !session.is_over {
        match editor.readline(&session.prompt()) {
            Ok(line) => {
                if keeps(&line) {
                    let _ = editor.add_history_entry(line.as_str());
                }
                session.line(&line);
            }
            // Ctrl-C gives up the line and not the shell.
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => {
                session.console.complain(&format!("the terminal can't be read any more: {error}"));
                break;
            }
        }
    }
    session.console.set_above(None);
    if let Some(file) = &file {
        let saved = editor.save_history(file);
        tell(session, file, saved);
    }
    Ok(session.is_over && !session.console.is_gone())
}

fn tell(session: &Session, file: &std::path::Path, done: rustyline::Result<()>) {
    if let Err(error) = done {
        session.console.complain(&format!("no history in {}: {error}", file.display()));
    }
}

/// Whether a line may stand in a file.
fn keeps(line: &str) -> bool {
    let words = super::line::words(line);
    !words.is_empty() && !words.iter().any(|word| word == "addauth")
}

#[derive(Helper, Hinter, Validator)]
struct Helping {
    session: Slot,
    colours: bool,
}

impl Highlighter for Helping {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _default: bool) -> Cow<'b, str> {
        if self.colours { Cow::Owned(format!("{GREEN}{prompt}\x1b[0m")) } else { Cow::Borrowed(prompt) }
    }
}

impl Completer for Helping {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, word) = word_before(line, at);
        let (quote, path) = match word.strip_prefix(['"', '\'']) {
            Some(path) => (word.chars().next(), path),
            None => (None, word),
        };
        let found = if path.starts_with('/') {
            self.paths(path).into_iter().map(|path| quoted(path, quote)).collect()
        } else if line[..start].trim().is_empty() {
            commands::names()
                .iter()
                .filter(|name| name.starts_with(word))
                .map(|name| format!("{name} "))
                .collect()
        } else if word.starts_with('-') {
            options(line, word)
        } else {
            Vec::new()
        };
        let pair = |text: String| Pair { display: text.trim_end().to_owned(), replacement: text };
        Ok((start, found.into_iter().map(pair).collect()))
    }
}

impl Helping {
    /// Nothing while there is no connection: a key must not wait for one.
    fn paths(&self, word: &str) -> Vec<String> {
        let client = self.session.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(client) = client.filter(|client| client.state().is_connected()) else { return Vec::new() };
        let cut = word.rfind('/').unwrap_or(0);
        let parent = if cut == 0 { "/" } else { &word[..cut] };
        let Ok((names, _)) = client.children(parent, false) else { return Vec::new() };
        let start = &word[cut + 1..];
        names.iter().filter(|name| name.starts_with(start)).map(|name| path::join(parent, name)).collect()
    }
}

/// Where the word under the cursor begins, and what of it stands before the cursor. A word with a quote before it goes to the
/// next one.
fn word_before(line: &str, at: usize) -> (usize, &str) {
    let before = &line[..at];
    let (mut start, mut quote) = (None, None);
    for (index, letter) in before.char_indices() {
        match (start, quote) {
            (None, _) if letter.is_whitespace() => {}
            (None, _) => (start, quote) = (Some(index), Some(letter).filter(|first| is_quote(*first))),
            (Some(_), Some(open)) if letter == open => (start, quote) = (None, None),
            (Some(_), None) if letter.is_whitespace() => start = None,
            (Some(_), _) => {}
        }
    }
    let start = start.unwrap_or(before.len());
    (start, &before[start..])
}

fn is_quote(letter: char) -> bool {
    matches!(letter, '"' | '\'')
}

/// As it has to be typed: between the quotes that were begun, or between such as it has none of itself.
fn quoted(path: String, begun: Option<char>) -> String {
    let needed = path.contains(char::is_whitespace).then(|| if path.contains('"') { '\'' } else { '"' });
    match begun.or(needed) {
        Some(quote) => format!("{quote}{path}{quote}"),
        None => path,
    }
}

fn options(line: &str, word: &str) -> Vec<String> {
    let command = line.split_whitespace().next().and_then(commands::find);
    let all = command.map(|command| command.options.options).unwrap_or_default();
    all.iter().map(|option| format!("-{} ", option.name)).filter(|option| option.starts_with(word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(line: &str) -> (usize, Vec<String>) {
        let helping = Helping { session: Slot::default(), colours: false };
        let history = FileHistory::new();
        let (start, pairs) =
            helping.complete(line, line.len(), &Context::new(&history)).expect("completion of what is there");
        (start, pairs.into_iter().map(|pair| pair.replacement).collect())
    }

    #[test]
    fn commands_and_options_are_completed() {
        assert_eq!(complete("getA"), (0, vec!["getAcl ".to_owned(), "getAllChildrenNumber ".to_owned()]));
        assert_eq!(complete("  tr"), (2, vec!["tree ".to_owned()]));
        assert_eq!(complete("ls -R"), (3, vec!["-R ".to_owned()]));
        assert_eq!(complete("get -"), (4, ["-s ", "-w ", "-b ", "-x "].map(str::to_owned).to_vec()));
        assert_eq!(complete("nothing -").1.len(), 0);
        assert_eq!(complete("ls\u{a0}-").0, 4, "any space is one");
        assert_eq!(complete("ls /").1.len(), 0, "without a session");
        assert_eq!(complete("set /a v").1.len(), 0);
    }

    #[test]
    fn a_name_with_a_space_is_one_word() {
        for (line, expected) in [
            ("get /a b", (7, "b")),
            ("get \"/a b", (4, "\"/a b")),
            ("get '/a b", (4, "'/a b")),
            ("set \"/a b\" /c", (11, "/c")),
            ("get /a\"b c", (9, "c")),
            ("get ", (4, "")),
            ("", (0, "")),
        ] {
            assert_eq!(word_before(line, line.len()), expected, "{line}");
        }
        for (path, begun, expected) in [
            ("/a", None, "/a"),
            ("/a b", None, "\"/a b\""),
            ("/a \"b", None, "'/a \"b'"),
            ("/a", Some('\''), "'/a'"),
        ] {
            assert_eq!(quoted(path.to_owned(), begun), expected);
            assert_eq!(crate::cli::shell::line::words(expected), [path]);
        }
    }

    #[test]
    fn passwords_are_not_kept() {
        assert!(keeps("ls /"));
        assert!(!keeps("addauth digest zs:123") && !keeps(" addauth digest zs:123") && !keeps("  "));
    }
}
