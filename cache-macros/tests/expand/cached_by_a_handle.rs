/// Kept.
pub(crate) async fn find<T: Kind, F: Send>(
    &mut self,
    name: String,
    db: F,
    fresh: bool,
) -> Result<Option<User>, DbError> {
    let entry = self
        .find_entry::<T>(&name)
        .entry(::cache_runtime::returns::<Result<Option<User>, DbError>>().kind())
        .when(!fresh);
    let load = async move {
        #[allow(clippy::diverging_sub_expression)]
        let _ = false
            && return ::cache_runtime::unreached::<Result<Option<User>, DbError>>();
        db.find::<T>(name).await
    };
    entry.get_or_load_here(load).await
}
/// The entry of `find` in its cache, by what tells its calls apart.
pub(crate) fn find_entry<T: Kind>(
    &self,
    name: &::core::primitive::str,
) -> ::cache_runtime::Handle<Result<Option<User>, DbError>> {
    {
        static SITE: ::cache_runtime::Site = ::cache_runtime::Site::cached(
                ::core::module_path!(),
                "find",
            )
            .named("users.find")
            .key("{T}:{name}")
            .tags(&["{self.tenant}"])
            .value("User")
            .version(2)
            .ttl(::core::time::Duration::from_secs(300))
            .handle("find_entry");
        ::cache_runtime::register!(SITE);
        ::cache_runtime::global()
            .entry(
                &SITE,
                ::cache_runtime::returns::<Result<Option<User>, DbError>>().kind(),
            )
    }
        .key(&[&::cache_runtime::type_key::<T>(), &name])
        .tags(&[&self.tenant])
        .unless(|user| user.is_draft())
        .negative_ttl(::core::time::Duration::from_secs(30))
        .here(&|| ())
        .handle()
}
