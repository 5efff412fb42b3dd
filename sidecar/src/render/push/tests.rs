//! Steps of a push, one by one, and what stands in the directory after each.

use super::*;
use crate::read;

const GRACE: Duration = Duration::from_secs(30);

fn configured(providers: &[(&str, &str)]) -> Loaded {
    let one = |(name, port): &(&str, &str)| {
        format!(
            "  {name}: {{base_url: \"http://127.0.0.1:{port}/v1\", format: openai_chat, keys: [{{name: k, secret: \"env:{name}\", models: [\"*\"]}}]}}\n"
        )
    };
    read::text(&format!("version: 1\nproviders:\n{}", providers.iter().map(one).collect::<String>())).unwrap()
}

/// A directory, what stands in it, and a clock.
struct Stage {
    place: tempfile::TempDir,
    directory: Directory,
    start: Instant,
}

fn stage() -> Stage {
    let place = tempfile::tempdir().unwrap();
    let directory = fresh(&place);
    Stage { place, directory, start: Instant::now() }
}

fn fresh(place: &tempfile::TempDir) -> Directory {
    let path = place.path().to_owned();
    let options = Options {
        at: path.clone(),
        wasm: path.join("attache.wasm"),
        module: String::new(),
        ca: "/ca.pem".into(),
        admin: ([127, 0, 0, 1], 9901).into(),
        resolve: Vec::new(),
    };
    Directory::new(path.clone(), options, path.join("attache.wasm"), GRACE)
}

impl Stage {
    fn file(&self, path: &str) -> String {
        fs::read_to_string(self.place.path().join(path)).unwrap_or_default()
    }

    fn begin(&mut self, config: &Loaded, secret: &str) -> bool {
        self.directory.begin(config, |reference| Ok(format!("{secret}-{reference}"))).unwrap()
    }

    fn finish(&mut self, after: u64) -> bool {
        let told = self.directory.finish().unwrap();
        self.directory.planned(self.start + Duration::from_secs(after));
        told
    }

    fn tidy(&mut self, after: Duration) {
        self.directory.tidy(self.start + after).unwrap();
    }

    /// Lanes in `cds.yaml` with hosts, lanes without, and lanes in the route.
    fn lanes(&self) -> (Vec<String>, Vec<String>, Vec<String>) {
        let lanes = cluster::former(&self.file("cds.yaml"));
        let live = |(name, lane): &&(String, Former)| lane.clusters.contains(&format!("name: {name}_hosts\n"));
        let (live, gone): (Vec<_>, Vec<_>) = lanes.iter().partition(|lane| live(lane));
        let names = |lanes: Vec<&(String, Former)>| lanes.into_iter().map(|(name, _)| name.clone()).collect();
        let route = self.file("rds.yaml");
        let routed = route.lines().filter_map(|line| line.trim().strip_prefix("cluster: ")).map(str::to_owned);
        (names(live), names(gone), routed.collect())
    }

