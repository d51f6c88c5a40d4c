//! A JSON object made path by path, as the tables of ECS and OCSF name their fields.

use serde_json::{Map, Value};

#[derive(Debug, Default)]
pub(super) struct Tree(Map<String, Value>);

impl Tree {
    /// Puts `value` at `path`, whose names are joined by dots. What is null or empty is not put.
    pub(super) fn put(&mut self, path: &str, value: impl Into<Value>) {
        let value = value.into();
        let is_empty = match &value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(object) => object.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        };
        if !is_empty {
            put(&mut self.0, path, value);
        }
    }
}

impl From<Tree> for Value {
    fn from(tree: Tree) -> Self {
        Self::Object(tree.0)
    }
}

fn put(object: &mut Map<String, Value>, path: &str, value: Value) {
    let Some((first, rest)) = path.split_once('.') else {
        object.insert(path.to_owned(), value);
        return;
    };
    let inner = object
        .entry(first)
        .or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(inner) = inner {
        put(inner, rest, value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_share_their_beginnings_and_nothing_stands_for_what_is_empty() {
        let mut tree = Tree::default();
        tree.put("process.pid", 7);
        tree.put("process.parent.pid", 1);
        tree.put("process.name", None::<&str>);
        tree.put("process.parent.name", "");
        tree.put("tags", Vec::<Value>::new());
        let expected = json!({"process": {"pid": 7, "parent": {"pid": 1}}});
        assert_eq!(Value::from(tree), expected);
    }
}
