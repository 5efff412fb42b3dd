//! A sidecar on a machine whose wall clock jumps.

use std::sync::{Arc, Mutex};

use sidecar::serve::Server;
use sidecar::serve::clock::{Reading, Source, machine};
use sidecar_api::v1::{Account, AdmitRequest, Charge, Draw, Lease, Settlement};

use super::support::{Client, Place, ask, hello, page};

const LIMITS: &str = "teams: {search: {limits: [{requests: 20, per: 1d}]}}\n";
const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;

/// Clocks that go when they are told to.
#[derive(Clone)]
struct Clocks(Arc<Mutex<Reading>>);

impl Clocks {
    /// At noon of a day.
    fn new() -> Self {
        let wall = machine()().wall / DAY * DAY + DAY / 2;
        Self(Arc::new(Mutex::new(Reading { wall, boot: DAY, boot_id: 1 })))
    }

    fn source(&self) -> Source {
        let clocks = Arc::clone(&self.0);
        Arc::new(move || *clocks.lock().unwrap())
    }

    fn pass(&self, nanos: u64) {
        let mut clocks = self.0.lock().unwrap();
        (clocks.wall, clocks.boot) = (clocks.wall + nanos, clocks.boot + nanos);
    }

    fn jump(&self, days: i64) {
        let mut clocks = self.0.lock().unwrap();
        clocks.wall = clocks.wall.saturating_add_signed(days * i64::try_from(DAY).unwrap());
    }

    fn reboot(&self) {
        self.0.lock().unwrap().boot_id += 1;
    }
}

async fn team(client: &mut Client) -> Account {
    let accounts = client.admit(ask("vk-prod")).await.unwrap().into_inner().key.unwrap().accounts;
    accounts.into_iter().find(|account| account.scope == "team search").unwrap()
}

async fn greet(client: &mut Client) -> Vec<u8> {
    client.admit(hello()).await.unwrap().into_inner().vm_nonce
}

async fn draw(client: &mut Client, vm_nonce: &[u8], draw: Draw) -> Lease {
    let request = AdmitRequest { vm_nonce: vm_nonce.to_vec(), draws: vec![draw], ..AdmitRequest::default() };
    client.admit(request).await.unwrap().into_inner().leases[0]
}

async fn use_up(client: &mut Client, account: u64, amount: u64) -> (Vec<u8>, Lease) {
    let vm_nonce = greet(client).await;
    let lease = draw(client, &vm_nonce, Draw { account, need: amount, ..Draw::default() }).await;
    let charges = vec![Charge { account, window: lease.window, amount }];
    let settlement = Settlement { counter: 1, charges, ..Settlement::default() };
    let request = sidecar_api::v1::SettleRequest { vm_nonce: vm_nonce.clone(), settlements: vec![settlement] };
    client.settle(request).await.unwrap();
    (vm_nonce, lease)
}

#[tokio::test]
async fn a_wall_clock_that_jumps_and_comes_back_opens_no_window_and_closes_none() {
    let (place, clocks) = (Place::with(LIMITS), Clocks::new());
    let server = Server::start_by(&place.loaded(), clocks.source()).await.unwrap();
    let mut client = place.client();
    let account = team(&mut client).await.id;
    let (_, today) = use_up(&mut client, account, 15).await;
    for days in [40, -40] {
        clocks.jump(days);
        clocks.pass(SECOND);
        let (_, lease) = use_up(&mut client, account, 1).await;
        assert_eq!((lease.window, lease.refused), (today.window, false), "{days} days");
        assert!(lease.ends_in_ms <= 43_200_000, "{lease:?}");
        let offset = format!("attache_clock_offset_seconds {}", days * 86_400);
        let text = page(&server, "/metrics").await.2;
        assert!(text.lines().any(|line| line == offset), "{offset} is not in {text}");
        let (status, _, body) = page(&server, "/readyz").await;
        assert_eq!((status, body.contains("the wall clock has jumped")), (200, true), "{body}");
        clocks.jump(-days);
        clocks.pass(SECOND);
    }
    assert_eq!(page(&server, "/readyz").await.2, "ready\n");
    server.stop().await;
    let kept = place.count("SELECT value FROM meta WHERE name = 'clock'").cast_unsigned();
    assert!(kept / DAY * 86_400 == today.window, "{kept} is not of this day");
    // Restarted while the wall clock is wrong, on the same machine.
    clocks.jump(40);
    let server = Server::start_by(&place.loaded(), clocks.source()).await.unwrap();
    let (_, lease) = use_up(&mut place.client(), account, 1).await;
    assert_eq!((lease.window, lease.used), (today.window, 17));
    server.stop().await;
}

#[tokio::test]
async fn a_ledger_that_began_ahead_is_set_back_by_the_command_and_workers_follow() {
    let (place, clocks) = (Place::with(LIMITS), Clocks::new());
    clocks.jump(40);
    let server = Server::start_by(&place.loaded(), clocks.source()).await.unwrap();
    let mut client = place.client();
    let account = team(&mut client).await.id;
    let (nonce, ahead) = use_up(&mut client, account, 18).await;
    let command = |more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_attache"));
        let config = place.config();
        let out = command.args(["ledger", "clock", "-c"]).arg(config).args(more).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (out.status.code(), text(&out.stdout), text(&out.stderr))
    };
    let (code, _, error) = command(&["--set", "now"]);
    assert!(code == Some(1) && error.contains("another process has this store open; stop it first"), "{error}");
    server.stop().await;

    // By now the machine's clock is right. Nothing stands still, and it is said aloud.
    clocks.jump(-40);
    clocks.reboot();
    let server = Server::start_by(&place.loaded(), clocks.source()).await.unwrap();
    clocks.pass(DAY);
    let other = greet(&mut place.client()).await;
    let first = Draw { account, need: 1, ..Draw::default() };
    assert_eq!(
        draw(&mut client, &other, first).await.window,
        ahead.window + 86_400,
        "days go on, though they are wrong"
    );
    assert!(page(&server, "/readyz").await.2.contains("jumped"));
    server.stop().await;

    let (code, shown, error) = command(&[]);
    assert!(code == Some(1) && error.contains("ahead") && error.contains("--set now"), "{error}");
    assert!(shown.contains("not begun: team search, requests 1d, from "), "{shown}");
    let (code, shown, _) = command(&["--set", "now"]);
    assert!(code == Some(0) && shown.contains("ended: team search") && shown.contains("set back from"), "{shown}");
    assert_eq!(command(&[]).0, Some(0));
    assert_eq!(command(&["--set", "now"]).0, Some(1), "once is enough");

    let server = place.start().await;
    let told = Draw { account, window: ahead.window, received: 18, returned: 0, need: 1, want: 1 };
    let mut client = place.client();
    let lease = draw(&mut client, &nonce, told).await;
    let now = machine()().wall / SECOND;
    assert!(lease.back && lease.window <= now && now < lease.window + 86_400, "{lease:?}");
    let other = greet(&mut client).await;
    assert!(!draw(&mut client, &other, first).await.refused);
    server.stop().await;
}
