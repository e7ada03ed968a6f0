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
        );
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
        )
        .ttl(::core::time::Duration::from_millis(250));
    entry
        .get_or_load(async move {
            if false {
                return ::core::option::Option::<Vec<Page>>::None.unwrap();
            }
            db.pages::<T>(from, to).await
        })
        .await
}
