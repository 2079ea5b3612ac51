//! get, ls, stat, getEphemerals, getAllChildrenNumber.

use serde_json::json;

use super::super::super::client::{Client, Failure, path};
use super::{Context, Parsed, Trouble, base64_of, data_json, stat_text};
use crate::wire::{ErrorCode, java_text};

pub fn get(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let path = parsed.argument(1).unwrap_or_default();
    let (data, stat) = context.client.data(path, parsed.has("w"))?;
    let shown = data.as_deref().unwrap_or(b"null");
    let text = if parsed.has("x") {
        hex_dump(shown)
    } else if parsed.has("b") {
        base64_of(shown)
    } else {
        java_text::read(shown).into_owned()
    };
    context.console.line(&text);
    if parsed.has("s") {
        context.stat(&stat);
    }
    let data = data_json(data.as_deref());
    context.console.value(&json!({"path": path, "data": data, "stat": stat_text::json(&stat)}));
    Ok(())
}

pub fn ls(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let path = parsed.argument(1).unwrap_or_default();
    let watch = parsed.has("w");
    if parsed.has("R") {
        let console = context.console;
        return visit(context.client, path, watch, &mut |node| {
            console.line(node);
            console.value(&json!({ "path": node }));
            Ok(())
        });
    }
    let (names, stat) = context.client.children(path, watch)?;
    let shown: Vec<String> =
        names.iter().map(|name| context.console.painted(super::super::console::BLUE, name)).collect();
    context.console.line(&format!("[{}]", shown.join(", ")));
    if parsed.has("s") {
        context.stat(&stat);
    }
    context.console.value(&json!({"path": path, "children": names, "stat": stat_text::json(&stat)}));
    Ok(())
}

/// Each node of a subtree: the root, then of each node first all children and then what is below them. Nodes that vanish
/// meanwhile are passed over. The order is that of Java's `ZKUtil.visitSubTreeDFS`.
pub fn visit(
    client: &Client,
    root: &str,
    watch: bool,
    each: &mut dyn FnMut(&str) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    client.data(root, watch)?;
    each(root)?;
    // What is still to be looked into; the last one first.
    let mut open = vec![root.to_owned()];
    while let Some(node) = open.pop() {
        let names = match client.children(&node, watch) {
            Ok((names, _)) => names,
            Err(failure) if failure.is(ErrorCode::NoNode) => continue,
            Err(failure) => return Err(failure.into()),
        };
        let children: Vec<String> = names.iter().map(|name| path::join(&node, name)).collect();
        for child in &children {
            each(child)?;
        }
        open.extend(children.into_iter().rev());
    }
    Ok(())
}

pub fn stat(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let path = parsed.argument(1).unwrap_or_default();
    let Some(stat) = context.client.exists(path, parsed.has("w"))? else {
        return Err(Failure::of(ErrorCode::NoNode, Some(path)).into());
    };
    context.stat(&stat);
    context.console.value(&json!({"path": path, "stat": stat_text::json(&stat)}));
    Ok(())
}

pub fn ephemerals(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let paths = context.client.ephemerals(parsed.argument(1).unwrap_or("/"))?;
    context.console.line(&format!("[{}]", paths.join(", ")));
    context.console.value(&json!({ "ephemerals": paths }));
    Ok(())
}

pub fn all_children_number(context: &mut Context<'_>, parsed: &Parsed) -> Result<(), Trouble> {
    let path = parsed.argument(1).unwrap_or_default();
    let number = context.client.all_children_number(path)?;
    context.console.line(&number.to_string());
    context.console.value(&json!({"path": path, "allChildrenNumber": number}));
    Ok(())
}

/// Rows of 16 bytes in a frame; nothing for nothing.
fn hex_dump(data: &[u8]) -> String {
    if data.is_empty() {
        return String::new();
    }
    let top = "         +-------------------------------------------------+";
    let bar = "+--------+-------------------------------------------------+----------------+";
    let mut lines = vec![
        top.to_owned(),
        "         |  0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f |".to_owned(),
        bar.to_owned(),
    ];
    for (row, bytes) in data.chunks(16).enumerate() {
        let hex: String = bytes.iter().map(|byte| format!(" {byte:02x}")).collect();
        let text: String = bytes
            .iter()
            .map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' })
            .collect();
        lines.push(format!("|{:08x}|{hex:<48} |{text:<16}|", row * 16));
    }
    lines.push(bar.to_owned());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::hex_dump;

    #[test]
    fn data_as_a_table_of_bytes() {
        let expected = "         +-------------------------------------------------+
         |  0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f |
+--------+-------------------------------------------------+----------------+
|00000000| 68 65 6c 6c 6f 20 77 6f 72 6c 64 20 6f 66 20 62 |hello world of b|
|00000010| 00 7f ff                                        |...             |
+--------+-------------------------------------------------+----------------+";
        assert_eq!(hex_dump(b"hello world of b\x00\x7f\xff"), expected);
        assert_eq!(hex_dump(b""), "");
    }
}
