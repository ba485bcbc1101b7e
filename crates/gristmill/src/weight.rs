//! What an item weighs: the bytes that a memory budget counts.

use std::sync::Arc;

/// A number of bytes, with its unit.
///
/// # Examples
///
/// ```
/// use gristmill::Bytes;
/// assert_eq!(Bytes::mib(2).get(), 2 << 20);
/// assert_eq!(Bytes::kib(3).to_string(), "3.0 KiB");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(usize);

impl Bytes {
    /// So many bytes.
    #[must_use]
    pub const fn new(bytes: usize) -> Self {
        Bytes(bytes)
    }

    /// So many times 2¹⁰ bytes; the largest possible number if that is too many.
    #[must_use]
    pub const fn kib(kib: usize) -> Self {
        Bytes(kib.saturating_mul(1 << 10))
    }

    /// So many times 2²⁰ bytes; the largest possible number if that is too many.
    #[must_use]
    pub const fn mib(mib: usize) -> Self {
        Bytes(mib.saturating_mul(1 << 20))
    }

    /// So many times 2³⁰ bytes; the largest possible number if that is too many.
    #[must_use]
    pub const fn gib(gib: usize) -> Self {
        Bytes(gib.saturating_mul(1 << 30))
    }

    /// The plain number.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0
    }
}

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let units = [(1usize << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match units.iter().find(|(unit, _)| self.0 >= *unit) {
            Some((unit, name)) => write!(f, "{:.1} {name}", self.0 as f64 / *unit as f64),
            None => write!(f, "{} B", self.0),
        }
    }
}

/// How many bytes a value occupies, with what it owns on the heap.
///
/// Needed only for a [`memory_budget`](crate::Pipeline::memory_budget), and only for types that own memory: a type
/// without drop glue weighs its size and needs no implementation. Where a type of yours has none, or for a foreign one,
/// [`weigh_by`](crate::Pipeline::weigh_by) takes a closure.
///
/// # Examples
///
/// ```
/// use gristmill::Weight;
/// assert_eq!(String::from("abc").weight(), size_of::<String>() + 3);
/// assert_eq!((1u8, vec![0u8; 100]).weight(), size_of::<(u8, Vec<u8>)>() + 100);
/// ```
pub trait Weight {
    /// Bytes on the heap that go when the value goes.
    fn heap(&self) -> usize {
        0
    }

    /// Bytes in all: the value itself and what it owns.
    fn weight(&self) -> usize {
        size_of_val(self) + self.heap()
    }
}

macro_rules! flat {
    ($($name:ty),*) => { $(impl Weight for $name {})* };
}

flat!((), bool, char, u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64, str);
flat!(std::time::Duration, std::time::Instant, std::time::SystemTime, Bytes);
flat!(std::net::IpAddr, std::net::Ipv4Addr, std::net::Ipv6Addr, std::net::SocketAddr);

/// What is borrowed belongs to somebody else and weighs nothing here.
impl<T: ?Sized> Weight for &T {}

impl Weight for String {
    fn heap(&self) -> usize {
        self.capacity()
    }
}

impl Weight for std::path::PathBuf {
    fn heap(&self) -> usize {
        self.capacity()
    }
}

impl Weight for std::ffi::OsString {
    fn heap(&self) -> usize {
        self.capacity()
    }
}

impl<T: Weight> Weight for [T] {
    fn heap(&self) -> usize {
        self.iter().map(T::heap).sum()
    }
}

impl<T: Weight, const N: usize> Weight for [T; N] {
    fn heap(&self) -> usize {
        self.as_slice().heap()
    }
}

impl<T: Weight> Weight for Vec<T> {
    fn heap(&self) -> usize {
        self.capacity() * size_of::<T>() + self.as_slice().heap()
    }
}

impl<T: Weight> Weight for std::collections::VecDeque<T> {
    fn heap(&self) -> usize {
        self.capacity() * size_of::<T>() + self.iter().map(T::heap).sum::<usize>()
    }
}

impl<T: Weight + ?Sized> Weight for Box<T> {
    fn heap(&self) -> usize {
        (**self).weight()
    }
}

/// Shared, so counted in full by each who holds it: a bound, never an underestimate.
impl<T: Weight + ?Sized> Weight for Arc<T> {
    fn heap(&self) -> usize {
        (**self).weight()
    }
}

impl<T: Weight> Weight for Option<T> {
    fn heap(&self) -> usize {
        self.as_ref().map_or(0, T::heap)
    }
}

impl<T: Weight, E: Weight> Weight for Result<T, E> {
    fn heap(&self) -> usize {
        match self {
            Ok(value) => value.heap(),
            Err(error) => error.heap(),
        }
    }
}

impl<B: ?Sized + ToOwned<Owned: Weight>> Weight for std::borrow::Cow<'_, B> {
    fn heap(&self) -> usize {
        match self {
            std::borrow::Cow::Borrowed(_) => 0,
            std::borrow::Cow::Owned(owned) => owned.heap(),
        }
    }
}

macro_rules! tuples {
    ($(($($name:ident . $index:tt),+))*) => {
        $(impl<$($name: Weight),+> Weight for ($($name,)+) {
            fn heap(&self) -> usize {
                0 $(+ self.$index.heap())+
            }
        })*
    };
}

