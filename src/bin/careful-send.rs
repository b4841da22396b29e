//! `careful-send`: see [`careful::cli::run_send`].

fn main() -> std::process::ExitCode {
    careful::cli::run_send::main()
}
