//! Wrong words on a command line: each is told what is wrong, with which object, and what to do; nothing is touched.

mod support;

use support::{Place, run};

/// Arguments, exit code, and what standard error must hold.
type Case<'a> = (&'a [&'a str], i32, &'a [&'a str]);

#[track_caller]
fn assert_told(place: &Place, cases: &[Case<'_>]) {
    for (arguments, code, words) in cases {
        let ran = run(&mut place.sender(arguments));
        assert_eq!(ran.code, *code, "{arguments:?}: {ran:?}");
        for word in *words {
            assert!(ran.stderr.contains(word), "{arguments:?}: no {word:?} in {}", ran.stderr);
        }
        assert!(!place.has("d"), "{arguments:?} touched the destination");
    }
}

#[test]
fn wrong_filters_are_usage_errors_that_name_the_place() {
    let place = Place::new();
    place.write("s/file", b"1");
    place.write("rules", b"fine\n[broken\n");
    place.write("long", &vec![b'a'; 2 << 20]);
    assert_told(
        &place,
        &[
            (&["--exclude", "a[", "s", "d"], 2, &["--exclude 'a['", "a [ is not closed", "write \\["]),
            (&["--include", "[[:x:]]", "s", "d"], 2, &["--include '[[:x:]]'", "alnum"]),
            (&["--exclude", "", "s", "d"], 2, &["--exclude ''", "empty"]),
            (&["--exclude-from", "rules", "s", "d"], 2, &["rules, line 2", "not closed"]),
            (&["--exclude-from", "nowhere", "s", "d"], 2, &["nowhere", "No such file", "hint: "]),
            (&["--exclude-from", "s", "s", "d"], 2, &["cannot read the patterns in s", "directory"]),
            (&["--exclude-from", "long", "s", "d"], 2, &["long", "more than 1 MiB"]),
            (&["--min-size", "much", "s", "d"], 2, &["--min-size", "a size is a number"]),
            (
                &["--min-size", "2", "--max-size", "1", "s", "d"],
                2,
                &["--min-size 2", "nothing would be sent", "hint: "],
            ),
        ],
    );
}

#[test]
fn wrong_lists_are_usage_errors_that_say_what_goes_together() {
    let place = Place::new();
    place.write("s/file", b"1");
    place.write("list", b"file\n");
    assert_told(
        &place,
        &[
            (
                &["--files-from", "nowhere", "s", "d"],
                2,
                &["the list nowhere", "No such file", "hint: ", "standard input"],
            ),
            (&["--files-from", "s", "s", "d"], 2, &["the list s", "directory", "hint: "]),
            (&["--files-from", "list", "s", "s", "d"], 2, &["--files-from goes with one SRC"]),
            (&["--files-from", "-", "s", "-"], 2, &["standard input cannot be both"]),
            (&["-0", "s", "d"], 2, &["--files-from"]),
        ],
    );
    // Here the place to go to is made before the source is looked at.
    let ran = run(&mut place.sender(&["--files-from", "list", "s/file", "e/"])).exits(23);
    assert!(ran.stderr.contains("no such file or directory"), "{ran:?}");
}
