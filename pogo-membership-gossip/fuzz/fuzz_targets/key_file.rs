#![no_main]

use libfuzzer_sys::fuzz_target;
use pogo_membership_gossip::laws;

fuzz_target!(|bytes: &[u8]| laws::key_file(bytes));
