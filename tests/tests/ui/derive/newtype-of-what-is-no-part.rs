use cache_runtime::KeyPart;

#[derive(KeyPart)]
struct Latitude(f64);

fn main() {}
