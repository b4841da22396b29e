//! Completions for bash, zsh and fish, in `completions/`, each under the name its shell looks for.

use std::path::{Path, PathBuf};

use clap_complete::{Shell, generate};

use super::programs;

/// The scripts of every program.
pub(super) fn scripts() -> Vec<(PathBuf, Vec<u8>)> {
    let mut scripts = Vec::new();
    for command in programs() {
        let name = command.get_name().to_owned();
        for (shell, file) in
            [(Shell::Bash, name.clone()), (Shell::Zsh, format!("_{name}")), (Shell::Fish, format!("{name}.fish"))]
        {
            let mut script = Vec::new();
            generate(shell, &mut command.clone(), &name, &mut script);
            scripts.push((Path::new("completions").join(shell.to_string()).join(file), script));
        }
    }
    scripts
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::root;

    /// What bash offers for this word after the program's name.
    fn offered(program: &str, word: &str) -> String {
        let script = format!(
            "source completions/bash/{program} && COMP_WORDS=({program} {word}) && COMP_CWORD=1 && \
             \"$(complete -p {program} | sed 's/.*-F \\([^ ]*\\).*/\\1/')\" {program} {word} {program}; \
             echo \"${{COMPREPLY[@]}}\""
        );
        let output = Command::new("bash").arg("-c").arg(script).current_dir(root()).output().expect("bash runs");
        String::from_utf8(output.stdout).expect("words")
    }

    #[test]
    fn bash_completes_options() {
        assert_eq!(offered("careful-send", "--chunk-"), "--chunk-size\n");
        assert_eq!(offered("careful-recv", "--liste"), "--listen\n");
        assert_eq!(offered("careful-recv", "--no-such"), "\n");
    }
}
