#!/usr/bin/env python3
"""Writes src/wire/messages/*.rs from messages.json. With `--check` it only compares and fails on a difference."""

import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE.parent / "src" / "wire" / "messages"
HEAD = "// Written by protocol/generate.py from protocol/messages.json.\n\n"
PLAIN = {"bool": "bool", "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64", "uuid": "Uuid"}
KEYWORDS = {"type", "match", "move", "ref", "use", "where", "final"}


def snake(name):
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    return f"r#{name}" if name in KEYWORDS else name


class Range:
    """A range of versions: `3-9`, `4+`, `7` or `none`."""

    def __init__(self, text):
        if text == "none":
            self.low, self.high = 1, 0
        elif text.endswith("+"):
            self.low, self.high = int(text[:-1]), 32767
        else:
            low, _, high = text.partition("-")
            self.low, self.high = int(low), int(high or low)

    def within(self, other):
        return Range.of(max(self.low, other.low), min(self.high, other.high))

    @staticmethod
    def of(low, high):
        made = Range("0+")
        made.low, made.high = low, high
        return made

    def empty(self):
        return self.low > self.high

    def test(self, valid):
        """A condition on `version`, which is within `valid`."""
        if self.within(valid).empty():
            return "false"
        low, high = self.low > valid.low, self.high < valid.high
        if low and high:
            return f"version == {self.low}" if self.low == self.high else f"({self.low}..={self.high}).contains(&version)"
        if low:
            return f"version >= {self.low}"
        return f"version <= {self.high}" if high else "true"


class Field:
    def __init__(self, facts, valid):
        self.facts, self.valid = facts, valid
        self.name, self.kafka, self.type = snake(facts["name"]), facts["name"], facts["type"]
        self.versions = Range(facts["versions"])
        self.nullable = Range(facts.get("nullable", "none")).within(valid)
        self.tagged = Range(facts.get("tagged", "none")).within(valid)
        self.fields = facts.get("fields")
        self.array = self.type.startswith("[]")
        self.element = self.type.removeprefix("[]")
        assert "flexible" not in facts and (self.tagged.empty() or self.tagged.low == self.versions.low)

    def rust(self, types):
        if self.element in PLAIN:
            kind = PLAIN[self.element]
        elif self.element == "string":
            kind = "String"
        elif self.element in ("bytes", "records"):
            kind = "Bytes"
        else:
            kind = types[self.element]
        if self.array:
            kind = f"Vec<{kind}>"
        return kind if self.nullable.empty() else f"Option<{kind}>"

    def default(self):
        """The value of a field that a version does not have, as an expression."""
        given = self.facts.get("default")
        option = not self.nullable.empty()
        if option:
            if given == "null" or self.element == "records":
                return "None"
            assert given is None, self.facts
            return "Some(Default::default())"
        if given is None or given == "":
            return "Default::default()"
        assert self.element in PLAIN and not self.array, self.facts
        if self.element == "bool":
            return str(given).lower()
        value = int(str(given), 0)
        named = {2**63 - 1: "i64::MAX", 2**31 - 1: "i32::MAX", -(2**31): "i32::MIN"}
        return named.get(value, str(value))

    def plain_default(self):
        return self.default() in ("Default::default()", "None", "false", "0")

    def read(self, flexible):
        """An expression that reads the value from `r`."""
        null = self.nullable.test(self.valid)
        option = not self.nullable.empty()
        if self.array:
            if self.element in PLAIN:
                one = f"Reader::{self.element}"
            elif self.element == "string":
                one = f"|r| r.string({flexible})"
            else:
                one = f"|r| {self.struct}::read(version, r)"
            return f"r.nullable_array({flexible}, {null}, {one})?" if option else f"r.array({flexible}, {one})?"
        if self.element in PLAIN:
            return f"r.{self.element}()?"
        if self.element in ("string", "bytes", "records"):
            kind = "string" if self.element == "string" else "bytes"
            return f"r.nullable_{kind}({flexible}, {null})?" if option else f"r.{kind}({flexible})?"
        assert not option, self.facts
        return f"{self.struct}::read(version, r)?"

    def write(self, flexible):
        """An expression of `Result<()>` or, with a semicolon, a statement that writes the value to `w`."""
        null = self.nullable.test(self.valid)
        option = not self.nullable.empty()
        value = f"self.{self.name}"
        if self.array:
            if self.element in PLAIN:
                one = f"|w, one| {{ w.{self.element}(*one); Ok(()) }}"
            elif self.element == "string":
                one = f"|w, one| w.string({flexible}, one)"
            else:
                one = "|w, one| one.write(version, w)"
            if option:
                return f"w.nullable_array({flexible}, {null}, {value}.as_deref(), {one})?;"
            return f"w.array({flexible}, &{value}, {one})?;"
        if self.element in PLAIN:
            return f"w.{self.element}({value});"
        if self.element == "string":
            if option:
                return f"w.nullable_string({flexible}, {null}, {value}.as_deref())?;"
            return f"w.string({flexible}, &{value})?;"
        if self.element in ("bytes", "records"):
            if option:
                return f"w.nullable_bytes({flexible}, {null}, {value}.as_ref())?;"
            return f"w.bytes({flexible}, &{value})?;"
        return f"{value}.write(version, w)?;"

    def differs(self):
        """A condition: the value is not the default."""
        value, default = f"self.{self.name}", self.default()
        if default == "None":
            return f"{value}.is_some()"
        if self.array or self.element == "string":
            assert self.nullable.empty()
            return f"!{value}.is_empty()"
        if self.element == "bool":
            return f"!{value}" if default == "true" else value
        if default == "Default::default()":
            default = {"uuid": "Uuid::nil()"}.get(self.element, "0" if self.element in PLAIN else f"{self.struct}::default()")
        return f"{value} != {default}"


