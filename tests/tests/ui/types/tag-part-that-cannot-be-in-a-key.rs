use cache_runtime::invalidates;

struct Place {
    latitude: f64,
}

#[invalidates(key = "user:{id}", tags = ["users", "near:{place.latitude}"])]
async fn rename(id: u64, place: Place) {
    let _ = (id, place);
}

fn main() {}
