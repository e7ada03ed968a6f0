async fn refresh() {
    let entry = {
        static SITE: ::cache_runtime::Site = ::cache_runtime::Site::cached(
            ::core::module_path!(),
            "refresh",
        );
        ::cache_runtime::global().entry(&SITE, ::cache_runtime::returns::<()>().kind())
    }
        .ttl(TTL);
    entry
        .get_or_load(async move {
            work().await;
        })
        .await
}