tuples! {
    (A.0)
    (A.0, B.1)
    (A.0, B.1, C.2)
    (A.0, B.1, C.2, D.3)
    (A.0, B.1, C.2, D.3, E.4)
    (A.0, B.1, C.2, D.3, E.4, F.5)
    (A.0, B.1, C.2, D.3, E.4, F.5, G.6)
    (A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7)
}

/// What is said to weigh more counts as much, so that sums stay far from the largest number.
const HEAVIEST: usize = usize::MAX >> (usize::BITS / 3);

/// How the engine weighs the items of one lane: at least a byte each, so that what comes of nothing can be foreseen.
pub enum Scale<'env, T> {
    /// Every item weighs its own size; `exact` if it owns nothing more.
    Flat {
        exact: bool,
    },
    By(Arc<dyn Fn(&T) -> usize + Send + Sync + 'env>),
}

impl<T> Clone for Scale<'_, T> {
    fn clone(&self) -> Self {
        match self {
            Scale::Flat { exact } => Scale::Flat { exact: *exact },
            Scale::By(weigh) => Scale::By(Arc::clone(weigh)),
        }
    }
}

impl<'env, T> Scale<'env, T> {
    /// What can be known of a type without asking: its size, and whether it owns anything.
    pub(crate) fn of_type() -> Self {
        Scale::Flat { exact: !std::mem::needs_drop::<T>() }
    }

    pub(crate) fn by(weigh: impl Fn(&T) -> usize + Send + Sync + 'env) -> Self {
        Scale::By(Arc::new(weigh))
    }

    /// For what carries such an item to whoever weighs it next: only its size is counted on the way.
    pub(crate) fn left_to_next<P>(&self) -> Scale<'env, P> {
        Scale::Flat { exact: self.is_exact() }
    }

    pub(crate) fn is_exact(&self) -> bool {
        !matches!(self, Scale::Flat { exact: false })
    }

    pub(crate) fn one(&self, item: &T) -> usize {
        match self {
            Scale::Flat { .. } => size_of::<T>().max(1),
            Scale::By(weigh) => weigh(item).clamp(1, HEAVIEST),
        }
    }

    pub(crate) fn all(&self, items: &[T]) -> usize {
        match self {
            Scale::Flat { .. } => size_of_val(items).max(items.len()),
            Scale::By(_) => items.iter().map(|item| self.one(item)).fold(0, usize::saturating_add).min(HEAVIEST),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;
    use std::collections::VecDeque;

    /// A text with room for more than it has: what is counted is what it took.
    fn text(capacity: usize) -> String {
        let text = String::with_capacity(capacity);
        assert_eq!(text.capacity(), capacity);
        text
    }

    #[test]
    fn what_is_owned_is_counted_with_what_it_owns_in_turn() {
        let inside = size_of::<String>();
        assert_eq!([7u64.heap(), "borrowed".heap(), [1u8, 2].heap(), ().heap()], [0; 4]);
        assert_eq!(text(10).heap(), 10);
        assert_eq!(text(10).weight(), inside + 10);
        assert_eq!(std::path::PathBuf::with_capacity(11).heap(), 11);
        assert_eq!(std::ffi::OsString::with_capacity(12).heap(), 12);
        assert_eq!([text(3), text(4)].heap(), 7);
        assert_eq!([text(3), text(4)].as_slice().heap(), 7);
        let mut texts = Vec::with_capacity(5);
        texts.extend([text(3), text(4)]);
        assert_eq!(texts.heap(), 5 * inside + 7);
        let texts: VecDeque<String> = texts.into();
        assert_eq!(texts.heap(), texts.capacity() * inside + 7);
        assert_eq!(Box::new(text(6)).heap(), inside + 6);
        assert_eq!(Box::<str>::from("12345").heap(), 5);
        assert_eq!(Arc::new([0u8; 9]).heap(), 9);
        assert_eq!((text(1), 5u8, text(2)).heap(), 3);
    }

    #[test]
    fn what_may_be_there_is_counted_when_it_is() {
        assert_eq!((Some(text(8)).heap(), None::<String>.heap()), (8, 0));
        let results: [Result<String, Vec<u8>>; 2] = [Ok(text(5)), Err(Vec::with_capacity(6))];
        assert_eq!(results.map(|result| result.heap()), [5, 6]);
        assert_eq!((Cow::Borrowed("abc").heap(), Cow::<str>::Owned(text(4)).heap()), (0, 4));
    }

    #[test]
    fn bytes_are_so_many_of_their_unit_and_never_wrap() {
        let bytes = [Bytes::new(3), Bytes::kib(3), Bytes::mib(3), Bytes::gib(3)];
        assert_eq!(bytes.map(Bytes::get), [3, 3 << 10, 3 << 20, 3 << 30]);
        assert_eq!(
            [Bytes::kib(usize::MAX), Bytes::mib(usize::MAX), Bytes::gib(usize::MAX)].map(Bytes::get),
            [usize::MAX; 3]
        );
        assert_eq!(bytes.map(|bytes| bytes.to_string()), ["3 B", "3.0 KiB", "3.0 MiB", "3.0 GiB"]);
    }
}
