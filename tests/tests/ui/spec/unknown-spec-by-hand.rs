use cache_runtime::Site;

static FOUND: Site = Site::cached("shop", "found").key("found:{filter:jsn}");

fn main() {
    let _ = &FOUND;
}
