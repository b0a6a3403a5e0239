//! JavaScript modules that hold data: what the bundler `browserify` makes of a JSON file, or of a binary file as
//! base64.
//!
//! Such a module runs `<name>.exports=<literal>` once. The literal is read as data; nothing is run. Literals are
//! JSON as a minifier writes it: keys without quotation marks, numbers like `.5`, `!0` and `!1` for true and false.

use super::{Error, invalid};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

/// Raised when the conversion of the same file changes.
pub const REVISION: u32 = 1;

/// How deep a literal may be nested.
const DEPTH: usize = 64;

/// What a module exports, as JSON.
///
/// # Errors
/// [`Error::Invalid`] when the file exports no literal, or the literal is not data.
pub fn value(module: &[u8]) -> Result<Value, Error> {
    const EXPORTS: &str = ".exports=";
    let text = std::str::from_utf8(module).map_err(|error| invalid(error.to_string()))?;
    let literal = text
        .match_indices(EXPORTS)
        .map(|(at, _)| &text[at + EXPORTS.len()..])
        .find(|rest| rest.starts_with(['{', '[', '"', '\'']))
        .ok_or_else(|| invalid("the module exports no literal"))?;
    let mut reader = Reader { rest: literal };
    let value = reader.value(DEPTH)?;
    if !reader.rest.trim_start().starts_with(['}', ';']) {
        return Err(invalid("the module's literal does not end where it should"));
    }
    Ok(value)
}

/// JSON, with every number the nearest 64-bit one (`serde_json`, as it is built here, may give its neighbour).
///
/// # Errors
/// [`Error::Invalid`] when it is none.
pub fn exact_json(text: &[u8]) -> Result<Value, Error> {
    let text = std::str::from_utf8(text).map_err(|error| invalid(error.to_string()))?;
    let mut reader = Reader { rest: text };
    let value = reader.value(DEPTH)?;
    if reader.rest.trim().is_empty() {
        Ok(value)
    } else {
        Err(invalid("text after the JSON"))
    }
}

