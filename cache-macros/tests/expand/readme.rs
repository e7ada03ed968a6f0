async fn user(&self, id: UserId) -> Result<User, DbError> {
    let entry = {
        static SITE: ::cache_runtime::Site = ::cache_runtime::Site::cached(
                ::core::module_path!(),
                "user",
            )
            .key("user:{id}")
            .tags(&["users", "tenant:{self.tenant}"]);
        ::cache_runtime::global()
            .entry(&SITE, ::cache_runtime::returns::<Result<User, DbError>>().kind())
    }
        .key(&[&id])
        .tags(&[&self.tenant])
        .ttl(::core::time::Duration::from_secs(300));
    entry
        .get_or_load(async move {
            if false {
                return ::core::option::Option::<Result<User, DbError>>::None.unwrap();
            }
            self.db.user(id).await
        })
        .await
}
