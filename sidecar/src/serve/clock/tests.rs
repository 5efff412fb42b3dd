//! Clocks that jump, stop and disagree.

use super::*;

const DAY: u64 = 86_400 * SECOND;
const START: u64 = 20_000 * DAY;

/// A machine of which the wall clock is wrong by so much.
fn at(boot: u64, wrong: i64) -> Reading {
    Reading { wall: (START + boot).saturating_add_signed(wrong), boot: DAY + boot, boot_id: 7 }
}

fn steady() -> Steady {
    Steady::start(&Kept::default(), at(0, 0))
}

#[test]
fn a_jump_of_any_size_in_either_direction_for_a_while_changes_nothing() {
    for days in [1, 40, 4000] {
        for sign in [1, -1] {
            let mut steady = steady();
            let wrong = sign * days * i64::try_from(DAY).unwrap();
            let events: Vec<_> = (1..=20)
                .filter_map(|second| {
                    let event = steady.read(at(second * SECOND, if (5..10).contains(&second) { wrong } else { 0 }));
                    assert_eq!(steady.time(), START + second * SECOND);
                    event
                })
                .collect();
            assert_eq!(events, [Event::Jumped(wrong), Event::Agreed]);
        }
    }
}

#[test]
fn small_differences_are_made_up_for_slowly_and_time_never_goes_back() {
    for wrong in [30, -30] {
        let (mut steady, mut before) = (steady(), START);
        for second in 1..=2 * 3600_u64 {
            assert_eq!(steady.read(at(second * SECOND, wrong * 1_000_000_000)), None);
            let step = steady.time() - before;
            assert!((990_000_000..=1_010_000_000).contains(&step), "{step}");
            before = steady.time();
        }
        assert_eq!(steady.time(), (START + 7200 * SECOND).saturating_add_signed(wrong * 1_000_000_000));
    }
}

#[test]
fn a_jump_ahead_is_followed_once_it_was_seen_to_last_and_one_back_never_is() {
    let wrong = i64::try_from(DAY).unwrap();
    let mut ahead = steady();
    assert_eq!(ahead.read(at(SECOND, wrong)), Some(Event::Jumped(wrong)));
    // Nobody looked in between: that is no proof.
    assert_eq!(ahead.read(at(3600 * SECOND, wrong)), None);
    let followed = (1..).find(|second| ahead.read(at((3600 + second) * SECOND, wrong)).is_some());
    assert_eq!(followed, Some(CONFIRMED.as_secs() - 5));
    assert!(ahead.time() > START + DAY);
    let mut back = steady();
    assert_eq!(back.read(at(SECOND, -wrong)), Some(Event::Jumped(-wrong)));
    for second in 2..2000 {
        assert_eq!(back.read(at(second * SECOND, -wrong)), None);
    }
    assert_eq!(back.time(), START + 1999 * SECOND);
}

#[test]
fn a_suspended_machine_has_not_jumped() {
    let mut steady = steady();
    assert_eq!(steady.read(at(3 * DAY, 0)), None);
    assert_eq!(steady.time(), START + 3 * DAY);
}

#[test]
fn a_restart_within_one_start_of_the_machine_goes_by_boot_time() {
    let kept = |time| Kept { time, anchor: Some(steady().anchor(7)) };
    for wrong in [0, i64::try_from(40 * DAY).unwrap(), -i64::try_from(40 * DAY).unwrap()] {
        assert_eq!(Steady::start(&kept(START), at(60 * SECOND, wrong)).time(), START + 60 * SECOND);
    }
    let later = START + 90 * SECOND;
    assert_eq!(Steady::start(&kept(later), at(60 * SECOND, 0)).time(), later, "nor is any commit in the future");
}

#[test]
fn after_another_start_of_the_machine_the_wall_clock_counts_unless_it_is_behind() {
    let kept = Kept { time: START, anchor: Some(steady().anchor(6)) };
    let start = |wrong| Steady::start(&kept, at(60 * SECOND, wrong)).time();
    let wrong = i64::try_from(40 * DAY).unwrap();
    assert_eq!((start(0), start(wrong), start(-wrong)), (START + 60 * SECOND, START + 40 * DAY + 60 * SECOND, START));
    let mut behind = Steady::start(&kept, at(60 * SECOND, -wrong));
    assert!(matches!(behind.read(at(70 * SECOND, -wrong)), Some(Event::Jumped(..0))), "and says so");
    assert_eq!(behind.time(), START + 10 * SECOND, "windows go on");
    let nobody_knows = Reading { boot_id: 0, ..at(60 * SECOND, 0) };
    let kept = Kept { anchor: Some(steady().anchor(0)), ..kept };
    assert_eq!(Steady::start(&kept, nobody_knows).time(), START + 60 * SECOND);
}

#[test]
fn a_mapping_is_kept_once_and_again_when_it_has_moved() {
    let shared = Arc::new(Mutex::new(at(0, 0)));
    let source = Arc::clone(&shared);
    let clock = Clock::start(Arc::new(move || *source.lock().unwrap()), &Kept::default());
    let first = clock.unkept().unwrap();
    clock.kept(first);
    let look = |reading| {
        *shared.lock().unwrap() = reading;
        clock.now();
        clock.unkept().is_some()
    };
    assert!(!look(at(3600 * SECOND, 0)), "the same mapping");
    assert!(!look(at(3700 * SECOND, i64::MAX / 2)), "nor has a jump any part in it");
    assert!(look(at(3800 * SECOND, 50_000_000_000)));
    assert!((clock.offset() - 50.0).abs() < 2.0);
}

#[test]
fn the_clocks_of_this_machine_go_on() {
    let machine = machine();
    let (first, second) = (machine(), machine());
    assert!(first.wall > 1_600_000_000 * SECOND && first.boot > 0 && first.boot_id > 0);
    assert!(second.boot >= first.boot && second.boot_id == first.boot_id);
}
