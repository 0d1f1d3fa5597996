//! Encoding calls, as in "Message Protocol" of the D-Bus specification.

/// An argument of a call.
#[derive(Debug, Clone, Copy)]
pub(in crate::unit) enum Arg<'a> {
    /// `s`
    Text(&'a str),
    /// `as`
    Texts(&'a [&'a str]),
    /// `i`
    Number(i32),
}

/// The target of a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) destination: Option<&'a str>,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
}

const METHOD_CALL: u8 = 1;
/// No flags: polkit must not ask for a password, because no user may be present.
const NO_FLAGS: u8 = 0;
const VERSION: u8 = 1;

/// Encodes a call.
pub(super) fn call(serial: u32, to: Call<'_>, args: &[Arg<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut signature = String::new();
    for arg in args {
        match arg {
            Arg::Text(text) => {
                signature.push('s');
                put_text(&mut body, text);
            }
            Arg::Number(number) => {
                signature.push('i');
                align(&mut body, 4);
                body.extend_from_slice(&number.to_le_bytes());
            }
            Arg::Texts(texts) => {
                signature.push_str("as");
                let mut list = Vec::new();
                // Strings and the length of the list are aligned to 4, so the list can be encoded separately.
                for text in *texts {
                    put_text(&mut list, text);
                }
                put_u32(&mut body, length(&list));
                body.extend_from_slice(&list);
            }
        }
    }

    let mut fields = Vec::new();
    let texts = [
        (1, 'o', Some(to.path)),
        (2, 's', Some(to.interface)),
        (3, 's', Some(to.member)),
        (6, 's', to.destination),
    ];
    for (code, kind, value) in texts {
        if let Some(value) = value {
            put_field(&mut fields, code, kind);
            put_text(&mut fields, value);
        }
    }
    if !signature.is_empty() {
        put_field(&mut fields, 8, 'g');
        fields.push(u8::try_from(signature.len()).unwrap_or(u8::MAX));
        fields.extend_from_slice(signature.as_bytes());
        fields.push(0);
    }

    let mut message = vec![b'l', METHOD_CALL, NO_FLAGS, VERSION];
    put_u32(&mut message, length(&body));
    put_u32(&mut message, serial);
    put_u32(&mut message, length(&fields));
    message.extend_from_slice(&fields);
    align(&mut message, 8);
    message.extend_from_slice(&body);
    message
}

/// Starts a header field: a structure of a code and a variant. The fields start at a multiple of 8 in the message.
fn put_field(fields: &mut Vec<u8>, code: u8, kind: char) {
    align(fields, 8);
    fields.extend_from_slice(&[code, 1]);
    fields.extend_from_slice(kind.encode_utf8(&mut [0; 4]).as_bytes());
    fields.push(0);
}

fn put_text(to: &mut Vec<u8>, text: &str) {
    put_u32(to, length(text.as_bytes()));
    to.extend_from_slice(text.as_bytes());
    to.push(0);
}

fn put_u32(to: &mut Vec<u8>, number: u32) {
    align(to, 4);
    to.extend_from_slice(&number.to_le_bytes());
}

fn align(to: &mut Vec<u8>, to_multiple_of: usize) {
    to.resize(to.len().next_multiple_of(to_multiple_of), 0);
}

/// Returns the length of a value. Arguments are names, which have a few hundred bytes at most.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
