//! How much memory an evaluation takes at first.

use std::fs;
use std::process::Command;

const SCRIPT: &str = include_str!("../scripts/heap.sh");

/// Returns what a function of the script prints.
fn printed(call: &str) -> String {
    let output = Command::new("sh")
        .args(["-euc", &format!("{SCRIPT}\n{call}")])
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_part_of_what_is_free_or_nixs_own_choice() {
    for (free, expected) in [
        (0, String::new()),
        (1000, String::new()),
        (2047, String::new()),
        (2048, format!("{}\n", 512_u64 << 20)),
        (4000, format!("{}\n", 1000_u64 << 20)),
        (8192, format!("{}\n", 2048_u64 << 20)),
        (500_000, format!("{}\n", 2048_u64 << 20)),
    ] {
        assert_eq!(printed(&format!("first_heap {free}")), expected, "{free}");
    }
}

#[test]
fn what_is_free_here_is_no_more_than_there_is() {
    let spare: u64 = printed("memory_to_spare").trim().parse().unwrap();
    let all = fs::read_to_string("/proc/meminfo").unwrap();
    let of = |name: &str| {
        let line = all.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    };
    assert!(spare > 0 && spare <= of("MemTotal:"), "{spare}");
}

/// The evaluation reads it as the shell does.
#[test]
fn it_is_a_variable_of_the_evaluation() {
    let text = printed("memory_to_spare() { echo 4096; }; print_heap");
    assert_eq!(text, format!("export GC_INITIAL_HEAP_SIZE={}\n", 1_u64 << 30));
    assert_eq!(printed("memory_to_spare() { echo 100; }; print_heap"), "");
    assert_eq!(printed("memory_to_spare() { :; }; print_heap 2>/dev/null || :"), "");
}
