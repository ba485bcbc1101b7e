//! Sums compared with what mathematics says, and with each other.

use gristmill::prelude::*;
use gristmill_sqrt_sum::{BLOCK, FileError, Floats, Kernel, MAX_INTEGER, RootSum, spans};
use proptest::prelude::*;
use std::ops::Range;

/// A number as an unrounded sum of two.
#[derive(Clone, Copy)]
struct Twice(f64, f64);

impl Twice {
    /// Dekker's and Knuth's exact sum of two numbers, and the small parts.
    fn plus(self, other: Twice) -> Twice {
        let sum = self.0 + other.0;
        let part = sum - self.0;
        let error = (self.0 - (sum - part)) + (other.0 - part) + self.1 + other.1;
        let high = sum + error;
        Twice(high, error - (high - sum))
    }

    fn times(self, factor: f64) -> Twice {
        let product = self.0 * factor;
        Twice(product, self.0.mul_add(factor, -product) + self.1 * factor)
    }

    fn root(number: f64) -> Twice {
        let root = number.sqrt();
        if root == 0.0 { Twice(0.0, 0.0) } else { Twice(root, (-root).mul_add(root, number) / (2.0 * root)) }
    }

    fn difference(self, number: f64) -> f64 {
        self.plus(Twice(-number, 0.0)).0.abs()
    }
}

/// √1 + … + √n by Euler and Maclaurin, to more digits than a number has.
fn reference(n: f64) -> Twice {
    /// Riemann's ζ(-1/2).
    const ZETA: f64 = -0.207_886_224_977_354_57;
    let root = Twice::root(n);
    let third = root.times(n).times(2.0);
    // A third, with what is missing from it.
    let main = third.times(1.0 / 3.0).plus(third.times(2f64.powi(-54) / 3.0));
    let rest = ZETA + 1.0 / (24.0 * root.0) - 1.0 / (1_920.0 * root.0.powi(5));
    main.plus(root.times(0.5)).plus(Twice(rest, 0.0))
}

fn sum_by_pairs(range: Range<u64>) -> Twice {
    range.fold(Twice(0.0, 0.0), |sum, integer| sum.plus(Twice::root(integer as f64)))
}

/// The error bound that the crate states.
const BOUND: f64 = 72.0 * f64::EPSILON / 2.0;

#[test]
fn the_two_references_agree() {
    for n in [12_345u64, 100_000, 200_001] {
        let (formula, sum) = (reference(n as f64), sum_by_pairs(1..n + 1));
        let difference = formula.plus(Twice(-sum.0, -sum.1)).0.abs();
        assert!(difference < 1e-20 * sum.0, "{n}: {difference:e}");
    }
}

#[test]
fn sums_are_as_close_to_the_truth_as_stated() {
    for n in [1_000u64, 4_096, 99_999, 1_000_000, 3_000_001] {
        let sum = RootSum::of_range(Kernel::detect(), 1..n + 1);
        let truth = reference(n as f64);
        assert_eq!(sum.count(), n);
        let error = truth.difference(sum.value()) / truth.0;
        assert!(error < BOUND, "{n}: {error:e}");
        // Not promised, but what becomes of it: errors cancel.
        assert!(error < 4.0 * f64::EPSILON, "{n}: {error:e}");
    }
    let far = MAX_INTEGER - 50_000..MAX_INTEGER;
    let sum = RootSum::of_range(Kernel::detect(), far.clone()).value();
    assert!(sum_by_pairs(far).difference(sum) < BOUND * sum);
}

fn in_parallel(kernel: Kernel, range: Range<u64>, blocks: u32, workers: usize, morsel: usize) -> RootSum {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(workers).build().unwrap();
    Pipeline::extract(spans(range).blocks(blocks))
        .pool(&pool)
        .morsel_items(morsel)
        .fold(
            RootSum::default,
            |total, span| total.merge(&RootSum::of_range(kernel, span)),
            |total, other| total.merge(&other),
        )
        .run()
        .unwrap()
        .output
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn bits_do_not_depend_on_how_the_work_is_dealt_out(
        start in 0u64..1 << 50, len in 0u64..200_000, blocks in 0u32..20, workers in 1usize..4, morsel in 1usize..9,
    ) {
        let range = start..start + len;
        let expected = RootSum::of_range(Kernel::named("portable").unwrap(), range.clone());
        for kernel in Kernel::available() {
            prop_assert_eq!(&in_parallel(kernel, range.clone(), blocks, workers, morsel), &expected);
        }
    }

    #[test]
    fn a_file_has_the_sum_of_its_numbers(
        numbers in proptest::collection::vec(prop_oneof![0.0..1e9, 1e-300..1e300], 0..20_000), blocks in 1u32..3,
    ) {
        let (folder, floats) = file_of(&numbers);
        let truth = numbers.iter().fold(Twice(0.0, 0.0), |sum, number| sum.plus(Twice::root(*number))).0;
        let sums: Vec<RootSum> = Kernel::available().map(|kernel| sum_file(&floats, kernel, blocks)).collect();
        prop_assert!((sums[0].value() - truth).abs() <= BOUND * truth);
        prop_assert_eq!(sums[0].count(), numbers.len() as u64);
        // SAFETY: the file is this test's own, and nobody changes it.
        let mapped = unsafe { Floats::map(folder.path().join("numbers.f64")) }.unwrap();
        for sum in sums.iter().chain([&sum_file(&mapped, Kernel::detect(), 3)]) {
            prop_assert_eq!(sum, &sums[0]);
        }
    }
}

