use wire::scan::scan;

use super::*;

/// $3 and $15 a million tokens up to 200,000, twice and half as much again from there on.
fn rates() -> Rates {
    let short = Tier {
        input: 3_000_000,
        output: 15_000_000,
        cache_read: Some(300_000),
        cache_write: Some(3_750_000),
        cache_write_long: Some(6_000_000),
        ..Tier::default()
    };
    let long = Tier { from: 200_001, input: 6_000_000, output: 22_500_000, ..Tier::default() };
    Rates { standard: vec![short, long], resident: Some(1100), ..Rates::default() }
}

fn usage(input: u64, output: u64) -> Usage {
    Usage { input: Some(input), output: Some(output), ..Usage::default() }
}

const STANDARD: Service = Service { class: Class::Standard, resident: false, kept: false };

#[test]
fn a_million_tokens_cost_what_the_page_says() {
    let flat = Rates { standard: rates().standard[..1].to_vec(), ..Rates::default() };
    assert_eq!(cost(&flat, &usage(1_000_000, 0), STANDARD), 3_000_000_000);
    assert_eq!(cost(&flat, &usage(0, 1_000_000), STANDARD), 15_000_000_000);
}

#[test]
fn cached_tokens_are_part_of_the_prompt() {
    let cached = Usage {
        input: Some(10_000),
        cache_read: Some(6_000),
        cache_write: Some(3_000),
        cache_write_long: Some(1_000),
        ..usage(0, 100)
    };
    // 1,000 at 3 + 6,000 at 0.3 + 2,000 at 3.75 + 1,000 at 6 + 100 at 15, in micro-dollars.
    assert_eq!(cost(&rates(), &cached, STANDARD), (3_000 + 1_800 + 7_500 + 6_000 + 1_500) * 1000);
}

