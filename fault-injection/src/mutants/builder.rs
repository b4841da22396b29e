//! Builds all mutants at once: a copy of the workspace in which every guard asks whether its mutant is on.
//!
//! The copy lies in the target directory and shares it, so that only this workspace's own crates are compiled anew.
//! Which mutants are on is read from the environment by the copy alone: **the program itself has no such hook.**

#![expect(clippy::disallowed_methods, reason = "sources are copied, no transfer is near")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::MutantsError;
use super::list::{Edit, Mutant, Replacement};

/// The names of the mutants that are on, with commas between them.
pub(super) const SWITCH: &str = "CAREFUL_MUTANT";
/// What of the workspace is needed to build the copy.
const PARTS: [&str; 6] = ["Cargo.toml", "Cargo.lock", "src", "fault-injection", "xtask", "benches"];
/// Added to the library of the copy.
const HOOK: &str = r#"
/// Whether the mutant of this name is on.
pub fn mutant(name: &str) -> bool {
    static ON: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
    let read = || std::env::var("CAREFUL_MUTANT").unwrap_or_default().split(',').map(str::to_owned).collect();
    ON.get_or_init(read).iter().any(|on| on == name)
}
"#;
/// The program of the copy that runs detectors.
const PROGRAM: &str = "//! Runs detectors over the mutants that are on.\n\nfn main() -> std::process::ExitCode {\n    \
                       careful_faults::mutants::detect(std::env::args().skip(1))\n}\n";
/// Its name.
const PROGRAM_NAME: &str = "careful-faults-detect";

/// Copies, mutates and compiles; answers the program that runs detectors.
pub(super) fn build(root: &Path, target: &Path, mutants: &[Mutant]) -> Result<PathBuf, MutantsError> {
    let copy = target.join("mutants/workspace");
    let mut files = BTreeMap::new();
    for part in PARTS {
        collect(root, Path::new(part), &mut files).map_err(MutantsError::Copy)?;
    }
    for (file, edits) in by_file(mutants) {
        let source =
            files.get_mut(Path::new(file)).ok_or_else(|| MutantsError::Edit(format!("{file} is not there")))?;
        let text = String::from_utf8_lossy(source);
        *source = mutated(&text, &edits).map_err(|words| MutantsError::Edit(format!("{file}: {words}")))?.into_bytes();
    }
    for (file, other_version) in [("Cargo.toml", in_manifest as fn(&str) -> String), ("Cargo.lock", in_lock)] {
        let source = files.entry(file.into()).or_default();
        *source = other_version(&String::from_utf8_lossy(source)).into_bytes();
    }
    files.entry("src/lib.rs".into()).or_default().extend_from_slice(HOOK.as_bytes());
    files.insert(format!("fault-injection/examples/{PROGRAM_NAME}.rs").into(), PROGRAM.as_bytes().to_vec());
    bring_up_to_date(&copy, &files).map_err(MutantsError::Copy)?;
    compile(&copy, target)?;
    Ok(target.join("debug/examples").join(PROGRAM_NAME))
}

/// The root manifest with another version of the workspace's own packages. Cargo names what it compiles by package and
/// version, and not by where the workspace lies: without this the mutated crates would take the place of the true ones
/// in the target directory, and be linked into everything built there next.
fn in_manifest(text: &str) -> String {
    let is_version = |line: &str| line.split_once('=').is_some_and(|(word, _)| word.trim() == "version");
    lines(text, |line| if is_version(line) { other_version(line) } else { line.to_owned() })
}

/// The same in the lock file, where the workspace's own packages are those without a source.
fn in_lock(text: &str) -> String {
    let package = |block: &str| {
        let is_own = block.contains("[[package]]") && !block.contains("\nsource = ");
        let is_version = |line: &str| is_own && line.starts_with("version = ");
        lines(block, |line| if is_version(line) { other_version(line) } else { line.to_owned() })
    };
    text.split("\n\n").map(package).collect::<Vec<_>>().join("\n\n")
}

fn lines(text: &str, each: impl Fn(&str) -> String) -> String {
    text.split('\n').map(each).collect::<Vec<_>>().join("\n")
}

fn other_version(line: &str) -> String {
    match line.rsplit_once('"') {
        Some((version, rest)) => format!("{version}-mutants\"{rest}"),
        None => line.to_owned(),
    }
}

/// Every file below a path of the workspace, by its path there.
fn collect(root: &Path, path: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) -> io::Result<()> {
    let full = root.join(path);
    if full.is_dir() {
        for item in fs::read_dir(&full)? {
            let name = item?.file_name();
            if name != "target" {
                collect(root, &path.join(name), files)?;
            }
        }
        return Ok(());
    }
    files.insert(path.to_path_buf(), fs::read(full)?);
    Ok(())
}

/// An edit and whose it is.
type Named<'a> = (&'a str, &'a Edit);

fn by_file(mutants: &[Mutant]) -> BTreeMap<&str, Vec<Named<'_>>> {
    let mut all: BTreeMap<&str, Vec<Named<'_>>> = BTreeMap::new();
    for mutant in mutants {
        for edit in &mutant.edits {
            all.entry(&edit.file).or_default().push((&mutant.names[0], edit));
        }
    }
    all
}

