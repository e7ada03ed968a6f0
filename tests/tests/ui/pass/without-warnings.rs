#![deny(warnings, future_incompatible, let_underscore, nonstandard_style, rust_2018_idioms, unused)]
#![deny(elided_lifetimes_in_paths, keyword_idents, missing_docs, redundant_lifetimes, trivial_casts, trivial_numeric_casts)]
#![deny(unit_bindings, unreachable_pub, unsafe_code, unused_lifetimes, unused_qualifications, unused_results)]
//! Documented.

use cache_runtime::KeyPart;
use cache_runtime::cached;
use cache_runtime::invalidates;

struct Shop {
    names: Vec<String>,
}

impl Shop {
    #[cached(ttl = "5m", key = "user:{id}", tags = ["users"])]
    async fn user(&self, id: usize) -> Result<String, std::io::Error> {
        match self.names.get(id) {
            Some(name) => Ok(name.clone()),
            None => return Err(std::io::ErrorKind::NotFound.into()),
        }
    }

    #[invalidates(key = "user:{id}", tags = ["users"])]
    async fn rename(&mut self, id: usize, mut name: String) {
        name.push('!');
        self.names[id] = name;
    }
}

#[cached(ttl = "5m")]
async fn nothing() {}

#[cached(ttl = "5m", key = "{T}:{N}", tags = ["{N}"], cache = (cache_runtime::global()), jitter = 0)]
async fn generic<T, const N: usize>() -> Option<u8> {
    None
}

#[derive(KeyPart)]
enum Kind<'a, T> {
    New(&'a str),
    Both { first: T, second: Nothing },
}

#[derive(KeyPart)]
struct Nothing;

#[cached(ttl = "1h30m", key = "{kind}:{text:json}:{number:hash}:{text:display}")]
async fn parts(kind: Kind<'_, u8>, text: &str, number: u8) -> u8 {
    number
}

#[invalidates(keys = ["{result}", "user:{id}"], mode = after, when = |id| *id > 0)]
async fn by_result(id: u8) -> Result<u8, std::io::Error> {
    Ok(id)
}

fn main() {
    drop(parts(Kind::New("x"), "y", 1));
    drop(parts(Kind::Both { first: 1, second: Nothing }, "y", 1));
    drop(by_result(1));
    let mut shop = Shop { names: Vec::new() };
    drop(shop.user(1));
    drop(shop.rename(1, String::new()));
    drop(nothing());
    drop(generic::<u8, 1>());
}
