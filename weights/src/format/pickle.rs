//! A pickle reader for data, not for programs.
//!
//! It reads the opcodes that CPython's own writer emits for dictionaries of tensors and for plain objects (pickle
//! protocols 2 and 3) and refuses all others. Nothing is ever called: a global is a name, and applying it is recorded as
//! [`Node::Call`]. Values live in one list and refer to each other by index, so nesting and sharing cost nothing
//! and no recursion can overflow the stack; the list grows by at most one value per opcode, that is per byte
//! read. Reference: `Lib/pickletools.py` of CPython.

use super::{Bytes, Error, invalid};

/// Most values in one pickle: twice what the word counts of a text model's vocabulary of 300,000 words need.
const NODES: usize = 1 << 22;
/// The same for references from one value to others (a tuple's items count each time it is built).
const LINKS: usize = 1 << 23;

/// Index of a value.
pub(super) type Id = usize;

/// One value.
#[derive(Clone, Debug)]
pub(super) enum Node<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than 64 bits, little-endian two's complement.
    Long(&'a [u8]),
    Float,
    Text(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// `module name`.
    Global(&'a str, &'a str),
    /// A global applied to a tuple of arguments.
    Call(Id, Id),
    /// A reference to something outside the pickle.
    Persistent(Id),
    /// An object of a class that is a global, and its attributes once they were given.
    Object(Id, Option<Id>),
}

/// The values of one pickle.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    nodes: Vec<Node<'a>>,
    root: Id,
}

impl<'a> Pickle<'a> {
    /// The value of the whole pickle.
    pub(super) fn root(&self) -> &Node<'a> {
        &self.nodes[self.root]
    }

    pub(super) fn get(&self, id: Id) -> &Node<'a> {
        // Ids come from this list only.
        &self.nodes[id]
    }

    /// Reads one pickle, to its STOP.
    pub(super) fn read(from: &mut Bytes<'a>) -> Result<Self, Error> {
        let mut machine = Machine {
            nodes: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: Vec::new(),
            links: 0,
        };
        loop {
            let at = from.position();
            let opcode = from.u8("a pickle")?;
            if opcode == b'.' {
                let root = machine.pop(at)?;
                return Ok(Self {
                    nodes: machine.nodes,
                    root,
                });
            }
            machine.step(opcode, at, from)?;
        }
    }
}

struct Machine<'a> {
    nodes: Vec<Node<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack at each MARK.
    marks: Vec<usize>,
    memo: Vec<Option<Id>>,
    links: usize,
}

