async fn rename(&self, id: UserId, name: &str) -> Result<(), DbError> {
    let invalidation = {
        static SITE: ::cache_runtime::Site = ::cache_runtime::Site::invalidates(
                ::core::module_path!(),
                "rename",
            )
            .keys(&["user:{id}"])
            .tags(&["users"]);
        ::cache_runtime::register!(SITE);
        ::cache_runtime::global().invalidation(&SITE)
    }
        .keys(&[&id]);
    let change = async move {
        #[allow(clippy::diverging_sub_expression)]
        let _ = false && return ::cache_runtime::unreached::<Result<(), DbError>>();
        self.db.rename(id, name).await
    };
    invalidation.run(change).await
}
