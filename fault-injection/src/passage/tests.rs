//! One direction alone, by a clock that is only a number.

use super::*;

const MILLISECOND: Duration = Duration::from_millis(1);

fn passage(trouble: Trouble) -> Passage<u64> {
    Passage::new(1, "there", trouble)
}

/// Enters `count` datagrams of 1000 bytes, one a millisecond; answers the numbers in the order in which they left.
fn order(passage: &mut Passage<u64>, count: u64) -> Vec<u64> {
    let mut order = Vec::new();
    let mut now = Duration::ZERO;
    for name in 1..=count {
        passage.enter(now, vec![name as u8; 1000], name);
        order.extend(std::iter::from_fn(|| passage.leave(now)).map(|datagram| datagram.with));
        now += MILLISECOND;
    }
    while let Some(next) = passage.next() {
        now = now.max(next);
        order.extend(std::iter::from_fn(|| passage.leave(now)).map(|datagram| datagram.with));
    }
    order
}

#[test]
fn without_trouble_everything_leaves_in_order_and_at_once() {
    let mut passage = passage(Trouble::default());
    passage.enter(MILLISECOND, vec![1], 1);
    assert_eq!(passage.next(), Some(MILLISECOND));
    assert_eq!(passage.leave(MILLISECOND).map(|datagram| datagram.bytes), Some(vec![1]));
    assert_eq!(order(&mut passage, 100), (1..=100).collect::<Vec<_>>());
    assert!(passage.take_faults().is_empty());
}

#[test]
fn the_same_seed_gives_the_same_fates_and_another_gives_others() {
    let trouble = Trouble { lost: 0.1, doubled: 0.1, late: 0.1, words_exchanged: 0.1, ..Trouble::default() };
    let run = |seed| {
        let mut passage = Passage::new(seed, "there", trouble.clone());
        (order(&mut passage, 1000), passage.take_faults())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn one_kind_of_trouble_does_not_move_another() {
    let lost = |doubled| {
        let mut passage = passage(Trouble { lost: 0.1, doubled, ..Trouble::default() });
        order(&mut passage, 1000);
        let mut faults = passage.take_faults();
        faults.retain(|fault| fault.happened == Happened::Lost);
        faults
    };
    assert_eq!(lost(0.0), lost(0.5));
    assert!((70..130).contains(&lost(0.0).len()));
}

#[test]
fn the_shares_none_and_all_are_exact() {
    for (lost, left) in [(0.0, 1000), (1.0, 0)] {
        let mut passage = passage(Trouble { lost, ..Trouble::default() });
        assert_eq!(order(&mut passage, 1000).len(), left);
    }
}

#[test]
fn what_finds_more_than_so_many_bytes_before_it_is_marked_and_arrives() {
    let rate_bytes_per_second = Some(1_000_000);
    let mut passage = passage(Trouble { rate_bytes_per_second, marked_from_bytes: Some(2000), ..Trouble::default() });
    for number in 1..=5 {
        passage.enter(Duration::ZERO, vec![0; 1000], number);
    }
    let left = std::iter::from_fn(|| passage.leave(5 * MILLISECOND));
    assert_eq!(left.map(|datagram| datagram.is_marked).collect::<Vec<_>>(), [false, false, false, true, true]);
    assert_eq!(passage.counts().marked, 2);
}

#[test]
fn a_late_datagram_is_overtaken_by_as_many_as_was_said() {
    let mut passage = passage(Trouble { late: 0.05, late_by: 3, ..Trouble::default() });
    let order = order(&mut passage, 200);
    let late: Vec<u64> = passage.take_faults().iter().map(|fault| fault.number).collect();
    assert!(late.len() > 3 && order.len() == 200);
    for number in late.into_iter().filter(|number| number + 3 <= 200) {
        let place = order.iter().position(|&other| other == number).unwrap();
        let overtook = order[..place].iter().filter(|&&other| other > number).count();
        assert!((2..=3).contains(&overtook), "{number} was overtaken by {overtook}");
    }
}

#[test]
fn a_late_datagram_that_nothing_follows_leaves_after_a_while() {
    let mut passage = passage(Trouble { late: 1.0, ..Trouble::default() });
    passage.enter(Duration::ZERO, vec![7], 7);
    assert!(passage.leave(HELD_MAX - MILLISECOND).is_none());
    assert_eq!(passage.next(), Some(HELD_MAX));
    assert!(passage.leave(HELD_MAX).is_some());
    assert_eq!(passage.next(), None);
}

#[test]
fn a_rate_spaces_what_came_together_and_a_full_queue_drops_the_rest() {
    let trouble = Trouble { rate_bytes_per_second: Some(1_000_000), queue_bytes: 10_000, ..Trouble::default() };
    let mut passage = passage(trouble);
    for name in 0..100 {
        passage.enter(Duration::ZERO, vec![0; 1000], name);
    }
    // The first is leaving while ten wait.
    let dues: Vec<Duration> = std::iter::from_fn(|| passage.next().inspect(|&due| drop(passage.leave(due)))).collect();
    assert_eq!(dues, (1..=10).map(|number| MILLISECOND * number).collect::<Vec<_>>());
    // Before the one with this number as many others leave.
    let waited = (0..10).map(|number| MILLISECOND * number).sum();
    let counts = Counts { entered: 100, entered_bytes: 100_000, overflowed: 90, left: 10, waited, ..Counts::default() };
    assert_eq!(passage.counts(), counts);
}

#[test]
fn a_blackout_and_a_too_small_mtu_swallow_what_enters() {
    let trouble =
        Trouble { mtu_bytes: Some(1200), blackouts: vec![MILLISECOND..MILLISECOND * 3], ..Trouble::default() };
    let mut passage = passage(trouble);
    for (now, length) in [(0, 1200), (0, 1201), (1, 10), (2, 10), (3, 10)] {
        passage.enter(MILLISECOND * now, vec![0; length], 0);
    }
    while passage.leave(MILLISECOND * 3).is_some() {}
    let bytes = 1200 + 1201 + 3 * 10;
    let counts = Counts { entered: 5, entered_bytes: bytes, too_long: 1, in_blackout: 2, left: 2, ..Counts::default() };
    assert_eq!(passage.counts(), counts);
}

#[test]
fn damage_changes_bytes_or_says_that_it_did_not() {
    let mut bytes = [1, 2, 3, 4, 1, 2];
    assert!(Damage::ExchangeWords { first: 3, second: 5 }.apply(&mut bytes));
    assert_eq!(bytes, [3, 4, 1, 2, 1, 2]);
    assert!(!Damage::ExchangeWords { first: 0, second: 1 }.apply(&mut [5, 6, 5, 6, 9]));
    assert!(!Damage::ExchangeWords { first: 0, second: 1 }.apply(&mut [5]));
    assert!(!Damage::FlipUnderChecksum { bit: 3 }.apply(&mut []));
    assert!(Damage::FlipWithFreshChecksum { bit: 9 + 48 }.apply(&mut bytes));
    assert_eq!(bytes, [3, 6, 1, 2, 1, 2]);
}

#[test]
fn a_fault_is_shown_in_one_line() {
    let mut passage = passage(Trouble { flipped_with_fresh_checksum: 1.0, ..Trouble::default() });
    order(&mut passage, 1);
    let line = passage.take_faults().remove(0).to_string();
    assert!(line.starts_with("there #1 flip-with-fresh-checksum "), "{line}");
}
