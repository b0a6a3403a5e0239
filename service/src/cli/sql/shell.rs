//! The shell of `escala sql`: statements that end in `;`, on as many lines as they need.

use super::{Desk, Stop, failed};
use crate::config::Config;
use crate::machine::data_folder;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

const HELP: &str = "Statements end in `;`. \\q leaves. \\d lists the functions of models. Tables are files: FROM 'folder/*.parquet',
images('folder'). SET escala.on_error = 'error'; ends queries whose rows cannot be answered.
";
const FUNCTIONS: &str = "sentiment(text [, language])    language(text)    entities(text [, language])    key_phrases(text [, language])
pii(text [, language])    redact(text [, language])    embed(text)    similarity(a, b)    labels(image)    faces(image)
json_value(text, path)
";

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
        match line.trim() {
            "\\q" | "exit" | "quit" => break,
            "\\h" | "\\?" | "help" => {
                print!("{HELP}");
                continue;
            }
            "\\d" => {
                print!("{FUNCTIONS}");
                continue;
            }
            "" if statement.is_empty() => continue,
            _ => {}
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
            Err(Stop::Failed(why) | Stop::Usage(why)) => eprintln!("error: {why}"),
        }
    }
    if let Ok(history) = &history {
        let kept = history.parent().map_or(Ok(()), std::fs::create_dir_all);
        if let Err(error) = kept
            .map_err(ReadlineError::Io)
            .and_then(|()| editor.save_history(history))
        {
            eprintln!("warning: the history is not kept: {error}");
        }
    }
    Ok(())
}
