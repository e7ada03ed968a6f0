use cache_runtime::KeyPart;
use cache_runtime::key_part;

#[derive(KeyPart)]
enum Sorted<T> {
    Up(T),
    Down(T),
}

fn main() {
    key_part(&Sorted::Up(7));
    key_part(&Sorted::Up(0.5));
}
