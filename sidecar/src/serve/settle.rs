//! `Settle`: what was used, and what it cost.
//!
//! Does not: decide what is a double; the ledger knows what it has. Change what is charged: the filter has charged what it
//! had reserved, by the rates it had.

use engine::govern::price::{self, Class, Service};
use sidecar_api::NONCE_LEN;
use sidecar_api::v1::r#try::Billed;
use sidecar_api::v1::{SettleRequest, Settlement, Try};
use tonic::Status;

use super::ledger::{AdmissionId, Entry};
use crate::prices::Prices;

/// Longest name in a row. A model's name comes from the client and may be anything.
const LONGEST: usize = 256;

/// More members than any filter's list has.
const LONGEST_LIST: usize = 256;

/// A batch as the ledger takes it.
///
/// # Errors
/// No nonce, so a resend could not be told from a new settlement. The whole batch is refused: nothing is dropped
/// silently.
pub fn entries(request: SettleRequest) -> Result<Vec<Entry>, Status> {
    let nonce = <[u8; NONCE_LEN]>::try_from(request.vm_nonce.as_slice())
        .map_err(|_| Status::invalid_argument(format!("vm_nonce is not {NONCE_LEN} bytes long")))?;
    let entry = |mut settlement: Settlement| {
        shorten(&mut settlement);
        Entry { id: AdmissionId::new(nonce, settlement.counter), settlement }
    };
    Ok(request.settlements.into_iter().map(entry).collect())
}

/// What tries cost of which the filter did not say it: it had no rates. Where nobody knows the price it stays unknown.
pub fn price(settlement: &mut Settlement, prices: &Prices) {
    for attempt in settlement.tries.iter_mut().filter(|attempt| attempt.cost.is_none()) {
        attempt.cost = cost(attempt, prices);
    }
}

fn cost(attempt: &Try, prices: &Prices) -> Option<u64> {
    if attempt.billed() == Billed::No {
        return Some(0);
    }
    let told = attempt.usage.as_ref()?;
    let rates = prices.rates(&attempt.provider, &attempt.model)?;
    let usage = wire::ir::Usage {
        input: Some(told.input_tokens),
        output: Some(told.output_tokens),
        cache_read: Some(told.cache_read_tokens),
        cache_write: Some(told.cache_write_tokens),
        reasoning: Some(told.reasoning_tokens),
        ..wire::ir::Usage::default()
    };
    let class = match attempt.service.as_str() {
        "" => Class::Standard,
        "flex" => Class::Flex,
        "priority" => Class::Priority,
        "fast" => Class::Fast,
        "batch" => Class::Batch,
        _ => Class::Unknown,
    };
    Some(price::cost(&rates, &usage, Service { class, ..Service::default() }))
}

fn shorten(it: &mut Settlement) {
    let own = [&mut it.key, &mut it.asked_model, &mut it.dialect, &mut it.team, &mut it.customer, &mut it.operation];
    let tries = it.tries.iter_mut().flat_map(|attempt| {
        attempt.dropped.truncate(LONGEST_LIST);
        let own = [
            &mut attempt.provider,
            &mut attempt.key,
            &mut attempt.model,
            &mut attempt.disposition,
            &mut attempt.service,
        ];
        own.into_iter().chain(&mut attempt.dropped)
    });
    for text in own.into_iter().chain(tries) {
        text.truncate(text.floor_char_boundary(LONGEST));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_without_a_nonce_is_refused() {
        for vm_nonce in [vec![], vec![1; NONCE_LEN - 1], vec![1; NONCE_LEN + 1]] {
            let request = SettleRequest { vm_nonce, settlements: vec![Settlement::default()] };
            assert_eq!(entries(request).unwrap_err().code(), tonic::Code::InvalidArgument);
        }
    }

    #[test]
    fn the_id_is_the_nonce_and_the_counter() {
        let settlement = Settlement { counter: 0x0102, ..Settlement::default() };
        let request = SettleRequest { vm_nonce: vec![9; NONCE_LEN], settlements: vec![settlement] };
        let id = [[9; 8], [9; 8], [0, 0, 0, 0, 0, 0, 1, 2]].concat();
        assert_eq!(entries(request).unwrap()[0].id.as_bytes(), id);
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let settlement = Settlement { asked_model: format!("{}é", "m".repeat(LONGEST - 1)), ..Settlement::default() };
        let request = SettleRequest { vm_nonce: vec![9; NONCE_LEN], settlements: vec![settlement] };
        assert_eq!(entries(request).unwrap()[0].settlement.asked_model.len(), LONGEST - 1);
    }
}
