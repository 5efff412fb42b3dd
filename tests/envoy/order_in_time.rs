//! Order in time: the client holds event n of a stream before the provider has sent event n+1, whoever speaks what.

use tests::client::Dialect;
use tests::mock::Fault;
use tests::mock::vendor::{pieces, text};
use tests::said::text_so_far;

use crate::world::{ANTHROPIC_LANE, Lane, OPENAI_LANE, TWO_VENDORS, World};

#[tokio::test(flavor = "multi_thread")]
async fn each_event_reaches_the_client_before_the_next_one_is_sent() {
    let world = World::start(TWO_VENDORS).await;
    for (lane, model) in [(OPENAI_LANE, "gpt-4o-mini"), (ANTHROPIC_LANE, "claude-3-5-haiku")] {
        for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
            one_stream(&world, lane, model, dialect).await;
        }
    }
}

async fn one_stream(world: &World, lane: Lane, model: &str, dialect: Dialect) {
    let about = format!("{dialect:?} client, {} provider", lane.provider);
    let host = world.mock.host(lane.host);
    host.fault(Fault::Gate.always());
    // Nothing is shown before there is content.
    host.release(lane.vendor.preamble() + 1);
    let call = dialect.chat(&format!("{}/{model}", lane.provider), "in order", true);
    let mut live = world.client.open(&call).await.unwrap();
    assert_eq!(live.status, 200, "{about}");
    let pieces = pieces(&text(lane.host, model, "in order"));
    assert!(pieces.len() > 10);
    let (mut body, mut expected) = (Vec::new(), String::new());
    for (n, piece) in pieces.iter().enumerate() {
        host.release(usize::from(n > 0));
        expected.push_str(piece);
        // The provider has sent this piece and is not allowed to send another: it must come through by itself.
        while text_so_far(dialect, &body) != expected {
            let next = live.next().await.unwrap_or_else(|e| panic!("{about}: waiting for {piece:?}: {e:#}"));
            body.extend_from_slice(&next.unwrap_or_else(|| panic!("{about}: it ends before {piece:?}")).1);
            assert!(expected.starts_with(&text_so_far(dialect, &body)), "{about}: ahead of the provider");
        }
    }
    host.release(100);
    let rest = live.finish().await;
    assert!(rest.broken.is_none(), "{about}: {:?}", rest.broken);
    world.mock.reset().unwrap();
}
