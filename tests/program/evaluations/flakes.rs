//! Flakes: `nix eval` in the view, and the lock file that it writes there.

use super::Builder;

const LINE: &str = "build --eval-on builder --no-lend --flake /client/flake#pi";

/// It comes back as it was written, and is not written again.
#[test]
fn a_lock_file_that_the_evaluation_writes_comes_back() {
    let Some(builder) = Builder::new() else { return };
    builder.write(
        "client/flake/flake.nix",
        "{\nx = builtins.readFile ./motd;\noutputs = { self }: { };\n}\n",
    );
    builder.write("client/flake/motd", "good morning");
    let (run, said) = builder.run(LINE);
    assert_eq!(run.code, 0, "{}{said}", run.stderr);
    let lock = builder.read("client/flake/flake.lock");
    assert!(lock.contains("\"version\": 7"), "{lock}{said}");
    assert!(run.stderr.contains("wrote /client/flake/flake.lock"), "{}", run.stderr);
    let seen = builder.of_derivation(&said);
    assert!(seen.contains("read /client/flake/motd: good morning\n"), "{seen}");
    builder.nothing_is_left();
    // What is kept over there is what was sent, not what was written.
    assert!(!builder.mirrored("client/flake/flake.lock").exists());

    let (again, said) = builder.run(LINE);
    assert_eq!((again.code, &again.stdout), (0, &run.stdout), "{}{said}", again.stderr);
    assert_eq!(builder.read("client/flake/flake.lock"), lock);
    assert!(!again.stderr.contains("wrote "), "{}", again.stderr);
    builder.nothing_is_left();
}

/// Where the evaluation fails behind it, the lock file comes back all the same, as it would be here.
#[test]
fn a_lock_file_of_an_evaluation_that_fails() {
    let Some(builder) = Builder::new() else { return };
    builder.write(
        "client/flake/flake.nix",
        "{\nx = builtins.readFile (./no + \"where\");\noutputs = { self }: { };\n}\n",
    );
    let (run, said) = builder.run(LINE);
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}{said}", run.stderr);
    let error = "error: path '/client/flake/nowhere' does not exist";
    assert!(run.stderr.contains(error), "{}", run.stderr);
    assert!(
        builder.read("client/flake/flake.lock").contains("\"version\": 7"),
        "{said}"
    );
    builder.nothing_is_left();
}
