//! Maps that survive being truncated.
//!
//! Touching a page of a map that the file does not reach any more raises SIGBUS, which ends the program. For a guarded
//! map the handler here puts zero pages in place of what is gone, notes from where on, and lets the program go on. Who
//! reads the bytes asks afterwards whether they were all there.
//!
//! # Protocol
//!
//! 1. A map enters a *slot*: a node of a list that only grows, so the handler can walk it without a lock. A slot whose
//!    map is gone is free, and used again.
//! 2. `start` is written last when a slot is filled, and first when it is freed. While it says the map's address, the map
//!    exists: it is freed before the map is unmapped, and nobody touches a map that is being dropped.
//! 3. The handler looks for the slot that the faulting address is in: it reads `start`, `len`, and `start` once more. The map
//!    that was touched is there all the while, so a slot that changes meanwhile is another's. If there is none, or if the
//!    signal was not raised by a page that is gone, it does what would have been done without it.
//!
//! # The race that almost was
//!
//! A slot was freed and filled for another, longer map between the two loads. What was touched, in a third map, seemed to be
//! in the first one, as that was taken for as long as the second.

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Once, OnceLock};

/// The slot of a guarded map. Dropping it ends the guard.
#[derive(Debug)]
pub(super) struct Guard {
    slot: &'static Slot,
}

#[derive(Debug)]
struct Slot {
    /// The address of the map; `FREE`, or `TAKEN` while the slot is being filled.
    start: AtomicUsize,
    len: AtomicUsize,
    /// The offset from which on bytes were gone when somebody touched them.
    gone_from: AtomicUsize,
    next: AtomicPtr<Slot>,
}

const FREE: usize = 0;
const TAKEN: usize = 1;

static SLOTS: AtomicPtr<Slot> = AtomicPtr::new(ptr::null_mut());
/// What was done at SIGBUS before.
static BEFORE: AtomicPtr<libc::sigaction> = AtomicPtr::new(ptr::null_mut());
static PAGE: AtomicUsize = AtomicUsize::new(4096);

impl Guard {
    /// Guards a map at these bytes, which must be dropped after the guard.
    pub(super) fn new(bytes: &[u8]) -> io::Result<Self> {
        install()?;
        let slot = free_slot();
        // Release: who sees it sees that the slot is not the one before any more.
        slot.len.store(bytes.len(), Ordering::Release);
        slot.gone_from.store(usize::MAX, Ordering::Relaxed);
        slot.start.store(bytes.as_ptr() as usize, Ordering::Release);
        Ok(Guard { slot })
    }

    /// The offset from which on bytes were gone when they were touched.
    pub(super) fn gone_from(&self) -> usize {
        self.slot.gone_from.load(Ordering::Acquire)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.slot.start.store(FREE, Ordering::Release);
    }
}

impl Slot {
    /// The slot, and where its map begins and how long it is, if this address is in it.
    fn map_around(&self, address: usize) -> Option<(&Self, usize, usize)> {
        let start = self.start.load(Ordering::Acquire);
        let len = self.len.load(Ordering::Acquire);
        let is_inside = start > TAKEN && address >= start && address - start < len;
        (is_inside && self.start.load(Ordering::Relaxed) == start).then_some((self, start, len))
    }
}

/// A slot that is taken by the caller: one that was free, or a new one.
fn free_slot() -> &'static Slot {
    let take = |slot: &&Slot| slot.start.compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_ok();
    if let Some(slot) = slots().find(take) {
        return slot;
    }
    let slot = Box::leak(Box::new(Slot {
        start: AtomicUsize::new(TAKEN),
        len: AtomicUsize::new(0),
        gone_from: AtomicUsize::new(usize::MAX),
        next: AtomicPtr::new(ptr::null_mut()),
    }));
    let mut head = SLOTS.load(Ordering::Acquire);
    loop {
        slot.next.store(head, Ordering::Relaxed);
        match SLOTS.compare_exchange_weak(head, slot, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return slot,
            Err(now) => head = now,
        }
    }
}

/// All slots. Takes no lock and allocates nothing, so a signal handler may use it.
fn slots() -> impl Iterator<Item = &'static Slot> {
    let at = |pointer: &AtomicPtr<Slot>| {
        // SAFETY: a slot is made by `Box::leak` before its address is stored, and never freed.
        unsafe { pointer.load(Ordering::Acquire).as_ref::<'static>() }
    };
    std::iter::successors(at(&SLOTS), move |slot| at(&slot.next))
}

/// Installs the handler, once.
fn install() -> io::Result<()> {
    static ONCE: Once = Once::new();
    static FAILED: OnceLock<i32> = OnceLock::new();
    ONCE.call_once(|| {
        // SAFETY: asking for the page size has no preconditions.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        PAGE.store(usize::try_from(page).unwrap_or(4096), Ordering::Relaxed);
        if let Err(error) = install_handler() {
            let _ = FAILED.set(error.raw_os_error().unwrap_or(0));
        }
    });
    FAILED.get().map_or(Ok(()), |code| Err(io::Error::from_raw_os_error(*code)))
}

fn install_handler() -> io::Result<()> {
    // SAFETY: `sigaction` is plain data for which all zeros are a value, and `sigemptyset` fills in its mask. The handler
    // has the signature that SA_SIGINFO asks for and does only what a handler may: it reads atomics and calls `mmap`,
    // `sigaction`, `raise`, or the handler before it. Both pointers are to values that outlive the call.
    let before = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_bus_error as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&mut action.sa_mask);
        let mut before: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGBUS, &action, &mut before) != 0 {
            return Err(io::Error::last_os_error());
        }
        before
    };
    BEFORE.store(Box::leak(Box::new(before)), Ordering::Release);
    Ok(())
}

