use super::*;

const A: [u8; 16] = [1; 16];
const B: [u8; 16] = [2; 16];

fn ceiling(account: u64, most: u64) -> (Ceiling, bool) {
    (Ceiling { account, window: 60, most }, true)
}

/// So many beats of `one`, and what it has seen end.
fn beats(one: &mut Member, data: &mut Local, count: u32) -> Vec<Ended> {
    let beat = |_| {
        one.beat(data).unwrap();
        one.watch(data)
    };
    (0..count).flat_map(beat).collect()
}

#[test]
fn who_falls_silent_is_fenced_and_reported_until_somebody_knows() {
    let data = &mut Local::default();
    let (mut a, b) = (Member::join(data, A).unwrap(), Member::join(data, B).unwrap());
    b.write(data, &[ceiling(7, 40), ceiling(7 + PAGES, 5), ceiling(8, 1)]).unwrap();
    b.write(data, &[ceiling(7, 30), (ceiling(8, 0).0, false)]).unwrap();
    assert_eq!(beats(&mut a, data, SILENT), []);
    let first = beats(&mut a, data, 1);
    let [Ended { nonce: B, ceilings, is_new: true, seat }] = first.as_slice() else { panic!("{first:?}") };
    assert_eq!(*ceilings, [ceiling(7, 30).0, ceiling(7 + PAGES, 5).0]);
    // Nobody has heard of it: again, and the same.
    let again = beats(&mut a, data, AGAIN + 1);
    assert_eq!(again, [Ended { is_new: false, ..first[0].clone() }]);
    a.forget(data, *seat, &B);
    assert_eq!(beats(&mut a, data, SILENT * 3), []);
    assert_eq!(Member::join(data, B).unwrap().seat, *seat, "its place is free");
}

#[test]
fn who_was_fenced_and_lives_can_do_nothing_any_more() {
    let data = &mut Local::default();
    let (mut a, mut b) = (Member::join(data, A).unwrap(), Member::join(data, B).unwrap());
    b.write(data, &[ceiling(7, 40)]).unwrap();
    let ended = beats(&mut a, data, SILENT + 1);
    let fenced = |b: &mut Member, data: &mut Local, when: &str| {
        assert_eq!(b.write(data, &[ceiling(7, 50)]), Err(Fenced), "{when}");
        assert_eq!(b.write(data, &[ceiling(9, 1)]), Err(Fenced), "{when}");
        assert_eq!(b.beat(data), Err(Fenced), "{when}");
        assert_eq!(b.check(data), Err(Fenced), "{when}");
    };
    fenced(&mut b, data, "closed");
    a.forget(data, ended[0].seat, &B);
    fenced(&mut b, data, "forgotten");
    let mut heir = Member::join(data, [3; 16]).unwrap();
    assert_eq!(heir.seat, ended[0].seat, "the place has another owner");
    heir.write(data, &[ceiling(7, 3)]).unwrap();
    fenced(&mut b, data, "taken");
    heir.beat(data).unwrap();
}

#[test]
fn a_process_that_was_stopped_fences_nobody() {
    let data = &mut Local::default();
    let (mut a, mut b) = (Member::join(data, A).unwrap(), Member::join(data, B).unwrap());
    for _ in 0..100 {
        assert_eq!(beats(&mut a, data, SILENT), [], "however long that took");
        b.beat(data).unwrap();
    }
}

#[test]
fn of_several_that_watch_one_reports() {
    let data = &mut Local::default();
    let mut watching: Vec<_> = (10..14).map(|nonce| Member::join(data, [nonce; 16]).unwrap()).collect();
    Member::join(data, B).unwrap();
    let ended: usize =
        (0..=SILENT).map(|_| watching.iter_mut().map(|it| beats(it, data, 1).len()).sum::<usize>()).sum();
    assert_eq!(ended, 1);
}

#[test]
fn a_page_that_is_full_tells_whose_ceiling_went() {
    let data = &mut Local::default();
    let (mut a, b) = (Member::join(data, A).unwrap(), Member::join(data, B).unwrap());
    let accounts: Vec<u64> = (0..=ENTRIES as u64).map(|step| 3 + step * PAGES).collect();
    let gone: Vec<u64> = accounts.iter().flat_map(|account| b.write(data, &[ceiling(*account, 1)]).unwrap()).collect();
    assert_eq!(gone, accounts[..1]);
    let ended = beats(&mut a, data, SILENT + 1);
    assert_eq!(ended[0].ceilings.iter().map(|it| it.account).collect::<Vec<_>>(), accounts[1..]);
}

#[test]
fn there_are_places_for_so_many_and_who_leaves_gives_its_own() {
    let data = &mut Local::default();
    let nonce = |number: u64| u128::from(number).to_le_bytes();
    let mut all: Vec<_> = (0..SEATS).map(|number| Member::join(data, nonce(number)).unwrap()).collect();
    assert!(Member::join(data, nonce(SEATS)).is_none());
    all.remove(5).leave(data);
    assert_eq!(Member::join(data, nonce(SEATS)).unwrap().seat, 5);
}
