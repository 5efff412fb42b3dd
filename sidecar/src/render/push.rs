//! A changed configuration into the directory of a running Envoy, in steps of which no request notices anything.
//!
//! ```text
//! begin    secrets and clusters that are new, and the route to them
//! part     lanes that go elsewhere with another key answer 503: no key ever goes where it does not belong
//! finish   the rest, then the module's configuration
//! planned  new requests are planned with it: the grace begins
//! tidy     after the grace: a removed lane's clusters and secret go, and a cluster that only answers 503 stays in
//!          their place until no request can be left that was planned with it
//! ```
//!
//! A new module is a push in which every lane is new: the former ones are for requests that the former module planned.
//!
//! After each of the first three Envoy must have taken up what was written, before anybody relies on it.
//!
//! Decision: what Envoy has is read off the directory, so a restart of this process in the middle of a push, or a
//! directory that `attache render envoy` wrote, is a beginning like any other. Rejected: a file of our own with the
//! state, which can disagree with the directory.
//!
//! Decision: a removed lane stays as a composite of the guard alone. Envoy answers a try at a cluster that is gone by
//! itself and does not retry; the guard's 503 is retried, and the next candidate serves. Rejected: keeping whole lanes
//! as long as a request may take, which keeps using a key that its owner has withdrawn.

mod module;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use engine::config::Loaded;

use super::cluster::{Former, owner};
use super::files::{File, remove_secrets};
use super::{Lane, Options, Parts, all_tries, cluster, rds};

/// A directory that Envoy watches.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    options: Options,
    grace: Duration,
    leaving: BTreeMap<String, Leaving>,
    target: Option<Target>,
    module: module::Source,
}

/// What the last push was.
#[derive(Debug)]
struct Target {
    loaded: Loaded,
    parts: Parts,
    /// Requests are planned with it.
    planned: bool,
}

/// A lane that is no longer configured.
#[derive(Debug)]
struct Leaving {
    clusters: String,
    /// From when on no request is planned with it.
    since: Option<Instant>,
    gone: bool,
}

impl Directory {
    /// `module`: where the module is to this process. `grace`: how long a removed lane still serves requests that were
    /// planned with it.
    #[must_use]
    pub fn new(path: PathBuf, options: Options, module: PathBuf, grace: Duration) -> Self {
        let module = module::Source::new(module);
        Self { path, options, grace, leaving: BTreeMap::new(), target: None, module }
    }

    /// Looks whether the module has changed; if so it is part of the next push. `now`: as with the configuration.
    ///
    /// # Errors
    /// It is none, or cannot be copied; the former one goes on.
    pub fn module(&mut self, now: bool) -> Result<bool> {
        let Some(found) = self.module.look(now)? else { return Ok(false) };
        found.copy(&self.path)?;
        let changed = self.options.module != found.suffix();
        self.options.module = found.suffix();
        self.options.wasm = self.options.at.join(found.file());
        Ok(changed)
    }

