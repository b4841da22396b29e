//! `careful-recv`: see [`careful::cli::run_recv`].

fn main() -> std::process::ExitCode {
    careful::cli::run_recv::main()
}
