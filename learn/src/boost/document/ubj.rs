//! Universal Binary JSON (draft 12), as far as XGBoost writes and reads it.

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
        if let Some(done) = builder.done.take() {
            return match reader.at == bytes.len() {
                true => Ok(done),
                false => Err(reader.wrong("something after the end")),
            };
        }
        match builder.open.last() {
            Some(Open::List(_, Some(0))) => {
                builder.close();
                continue;
            }
            Some(Open::List(_, None)) if reader.peek() == Some(b']') => {
                reader.at += 1;
                builder.close();
                continue;
            }
            Some(Open::Object(..)) if reader.peek() == Some(b'}') => {
                reader.at += 1;
                builder.close();
                continue;
            }
            Some(Open::Object(..)) => {
                let name = reader.text()?;
                builder.name(name);
            }
            _ => {}
        }
        let value = match reader.byte()? {
            b'{' => {
                builder.open_object()?;
                continue;
            }
            b'[' => match reader.peek() {
                Some(b'$') => {
                    reader.at += 1;
                    reader.numbers()?
                }
                Some(b'#') => {
                    reader.at += 1;
                    let count = reader.count(1)?;
                    builder.open_list(Some(count as u64))?;
                    continue;
                }
                _ => {
                    builder.open_list(None)?;
                    continue;
                }
            },
            b'Z' => Value::Null,
            b'T' => Value::Flag(true),
            b'F' => Value::Flag(false),
            b'd' => Value::Real(f64::from(f32::from_be_bytes(reader.fixed()?))),
            b'D' => Value::Real(f64::from_be_bytes(reader.fixed()?)),
            b'S' => Value::Text(reader.text()?),
            b'C' => Value::Text(char::from(reader.byte()?).to_string()),
            kind => Value::Integer(reader.integer(kind)?),
        };
        builder.value(value);
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn wrong(&self, what: &str) -> String {
        format!("there is {what} at byte {}", self.at)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| self.wrong("an end"))?;
        self.at += count;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], String> {
        Ok(self.take(N)?.try_into().expect("as many as were taken"))
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn integer(&mut self, kind: u8) -> Result<i64, String> {
        Ok(match kind {
            b'i' => i64::from(i8::from_be_bytes(self.fixed()?)),
            b'U' => i64::from(self.byte()?),
            b'I' => i64::from(i16::from_be_bytes(self.fixed()?)),
            b'l' => i64::from(i32::from_be_bytes(self.fixed()?)),
            b'L' => i64::from_be_bytes(self.fixed()?),
            _ => return Err(self.wrong("no kind of value")),
        })
    }

    /// A number of things that take so many bytes each, which are there.
    fn count(&mut self, size: usize) -> Result<usize, String> {
        let kind = self.byte()?;
        let count = usize::try_from(self.integer(kind)?).ok();
        count
            .filter(|count| {
                count
                    .checked_mul(size)
                    .is_some_and(|bytes| bytes <= self.bytes.len() - self.at)
            })
            .ok_or_else(|| self.wrong("a count of more than there is"))
    }

    fn text(&mut self) -> Result<String, String> {
        let length = self.count(1)?;
        let bytes = self.take(length)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| self.wrong("no text"))
    }

    /// A list of one kind of number, after its `$`.
    fn numbers(&mut self) -> Result<Value, String> {
        let kind = self.byte()?;
        if self.byte()? != b'#' {
            return Err(self.wrong("no count"));
        }
        Ok(match kind {
            b'U' => {
                let count = self.count(1)?;
                Value::Bytes(self.take(count)?.to_vec())
            }
            b'd' => Value::Reals(self.each(f32::from_be_bytes)?),
            b'D' => Value::Reals(self.each(|bytes| f64::from_be_bytes(bytes) as f32)?),
            b'l' => Value::Integers(self.each(i32::from_be_bytes)?),
            b'L' => Value::Longs(self.each(i64::from_be_bytes)?),
            b'i' => Value::Integers(self.each(|bytes| i8::from_be_bytes(bytes).into())?),
            b'I' => Value::Integers(self.each(|bytes| i16::from_be_bytes(bytes).into())?),
            _ => return Err(self.wrong("no kind of number")),
        })
    }

    fn each<const N: usize, T>(&mut self, read: impl Fn([u8; N]) -> T) -> Result<Vec<T>, String> {
        let count = self.count(N)?;
        let bytes = self.take(count * N)?.as_chunks().0;
        Ok(bytes.iter().map(|bytes| read(*bytes)).collect())
    }
}

/// Writes a document, with names in order.
pub fn write(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    part(value, &mut out);
    out
}

fn part(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(b'Z'),
        Value::Flag(flag) => out.push(if *flag { b'T' } else { b'F' }),
        Value::Integer(number) => integer(*number, out),
        Value::Real(number) => {
            out.push(b'd');
            out.extend((*number as f32).to_be_bytes());
        }
        Value::Text(words) => {
            out.push(b'S');
            text(words, out);
        }
        Value::Bytes(list) => numbers(b'U', list, out, |one| one.to_be_bytes()),
        Value::Integers(list) => numbers(b'l', list, out, |one| one.to_be_bytes()),
        Value::Longs(list) => numbers(b'L', list, out, |one| one.to_be_bytes()),
        Value::Reals(list) => numbers(b'd', list, out, |one| one.to_be_bytes()),
        Value::List(list) => {
            out.extend(b"[#");
            count(list.len(), out);
            for one in list {
                part(one, out);
            }
        }
        Value::Object(parts) => {
            out.push(b'{');
            for (name, value) in parts {
                text(name, out);
                part(value, out);
            }
            out.push(b'}');
        }
    }
}

fn count(count: usize, out: &mut Vec<u8>) {
    out.push(b'L');
    out.extend((count as i64).to_be_bytes());
}

fn text(text: &str, out: &mut Vec<u8>) {
    count(text.len(), out);
    out.extend(text.as_bytes());
}

fn integer(number: i64, out: &mut Vec<u8>) {
    if let Ok(small) = i8::try_from(number) {
        out.push(b'i');
        out.extend(small.to_be_bytes());
    } else if let Ok(small) = i16::try_from(number) {
        out.push(b'I');
        out.extend(small.to_be_bytes());
    } else if let Ok(small) = i32::try_from(number) {
        out.push(b'l');
        out.extend(small.to_be_bytes());
    } else {
        out.push(b'L');
        out.extend(number.to_be_bytes());
    }
}

fn numbers<T: Copy, const N: usize>(
    kind: u8,
    list: &[T],
    out: &mut Vec<u8>,
    bytes: impl Fn(T) -> [u8; N],
) {
    out.extend([b'[', b'$', kind, b'#']);
    count(list.len(), out);
    for one in list {
        out.extend(bytes(*one));
    }
}
