//! Every mutant of the list is found, every guard with another one behind it is harmless alone, and the program as it is
//! breaks no claim.

use std::path::Path;

use careful_faults::mutants::{Options, run};

#[test]
#[expect(clippy::print_stderr, reason = "who found which mutant is what this is run for")]
fn every_mutant_is_found_and_every_masked_one_is_harmless_alone() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in the target directory");
    let jobs = std::thread::available_parallelism().map_or(2, usize::from);
    let options = Options { root: root.to_owned(), target: target.to_owned(), jobs, only: Vec::new() };
    let results = run(&options).expect("the mutants can be built");
    for result in &results {
        eprintln!("{result}");
    }
    let wrong: Vec<String> =
        results.iter().filter(|result| !result.is_as_expected()).map(ToString::to_string).collect();
    assert!(wrong.is_empty(), "not as the list says:\n{}", wrong.join("\n"));
    assert!(results.len() > 60, "the list is whole");
}
