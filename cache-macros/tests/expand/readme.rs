async fn user(&self, id: UserId) -> Result<User, DbError> {
    let entry = {
        static SITE: ::cache_runtime::Site = ::cache_runtime::Site::cached(
                ::core::module_path!(),
                "user",
            )
            .key("user:{id}")
            .tags(&["users", "tenant:{self.tenant}"])
            .value("User")
            .ttl(::core::time::Duration::from_secs(300));
        ::cache_runtime::register!(SITE);
        ::cache_runtime::global()
            .entry(&SITE, ::cache_runtime::returns::<Result<User, DbError>>().kind())
    }
        .key(&[&id])
        .tags(&[&self.tenant]);
    let load = async move {
        #[allow(clippy::diverging_sub_expression)]
        let _ = false && return ::cache_runtime::unreached::<Result<User, DbError>>();
        self.db.user(id).await
    };
    entry.get_or_load_here(load).await
}
