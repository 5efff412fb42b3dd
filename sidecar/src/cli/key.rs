//! `attache key new` and `attache key hash`.

use std::io::{BufRead as _, Write as _};

use anyhow::{Context as _, anyhow};
use sidecar::read;
use sidecar::serve::keys::{Printer, new_key};

use super::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
    /// What `sidecar.key_secret` of the configuration says, env:NAME or file:PATH: prints hmac:HEX in place of sha256:HEX.
    #[arg(long, value_name = "REFERENCE", global = true)]
    key_secret: Option<String>,
}

#[derive(Debug, Clone, Copy, clap::Subcommand)]
enum What {
    /// Prints a new random key, which nothing keeps, and the line that stands for it in attache.yaml.
    New,
    /// Reads a key from standard input and prints the line that stands for it in attache.yaml.
    Hash,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let printer = match &args.key_secret {
        None => Printer::default(),
        Some(reference) => {
            let under = read::secret(reference).and_then(|secret| Printer::under(&secret));
            under.with_context(|| format!("--key-secret {reference}"))?
        }
    };
    let mut out = std::io::stdout().lock();
    let key = match args.what {
        What::New => {
            let key = new_key()?;
            writeln!(out, "{key}")?;
            key
        }
        What::Hash => {
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).context("standard input")?;
            line.trim_end_matches(['\r', '\n']).to_owned()
        }
    };
    if key.is_empty() {
        return Err(Failure::Other(anyhow!("standard input: found nothing, expected a key and a line break")));
    }
    writeln!(out, "secret: {}", printer.reference(&key))?;
    Ok(())
}
