use cache_runtime::KeyPart;

#[derive(KeyPart)]
union Number {
    small: u8,
    large: u64,
}

fn main() {}