/// The text with all edits in it. Edits of the same place are put round each other.
fn mutated(text: &str, edits: &[Named<'_>]) -> Result<String, String> {
    let mut places: BTreeMap<usize, Vec<Named<'_>>> = BTreeMap::new();
    for &(name, edit) in edits {
        let mut found = text.match_indices(&edit.find);
        match (found.next(), found.next()) {
            (Some((place, _)), None) if !edit.find.is_empty() => places.entry(place).or_default().push((name, edit)),
            (found, _) => {
                let times = if found.is_none() { "not there" } else { "there more than once" };
                return Err(format!("the text of {name} is {times}"));
            }
        }
    }
    let mut mutated = String::with_capacity(text.len() * 2);
    let mut done = 0;
    for (place, edits) in places {
        let find = &edits[0].1.find;
        if place < done || edits.iter().any(|(_, edit)| edit.find != *find) {
            return Err(format!("the text of {} overlaps with another", edits[0].0));
        }
        mutated.push_str(&text[done..place]);
        mutated.push_str(&at_one_place(&edits)?);
        done = place + find.len();
    }
    mutated.push_str(&text[done..]);
    Ok(mutated)
}

fn at_one_place(edits: &[Named<'_>]) -> Result<String, String> {
    let mut text = edits[0].1.find.clone();
    for (name, edit) in edits {
        text = match &edit.replacement {
            Replacement::Switched(other) => format!("if crate::mutant(\"{name}\") {{ {other} }} else {{ {text} }}"),
            Replacement::Whole(whole) if edits.len() == 1 => whole.clone(),
            Replacement::Whole(_) => return Err(format!("{name} replaces a text that another mutant needs")),
        };
    }
    Ok(text)
}

/// Writes what differs and removes what is not there any more, so that compiling takes no longer than it must.
fn bring_up_to_date(copy: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) -> io::Result<()> {
    let mut old = BTreeMap::new();
    if copy.is_dir() {
        collect(copy, Path::new(""), &mut old)?;
    }
    for path in old.keys().filter(|path| !files.contains_key(*path)) {
        fs::remove_file(copy.join(path))?;
    }
    for (path, bytes) in files.iter().filter(|(path, bytes)| old.get(*path) != Some(*bytes)) {
        let path = copy.join(path);
        fs::create_dir_all(path.parent().unwrap_or(copy))?;
        fs::write(path, bytes)?;
    }
    Ok(())
}

fn compile(copy: &Path, target: &Path) -> Result<(), MutantsError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--offline", "--locked", "--quiet", "--package", "careful-faults", "--example", PROGRAM_NAME])
        .arg("--target-dir")
        .arg(target)
        .current_dir(copy)
        .env_remove(SWITCH)
        .output()
        .map_err(MutantsError::Cargo)?;
    if output.status.success() {
        return Ok(());
    }
    Err(MutantsError::Compile(String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(find: &str, replacement: Replacement) -> Edit {
        Edit { file: String::new(), find: find.to_owned(), replacement }
    }

    #[test]
    fn edits_of_one_place_are_put_round_each_other_and_the_rest_stays() {
        let (one, two) = (edit("b", Replacement::Switched("1".into())), edit("b", Replacement::Switched("2".into())));
        let whole = edit("d", Replacement::Whole("D".into()));
        let text = mutated("abcde", &[("one", &one), ("two", &two), ("whole", &whole)]).unwrap();
        let inner = "if crate::mutant(\"one\") { 1 } else { b }";
        assert_eq!(text, format!("aif crate::mutant(\"two\") {{ 2 }} else {{ {inner} }}cDe"));
    }

    #[test]
    fn a_text_that_is_missing_doubled_or_overlaps_is_refused() {
        let switched = |find| edit(find, Replacement::default());
        for edits in [vec![switched("x")], vec![switched("a")], vec![switched("bc"), switched("cd")]] {
            let named: Vec<Named<'_>> = edits.iter().map(|edit| ("name", edit)).collect();
            assert!(mutated("abcda", &named).is_err());
        }
    }

    #[test]
    fn the_copy_is_of_another_version_than_the_workspace_and_of_the_same_dependencies() {
        let manifest = "[workspace.package]\nversion      = \"0.1.0\"\n\n[dependencies]\na = { version = \"1\" }\n";
        assert_eq!(in_manifest(manifest), manifest.replace("0.1.0", "0.1.0-mutants"));
        let lock = "version = 4\n\n[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n\n\
                    [[package]]\nname = \"other\"\nversion = \"2.0.0\"\nsource = \"registry\"\n";
        assert_eq!(in_lock(lock), lock.replace("0.1.0", "0.1.0-mutants"));
    }

    #[test]
    fn every_edit_of_the_list_finds_its_text_in_the_program() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace");
        let mutants = super::super::list::mutants().unwrap();
        let mut wrong = Vec::new();
        for (file, edits) in by_file(&mutants) {
            let text = fs::read_to_string(root.join(file)).unwrap();
            wrong.extend(mutated(&text, &edits).err().map(|words| format!("{file}: {words}")));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
