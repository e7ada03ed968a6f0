//! Tests of the attributes and the runtime together; see `tests/`.
