//! The container of an archive: POSIX ustar, in the one form that GNU tar writes with
//! `--format=ustar -b1 --mode=0644 --owner=0 --group=0 --numeric-owner --mtime=@0`.
//!
//! A name and a size leave no choice in a header, so the reader makes the header itself and compares. What tar can say
//! beyond that (links, devices, folders, owners, times, long names, extensions) has no way in.

/// Everything in a tar file comes in blocks of this size.
const BLOCK_BYTES: usize = 512;
/// Longest name, in bytes: what the header's field for it holds.
pub const NAME_BYTES_MAX: usize = 100;
/// Two blocks of zeros end the container.
const END_BYTES: usize = 2 * BLOCK_BYTES;

/// A member: its name and its content, where they lie in the container.
pub(super) struct Member<'a> {
    /// What stands in the header, not checked; bytes that are no text are replaced.
    pub(super) name: String,
    pub(super) bytes: &'a [u8],
}

/// What is wrong, and with which member, where it is one.
pub(super) type Fault = (Option<String>, String);

/// Writes members in the order given. Names fit the header and sizes have eleven octal digits by then.
pub(super) fn write<'a>(members: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut container = Vec::new();
    for (name, bytes) in members {
        container.extend(header(name.as_bytes(), bytes.len()));
        container.extend(bytes);
        container.resize(container.len().next_multiple_of(BLOCK_BYTES), 0);
    }
    container.resize(container.len() + END_BYTES, 0);
    container
}

/// Reads at most `members_max` members without copying any content.
pub(super) fn read(container: &[u8], members_max: usize) -> Result<Vec<Member<'_>>, Fault> {
    let cut = || (None, "breaks off before its end; fetch it again".to_owned());
    let mut members = Vec::new();
    let mut rest = container;
    loop {
        let (head, behind) = rest.split_first_chunk::<BLOCK_BYTES>().ok_or_else(cut)?;
        if head.iter().all(|&byte| byte == 0) {
            return match behind.split_first_chunk::<BLOCK_BYTES>() {
                None => Err(cut()),
                Some((last, [])) if last.iter().all(|&byte| byte == 0) => Ok(members),
                Some(_) => Err((None, "has bytes behind the end of its content".to_owned())),
            };
        }
        if members.len() == members_max {
            return Err((None, format!("has more than {members_max} members")));
        }
        let (name, size) = member(head)?;
        let bytes = behind.get(..size).ok_or_else(cut)?;
        let padded = size.next_multiple_of(BLOCK_BYTES);
        let padding = behind.get(size..padded).ok_or_else(cut)?;
        if padding.iter().any(|&byte| byte != 0) {
            return Err((Some(name), "is followed by bytes that do not belong to it".to_owned()));
        }
        members.push(Member { name, bytes });
        rest = &behind[padded..];
    }
}

/// Name and size in a header that is just as [`header`] writes it.
fn member(head: &[u8; BLOCK_BYTES]) -> Result<(String, usize), Fault> {
    if head[257..265] != *b"ustar\x0000" {
        return Err((None, "holds no ustar container; pack it with `regard plugin pack`".to_owned()));
    }
    let field = &head[..NAME_BYTES_MAX];
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(NAME_BYTES_MAX);
    let name = String::from_utf8_lossy(&field[..end]).into_owned();
    let refused = |problem: &str| (Some(name.clone()), problem.to_owned());
    // A reader that stops at the first NUL and one that does not would see two names.
    if field[end..].iter().any(|&byte| byte != 0) {
        return Err(refused("has a NUL in its name"));
    }
    match head[156] {
        b'0' => {}
        b'1' | b'2' => return Err(refused("is a link; a package holds files only")),
        b'3' | b'4' | b'6' => return Err(refused("is a device; a package holds files only")),
        b'5' => return Err(refused("is a folder; a package names files only")),
        b'x' | b'g' | b'L' | b'K' => {
            return Err(refused("uses an extension of tar; pack it with `tar --format=ustar`"));
        }
        _ => return Err(refused("is of an unknown kind; a package holds files only")),
    }
    if head[345..500].iter().any(|&byte| byte != 0) {
        return Err(refused(&format!("has a name of more than {NAME_BYTES_MAX} bytes")));
    }
    let size = size(&head[124..136]).ok_or_else(|| refused("has no readable size"))?;
    if header(&field[..end], size) != *head {
        return Err(refused(
            "carries an owner, a mode, a time or a wrong checksum; a package has none of these",
        ));
    }
    Ok((name, size))
}

/// Eleven octal digits and a NUL.
fn size(field: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(field.strip_suffix(b"\0")?).ok()?;
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    usize::from_str_radix(digits, 8).ok()
}

/// The header of a file: readable by everybody, owned by nobody, from the beginning of 1970.
pub(super) fn header(name: &[u8], size: usize) -> [u8; BLOCK_BYTES] {
    let mut head = [0; BLOCK_BYTES];
    let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name);
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    // The sum is taken with its own field full of spaces.
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    put(329, b"0000000\0");
    put(337, b"0000000\0");
    let sum: u32 = head.iter().map(|&byte| u32::from(byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    head
}
