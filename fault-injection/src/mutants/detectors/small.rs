//! Claims about keys, tickets and names: one call each, no transfer.

#![expect(clippy::disallowed_methods, reason = "a key file is made from outside, past the doors")]

use std::fs::{Permissions, set_permissions, write};
use std::os::unix::fs::PermissionsExt;

use careful::cli::safe_name::safe;
use careful::connect::admission::Admission;
use careful::connect::allow;
use careful::connect::ticket::token_proof;
use careful::protocol::failure::Failure;
use careful::protocol::keep::Keep;
use careful::seams::disk::Disk;
use careful::seams::os_disk::OsDisk;
use careful::wire::identity::PublicKey;

use crate::halves::TOKEN;

super::table![
    a_key_file_open_to_others_is_refused,
    a_ticket_admits_one_sender,
    an_expired_ticket_admits_nobody,
    a_proof_of_another_connection_is_refused,
    no_name_reaches_a_terminal_raw,
    two_names_never_look_the_same,
    a_line_of_the_list_grants_what_it_says,
    a_key_with_a_slip_is_none,
];

const SENDER: PublicKey = PublicKey([2; 32]);
const OTHER: PublicKey = PublicKey([3; 32]);
const EXPORTER: [u8; 32] = [5; 32];

fn a_key_file_open_to_others_is_refused() {
    let place = tempfile::tempdir().expect("a directory can be made");
    let path = place.path().join("key");
    write(&path, "secret").expect("a file can be written");
    for (mode, may) in [(0o600, true), (0o640, false), (0o604, false)] {
        set_permissions(&path, Permissions::from_mode(mode)).expect("a mode can be set");
        assert_eq!(OsDisk.read_private(&path).is_ok(), may, "mode {mode:o}");
    }
}

fn a_ticket_admits_one_sender() {
    let admission = Admission::new(TOKEN, None);
    let proof = token_proof(&TOKEN, &EXPORTER);
    assert_eq!(admission.admit(SENDER, &EXPORTER, &proof, 0), Ok(()));
    assert_eq!(admission.admit(OTHER, &EXPORTER, &proof, 0), Err(Failure::NotAdmitted), "a second sender");
    assert_eq!(admission.admit(SENDER, &EXPORTER, &proof, 0), Ok(()));
}

fn an_expired_ticket_admits_nobody() {
    let admission = Admission::new(TOKEN, Some(100));
    let proof = token_proof(&TOKEN, &EXPORTER);
    assert_eq!(admission.admit(SENDER, &EXPORTER, &proof, 100), Err(Failure::NotAdmitted));
}

fn a_proof_of_another_connection_is_refused() {
    let admission = Admission::new(TOKEN, None);
    let elsewhere = token_proof(&TOKEN, &[6; 32]);
    assert_eq!(admission.admit(SENDER, &EXPORTER, &elsewhere, 0), Err(Failure::NotAdmitted));
}

fn no_name_reaches_a_terminal_raw() {
    for name in [&b"a\x1b[2Jb"[..], b"a\nb", b"\x7f", "\u{9b}2J".as_bytes(), "\u{202e}fdp".as_bytes(), b"\xff"] {
        let shown = safe(name);
        assert!(!shown.chars().any(|letter| letter.is_control() || letter == '\u{202e}'), "{shown:?}");
    }
}

fn two_names_never_look_the_same() {
    assert_ne!(safe(b"\\n"), safe(b"\n"));
    assert_ne!(safe(b"\\x1b"), safe(b"\x1b"));
}

fn a_line_of_the_list_grants_what_it_says() {
    let grants = allow::parse(format!("{SENDER} dir=/a").as_bytes()).expect("a list");
    let grant = grants.get(&SENDER).expect("a grant");
    let Keep { links, xattrs, acls, owner, suid, .. } = grant.accept;
    assert_eq!([grant.replace, grant.delete, links, xattrs, acls, owner, suid], [false; 7]);
    assert!(!grants.contains_key(&OTHER));
    assert!(allow::parse(format!("{SENDER} dir=a").as_bytes()).is_err(), "a relative directory");
    assert!(allow::parse(format!("{SENDER} dir=/a\n{SENDER} dir=/b").as_bytes()).is_err(), "a key twice");
}

fn a_key_with_a_slip_is_none() {
    let word = SENDER.to_string();
    let other = |letter| if letter == 'a' { 'b' } else { 'a' };
    for (place, letter) in word.char_indices() {
        let mut slip = word.clone();
        slip.replace_range(place..=place, &other(letter).to_string());
        assert!(slip.parse::<PublicKey>().is_err(), "{slip}");
    }
}
