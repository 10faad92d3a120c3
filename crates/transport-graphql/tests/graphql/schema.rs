//! The schema as a golden file, for each of its two shapes.

use crate::fake::World;

#[test]
fn the_schema_is_as_it_was() {
    #[cfg(feature = "legacy")]
    let name = "schema-with-legacy";
    #[cfg(not(feature = "legacy"))]
    let name = "schema-without-legacy";
    insta::assert_snapshot!(name, World::new(Vec::new()).api.sdl());
}
