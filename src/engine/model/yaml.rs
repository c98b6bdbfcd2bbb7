//! YAML as far as JSON has the same: what people write by hand and programs read.

use serde_json::{Map, Number, Value};

/// One document.
///
/// # Errors
/// Where it is no YAML, is empty or several documents, or has what JSON has no word for.
pub fn to_json(text: &str) -> Result<Value, String> {
    use saphyr::LoadableYamlNode;
    let documents = saphyr::Yaml::load_from_str(text).map_err(|error| error.to_string())?;
    match documents.as_slice() {
        [one] => node(one),
        [] => Err("it is empty".to_owned()),
        _ => Err("it has more than one document".to_owned()),
    }
}

fn node(found: &saphyr::Yaml<'_>) -> Result<Value, String> {
    use saphyr::{Scalar, Yaml};
    match found {
        Yaml::Value(Scalar::Null) => Ok(Value::Null),
        Yaml::Value(Scalar::Boolean(value)) => Ok(Value::Bool(*value)),
        Yaml::Value(Scalar::Integer(value)) => Ok(Value::from(*value)),
        Yaml::Value(Scalar::FloatingPoint(value)) => Number::from_f64(value.into_inner())
            .map(Value::Number)
            .ok_or_else(|| format!("{value} is no number")),
        Yaml::Value(Scalar::String(text)) => Ok(Value::String(text.to_string())),
        Yaml::Sequence(list) => list.iter().map(node).collect(),
        Yaml::Mapping(map) => {
            let pair = |(key, value): (&Yaml<'_>, &Yaml<'_>)| match key {
                Yaml::Value(Scalar::String(key)) => Ok((key.to_string(), node(value)?)),
                _ => Err("a key is no text".to_owned()),
            };
            map.iter()
                .map(pair)
                .collect::<Result<Map<_, _>, _>>()
                .map(Value::Object)
        }
        _ => Err("it has tags or aliases, which mean nothing here".to_owned()),
    }
}
