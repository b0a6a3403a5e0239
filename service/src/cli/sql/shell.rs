//! The shell of `escala sql`: statements that end in `;`, on as many lines as they need.

use super::{Desk, Stop, failed};
use crate::config::Config;
use crate::machine::data_folder;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

const HELP: &str = "Statements end in `;`. \\q leaves, \\h or \\? shows this, \\d lists the functions of models. Tables are files:
FROM 'folder/*.parquet', images('folder'). SHOW TABLES; lists those that were made. SET escala.on_error = 'error'; ends queries
whose rows cannot be answered.
";
const FUNCTIONS: &str = "sentiment(text [, language])    language(text)    entities(text [, language])    key_phrases(text [, language])
pii(text [, language])    redact(text [, language])    embed(text)    similarity(a, b)    labels(image)    faces(image)
predict(endpoint, value, ...)    json_value(text, path)
";

/// A line that is no part of a statement.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Leave,
    /// Shows a text.
    Show(&'static str),
    /// There is no such command.
    Unknown(String),
}

impl Command {
    /// The command that a line is, behind the lines of a statement that has no end yet.
    fn of(line: &str, statement: &str) -> Option<Self> {
        let line = line.trim();
        match line {
            "\\q" | "exit" | "quit" => return Some(Self::Leave),
            "\\h" | "\\?" | "help" => return Some(Self::Show(HELP)),
            "\\d" => return Some(Self::Show(FUNCTIONS)),
            _ => {}
        }
        // A text in quotes may go on with anything.
        let quoted = statement.matches('\'').count() % 2 == 1;
        let name = line
            .split_whitespace()
            .next()
            .filter(|name| name.starts_with('\\') && !quoted)?;
        Some(Self::Unknown(name.to_owned()))
    }
}

pub(super) fn run(config: &Config, desk: &mut Desk) -> Result<(), Stop> {
    let mut editor = DefaultEditor::new().map_err(failed)?;
    let history = data_folder(config).map(|folder| folder.join("sql_history"));
    if let Ok(history) = &history {
        // There is none before the first time.
        let _ = editor.load_history(history);
    }
    println!(
        "escala {}: \\h helps, \\q leaves.",
        env!("CARGO_PKG_VERSION")
    );
    let mut statement = String::new();
    loop {
        let prompt = if statement.is_empty() {
            "escala> "
        } else {
            "     -> "
        };
        let line = match editor.readline(prompt) {
            Ok(line) => line,
            // Ctrl-C gives a statement up, Ctrl-D the shell.
            Err(ReadlineError::Interrupted) => {
                statement.clear();
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(failed(error)),
        };
        match Command::of(&line, &statement) {
            Some(Command::Leave) => break,
            Some(Command::Show(text)) => {
                print!("{text}");
                continue;
            }
            Some(Command::Unknown(name)) => {
                note!("invalid command {name}. Try \\? for help.");
                continue;
            }
            None if statement.is_empty() && line.trim().is_empty() => continue,
            None => {}
        }
        if !statement.is_empty() {
            statement.push('\n');
        }
        statement.push_str(&line);
        if !line.trim_end().ends_with(';') {
            continue;
        }
        let text = std::mem::take(&mut statement);
        // A history that cannot be kept is no reason to stop.
        let _ = editor.add_history_entry(text.as_str());
        match desk.answer(&text, None, false) {
            Ok(()) | Err(Stop::Silent) => {}
            Err(Stop::Failed(why) | Stop::Usage(why)) => note!("error: {why}"),
        }
    }
    if let Ok(history) = &history {
        let kept = history.parent().map_or(Ok(()), std::fs::create_dir_all);
        if let Err(error) = kept
            .map_err(ReadlineError::Io)
            .and_then(|()| editor.save_history(history))
        {
            note!("warning: the history is not kept: {error}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use escala_sql::functions::FUNCTIONS as ALL;

    #[test]
    fn what_begins_with_a_backslash_is_a_command_and_no_statement() {
        let unknown = |name: &str| Some(Command::Unknown(name.to_owned()));
        for (line, statement, want) in [
            ("\\dt", "", unknown("\\dt")),
            ("  \\timing on", "", unknown("\\timing")),
            ("\\x", "SELECT 1", unknown("\\x")),
            ("\\x", "SELECT 'a", None),
            ("\\q", "SELECT 1", Some(Command::Leave)),
            (" exit ", "", Some(Command::Leave)),
            ("\\?", "", Some(Command::Show(HELP))),
            ("\\d", "", Some(Command::Show(FUNCTIONS))),
            ("SELECT '\\d';", "", None),
            ("", "", None),
        ] {
            assert_eq!(
                Command::of(line, statement),
                want,
                "{line} after {statement}"
            );
        }
    }

    #[test]
    fn all_functions_are_listed() {
        let named = ALL.iter().map(|function| function.name);
        for name in named.chain(["predict", "similarity", "json_value"]) {
            assert!(FUNCTIONS.contains(&format!("{name}(")), "{name}");
        }
    }
}
