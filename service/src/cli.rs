//! The command line: `serve`, `predict`, `embed`, `sql`, `score`, `jobs`, `train`, `collections`, `celebrities`, `topics`,
//! `log`, `streams`, `models`, `config`.
//!
//! Promises: answers go to standard output and everything else to standard error; `--json` prints one
//! JSON object a line; the exit status is 0 when everything was answered, 1 when something failed, 2 when
//! the command or the configuration is wrong. Predictions run in this process with the same engine as
//! the server's: no server is needed, and the answers are the same. Topics, flows and jobs are a running server's, which is asked.

/// A line on standard error. A reader of it that has gone (`2>&1 | head`) is no reason to stop what is under way.
macro_rules! note {
    ($($said:tt)*) => {{
        use std::io::Write as _;
        // There is nobody else to tell.
        let _ = writeln!(std::io::stderr(), $($said)*);
    }};
}

mod celebrities;
mod collections;
mod embed;
mod jobs;
mod learn;
mod log;
mod models;
mod output;
mod predict;
mod remote;
#[cfg(feature = "sql")]
mod score;
mod serve;
mod settings;
#[cfg(feature = "sql")]
mod sql;
mod streams;
mod topics;
mod train;

use crate::config::{self, Loaded};
use crate::failure::chain;
use clap::{Args, Parser, Subcommand};
use settings::Settings;
use std::path::Path;
use std::process::ExitCode;

/// Real predictions on your own machine: an endpoint for AWS SDKs, REST, OpenAI clients, and this command line.
#[derive(Debug, Parser)]
#[command(
    name = "escala",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(after_help = "Examples:
  escala serve
  escala predict language \"¿Dónde está la biblioteca?\"
  escala predict labels photo.jpg --max-labels 5 --min-confidence 10
  escala embed \"a cat on a mat\" --json
  escala models list

Settings come from a file, the environment and flags; `escala config` prints them all.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve all doors on one port.
    Serve(serve::ServeArgs),
    /// Predict here and now, without a server.
    #[command(subcommand)]
    Predict(predict::Predict),
    /// Print the embedding of each text.
    Embed(embed::EmbedArgs),
    /// Ask about data in SQL, with models as functions: a query, or a shell.
    #[cfg(feature = "sql")]
    Sql(sql::SqlArgs),
    /// Ask a model about every row of a table.
    #[cfg(feature = "sql")]
    Score(score::ScoreArgs),
    /// Teach a model from labelled examples.
    #[command(subcommand)]
    Train(train::Train),
    /// Look after the collections of faces on this machine.
    #[command(subcommand)]
    Collections(collections::Collections),
    /// Look after the people whom this machine recognises.
    #[command(subcommand)]
    Celebrities(celebrities::Celebrities),
    /// Look after the flows of a running server: predictions from topic to topic.
    #[command(subcommand)]
    Streams(streams::Streams),
    /// Look after the topics of a running server's event log, and read and write their records.
    #[command(subcommand)]
    Topics(topics::Topics),
    /// Look for damage in the event log of a server that is stopped, and repair it.
    #[command(subcommand)]
    Log(log::Log),
    /// Look after the jobs of a running server.
    #[command(subcommand)]
    Jobs(jobs::Jobs),
    /// Look after the models on this machine.
    #[command(subcommand)]
    Models(models::Models),
    /// Print the configuration in force and where each value comes from.
    Config(Output),
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, Args)]
struct Output {
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// How a command ends without an answer.
pub(crate) enum Stop {
    /// Something failed; the message says what and, where it can, what to do.
    Failed(String),
    /// The command or the configuration is wrong.
    Usage(String),
    /// Everything to be said has been said already.
    Silent,
}

impl Stop {
    pub(crate) fn failed(error: &dyn std::error::Error) -> Self {
        Self::Failed(chain(error))
    }
}

/// Runs the program with the process's arguments and environment.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let stop = match run(cli) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(stop) => stop,
    };
    match stop {
        Stop::Failed(message) => {
            note!("error: {message}");
            ExitCode::FAILURE
        }
        Stop::Usage(message) => {
            note!("error: {message}");
            ExitCode::from(2)
        }
        Stop::Silent => ExitCode::FAILURE,
    }
}

