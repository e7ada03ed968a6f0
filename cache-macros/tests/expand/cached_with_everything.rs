/// Kept.
#[must_use]
pub(crate) async fn token<T, const N: usize>(
    &self,
    query: Query,
    #[allow(unused)]
    tx: &mut Transaction<'_>,
) -> Option<Token>
where
    T: Kind,
{
    #![allow(clippy::all)]
    let entry = self
        .cache
        .entry(
            {
                static SITE: my_facade::cache_runtime::Site = my_facade::cache_runtime::Site::cached(
                        ::core::module_path!(),
                        "token",
                    )
                    .key("{T}:{N}:{query.page.0}:{self.shard}")
                    .tags(&["tokens", "shard:{self.shard}:{N}"]);
                &SITE
            },
            my_facade::cache_runtime::returns::<Option<Token>>().kind(),
        )
        .key(
            &[&my_facade::cache_runtime::type_key::<T>(), &N, &query.page.0, &self.shard],
        )
        .tags(&[&self.shard, &N])
        .ttl_with(|token| token.expires_in())
        .jitter(0.0)
        .in_transaction();
    entry
        .get_or_load(async move {
            if false {
                return ::core::option::Option::<Option<Token>>::None.unwrap();
            }
            self.load(query, N).await
        })
        .await
}