    fn expect(&self, live: &[&str], gone: &[&str], routed: &[&str]) {
        let (found_live, found_gone, found_routed) = self.lanes();
        assert_eq!((found_live, found_gone, found_routed), (owned(live), owned(gone), owned(routed)));
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn clusters_come_before_the_plan_and_go_long_after_it() {
    let mut stage = stage();
    let (old, new) = (configured(&[("a", "1"), ("b", "2")]), configured(&[("b", "2"), ("c", "3")]));
    assert!(!stage.directory.watched(), "nobody watches an empty directory");
    stage.begin(&old, "s");
    assert!(stage.finish(0) && stage.directory.watched());
    stage.expect(&["a_k", "b_k"], &[], &["a_k", "b_k"]);

    assert!(stage.begin(&new, "s"));
    stage.expect(&["b_k", "c_k", "a_k"], &[], &["b_k", "c_k", "a_k"]);
    assert!(stage.file("ecds/plan.yaml").contains("127.0.0.1:1"), "the plan is still the former");
    stage.tidy(Duration::from_secs(90));
    stage.expect(&["b_k", "c_k", "a_k"], &[], &["b_k", "c_k", "a_k"]);
    let former = stage.directory.versions();
    stage.finish(100);
    let versions = stage.directory.versions();
    assert!(versions["ecds/plan.yaml"] != former["ecds/plan.yaml"] && versions["rds.yaml"] == former["rds.yaml"]);
    assert!(!stage.file("ecds/plan.yaml").contains("127.0.0.1:1"));
    stage.tidy(Duration::from_secs(129));
    stage.expect(&["b_k", "c_k", "a_k"], &[], &["b_k", "c_k", "a_k"]);
    assert!(stage.file("sds/a_k.yaml").contains("s-env:a"));

    stage.tidy(Duration::from_secs(130));
    stage.expect(&["b_k", "c_k"], &["a_k"], &["b_k", "c_k", "a_k"]);
    assert!(!stage.file("sds/a_k.yaml").contains("s-env"), "its secret is gone with its hosts");

    let all = all_tries(&new.snapshot) + GRACE;
    stage.tidy(Duration::from_secs(100) + all);
    stage.expect(&["b_k", "c_k"], &[], &["b_k", "c_k"]);
    assert!(!stage.place.path().join("sds/a_k.yaml").exists());
}

#[test]
fn a_lane_that_comes_back_is_whole_at_once() {
    let mut stage = stage();
    let (both, one) = (configured(&[("a", "1"), ("b", "2")]), configured(&[("b", "2")]));
    for (config, after) in [(&both, 0), (&one, 10)] {
        stage.begin(config, "s");
        stage.finish(after);
    }
    stage.tidy(Duration::from_secs(40));
    stage.expect(&["b_k"], &["a_k"], &["b_k", "a_k"]);
    stage.begin(&both, "s");
    stage.finish(50);
    stage.tidy(Duration::from_secs(100));
    stage.expect(&["a_k", "b_k"], &[], &["a_k", "b_k"]);
    assert!(stage.file("sds/a_k.yaml").contains("s-env:a"));
}

#[test]
fn a_new_key_does_not_go_the_old_way() {
    let mut stage = stage();
    stage.begin(&configured(&[("a", "1")]), "old");
    stage.finish(2);
    assert!(!stage.begin(&configured(&[("a", "1")]), "new"), "a rotated key needs no clusters");
    assert!(stage.file("sds/a_k.yaml").contains("new-env:a"), "it is there at once");
    stage.begin(&configured(&[("a", "9")]), "moved");
    assert!(stage.file("sds/a_k.yaml").contains("new-env:a"), "the old way, the old key");
    stage.expect(&["a_k"], &[], &["a_k"]);
    assert!(stage.directory.part().unwrap());
    stage.expect(&[], &["a_k"], &["a_k"]);
    stage.finish(2);
    assert!(stage.file("sds/a_k.yaml").contains("moved-env:a") && stage.file("cds.yaml").contains("port_value: 9"));
    stage.begin(&configured(&[("a", "8")]), "moved");
    assert!(!stage.directory.part().unwrap(), "the same key may go either way");
    stage.finish(2);
    assert!(stage.file("cds.yaml").contains("port_value: 8"));
}

#[test]
fn a_restart_in_the_middle_of_a_push_forgets_no_lane() {
    let mut stage = stage();
    stage.begin(&configured(&[("a", "1")]), "s");
    stage.finish(2);
    stage.begin(&configured(&[("b", "2")]), "s");
    stage.directory = fresh(&stage.place);
    assert!(!stage.begin(&configured(&[("b", "2")]), "s"), "Envoy has it all already");
    stage.finish(2);
    stage.expect(&["b_k", "a_k"], &[], &["b_k", "a_k"]);
    stage.tidy(Duration::from_secs(32));
    stage.expect(&["b_k"], &["a_k"], &["b_k", "a_k"]);
}

#[test]
fn a_new_module_has_lanes_of_its_own_and_the_former_ones_stay_with_theirs() {
    let mut stage = stage();
    let config = configured(&[("a", "1")]);
    let path = stage.place.path().join("attache.wasm");
    let put = |directory: &mut Directory, content: &str| {
        fs::write(&path, format!("\0asm{content}")).unwrap();
        assert!(directory.module(true).unwrap());
        directory.options.module.clone()
    };
    let old = put(&mut stage.directory, "old");
    stage.begin(&config, "s");
    stage.finish(0);
    let new = put(&mut stage.directory, "newer");
    let file = |module: &str| format!("attache-{}.wasm", module.trim_start_matches('@'));
    let (old_lane, new_lane) = (format!("a_k{old}"), format!("a_k{new}"));
    let (old_lane, new_lane) = (old_lane.as_str(), new_lane.as_str());

    assert!(stage.begin(&config, "s"));
    stage.expect(&[new_lane, old_lane], &[], &[new_lane, old_lane]);
    assert!(!stage.directory.part().unwrap());
    assert!(stage.file("ecds/plan.yaml").contains(&format!("\"module\": \"{old}\"")));
    stage.finish(10);
    let plan = stage.file("ecds/plan.yaml");
    assert!(
        plan.contains(&format!("\"module\": \"{new}\"")) && plan.contains(&file(&new)) && !plan.contains(&file(&old))
    );

    stage.tidy(Duration::from_secs(40));
    stage.expect(&[new_lane, old_lane], &[], &[new_lane, old_lane]);
    // Its key is withdrawn all the same.
    stage.begin(&configured(&[("b", "2")]), "s");
    stage.finish(50);
    stage.tidy(Duration::from_secs(80));
    let lanes = cluster::former(&stage.file("cds.yaml"));
    let gone = lanes.iter().find(|(name, _)| name == old_lane).map(|(_, lane)| lane.clusters.clone()).unwrap();
    assert!(!gone.contains("_hosts") && gone.contains(&file(&old)) && !gone.contains(&file(&new)), "{gone}");
    assert!(!stage.file("sds/a_k.yaml").contains("s-env:a"));
    assert!(stage.place.path().join(file(&old)).exists());

    stage.tidy(Duration::from_secs(50) + all_tries(&config.snapshot) + GRACE);
    stage.expect(&[&format!("b_k{new}")], &[], &[&format!("b_k{new}")]);
    assert!(!stage.place.path().join(file(&old)).exists() && stage.place.path().join(file(&new)).exists());
}

#[test]
fn a_new_module_and_a_new_place_together_keep_the_keys_apart() {
    let mut stage = stage();
    let path = stage.place.path().join("attache.wasm");
    fs::write(&path, "\0asm1").unwrap();
    stage.directory.module(true).unwrap();
    stage.begin(&configured(&[("a", "1")]), "old");
    stage.finish(0);
    fs::write(&path, "\0asm 2").unwrap();
    stage.directory.module(true).unwrap();
    stage.begin(&configured(&[("a", "9")]), "new");
    assert!(stage.file("sds/a_k.yaml").contains("old-env:a"), "the former lane still goes the old way");
    assert!(stage.directory.part().unwrap());
    assert_eq!(stage.lanes().1.len(), 1, "now it goes nowhere");
    stage.finish(1);
    assert!(stage.file("sds/a_k.yaml").contains("new-env:a"));
}

#[test]
fn what_is_no_module_is_refused_once_and_what_is_still_written_is_waited_for() {
    let mut stage = stage();
    assert!(!stage.directory.module(true).unwrap(), "a file that only Envoy can read is not followed");
    let path = stage.place.path().join("attache.wasm");
    fs::write(&path, "<html>").unwrap();
    assert!(stage.directory.module(true).is_err());
    assert!(!stage.directory.module(true).unwrap());
    fs::write(&path, "\0asm1").unwrap();
    assert!(!stage.directory.module(false).unwrap(), "it may still be written");
    assert!(stage.directory.module(false).unwrap());
    fs::write(&path, "\0asm1").unwrap();
    assert!(!stage.directory.module(true).unwrap(), "the same again is no change");
}

#[test]
fn a_lane_that_envoy_refused_before_anybody_was_sent_there_goes_with_the_next_push() {
    let mut stage = stage();
    stage.begin(&configured(&[("a", "1")]), "s");
    stage.finish(0);
    assert!(stage.begin(&configured(&[("a", "1"), ("bad", "2")]), "s"));
    assert!(!stage.directory.part().unwrap(), "nothing that is not there");
    stage.expect(&["a_k", "bad_k"], &[], &["a_k", "bad_k"]);
    // Also if somebody starts anew to get rid of it.
    stage.directory = fresh(&stage.place);
    assert!(stage.begin(&configured(&[("a", "1"), ("c", "3")]), "s"));
    stage.expect(&["a_k", "c_k"], &[], &["a_k", "c_k"]);
    stage.finish(1);
    stage.begin(&configured(&[("a", "1")]), "s");
    stage.expect(&["a_k", "c_k"], &[], &["a_k", "c_k"]);
}
