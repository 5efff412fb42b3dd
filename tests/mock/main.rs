//! `mock-provider`: every vendor on loopback, with a control port, for demonstrations and experiments.
//!
//! Does not: end by itself, unless its standard input is a pipe that closes with `--until-eof`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::{Map, Value, json};
use tests::mock::{HostSpec, Mock, control};
use tokio::net::TcpListener;

#[derive(Debug, Parser)]
#[command(name = "mock-provider", about = "Every vendor on loopback, failing on demand")]
struct Args {
    /// Hosts to be over TLS and HTTP/2.
    #[arg(long = "tls", default_values = ["api.openai.com", "api.anthropic.com", "api.groq.com"])]
    tls: Vec<String>,
    /// Hosts to be over plaintext.
    #[arg(long = "plain")]
    plain: Vec<String>,
    /// Where to write `ca.pem`, `mock.json` (addresses of hosts and control port) and `resolve` (the same hosts as
    /// arguments of `attache render envoy`).
    #[arg(long)]
    dir: PathBuf,
    /// Address of the control port.
    #[arg(long, default_value = "127.0.0.1:0")]
    control: String,
    /// End when standard input does.
    #[arg(long)]
    until_eof: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let tls = args.tls.iter().map(|name| HostSpec::tls(name));
    let plain = args.plain.iter().map(|name| HostSpec::plain(name));
    let mock = Arc::new(Mock::start(&tls.chain(plain).collect::<Vec<_>>())?);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(&args, mock))
}

async fn run(args: &Args, mock: Arc<Mock>) -> Result<()> {
    let listener = TcpListener::bind(&args.control).await.with_context(|| args.control.clone())?;
    let hosts = mock.addresses().into_iter().map(|(name, addr)| (name, json!(addr))).collect::<Map<String, Value>>();
    let about = json!({"control": listener.local_addr()?, "hosts": hosts, "ca": args.dir.join("ca.pem")});
    std::fs::create_dir_all(&args.dir)?;
    std::fs::write(args.dir.join("ca.pem"), mock.ca())?;
    let resolve = mock.addresses().into_iter().map(|(name, addr)| format!("--resolve {name}={addr}\n"));
    std::fs::write(args.dir.join("resolve"), resolve.collect::<String>())?;
    // Renamed into place: whoever waits for the file finds it whole.
    let unfinished = args.dir.join("mock.json.new");
    std::fs::write(&unfinished, format!("{about:#}\n"))?;
    std::fs::rename(&unfinished, args.dir.join("mock.json"))?;
    println!("{about}");
    tokio::select! {
        served = control::serve(mock, listener) => served.map(|never| match never {}),
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        () = end_of_input(), if args.until_eof => Ok(()),
    }
}

/// A thread of its own: a runtime would wait for a read that never ends.
async fn end_of_input() {
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = ended.send(());
    });
    let _ = end.await;
}
