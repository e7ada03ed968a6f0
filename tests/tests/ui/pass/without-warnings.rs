#![deny(warnings, clippy::all)]

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

fn main() {
    let mut shop = Shop { names: Vec::new() };
    drop(shop.user(1));
    drop(shop.rename(1, String::new()));
    drop(nothing());
}
