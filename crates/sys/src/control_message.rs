//! Control messages of sockets as the kernel lays them out (cmsg(3)): a header, the data, and padding to the size of a
//! word. The code is the same for all C libraries, whose types and macros differ.

use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::slice;

use crate::credentials::Credentials;

/// The header: the length of the header and the data as a word, the level, and the kind.
const HEADER: usize = size_of::<usize>() + 2 * size_of::<i32>();
/// The length of `struct ucred`: the process, the user and the group.
pub(crate) const UCRED: usize = 3 * size_of::<u32>();

/// Returns the room that a control message with `length` bytes of data takes.
pub(crate) const fn space(length: usize) -> usize {
    (HEADER + length).next_multiple_of(size_of::<usize>())
}

/// A buffer for the control messages of a read, aligned for their headers.
#[derive(Debug)]
#[repr(C, align(8))]
pub(crate) struct ControlBuffer<const LENGTH: usize>([MaybeUninit<u8>; LENGTH]);

impl<const LENGTH: usize> ControlBuffer<LENGTH> {
    pub(crate) const fn new() -> Self {
        Self([MaybeUninit::uninit(); LENGTH])
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr().cast()
    }

    /// Returns the control messages in the first `length` bytes.
    ///
    /// # Safety
    /// These bytes are control messages as the kernel or [`encode`] writes them. Only padding may be uninitialized.
    pub(crate) unsafe fn messages(&self, length: usize) -> ControlMessages<'_> {
        ControlMessages { rest: self.0.get(..length).unwrap_or(&self.0) }
    }
}

/// A control message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ControlMessage<'a> {
    /// The level, for example `SOL_SOCKET`.
    pub(crate) level: i32,
    /// The kind, for example `SCM_RIGHTS`.
    pub(crate) kind: i32,
    pub(crate) data: &'a [u8],
}

/// The control messages in a buffer. A header with an impossible length is the last one.
#[derive(Debug)]
pub(crate) struct ControlMessages<'a> {
    rest: &'a [MaybeUninit<u8>],
}

impl<'a> Iterator for ControlMessages<'a> {
    type Item = ControlMessage<'a>;

    fn next(&mut self) -> Option<ControlMessage<'a>> {
        let message = std::mem::take(&mut self.rest);
        let (header, _) = message.split_at_checked(HEADER)?;
        // SAFETY: all bytes of a header are initialized; see `ControlBuffer::messages`.
        let header = unsafe { initialized(header) };
        let (length, kind) = header.split_first_chunk()?;
        let (level, kind) = kind.split_first_chunk()?;
        let (kind, _) = kind.split_first_chunk()?;
        let length = usize::from_ne_bytes(*length);
        let data = message.get(HEADER..length)?;
        // The kernel may leave out the padding of the last message.
        self.rest = message.get(length.next_multiple_of(size_of::<usize>())..).unwrap_or_default();
        // SAFETY: the data of a message is initialized up to its length; see `ControlBuffer::messages`.
        let data = unsafe { initialized(data) };
        Some(ControlMessage { level: i32::from_ne_bytes(*level), kind: i32::from_ne_bytes(*kind), data })
    }
}

/// # Safety
/// All bytes are initialized.
unsafe fn initialized(bytes: &[MaybeUninit<u8>]) -> &[u8] {
    // SAFETY: the caller promises it. The type has the same layout, and the lifetime is that of the argument.
    unsafe { slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) }
}

/// Returns control messages of the level `SOL_SOCKET`, each of a kind and its data, in the layout of the kernel.
pub(crate) fn encode<'a>(messages: impl IntoIterator<Item = (i32, &'a [u8])>) -> Vec<u8> {
    let mut all = Vec::new();
    for (kind, data) in messages {
        let end = all.len() + space(data.len());
        all.extend((HEADER + data.len()).to_ne_bytes());
        all.extend(libc::SOL_SOCKET.to_ne_bytes());
        all.extend(kind.to_ne_bytes());
        all.extend(data);
        all.resize(end, 0);
    }
    all
}

