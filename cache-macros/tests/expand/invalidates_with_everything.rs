async fn rename(&mut self, id: u64, name: String) -> io::Result<()> {
    let invalidation = (&*self.caches[0])
        .invalidation({
            static SITE: crate::rt::Site = crate::rt::Site::invalidates(
                    ::core::module_path!(),
                    "rename",
                )
                .keys(&["user:{id}", "profile:{id}:{name}", "all"])
                .tags(&["users", "{self.tenant}"]);
            &SITE
        })
        .keys(&[&id, &id, &name])
        .tags(&[&self.tenant])
        .mode(crate::rt::Mode::Linearizable)
        .hold_off(::core::time::Duration::from_secs(90))
        .in_transaction();
    invalidation
        .run(async move {
            if false {
                return ::core::option::Option::<io::Result<()>>::None.unwrap();
            }
            self.db.rename(id, name).await
        })
        .await
}
