//! Rates of a model. Whose they are, and whether they are known or estimated, the caller says.

use engine::govern::price::{Calibration, Rates, Tier};

use crate::v1;

impl From<&Rates> for v1::Rates {
    fn from(rates: &Rates) -> Self {
        let list = |tiers: &[Tier]| tiers.iter().map(Into::into).collect();
        Self {
            provider: String::new(),
            model: String::new(),
            known: false,
            standard: list(&rates.standard),
            flex: list(&rates.flex),
            priority: list(&rates.priority),
            batch: list(&rates.batch),
            fast: list(&rates.fast),
            context: rates.context.unwrap_or(0),
            max_output: rates.max_output.unwrap_or(0),
            milli_bytes_per_token: rates.calibration.milli_bytes_per_token,
            p95_output: rates.calibration.p95_output.unwrap_or(0),
            resident: rates.resident.unwrap_or(0),
            preamble: rates.preamble,
        }
    }
}

impl From<v1::Rates> for Rates {
    fn from(rates: v1::Rates) -> Self {
        let list = |tiers: Vec<v1::Tier>| tiers.into_iter().map(Into::into).collect();
        let some = |count: u64| (count > 0).then_some(count);
        Self {
            standard: list(rates.standard),
            flex: list(rates.flex),
            priority: list(rates.priority),
            fast: list(rates.fast),
            batch: list(rates.batch),
            resident: (rates.resident > 0).then_some(rates.resident),
            context: some(rates.context),
            max_output: some(rates.max_output),
            preamble: rates.preamble,
            calibration: Calibration {
                milli_bytes_per_token: rates.milli_bytes_per_token,
                p95_output: some(rates.p95_output),
            },
        }
    }
}

impl From<&Tier> for v1::Tier {
    fn from(tier: &Tier) -> Self {
        Self {
            from: tier.from,
            input: tier.input,
            output: tier.output,
            cache_read: tier.cache_read,
            cache_write: tier.cache_write,
            cache_write_long: tier.cache_write_long,
            reasoning: tier.reasoning,
            audio_input: tier.audio_in,
            audio_output: tier.audio_out,
        }
    }
}

impl From<v1::Tier> for Tier {
    fn from(tier: v1::Tier) -> Self {
        Self {
            from: tier.from,
            input: tier.input,
            output: tier.output,
            cache_read: tier.cache_read,
            cache_write: tier.cache_write,
            cache_write_long: tier.cache_write_long,
            reasoning: tier.reasoning,
            audio_in: tier.audio_input,
            audio_out: tier.audio_output,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_survive_the_way_there_and_back() {
        let tier = |from| Tier {
            from,
            input: 1,
            output: 2,
            cache_read: Some(0),
            cache_write: Some(4),
            cache_write_long: Some(5),
            reasoning: Some(6),
            audio_in: Some(7),
            audio_out: None,
        };
        let sent = Rates {
            standard: vec![tier(0), tier(200_001)],
            flex: vec![tier(1)],
            priority: vec![tier(2)],
            fast: vec![tier(3)],
            batch: vec![tier(4)],
            resident: Some(1100),
            context: Some(9),
            max_output: Some(8),
            preamble: 7,
            calibration: Calibration { milli_bytes_per_token: 4100, p95_output: Some(6) },
        };
        for rates in [sent, Rates::default()] {
            assert_eq!(Rates::from(v1::Rates::from(&rates)), rates);
        }
    }
}
