//! The command line of `careful-faults`: arguments to runs, what came of them to a person.
//!
//! Exit codes: 0 all as claimed, 1 a promise or a control broke, 2 the arguments are wrong.

mod between;
mod crash;
mod link;
mod matrix;
mod scenarios;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::ladder::Level;
use crate::matrix::progress::TrialProgress;
use crate::mutants;
use crate::programs::Programs;
use crate::random::RandomReport;
use crate::trial::Trial;

/// Faults for careful: show, by runs, which check catches what.
#[derive(Debug, Parser)]
#[command(name = "careful-faults", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every fault at every level of the ladder and show what became of it
    Matrix(MatrixArguments),
    /// Show a report again that `matrix --json` printed
    Show {
        /// The file it was written to
        report: PathBuf,
        #[command(flatten)]
        view: View,
    },
    /// Strike anywhere with several faults at once, drawn from seeds
    Random {
        /// How many plans
        #[arg(long, default_value_t = 1000)]
        plans: u64,
        /// Seed of the first; each further plan has the next
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Transfers at once [default: four for each core]
        #[arg(long)]
        jobs: Option<usize>,
    },
    /// Cut the power at every step of a transfer and look at all that may be left
    Crash(CrashArguments),
    /// Flip random bits in the memory of the unmodified programs while they run
    Memory {
        /// How many transfers
        #[arg(long, default_value_t = 100)]
        trials: u32,
        /// What victims, pages and bits are drawn from
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Build the program with one guard at a time taken out, and show that each is missed
    Mutants {
        /// Only these, by name
        names: Vec<String>,
        /// Processes at once [default: one for each core]
        #[arg(long)]
        jobs: Option<usize>,
        /// The workspace to build from
        #[arg(long, value_name = "DIRECTORY", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/.."))]
        workspace: PathBuf,
    },
    /// Run one scenario and tell what happens
    Run {
        /// A scenario: a TOML file, or the name of one that comes with the program
        scenario: String,
    },
    /// Run one trial again, as a matrix printed it
    Replay {
        /// The line: `LEVEL large|small BYTES SEED: PLAN`
        line: String,
        /// How often
        #[arg(long, default_value_t = 1)]
        times: u32,
    },
    /// List scenarios, rows and levels
    List,
    /// A bad network between two unmodified programs: relay their datagrams
    Relay(between::RelayArguments),
    /// A bad link between two hosts, network namespaces, while a command runs: for TCP tools and careful alike (needs root)
    Link(link::LinkArguments),
    /// The gateway at MIT between two unmodified programs: end QUIC on both sides and swap bytes
    Gateway(between::GatewayArguments),
}

/// What `matrix` takes.
#[derive(Debug, Args)]
struct MatrixArguments {
    /// Trials of each row at each level
    #[arg(long, default_value_t = 20)]
    trials: u32,
    /// Trials of each row with all checks on, if more
    #[arg(long, default_value_t = 0)]
    trials_full: u32,
    /// Only these rows, by number: 4,13,16
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Only these levels: L2,L5
    #[arg(long, value_delimiter = ',')]
    levels: Vec<Level>,
    /// What all plans are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Trials at once [default: four for each core]
    #[arg(long)]
    jobs: Option<usize>,
    /// Leave out the curves (goodput against chunk size, cost of each check), which take minutes
    #[arg(long)]
    without_curves: bool,
    #[command(flatten)]
    view: View,
}

/// How a report is shown.
#[derive(Debug, Args)]
struct View {
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Print the table as Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Write a page with the matrix as a picture
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// What `crash` takes.
#[derive(Debug, Args)]
struct CrashArguments {
    /// What the images that are not all looked at are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Images of each crash point from which the transfer is run again
    #[arg(long, default_value_t = 2)]
    resumes: u64,
}

/// What a command came to: whether all was as claimed, or why it could not be run.
type Done = Result<bool, String>;

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Command::Matrix(arguments) => matrix::run(&arguments),
        Command::Show { report, view } => matrix::show_again(&report, &view),
        Command::Random { plans, seed, jobs } => random(plans, seed, jobs),
        Command::Crash(arguments) => crash::run(&arguments),
        Command::Memory { trials, seed } => memory(trials, seed),
        Command::Mutants { names, jobs, workspace } => mutants(names, jobs, workspace),
        Command::Run { scenario } => scenarios::run(&scenario),
        Command::Replay { line, times } => replay(&line, times),
        Command::List => list(),
        Command::Relay(arguments) => between::relay(arguments),
        Command::Link(arguments) => link::link(&arguments),
        Command::Gateway(arguments) => between::gateway(arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            tell(&format!("careful-faults: {error}\n"));
            ExitCode::from(2)
        }
    }
}