extern "C" fn on_bus_error(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the system calls a handler that asked for SA_SIGINFO with a valid `info`; `si_addr` is set for a SIGBUS that
    // a page raised, which the code says. `errno` is the thread's own.
    let (mended, code) = unsafe {
        let errno = libc::__errno_location();
        let kept = *errno;
        let code = (*info).si_code;
        let mended = code == libc::BUS_ADRERR && mend((*info).si_addr() as usize);
        *errno = kept;
        (mended, code)
    };
    if !mended {
        hand_on(signal, info, context, code);
    }
}

/// Puts zero pages where a guarded map has lost its file: from the touched page to the end, as all of that is gone.
fn mend(address: usize) -> bool {
    let page = PAGE.load(Ordering::Relaxed);
    let Some((slot, start, len)) = slots().find_map(|slot| slot.map_around(address)) else { return false };
    let offset = (address - start) / page * page;
    slot.gone_from.fetch_min(offset, Ordering::AcqRel);
    let len = len - offset;
    // SAFETY: the range is inside a map that exists, begins at one of its pages, and belongs to that map alone: a map
    // begins at a page, and the rest of its last page is its own. Read-only zero pages take the place of read-only pages.
    let mapped = unsafe {
        let flags = libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        libc::mmap((start + offset) as *mut libc::c_void, len, libc::PROT_READ, flags, -1, 0)
    };
    mapped != libc::MAP_FAILED
}

/// Does what would have been done without the handler.
fn hand_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void, code: libc::c_int) {
    // SAFETY: what is in `BEFORE` was leaked, so it lives for ever, and it was written by the system: if it is not one of
    // the two marks it is the address of a handler, whose signature its flags tell. `raise` and `sigaction` may be called
    // in a handler.
    unsafe {
        let before = BEFORE.load(Ordering::Acquire).as_ref();
        let handler = before.map_or(libc::SIG_DFL, |before| before.sa_sigaction);
        if handler == libc::SIG_DFL || handler == libc::SIG_IGN {
            let mut default: libc::sigaction = std::mem::zeroed();
            default.sa_sigaction = libc::SIG_DFL;
            libc::sigaction(signal, &default, ptr::null_mut());
            // A page raises the signal again when the program goes on; another process does not.
            if code <= 0 {
                libc::raise(signal);
            }
        } else if before.is_some_and(|before| before.sa_flags & libc::SA_SIGINFO != 0) {
            type WithInfo = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
            std::mem::transmute::<usize, WithInfo>(handler)(signal, info, context);
        } else {
            std::mem::transmute::<usize, extern "C" fn(libc::c_int)>(handler)(signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    #[test]
    fn a_slot_is_had_by_one_at_a_time_and_used_again() {
        let held = Mutex::new(BTreeSet::new());
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let slot = free_slot();
                        let place = ptr::from_ref(slot).addr();
                        assert!(held.lock().unwrap().insert(place), "two have one slot");
                        // As a map that is guarded, and then gone.
                        slot.len.store(1, Ordering::Relaxed);
                        slot.start.store(place, Ordering::Release);
                        assert!(slots().any(|slot| slot.start.load(Ordering::Acquire) == place));
                        held.lock().unwrap().remove(&place);
                        drop(Guard { slot });
                    }
                });
            }
        });
        let before = slots().count();
        drop(Guard { slot: free_slot() });
        assert_eq!(slots().count(), before, "a slot that was free was not used again");
    }

    /// A short map and a long one take turns in a slot. With the length of the one and the address of the other they would
    /// reach to what lies between them.
    #[test]
    fn a_slot_that_changes_is_not_mistaken_for_another_map() {
        let map = memmap2::MmapMut::map_anon(12 * 4096 * 16).unwrap();
        let page = map.len() / 12;
        let (maps, between) = ([&map[..page], &map[4 * page..]], map.as_ptr().addr() + 2 * page);
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for map in maps.into_iter().cycle().take_while(|_| !over.load(Ordering::Relaxed)) {
                    drop(Guard::new(map).unwrap());
                }
            });
            let found = (0..1_000_000).find_map(|_| slots().find_map(|slot| slot.map_around(between)));
            over.store(true, Ordering::Relaxed);
            assert!(found.is_none(), "{found:?}");
        });
    }

    #[test]
    fn zeros_take_the_place_of_what_is_gone_and_of_nothing_else() {
        let mut map = memmap2::MmapMut::map_anon(12 * 4096 * 16).unwrap();
        map.fill(7);
        let page = map.len() / 12;
        let guard = Guard::new(&map[page..5 * page]).unwrap();
        let at = |offset: usize| map.as_ptr().addr() + offset;
        assert!(!mend(at(page - 1)) && !mend(at(5 * page)), "that is not in the guarded map");
        assert!(mend(at(3 * page + 5)));
        assert_eq!(guard.gone_from(), 2 * page);
        drop(guard);
        assert!(!mend(at(3 * page)), "the guard is gone");
        let found: Vec<_> = map.chunks(page).map(|bytes| (bytes[0], bytes[page - 1])).collect();
        assert_eq!(found, [7, 7, 7, 0, 0, 7, 7, 7, 7, 7, 7, 7].map(|byte| (byte, byte)));
    }
}
