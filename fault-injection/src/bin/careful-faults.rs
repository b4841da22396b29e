//! `careful-faults`: see [`careful_faults::cli`].

fn main() -> std::process::ExitCode {
    careful_faults::cli::main()
}
