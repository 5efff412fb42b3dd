use super::*;

const F: &str = "f";

fn object(text: &str) -> Object<'_> {
    Object::parse(text.as_bytes()).unwrap()
}

fn fault<T>(result: Result<T, Malformed>) -> String {
    let Malformed { path, message } = result.err().unwrap();
    format!("{path}: {message}")
}

#[test]
fn a_fault_names_the_full_path_and_both_kinds() {
    let mut o = object(r#"{"messages":[{},{},{"content":[{"type":7}]}]}"#);
    let messages = o.list("messages", &crate::format::bounds::MESSAGES).unwrap().unwrap();
    let mut message = Object::of(messages[2], "messages[2]").unwrap();
    let path = message.at("content");
    let content = message.list("content", &crate::format::bounds::PARTS).unwrap().unwrap();
    let mut part = Object::of(content[0], format!("{path}[0]")).unwrap();
    assert_eq!(fault(part.str("type")), "messages[2].content[0].type: found number, expected string");
    assert_eq!(fault(Object::of(content[0], "x").unwrap().need::<()>("y", None)), "x.y: missing");
    assert_eq!(fault(object(r#"{"a":[]}"#).object("a")), "a: found array, expected object");
    assert_eq!(fault(object(r#"{"a":"1"}"#).u64("a")), "a: found string, expected whole number");
    assert_eq!(fault(object(r#"{"a":-1}"#).u64("a")), "a: found number, expected whole number");
    assert_eq!(fault(object(r#"{"a":{}}"#).bool("a")), "a: found object, expected boolean");
    assert_eq!(fault(object(r#"{"a":true}"#).number("a")), "a: found boolean, expected number");
}

#[test]
fn a_known_member_twice_is_a_fault_and_an_unknown_one_is_kept_twice() {
    let mut o = object(r#"{"a":1,"b":2,"a":3,"b":4}"#);
    assert_eq!(fault(o.u64("a")), "a: appears twice, expected once");
    let names: Vec<String> = o.rest(F).members.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "b", "a", "b"]);
}

#[test]
fn escaped_names_are_the_same_names() {
    let mut o = object(r#"{"mod\u0065l":"x","model":"y"}"#);
    assert_eq!(fault(o.str("model")), "model: appears twice, expected once");
}

#[test]
fn null_is_absent_and_comes_back_as_a_spelling() {
    let mut o = object(r#"{"a":null,"b":null,"c":1}"#);
    assert_eq!(o.string("a").unwrap(), None);
    let rest = o.rest(F);
    assert_eq!(rest.members.len(), 1);
    assert_eq!(rest.spelling.len(), 2);
}

#[test]
fn the_rest_keeps_order_and_spelling_of_numbers() {
    let mut o = object(r#"{"z":1.50,"known":true,"a":12345678901234567890123,"m":{"y":1,"x":2}}"#);
    o.bool("known").unwrap();
    let mut out = Vec::new();
    write_object(&mut out, |w| w.extra(&o.rest(F), F));
    assert_eq!(String::from_utf8(out).unwrap(), r#"{"z":1.50,"a":12345678901234567890123,"m":{"y":1,"x":2}}"#);
}

#[test]
fn extra_goes_only_to_its_own_format_and_never_over_what_is_written() {
    let extra = object(r#"{"a":1,"b":2}"#).rest(F);
    for (format, expected) in [(F, r#"{"a":0,"b":2}"#), ("g", r#"{"a":0}"#)] {
        let mut out = Vec::new();
        write_object(&mut out, |w| {
            w.u64("a", 0);
            w.extra(&extra, format);
        });
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

#[test]
fn what_is_left_of_inner_objects_is_written_into_them() {
    let mut outer = object(r#"{"x":{"known":1,"y":2},"z":{"w":3}}"#);
    let mut x = outer.object("x").unwrap().unwrap();
    x.u64("known").unwrap();
    let z = outer.object("z").unwrap().unwrap();
    let mut extra = outer.rest(F);
    extra.nest("x", x.rest(F));
    extra.nest("z", z.rest(F));
    let mut out = Vec::new();
    write_object(&mut out, |w| {
        w.object("x", |x| {
            x.u64("known", 1);
            x.inner(&extra, F, "x");
        });
        w.extra(&extra, F);
    });
    assert_eq!(String::from_utf8(out).unwrap(), r#"{"x":{"known":1,"y":2},"z":{"w":3}}"#);
}

#[test]
fn whole_numbers_may_be_written_as_floats() {
    for (text, value) in
        [("4096", Some(4096)), ("4096.0", Some(4096)), ("4e3", Some(4000)), ("0.5", None), ("-0.5", None)]
    {
        assert_eq!(whole(text), value, "{text}");
    }
    assert_eq!(whole("1e300"), None);
    assert_eq!(whole(&u64::MAX.to_string()), Some(u64::MAX));
}

#[test]
fn strings_are_escaped() {
    let mut out = Vec::new();
    write_object(&mut out, |w| w.str("a", "\"\\\n\u{1}é"));
    assert_eq!(String::from_utf8(out).unwrap(), r#"{"a":"\"\\\n\u0001é"}"#);
}
