//! The containers of a Loro document, by their types.

use loro::{
    ContainerTrait, LoroCounter, LoroDoc, LoroList, LoroMap, LoroMovableList, LoroText, LoroTree,
};

/// A type of container: a new one, and one of the root by its name.
pub(crate) trait Holder: ContainerTrait + Sized {
    fn fresh() -> Self;
    fn root(doc: &LoroDoc, name: &str) -> Option<Self>;
}

macro_rules! holder {
    ($container:ty, $root:ident) => {
        impl Holder for $container {
            fn fresh() -> Self {
                Self::new()
            }

            fn root(doc: &LoroDoc, name: &str) -> Option<Self> {
                doc.$root(name)
            }
        }
    };
}

holder!(LoroCounter, try_get_counter);
holder!(LoroList, try_get_list);
holder!(LoroMap, try_get_map);
holder!(LoroMovableList, try_get_movable_list);
holder!(LoroText, try_get_text);
holder!(LoroTree, try_get_tree);
