use super::{Shares, Upload, WINDOW, excess, part};

const S: u64 = 1_000_000_000;
const MIB: u64 = 1 << 20;

fn upload(bytes: u64, begun: u64) -> Upload {
    let mut upload = Upload::new(begun);
    upload.has(bytes);
    upload
}

#[test]
fn a_body_is_slow_when_a_whole_window_was_whatever_came_before() {
    let mut upload = Upload::new(S);
    upload.has(31 * MIB);
    assert!(!upload.slow(1024, S + WINDOW - 1), "the first window is not over");
    assert!(!upload.slow(1024, S + WINDOW), "the first window was fast");
    upload.has(31 * MIB + 10 * 1024 - 1);
    assert!(!upload.slow(1024, S + 2 * WINDOW - 1));
    assert!(upload.slow(1024, S + 2 * WINDOW), "one byte too few in ten seconds");
}

#[test]
fn a_body_at_the_rate_is_never_slow() {
    let mut upload = Upload::new(0);
    for second in 1..=300 {
        upload.has(second * 1024);
        assert!(!upload.slow(1024, second * S), "second {second}");
    }
}

#[test]
fn a_late_look_asks_for_no_more_than_the_rate() {
    let mut upload = upload(25 * 1024, 0);
    assert!(!upload.slow(1024, 25 * S));
    assert!(self::upload(25 * 1024 - 1, 0).slow(1024, 25 * S));
}

#[test]
fn a_clock_that_goes_back_refuses_nobody() {
    assert!(!upload(0, 100 * S).slow(u64::MAX, S));
}

#[test]
fn memory_is_taken_from_the_slowest_large_body_first_and_no_more_than_is_needed() {
    let now = 100 * S;
    let uploads = [
        ("idle", upload(31 * MIB, S)),
        ("small", upload(1024, S)),
        ("fast", upload(31 * MIB, 99 * S)),
        ("slow", upload(20 * MIB, 2 * S)),
    ];
    let cut = |bound| excess(uploads.into_iter(), 82 * MIB + 1024, bound, now);
    assert_eq!(cut(100 * MIB), Vec::<&str>::new());
    assert_eq!(cut(63 * MIB), ["slow"]);
    assert_eq!(cut(32 * MIB), ["slow", "idle"]);
    assert_eq!(cut(0), ["slow", "idle", "fast"], "a small body is never refused");
}

#[test]
fn workers_share_one_bound() {
    let mut shares = Shares::default();
    shares.tell(1, 30, S);
    shares.tell(2, 50, S);
    shares.tell(1, 40, 2 * S);
    let mut shares = Shares::decode(&shares.encode());
    assert_eq!((shares.others(1), shares.others(2), shares.others(3)), (50, 40, 90));
    assert_eq!((part(40, 50, 90), part(40, 50, 45)), (40, 20));
    shares.tell(2, 0, 3 * S);
    assert_eq!(shares.others(1), 0, "a worker without bodies takes no place");
    shares.tell(2, 1, 13 * S);
    assert_eq!(shares.others(2), 0, "a worker that has died is forgotten");
}

#[test]
fn whatever_stands_in_the_shared_value_is_read_without_panic() {
    for length in 0..100 {
        let shares = Shares::decode(&vec![0xff; length]);
        assert_eq!(shares.encode().len(), length / 24 * 24);
        let _ = (shares.others(0), part(u64::MAX, u64::MAX, u64::MAX));
    }
}
