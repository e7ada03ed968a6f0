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
                    .tags(&["tokens", "shard:{self.shard}:{N}"])
                    .value("Token")
                    .ttl_by("the value")
                    .allow_stale();
                my_facade::cache_runtime::register!(SITE);
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
    let load = async move {
        #[allow(clippy::diverging_sub_expression)]
        let _ = false && return my_facade::cache_runtime::unreached::<Option<Token>>();
        self.load(query, N).await
    };
    entry.get_or_load_here(load).await
}
