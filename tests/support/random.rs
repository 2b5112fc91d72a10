//! Chance that can be repeated: a test prints its seed, and `TIDINGS_TEST_SEED` gives it one.

use uuid::Uuid;

/// The seed of a test, printed for when it fails.
pub(crate) fn seed() -> u64 {
    let given = std::env::var_os("TIDINGS_TEST_SEED");
    let seed = given.map_or_else(
        || Uuid::new_v4().as_u64_pair().0,
        |seed| seed.to_str().and_then(|seed| seed.parse().ok()).expect("TIDINGS_TEST_SEED is a number"),
    );
    eprintln!("TIDINGS_TEST_SEED={seed}");
    seed
}

/// `SplitMix64`.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// One of many that share a seed.
    pub(crate) fn new(seed: u64, which: u64) -> Self {
        let mut random = Self(seed ^ which.wrapping_mul(0xA076_1D64_78BD_642F));
        random.next();
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Less than `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A place in a list of this length.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("less than a length")
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }

    /// A new message id.
    pub(crate) fn id(&mut self) -> String {
        uuid::Builder::from_random_bytes(Uuid::from_u64_pair(self.next(), self.next()).into_bytes())
            .into_uuid()
            .to_string()
    }
}
