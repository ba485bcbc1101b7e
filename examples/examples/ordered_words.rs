//! Parallel work whose results come out in the order of the source: `cargo run --release --example ordered_words`.
//!
//! The words of a text are enciphered on all cores, each as slowly as it is long, and put together again. Workers finish
//! in any order; `ordered()` is all it takes for that not to show. Early results wait inside the window, so the memory
//! for them is bounded.
#![allow(clippy::print_stdout, reason = "it is a program: this is how it speaks")]

use gristmill::prelude::*;

fn main() -> Result<(), gristmill::Error> {
    let text = text(200_000);

    let report = Pipeline::extract(text.split(' '))
        .map(encipher)
        // Words own memory: say what they weigh, and the budget holds.
        .weigh()
        .memory_budget(Bytes::mib(1))
        .ordered()
        .collect::<Vec<String>>()
        .run()?;

    // The same on one thread, which is what "in order" means.
    let expected: Vec<String> = text.split(' ').map(encipher).collect();
    assert_eq!(report.output, expected);
    // Enciphered twice it is the text again.
    assert_eq!(report.output.iter().map(|word| encipher(word)).collect::<Vec<_>>().join(" "), text);
    assert!(report.peak_bytes <= 1 << 20);

    println!("{} ...\n", report.output[..12].join(" "));
    println!("{report}");
    Ok(())
}

/// ROT13, over and over: an odd number of times, and more often for long words, so that some take much longer.
fn encipher(word: &str) -> String {
    let rounds = 2 * word.len() * word.len() + 1;
    (0..rounds).fold(word.to_owned(), |word, _| word.chars().map(rotate).collect())
}

fn rotate(letter: char) -> char {
    let from = |first: u8| char::from(first + (letter as u8 - first + 13) % 26);
    match letter {
        'a'..='z' => from(b'a'),
        'A'..='Z' => from(b'A'),
        _ => letter,
    }
}

/// So many words, the same every time.
fn text(n_words: usize) -> String {
    const WORDS: [&str; 10] =
        ["the", "mill", "grinds", "grist", "a", "wheel", "of", "extraordinarily", "slow", "stone"];
    let mut state = 1u32;
    let mut next = || {
        // A linear congruential generator (Numerical Recipes); its high bits are good enough to pick words.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        WORDS[(state >> 16) as usize % WORDS.len()]
    };
    (0..n_words).map(|_| next()).collect::<Vec<_>>().join(" ")
}
