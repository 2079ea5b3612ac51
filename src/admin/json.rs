//! JSON as ZooKeeper's AdminServer prints it: Jackson's indented form, `"key" : value`, arrays in one line.
//!
//! Scripts cut these texts with `grep` and `sed`, so the spaces are kept, too. Tested: the end of this file,
//! tests/admin_of_java.rs.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

/// The text, without a line break at its end.
pub fn print(value: &Value) -> String {
    let mut out = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut out, Jackson::default());
    value.serialize(&mut serializer).expect("memory takes all text, and the keys are strings");
    String::from_utf8(out).expect("a serializer of JSON writes UTF-8")
}

#[derive(Default)]
struct Jackson {
    /// Of objects: arrays don't indent.
    depth: usize,
    /// The object or array just begun has something in it.
    has_value: bool,
}

impl Jackson {
    fn break_line<W: ?Sized + Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| writer.write_all(b"  "))
    }
}

impl Formatter for Jackson {
    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        self.has_value = false;
        writer.write_all(b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        if self.has_value {
            self.break_line(writer)?;
        } else {
            writer.write_all(b" ")?;
        }
        writer.write_all(b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        self.break_line(writer)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b" : ")
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.has_value = false;
        writer.write_all(b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b" ]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b" " } else { b", " })
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn prints_as_jackson_does() {
        let value = json!({
            "connections": [],
            "current_config": {},
            "one": { "all": ["127.0.0.1:1", "127.0.0.1:2"], "empty": false },
            "observers": [{ "sid": 3 }, { "sid": 4 }],
            "text": "a\n\"b\"",
            "error": null,
        });
        let expected = concat!(
            "{\n",
            "  \"connections\" : [ ],\n",
            "  \"current_config\" : { },\n",
            "  \"one\" : {\n",
            "    \"all\" : [ \"127.0.0.1:1\", \"127.0.0.1:2\" ],\n",
            "    \"empty\" : false\n",
            "  },\n",
            "  \"observers\" : [ {\n",
            "    \"sid\" : 3\n",
            "  }, {\n",
            "    \"sid\" : 4\n",
            "  } ],\n",
            "  \"text\" : \"a\\n\\\"b\\\"\",\n",
            "  \"error\" : null\n",
            "}",
        );
        assert_eq!(print(&value), expected);
        assert_eq!(print(&json!({ "a": [[]], "b": [{}] })), "{\n  \"a\" : [ [ ] ],\n  \"b\" : [ { } ]\n}");
    }
}
