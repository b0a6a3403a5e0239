//! JSON as XGBoost writes it: numbers with a point or an exponent are of 32 bits, and may be infinite or none.

use super::{Builder, Open, Value};

/// Reads a document.
///
/// # Errors
///
/// A sentence with the place, if it is none.
pub fn read(bytes: &[u8]) -> Result<Value, String> {
    let mut reader = Reader { bytes, at: 0 };
    let mut builder = Builder::default();
    loop {
        reader.value(&mut builder)?;
        // What follows a value.
        loop {
            if let Some(done) = builder.done.take() {
                reader.space();
                return match reader.at == bytes.len() {
                    true => Ok(done),
                    false => Err(reader.wrong("something after the end")),
                };
            }
            let Some(open) = builder.open.last() else {
                // An empty part was opened: its first value comes.
                return Err(reader.wrong("nothing"));
            };
            let (in_object, is_new) = match open {
                Open::List(list, _) => (false, *list == Value::Longs(Vec::new())),
                Open::Object(parts, _) => (true, parts.is_empty()),
            };
            reader.space();
            match reader.next()? {
                b'}' if in_object => builder.close(),
                b']' if !in_object => builder.close(),
                b',' if !is_new => {
                    if in_object {
                        reader.space();
                        reader.expect(b'"')?;
                        reader.name(&mut builder)?;
                    }
                    break;
                }
                b'"' if in_object && is_new => {
                    reader.name(&mut builder)?;
                    break;
                }
                _ if !in_object && is_new => {
                    reader.at -= 1;
                    break;
                }
                _ => return Err(reader.wrong("no comma")),
            }
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn wrong(&self, what: &str) -> String {
        format!("there is {what} at byte {}", self.at)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, String> {
        let byte = self.peek().ok_or_else(|| self.wrong("an end"))?;
        self.at += 1;
        Ok(byte)
    }

    fn expect(&mut self, byte: u8) -> Result<(), String> {
        match self.next()? {
            found if found == byte => Ok(()),
            _ => Err(self.wrong(&format!("no {:?}", char::from(byte)))),
        }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// A value, or the beginning of one that has parts.
    fn value(&mut self, builder: &mut Builder) -> Result<(), String> {
        self.space();
        match self.next()? {
            b'{' => builder.open_object()?,
            b'[' => builder.open_list(None)?,
            b'"' => {
                let text = self.text()?;
                builder.value(Value::Text(text));
            }
            _ => {
                self.at -= 1;
                let value = self.plain()?;
                builder.value(value);
            }
        }
        Ok(())
    }

    /// The name of an object's part, after its first quote.
    fn name(&mut self, builder: &mut Builder) -> Result<(), String> {
        let name = self.text()?;
        self.space();
        self.expect(b':')?;
        builder.name(name);
        Ok(())
    }

    /// A word or a number.
    fn plain(&mut self) -> Result<Value, String> {
        let rest = &self.bytes[self.at..];
        let length = rest
            .iter()
            .position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')))
            .unwrap_or(rest.len());
        let word = std::str::from_utf8(&rest[..length]).map_err(|_| self.wrong("no text"))?;
        let value = match word {
            "null" => Value::Null,
            "true" => Value::Flag(true),
            "false" => Value::Flag(false),
            "NaN" => Value::Real(f64::NAN),
            "Infinity" | "+Infinity" => Value::Real(f64::INFINITY),
            "-Infinity" => Value::Real(f64::NEG_INFINITY),
            _ if word.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => {
                match word.parse::<i64>() {
                    Ok(number) => Value::Integer(number),
                    Err(_) => match word.parse::<f32>() {
                        Ok(number) => Value::Real(f64::from(number)),
                        Err(_) => return Err(self.wrong("no number")),
                    },
                }
            }
            _ => return Err(self.wrong("no value")),
        };
        self.at += length;
        Ok(value)
    }

    /// A text after its first quote.
    fn text(&mut self) -> Result<String, String> {
        let start = self.at;
        loop {
            match self.next()? {
                b'"' => break,
                b'\\' => self.at += 1,
                _ => {}
            }
        }
        // From quote to quote it is a document of its own.
        serde_json::from_slice(&self.bytes[start - 1..self.at]).map_err(|_| self.wrong("no text"))
    }
}

/// Writes a document, with names in order and numbers as XGBoost has them.
pub fn write(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    part(value, &mut out);
    out
}

fn part(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend(b"null"),
        Value::Flag(flag) => out.extend(flag.to_string().as_bytes()),
        Value::Integer(number) => out.extend(number.to_string().as_bytes()),
        Value::Real(number) => real(*number as f32, out),
        Value::Text(text) => out.extend(
            serde_json::Value::from(text.as_str())
                .to_string()
                .as_bytes(),
        ),
        Value::Bytes(list) => each(list, out, |one, out| out.extend(one.to_string().as_bytes())),
        Value::Integers(list) => each(list, out, |one, out| out.extend(one.to_string().as_bytes())),
        Value::Longs(list) => each(list, out, |one, out| out.extend(one.to_string().as_bytes())),
        Value::Reals(list) => each(list, out, |one, out| real(*one, out)),
        Value::List(list) => each(list, out, part),
        Value::Object(parts) => {
            out.push(b'{');
            for (place, (name, value)) in parts.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                part(&Value::text(name), out);
                out.push(b':');
                part(value, out);
            }
            out.push(b'}');
        }
    }
}

fn each<T>(list: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    out.push(b'[');
    for (place, one) in list.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write(one, out);
    }
    out.push(b']');
}

fn real(number: f32, out: &mut Vec<u8>) {
    let text = match number {
        number if number.is_nan() => "NaN".to_owned(),
        f32::INFINITY => "Infinity".to_owned(),
        f32::NEG_INFINITY => "-Infinity".to_owned(),
        number => format!("{number:E}"),
    };
    out.extend(text.as_bytes());
}