fn file_of(numbers: &[f64]) -> (tempfile::TempDir, Floats) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("numbers.f64");
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    std::fs::write(&path, bytes).unwrap();
    (folder, Floats::open(path).unwrap())
}

fn sum_file(floats: &Floats, kernel: Kernel, blocks: u32) -> RootSum {
    Pipeline::extract(floats.spans().blocks(blocks))
        .try_map_init(|| Ok::<_, FileError>(floats.reader()), |reader, span| reader.sum(kernel, span))
        .fold(RootSum::default, |total, part| total.merge(&part), |total, other| total.merge(&other))
        .run()
        .unwrap()
        .output
}

#[test]
fn numbers_without_a_root_are_found() {
    let mut numbers = vec![1.0; 3 * BLOCK];
    for (place, number, first) in [(9_000, -1.0, 9_000), (10_000, f64::NAN, 9_000), (77, f64::NEG_INFINITY, 77)] {
        numbers[place] = number;
        let (_folder, floats) = file_of(&numbers);
        for kernel in Kernel::available() {
            let sum = sum_file(&floats, kernel, 1);
            assert!(sum.value().is_nan());
            assert_eq!((sum.first_without_root(), sum.count()), (Some(first), numbers.len() as u64), "{kernel}");
        }
    }
}

#[test]
fn zeros_and_infinity_have_roots() {
    for kernel in Kernel::available() {
        let sum = |numbers: &[f64]| sum_file(&file_of(numbers).1, kernel, 1);
        assert_eq!(sum(&[]).value(), 0.0);
        assert_eq!(sum(&[0.0, -0.0, 4.0]).value(), 2.0);
        assert_eq!(sum(&[-0.0; 100]).value().to_bits(), 0);
        assert_eq!(sum(&[1.0, f64::INFINITY]).value(), f64::INFINITY);
        assert_eq!(sum(&[1.0, f64::INFINITY]).first_without_root(), None);
        assert_eq!(sum(&[f64::MAX; 5_000]).value(), 5_000.0 * f64::MAX.sqrt());
        assert_eq!(sum(&[5e-324; 4]).value(), 4.0 * 5e-324f64.sqrt());
    }
}

#[test]
fn empty_and_reversed_ranges_have_no_roots() {
    #[allow(clippy::reversed_empty_ranges)]
    for range in [0..0, 5..5, 9..3, u64::MAX..u64::MAX] {
        let sum = RootSum::of_range(Kernel::detect(), range);
        assert_eq!((sum.value(), sum.count()), (0.0, 0));
    }
}

#[test]
#[should_panic(expected = "ends above 9007199254740992")]
fn integers_that_are_no_numbers_are_refused() {
    let _ = RootSum::of_range(Kernel::detect(), MAX_INTEGER..MAX_INTEGER + 1);
}

#[test]
fn wrong_files_are_clear_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("numbers.f64");
    let error = Floats::open(&path).unwrap_err();
    assert_eq!(error.to_string(), format!("could not open `{}`", path.display()));
    assert!(Floats::open(folder.path()).is_err());

    std::fs::write(&path, [0; 21]).unwrap();
    let error = Floats::open(&path).unwrap_err().to_string();
    assert!(error.ends_with("has 21 bytes, which is no multiple of the 8 that a number has"), "{error}");

    // SAFETY: it is not mapped, as it is wrong.
    assert!(unsafe { Floats::map(&path) }.is_err());

    std::fs::write(&path, [0; 24]).unwrap();
    let floats = Floats::open(&path).unwrap();
    std::fs::write(&path, [0; 8]).unwrap();
    let error = floats.reader().sum(Kernel::detect(), 0..3).unwrap_err();
    assert!(matches!(error, FileError::Io { action: "read", .. }), "{error}");
    for outside in [0..4, 3..9, u64::MAX - 1..u64::MAX] {
        assert!(floats.reader().read(outside).is_err());
    }
}

#[cfg(unix)]
#[test]
fn devices_are_refused() {
    assert!(matches!(Floats::open("/dev/null"), Err(FileError::NotRegular { .. })));
}
