//! Writes files of a few nodes, which need not be right, and reads base64.

/// What a node carries.
#[derive(Clone, Copy)]
pub enum Attribute<'a> {
    Integer(i64),
    Integers(&'a [i64]),
    Floats(&'a [f32]),
    Text(&'a str),
    Texts(&'a [&'a str]),
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn number(field: u64, value: u64, out: &mut Vec<u8>) {
    varint(field << 3, out);
    varint(value, out);
}

fn bytes(field: u64, body: &[u8], out: &mut Vec<u8>) {
    varint(field << 3 | 2, out);
    varint(body.len() as u64, out);
    out.extend_from_slice(body);
}

/// A node of `ai.onnx.ml`.
pub fn ml(op: &str, inputs: &[&str], outputs: &[&str], list: &[(&str, Attribute<'_>)]) -> Vec<u8> {
    node("ai.onnx.ml", op, inputs, outputs, list)
}

/// A node of any set.
pub fn node(
    domain: &str,
    op: &str,
    inputs: &[&str],
    outputs: &[&str],
    list: &[(&str, Attribute<'_>)],
) -> Vec<u8> {
    let mut node = Vec::new();
    inputs
        .iter()
        .for_each(|name| bytes(1, name.as_bytes(), &mut node));
    outputs
        .iter()
        .for_each(|name| bytes(2, name.as_bytes(), &mut node));
    bytes(4, op.as_bytes(), &mut node);
    bytes(7, domain.as_bytes(), &mut node);
    for (name, attribute) in list {
        let mut body = Vec::new();
        bytes(1, name.as_bytes(), &mut body);
        match attribute {
            Attribute::Integer(value) => number(3, *value as u64, &mut body),
            Attribute::Integers(list) => list.iter().for_each(|&x| number(8, x as u64, &mut body)),
            Attribute::Floats(list) => {
                let list: Vec<u8> = list.iter().flat_map(|x| x.to_le_bytes()).collect();
                bytes(7, &list, &mut body);
            }
            Attribute::Text(text) => bytes(4, text.as_bytes(), &mut body),
            Attribute::Texts(list) => list.iter().for_each(|x| bytes(9, x.as_bytes(), &mut body)),
        }
        bytes(5, &body, &mut node);
    }
    node
}

/// A file that makes `y` of `x`, a table whose elements are of this type.
pub fn file(nodes: &[Vec<u8>], element: u64) -> Vec<u8> {
    let interface = |name: &str, element: u64| {
        let (mut tensor, mut kind, mut interface) = (Vec::new(), Vec::new(), Vec::new());
        number(1, element, &mut tensor);
        // Two dimensions of any size.
        bytes(2, &[0x0a, 0, 0x0a, 0], &mut tensor);
        bytes(1, &tensor, &mut kind);
        bytes(1, name.as_bytes(), &mut interface);
        bytes(2, &kind, &mut interface);
        interface
    };
    let (mut graph, mut file) = (Vec::new(), Vec::new());
    nodes.iter().for_each(|node| bytes(1, node, &mut graph));
    bytes(11, &interface("x", element), &mut graph);
    bytes(12, &interface("y", 1), &mut graph);
    bytes(7, &graph, &mut file);
    file
}

/// Bytes of base64.
pub fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text
        .bytes()
        .filter_map(|c| DIGITS.iter().position(|&d| d == c));
    let (mut out, mut bits, mut held) = (Vec::new(), 0u32, 0);
    for digit in digits {
        bits = bits << 6 | digit as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}