impl<'a> Machine<'a> {
    fn step(&mut self, opcode: u8, at: usize, from: &mut Bytes<'a>) -> Result<(), Error> {
        const WHAT: &str = "a pickle";
        match opcode {
            // PROTO
            0x80 => {
                let protocol = from.u8(WHAT)?;
                if protocol > 3 {
                    return Err(Error::Unsupported {
                        what: format!("pickle protocol {protocol}"),
                    });
                }
                Ok(())
            }
            b'N' => self.push(Node::None),
            0x88 => self.push(Node::Bool(true)),
            0x89 => self.push(Node::Bool(false)),
            b'J' => {
                let value = from.i32(WHAT)?;
                self.push(Node::Int(value.into()))
            }
            b'K' => {
                let value = from.u8(WHAT)?;
                self.push(Node::Int(value.into()))
            }
            b'M' => {
                let value = u16::from_le_bytes(from.array(WHAT)?);
                self.push(Node::Int(value.into()))
            }
            // LONG1
            0x8a => {
                let length = from.u8(WHAT)?;
                let bytes = from.take(length.into(), WHAT)?;
                self.push(long(bytes))
            }
            // BINFLOAT; no tensor depends on one.
            b'G' => {
                from.take(8, WHAT)?;
                self.push(Node::Float)
            }
            // BINUNICODE
            b'X' => {
                let length = from.u32(WHAT)?;
                let bytes = from.take(length as usize, WHAT)?;
                let text =
                    std::str::from_utf8(bytes).map_err(|_| broken(at, "text that is not UTF-8"))?;
                self.push(Node::Text(text))
            }
            // GLOBAL
            b'c' => {
                let mut line = || {
                    let bytes = from.until(b'\n', WHAT)?;
                    std::str::from_utf8(bytes).map_err(|_| broken(at, "a name that is not UTF-8"))
                };
                let (module, name) = (line()?, line()?);
                self.push(Node::Global(module, name))
            }
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b')' => self.push(Node::Tuple(Vec::new())),
            b']' => self.push(Node::List(Vec::new())),
            b'}' => self.push(Node::Dict(Vec::new())),
            b't' => {
                let items = self.since_mark(at)?;
                self.push(Node::Tuple(items))
            }
            // TUPLE1, TUPLE2, TUPLE3
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let items = self.take_top(count, at)?;
                self.push(Node::Tuple(items))
            }
            b'a' => {
                let items = self.take_top(1, at)?;
                self.append(items, at)
            }
            b'e' => {
                let items = self.since_mark(at)?;
                self.append(items, at)
            }
            b's' => {
                let items = self.take_top(2, at)?;
                self.set_items(&items, at)
            }
            b'u' => {
                let items = self.since_mark(at)?;
                self.set_items(&items, at)
            }
            // BINPUT, LONG_BINPUT
            b'q' => {
                let slot = from.u8(WHAT)?;
                self.remember(slot.into(), at)
            }
            b'r' => {
                let slot = from.u32(WHAT)?;
                self.remember(slot as usize, at)
            }
            // BINGET, LONG_BINGET
            b'h' => {
                let slot = from.u8(WHAT)?;
                self.recall(slot.into(), at)
            }
            b'j' => {
                let slot = from.u32(WHAT)?;
                self.recall(slot as usize, at)
            }
            b'R' => {
                let arguments = self.pop(at)?;
                let function = self.pop(at)?;
                self.reduce(function, arguments, at)
            }
            // NEWOBJ
            0x81 => {
                let arguments = self.pop(at)?;
                let class = self.pop(at)?;
                match (&self.nodes[class], &self.nodes[arguments]) {
                    (Node::Global(..), Node::Tuple(items)) if items.is_empty() => {
                        self.push(Node::Object(class, None))
                    }
                    _ => Err(broken(at, "an object made of something other than a class")),
                }
            }
            // BUILD sets the attributes of an object; what a call made has none that matter here.
            b'b' => {
                let attributes = self.pop(at)?;
                if let Node::Object(_, state) = self.top(at)? {
                    *state = Some(attributes);
                }
                Ok(())
            }
            // BINPERSID
            b'Q' => {
                let id = self.pop(at)?;
                self.push(Node::Persistent(id))
            }
            other => Err(Error::Unsupported {
                what: format!("pickle opcode {other:#04x} at byte {at}"),
            }),
        }
    }

    fn push(&mut self, node: Node<'a>) -> Result<(), Error> {
        if self.nodes.len() >= NODES {
            return Err(Error::TooLarge {
                what: "a pickle's values",
                bytes: NODES as u128 + 1,
                limit: NODES as u64,
            });
        }
        self.nodes.push(node);
        self.stack.push(self.nodes.len() - 1);
        Ok(())
    }

    fn link(&mut self, count: usize) -> Result<(), Error> {
        self.links += count;
        if self.links > LINKS {
            return Err(Error::TooLarge {
                what: "a pickle's references",
                bytes: self.links as u128,
                limit: LINKS as u64,
            });
        }
        Ok(())
    }

    /// The lowest height that the stack may be taken to: items below the last MARK are not for use.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self, at: usize) -> Result<Id, Error> {
        if self.stack.len() <= self.floor() {
            return Err(broken(at, "an empty stack"));
        }
        self.stack.pop().ok_or_else(|| broken(at, "an empty stack"))
    }

    fn take_top(&mut self, count: usize, at: usize) -> Result<Vec<Id>, Error> {
        let start = self
            .stack
            .len()
            .checked_sub(count)
            .filter(|&start| start >= self.floor())
            .ok_or_else(|| broken(at, "an empty stack"))?;
        self.link(count)?;
        Ok(self.stack.split_off(start))
    }

    fn since_mark(&mut self, at: usize) -> Result<Vec<Id>, Error> {
        let start = self.marks.pop().ok_or_else(|| broken(at, "no mark"))?;
        self.link(self.stack.len() - start)?;
        Ok(self.stack.split_off(start))
    }

    fn top(&mut self, at: usize) -> Result<&mut Node<'a>, Error> {
        let floor = self.floor();
        match self.stack.last() {
            Some(&id) if self.stack.len() > floor => Ok(&mut self.nodes[id]),
            _ => Err(broken(at, "an empty stack")),
        }
    }

    fn append(&mut self, items: Vec<Id>, at: usize) -> Result<(), Error> {
        match self.top(at)? {
            Node::List(list) => list.extend(items),
            _ => return Err(broken(at, "an item added to something that is not a list")),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Id], at: usize) -> Result<(), Error> {
        let (pairs, []) = items.as_chunks::<2>() else {
            return Err(broken(at, "a key without a value"));
        };
        match self.top(at)? {
            Node::Dict(dict) => dict.extend(pairs.iter().map(|&[key, value]| (key, value))),
            _ => {
                return Err(broken(
                    at,
                    "a pair added to something that is not a dictionary",
                ));
            }
        }
        Ok(())
    }

    fn remember(&mut self, slot: usize, at: usize) -> Result<(), Error> {
        let floor = self.floor();
        let id = match self.stack.last() {
            Some(&id) if self.stack.len() > floor => id,
            _ => return Err(broken(at, "an empty stack")),
        };
        if slot >= NODES {
            return Err(broken(at, "a memo slot out of bounds"));
        }
        // PyTorch numbers slots one after the other; a far jump is not its writing.
        if slot > self.memo.len() + usize::from(u8::MAX) {
            return Err(broken(at, "a memo slot out of order"));
        }
        if slot >= self.memo.len() {
            self.memo.resize(slot + 1, None);
        }
        self.memo[slot] = Some(id);
        Ok(())
    }

    fn recall(&mut self, slot: usize, at: usize) -> Result<(), Error> {
        let id = self
            .memo
            .get(slot)
            .copied()
            .flatten()
            .ok_or_else(|| broken(at, "an empty memo slot"))?;
        if self.stack.len() >= LINKS {
            return Err(broken(at, "a stack out of bounds"));
        }
        self.stack.push(id);
        Ok(())
    }

    fn reduce(&mut self, function: Id, arguments: Id, at: usize) -> Result<(), Error> {
        let Node::Global(module, name) = self.nodes[function] else {
            return Err(broken(at, "a call of something that is not a global"));
        };
        let Node::Tuple(items) = &self.nodes[arguments] else {
            return Err(broken(at, "a call whose arguments are not a tuple"));
        };
        match (module, name) {
            ("collections", "OrderedDict") if items.is_empty() => self.push(Node::Dict(Vec::new())),
            ("collections", "defaultdict") if items.len() <= 1 => self.push(Node::Dict(Vec::new())),
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_parameter") => {
                self.push(Node::Call(function, arguments))
            }
            _ => Err(Error::Unsupported {
                what: format!("a call of {module}.{name}"),
            }),
        }
    }
}

