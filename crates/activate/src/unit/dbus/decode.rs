//! Decoding messages. Any input results in a message or in [`Malformed`].

/// The bytes are not a valid message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::unit) struct Malformed;

/// The length of the fixed part of a header, in bytes.
pub(super) const FIXED_LENGTH: usize = 16;

/// The largest message that the specification allows, in bytes.
const MAX_LENGTH: u32 = 128 << 20;

/// A received message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::unit) struct Message {
    pub(super) kind: Kind,
    /// The serial number of the call that the message replies to.
    pub(super) reply_serial: Option<u32>,
    pub(in crate::unit) path: String,
    pub(in crate::unit) interface: String,
    pub(in crate::unit) member: String,
    pub(in crate::unit) sender: String,
    pub(super) error: String,
    signature: String,
    body: Vec<u8>,
    little: bool,
}

/// The type of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Reply,
    Error,
    Signal,
    /// A call, or a type of a later specification.
    Other,
}

/// Returns the number of bytes after the fixed part.
pub(super) fn remaining_length(fixed: &[u8; FIXED_LENGTH]) -> Result<usize, Malformed> {
    let mut reader = Reader::new(fixed, fixed.first() != Some(&b'B'));
    if !matches!(fixed.first(), Some(b'l' | b'B')) {
        return Err(Malformed);
    }
    reader.bytes(4)?;
    let body = reader.u32()?;
    reader.u32()?;
    let fields = reader.u32()?;
    if body > MAX_LENGTH || fields > MAX_LENGTH {
        return Err(Malformed);
    }
    let (body, fields) = (usize::try_from(body), usize::try_from(fields));
    Ok(fields.map_err(|_| Malformed)?.next_multiple_of(8) + body.map_err(|_| Malformed)?)
}

impl Message {
    /// Parses a message. `rest` is the part after the fixed part.
    pub(super) fn parse(fixed: [u8; FIXED_LENGTH], rest: &[u8]) -> Result<Self, Malformed> {
        let little = fixed.first() == Some(&b'l');
        let mut head = Reader::new(&fixed, little);
        let kind = match head.bytes(4)?.get(1) {
            Some(2) => Kind::Reply,
            Some(3) => Kind::Error,
            Some(4) => Kind::Signal,
            _ => Kind::Other,
        };
        let body = usize::try_from(head.u32()?).map_err(|_| Malformed)?;
        head.u32()?;
        let fields = usize::try_from(head.u32()?).map_err(|_| Malformed)?;
        let mut message = Self {
            kind,
            reply_serial: None,
            path: String::new(),
            interface: String::new(),
            member: String::new(),
            sender: String::new(),
            error: String::new(),
            signature: String::new(),
            body: rest.get(rest.len().checked_sub(body).ok_or(Malformed)?..).ok_or(Malformed)?.to_vec(),
            little,
        };
        // The length of the fixed part is a multiple of 8, so the alignment of the rest can be computed without it.
        let mut reader = Reader::new(rest.get(..fields).ok_or(Malformed)?, little);
        while !reader.is_empty() {
            reader.align(8)?;
            let code = reader.byte()?;
            match (code, reader.variant()?) {
                (1, Value::Text(path)) => message.path = path,
                (2, Value::Text(interface)) => message.interface = interface,
                (3, Value::Text(member)) => message.member = member,
                (4, Value::Text(error)) => message.error = error,
                (5, Value::Number(serial)) => message.reply_serial = u32::try_from(serial).ok(),
                (7, Value::Text(sender)) => message.sender = sender,
                (8, Value::Text(signature)) => message.signature = signature,
                _ => {}
            }
        }
        Ok(message)
    }

    /// Returns the body, if it has this signature.
    pub(in crate::unit) fn body(&self, signature: &str) -> Result<Reader<'_>, Malformed> {
        if self.signature == signature { Ok(Reader::new(&self.body, self.little)) } else { Err(Malformed) }
    }

    /// Returns the first value of the body, if it is a string.
    pub(in crate::unit) fn first_text(&self) -> Option<String> {
        let text = self.signature.starts_with('s');
        text.then(|| Reader::new(&self.body, self.little).text().ok()).flatten()
    }
}

/// The value of a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::unit) enum Value {
    /// `s`, `o`, `g`
    Text(String),
    /// `y`, `b`, `i`, `u`
    Number(i64),
    /// `(ss)`
    Pair(String, String),
    /// `as`
    Texts(Vec<String>),
}

/// Reads values from bytes.
#[derive(Debug)]
pub(in crate::unit) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    little: bool,
}

impl<'a> Reader<'a> {
    fn new(all: &'a [u8], little: bool) -> Self {
        Self { bytes: all, position: 0, little }
    }

    fn is_empty(&self) -> bool {
        self.position >= self.bytes.len()
    }

