//! `careful-check`: see [`careful::cli::run_check`].

fn main() -> std::process::ExitCode {
    careful::cli::run_check::main()
}
