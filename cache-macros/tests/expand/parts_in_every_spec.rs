async fn found(
    &self,
    filter: &Filter,
    token: &str,
    #[cfg(feature = "pages")]
    page: u32,
) -> Vec<Item> {
    let entry = {
        static SITE: ::cache_runtime::Site = ::cache_runtime::Site::cached(
                ::core::module_path!(),
                "found",
            )
            .key("{filter:json}:{token:hash}:{self.locale:display}:{page}")
            .tags(&["token:{token:hash}"])
            .value("Vec<Item>")
            .ttl(::core::time::Duration::from_secs(300));
        ::cache_runtime::register!(SITE);
        ::cache_runtime::global()
            .entry(&SITE, ::cache_runtime::returns::<Vec<Item>>().kind())
    }
        .key(
            &[
                &::cache_runtime::json_part(&filter),
                &::cache_runtime::hash_part(&token),
                &::cache_runtime::display_part(&self.locale),
                #[cfg(feature = "pages")]
                &page,
            ],
        )
        .tags(&[&::cache_runtime::hash_part(&token)]);
    let load = async move {
        #[allow(clippy::diverging_sub_expression)]
        let _ = false && return ::cache_runtime::unreached::<Vec<Item>>();
        self.db.search(filter, token).await
    };
    entry.get_or_load_here(load).await
}
