async fn rename(&self, id: UserId, name: &str) -> Result<(), DbError> {
    let invalidation = {
        static SITE: ::cache_runtime::Site = ::cache_runtime::Site::invalidates(
                ::core::module_path!(),
                "rename",
            )
            .keys(&["user:{id}"])
            .tags(&["users"]);
        ::cache_runtime::global().invalidation(&SITE)
    }
        .keys(&[&id]);
    invalidation
        .run(async move {
            if false {
                return ::core::option::Option::<Result<(), DbError>>::None.unwrap();
            }
            self.db.rename(id, name).await
        })
        .await
}