    /// Where Envoy can be asked what it has taken up.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.options.admin
    }

    /// The versions of the files as they stand there.
    pub(crate) fn versions(&self) -> BTreeMap<&'static str, String> {
        let version = |file: &'static str| {
            let text = fs::read_to_string(self.path.join(file)).ok()?;
            let version = text.lines().find_map(|line| line.strip_prefix("version_info: "))?;
            Some((file, version.trim_matches('"').to_owned()))
        };
        ["cds.yaml", "rds.yaml", "ecds/plan.yaml"].into_iter().filter_map(version).collect()
    }

    /// May an Envoy run with what stands there?
    pub(crate) fn watched(&self) -> bool {
        self.path.join("ecds/plan.yaml").exists()
    }

    /// First step. True: something is new to Envoy.
    ///
    /// # Errors
    /// A secret or a file; what was written is no harm, since nobody is sent there yet.
    pub fn begin(&mut self, loaded: &Loaded, secret: impl Fn(&str) -> Result<String>) -> Result<bool> {
        let parts = Parts::new(loaded, &self.options, secret)?;
        let former = self.former();
        for (cluster, stands) in &former {
            if !stands.fresh && !self.leaving.contains_key(cluster) {
                let leaving = Leaving { clusters: stands.clusters.clone(), since: None, gone: false };
                self.leaving.insert(cluster.clone(), leaving);
            }
        }
        self.leaving.retain(|cluster, _| !parts.lanes.iter().any(|lane| lane.cluster == *cluster));
        let mut clusters = Vec::new();
        for lane in &parts.lanes {
            // A lane that goes elsewhere does so when the module knows.
            if let (false, Some(secret)) = (moves(&former, lane), &lane.secret) {
                secret.write(&self.path)?;
            }
            clusters.push(match former.get(&lane.cluster) {
                Some(stands) if !stands.fresh && elsewhere(&stands.clusters, lane) => stands.clusters.clone(),
                Some(stands) if !stands.fresh => lane.clusters.clone(),
                Some(_) | None => cluster::fresh(&lane.clusters),
            });
        }
        let mut told = self.write_clusters(clusters.iter().map(String::as_str))?;
        told |= self.write_route(loaded, &parts)?;
        self.target = Some(Target { loaded: loaded.clone(), parts, planned: false });
        Ok(told)
    }

    /// Second step. True: something is new to Envoy.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn part(&mut self) -> Result<bool> {
        let Some(target) = &self.target else { return Ok(false) };
        let former = self.former();
        let rotates = |lane: &Lane| lane.secret.as_ref().is_some_and(|secret| secret.differs(&self.path));
        let gone = |cluster: &str, clusters: &str| cluster::gone(&target.loaded, &self.options, cluster, clusters);
        for (cluster, leaving) in self.leaving.iter_mut().filter(|(_, leaving)| !leaving.gone) {
            let mut successors = target.parts.lanes.iter().filter(|lane| owner(&lane.cluster) == owner(cluster));
            if successors.any(|lane| rotates(lane) && elsewhere(&leaving.clusters, lane)) {
                leaving.clusters = gone(cluster, &leaving.clusters);
                leaving.gone = true;
            }
        }
        let clusters = target.parts.lanes.iter().map(|lane| match former.get(&lane.cluster) {
            Some(stands) if stands.fresh => cluster::fresh(&stands.clusters),
            Some(stands) if elsewhere(&stands.clusters, lane) && rotates(lane) => gone(&lane.cluster, &stands.clusters),
            Some(stands) => stands.clusters.clone(),
            None => lane.clusters.clone(),
        });
        let clusters: Vec<String> = clusters.collect();
        self.write_clusters(clusters.iter().map(String::as_str))
    }

    /// Third step. True: something is new to Envoy, and once it has that, requests are planned with the new configuration.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn finish(&mut self) -> Result<bool> {
        let Some(target) = &self.target else { return Ok(false) };
        for secret in target.parts.lanes.iter().filter_map(|lane| lane.secret.as_ref()) {
            secret.write(&self.path)?;
        }
        self.write_clusters(target.parts.lanes.iter().map(|lane| lane.clusters.as_str()))?;
        let told = target.parts.plan.write(&self.path)?;
        if target.parts.bootstrap.write(&self.path)? {
            tracing::info!(directory = %self.path.display(), "envoy.yaml is read when Envoy starts, and not before");
        }
        self.remove_secrets()?;
        Ok(told)
    }

    /// Fourth step: no request is planned with what has been removed any more.
    pub fn planned(&mut self, now: Instant) {
        for leaving in self.leaving.values_mut() {
            leaving.since.get_or_insert(now);
        }
        if let Some(target) = &mut self.target {
            target.planned = true;
        }
    }

    /// Last step, to be taken now and then. Nothing goes in the middle of a push.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn tidy(&mut self, now: Instant) -> Result<()> {
        let Some(target) = self.target.as_ref().filter(|target| target.planned) else { return Ok(()) };
        let age =
            |leaving: &Leaving| leaving.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let forgotten = self.grace.saturating_add(all_tries(&target.loaded.snapshot));
        let (grace, before) = (self.grace, self.leaving.len());
        self.leaving.retain(|_, leaving| age(leaving) < forgotten);
        let dropped = self.leaving.len() < before;
        let mut emptied = false;
        for (cluster, leaving) in &mut self.leaving {
            // A lane of a former module only: its key is not withdrawn, so it serves as long as a request may know it.
            let same = |lane: &Lane| owner(&lane.cluster) == owner(cluster) && !elsewhere(&leaving.clusters, lane);
            let kept = target.parts.lanes.iter().any(same);
            if !leaving.gone && !kept && age(leaving) >= grace {
                leaving.gone = true;
                leaving.clusters = cluster::gone(&target.loaded, &self.options, cluster, &leaving.clusters);
                emptied = true;
            }
        }
        if dropped {
            self.write_route(&target.loaded, &target.parts)?;
        }
        if dropped || emptied {
            self.write_clusters(target.parts.lanes.iter().map(|lane| lane.clusters.as_str()))?;
            self.remove_secrets()?;
            let text = |file| fs::read_to_string(self.path.join(file)).unwrap_or_default();
            module::remove_unused(&self.path, &(text("cds.yaml") + &text("ecds/plan.yaml")))?;
        }
        Ok(())
    }

    /// The lanes that Envoy has.
    fn former(&self) -> BTreeMap<String, Former> {
        let text = fs::read_to_string(self.path.join("cds.yaml")).unwrap_or_default();
        cluster::former(&text).into_iter().collect()
    }

    /// These and the leaving ones. True if that is new.
    fn write_clusters<'a>(&'a self, configured: impl Iterator<Item = &'a str>) -> Result<bool> {
        let leaving = self.leaving.values().map(|leaving| leaving.clusters.as_str());
        File::open("cds.yaml", cluster::cds(configured.chain(leaving))).write(&self.path)
    }

    fn write_route(&self, loaded: &Loaded, parts: &Parts) -> Result<bool> {
        let configured = parts.lanes.iter().map(|lane| lane.cluster.as_str());
        let lanes = configured.chain(self.leaving.keys().map(String::as_str));
        File::open("rds.yaml", rds(&loaded.snapshot, lanes)).write(&self.path)
    }

    /// Removes secrets that no lane uses. Streams that began with a lane may go on after it, and with them Envoy's
    /// subscription to its file, which would complain twice a push; so the file stays a while and holds nothing.
    fn remove_secrets(&self) -> Result<()> {
        let Some(target) = &self.target else { return Ok(()) };
        let configured = target.parts.lanes.iter().filter(|lane| lane.secret.is_some()).map(|lane| &lane.cluster);
        let serving = self.leaving.iter().filter(|(_, leaving)| !leaving.gone).map(|(cluster, _)| cluster);
        let mut used: BTreeSet<String> = configured.chain(serving).map(|cluster| cluster::sds_path(cluster)).collect();
        for cluster in self.leaving.keys() {
            let path = cluster::sds_path(cluster);
            if used.insert(path.clone()) && self.path.join(&path).exists() {
                File::secret(path, cluster::sds(owner(cluster), "")).write(&self.path)?;
            }
        }
        remove_secrets(&self.path, |path| used.contains(path))
    }
}

/// The lines of a lane that say where it goes; none if it goes nowhere.
fn way(clusters: &str) -> Vec<&str> {
    let says = |line: &&str| ["hostname: ", "address: ", "header: "].iter().any(|name| line.starts_with(name));
    clusters.lines().map(str::trim_start).filter(says).collect()
}

/// Does this, as it stands, go somewhere, and not where the lane is to go?
fn elsewhere(stands: &str, lane: &Lane) -> bool {
    let way_of = way(stands);
    !way_of.is_empty() && way_of != way(&lane.clusters)
}

/// Does this lane, of whichever module, go elsewhere yet?
fn moves(former: &BTreeMap<String, Former>, lane: &Lane) -> bool {
    let same = |cluster: &str| owner(cluster) == owner(&lane.cluster);
    former.iter().any(|(cluster, stands)| same(cluster) && !stands.fresh && elsewhere(&stands.clusters, lane))
}

#[cfg(test)]
mod tests;
