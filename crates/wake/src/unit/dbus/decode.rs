//! Bytes as messages: whatever they are, reading them ends in a message or in [`Broken`].

/// These bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::unit) struct Broken;

/// The part that every message begins with.
pub(super) const FIXED: usize = 16;

/// More than the specification allows in one message.
const HUGE: u32 = 128 << 20;

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::unit) struct Message {
    pub(super) kind: Kind,
    /// The call that it answers.
    pub(super) answers: Option<u32>,
    pub(in crate::unit) path: String,
    pub(in crate::unit) interface: String,
    pub(in crate::unit) member: String,
    pub(in crate::unit) sender: String,
    pub(super) error: String,
    signature: String,
    body: Vec<u8>,
    little: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Answer,
    Error,
    Signal,
    /// A call to us, or something that a later specification knows.
    Other,
}

/// How many bytes follow after the fixed part.
pub(super) fn rest(fixed: &[u8; FIXED]) -> Result<usize, Broken> {
    let mut reader = Reader::new(fixed, fixed.first() != Some(&b'B'));
    if !matches!(fixed.first(), Some(b'l' | b'B')) {
        return Err(Broken);
    }
    reader.bytes(4)?;
    let body = reader.u32()?;
    reader.u32()?;
    let fields = reader.u32()?;
    if body > HUGE || fields > HUGE {
        return Err(Broken);
    }
    let (body, fields) = (usize::try_from(body), usize::try_from(fields));
    Ok(fields.map_err(|_| Broken)?.next_multiple_of(8) + body.map_err(|_| Broken)?)
}

impl Message {
    /// `rest` is what follows after the fixed part.
    pub(super) fn parse(fixed: [u8; FIXED], rest: &[u8]) -> Result<Self, Broken> {
        let little = fixed.first() == Some(&b'l');
        let mut head = Reader::new(&fixed, little);
        let kind = match head.bytes(4)?.get(1) {
            Some(2) => Kind::Answer,
            Some(3) => Kind::Error,
            Some(4) => Kind::Signal,
            _ => Kind::Other,
        };
        let body = usize::try_from(head.u32()?).map_err(|_| Broken)?;
        head.u32()?;
        let fields = usize::try_from(head.u32()?).map_err(|_| Broken)?;
        let mut message = Self {
            kind,
            answers: None,
            path: String::new(),
            interface: String::new(),
            member: String::new(),
            sender: String::new(),
            error: String::new(),
            signature: String::new(),
            body: rest.get(rest.len().checked_sub(body).ok_or(Broken)?..).ok_or(Broken)?.to_vec(),
            little,
        };
        // The fixed part is a multiple of 8 long, so that what follows is aligned by itself.
        let mut reader = Reader::new(rest.get(..fields).ok_or(Broken)?, little);
        while !reader.is_empty() {
            reader.align(8)?;
            let code = reader.byte()?;
            match (code, reader.variant()?) {
                (1, Value::Text(path)) => message.path = path,
                (2, Value::Text(interface)) => message.interface = interface,
                (3, Value::Text(member)) => message.member = member,
                (4, Value::Text(error)) => message.error = error,
                (5, Value::Number(serial)) => message.answers = u32::try_from(serial).ok(),
                (7, Value::Text(sender)) => message.sender = sender,
                (8, Value::Text(signature)) => message.signature = signature,
                _ => {}
            }
        }
        Ok(message)
    }

    /// Its content, if it is of this type.
    pub(in crate::unit) fn body(&self, signature: &str) -> Result<Reader<'_>, Broken> {
        if self.signature == signature { Ok(Reader::new(&self.body, self.little)) } else { Err(Broken) }
    }

    /// Its first content, if that is a text.
    pub(in crate::unit) fn first_text(&self) -> Option<String> {
        let text = self.signature.starts_with('s');
        text.then(|| Reader::new(&self.body, self.little).text().ok()).flatten()
    }
}

/// A value whose type comes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::unit) enum Value {
    /// `s`, `o`, `g`
    Text(String),
    /// `y`, `b`, `i`, `u`
    Number(i64),
    /// `(ss)`
    Pair(String, String),
}

/// Takes values from bytes, one after the other.
#[derive(Debug)]
pub(in crate::unit) struct Reader<'a> {
    all: &'a [u8],
    at: usize,
    little: bool,
}

impl<'a> Reader<'a> {
    fn new(all: &'a [u8], little: bool) -> Self {
        Self { all, at: 0, little }
    }

    fn is_empty(&self) -> bool {
        self.at >= self.all.len()
    }

    pub(in crate::unit) fn u32(&mut self) -> Result<u32, Broken> {
        self.align(4)?;
        let bytes = self.bytes(4)?.try_into().map_err(|_| Broken)?;
        Ok(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    /// A text or a path.
    pub(in crate::unit) fn text(&mut self) -> Result<String, Broken> {
        let length = usize::try_from(self.u32()?).map_err(|_| Broken)?;
        self.terminated(length)
    }

    pub(in crate::unit) fn variant(&mut self) -> Result<Value, Broken> {
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
            _ => return Err(Broken),
        })
    }

    /// Goes into an array of structures, and tells where it ends.
    pub(in crate::unit) fn structures(&mut self) -> Result<usize, Broken> {
        let length = usize::try_from(self.u32()?).map_err(|_| Broken)?;
        self.align(8)?;
        self.at.checked_add(length).filter(|end| *end <= self.all.len()).ok_or(Broken)
    }

    /// Goes to the next structure, if there is one before `end`.
    pub(in crate::unit) fn structure(&mut self, end: usize) -> Result<bool, Broken> {
        if self.at >= end {
            return Ok(false);
        }
        self.align(8)?;
        Ok(true)
    }

    fn byte(&mut self) -> Result<u8, Broken> {
        self.bytes(1)?.first().copied().ok_or(Broken)
    }

    fn terminated(&mut self, length: usize) -> Result<String, Broken> {
        let text = self.bytes(length)?;
        self.bytes(1)?;
        String::from_utf8(text.to_vec()).map_err(|_| Broken)
    }

    fn align(&mut self, to: usize) -> Result<(), Broken> {
        self.bytes(self.at.next_multiple_of(to) - self.at).map(drop)
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Broken> {
        let end = self.at.checked_add(count).ok_or(Broken)?;
        let bytes = self.all.get(self.at..end).ok_or(Broken)?;
        self.at = end;
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

    fn parsed(bytes: &[u8]) -> Result<Message, Broken> {
        let (fixed, after) = bytes.split_first_chunk().ok_or(Broken)?;
        let length = rest(fixed)?;
        Message::parse(*fixed, after.get(..length).ok_or(Broken)?)
    }

    fn example() -> Vec<u8> {
        let to = Call { destination: Some("a.b"), path: "/a/b", interface: "a.b.C", member: "Do" };
        call(7, to, &[Arg::Text("one"), Arg::Texts(&["two", "", "three"]), Arg::Number(-4), Arg::Text("end")])
    }

    #[test]
    fn what_is_written_can_be_read() {
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
    fn damaged_messages_are_broken_and_nothing_else() {
        let whole = example();
        for length in 0..whole.len() {
            assert_eq!(parsed(&whole[..length]), Err(Broken), "{length} bytes");
        }
        // Each byte takes every value: it may still be a message, but reading it must end.
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