/// The bytes that a module exports as base64.
///
/// # Errors
/// Those of [`value`], and when it is no base64.
pub fn bytes(module: &[u8]) -> Result<Vec<u8>, Error> {
    match value(module)? {
        Value::String(text) => STANDARD
            .decode(text)
            .map_err(|error| invalid(format!("the base64: {error}"))),
        _ => Err(invalid("the module does not export a string")),
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        if depth == 0 {
            return Err(invalid(format!("nested deeper than {DEPTH}")));
        }
        self.space();
        for (word, value) in [
            ("!0", Value::Bool(true)),
            ("!1", Value::Bool(false)),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("null", Value::Null),
        ] {
            if self.eat(word) {
                return Ok(value);
            }
        }
        match self.rest.chars().next() {
            Some('{') => self.object(depth),
            Some('[') => self.array(depth),
            Some('"' | '\'') => Ok(Value::String(self.string()?)),
            Some('-' | '.' | '0'..='9') => self.number(),
            Some(other) => Err(invalid(format!("\"{other}\" where a value was expected"))),
            None => Err(invalid("the literal ends in the middle")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, Error> {
        self.expect("{")?;
        let mut object = Map::new();
        self.space();
        while !self.eat("}") {
            if !object.is_empty() {
                self.expect(",")?;
                self.space();
            }
            let key = if self.rest.starts_with(['"', '\'']) {
                self.string()?
            } else {
                self.run(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$'))?
            };
            self.space();
            self.expect(":")?;
            let value = self.value(depth - 1)?;
            if object.insert(key.clone(), value).is_some() {
                return Err(invalid(format!("key \"{key}\" twice")));
            }
            self.space();
        }
        Ok(object.into())
    }

    fn array(&mut self, depth: usize) -> Result<Value, Error> {
        self.expect("[")?;
        let mut array = Vec::new();
        self.space();
        while !self.eat("]") {
            if !array.is_empty() {
                self.expect(",")?;
            }
            array.push(self.value(depth - 1)?);
            self.space();
        }
        Ok(array.into())
    }

    fn string(&mut self) -> Result<String, Error> {
        let quote = if self.eat("\"") {
            '"'
        } else {
            self.expect("'")?;
            '\''
        };
        let mut text = String::new();
        loop {
            let end = self
                .rest
                .find([quote, '\\', '\n'])
                .ok_or_else(|| invalid("a string without an end"))?;
            text.push_str(&self.rest[..end]);
            self.rest = &self.rest[end..];
            if self.eat(if quote == '"' { "\"" } else { "'" }) {
                return Ok(text);
            }
            self.expect("\\")?;
            let escape = self.rest.chars().next();
            text.push(match escape {
                Some('u') => self.code_point()?,
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some(c @ ('"' | '\'' | '\\' | '/')) => c,
                _ => return Err(invalid("an escape that is not read")),
            });
            self.rest = &self.rest[1..];
        }
    }

    /// A character by its number, without surrogates: names of tensors have none. Leaves its last digit.
    fn code_point(&mut self) -> Result<char, Error> {
        let wrong = || invalid("an escape that is not read");
        let digits = self.rest.get(1..5).ok_or_else(wrong)?;
        let code = u32::from_str_radix(digits, 16).map_err(|_| wrong())?;
        self.rest = &self.rest[4..];
        char::from_u32(code).ok_or_else(wrong)
    }

    fn number(&mut self) -> Result<Value, Error> {
        let text = self.run(|c| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E'))?;
        if let Ok(whole) = text.parse::<i64>() {
            return Ok(whole.into());
        }
        let number = text.parse::<f64>().ok().and_then(Number::from_f64);
        number
            .map(Value::Number)
            .ok_or_else(|| invalid(format!("\"{text}\" is not a number")))
    }

    fn run(&mut self, of: impl Fn(char) -> bool) -> Result<String, Error> {
        let end = self.rest.find(|c| !of(c)).unwrap_or(self.rest.len());
        if end == 0 {
            return Err(invalid("a name or number was expected"));
        }
        let (run, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(run.to_owned())
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, text: &str) -> Result<(), Error> {
        if self.eat(text) {
            return Ok(());
        }
        Err(invalid(format!("\"{text}\" was expected")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn module(literal: &str) -> String {
        format!(
            "!function(t){{module.exports=t()}}(function(){{return i}}({{1:[function(t,e,a){{e.exports={literal}}},{{}}]}},{{}},[1])(1));"
        )
    }

    #[test]
    fn minified_literals_are_data() {
        let text = r#"{a:1,"b c":[-.5,1e-3,!0,!1,null,{}],$d:'x\n"',e:"\"\/"}"#;
        let wanted =
            json!({"a": 1, "b c": [-0.5, 0.001, true, false, null, {}], "$d": "x\n\"", "e": "\"/"});
        assert_eq!(value(module(text).as_bytes()).unwrap(), wanted);
        assert_eq!(bytes(module("\"aGVsbG8=\"").as_bytes()).unwrap(), b"hello");
    }

    #[test]
    fn json_is_read_to_the_last_bit() {
        let text = br#" {"a": [-0.9229331016540528, 1.5e-7, 12, "\u00e9\n"], "b": null} "#;
        let wanted = ["-0.9229331016540528", "1.5e-7"].map(|t| t.parse::<f64>().unwrap());
        let found = exact_json(text).unwrap();
        assert_eq!(found["a"][0].as_f64(), Some(wanted[0]));
        assert_eq!(found["a"][1].as_f64(), Some(wanted[1]));
        assert_eq!(
            (&found["a"][2], &found["a"][3]),
            (&json!(12), &json!("é\n"))
        );
        for wrong in [
            &b"{} {}"[..],
            b"",
            b"\"\\ud800\"",
            b"\"\\u12",
            b"\"\\u12\xc3\xa9a\"",
        ] {
            assert!(exact_json(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn code_is_refused() {
        for literal in [
            "f()",
            "{a:b}",
            "{a:1}+1",
            "[1 2]",
            "{a:1,a:2}",
            "\"\\x41\"",
            "[1,,2]",
            "1",
        ] {
            assert!(value(module(literal).as_bytes()).is_err(), "{literal}");
        }
        assert!(value(module(&"[".repeat(100_000)).as_bytes()).is_err());
        assert!(bytes(module("\"a\"").as_bytes()).is_err());
        assert!(bytes(module("{}").as_bytes()).is_err());
        assert!(value(b"\xff").is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_exported_is_an_answer(text in "[-{}\\[\\]\"':,!.a-e0-9\\\\ é]{0,60}") {
            if let Ok(value) = value(module(&text).as_bytes()) {
                prop_assert!(value.is_object() || value.is_array() || value.is_string());
            }
        }
    }
}
