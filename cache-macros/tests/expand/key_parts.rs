#[automatically_derived]
impl<T> ::cache_runtime::KeyPart for Id<T> {
    fn write(&self, out: &mut ::cache_runtime::KeyWriter<'_>) {
        let Self { 0: field0, .. } = self;
        ::cache_runtime::KeyPart::write(field0, out);
    }
}

#[automatically_derived]
impl ::cache_runtime::KeyPart for Page {
    fn write(&self, out: &mut ::cache_runtime::KeyWriter<'_>) {
        let Self { number: field2, size: field0, r#type: field1, .. } = self;
        let items: [&dyn ::cache_runtime::KeyPart; 6] = [
            &"number",
            field2,
            &"size",
            field0,
            &"type",
            field1,
        ];
        out.sequence(items);
    }
}

#[automatically_derived]
impl<
    'a,
    T: ?Sized + Trait + ::cache_runtime::KeyPart,
    const N: usize,
> ::cache_runtime::KeyPart for Pair<'a, T, N>
where
    T: Other,
    T::Item: ::cache_runtime::KeyPart,
{
    fn write(&self, out: &mut ::cache_runtime::KeyWriter<'_>) {
        let Self { 0: field0, 1: field1, .. } = self;
        let items: [&dyn ::cache_runtime::KeyPart; 2] = [field0, field1];
        out.sequence(items);
    }
}

#[automatically_derived]
impl ::cache_runtime::KeyPart for Unit {
    fn write(&self, out: &mut ::cache_runtime::KeyWriter<'_>) {
        let Self { .. } = self;
        let items: [&dyn ::cache_runtime::KeyPart; 0] = [];
        out.sequence(items);
    }
}

#[automatically_derived]
impl<T: facade::rt::KeyPart> facade::rt::KeyPart for List<T> {
    fn write(&self, out: &mut facade::rt::KeyWriter<'_>) {
        let Self { head: field0, tail: field1, .. } = self;
        let items: [&dyn facade::rt::KeyPart; 4] = [&"head", field0, &"tail", field1];
        out.sequence(items);
    }
}

#[automatically_derived]
impl ::cache_runtime::KeyPart for Never {
    fn write(&self, _: &mut ::cache_runtime::KeyWriter<'_>) {
        match *self {}
    }
}

#[automatically_derived]
impl ::cache_runtime::KeyPart for Status {
    fn write(&self, out: &mut ::cache_runtime::KeyWriter<'_>) {
        match self {
            Self::Open { .. } => out.text("Open"),
            Self::Closed { at: field1, by: field0, .. } => {
                let items: [&dyn ::cache_runtime::KeyPart; 5] = [
                    &"Closed",
                    &"at",
                    field1,
                    &"by",
                    field0,
                ];
                out.sequence(items);
            }
            Self::Moved { 0: field0, .. } => {
                let items: [&dyn ::cache_runtime::KeyPart; 2] = [&"Moved", field0];
                out.sequence(items);
            }
            Self::Empty { .. } => {
                let items: [&dyn ::cache_runtime::KeyPart; 1] = [&"Empty"];
                out.sequence(items);
            }
        }
    }
}