fn run(cli: Cli) -> Result<(), Stop> {
    let mut flags = cli.settings.flags().map_err(Stop::Usage)?;
    if let Command::Serve(args) = &cli.command {
        flags.extend(args.flags());
    }
    // A value that is not UTF-8 does not fit any setting and is refused there.
    let variables = std::env::vars_os().map(|(name, value)| {
        (
            name.to_string_lossy().into_owned(),
            value.to_string_lossy().into_owned(),
        )
    });
    let loaded = config::load(
        cli.settings.config.as_deref(),
        variables,
        &flags,
        Path::new("."),
    )
    .map_err(|error| Stop::Usage(error.to_string()))?;
    // A command that answers and ends should not talk about how it does that, unless it is asked to.
    let mut log = loaded.config.log.clone();
    if !matches!(cli.command, Command::Serve(_)) && !loaded.origins.contains_key("log.level") {
        log.level = "error".to_owned();
    }
    crate::logs::start(&log).map_err(|error| Stop::Usage(format!("`log.level`: {error}")))?;
    match cli.command {
        Command::Serve(_) => serve::run(&loaded),
        Command::Predict(predict) => predict::run(&loaded.config, predict),
        Command::Embed(args) => embed::run(&loaded.config, args),
        #[cfg(feature = "sql")]
        Command::Sql(args) => sql::run(&loaded.config, args),
        #[cfg(feature = "sql")]
        Command::Score(args) => score::run(&loaded.config, args),
        Command::Train(train) => train::run(&loaded.config, train),
        Command::Collections(command) => collections::run(&loaded.config, command),
        Command::Celebrities(command) => celebrities::run(&loaded.config, command),
        Command::Streams(command) => streams::run(&loaded.config, command),
        Command::Topics(command) => topics::run(&loaded.config, command),
        Command::Log(command) => log::run(&loaded.config, command),
        Command::Jobs(command) => jobs::run(&loaded.config, command),
        Command::Models(models) => models::run(&loaded.config, models),
        Command::Config(output) => config_in_force(&loaded, output),
    }
}

fn config_in_force(loaded: &Loaded, output: Output) -> Result<(), Stop> {
    let text = match output.json {
        true => format!("{}\n", config::show::json(loaded)),
        false => config::show::show(loaded),
    };
    output::print(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::collections::BTreeSet;

    /// What clap asserts in builds for debugging alone: no two flags of a command are written alike.
    #[test]
    fn the_command_line_holds_together() {
        fn check(command: &clap::Command, commands: &mut usize) {
            *commands += 1;
            let (mut ids, mut flags) = (BTreeSet::new(), BTreeSet::new());
            for argument in command.get_arguments() {
                let id = argument.get_id().as_str();
                assert!(ids.insert(id), "{}: {id}", command.get_name());
                let longs = argument.get_long_and_visible_aliases().unwrap_or_default();
                let shorts = argument.get_short_and_visible_aliases().unwrap_or_default();
                let longs = longs.into_iter().map(|long| format!("--{long}"));
                let shorts = shorts.into_iter().map(|short| format!("-{short}"));
                for flag in longs.chain(shorts) {
                    assert!(!flags.contains(&flag), "{}: {flag}", command.get_name());
                    flags.insert(flag);
                }
            }
            command
                .get_subcommands()
                .for_each(|one| check(one, commands));
        }
        let mut command = Cli::command();
        command.build();
        let mut commands = 0;
        check(&command, &mut commands);
        assert!(commands > 30, "{commands}");
    }

    #[test]
    fn flags_name_settings_that_exist() {
        let cli = Cli::parse_from([
            "escala",
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--preload",
            "language",
            "--models-dir",
            "m",
            "--local-dir",
            "l",
            "--offline",
            "--device",
            "cpu",
            "--threads",
            "2",
            "--log-level",
            "debug",
            "--log-format",
            "json",
            "--set",
            "limits.text=5KB",
        ]);
        let Command::Serve(args) = &cli.command else {
            panic!("serve")
        };
        let mut flags = cli.settings.flags().expect("flags");
        flags.extend(args.flags());
        assert_eq!(flags.len(), 10);
        let nowhere = tempfile::tempdir().expect("temporary folder");
        let loaded = config::load(None, [], &flags, nowhere.path()).expect("loads");
        assert_eq!(loaded.origins.len(), 10);
        assert!(loaded.config.models.offline);
        assert_eq!(loaded.config.models.preload, ["language"]);
    }

    /// Two arguments of one name are read as one: of a command's own and of every command's that is a panic, of the first
    /// user who gives the second.
    #[test]
    fn no_argument_of_a_command_has_the_name_of_a_setting() {
        fn check(command: &clap::Command, settings: &[&str], seen: &mut usize) {
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str();
                assert!(
                    argument.is_global_set() || !settings.contains(&name),
                    "{} of {}",
                    name,
                    command.get_name()
                );
                *seen += 1;
            }
            for command in command.get_subcommands() {
                check(command, settings, seen);
            }
        }
        let cli = Cli::command();
        let settings = cli.get_arguments().filter(|one| one.is_global_set());
        let settings: Vec<&str> = settings.map(|one| one.get_id().as_str()).collect();
        assert!(settings.contains(&"set"), "{settings:?}");
        let mut seen = 0;
        check(&cli, &settings, &mut seen);
        assert!(seen > 100, "{seen}");
    }

    #[test]
    fn a_setting_without_a_value_is_refused() {
        let cli = Cli::parse_from(["escala", "config", "--set", "listen"]);
        assert!(
            cli.settings
                .flags()
                .expect_err("no value")
                .contains("KEY=VALUE")
        );
    }
}
