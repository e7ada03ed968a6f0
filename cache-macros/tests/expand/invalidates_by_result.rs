async fn place(&self, cart: CartId) -> Result<Order, DbError> {
    let invalidation = {
        static SITE: ::cache_runtime::Site = ::cache_runtime::Site::invalidates(
                ::core::module_path!(),
                "place",
            )
            .keys(&["cart:{cart}", "order:{cart}:{result.id}"])
            .tags(&["customer:{result.customer.0:hash}"])
            .mode(::cache_runtime::Mode::After);
        ::cache_runtime::register!(SITE);
        ::cache_runtime::global().invalidation(&SITE)
    }
        .keys(&[&cart, &cart])
        .returning(::cache_runtime::returns::<Result<Order, DbError>>().kind())
        .result(|result, names| {
            names
                .keys(&[&result.id])
                .tags(&[&::cache_runtime::hash_part(&result.customer.0)])
        })
        .when(|order| order.changed);
    let change = async move {
        #[allow(clippy::diverging_sub_expression)]
        let _ = false && return ::cache_runtime::unreached::<Result<Order, DbError>>();
        self.db.place(cart).await
    };
    invalidation.run(change).await
}
