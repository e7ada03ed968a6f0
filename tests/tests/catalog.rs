//! What is known of annotated functions that nobody has called, and what an audit of them finds.

#![allow(missing_docs, missing_debug_implementations, unreachable_pub)]

use std::time::Duration;

use cache_runtime::Audit;
use cache_runtime::Cache;
use cache_runtime::Catalog;
use cache_runtime::Finding;
use cache_runtime::Mode;
use cache_runtime::Role;
use cache_runtime::Site;
use cache_runtime::cached;
use cache_runtime::catalog;
use cache_runtime::invalidates;
use cache_runtime::register;
use cache_runtime::returns;

/// The functions of one of the modules below.
fn of(module: &str) -> Catalog {
    catalog().within(&format!("{}::{module}", module_path!()))
}

fn audit(module: &str) -> Audit {
    of(module).audit()
}

/// The report of a module in which there is one finding.
fn only_finding(module: &str) -> (Finding, String) {
    let audit = audit(module);
    let [finding] = audit.findings() else { panic!("not one finding: {audit}") };
    assert!(!audit.is_clean());
    (finding.clone(), audit.to_string())
}

mod shapes {
    use super::*;

    pub const LINE: u32 = line!() + 1;
    #[cached(ttl = "5m", key = "shapes.user:{id}", tags = ["shapes", "shapes:{id}"])]
    pub async fn user(id: u64) -> Result<Option<String>, std::io::Error> {
        Ok(Some(id.to_string()))
    }

    #[invalidates(key = "shapes.user:{id}", tags = ["shapes"], mode = linearizable)]
    #[invalidates(tags = ["shapes:{id}"])]
    pub async fn rename(id: u64) {}

    pub struct Repository<T>(pub T);

    impl<T: Clone + Send + Sync + 'static> Repository<T> {
        #[cached(ttl = self.ttl(), tags = ["shapes"], cache = self.cache())]
        pub async fn all<const N: usize>(&self) -> Vec<[u8; 4]> {
            Vec::new()
        }

        fn ttl(&self) -> Duration {
            Duration::from_secs(1)
        }

        fn cache(&self) -> Cache {
            Cache::memory()
        }
    }

    #[async_trait::async_trait]
    pub trait Named {
        #[cached(ttl = |name: &String| Duration::from_secs(name.len() as u64), tags = ["shapes"])]
        async fn name(&self) -> String {
            String::new()
        }
    }

    #[async_trait::async_trait]
    impl Named for Repository<u8> {}
}

#[test]
fn functions_are_known_before_they_are_called() {
    let facts =
        |site: &Site| (site.function(), site.role(), site.value_type(), site.time_to_live(), site.time_to_live_by());
    let known: Vec<_> = of("shapes").iter().map(facts).collect();
    let minutes = Duration::from_secs(300);
    assert_eq!(
        known,
        [
            ("all", Role::Reader, Some("Vec<[u8; 4]>"), None, Some("self.ttl()")),
            ("name", Role::Reader, Some("String"), None, Some("the value")),
            ("rename", Role::Mutator, None, None, None),
            ("rename", Role::Mutator, None, None, None),
            ("user", Role::Reader, Some("String"), Some(minutes), None),
        ]
    );
    let user = of("shapes").readers().find(|site| site.function() == "user").expect("a reader");
    assert_eq!((user.file(), user.line()), (file!(), shapes::LINE));
    assert_eq!(user.key_text(), Some("shapes.user:{id}"));
    assert_eq!(user.tag_texts().collect::<Vec<_>>(), ["shapes", "shapes:{id}"]);
    let modes: Vec<_> = of("shapes").mutators().map(Site::mutation_mode).collect();
    assert_eq!(modes, [Mode::Linearizable, Mode::Guarded]);
}

#[tokio::test]
async fn instances_of_a_generic_function_are_one() {
    use shapes::Named as _;
    let (one, other) = (shapes::Repository(1_u8), shapes::Repository("other"));
    let _ = (one.all::<1>().await, one.all::<2>().await, other.all::<3>().await, one.name().await);
    assert_eq!(of("shapes").iter().filter(|site| site.function() == "all").count(), 1);
    audit("shapes").assert_clean();
}

#[test]
fn a_catalog_is_printed_a_line_for_each_function() {
    let printed = of("shapes").to_string();
    let line = format!(
        "catalog::shapes::user reads key shapes.user:{{id}}, tag shapes, tag shapes:{{id}}, for 300s, {}:{}\n",
        file!(),
        shapes::LINE
    );
    assert!(printed.contains(&line), "{printed}");
    assert_eq!(printed.lines().count(), 5);
}

mod by_hand {
    use super::*;

    pub static REGISTERED: Site = Site::cached(module_path!(), "registered").key("by_hand:{}").allow_stale();
    pub static USED: Site = Site::cached(module_path!(), "used").key("by_hand:used").allow_stale();
    register!(REGISTERED);
}

