use cache_runtime::KeyPart;

#[derive(KeyPart)]
struct Page {
    number: u32,
    #[key_part(skip)]
    size: u32,
}

fn main() {}