def struct(name, doc, fields, facts, types):
    """A struct with its default, reader and writer."""
    valid, flexible_range = Range(facts["versions"]), Range(facts["flexible"])
    flexible = flexible_range.test(valid)
    fields = [Field(one, valid) for one in fields]
    # What only versions had that nobody speaks any more is left out.
    fields = [one for one in fields if not one.versions.within(valid).empty()]
    for one in fields:
        one.struct = types.get(one.element, "")
    out = [f"/// {doc}"]
    derived = all(one.plain_default() for one in fields)
    out.append("#[derive(Debug, Clone, PartialEq" + (", Default)]" if derived else ")]"))
    out.append(f"pub struct {name} {{")
    for one in fields:
        facts_of = [f"Versions {one.facts['versions']}" if one.versions.test(valid) != "true" else "All versions"]
        if not one.nullable.empty():
            facts_of.append("null " + ("everywhere" if one.nullable.test(valid) == "true" else f"in {one.facts['nullable']}"))
        if not one.tagged.empty():
            facts_of.append(f"tag {one.facts['tag']}")
        out.append(f"    /// `{one.kafka}`. {', '.join(facts_of)}.")
        out.append(f"    pub {one.name}: {one.rust(types)},")
    out.append("}\n")
    if not derived:
        out += [f"impl Default for {name} {{", "    fn default() -> Self {", "        Self {"]
        out += [f"            {one.name}: {one.default()}," for one in fields]
        out += ["        }", "    }", "}\n"]

    untagged = [one for one in fields if one.tagged.empty()]
    tagged = sorted((one for one in fields if not one.tagged.empty()), key=lambda one: one.facts["tag"])
    uses_flexible = any("flexible" in one.read("flexible") for one in fields)
    mixed = flexible not in ("true", "false")
    word = "flexible" if mixed else flexible

    body = []
    for one in untagged:
        line, test = f"out.{one.name} = {one.read(word)};", one.versions.test(valid)
        body.append(f"        {line}" if test == "true" else f"        if {test} {{ {line} }}")
    tags = []
    if flexible != "false":
        pad = "            " if mixed else "        "
        if tagged:
            tags.append(f"{pad}r.tags(|tag, r| {{")
            tags.append(f"{pad}    match tag {{")
            for one in tagged:
                test = one.tagged.test(flexible_range.within(valid))
                guard = "" if test == "true" else f" if {test}"
                tags.append(f"{pad}        {one.facts['tag']}{guard} => out.{one.name} = {one.read('true')},")
            tags += [f"{pad}        _ => return Ok(false),", f"{pad}    }}", f"{pad}    Ok(true)", f"{pad}}})?;"]
        else:
            tags.append(f"{pad}r.tags(|_, _| Ok(false))?;")
        if mixed:
            tags = ["        if flexible {", *tags, "        }"]
    text = "\n".join(body + tags)
    version = "version" if re.search(r"\bversion\b", text) or mixed else "_version"
    out += [f"impl {name} {{", "    /// Reads it as `version` has it."]
    out += ["    ///", "    /// # Errors", "    /// When the bytes are not such a value."]
    out.append(f"    pub fn read({version}: i16, r: &mut Reader) -> Result<Self> {{")
    if mixed:
        out.append(f"        let flexible = {flexible};")
    out += ["        let mut out = Self::default();", text, "        Ok(out)", "    }\n"]

    body = []
    for one in untagged:
        line, test = one.write(word), one.versions.test(valid)
        body.append(f"        {line}" if test == "true" else f"        if {test} {{ {line} }}")
    if flexible != "false":
        pad = "            " if mixed else "        "
        tags = []
        if tagged:
            tags.append(f"{pad}let mut tags = Tags::default();")
            for one in tagged:
                test = one.tagged.test(flexible_range.within(valid))
                guard = one.differs() if test == "true" else f"{test} && {one.differs()}"
                tags.append(f"{pad}if {guard} {{ tags.push({one.facts['tag']}, |w| {{ {one.write('true')} Ok(()) }})?; }}")
            tags.append(f"{pad}w.tags(tags)?;")
        else:
            tags.append(f"{pad}w.tags(Tags::default())?;")
        body += ["        if flexible {", *tags, "        }"] if mixed else tags
    text = "\n".join(body)
    version = "version" if re.search(r"\bversion\b", text) or mixed else "_version"
    out += ["    /// Writes what `version` has of it; other fields are left out.", "    ///", "    /// # Errors"]
    out.append("    /// When a value is null that may not be, or too long.")
    out.append(f"    pub fn write(&self, {version}: i16, w: &mut Writer) -> Result<()> {{")
    if mixed:
        out.append(f"        let flexible = {flexible};")
    out += [text, "        Ok(())", "    }", "}\n"]
    return "\n".join(out)


