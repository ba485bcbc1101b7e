//! Text in memory, cut as one does it by hand.

/// Pieces of about `target` bytes that end where lines end, each with its offset.
pub fn pieces(text: &[u8], target: usize) -> impl Iterator<Item = (u64, &[u8])> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = text.get(start..).filter(|rest| !rest.is_empty())?;
        let aim = target.clamp(1, rest.len()) - 1;
        let len = memchr::memchr(b'\n', &rest[aim..]).map_or(rest.len(), |end| aim + end + 1);
        let piece = (start as u64, &rest[..len]);
        start += len;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_where_lines_end() {
        let all = |text, target| pieces(text, target).collect::<Vec<_>>();
        assert_eq!(all(b"a\nbb\nc\nd", 3), [(0, &b"a\nbb\n"[..]), (5, b"c\nd")]);
        assert_eq!(all(b"a\nb", 0), [(0, &b"a\n"[..]), (2, b"b")]);
        assert!(all(b"", usize::MAX).is_empty());
    }
}
