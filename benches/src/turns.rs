//! Who runs when: an order for each round in which nobody has a neighbour of his own.
//!
//! What ran before leaves something behind: a cache full of its data, memory that is being given back, a core that has
//! cooled down. With a fixed order, or one that merely begins elsewhere in each round, a contender pays for the same
//! predecessor each time. The orders here are those of E. J. Williams, *Experimental designs balanced for the estimation of
//! residual effects of treatments* (1949): over as many rounds as there are contenders, or twice as many if their number
//! is odd, everybody follows everybody else equally often.

/// The contenders, as numbers below `contenders`, in the order in which they run in `round`.
///
/// # Examples
///
/// ```
/// let orders: Vec<Vec<usize>> = (0..4).map(|round| gristmill_benches::turns::turns(4, round).collect()).collect();
/// assert_eq!(orders, [[0, 1, 3, 2], [1, 2, 0, 3], [2, 3, 1, 0], [3, 0, 2, 1]]);
/// ```
pub fn turns(contenders: usize, round: usize) -> impl Iterator<Item = usize> {
    // One square serves for an even number. For an odd one its mirror image makes good what it lacks.
    let is_odd = contenders % 2 == 1;
    let (shift, is_mirrored) = if is_odd { (round / 2, round % 2 == 1) } else { (round, false) };
    (0..contenders).map(move |turn| {
        let turn = if is_mirrored { contenders - 1 - turn } else { turn };
        (zigzag(turn, contenders) + shift) % contenders
    })
}

/// 0, 1, n - 1, 2, n - 2, … : each difference between neighbours comes once, modulo `n`.
fn zigzag(turn: usize, n: usize) -> usize {
    if turn % 2 == 1 { turn.div_ceil(2) } else { (n - turn / 2) % n }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn everybody_runs_once_a_round() {
        for contenders in 0..10 {
            for round in 0..25 {
                let mut order: Vec<_> = turns(contenders, round).collect();
                order.sort_unstable();
                assert!(order.into_iter().eq(0..contenders));
            }
        }
    }

    #[test]
    fn everybody_follows_everybody_else_equally_often() {
        for contenders in 2..10 {
            let rounds = if contenders % 2 == 0 { contenders } else { 2 * contenders };
            let mut followed = BTreeMap::new();
            for round in 0..rounds {
                let order: Vec<_> = turns(contenders, round).collect();
                order.windows(2).for_each(|pair| *followed.entry((pair[0], pair[1])).or_insert(0) += 1);
            }
            assert_eq!(followed.len(), contenders * (contenders - 1), "{contenders}");
            assert!(followed.values().all(|times| *times == rounds / contenders), "{contenders}: {followed:?}");
        }
    }

    #[test]
    fn the_first_of_a_round_changes() {
        let first: Vec<_> = (0..6).map(|round| turns(3, round).next()).collect();
        assert_eq!(first, [Some(0), Some(2), Some(1), Some(0), Some(2), Some(1)]);
    }
}
