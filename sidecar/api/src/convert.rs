//! Message ⇄ engine type, the only such place.
//!
//! Does not: carry a secret or its reference. A record tells a filter what a key may do, never what it is.

mod govern;
mod rates;

use engine::config::snapshot::{KeyCandidate, Names, VirtualKey};

use crate::v1;

/// A record that breaks an invariant of [`VirtualKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidRecord {
    /// A candidate serves no model, so it has no substitute.
    NoModels,
    /// A candidate's weight is negative or no number.
    Weight,
    /// A limit counts what nobody here can count, or has no window.
    Limit,
}

impl std::fmt::Display for InvalidRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoModels => "a candidate without models",
            Self::Weight => "a candidate whose weight is negative or no number",
            Self::Limit => "a limit that cannot be understood",
        })
    }
}

impl std::error::Error for InvalidRecord {}

impl From<&VirtualKey> for v1::KeyRecord {
    fn from(key: &VirtualKey) -> Self {
        Self {
            name: key.name.clone(),
            models: match &key.models {
                None => Vec::new(),
                Some(Names::Any) => vec!["*".to_owned()],
                Some(Names::These(list)) => list.clone(),
            },
            models_set: key.models.is_some(),
            candidates: key.candidates.iter().map(Into::into).collect(),
            substitute: key.substitute,
            team: key.team.clone().unwrap_or_default(),
            customer: key.customer.clone().unwrap_or_default(),
            accounts: Vec::new(),
        }
    }
}

/// Only admitted keys have a record, so the result is never disabled.
impl TryFrom<v1::KeyRecord> for VirtualKey {
    type Error = InvalidRecord;

    fn try_from(record: v1::KeyRecord) -> Result<Self, InvalidRecord> {
        Ok(Self {
            name: record.name,
            secret: String::new(),
            models: record.models_set.then(|| Names::new(&record.models)),
            candidates: record.candidates.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            substitute: record.substitute,
            disabled: false,
            team: some(record.team),
            customer: some(record.customer),
            former: None,
            expires: None,
            limits: Vec::new(),
        })
    }
}

impl From<&KeyCandidate> for v1::KeyCandidate {
    fn from(candidate: &KeyCandidate) -> Self {
        Self { provider: candidate.provider.clone(), models: candidate.models.clone(), weight: candidate.weight }
    }
}

impl TryFrom<v1::KeyCandidate> for KeyCandidate {
    type Error = InvalidRecord;

    fn try_from(candidate: v1::KeyCandidate) -> Result<Self, InvalidRecord> {
        if candidate.models.is_empty() {
            return Err(InvalidRecord::NoModels);
        }
        if !candidate.weight.is_finite() || candidate.weight < 0.0 {
            return Err(InvalidRecord::Weight);
        }
        let (provider, models, weight) = (candidate.provider, candidate.models, candidate.weight);
        Ok(Self { provider, models, weight, limits: Vec::new() })
    }
}

/// Proto3 has no absent string; an empty label is none.
fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(models: Option<Names>) -> VirtualKey {
        VirtualKey {
            name: "prod".to_owned(),
            secret: "env:PROD_KEY".to_owned(),
            models,
            candidates: vec![KeyCandidate {
                provider: "openai".to_owned(),
                models: vec!["gpt-4o-mini".to_owned()],
                weight: 0.8,
                ..KeyCandidate::default()
            }],
            substitute: true,
            team: Some("search".to_owned()),
            ..VirtualKey::default()
        }
    }

    #[test]
    fn a_record_survives_the_way_there_and_back_without_its_secret() {
        let lists =
            [None, Some(Names::Any), Some(Names::These(vec![])), Some(Names::These(vec!["claude-*".to_owned()]))];
        for models in lists {
            let sent = key(models);
            let got = VirtualKey::try_from(v1::KeyRecord::from(&sent)).unwrap();
            assert_eq!(got, VirtualKey { secret: String::new(), ..sent });
        }
    }

    #[test]
    fn a_candidate_without_models_is_refused() {
        let mut record = v1::KeyRecord::from(&key(None));
        record.candidates[0].models.clear();
        assert_eq!(VirtualKey::try_from(record), Err(InvalidRecord::NoModels));
    }

    #[test]
    fn a_weight_that_is_no_share_is_refused() {
        for weight in [f64::NAN, f64::INFINITY, -0.1] {
            let mut record = v1::KeyRecord::from(&key(None));
            record.candidates[0].weight = weight;
            assert_eq!(VirtualKey::try_from(record), Err(InvalidRecord::Weight));
        }
    }
}
