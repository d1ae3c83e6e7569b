//! What a command does to a document, by what its schema has at the path. Pure.

use kyneta_uds::documents::{Edit, Json, Kind, Schema};

use super::input::Action;

/// The edit; `None` for a command that makes none.
///
/// `set` also sets an entry of a record and replaces a text.
pub(super) fn edit(schema: Option<&Schema>, action: Action) -> Option<Edit> {
    Some(match action {
        Action::Set(path, value) => set(schema, &path, value),
        Action::Insert(path, at, value) => Edit::insert(&path, at, value),
        Action::Delete(path, at, count) => Edit::delete(&path, at, count),
        Action::Push(path, value) => Edit::push(&path, value),
        Action::Increment(path, by) => Edit::increment(&path, by),
        Action::Get | Action::Destroy => return None,
    })
}

fn set(schema: Option<&Schema>, path: &str, value: Json) -> Edit {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let kind = |path: &str| schema.and_then(|schema| at(schema, path)).map(Schema::kind);
    match (kind(parent), kind(path), value) {
        (Some(Kind::Record(_)), _, value) => Edit::put(parent, name, value),
        (_, Some(Kind::Text | Kind::RichText(_)), Json::String(text)) => Edit::update(path, text),
        (_, _, value) => Edit::set(path, value),
    }
}

/// The schema of what is at a path, where that does not depend on values.
fn at<'s>(schema: &'s Schema, path: &str) -> Option<&'s Schema> {
    let mut names = path.split('.').filter(|name| !name.is_empty());
    names.try_fold(schema, |schema, name| match schema.kind() {
        Kind::Struct(structure) => structure.field(name),
        Kind::Record(item) | Kind::List(item) | Kind::Movable(item) => Some(item),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_does_what_the_schema_has_at_the_path() {
        let item = Schema::structure([("notes", Schema::text())]).unwrap();
        let schema = Schema::structure([
            ("mode", Schema::string()),
            ("peers", Schema::record(Schema::boolean())),
            ("items", Schema::list(item)),
        ])
        .unwrap();
        let set = |path: &str, value: Json| {
            edit(Some(&schema), Action::Set(path.to_owned(), value)).unwrap()
        };
        assert_eq!(set("mode", "a".into()), Edit::set("mode", "a"));
        assert_eq!(
            set("peers.bob", true.into()),
            Edit::put("peers", "bob", true)
        );
        assert_eq!(
            set("items.0.notes", "a".into()),
            Edit::update("items.0.notes", "a")
        );
        assert_eq!(
            set("nothing.here", "a".into()),
            Edit::set("nothing.here", "a")
        );
    }
}
