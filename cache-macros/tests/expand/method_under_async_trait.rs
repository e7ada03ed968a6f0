#[allow(clippy::async_yields_async)]
fn sum<'life0, 'async_trait>(
    &'life0 self,
    __arg1: (u8, u8),
) -> ::core::pin::Pin<
    Box<
        dyn ::core::future::Future<
            Output = Option<u8>,
        > + ::core::marker::Send + 'async_trait,
    >,
>
where
    'life0: 'async_trait,
    Self: 'async_trait,
{
    Box::pin(async move {
        let (a, b) = {
            let __arg1 = __arg1;
            __arg1
        };
        let entry = {
            static SITE: ::cache_runtime::Site = ::cache_runtime::Site::cached(
                    ::core::module_path!(),
                    "sum",
                )
                .key("{a}:{b}")
                .value("u8")
                .ttl(::core::time::Duration::from_secs(3600));
            ::cache_runtime::register!(SITE);
            ::cache_runtime::global()
                .entry(&SITE, ::cache_runtime::returns::<Option<u8>>().kind())
        }
            .key(&[&a, &b]);
        let load = async move {
            if let ::core::option::Option::Some(__ret) = ::core::option::Option::None::<
                Option<u8>,
            > {
                return __ret;
            }
            let __self = self;
            let __ret: Option<u8> = { a.checked_add(b) };
            __ret
        };
        entry.get_or_load_here(load).await
    })
}
