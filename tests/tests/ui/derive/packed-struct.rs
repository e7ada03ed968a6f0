use cache_runtime::KeyPart;

#[derive(KeyPart)]
#[repr(C, packed)]
struct Page {
    number: u8,
    size: u64,
}

fn main() {}