#[tokio::test]
async fn a_site_by_hand_is_known_when_it_is_used() {
    let names = || of("by_hand").iter().map(Site::function).collect::<Vec<_>>();
    assert_eq!(names(), ["registered"]);
    let entry = Cache::memory().entry(&by_hand::USED, returns::<u8>().kind()).ttl(Duration::from_secs(1));
    assert_eq!(entry.get_or_load(async { 7 }).await, 7);
    by_hand::USED.register();
    assert_eq!(names(), ["registered", "used"]);
}

#[tokio::test]
#[should_panic(expected = "has no time-to-live")]
async fn an_entry_without_any_time_to_live_is_refused() {
    let entry = Cache::memory().entry(&by_hand::REGISTERED, returns::<u8>().kind()).key(&[&1]);
    entry.get_or_load(async { 7 }).await;
}

mod clean {
    use super::*;

    #[cached(ttl = "5m", key = "clean.user:{id}")]
    pub async fn by_key(id: u64) -> String {
        id.to_string()
    }

    #[invalidates(key = "clean.user:{user_id}")]
    pub async fn change(user_id: u64) {}

    #[cached(ttl = "5m", tags = ["clean.tag:{id}"])]
    pub async fn by_tag(id: u64) -> String {
        id.to_string()
    }

    #[invalidates(tags = ["clean.tag:7"])]
    pub async fn change_tag() {}

    #[cached(ttl = "5m", key = "clean.alike:{id}", allow_stale)]
    pub async fn one(id: u64) -> Option<std::string::String> {
        Some(id.to_string())
    }

    #[cached(ttl = "5m", key = "clean.alike:{other}", allow_stale)]
    pub async fn other(other: u64) -> Result<String, std::io::Error> {
        Ok(other.to_string())
    }
}

#[test]
fn what_is_in_order_is_clean() {
    let audit = audit("clean");
    assert!(audit.is_clean() && audit.findings().is_empty(), "{audit}");
    audit.assert_clean();
    assert_eq!(audit.to_string(), "nothing found in 6 functions");
}

mod unread_key {
    use super::*;

    #[cached(ttl = "5m", key = "unread_key:{id}", tags = ["unread_key.user:{id}"])]
    pub async fn user(id: u64) -> String {
        id.to_string()
    }

    pub const LINE: u32 = line!() + 1;
    #[invalidates(keys = ["unread_key:{id}", "unread_key.user:{id}"])]
    pub async fn rename(id: u64) {}
}

#[test]
fn a_key_that_nobody_reads_is_found() {
    let (finding, report) = only_finding("unread_key");
    assert!(matches!(finding, Finding::UnreadKey { template: "unread_key.user:{id}", .. }));
    assert!(report.contains(&format!("{}:{}: ", file!(), unread_key::LINE)), "{report}");
    assert!(report.contains("`catalog::unread_key::rename` invalidates the key `unread_key.user:{id}`"), "{report}");
}

mod unread_tag {
    use super::*;

    #[cached(ttl = "5m", key = "unread_tags", tags = ["unread_tag"])]
    pub async fn user() -> String {
        String::new()
    }

    pub const LINE: u32 = line!() + 1;
    #[invalidates(tags = ["unread_tag", "unread_tags"])]
    pub async fn rename() {}
}

#[test]
fn a_tag_that_nobody_reads_is_found() {
    let (finding, report) = only_finding("unread_tag");
    assert!(matches!(finding, Finding::UnreadTag { template: "unread_tags", .. }));
    assert!(report.contains(&format!("{}:{}: ", file!(), unread_tag::LINE)), "{report}");
}

mod never_invalidated {
    use super::*;

    pub const LINE: u32 = line!() + 1;
    #[cached(ttl = "5m", key = "never:{id}", tags = ["never"])]
    pub async fn user(id: u64) -> String {
        id.to_string()
    }

    #[cached(ttl = "5m", key = "allowed:{id}", tags = ["allowed"], allow_stale)]
    pub async fn allowed(id: u64) -> String {
        id.to_string()
    }
}

#[test]
fn a_reader_that_nobody_invalidates_is_found() {
    let (finding, report) = only_finding("never_invalidated");
    assert!(matches!(finding, Finding::NeverInvalidated { reader } if reader.function() == "user"));
    let at = format!("{}:{}: nothing invalidates `catalog::never_invalidated::user`", file!(), never_invalidated::LINE);
    assert!(report.contains(&at), "{report}");
    assert!(
        report.contains("by key `never:{id}` or by tag `never`; name") && report.contains("`allow_stale`"),
        "{report}"
    );
}

mod two_types {
    use super::*;

    pub const LINE: u32 = line!() + 1;
    #[cached(ttl = "5m", key = "types:{id}", allow_stale)]
    pub async fn full(id: u64) -> Option<String> {
        Some(id.to_string())
    }

    pub const OTHER_LINE: u32 = line!() + 1;
    #[cached(ttl = "5m", key = "types:{user_id}", allow_stale)]
    pub async fn short(user_id: u64) -> Option<u8> {
        Some(user_id as u8)
    }