#[test]
fn what_is_kept_longer_costs_more_also_where_nobody_tells_it_apart() {
    let asked = |body: &str| Service::asked(&scan(body.as_bytes()).unwrap(), body.as_bytes());
    let service = asked(r#"{"prompt_cache_options":{"mode":"explicit","ttl":"12h"}}"#);
    for plain in ["{\"ttl\":\"30m\"}", "{\"mode\":\"explicit\"}", "null"] {
        assert_eq!(asked(&format!(r#"{{"prompt_cache_options":{plain}}}"#)), STANDARD);
    }
    let written = Usage { cache_write: Some(1_000), ..usage(1_000, 0) };
    assert_eq!(cost(&rates(), &written, STANDARD), 3_750 * 1000);
    assert_eq!(cost(&rates(), &written, service), 6_000 * 1000);
    assert_eq!(cost(&rates(), &Usage { cache_write_long: Some(0), ..written }, service), 3_750 * 1000);
}

#[test]
fn a_long_prompt_makes_all_of_the_request_dearer() {
    assert_eq!(cost(&rates(), &usage(200_000, 10), STANDARD), (600_000 + 150) * 1000);
    assert_eq!(cost(&rates(), &usage(200_001, 10), STANDARD), (1_200_006 + 225) * 1000);
}

#[test]
fn what_no_rate_is_known_for_costs_as_its_dearer_neighbour() {
    let plain = Rates { standard: vec![Tier { input: 2, output: 3, ..Tier::default() }], ..Rates::default() };
    let parts = Usage {
        cache_read: Some(500),
        cache_write: Some(200),
        cache_write_long: Some(100),
        reasoning: Some(400),
        audio_input: Some(100),
        audio_output: Some(50),
        ..usage(1000, 1000)
    };
    assert_eq!(cost(&plain, &parts, STANDARD), cost(&plain, &usage(1000, 1000), STANDARD));
    assert_eq!(cost(&plain, &usage(1000, 1000), STANDARD), 5);
    for class in [Class::Flex, Class::Priority, Class::Fast, Class::Batch, Class::Unknown] {
        assert_eq!(cost(&plain, &usage(1000, 1000), Service { class, resident: true, kept: true }), 5);
    }
}

#[test]
fn sound_and_reasoning_have_rates_of_their_own() {
    let tier = Tier {
        input: 1_000,
        output: 2_000,
        reasoning: Some(3_000),
        audio_in: Some(40_000),
        audio_out: Some(80_000),
        ..Tier::default()
    };
    let rates = Rates { standard: vec![tier], ..Rates::default() };
    let parts = Usage { audio_input: Some(3), audio_output: Some(2), reasoning: Some(4), ..usage(10, 10) };
    assert_eq!(cost(&rates, &parts, STANDARD), 7 + 3 * 40 + 4 * 2 + 4 * 3 + 2 * 80);
}

#[test]
fn parts_larger_than_the_whole_are_charged() {
    let odd = Usage { cache_read: Some(1_000), cache_write: Some(1_000), ..usage(10, 0) };
    assert_eq!(cost(&rates(), &odd, STANDARD), (300 + 3_750) * 1000);
    let silent = Usage { reasoning: Some(7), ..Usage::default() };
    assert_eq!(cost(&rates(), &silent, STANDARD), 7 * 15_000);
}

#[test]
fn rounding_is_up_and_once() {
    let rates = Rates { standard: vec![Tier { input: 1, output: 1, ..Tier::default() }], ..Rates::default() };
    assert_eq!(cost(&rates, &usage(1, 0), STANDARD), 1);
    assert_eq!(cost(&rates, &usage(500, 500), STANDARD), 1);
    assert_eq!(cost(&rates, &usage(500, 501), STANDARD), 2);
    assert_eq!(cost(&rates, &usage(0, 0), STANDARD), 0);
    let dear = Rates { standard: vec![Tier { input: u64::MAX, output: u64::MAX, ..Tier::default() }], ..rates };
    assert_eq!(
        cost(&dear, &usage(u64::MAX, u64::MAX), Service { class: Class::Unknown, resident: true, kept: false }),
        u64::MAX
    );
}

#[test]
fn every_service_has_its_list() {
    let list = |input| vec![Tier { input, output: input, ..Tier::default() }];
    let rates = Rates {
        standard: list(2_000),
        flex: list(1_000),
        priority: list(4_000),
        fast: list(12_000),
        batch: list(1_000),
        resident: Some(1100),
        ..Rates::default()
    };
    let of = |body: &str| {
        let service = Service::asked(&scan(body.as_bytes()).unwrap(), body.as_bytes());
        cost(&rates, &usage(10, 0), service)
    };
    for (body, expected) in [
        ("{}", 20),
        (r#"{"service_tier":null}"#, 20),
        (r#"{"service_tier":"auto","speed":"standard","inference_geo":"global"}"#, 20),
        (r#"{"service_tier":"default"}"#, 20),
        (r#"{"service_tier":"standard_only"}"#, 20),
        (r#"{"service_tier":"flex"}"#, 10),
        (r#"{"service_tier":"priority"}"#, 40),
        (r#"{"service_tier":"ultrafast"}"#, 120),
        (r#"{"speed":"fast"}"#, 120),
        (r#"{"inference_geo":"us"}"#, 22),
        (r#"{"service_tier":"never heard of"}"#, 120),
        (r#"{"service_tier":"fl\u0065x"}"#, 120),
        (r#"{"speed":3}"#, 120),
    ] {
        assert_eq!(of(body), expected, "{body}");
    }
}

#[test]
fn the_worst_case_takes_the_dearest_rate_that_can_be_reached() {
    let size = Size { input_worst: Some(100_000), output_worst: Some(1_000), ..Size::default() };
    assert_eq!(worst_cost(&rates(), &size, STANDARD), Some((375_000 + 15_000) * 1000));
    let prompt = Size { output_worst: Some(0), ..size };
    assert_eq!(worst_cost(&rates(), &prompt, STANDARD), Some(375_000 * 1000));
    let kept = Size { long_cache: true, ..prompt };
    assert_eq!(worst_cost(&rates(), &kept, STANDARD), Some(600_000 * 1000));
    let long = Size { input_worst: Some(300_000), ..size };
    assert_eq!(worst_cost(&rates(), &long, STANDARD), Some((1_800_000 + 22_500) * 1000));
    // Longer prompts for less: the bound is at the end of the dear ones.
    let odd = Rates {
        standard: vec![Tier { input: 5_000, ..Tier::default() }, Tier { from: 101, input: 1_000, ..Tier::default() }],
        ..Rates::default()
    };
    let size = Size { input_worst: Some(200), output_worst: Some(0), ..Size::default() };
    assert_eq!(worst_cost(&odd, &size, STANDARD), Some(500));
}

#[test]
fn without_a_bound_there_is_no_worst_case() {
    let size = Size { input_worst: Some(1), output_worst: Some(1), ..Size::default() };
    assert!(worst_cost(&rates(), &Size { input_worst: None, ..size }, STANDARD).is_none());
    assert!(worst_cost(&rates(), &Size { output_worst: None, ..size }, STANDARD).is_none());
    assert!(worst_cost(&rates(), &Size { output_worst: Some(0), ..size }, STANDARD).is_some());
    assert!(worst_cost(&rates(), &size, Service { class: Class::Unknown, ..STANDARD }).is_none());
    assert!(worst_cost(&Rates::default(), &size, STANDARD).is_none(), "no rates are not a price of zero");
}

#[test]
fn expected_is_the_cost_of_what_is_usual() {
    let size = Size { input_expected: 1_000, output_expected: 100, ..Size::default() };
    assert_eq!(expected_cost(&rates(), &size, STANDARD), (3_000 + 1_500) * 1000);
}

/// Every kind of token more, at prompts around a tier's edge, never costs less, and the worst case is never exceeded.
#[test]
fn cost_grows_with_every_count_and_stays_below_the_worst_case() {
    let mut seed = 7_u64;
    let mut draw = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let rates = rates();
    for _ in 0..20_000 {
        let (fresh, read, written, long) = (draw(150_000), draw(150_000), draw(5_000), draw(5_000));
        let (told, thought) = (draw(5_000), draw(5_000));
        let of = |[fresh, read, written, long, told, thought]: [u64; 6]| Usage {
            input: Some(fresh + read + written + long),
            cache_read: Some(read),
            cache_write: Some(written + long),
            cache_write_long: Some(long),
            output: Some(told + thought),
            reasoning: Some(thought),
            ..Usage::default()
        };
        let parts = [fresh, read, written, long, told, thought];
        let before = of(parts);
        for at in 0..parts.len() {
            let mut more = parts;
            more[at] += 1 + draw(60_000);
            let after = of(more);
            assert!(cost(&rates, &after, STANDARD) > cost(&rates, &before, STANDARD), "{before:?} {after:?}");
            let size =
                Size { input_worst: after.input, output_worst: after.output, long_cache: true, ..Size::default() };
            assert!(worst_cost(&rates, &size, STANDARD).unwrap() >= cost(&rates, &after, STANDARD), "{after:?}");
        }
    }
}