fn replay(line: &str, times: u32) -> Done {
    let mut is_silent = false;
    for _ in 0..times {
        let trial: Trial = line.parse().map_err(|error| format!("{error}"))?;
        let judged = trial.run();
        say(&format!(
            "{}: {}, first noticed by: {}\n",
            judged.end.word(),
            judged.end.meaning(),
            judged.caught_by.name()
        ));
        for why in &judged.why {
            say(&format!("  {why}\n"));
        }
        is_silent |= judged.end == crate::matrix::report::Outcome::Silent;
    }
    Ok(!is_silent)
}

fn random(plans: u64, seed: u64, jobs: Option<usize>) -> Done {
    let progress = TrialProgress::new(plans);
    let report = crate::random::run(seed, plans, jobs.unwrap_or_else(transfers_at_once), &|| progress.trial_done());
    progress.finish();
    let RandomReport { plans, fired, completed, broken } = report;
    say(&format!(
        "{plans} random plans from seed {seed} on, {fired} faults took effect; {completed} transfers completed at once, the others \
         when repeated; {} broke a promise\n",
        broken.len()
    ));
    for broken in &broken {
        say(&format!("{broken}\n"));
    }
    Ok(broken.is_empty())
}

/// Nobody can catch all of this: what is silent is told, and no failure.
fn memory(trials: u32, seed: u64) -> Done {
    let progress = TrialProgress::new(u64::from(trials));
    let programs = Programs::beside_this()?;
    programs.check()?;
    let report = crate::memory::run(&programs, seed, trials, &|| progress.trial_done());
    progress.finish();
    let report = report.map_err(|error| error.to_string())?;
    say(&format!("{} bits flipped in {trials} transfers:", report.flips));
    for (outcome, count) in report.counts.parts() {
        say(&format!(" {} {count}", outcome.word()));
    }
    say("\n");
    report.noted.iter().for_each(|noted| say(&format!("{noted}\n")));
    Ok(true)
}

fn mutants(only: Vec<String>, jobs: Option<usize>, root: PathBuf) -> Done {
    tell("building the mutants; this takes a minute or two\n");
    let target = root.join("target");
    let options = mutants::Options { root, target, jobs: jobs.unwrap_or_else(cores), only };
    let results = mutants::run(&options).map_err(|error| error.to_string())?;
    for result in &results {
        say(&format!("{result}\n"));
    }
    let wrong = results.iter().filter(|result| !result.is_as_expected()).count();
    let found = results.iter().filter(|result| !matches!(result.outcome, mutants::Outcome::Unnoticed)).count();
    say(&format!(
        "{found} found, {} harmless as they should be, {wrong} not as the list says\n",
        results.len() - found
    ));
    Ok(wrong == 0)
}

/// Cores of this machine.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Transfers at once, if nobody says how many: most of one is waiting.
fn transfers_at_once() -> usize {
    4 * cores()
}

fn list() -> Done {
    say("scenarios (careful-faults run NAME)\n");
    for scenario in crate::scenario::built_in() {
        say(&format!("  {:<24} {}\n", scenario.name, scenario.title));
    }
    say("\nrows (careful-faults matrix --rows NUMBER)\n");
    for row in crate::matrix::rows::rows() {
        say(&format!("  {:<4} {}: {}\n", row.number, row.title, row.place));
    }
    say("\nlevels (careful-faults matrix --levels LEVEL)\n");
    for level in Level::ALL {
        say(&format!("  {level}   {}; checks {}\n", level.description(), level.checks()));
    }
    Ok(true)
}

/// Results, to standard output; a reader that left is no error.
fn say(text: &str) {
    std::io::stdout().lock().write_all(text.as_bytes()).ok();
}

/// Everything else, to standard error.
fn tell(text: &str) {
    std::io::stderr().lock().write_all(text.as_bytes()).ok();
}
