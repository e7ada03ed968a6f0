use cache_runtime::invalidates;

#[invalidates(key = "user:{id}", when = |changed| *changed)]
async fn rename(id: u64) -> bool {
    id == 7
}

#[invalidates(key = "user:{id}", mode = linearizable, when = |changed| *changed)]
async fn rename_strictly(id: u64) -> bool {
    id == 7
}

fn main() {}
