//! Whatever a power cut leaves, at any instant, the promises hold; and a receiver that breaks the order is found out.

use careful_faults::crash::{Configuration, CrashReport, Invariant, Options, enumerate};
use careful_faults::crash_disk::{Lie, Model, Sampling};

const SEED: u64 = 20;

#[track_caller]
fn assert_held(report: &CrashReport) {
    assert!(report.broken.is_empty(), "{:?}\n{}", report.broken, report.listing());
}

/// As many as were looked at when this was written, or nearly: a run that looks at next to nothing must not pass.
#[track_caller]
fn assert_looked_at(report: &CrashReport, points: u64, images: u64, resumes: u64) {
    let seen = (report.points, report.images(), report.resumes);
    assert!(seen.0 >= points && seen.1 >= images && seen.2 >= resumes, "{} looked at {seen:?}", report.configuration);
}

fn run(configuration: &Configuration, options: &Options) -> CrashReport {
    enumerate(configuration, options, &mut |_| {})
}

/// As thorough, and no point has too many combinations.
fn every_combination() -> Options {
    let thorough = Options::thorough(SEED);
    Options { sampling: Sampling { exhaustive_max: 100_000, ..thorough.sampling }, ..thorough }
}

#[test]
fn a_large_file_is_old_or_new_after_every_crash_and_a_rerun_completes() {
    let report = run(&Configuration::large(), &Options { resumes: 16, ..every_combination() });
    assert_held(&report);
    assert_looked_at(&report, 13, 20_000, 60);
    assert!(report.over_damage >= 8, "{} reruns found damage", report.over_damage);
    assert_eq!(report.exhaustive_points, report.points, "all combinations of all points");
}

#[test]
fn small_files_are_old_or_new_after_every_crash_and_a_rerun_completes() {
    let report = run(&Configuration::small(), &Options { resumes: 24, ..every_combination() });
    assert_held(&report);
    assert_looked_at(&report, 16, 10_000, 150);
    assert!(report.over_damage >= 25, "{} reruns found damage", report.over_damage);
    assert_eq!(report.exhaustive_points, report.points, "all combinations of all points");
}

#[test]
fn a_crash_during_recovery_is_recovered_from() {
    let options = Options {
        sampling: Sampling { exhaustive_max: 1000, random: 16, seed: SEED },
        resumes: 6,
        recoveries: 6,
        recovery_resumes: 3,
        ..Options::thorough(SEED)
    };
    for configuration in [Configuration::small(), Configuration::large()] {
        let report = run(&configuration, &options);
        assert_held(&report);
        let seen = (report.recoveries, report.recovery_points, report.recovery_images, report.recovery_resumes);
        assert!(
            seen.0 == 6 && seen.1 >= 40 && seen.2 >= 400 && seen.3 >= 40,
            "{} looked at {seen:?}",
            configuration.name()
        );
    }
}

#[test]
fn a_receipt_implies_that_new_directories_have_durable_names() {
    let report = run(&Configuration::nested(), &Options { resumes: 4, ..Options::thorough(SEED) });
    assert_held(&report);
    assert_looked_at(&report, 20, 4_000, 40);
}

#[test]
fn each_file_of_a_group_is_old_or_new_after_every_crash() {
    let sampling = Sampling { exhaustive_max: 2_000, random: 48, seed: SEED };
    let report = run(&Configuration::group(), &Options { sampling, resumes: 3, ..Options::thorough(SEED) });
    assert_held(&report);
    assert_looked_at(&report, 120, 20_000, 200);
    assert!(report.over_damage >= 8, "{} reruns found damage", report.over_damage);
}

#[test]
fn what_is_staged_for_a_file_that_is_there_is_removed_though_nobody_may_write_to_it() {
    let report = run(&Configuration::leftover(), &Options { resumes: 4, ..Options::thorough(SEED) });
    assert_held(&report);
    assert_looked_at(&report, 4, 8, 8);
}

#[test]
fn each_name_of_a_file_is_old_or_new_after_every_crash_and_a_rerun_joins_them() {
    let report = run(&Configuration::hard_links(), &Options { resumes: 8, ..Options::thorough(SEED) });
    assert_held(&report);
    assert_looked_at(&report, 20, 1_000, 80);
}

/// What a broken order does under each model: how often a promised file was gone or wrong.
fn lost_after_receipt(configuration: Configuration, lie: Lie) -> (u64, u64) {
    let sampling = Sampling { exhaustive_max: 200, random: 16, seed: SEED };
    let options = Options { sampling, ..Options::thorough(SEED) }.without_resumes();
    let report = run(&configuration.with_lie(lie), &options);
    assert!(report.violations.iter().all(|violation| !violation.way.is_empty()), "{}", report.listing());
    (report.broken(Model::Posix, Invariant::I3), report.broken(Model::Journal, Invariant::I3))
}

#[test]
fn a_receiver_that_does_not_sync_the_directory_is_found_under_both_models() {
    let configurations =
        [Configuration::large(), Configuration::small(), Configuration::nested(), Configuration::hard_links()];
    for configuration in configurations {
        let (posix, journal) = lost_after_receipt(configuration.clone(), Lie::DirectorySyncs);
        assert!(posix > 0 && journal > 0, "{}: {posix}, {journal}", configuration.name());
    }
}

#[test]
fn a_receiver_that_renames_what_it_did_not_sync_is_found_under_both_models() {
    for configuration in [Configuration::large(), Configuration::small(), Configuration::group()] {
        let (posix, journal) = lost_after_receipt(configuration.clone(), Lie::FileSyncs);
        assert!(posix > 0 && journal > 0, "{}: {posix}, {journal}", configuration.name());
    }
}

#[test]
fn a_receiver_that_does_not_sync_the_name_of_a_new_directory_is_found_under_posix_and_saved_by_a_journal() {
    let (posix, journal) = lost_after_receipt(Configuration::nested(), Lie::SyncsOfNewDirectoryNames);
    assert!(posix > 0, "{posix}");
    assert_eq!(journal, 0, "a journal keeps the directory's name with the file that was synced in it");
}

#[test]
fn a_device_that_lies_is_silent_and_outside_of_the_promise() {
    let sampling = Sampling { exhaustive_max: 200, random: 16, seed: SEED };
    let options = Options { models: vec![Model::Lying], sampling, ..Options::thorough(SEED) }.without_resumes();
    let report = run(&Configuration::small(), &options);
    assert!(report.broken(Model::Lying, Invariant::I3) > 0, "receipts were given, and the files are gone");
    assert_eq!(report.broken_promises(), 0, "nothing was promised");
}
