async fn pages<T: Kind, const N: usize>(
    &self,
    db: &Db,
    (from, to): (u64, u64),
    #[cfg(feature = "x")]
    x: u8,
) -> Vec<Page> {
    let entry = {
        static SITE: ::cache_runtime::Site = ::cache_runtime::Site::cached(
                ::core::module_path!(),
                "pages",
            )
            .value("Vec<Page>")
            .ttl(::core::time::Duration::from_millis(250));
        ::cache_runtime::register!(SITE);
        ::cache_runtime::global()
            .entry(&SITE, ::cache_runtime::returns::<Vec<Page>>().kind())
    }
        .of::<Self>()
        .key(
            &[
                &from,
                &to,
                #[cfg(feature = "x")]
                &x,
                &::cache_runtime::type_key::<T>(),
                &N,
            ],
        );
    let load = async move {
        #[allow(clippy::diverging_sub_expression)]
        let _ = false && return ::cache_runtime::unreached::<Vec<Page>>();
        db.pages::<T>(from, to).await
    };
    entry.get_or_load_here(load).await
}