    pub(in crate::unit) fn u32(&mut self) -> Result<u32, Malformed> {
        self.align(4)?;
        let bytes = self.bytes(4)?.try_into().map_err(|_| Malformed)?;
        Ok(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    /// Reads a string or an object path.
    pub(in crate::unit) fn text(&mut self) -> Result<String, Malformed> {
        let length = usize::try_from(self.u32()?).map_err(|_| Malformed)?;
        self.terminated(length)
    }

    pub(in crate::unit) fn variant(&mut self) -> Result<Value, Malformed> {
        let length = self.byte()?;
        let signature = self.terminated(length.into())?;
        Ok(match signature.as_str() {
            "s" | "o" => Value::Text(self.text()?),
            "g" => {
                let length = self.byte()?;
                Value::Text(self.terminated(length.into())?)
            }
            "y" => Value::Number(self.byte()?.into()),
            "b" | "u" => Value::Number(self.u32()?.into()),
            "i" => Value::Number(signed(self.u32()?).into()),
            "(ss)" => {
                self.align(8)?;
                Value::Pair(self.text()?, self.text()?)
            }
            "as" => Value::Texts(self.texts()?),
            _ => return Err(Malformed),
        })
    }

    fn texts(&mut self) -> Result<Vec<String>, Malformed> {
        let length = usize::try_from(self.u32()?).map_err(|_| Malformed)?;
        let end = self.position.checked_add(length).ok_or(Malformed)?;
        let mut texts = Vec::new();
        while self.position < end {
            texts.push(self.text()?);
        }
        if self.position == end { Ok(texts) } else { Err(Malformed) }
    }

    /// Enters an array of structures. Returns the position of its end.
    pub(in crate::unit) fn structures(&mut self) -> Result<usize, Malformed> {
        let length = usize::try_from(self.u32()?).map_err(|_| Malformed)?;
        self.align(8)?;
        self.position.checked_add(length).filter(|end| *end <= self.bytes.len()).ok_or(Malformed)
    }

    /// Advances to the next structure. Returns false if there is none before `end`.
    pub(in crate::unit) fn structure(&mut self, end: usize) -> Result<bool, Malformed> {
        if self.position >= end {
            return Ok(false);
        }
        self.align(8)?;
        Ok(true)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.bytes(1)?.first().copied().ok_or(Malformed)
    }

    fn terminated(&mut self, length: usize) -> Result<String, Malformed> {
        let text = self.bytes(length)?;
        self.bytes(1)?;
        String::from_utf8(text.to_vec()).map_err(|_| Malformed)
    }

    fn align(&mut self, to: usize) -> Result<(), Malformed> {
        self.bytes(self.position.next_multiple_of(to) - self.position).map(drop)
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let end = self.position.checked_add(count).ok_or(Malformed)?;
        let bytes = self.bytes.get(self.position..end).ok_or(Malformed)?;
        self.position = end;
        Ok(bytes)
    }
}

fn signed(number: u32) -> i32 {
    i32::from_ne_bytes(number.to_ne_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::encode::{Arg, Call, call};
    use super::*;

    fn parsed(bytes: &[u8]) -> Result<Message, Malformed> {
        let (fixed, after) = bytes.split_first_chunk().ok_or(Malformed)?;
        let length = remaining_length(fixed)?;
        Message::parse(*fixed, after.get(..length).ok_or(Malformed)?)
    }

    fn example() -> Vec<u8> {
        let to = Call { destination: Some("a.b"), path: "/a/b", interface: "a.b.C", member: "Do" };
        call(7, to, &[Arg::Text("one"), Arg::Texts(&["two", "", "three"]), Arg::Number(-4), Arg::Text("end")])
    }

    #[test]
    fn encoded_messages_can_be_decoded() {
        let message = parsed(&example()).unwrap();
        assert_eq!((message.path.as_str(), message.interface.as_str()), ("/a/b", "a.b.C"));
        assert_eq!((message.member.as_str(), message.kind), ("Do", Kind::Other));
        let mut body = message.body("sasis").unwrap();
        assert_eq!(body.text().unwrap(), "one");
        body.u32().unwrap();
        let texts: Vec<_> = (0..3).map(|_| body.text().unwrap()).collect();
        assert_eq!(texts, ["two", "", "three"]);
        assert_eq!(signed(body.u32().unwrap()), -4);
        assert_eq!(body.text().unwrap(), "end");
        assert!(body.is_empty() && message.body("s").is_err());
    }

    #[test]
    fn damaged_messages_do_not_panic() {
        let whole = example();
        for length in 0..whole.len() {
            assert_eq!(parsed(&whole[..length]), Err(Malformed), "{length} bytes");
        }
        // Each byte takes every value. The result may be a message, and reading it must end.
        for at in 0..whole.len() {
            for value in 0..=u8::MAX {
                let mut bytes = whole.clone();
                bytes[at] = value;
                if let Ok(message) = parsed(&bytes) {
                    let mut body = Reader::new(&message.body, message.little);
                    let _ = (body.text(), body.structures(), body.variant(), message.first_text());
                }
            }
        }
    }
}
