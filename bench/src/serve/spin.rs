//! A core that halts takes long to wake up, and how long depends on the machine below a virtual one. The measurement
//! runs this at the idle priority, so that the core is awake and everything else still comes first.

use crate::Failure;

pub(super) fn spin() -> Result<(), Failure> {
    loop {
        std::hint::spin_loop();
    }
}
