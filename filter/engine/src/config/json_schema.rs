//! The typed stage as a JSON Schema, for editors: names, kinds, words, and what single values look like.
//!
//! Does not: check anything; the loader does, and it knows rules between values that no schema can tell.
//!
//! Decision: derived from the loader's own types by `schemars`, in a feature that the guest is built without. What a
//! text must look like stands here as a pattern beside the sentence the loader would say, and a test asks both about
//! the same texts. Rejected: a schema written by hand, which would be a second list of every member. A schema may let
//! pass what the loader refuses, never the other way round.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema as schema};
use serde_json::{Value, json};

use super::schema::{Config, Map, WordOr};

const DURATION: &str = "^0*(?:\
    (?:[1-9][0-9]{0,6}|[1-7][0-9]{7}|8[0-5][0-9]{6}|86[0-3][0-9]{5}|86400000)ms|\
    (?:[1-9][0-9]{0,3}|[1-7][0-9]{4}|8[0-5][0-9]{3}|86[0-3][0-9]{2}|86400)s|\
    (?:[1-9][0-9]{0,2}|1[0-3][0-9]{2}|14[0-3][0-9]|1440)m|\
    (?:[1-9]|1[0-9]|2[0-4])h)$";
const SIZE: &str = "^0*(?:[1-9][0-9]{0,9}|[1-9][0-9]{0,6}KiB|(?:[1-9][0-9]{0,2}|10[01][0-9]|102[0-4])MiB|1GiB)$";
const MEMORY: &str = "^0*[1-9][0-9]{0,12}(?:[KMGT]iB)?$";
const SOCKET: &str = r"^(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[[0-9A-Fa-f:.]+(?:%[0-9]+)?\]):[0-9]+$";
const ADDRESS: &str =
    r"^(?:unix:[^\x00-\x1f\x7f-\x9f]{1,107}|(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):0*[1-9][0-9]{0,4})$";
const BASE_URL: &str = r#"^https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_][A-Za-z0-9._-]*)(?::0*[1-9][0-9]{0,4})?(?!.*/\.{1,2}(?:/|$))(?:/[!$-;=@-\[\]_a-z~]*)?$"#;
const PATH: &str =
    r#"^(?!.*/\.{1,2}(?:/|\?|$))(?:/(?:\{model\}|[!$-.0-;=@-\[\]_a-z~]*))+(?:\?[A-Za-z0-9._~=&%+:,-]+)?$"#;
const NAME: &str = "^[a-z0-9][a-z0-9-]{0,62}$";
const LABEL: &str = r"^[^\x00-\x20\x7f-\x9f](?:[^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\x9f])?$";
const NAMES: &str = r"^(?:\*|[^*\x00-\x20\x7f-\x9f](?:[^*\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\x9f])?)$";
const TOKEN: &str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";
const SECRET: &str = r"^(?:env:[A-Za-z_][A-Za-z0-9_]*|file:[^\x00-\x1f\x7f-\x9f]+)$";
const VIRTUAL_SECRET: &str =
    r"^(?:env:[A-Za-z_][A-Za-z0-9_]*|file:[^\x00-\x1f\x7f-\x9f]+|(?:sha256|hmac):[0-9A-Fa-f]{64})$";
const WINDOW: &str = "^(?:[1-9][0-9]{0,3}[smhd]|1[wMQY])$";
const INSTANT: &str =
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})$";

/// The JSON Schema of `attache.yaml` (draft 2020-12).
#[must_use]
pub fn json_schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = schema!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:attache:configuration:1",
    });
    let mut derived = settings.with_transform(plain).into_generator().into_root_schema_for::<Config>();
    derived.insert("title".to_owned(), json!("attache.yaml"));
    schema.ensure_object().append(derived.ensure_object());
    schema.to_value()
}

/// What the loader says of members: one without a value is a slip, and one left out has the default of its rule, which
/// is not what serde puts in its place. `format` names widths of Rust's numbers.
fn plain(schema: &mut Schema) {
    let keywords = schema.ensure_object();
    keywords.shift_remove("format");
    if keywords.get("default").is_some_and(|default| default.is_null() || default.is_object() || default.is_array()) {
        keywords.shift_remove("default");
    }
    if let Some(kind) = keywords.get_mut("type")
        && let Value::Array(kinds) = kind
    {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            *kind = only.clone();
        }
    }
    if let Some(Value::Array(choices)) = keywords.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            keywords.shift_remove("anyOf");
            only.into_iter().for_each(|(keyword, value)| {
                keywords.entry(keyword).or_insert(value);
            });
        }
    }
    if let Some(Value::String(told)) = keywords.get_mut("description") {
        *told = told.replace('\n', " ");
        if told.contains('`') {
            // Editors show the other one as it stands.
            let told = told.clone();
            keywords.insert("markdownDescription".to_owned(), Value::String(told));
        }
    }
    transform_subschemas(&mut plain, schema);
}

impl<T: JsonSchema> JsonSchema for Map<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("MapOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schema!({ "type": "object", "additionalProperties": generator.subschema_for::<T>() })
    }
}

impl<W: JsonSchema, M: JsonSchema> JsonSchema for WordOr<W, M> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}Or{}", W::schema_name(), M::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schema!({ "anyOf": [generator.subschema_for::<W>(), generator.subschema_for::<M>()] })
    }
}

