//! Whether Envoy has taken up what was written.
//!
//! Does not: see workers. It need not: Envoy's main thread hands every update to each worker in one queue, so a worker
//! never has a later step without an earlier one.
//!
//! Decision: every file carries a version, and Envoy's statistics tell the version of each file it has accepted, and how
//! many clusters still wait for their first answer of DNS. A file that Envoy refuses never shows up there, so the push
//! goes no further and the former configuration serves on. Rejected: `/config_dump`, which says the same in megabytes.
//!
//! Decision: a step also has a second in any case. Where the admin interface is out of reach (Envoy in another
//! container, or several of them that watch one directory) that is all there is.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::Instant;

use crate::envoy;

/// What every step has before the next. Envoy is mostly done within milliseconds.
const LEAST: Duration = Duration::from_secs(1);
/// Then the push has failed, for now: it is tried again with every look at the file.
const MOST: Duration = Duration::from_secs(10);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(50);

/// Versions of all subscriptions, and the clusters that are not ready.
const QUESTION: &str = "/stats?filter=(version_text|^cluster_manager.warming_clusters)$";

/// Files with a version.
pub(crate) type Versions = BTreeMap<&'static str, String>;

/// Envoy has not taken up something that it could have.
#[derive(Debug)]
pub(crate) struct Outstanding(SocketAddr, String);

impl std::fmt::Display for Outstanding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the Envoy at {} has not taken up {}; its log may say why", self.0, self.1)
    }
}

impl std::error::Error for Outstanding {}

/// Waits until Envoy has these versions. `told`: something of it is new.
pub(crate) async fn wait(admin: SocketAddr, versions: &Versions, told: bool) -> anyhow::Result<()> {
    within(MOST, admin, versions, told).await
}

async fn within(most: Duration, admin: SocketAddr, versions: &Versions, told: bool) -> anyhow::Result<()> {
    let since = Instant::now();
    if told {
        tokio::time::sleep(LEAST).await;
    }
    loop {
        let Some(missing) = ask(admin, versions).await? else {
            if told {
                tracing::info!(%admin, "no such Envoy to ask; it had a second");
            }
            return Ok(());
        };
        if missing.is_empty() {
            return Ok(());
        }
        if since.elapsed() > most {
            return Err(Outstanding(admin, missing.join(", ")).into());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What Envoy does not have yet. `None`: nobody is there, or an Envoy that does not watch these files.
async fn ask(admin: SocketAddr, versions: &Versions) -> anyhow::Result<Option<Vec<String>>> {
    let url = format!("http://{admin}{QUESTION}").parse().context("the address of the admin interface")?;
    match envoy::page(&url, MOST).await {
        Ok(page) => Ok(missing(&String::from_utf8_lossy(&page), versions)),
        Err(error) if envoy::nobody(&error) => Ok(None),
        Err(error) => Ok(Some(vec![format!("anything, as far as is known: {error:#}")])),
    }
}

fn missing(page: &str, versions: &Versions) -> Option<Vec<String>> {
    let lines = || page.lines().filter_map(|line| line.split_once(": "));
    let mut missing = Vec::new();
    for (file, version) in versions {
        // A listener of somebody else's may have the route too, under a prefix of its own.
        let mut theirs = lines().filter(|(name, _)| name.ends_with(subscription(file))).peekable();
        theirs.peek()?;
        if theirs.any(|(_, text)| text.trim_matches('"') != version) {
            missing.push((*file).to_owned());
        }
    }
    let warming = lines().find(|(name, _)| *name == "cluster_manager.warming_clusters");
    if let Some((_, count)) = warming.filter(|(_, count)| *count != "0") {
        missing.push(format!("{count} clusters (their names are being resolved)"));
    }
    Some(missing)
}

/// How the name of its statistic ends.
fn subscription(file: &str) -> &'static str {
    match file {
        "cds.yaml" => "cluster_manager.cds.version_text",
        "rds.yaml" => ".rds.attache.version_text",
        _ => "extension_config_discovery.http_filter.plan.version_text",
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn versions() -> Versions {
        [("cds.yaml", "c1"), ("rds.yaml", "r1"), ("ecds/plan.yaml", "p1")].map(|(file, v)| (file, v.to_owned())).into()
    }

    fn page(cds: &str, rds: &str, warming: u32) -> String {
        format!(
            "cluster_manager.cds.version_text: \"{cds}\"\nextension_config_discovery.http_filter.plan.version_text: \"p1\"\n\
             http.attache.rds.attache.version_text: \"{rds}\"\nsds.a_b.version_text: \"\"\n\
             cluster_manager.warming_clusters: {warming}\n"
        )
    }

    #[test]
    fn a_page_tells_what_is_outstanding() {
        assert_eq!(missing(&page("c1", "r1", 0), &versions()), Some(vec![]));
        assert_eq!(missing(&page("c0", "r1", 0), &versions()), Some(vec!["cds.yaml".to_owned()]));
        let two = missing(&page("c1", "", 2), &versions()).unwrap();
        assert!(two[0] == "rds.yaml" && two[1].starts_with("2 clusters"), "{two:?}");
        let other = format!("{}http.internal.rds.attache.version_text: \"r0\"\n", page("c1", "r1", 0));
        assert_eq!(missing(&other, &versions()), Some(vec!["rds.yaml".to_owned()]), "every listener counts");
    }

    #[test]
    fn an_envoy_of_somebody_else_is_not_waited_for() {
        assert_eq!(missing("cluster_manager.cds.version_text: \"7\"\n", &versions()), None);
    }

    /// Answers with one page after the other, the last one for ever.
    async fn envoy(pages: Vec<String>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admin = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for at in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = [0; 2048];
                let size = stream.read(&mut head).await.unwrap();
                assert!(String::from_utf8_lossy(&head[..size]).starts_with("GET /stats?filter="));
                let page = &pages[at.min(pages.len() - 1)];
                let answer =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{page}", page.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        admin
    }

    #[tokio::test]
    async fn it_waits_for_what_envoy_has_not_and_for_nobody_else() {
        let admin = envoy(vec![page("c0", "r1", 0), page("c1", "r1", 1), page("c1", "r1", 0)]).await;
        wait(admin, &versions(), false).await.unwrap();
        let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert!(ask(nowhere, &versions()).await.unwrap().is_none());
        wait(nowhere, &versions(), false).await.unwrap();
    }

    #[tokio::test]
    async fn what_envoy_refuses_is_told() {
        let admin = envoy(vec![page("c0", "r1", 0)]).await;
        let error = within(Duration::ZERO, admin, &versions(), false).await.unwrap_err();
        assert!(error.is::<Outstanding>() && error.to_string().contains("cds.yaml"), "{error:#}");
    }
}
