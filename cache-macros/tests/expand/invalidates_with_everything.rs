async fn rename(&mut self, id: u64, name: String) -> io::Result<()> {
    let invalidation = (&*self.caches[0])
        .invalidation({
            static SITE: crate::rt::Site = crate::rt::Site::invalidates(
                    ::core::module_path!(),
                    "rename",
                )
                .keys(&["user:{id}", "profile:{id}:{name}", "all"])
                .tags(&["users", "{self.tenant}"])
                .entries(&["user_entry", "page_entry"])
                .mode(crate::rt::Mode::Linearizable);
            crate::rt::register!(SITE);
            &SITE
        })
        .keys(&[&id, &id, &name])
        .tags(&[&self.tenant])
        .entries(&[&user_entry(&id), &self.page_entry(&name)])
        .hold_off(::core::time::Duration::from_secs(90))
        .grace(::core::time::Duration::from_secs(2))
        .in_transaction()
        .reject_unreachable::<io::Result<()>>();
    let change = async move {
        #[allow(clippy::diverging_sub_expression)]
        let _ = false && return crate::rt::unreached::<io::Result<()>>();
        self.db.rename(id, name).await
    };
    invalidation.run(change).await
}