/// A text of this pattern, and what an editor says of others.
fn text(schema: &mut Schema, pattern: &str, expected: &str) {
    schema.insert("pattern".to_owned(), json!(pattern));
    schema.insert("patternErrorMessage".to_owned(), json!(format!("expected {expected}")));
}

pub(super) fn duration(schema: &mut Schema) {
    text(schema, DURATION, "a duration such as 5ms, 30s or 5m, at most 24h");
}

/// Written as bytes it is a number.
pub(super) fn size(schema: &mut Schema) {
    schema.insert("type".to_owned(), json!(["string", "integer"]));
    text(schema, SIZE, "a size such as 32MiB, 64KiB or 65536, at most 1GiB");
    schema.insert("minimum".to_owned(), json!(1));
    schema.insert("maximum".to_owned(), json!(1 << 30));
}

/// Memory of a whole process; written as bytes it is a number.
pub(super) fn memory(schema: &mut Schema) {
    schema.insert("type".to_owned(), json!(["string", "integer"]));
    text(schema, MEMORY, super::check::MEMORY);
    schema.insert("minimum".to_owned(), json!(super::text::LEAST_MEMORY));
    schema.insert("maximum".to_owned(), json!(super::text::MOST_MEMORY));
}

pub(super) fn socket(schema: &mut Schema) {
    text(schema, SOCKET, "IP:PORT such as 127.0.0.1:8080");
}

pub(super) fn address(schema: &mut Schema) {
    text(schema, ADDRESS, "unix:PATH (at most 107 bytes) or HOST:PORT");
}

pub(super) fn base_url(schema: &mut Schema) {
    text(schema, BASE_URL, "https://HOST[:PORT][/PREFIX]");
}

pub(super) fn path(schema: &mut Schema) {
    text(schema, PATH, "a path such as /chat/completions, which may hold {model} as one segment and a query");
}

pub(super) fn name(schema: &mut Schema) {
    text(schema, NAME, super::check::NAME);
}

pub(super) fn label(schema: &mut Schema) {
    text(schema, LABEL, super::check::LABEL);
    schema.insert("maxLength".to_owned(), json!(256));
}

pub(super) fn secret(schema: &mut Schema) {
    text(schema, SECRET, "env:NAME or file:PATH, never the secret itself");
}

pub(super) fn virtual_secret(schema: &mut Schema) {
    text(schema, VIRTUAL_SECRET, "env:NAME, file:PATH, sha256:HEX or hmac:HEX, never the key itself");
}

pub(super) fn window(schema: &mut Schema) {
    text(schema, WINDOW, "a number up to 9999 of s, m, h or d, or 1w, 1M, 1Q or 1Y");
}

pub(super) fn instant(schema: &mut Schema) {
    text(schema, INSTANT, "a time such as 2027-01-31T00:00:00Z or 2027-01-31T01:00:00+01:00");
}

/// Requests or tokens.
pub(super) fn amount(schema: &mut Schema) {
    schema.insert("minimum".to_owned(), json!(1));
    schema.insert("maximum".to_owned(), json!(1_000_000_000_000_000_u64));
}

/// Dollars per million tokens.
pub(super) fn price(schema: &mut Schema) {
    schema.insert("minimum".to_owned(), json!(0));
    schema.insert("maximum".to_owned(), json!(1_000_000));
}

pub(super) fn header(schema: &mut Schema) {
    text(schema, TOKEN, "a header such as authorization or api-key");
}

pub(super) fn visible(schema: &mut Schema) {
    text(schema, "^[ -~]*$", "visible ASCII, e.g. \"Bearer \"");
}

pub(super) fn weight(schema: &mut Schema) {
    for (keyword, value) in [("minimum", json!(0)), ("maximum", json!(1_000_000_000_000_u64)), ("default", json!(1))] {
        schema.insert(keyword.to_owned(), value);
    }
}

/// A list of models.
pub(super) fn names(schema: &mut Schema) {
    schema.insert("minItems".to_owned(), json!(1));
    let mut name = schema!({ "type": "string", "maxLength": 256 });
    text(&mut name, NAMES, "a model's name, `*`, or a beginning of names before `*`");
    schema.insert("items".to_owned(), name.to_value());
}

/// A list of models that are asked by these very names.
pub(super) fn models(schema: &mut Schema) {
    schema.insert("minItems".to_owned(), json!(1));
    let mut name = schema!({ "type": "string" });
    label(&mut name);
    schema.insert("items".to_owned(), name.to_value());
}

pub(super) fn like(schema: &mut Schema) {
    schema.insert("enum".to_owned(), wire::provider::names().collect());
}

pub(super) fn format(schema: &mut Schema) {
    schema.insert("enum".to_owned(), super::check::formats().into_iter().collect());
}

/// Providers by name: an editor proposes the known ones.
pub(super) fn providers(schema: &mut Schema) {
    let mut names = schema!({ "examples": wire::provider::names().collect::<Value>() });
    name(&mut names);
    schema.insert("propertyNames".to_owned(), names.to_value());
    schema.insert("minProperties".to_owned(), json!(1));
}

/// Members by names of people's choice.
pub(super) fn labels(schema: &mut Schema) {
    let mut names = schema!({});
    label(&mut names);
    schema.insert("propertyNames".to_owned(), names.to_value());
}