/// Returns the sender that a message of the kind `SCM_CREDENTIALS` describes.
pub(crate) fn sender(message: ControlMessage<'_>) -> Option<Credentials> {
    if (message.level, message.kind) != (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) {
        return None;
    }
    let (pid, ids) = message.data.split_first_chunk()?;
    let (uid, gid) = ids.split_first_chunk()?;
    let pid = u32::try_from(i32::from_ne_bytes(*pid)).ok().filter(|pid| *pid != 0);
    Some(Credentials { uid: u32::from_ne_bytes(*uid), gid: u32::from_ne_bytes(*gid.first_chunk()?), pid })
}

/// Returns the data of a message of the kind `SCM_CREDENTIALS`.
pub(crate) fn sender_data(pid: i32, uid: u32, gid: u32) -> [u8; UCRED] {
    let mut data = [0; UCRED];
    for (to, from) in
        data.iter_mut().zip([pid.to_ne_bytes(), uid.to_ne_bytes(), gid.to_ne_bytes()].as_flattened())
    {
        *to = *from;
    }
    data
}

/// Takes the descriptors in the data of a message of the kind `SCM_RIGHTS` or `SCM_PIDFD`.
///
/// # Safety
/// The kernel has installed the descriptors for this message, and nothing else owns them.
pub(crate) unsafe fn descriptors(data: &[u8]) -> Vec<OwnedFd> {
    let numbers = data
        .chunks_exact(size_of::<RawFd>())
        .filter_map(|number| Some(RawFd::from_ne_bytes(*number.first_chunk()?)));
    // The kernel reports a descriptor that it could not install as a negative number.
    // SAFETY: the caller promises it.
    numbers.filter(|number| *number >= 0).map(|number| unsafe { OwnedFd::from_raw_fd(number) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::IntoRawFd;

    const RIGHTS: i32 = libc::SCM_RIGHTS;
    const CREDENTIALS: i32 = libc::SCM_CREDENTIALS;

    /// Returns a buffer as the kernel fills it: the padding is not written.
    fn filled(messages: &[(i32, &[u8])], last_padding: bool) -> (ControlBuffer<256>, usize) {
        let (mut buffer, mut end) = (ControlBuffer::new(), 0);
        for (index, message) in messages.iter().enumerate() {
            let length = HEADER + message.1.len();
            for (to, from) in buffer.0[end..].iter_mut().zip(encode([*message])).take(length) {
                to.write(from);
            }
            let is_last = index + 1 == messages.len();
            end += if is_last && !last_padding { length } else { space(message.1.len()) };
        }
        (buffer, end)
    }

    fn parsed(buffer: &ControlBuffer<256>, length: usize) -> Vec<(i32, Vec<u8>)> {
        // SAFETY: the tests fill the buffer up to this length, except for padding.
        let messages = unsafe { buffer.messages(length) };
        messages
            .map(|message| {
                assert_eq!(message.level, libc::SOL_SOCKET);
                (message.kind, message.data.to_vec())
            })
            .collect()
    }

    #[test]
    fn the_layout_is_that_of_the_c_library() {
        for length in [0, 1, 4, 7, 8, 12, 253 * 4] {
            let short = libc::c_uint::try_from(length).unwrap();
            // SAFETY: the functions compute lengths and access no memory.
            let (with_padding, without) = unsafe { (libc::CMSG_SPACE(short), libc::CMSG_LEN(short)) };
            assert_eq!(space(length), usize::try_from(with_padding).unwrap());
            assert_eq!(HEADER + length, usize::try_from(without).unwrap());
        }
        assert_eq!(UCRED, size_of::<libc::ucred>());
        let mut encoded = ControlBuffer::<64>::new();
        for (to, from) in encoded.0.iter_mut().zip(encode([(CREDENTIALS, &sender_data(7, 8, 9)[..])])) {
            to.write(from);
        }
        // SAFETY: the buffer is aligned for a header, and contains one with a ucred behind it.
        let (header, data) = unsafe {
            let header = (&raw mut encoded).cast::<libc::cmsghdr>();
            (header.read(), libc::CMSG_DATA(header).cast::<libc::ucred>().read_unaligned())
        };
        assert_eq!((header.cmsg_level, header.cmsg_type), (libc::SOL_SOCKET, CREDENTIALS));
        assert_eq!((data.pid, data.uid, data.gid), (7, 8, 9));
    }

    #[test]
    fn messages_are_found_whatever_their_padding() {
        for last_padding in [true, false] {
            for messages in [
                &[][..],
                &[(RIGHTS, &[1; 4][..])],
                &[(RIGHTS, &[1; 12]), (CREDENTIALS, &[2; 12]), (3, &[])],
                &[(7, &[1; 3]), (8, &[2; 5]), (9, &[3; 16])],
            ] {
                let (buffer, length) = filled(messages, last_padding);
                let expected: Vec<_> = messages.iter().map(|(kind, data)| (*kind, data.to_vec())).collect();
                assert_eq!(parsed(&buffer, length), expected);
            }
        }
    }

    #[test]
    fn impossible_lengths_end_the_messages() {
        let (whole, length) = filled(&[(RIGHTS, &[1; 8]), (RIGHTS, &[2; 8])], true);
        // Too short for a header.
        assert_eq!(parsed(&whole, length - 9).len(), 1);
        assert_eq!(parsed(&whole, HEADER - 1), []);
        for impossible in [0, 1, HEADER - 1, length + 1, usize::MAX] {
            let (mut buffer, length) = filled(&[(RIGHTS, &[1; 8]), (RIGHTS, &[2; 8])], true);
            for (to, from) in buffer.0[space(8)..].iter_mut().zip(impossible.to_ne_bytes()) {
                to.write(from);
            }
            assert_eq!(parsed(&buffer, length).len(), 1, "{impossible}");
        }
        assert_eq!(parsed(&filled(&[], true).0, 0), []);
    }

    #[test]
    fn a_sender_is_complete_or_none() {
        fn message(level: i32, kind: i32, data: &[u8]) -> Option<Credentials> {
            sender(ControlMessage { level, kind, data })
        }
        let data = sender_data(7, 8, u32::MAX);
        let found = Credentials { uid: 8, gid: u32::MAX, pid: Some(7) };
        assert_eq!(message(libc::SOL_SOCKET, CREDENTIALS, &data), Some(found));
        // The kernel knows no process, or the process is in another PID namespace.
        for pid in [0, -1] {
            let data = sender_data(pid, 8, 9);
            let found = Credentials { uid: 8, gid: 9, pid: None };
            assert_eq!(message(libc::SOL_SOCKET, CREDENTIALS, &data), Some(found));
        }
        assert_eq!(message(libc::SOL_SOCKET, RIGHTS, &data), None);
        assert_eq!(message(libc::IPPROTO_IP, CREDENTIALS, &data), None);
        for length in 0..data.len() {
            assert_eq!(message(libc::SOL_SOCKET, CREDENTIALS, &data[..length]), None);
        }
    }

    #[test]
    fn each_installed_descriptor_gets_an_owner() {
        let open = || File::open("/dev/null").unwrap().into_raw_fd();
        let (one, other) = (open(), open());
        let mut data = [one, -1, other].map(RawFd::to_ne_bytes).concat();
        data.push(0);
        // SAFETY: the numbers are those of descriptors that have no owner.
        let owned = unsafe { descriptors(&data) };
        assert_eq!(owned.len(), 2);
        assert_eq!(owned.into_iter().map(IntoRawFd::into_raw_fd).collect::<Vec<_>>(), [one, other]);
        // SAFETY: as above; the owners were given up.
        drop(unsafe { descriptors(&data) });
    }
}
