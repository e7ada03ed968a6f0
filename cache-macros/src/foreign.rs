//! Arguments of other crates and of other attributes, as people bring them along.

/// The one among `known` that does what `name` does elsewhere.
pub(crate) fn meant(name: &str, known: &[&str]) -> Option<&'static str> {
    MEANT.iter().find(|(foreign, ours)| *foreign == name && known.contains(ours)).map(|(_, ours)| *ours)
}

/// Why there is nothing to write in the place of `name`.
pub(crate) fn unneeded(name: &str) -> Option<&'static str> {
    UNNEEDED.iter().find(|(names, _)| names.contains(&name)).map(|(_, why)| *why)
}

const MEANT: [(&str, &str); 21] = [
    ("time", "ttl"),
    ("ttl_secs", "ttl"),
    ("ttl_millis", "ttl"),
    ("expires", "ttl"),
    ("expire", "ttl"),
    ("expiry", "ttl"),
    ("expiration", "ttl"),
    ("timeout", "ttl"),
    ("convert", "key"),
    ("ignore", "skip"),
    ("exclude", "skip"),
    ("cache_none", "negative_ttl"),
    ("cache_err", "negative"),
    ("result_fallback", "stale_if_error"),
    ("refresh", "time_to_idle"),
    ("tti", "time_to_idle"),
    ("swr", "stale_while_revalidate"),
    ("entry", "entries"),
    ("entry", "handle"),
    ("handle", "entries"),
    ("handles", "entries"),
];

const UNNEEDED: [(&[&str], &str); 5] = [
    (
        &["size", "max_size", "capacity"],
        "how many entries are kept is said of the cache as a whole, as in `Cache::builder().capacity(…)`",
    ),
    (&["result", "option"], "the returned type decides what is stored; take it out"),
    (&["sync_writes", "sync_writes_buckets", "sync_lock"], "one load per key is the rule; take it out"),
    (
        &["map_error", "redis", "disk", "ty", "create", "connection_config"],
        "`CACHE_URL` says where entries live, and a store that is away is a miss and no error; take it out",
    ),
    (&["force_refresh"], "to load anew and store that, name a `handle` and call its `refresh`"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;

    #[test]
    fn what_is_meant_is_an_argument_of_ours_and_what_is_foreign_is_none() {
        let ours = || args::CACHED.iter().chain(args::INVALIDATES);
        for (foreign, meant) in MEANT {
            assert!(ours().any(|name| *name == meant), "{meant}");
            assert!(!(args::CACHED.contains(&foreign) && args::INVALIDATES.contains(&foreign)), "{foreign}");
        }
        for foreign in UNNEEDED.iter().flat_map(|(names, _)| *names) {
            assert!(!ours().any(|name| name == foreign), "{foreign}");
        }
    }

    #[test]
    fn an_attribute_is_offered_what_it_takes() {
        assert_eq!(meant("entry", args::INVALIDATES), Some("entries"));
        assert_eq!(meant("entry", args::CACHED), Some("handle"));
        assert_eq!(meant("time", args::INVALIDATES), None);
    }
}