fn long(bytes: &[u8]) -> Node<'_> {
    if bytes.len() > 8 {
        return Node::Long(bytes);
    }
    let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
    let mut wide = if negative { [0xff; 8] } else { [0; 8] };
    wide[..bytes.len()].copy_from_slice(bytes);
    Node::Int(i64::from_le_bytes(wide))
}

fn broken(at: usize, what: &str) -> Error {
    invalid(format!("the pickle at byte {at} has {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Pickle<'_>, Error> {
        Pickle::read(&mut Bytes::new(bytes))
    }

    #[test]
    fn reads_what_cpython_writes() {
        // pickle.dumps({"a": [1, -2, 70000], "b": (True, None)}, protocol=2) of CPython 3.11.
        let bytes = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01J\xfe\xff\xff\xffJp\x11\x01\x00eX\x01\x00\x00\x00bq\x03\x88N\x86q\x04u.";
        let pickle = read(bytes).unwrap();
        let Node::Dict(pairs) = pickle.root() else {
            panic!("{:?}", pickle.root())
        };
        let keys: Vec<_> = pairs.iter().map(|(k, _)| pickle.get(*k)).collect();
        assert!(
            matches!(keys[..], [Node::Text("a"), Node::Text("b")]),
            "{keys:?}"
        );
        let Node::List(items) = pickle.get(pairs[0].1) else {
            panic!()
        };
        let items: Vec<_> = items.iter().map(|i| pickle.get(*i)).collect();
        assert!(
            matches!(items[..], [Node::Int(1), Node::Int(-2), Node::Int(70000)]),
            "{items:?}"
        );
        let Node::Tuple(items) = pickle.get(pairs[1].1) else {
            panic!()
        };
        assert!(matches!(pickle.get(items[0]), Node::Bool(true)));
        assert!(matches!(pickle.get(items[1]), Node::None));
    }

    #[test]
    fn programs_are_refused() {
        // pickle.dumps of an object whose __reduce__ is (os.system, ("id",)).
        let error = read(b"\x80\x02cposix\nsystem\nq\x00X\x02\x00\x00\x00idq\x01\x85q\x02Rq\x03.")
            .unwrap_err();
        assert_eq!(error.to_string(), "a call of posix.system is not supported");
    }

    #[test]
    fn objects_keep_their_class_and_attributes() {
        // pickle.dumps(Thing(), protocol=3) of CPython 3.11 with the attributes a = 1 and d = defaultdict(int, b=2).
        let bytes = b"\x80\x03c__main__\nThing\nq\x00)\x81q\x01}q\x02(X\x01\x00\x00\x00aq\x03K\x01X\x01\x00\x00\x00dq\x04ccollections\ndefaultdict\nq\x05cbuiltins\nint\nq\x06\x85q\x07Rq\x08X\x01\x00\x00\x00bq\tK\x02sub.";
        let pickle = read(bytes).unwrap();
        let Node::Object(class, Some(attributes)) = *pickle.root() else {
            panic!("{:?}", pickle.root())
        };
        assert!(matches!(
            pickle.get(class),
            Node::Global("__main__", "Thing")
        ));
        let Node::Dict(pairs) = pickle.get(attributes) else {
            panic!("{:?}", pickle.get(attributes))
        };
        assert!(matches!(pickle.get(pairs[0].1), Node::Int(1)));
        let Node::Dict(inner) = pickle.get(pairs[1].1) else {
            panic!("{:?}", pickle.get(pairs[1].1))
        };
        assert!(matches!(pickle.get(inner[0].1), Node::Int(2)));
    }

    #[test]
    fn deep_nesting_and_cycles_are_harmless() {
        let mut deep = b"\x80\x02)".to_vec();
        deep.extend(std::iter::repeat_n(0x85, 500_000));
        deep.push(b'.');
        assert!(read(&deep).is_ok());
        // A list that holds itself.
        assert!(read(b"\x80\x02]q\x00h\x00a.").is_ok());
        let mut many = b"\x80\x02".to_vec();
        many.extend(std::iter::repeat_n(b')', NODES + 1));
        assert!(matches!(read(&many), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn items_below_a_mark_cannot_be_taken() {
        assert!(read(b"\x80\x02K\x01(R.").is_err());
        assert!(read(b"\x80\x02K\x01(\x85.").is_err());
        assert!(read(b"\x80\x02}K\x01K\x02(s.").is_err());
        assert!(read(b"t.").is_err());
    }
}
