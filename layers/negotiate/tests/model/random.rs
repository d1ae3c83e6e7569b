//! Many peers at once, in random orders.

use crate::world::{Before, Budget, World};

/// xorshift64*: the same orders in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        number as usize % limit
    }
}

/// Far more steps than any order takes.
const STEPS: usize = 100_000;

/// How many splits there were in so many starts.
fn starts(rounds: usize, budget: Budget, random: &mut Random) -> (usize, usize) {
    let befores = [Before::Nothing, Before::StaleSocket, Before::StaleLock];
    let (mut splits, mut longest) = (0, 0);
    for round in 0..rounds {
        let peers = [2, 4, 8][round % 3];
        let mut world = World::new(peers, befores[round / 3 % 3], budget);
        let mut steps = 0;
        let mut two = false;
        while !world.is_quiet() {
            let actions = world.actions();
            world.act(actions[random.below(actions.len())]);
            two |= world
                .peers
                .iter()
                .filter(|peer| peer.is_listening())
                .count()
                > 1;
            steps += 1;
            assert!(steps < STEPS, "round {round} does not end: {world:?}");
        }
        let disturbed = budget.thefts + budget.removals > 0;
        splits += usize::from(!world.is_one_bus() || (two && !disturbed));
        longest = longest.max(steps);
    }
    (splits, longest)
}

#[test]
fn ten_thousand_starts_make_no_split() {
    let seed = 0x6b79_6e65_7461;
    let mut random = Random(seed);
    let wrong = Budget {
        crashes: 2,
        disposals: 1,
        thefts: 2,
        seconds: 2,
        removals: 2,
    };
    for budget in [Budget::default(), wrong] {
        let (splits, longest) = starts(10_000, budget, &mut random);
        println!(
            "10000 starts of 2, 4, 8 peers, seed {seed:#x}, {budget:?}: {splits} splits, at most \
             {longest} steps"
        );
        assert_eq!(splits, 0);
    }
}
