//! Tenants that bring more names than there is room.

use std::collections::BTreeSet;

use super::*;

fn labels() -> Labels {
    Labels::new(Names { models: vec!["gpt-4.1".to_owned()], ..Names::default() })
}

fn model(labels: &mut Labels, tenant: &str, name: &str, now: u64) -> String {
    labels.of(tenant, true, now).label(Kind::Model, name)
}

/// Labels that these names get, `other` aside, and places that were lost for them.
fn flood(labels: &mut Labels, tenant: &str, names: usize, now: u64) -> (BTreeSet<String>, usize) {
    let own: BTreeSet<_> = (0..names).map(|n| model(labels, tenant, &format!("{tenant}-{n}"), now)).collect();
    let lost = labels.unsaved().values().filter(|place| place.is_none()).count();
    labels.saved();
    (own.into_iter().filter(|label| label != OTHER).collect(), lost)
}

#[test]
fn one_tenant_of_ten_thousand_names_has_twenty_labels_and_the_next_tenants_model_has_its_own() {
    let mut labels = labels();
    let (own, lost) = flood(&mut labels, "rogue", 10_000, 0);
    assert_eq!((own.len(), lost), (QUOTA, 0));
    assert_eq!(flood(&mut labels, "rogue", 10_000, 10), (own, 0), "and they stay the same");
    assert_eq!(model(&mut labels, "honest", "llama-4", 20), "llama-4");
    assert_eq!(model(&mut labels, "rogue", "gpt-4.1", 20), "gpt-4.1", "what is configured is a label in any case");
    assert_eq!(model(&mut labels, "rogue", "rogue-9999", 20), OTHER);
}

#[test]
fn where_all_places_are_taken_who_has_fewer_takes_one_from_who_has_most_and_then_there_is_peace() {
    let mut labels = labels();
    for tenant in 0..ROOM / QUOTA {
        flood(&mut labels, &format!("rogue-{tenant}"), 1000, 0);
    }
    let mut lost = 0;
    for round in 1..=20 {
        for tenant in 0..30 {
            let name = format!("honest-{tenant}");
            assert_eq!(model(&mut labels, &name, &name, round), name, "{round}");
        }
        for tenant in 0..ROOM / QUOTA {
            lost += flood(&mut labels, &format!("rogue-{tenant}"), 1000, round).1;
        }
    }
    assert!(lost <= ROOM, "places go to and fro: {lost}");
    assert_eq!(labels.bounded(Kind::Model).places.len(), ROOM);
}

#[test]
fn a_place_that_nobody_uses_for_a_day_is_given_up_and_one_that_is_used_never() {
    let mut labels = labels();
    flood(&mut labels, "a", QUOTA, 0);
    assert_eq!(model(&mut labels, "a", "a-0", AGE - 1), "a-0");
    assert_eq!(model(&mut labels, "a", "new", AGE - 1), OTHER);
    labels.saved();
    assert_eq!(model(&mut labels, "a", "new", AGE), "new");
    let lost: Vec<_> =
        labels.unsaved().iter().filter(|(_, place)| place.is_none()).map(|((_, name), _)| name).collect();
    assert_eq!(lost, ["a-1"]);
    assert_eq!(model(&mut labels, "a", "a-0", AGE), "a-0");
}

#[test]
fn a_name_that_leaves_the_configuration_becomes_one_like_any_other() {
    let mut labels = labels();
    model(&mut labels, "a", "gpt-4.1", 0);
    labels.replace(Names { models: vec!["gpt-5".to_owned()], ..Names::default() }, 0);
    assert_eq!(model(&mut labels, "a", "gpt-4.1", 1), "gpt-4.1");
    assert!(labels.bounded(Kind::Model).places.contains_key("gpt-4.1"));
    labels.replace(Names { models: vec!["gpt-4.1".to_owned()], ..Names::default() }, 0);
    assert_eq!(labels.bounded(Kind::Model).places.len(), 0, "gpt-5 was never used");
}

#[test]
fn nobody_is_counted_under_what_others_have_used() {
    let mut labels = labels();
    assert_eq!(model(&mut labels, "a", FORMER, 0), OTHER);
    assert_eq!(labels.of("a", false, 0).label(Kind::Model, "unearned"), OTHER);
    assert_eq!(model(&mut labels, "a", &"x".repeat(LONGEST + 1), 0), OTHER);
}
