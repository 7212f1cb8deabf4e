//! As whom the builder makes the view: whoever logs in, root or another user, where the kernel lets them make user namespaces
//! and where it does not, but `sudo` makes them root.

use super::{BUILD, Builder, Login, events};

/// Whatever the way, the same is seen and the same is shut, in rounds as always.
#[test]
fn where_nobody_may_make_user_namespaces() {
    for (login, way) in [
        (Login::Usual, "user"),
        (Login::RootWithoutNamespaces, "root"),
        (Login::UserWithSudo, "sudo"),
    ] {
        let Some(builder) = Builder::with(login) else { return };
        builder.configure(
            "x = builtins.readFile (./no + \"tes\");
             y = builtins.pathExists (./only + \"-there\");",
        );
        builder.write("client/nixos/notes", "only the evaluation knows");
        builder.write("client/nixos/other", "nobody asks for this");
        builder.write("builder/same/nixos/only-there", "the builder's");
        let evaluated = builder.evaluates();
        assert_eq!(evaluated.events("way"), [way]);
        assert_eq!(
            evaluated.rounds(),
            ["none", "base", "have"],
            "{way}: {}",
            evaluated.said
        );
        evaluated.has_seen("read /client/nixos/notes: only the evaluation knows");
        evaluated.has_seen("exists /client/nixos/only-there: no");
        assert!(!builder.has("nobody asks for this"), "{way}");
        assert_eq!(builder.evaluates().rounds(), ["have"], "{way}");

        // And a private file stays here.
        builder.write("client/home/notes.txt", "secret of the client");
        builder.sh("chmod 600 client/home/notes.txt");
        builder.configure("x = builtins.readFile (/client/home + \"/notes.txt\");");
        let (run, said) = builder.run(BUILD);
        let error = "error: opening file '/client/home/notes.txt': Permission denied";
        assert_eq!(run.code, 1, "{way}: {said}");
        assert!(run.stderr.contains(error), "{way}: {}", run.stderr);
        assert!(!builder.has("secret of the client"), "{way}");
        builder.nothing_is_left();
    }
}

/// A run that is ended in the midst of its evaluation, where that runs as somebody else than its script: nothing is left of it,
/// be it a process that its user may not end.
#[test]
fn who_is_ended_as_root_leaves_nothing() {
    for login in [Login::RootWithoutNamespaces, Login::UserWithSudo] {
        let Some(builder) = Builder::with(login) else { return };
        builder.configure("x = builtins.readFile ./motd;");
        builder.write("client/nixos/motd", "good morning");
        builder.hold();
        let mut run = builder.start(BUILD);
        builder.wait_for_evaluations(1);
        run.signal("INT");
        let run = run.finish();
        assert_eq!((run.code, run.stdout.as_str()), (130, ""), "{}", run.stderr);
        builder.wait_until("the builder to end", || builder.logins_are_over());
        assert!(!builder.was_held(), "{}", builder.said());
        builder.nothing_is_left();
        builder.sh("rm builder/nix/store/hold");
        assert_eq!(builder.evaluates().rounds(), ["have"]);
    }
}

/// Another user whom the kernel refuses, without sudo: this machine evaluates, after a warning, and the builder builds.
#[test]
fn a_user_who_may_make_none_only_builds() {
    let Some(builder) = Builder::with(Login::UserWithoutNamespaces) else {
        return;
    };
    builder.configure("x = builtins.readFile ./motd;");
    builder.write("client/nixos/motd", "good morning");
    builder.stub("nix-instantiate", &Builder::program_here("nix-instantiate"));
    // What it copies there is there: the daemon over there writes into its store.
    builder.stub(
        "nix",
        "for path; do :; done; cp \"here/${path##*/}\" builder/nix/store/",
    );
    let (run, said) = builder.run(BUILD);
    assert_eq!(run.code, 0, "{}{said}", run.stderr);
    let warning = "warning: builder does not let its users make user namespaces, which an evaluation there needs";
    assert!(run.stderr.contains(warning), "{}", run.stderr);
    assert_eq!(events(&said, "failed"), ["no-namespaces 1"]);
    assert_eq!(events(&said, "receiving"), [""; 0], "nothing of ours goes there");
    assert_eq!(events(&said, "built"), [run.stdout.trim_end()]);
    run.gives(builder.rebuild("build").stdout.trim_end());
    let kept = builder.sh("grep -rl 'good morning' builder/home builder/shm || :");
    assert_eq!(kept, "", "files of ours are there");
    builder.nothing_is_left();
}

/// Where Nix is the user's alone there is no daemon: one is started for the run, and ends with it.
#[test]
fn a_nix_without_a_daemon_lends_itself_one() {
    let Some(builder) = Builder::new() else { return };
    builder.configure("x = builtins.readFile ./motd;");
    builder.write("client/nixos/motd", "good morning");
    builder.sh("mv builder/nix/var/nix/daemon-socket/socket builder/nix/socket; mkdir builder/nix/var/nix/db");
    let evaluated = builder.evaluates();
    // It says so at any moment, and the run counts for the client what comes at that moment.
    let stderr = &evaluated.run.stderr;
    assert!(!stderr.contains("accepted connection"), "{stderr}");
    let lent = builder.sh("cat builder/nix/daemon");
    assert!(lent.contains("/dev/shm/rebuild."), "{lent}");
    let process = lent.split(' ').next().unwrap();
    assert!(
        !std::path::Path::new("/proc").join(process).exists(),
        "the daemon is left"
    );
}

/// A Nix that was put somewhere else, as /opt: its programs are seen all the same, and what the client has there is, too.
#[test]
fn a_nix_outside_of_the_store() {
    let Some(builder) = Builder::new() else { return };
    builder.configure("x = builtins.pathExists (/builder + \"/nix\");");
    builder.sh("mkdir builder/home/nix; mv builder/nix/store/*-nix-2*/* builder/home/nix/; ln -s builder/home/nix nix");
    builder.stub(
        "nix-build",
        "cd here && IN_STORE=$PWD exec ../builder/home/nix/bin/nix-build \"$@\"",
    );
    let evaluated = builder.evaluates();
    assert_eq!(evaluated.events("hello"), ["/builder/nix/bin x86_64-linux"]);
    evaluated.has_seen("exists /builder/nix: no");
}
