use gristmill::prelude::*;
#[test]
fn smoke() {
    for n in [0u64, 1, 10, 1000, 1_000_000] {
        let r = Pipeline::extract(0..n).map(|x| x + 1).ordered().collect::<Vec<_>>().run().unwrap();
        assert_eq!(r.output.len() as u64, n);
        assert!(r.output.windows(2).all(|w| w[0] < w[1]));
        println!("{r}\n");
        let r = Pipeline::extract(0..n)
            .map(|x| x + 1)
            .filter(|x| x % 2 == 0)
            .fold(|| 0u64, |a, x| *a += x, |a, b| *a += b)
            .run()
            .unwrap();
        println!("{r}\n");
        let r = Pipeline::extract(0..n.min(1000))
            .map(|x| x + 1)
            .map_blocking(4, |x| x * 2)
            .batch(7)
            .ordered()
            .collect::<Vec<_>>()
            .run()
            .unwrap();
        assert_eq!(r.output.concat(), (0..n.min(1000)).map(|x| (x + 1) * 2).collect::<Vec<_>>());
        println!("{r}\n");
    }
}