def nested(fields):
    """All structs inside of fields, inner ones after outer ones."""
    for one in fields:
        if "fields" in one:
            yield one["type"].removeprefix("[]"), one["fields"], one["versions"]
            yield from nested(one["fields"])


def file_of(facts_list, api):
    """The source of a module: a request and a response, or one format."""
    out, taken = [], {}
    for facts in facts_list:
        kind = facts["name"].removeprefix(api) if "key" in facts else facts["name"]
        structs = list(nested(facts["fields"])) + [
            (one["name"], one["fields"], "0+") for one in facts.get("structs", [])
        ]
        valid = Range(facts["versions"])
        structs = [one for one in structs if not Range(one[2]).within(valid).empty()]
        # A name that both messages use belongs to different structs.
        types = {name: (kind + name if name in taken or name == api else name) for name, _, _ in structs}
        taken.update(types)
        key = f"`{facts['name']}`, " + (f"API {facts['key']}, " if "key" in facts else "")
        if "key" not in facts:
            key = f"`{facts['name']}`, "
        out.append(struct(kind, f"{key}versions {facts['versions']}, flexible {facts['flexible']}.", facts["fields"], facts, types))
        for name, fields, _ in structs:
            out.append(struct(types[name], f"`{name}` in `{facts['name']}`.", fields, facts, types))
        if "key" in facts:
            low, high = valid.low, valid.high
            flexible = Range(facts["flexible"])
            first = "None" if flexible.empty() else f"Some({flexible.low})"
            out.append(
                f"impl Message for {kind} {{\n    const KEY: i16 = {facts['key']};\n"
                f"    const VERSIONS: RangeInclusive<i16> = {low}..={high};\n"
                f"    const FLEXIBLE: Option<i16> = {first};\n\n"
                "    fn read(version: i16, r: &mut Reader) -> Result<Self> {\n        Self::read(version, r)\n    }\n\n"
                "    fn write(&self, version: i16, w: &mut Writer) -> Result<()> {\n        self.write(version, w)\n    }\n}\n"
            )
    text = "\n".join(out)
    names = [name for name in ("Message", "Reader", "Result", "Tags", "Writer") if re.search(rf"\b{name}\b", text)]
    head = HEAD + "use crate::wire::{" + ", ".join(names) + "};\n"
    if re.search(r"\bBytes\b", text):
        head += "use bytes::Bytes;\n"
    if "RangeInclusive" in text:
        head += "use std::ops::RangeInclusive;\n"
    if re.search(r"\bUuid\b", text):
        head += "use uuid::Uuid;\n"
    return head + "\n" + text


