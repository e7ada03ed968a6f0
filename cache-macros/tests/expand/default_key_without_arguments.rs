async fn refresh() {
    let entry = {
        static SITE: ::cache_runtime::Site = ::cache_runtime::Site::cached(
                ::core::module_path!(),
                "refresh",
            )
            .value("()")
            .ttl_by("TTL");
        ::cache_runtime::register!(SITE);
        ::cache_runtime::global().entry(&SITE, ::cache_runtime::returns::<()>().kind())
    }
        .ttl(TTL);
    let load = async move {
        work().await;
    };
    entry.get_or_load_here(load).await
}