    #[cached(ttl = "5m", key = "types:count", allow_stale)]
    pub async fn count() -> usize {
        2
    }
}

#[test]
fn one_key_for_values_of_two_types_is_found() {
    let (finding, report) = only_finding("two_types");
    assert!(
        matches!(finding, Finding::TwoTypes { one, other } if (one.function(), other.function()) == ("full", "short"))
    );
    for line in [two_types::LINE, two_types::OTHER_LINE] {
        assert!(report.contains(&format!("{}:{line}", file!())), "{report}");
    }
    assert!(report.contains("stores `String` under `types:{id}`") && report.contains("stores `u8`"), "{report}");
}

mod two_names {
    use super::*;

    pub struct One;
    pub struct Other;

    impl One {
        #[cached(ttl = "5m", key = "names.one", allow_stale)]
        pub async fn get(&self) -> u8 {
            1
        }
    }

    impl Other {
        #[cached(ttl = "5m", key = "names.other", allow_stale)]
        pub async fn get(&self) -> u8 {
            2
        }
    }

    #[invalidates(key = "names.one")]
    #[invalidates(key = "names.other")]
    pub async fn change_both() {}
}

#[test]
fn one_name_for_two_readers_is_found() {
    let _ = (two_names::One, two_names::Other);
    let (finding, report) = only_finding("two_names");
    assert!(matches!(finding, Finding::TwoNames { one, other } if one.line() < other.line()));
    assert_eq!(report.matches(file!()).count(), 2, "{report}");
}

#[test]
fn a_module_without_annotated_functions_is_not_clean() {
    let (finding, report) = only_finding("no_such_module");
    assert!(matches!(finding, Finding::NothingWithin { .. }));
    let all = catalog().iter().count();
    let said = format!("none of the {all} annotated functions is within `catalog::no_such_module`");
    assert!(report.contains(&said) && !report.contains("linked"), "{report}");
}

#[test]
#[should_panic(expected = "`catalog::unread_tag::rename` invalidates the tag `unread_tags`")]
fn an_audit_that_found_something_fails_a_test() {
    audit("unread_tag").assert_clean();
}

mod drawn {
    use super::*;

    #[cached(ttl = "5m", key = "drawn \"{id}\"", tags = ["drawn<b>", "#`\\"])]
    pub async fn user(id: u64) -> String {
        id.to_string()
    }

    #[invalidates(key = "drawn \"{user_id}\"", tags = ["nowhere"])]
    pub async fn rename(user_id: u64) {}
}

#[test]
fn pictures_show_who_invalidates_whom_and_escape_what_they_show() {
    let mermaid = r##"flowchart LR
    m0["rename"]
    n0(["drawn #34;{id}#34;"])
    n1{{"drawn#60;b#62;"}}
    n2{{"#35;#96;#92;"}}
    n3{{"nowhere"}}
    r0["user"]
    m0 --> n0
    n0 --> r0
    n1 --> r0
    n2 --> r0
    m0 --> n3
"##;
    let dot = r##"digraph catalog {
    rankdir=LR;
    node [shape=box];
    m0 [label="rename"];
    n0 [label="drawn \"{id}\"", shape=ellipse];
    n1 [label="drawn<b>", shape=hexagon];
    n2 [label="#`\\", shape=hexagon];
    n3 [label="nowhere", shape=hexagon];
    r0 [label="user"];
    m0 -> n0;
    n0 -> r0;
    n1 -> r0;
    n2 -> r0;
    m0 -> n3;
}
"##;
    assert_eq!(of("drawn").to_mermaid(), mermaid);
    assert_eq!(of("drawn").to_dot(), dot);
}

mod handles {
    use super::*;

    #[cached(ttl = "5m", handle = page_entry, name = "pages.get")]
    pub async fn page(number: u32) -> u32 {
        number
    }

    #[cached(ttl = "5m", handle = line_entry)]
    pub async fn line(number: u32) -> u32 {
        number
    }

    #[invalidates(entries = [page_entry(&number)])]
    pub async fn write(number: u32) {}
}

#[test]
fn what_is_invalidated_by_its_handle_is_not_forgotten() {
    let (finding, report) = only_finding("handles");
    assert!(matches!(finding, Finding::NeverInvalidated { reader } if reader.function() == "line"), "{report}");
}

mod any_handle {
    use super::*;

    #[cached(ttl = "5m", handle = word_entry)]
    pub async fn word(number: u32) -> u32 {
        number
    }

    #[invalidates(entries = [first])]
    pub async fn write(first: cache_runtime::Handle<u32>) {}
}

#[test]
fn a_handle_that_cannot_be_named_may_be_any() {
    assert!(audit("any_handle").is_clean(), "{}", audit("any_handle"));
}

#[test]
fn a_picture_draws_handles_and_given_names() {
    let picture = of("handles").to_mermaid();
    assert!(picture.contains("[\"pages.get\"]") && picture.contains("[\"line\"]"), "{picture}");
    assert!(picture.contains("m0 --> r"), "{picture}");
}