def main():
    messages = json.loads((HERE / "messages.json").read_text())
    files, modules, recoded = {}, [], []
    apis = {}
    for facts in messages:
        apis.setdefault(re.sub("(Request|Response)$", "", facts["name"]), []).append(facts)
    for api, facts_list in apis.items():
        module = snake(api)
        files[f"{module}.rs"] = file_of(facts_list, api)
        modules.append((module, api, facts_list[0].get("key")))
        for facts in facts_list:
            kind = facts["name"].removeprefix(api) if "key" in facts else facts["name"]
            recoded.append((facts["name"], f"{module}::{kind}", Range(facts["versions"])))
    text = HEAD.replace("\n\n", "\n") + "\n"
    text += "//! The messages, one module an API: structs with the protocol's field names, read and written by version.\n\n"
    for module, api, key in sorted(modules):
        text += f"/// {api}" + (f", API {key}.\n" if key is not None else ".\n") + f"pub mod {module};\n"
    text += "\nuse super::{Reader, Result, Writer};\nuse std::ops::RangeInclusive;\n\n"
    text += "/// An API of the protocol that has messages here.\n#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]\npub enum Api {\n"
    numbered = [(key, api) for _, api, key in modules if key is not None]
    text += "".join(f"    /// Key {key}.\n    {api} = {key},\n" for key, api in sorted(numbered))
    text += "}\n\nimpl Api {\n    /// All, by key.\n    pub const ALL: [Self; %d] = [\n" % len(numbered)
    text += "".join(f"        Self::{api},\n" for _, api in sorted(numbered))
    text += "    ];\n\n    /// The API of a key.\n    pub fn of(key: i16) -> Option<Self> {\n        Some(match key {\n"
    text += "".join(f"            {key} => Self::{api},\n" for key, api in sorted(numbered))
    text += "            _ => return None,\n        })\n    }\n\n    /// The first version whose headers and lengths are of the flexible kind.\n"
    text += "    pub fn flexible(self) -> Option<i16> {\n        match self {\n"
    for key, api in sorted(numbered):
        first = Range(apis[api][0]["flexible"])
        text += f"            Self::{api} => {'None' if first.empty() else f'Some({first.low})'},\n"
    text += "        }\n    }\n\n    /// The versions whose messages are here.\n    pub fn versions(self) -> RangeInclusive<i16> {\n        match self {\n"
    for key, api in sorted(numbered):
        valid = Range(apis[api][0]["versions"])
        text += f"            Self::{api} => {valid.low}..={valid.high},\n"
    text += "        }\n    }\n}\n\n"
    text += (
        "/// Reads a message by its name, such as `FetchRequest`, to its end and writes it again: what properties\n"
        "/// and fuzzers hold on to. `None` where there is no such message in that version.\n"
        "///\n/// # Errors\n/// When the bytes are not such a message.\n"
        "pub fn recode(name: &str, version: i16, mut r: Reader) -> Option<Result<Writer>> {\n"
        "    macro_rules! recode {\n        ($message:ty) => {{\n"
        "            let read = <$message>::read(version, &mut r).and_then(|message| r.end().map(|()| message));\n"
        "            read.and_then(|message| {\n                let mut w = Writer::new();\n"
        "                message.write(version, &mut w)?;\n                Ok(w)\n            })\n        }};\n    }\n"
        "    Some(match (name, version) {\n"
    )
    for name, path, valid in recoded:
        text += f"        (\"{name}\", {valid.low}..={valid.high}) => recode!({path}),\n"
    text += "        _ => return None,\n    })\n}\n"
    files["mod.rs"] = text
    if sys.argv[1:] == ["--check"]:
        there = {path.name: path.read_text() for path in OUT.glob("*.rs")}
        wrong = sorted(name for name in files.keys() | there.keys() if files.get(name) != there.get(name))
        if wrong:
            sys.exit("not what protocol/generate.py writes: " + ", ".join(wrong))
        return
    OUT.mkdir(exist_ok=True)
    for path in OUT.glob("*.rs"):
        path.unlink()
    for name, text in files.items():
        (OUT / name).write_text(text)


main()
